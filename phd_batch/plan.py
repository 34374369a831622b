"""Checks every row of a table, and writes the jobs into the ledger: all of them, or nothing."""

import array
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phd_batch.bindings import FILE, MODEL_ENDINGS, Target, file_of, value_of
from phd_batch.clip_parts import CHUNK
from phd_batch.clips import is_matte, video_fault
from phd_batch.faults import MOST_SHOWN, Fault, Faults
from phd_batch.jobs import Jobs, sha
from phd_batch.keys import Keys
from phd_batch.ledger import DONE, INDEXES, JOBS, REFUSED, Ledger
from phd_batch.video import check_video, is_video

# Where files are staged below ComfyUI's input folder.
STAGED = "phd_batch"
# More faults than are shown are only counted.
MOST_KEPT = 2 * MOST_SHOWN
# Pillow's modes of images whose alpha Load Image gives; besides those with a transparent color in their palette.
WITH_ALPHA = ("RGBA", "LA", "PA")
# Pillow's modes of gray whose levels Load Image cuts at the highest of 8 bits.
DEEP_GRAY = ("I;16", "I;16L", "I;16B", "I;16N")
# What a column of each kind costs to change: what is loaded first goes first.
MODEL, IMAGE, TEXT, OTHER = range(4)
TWINS = """
SELECT p.row, q.row FROM planned p
JOIN (SELECT key, min(row) AS row, count(*) AS count FROM planned GROUP BY key HAVING count > 1) q
ON p.key = q.key AND p.row > q.row ORDER BY p.row LIMIT ?
"""
KEPT = """
UPDATE planned SET (state, claims, tries, reseeds, worker, error, result) =
(SELECT state, claims, tries, reseeds, worker, error, result FROM jobs WHERE jobs.key = planned.key)
WHERE key IN (SELECT key FROM jobs WHERE state IN (?, ?))
"""


@dataclass(frozen=True)
class Bound:
    """A workflow and what the columns set in it.

    Attributes:
        targets: by column.
        versions: of what the jobs run on; in every key.
        model_version: gives a model file's, by its name.
        files: that the workflow itself names: name by content -> path.
        chunk: how many frames of a clip are run at once; 0 where the workers take no clips.
    """

    workflow: dict
    columns: tuple[str, ...]
    targets: dict[str, list[Target]]
    versions: dict
    model_version: Callable[[str], str] = field(default=lambda name: "")
    files: dict[str, str] = field(default_factory=dict)
    chunk: int = CHUNK

    def all_targets(self) -> list[Target]:
        return [target for column in self.columns for target in self.targets[column]]

    def values(self, cells: list) -> list[Any]:
        """Of each target the value of a job: a file's name as it is staged; None for the workflow's own."""
        found = []
        for column, cell in zip(self.columns, cells, strict=True):
            for target in self.targets[column]:
                value = cell[0] if isinstance(cell, list) else cell
                found.append(value + target.added if target.added and value is not None else value)
        return found


