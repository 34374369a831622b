"""Results on the disk: images, each whole or not there, and the tables of all jobs."""

import contextlib
import csv
import errno
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phd_batch.faults import Failed, NoSpace, UsageError
from phd_batch.ledger import STATES, Claim, Ledger
from phd_batch.outcome import Outcome

IMAGES = "images"
FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
# Of Stitch's report; others follow in the order in which they come.
REPORTED = ("gain", "identity", "neglected", "suppressed", "drift")
LAST = ("calls", "seconds", "seed", "worker", "warnings", "rejected", "tries", "error")


def publish(folder: Path, work: Path, name: str, labels: dict[str, str], outcome: Outcome) -> list[str]:
    """Puts the images of a job into their place; their paths below `folder`, the main one first.

    Each is written under a temporary name, synced and renamed, so that a path holds a whole image or none.

    name: of the job's files, without ending. labels: what is added for each node that saves, "" for the main one.
    Raises NoSpace where the disk is full, Failed where there is no image.
    """
    if not outcome.images:
        raise Failed("the run saved no image.")
    try:
        (folder / IMAGES).mkdir(exist_ok=True)
        files = []
        for node, number, content in outcome.images:
            label = labels.get(node, node)
            parts = [name, label, str(number + 1) if number else ""]
            ending = content.suffix if isinstance(content, Path) else ending_of(content)
            file = ".".join(part for part in parts if part) + ending
            place(folder / IMAGES / file, content, work)
            files.append((label != "", number, f"{IMAGES}/{file}"))
        sync_folder(folder / IMAGES)
    except OSError as error:
        if error.errno in FULL:
            raise NoSpace(f"{folder} has no space left.") from None
        raise Failed(f"the result could not be written ({error}).") from None
    return [file for _, _, file in sorted(files)]


def ending_of(content: bytes) -> str:
    kinds = {b"\xff\xd8": ".jpg", b"RI": ".webp"}
    return kinds.get(content[:2], ".png")


