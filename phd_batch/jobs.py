"""Reads a table of jobs: CSV, JSON lines, Parquet, or the product of folders named as column=pattern."""

import csv
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phd_batch.faults import Fault, Faults, UsageError

ENDINGS = (".csv", ".jsonl", ".ndjson", ".parquet")


@dataclass(frozen=True)
class Jobs:
    """A table of jobs.

    Attributes:
        name: what it was read from, for messages.
        columns: their names. Rows of JSON lines may lack some.
        rows: gives (row number from 1, cells by column) when called. An absent or empty cell is not in it.
        folder: where the files that it names lie; others are refused.
        digest: SHA-256 of the table's bytes, or of the names that the patterns gave.
    """

    name: str
    columns: tuple[str, ...]
    rows: Callable[[], Iterator[tuple[int, dict[str, Any]]]]
    folder: Path
    digest: str


def read_jobs(sources: list[str], folder: str | None, out: Path | None = None) -> Jobs:
    """The table of jobs that a command line names. Raises UsageError where there is none.

    sources: one file, or patterns such as "exemplar=cut/*.png", of which every combination is a row.
    folder: of the files that the table names; by default the table's own, and for patterns the current one.
    out: where an earlier start has put results. No pattern matches them, or they would be run again.
    """
    file = Path(sources[0]).expanduser()
    if len(sources) == 1 and (file.exists() or "=" not in sources[0]):
        return from_file(file, Path(folder).expanduser() if folder else file.parent)
    if wrong := [source for source in sources if "=" not in source]:
        raise UsageError(
            f"JOBS: {wrong[0]!r} is not a pattern. Give one file, or patterns such as 'exemplar=cut/*.png'."
        )
    return from_patterns(sources, Path(folder or ".").expanduser(), out)


def from_file(file: Path, folder: Path) -> Jobs:
    ending = file.suffix.lower()
    if not file.is_file():
        raise UsageError(f"JOBS: there is no file {file}.")
    if ending not in ENDINGS:
        raise UsageError(f"JOBS: {file} cannot be read as a table. Supported: {', '.join(ENDINGS)}.")
    columns, rows = {".csv": open_csv, ".parquet": open_parquet}.get(ending, open_json_lines)(file)
    check_columns(file, columns)
    return Jobs(str(file), tuple(columns), rows, folder, sha(file))


def sha(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def check_columns(file: Path, columns: list[str]) -> None:
    if not columns:
        raise UsageError(f"JOBS: {file} is empty.")
    faults = [
        Fault(None, column, "the column appears twice.")
        for column in dict.fromkeys(columns)
        if columns.count(column) > 1
    ]
    if not all(columns):
        faults.append(Fault(None, "", "a column has no name."))
    if faults:
        raise Faults(faults)


def open_csv(file: Path):
    def lines() -> Iterator[list[str]]:
        try:
            with file.open(encoding="utf-8-sig", newline="") as content:
                begin, header = 0, content.readline()
                # A spreadsheet's table may begin below empty rows, or below a line that names its separator.
                while header and (header.startswith("sep=") or not header.strip(",;\t\r\n ")):
                    begin, header = content.tell(), content.readline()
                # Spreadsheets write semicolons where the comma is in numbers.
                plain = re.sub('"[^"]*"', "", header)
                content.seek(begin)
                separator = max(",;\t", key=plain.count)
                yield from csv.reader(content, delimiter=separator, skipinitialspace=True, strict=True)
        except UnicodeDecodeError:
            raise UsageError(f"JOBS: {file} is not in UTF-8; save it as CSV UTF-8.") from None
        except csv.Error as error:
            raise UsageError(f"JOBS: {file} cannot be read as CSV: {error}.") from None

    header = [name.strip() for name in next(lines(), [])]
    columns = without_empty_end(header)

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        cells = (line for line in itertools.islice(lines(), 1, None) if any(line))
        for row, line in enumerate(map(without_empty_end, cells), 1):
            if len(line) > len(header):
                found = f"the row has {len(line)} cells, but there are {len(columns)} columns"
                message = f"{found}; is a text with a separator not quoted?"
                raise Faults([Fault(row, "", message)])
            if len(line) > len(columns):
                raise Faults([Fault(row, "", f"the column of {line[-1]!r} has no name.")])
            yield row, {name: cell for name, cell in zip(columns, line, strict=False) if cell != ""}

    return columns, rows


def without_empty_end(cells: list[str]) -> list[str]:
    """Spreadsheets write a row's cells as far as any row of the sheet was ever filled."""
    while cells and not cells[-1]:
        cells = cells[:-1]
    return cells


def open_json_lines(file: Path):
    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with file.open(encoding="utf-8-sig") as content:
                lines = (line for line in content if line.strip())
                for row, line in enumerate(lines, 1):
                    yield row, plain_cells(row, json_object(row, line))
        except UnicodeDecodeError:
            raise UsageError(f"JOBS: {file} is not in UTF-8.") from None

    columns: dict[str, None] = {}
    for _, cells in rows():
        columns.update(dict.fromkeys(cells))
    return list(columns), rows


def json_object(row: int, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise Faults([Fault(row, "", f"the line is not JSON: {error}.")]) from None
    if not isinstance(found, dict):
        raise Faults([Fault(row, "", "the line is not a JSON object with a value for each column.")])
    return found


def plain_cells(row: int, cells: dict[str, Any]) -> dict[str, Any]:
    """The cells that are there. Raises Faults for one that is not text, a number or a truth value."""
    found = {name: value for name, value in cells.items() if value is not None and value != ""}
    for name, value in found.items():
        if not isinstance(value, (str, int, float, bool)):
            raise Faults([Fault(row, name, "the cell is not text, a number, or true/false.")])
    return found


def open_parquet(file: Path):
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"JOBS: reading {file} needs a package: pip install pyarrow.") from None

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        row = 0
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(4096):
                for cells in batch.to_pylist():
                    row += 1
                    yield row, plain_cells(row, cells)

    try:
        return list(pyarrow.parquet.read_schema(file).names), rows
    except pyarrow.ArrowInvalid as error:
        raise UsageError(f"JOBS: {file} cannot be read as Parquet: {error}.") from None


def from_patterns(sources: list[str], folder: Path, out: Path | None) -> Jobs:
    patterns = dict(source.split("=", 1) for source in sources)
    if len(patterns) < len(sources):
        raise UsageError("JOBS: two patterns are for the same column.")
    files = {column: matching(column, pattern, folder, out) for column, pattern in patterns.items()}
    digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        for row, names in enumerate(itertools.product(*files.values()), 1):
            yield row, dict(zip(files, names, strict=True))

    return Jobs(" ".join(sources), tuple(files), rows, folder, digest)


def matching(column: str, pattern: str, folder: Path, out: Path | None) -> list[str]:
    """The files of a pattern, relative to the folder and sorted. Raises UsageError where there is none.

    out: see `read_jobs`.
    """
    results = None if out is None else out.resolve()
    try:
        files = (file for file in folder.glob(pattern) if file.is_file())
        found = sorted(file.relative_to(folder).as_posix() for file in files if results not in file.resolve().parents)
    except (ValueError, NotImplementedError):
        # The latter is what `glob` raises for an absolute pattern.
        raise UsageError(
            f"JOBS: {column}={pattern}: give a pattern relative to {folder}, which --inputs sets."
        ) from None
    if not found:
        raise UsageError(f"JOBS: {column}={pattern} matches no file in {folder}.")
    return found
