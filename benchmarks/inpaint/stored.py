"""Scores on the demo model that were measured before: one line of JSON for each batch of backgrounds.

A line is used only for the code, weights and settings that it was made with; the key is a hash of them. So a change to
one loop leaves the scores of the others valid, and an interrupted run continues where it stopped.
"""

import ast
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "demo.jsonl"


def code_of(files: Iterable[Path]) -> str:
    """Python files as text without comments, docstrings and layout, which change no result."""
    return "\n".join(ast.dump(without_docstrings(ast.parse(file.read_text()))) for file in files)


def without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return tree


def key_of(what: dict, files: Iterable[Path]) -> str:
    """16 hexadecimal digits for settings (plain values), the code of Python files and the content of other files."""
    files = sorted(files)
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode())
    digest.update(code_of(file for file in files if file.suffix == ".py").encode())
    for file in files:
        if file.suffix != ".py":
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Stored:
    """The lines of a file, by key."""

    def __init__(self, file: Path = RESULTS):
        self.file, self.rows = file, {}
        for line in file.read_text().splitlines() if file.is_file() else []:
            try:
                row = json.loads(line)
                self.rows[row["key"]] = row
            except (ValueError, KeyError, TypeError):
                continue  # a line that was cut off by an interruption

    def add(self, key: str, row: dict) -> None:
        """Appends a row; it is on disk when this returns."""
        self.rows[key] = {"key": key, **row}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        cut = self.file.is_file() and not self.file.read_text().endswith("\n") and self.file.stat().st_size > 0
        with self.file.open("a") as lines:
            lines.write(("\n" if cut else "") + json.dumps(self.rows[key]) + "\n")
