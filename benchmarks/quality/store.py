"""What `bench quality` has measured so far: a CSV file with a row for every scene, method and seed.

Rows are added as soon as a chunk of scenes is done, so that a stopped run goes on where it was. A row counts only for
the weights and the settings that it was made with; of others nothing is used, and nothing is lost.
"""

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.score import FIGURES

KEYS = ("weights", "split", "method", "level", "told", "seed", "number")
COLUMNS = (*KEYS, "stratum", "calls", "seconds", *FIGURES)


def weights_hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class Run:
    """A method's results on every scene with one seed."""

    weights: str
    split: str
    method: str
    level: int
    told: str
    seed: int


class Store:
    """The rows of a file, by run and by scene."""

    def __init__(self, file: Path):
        self.file = file
        self.rows: dict[Run, dict[int, dict]] = {}
        if not file.is_file():
            return
        with file.open(newline="") as lines:
            for row in csv.DictReader(lines):
                try:
                    run = Run(*(row[key] for key in KEYS[:3]), int(row["level"]), row["told"], int(row["seed"]))
                    figures = {name: float(row[name]) for name in ("seconds", *FIGURES)}
                    known = {"stratum": row["stratum"], "calls": int(row["calls"]), **figures}
                    self.rows.setdefault(run, {})[int(row["number"])] = known
                except (KeyError, TypeError, ValueError):
                    continue  # a line that a stop cut off

    def missing(self, run: Run, count: int) -> list[int]:
        return [number for number in range(count) if number not in self.rows.get(run, {})]

    def add(self, run: Run, rows: dict[int, dict]) -> None:
        """Rows by scene; they are on the disk when this returns."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = not self.file.is_file()
        with self.file.open("a", newline="") as lines:
            writer = csv.DictWriter(lines, COLUMNS)
            if fresh:
                writer.writeheader()
            elif not ends_a_line(self.file):
                lines.write("\n")
            for number, row in rows.items():
                writer.writerow({**vars(run), "number": number, **row})
            lines.flush()
            os.fsync(lines.fileno())
        self.rows.setdefault(run, {}).update(rows)


def ends_a_line(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(0, os.SEEK_END)
        if content.tell() == 0:
            return True
        content.seek(-1, os.SEEK_END)
        return content.read(1) == b"\n"
