"""What `bench quality` has measured so far: a CSV file with one row for every scene, method and seed.

Rows are appended as soon as a chunk of scenes is done, so that an interrupted run continues where it stopped. A row is
used only for the weights and settings that it was made with; rows of others stay in the file. A file with other columns
is of an older version of the benchmark: it is written anew.
"""

import csv
import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.subject_scores import FIGURES

KEYS = ("weights", "split", "method", "level", "settings", "seed", "number")


def weights_hash(files: list[Path]) -> str:
    """12 hexadecimal digits of the SHA-256 of these files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True)
class MethodRun:
    """One method with one seed, on all scenes.

    Attributes:
        weights: the hash of the model's weights.
        level: the number of model calls allowed per scene; 0 for methods without a model.
        settings: everything else that the result depends on, as text.
    """

    weights: str
    split: str
    method: str
    level: int
    settings: str
    seed: int


class Store:
    """The rows of a file, by run and by scene. figures: the names of its last columns."""

    def __init__(self, file: Path, figures: tuple[str, ...] = FIGURES):
        self.file, self.figures = file, figures
        self.columns = [*KEYS, "stratum", "calls", "seconds", *figures]
        self.rows: dict[MethodRun, dict[int, dict]] = {}
        if not has_columns(file, self.columns):
            return
        with file.open(newline="") as lines:
            for row in csv.DictReader(lines):
                try:
                    run = MethodRun(
                        *(row[key] for key in KEYS[:3]), int(row["level"]), row["settings"], int(row["seed"])
                    )
                    figures = {name: float(row[name]) for name in ("seconds", *figures)}
                    known = {"stratum": row["stratum"], "calls": int(row["calls"]), **figures}
                    self.rows.setdefault(run, {})[int(row["number"])] = known
                except (KeyError, TypeError, ValueError):
                    continue  # a line that was cut off by an interruption

    def missing(self, run: MethodRun, numbers: Iterable[int]) -> list[int]:
        """Which of these scenes have no row."""
        return [number for number in numbers if number not in self.rows.get(run, {})]

    def add(self, run: MethodRun, rows: dict[int, dict]) -> None:
        """Appends rows by scene number; they are on disk when this returns."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        fresh = not has_columns(self.file, self.columns)
        with self.file.open("w" if fresh else "a", newline="") as lines:
            writer = csv.DictWriter(lines, self.columns)
            if fresh:
                writer.writeheader()
            elif not ends_a_line(self.file):
                lines.write("\n")
            for number, row in rows.items():
                writer.writerow({**vars(run), "number": number, **row})
            lines.flush()
            os.fsync(lines.fileno())
        self.rows.setdefault(run, {}).update(rows)


def has_columns(file: Path, columns: list[str]) -> bool:
    """Whether there is such a file, with these columns."""
    if not file.is_file():
        return False
    with file.open(newline="") as lines:
        return next(csv.reader(lines), None) == columns


def ends_a_line(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(0, os.SEEK_END)
        if content.tell() == 0:
            return True
        content.seek(-1, os.SEEK_END)
        return content.read(1) == b"\n"