class Files:
    """Hashes of input files, each read once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.known: dict[str, tuple[str, int, int, str]] = {}
        self.names: dict[tuple[str, bool], list[str]] = {}

    def staged(self, cell: Any, alpha: bool = False) -> list[str]:
        """[name by content, path] of an image or a video. Raises ValueError with a sentence for a cell that names none.

        alpha: it must have transparency.
        """
        if not isinstance(cell, str) or (cell, alpha) not in self.names:
            path = file_of(cell, self.folder)
            stat = path.stat()
            if is_video(cell):
                check_video(cell, path, alpha)
            else:
                check_image(cell, path.read_bytes(), alpha)
            digest = sha(path)
            self.known[cell] = (str(path), stat.st_size, stat.st_mtime_ns, digest)
            ending = path.suffix.lower()
            name = digest + (ending if ending.isascii() and ending[1:].isalnum() else "")
            self.names[cell, alpha] = [name, str(path)]
        return self.names[cell, alpha]


def check_image(name: str, content: bytes, alpha: bool) -> None:
    try:
        from PIL import Image
    except ImportError:
        return
    try:
        image = Image.open(io.BytesIO(content))
        image.verify()
    except Exception as error:
        raise ValueError(f"{name} cannot be read as an image ({type(error).__name__}).") from None
    if image.mode in DEEP_GRAY:
        raise ValueError(f"{name} is gray of 16 bits, of which Load Image makes black and white; save it with 8 bits.")
    if alpha and image.mode not in WITH_ALPHA and not (image.mode == "P" and "transparency" in image.info):
        raise ValueError(f"{name} has no transparency that shows the subject; add a column mask with its masks.")


def plan(jobs: Jobs, bound: Bound, ledger: Ledger, facts: dict[str, str]) -> int | None:
    """Writes the jobs of a table into the ledger, in one change; how many of them were there as done or refused.

    None where another process has planned the same batch meanwhile. Jobs that are done or refused stay so if their key
    is the same. Raises Faults where anything is wrong, or another process runs the batch as it was; nothing changes.

    facts: what the batch is, to be compared when it is started again.
    """
    files, order = Files(jobs.folder.resolve()), Order(bound)
    with ledger.changing() as run:
        if ledger.facts() == facts and ledger.knows_all():
            return None
        if ledger.others():
            message = (
                "another process runs this batch as it was; wait until it ends, or stop it, then start this again."
            )
            raise Faults([Fault(None, "", message)])
        run(JOBS.format(name="planned"))
        check = RowCheck(bound, files)
        for path in bound.files.values():
            files.staged(path)
        ledger.many(
            "INSERT INTO planned (row, key, cells) VALUES (?, ?, ?)",
            planned_rows(jobs, check, order),
        )
        if not check.rows and not check.faults:
            raise Faults([Fault(None, "", f"{jobs.name} has no rows.")])
        twins = run(TWINS, (MOST_KEPT + 1,)).fetchall()
        for row, first in twins:
            check.found(Fault(row, "", f"the row repeats row {first}: the same prompt, files and seed."))
        if check.faults:
            raise Faults(check.faults, check.more)
        ledger.many("UPDATE planned SET place = ?, near = ? WHERE row = ?", order.places())
        kept = 0
        if run("SELECT 1 FROM sqlite_master WHERE name = 'jobs'").fetchone():
            run("CREATE INDEX planned_by_key ON planned (key)")
            kept = run(KEPT, (DONE, REFUSED)).rowcount
            run("DROP INDEX planned_by_key")
            run("DROP TABLE jobs")
        run("ALTER TABLE planned RENAME TO jobs")
        for statement in INDEXES.split(";"):
            run(statement)
        run("DELETE FROM files")
        ledger.many("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", files.known.values())
        run("DELETE FROM batch")
        ledger.many("INSERT INTO batch VALUES (?, ?)", facts.items())
    return kept


def planned_rows(jobs: Jobs, check: "RowCheck", order: "Order"):
    for row, cells in jobs.rows():
        stored = check.cells(row, cells)
        if stored is not None:
            order.add(row, stored)
            yield row, check.key(stored), json.dumps(stored, ensure_ascii=False)


class RowCheck:
    """Reads the cells of rows, and gathers what is wrong with them."""

    def __init__(self, bound: Bound, files: Files):
        self.bound, self.files = bound, files
        self.faults: list[Fault] = []
        self.more = self.rows = 0
        self.keys = Keys(bound.workflow, bound.all_targets(), bound.versions)
        self.models: dict[str, str] = {}

    def found(self, fault: Fault) -> None:
        if len(self.faults) < MOST_KEPT:
            self.faults.append(fault)
        else:
            self.more += 1

    def cells(self, row: int, given: dict[str, Any]) -> list | None:
        """The values of a row by column, files as [name by content, path]; None where one is wrong."""
        self.rows += 1
        stored, sound = [], True
        for column in self.bound.columns:
            cell, value = given.get(column), None
            if cell is None:
                cell = self.own_file(column)
            if cell is not None:
                try:
                    if cell == "":
                        raise ValueError("it has no file there.")
                    value = [self.read(cell, target) for target in self.bound.targets[column]][0]
                except ValueError as error:
                    empty = "" if column in given else "the cell is empty, and the workflow's own value stays: "
                    self.found(Fault(row, column, f"{empty}{error}"))
                    sound = False
                except OSError as error:
                    self.found(Fault(row, column, f"{cell} cannot be read ({error.strerror})."))
                    sound = False
            stored.append(value)
        return stored if sound else None

    def own_file(self, column: str) -> str | None:
        """What an empty cell leaves to a file that the workflow names, if that is not where the jobs run already."""
        target = self.bound.targets[column][0]
        own = str(self.bound.workflow[target.node]["inputs"].get(target.input, ""))
        return own if target.kind == FILE and own not in target.spec["options"] else None

    def read(self, cell: Any, target: Target) -> Any:
        if target.kind == FILE:
            alpha = target.spec.get("alpha", False)
            if is_video(cell):
                if why := video_fault(self.bound.workflow, target.node, self.bound.chunk):
                    raise ValueError(f"{cell}: {why}.")
                alpha = alpha or is_matte(self.bound.workflow, target.node)
            return self.files.staged(cell, alpha)
        value = value_of(cell, target)
        return value - target.added if target.added else value

    def key(self, cells: list) -> bytes:
        """A job's key. Of files only the content counts, of model files also the version."""
        values = []
        for target, value in zip(self.bound.all_targets(), self.bound.values(cells), strict=True):
            if target.kind == FILE and value is not None:
                value = f"sha256:{value}"
            elif target.kind == "COMBO" and isinstance(value, str) and value.lower().endswith(MODEL_ENDINGS):
                if value not in self.models:
                    self.models[value] = self.bound.model_version(value)
                value = f"{value} {self.models[value]}"
            values.append(value)
        return self.keys.key(values)


