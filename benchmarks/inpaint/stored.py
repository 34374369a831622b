"""Scores on the demo model that were measured before: one line of JSON for each batch of backgrounds.

A line is used only for the code, weights and settings that it was made with; the key is a hash of them. So a change to
one loop leaves the scores of the others valid, and an interrupted run continues where it stopped. New lines go to
`.cache`; those of a finished benchmark are kept in the repository, so that it takes seconds where nothing has changed.
"""

import ast
import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from devtools.paths import CACHE

PUBLISHED = Path(__file__).resolve().parent / "results" / "demo.jsonl"
MEASURED = CACHE / "bench_inpaint_demo.jsonl"
# What tells a line's run from others, besides the code.
RUN = ("network", "split", "loop", "cfg", "seed", "first")


# A file, or a function where only that matters.
Code = Path | Callable


@functools.cache
def content(code: Code) -> bytes:
    """Code as it is when first asked for, without comments, docstrings and layout; of other files, a hash."""
    if isinstance(code, Path) and code.suffix != ".py":
        return hashlib.sha256(code.read_bytes()).digest()
    text = code.read_text() if isinstance(code, Path) else inspect.getsource(code)
    return ast.dump(without_docstrings(ast.parse(text))).encode()


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree


def key_of(what: dict, code: Iterable[Code]) -> str:
    """16 hexadecimal digits for settings (plain values) and code."""
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    for part in sorted(map(content, code)):
        digest.update(part)
    return digest.hexdigest()[:16]


def read(file: Path) -> dict[str, dict]:
    """The lines of a file, by key."""
    rows = {}
    for line in file.read_text().splitlines() if file.is_file() else []:
        try:
            row = json.loads(line)
            rows[row["key"]] = row
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut off by an interruption
    return rows


class Stored:
    """What the published lines and those of a file have, by key; new ones are appended to the file."""

    def __init__(self, file: Path = MEASURED):
        self.file, self.rows = file, read(PUBLISHED) | read(file)

    def add(self, key: str, row: dict) -> None:
        """Appends a row; it is on disk when this returns."""
        self.rows[key] = {"key": key, **row}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        cut = self.file.is_file() and not self.file.read_text().endswith("\n")
        with self.file.open("a") as lines:
            lines.write(("\n" if cut else "") + json.dumps(self.rows[key]) + "\n")


def publish(rows: Iterable[dict], file: Path = PUBLISHED) -> None:
    """Adds rows to the published ones; a row replaces one of the same run by other code."""
    by_run = {tuple(row[name] for name in RUN): row for row in (*read(file).values(), *rows)}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(by_run[run]) + "\n" for run in sorted(by_run, key=str)))