def place(target: Path, content: bytes | Path, work: Path) -> None:
    source = content
    if isinstance(content, bytes):
        source = work / uuid.uuid4().hex
        with open(source, "wb") as file:
            file.write(content)
    assert isinstance(source, Path)
    with open(source, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(source, target)


def sync_folder(folder: Path) -> None:
    """Makes the renaming of files in a folder last; where the system cannot, its journal has to do."""
    with contextlib.suppress(PermissionError, IsADirectoryError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_label(title: str) -> str:
    """A title as a part of a file's name."""
    return re.sub(r"[^\w.-]+", "_", title)


def summary(outcome: Outcome) -> dict[str, Any]:
    """The fields of a result. Of several images: the lowest identity, and a flag where any has it."""
    report = [entry for entry in outcome.report if isinstance(entry, dict)]
    found: dict[str, Any] = dict(report[0]) if report else {}
    identities = [entry["identity"] for entry in report if entry.get("identity") is not None]
    if identities:
        found["identity"] = min(identities)
    for flag in ("neglected", "suppressed"):
        if report:
            found[flag] = any(bool(entry.get(flag)) for entry in report)
    found |= {"calls": outcome.calls, "seconds": round(outcome.seconds, 4)}
    return found | {"warnings": " ".join(outcome.warnings)} if outcome.warnings else found


def results(ledger: Ledger, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Every job as a row of the tables of results."""
    last = 0
    while True:
        statement = (
            "SELECT row, state, cells, tries, error, worker, result FROM jobs WHERE row > ? ORDER BY row LIMIT 5000"
        )
        part = ledger.read(statement, last)
        if not part:
            return
        for row, state, cells, tries, error, worker, result in part:
            cells = [cell[1] if isinstance(cell, list) else cell for cell in json.loads(cells)]
            known = json.loads(result) if result else {}
            files = known.pop("files", [])
            found = {"row": row, "state": STATES[state], "file": files[0] if files else None}
            found |= {"more_files": " ".join(files[1:]) or None, "worker": worker, "tries": tries, "error": error}
            yield found | dict(zip(columns, cells, strict=True)) | known
        last = part[-1][0]


def write_tables(folder: Path, ledger: Ledger, columns: tuple[str, ...]) -> list[Path]:
    """Writes results.csv, and results.parquet where pyarrow is installed; their paths."""
    fields = table_fields(ledger, columns)
    written = [folder / "results.csv"]
    with whole(written[0]) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, fields, extrasaction="ignore")
        table.writeheader()
        table.writerows({name: plain(value) for name, value in found.items()} for found in results(ledger, columns))
    with contextlib.suppress(ImportError):
        import pyarrow  # noqa: F401

        written.append(folder / "results.parquet")
        with whole(written[1]) as temporary:
            write_parquet(temporary, fields, results(ledger, columns))
    return written


def table_fields(ledger: Ledger, columns: tuple[str, ...]) -> list[str]:
    """The columns of the tables: all that any result has."""
    found: dict[str, None] = {}
    names = ledger.read("SELECT DISTINCT j.key FROM jobs, json_each(jobs.result) j WHERE jobs.result IS NOT NULL")
    found.update(dict.fromkeys(name for (name,) in names))
    other = [name for name in sorted(found) if name not in (*REPORTED, *LAST, "files")]
    return list(dict.fromkeys(["row", "state", "file", *columns, *REPORTED, *other, *LAST, "more_files"]))


def plain(value: Any) -> Any:
    """A value as a cell of CSV."""
    if isinstance(value, list):
        return " ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in value)
    return json.dumps(value) if isinstance(value, (bool, dict)) else value


def write_parquet(file: Path, fields: list[str], rows: Iterator[dict[str, Any]]) -> None:
    """Columns whose values are all numbers or all truth values stay so; the others are text."""
    import itertools

    import pyarrow
    import pyarrow.parquet

    schema: Any = None
    writer: Any = None
    try:
        while part := list(itertools.islice(rows, 50_000)):
            if writer is None:
                schema = pyarrow.schema([(name, parquet_type([row.get(name) for row in part])) for name in fields])
                writer = pyarrow.parquet.ParquetWriter(file, schema)
            cells = [{entry.name: fitting(row.get(entry.name), entry.type) for entry in schema} for row in part]
            writer.write_table(pyarrow.Table.from_pylist(cells, schema))
    finally:
        if writer is not None:
            writer.close()


def parquet_type(values: list[Any]) -> Any:
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds and kinds <= {bool}:
        return pyarrow.bool_()
    if kinds and kinds <= {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pyarrow.int64()
    if float in kinds and kinds <= {int, float}:
        return pyarrow.float64()
    if kinds == {list} and all(isinstance(each, (int, float)) for value in values if value for each in value):
        return pyarrow.list_(pyarrow.float64())
    return pyarrow.string()


def fitting(value: Any, kind: Any) -> Any:
    """A value for a column whose type the first rows decided; None where it is of another one."""
    import pyarrow

    if value is None or kind == pyarrow.string():
        return None if value is None else str(plain(value))
    if kind == pyarrow.float64() and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if pyarrow.types.is_list(kind):
        return value if isinstance(value, list) else None
    return value if type(value) is {pyarrow.bool_(): bool, pyarrow.int64(): int}.get(kind) else None


@contextlib.contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A temporary name to write a file to, which then takes its place. Raises UsageError where the disk is full."""
    temporary = target.with_name(f".{uuid.uuid4().hex}{target.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written ({error.strerror}).") from None
    finally:
        temporary.unlink(missing_ok=True)


def file_name(claim: Claim) -> str:
    """Of a job's images: its row, and the beginning of its key, which another version of the row does not share."""
    return f"{claim.row:06d}_{claim.key[:8]}"