class Order:
    """In which order jobs run: those follow each other that have the same model, images and prompt.

    ComfyUI keeps the results of the nodes whose inputs did not change since the run before.
    """

    def __init__(self, bound: Bound):
        self.costs = [min(map(cost, bound.targets[column])) for column in bound.columns]
        self.rows = array.array("q")
        self.hashes = [array.array("q") for _ in bound.columns]

    def add(self, row: int, cells: list) -> None:
        self.rows.append(row)
        for cell, seen, heavy in zip(cells, self.hashes, self.costs, strict=True):
            if heavy < OTHER:
                # A number of 64 bits stands for a text of any length.
                text = cell[0] if isinstance(cell, list) else str(cell)
                seen.append(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True))

    def places(self):
        """(place, near, row) of every job."""
        import numpy as np

        rows, heavy = np.frombuffer(self.rows, np.int64), []
        for seen, costs in zip(self.hashes, self.costs, strict=True):
            if costs < OTHER and len(seen):
                _, first, inverse = np.unique(np.frombuffer(seen, np.int64), return_index=True, return_inverse=True)
                # Values in the order in which the table first has them.
                heavy.append((costs, len(first), first[inverse.ravel()]))
        heavy = [
            column
            for _, count, column in sorted(heavy, key=lambda each: each[:2])
            if count < len(rows) or len(rows) < 2
        ]
        order = np.lexsort((rows, *reversed(heavy)))
        near, shared = np.zeros(len(rows), np.int64), np.zeros(len(rows), bool)
        for column in heavy:
            ordered = column[order]
            shared[1:] |= ordered[1:] != ordered[:-1]
            groups = np.cumsum(shared)
            if groups[-1] + 1 > max(1, len(rows) // 2):
                break
            near = groups
        if not near.any():
            near = np.arange(len(rows)) // 8
        return zip(range(len(rows)), near.tolist(), rows[order].tolist(), strict=True)


def cost(target: Target) -> int:
    """How much of a graph runs again when a target's value changes."""
    if target.kind == "COMBO" and any(
        str(option).lower().endswith(MODEL_ENDINGS) for option in target.spec.get("options", ())
    ):
        return MODEL
    return {FILE: IMAGE, "STRING": TEXT}.get(target.kind, OTHER)
