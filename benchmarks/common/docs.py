"""Figures of whole runs, and the tables of docs/benchmarks.md that `python3 dev.py docs` makes of them.

A benchmark keeps the figures of its last whole run in benchmarks/NAME/results, most of them in figures.json. Its
module `docs` has a function `tables()`, Markdown by name. Each table lies in the page between two marks with its name;
the text around them is written by hand. Figures with `"from": "an earlier run"` were printed by the same command before
runs were stored; the next run replaces them.
"""

import importlib
import json
from pathlib import Path

from devtools.paths import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
BENCHMARKS = ROOT / "benchmarks"


def figures_file(name: str) -> Path:
    return BENCHMARKS / name / "results" / "figures.json"


def stored(name: str) -> dict:
    """The figures of a benchmark's last whole run."""
    return json.loads(figures_file(name).read_text(encoding="utf-8"))


def store(name: str, figures: dict, part: str = "") -> None:
    """Keeps the figures of a whole run, in place of those before. Of a part, beside those of the other parts."""
    file = figures_file(name)
    if part:
        figures = (stored(name) if file.is_file() else {}) | {part: figures}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def publish(name: str, figures: dict, part: str = "") -> None:
    """Keeps the figures of a whole run or of a part, and writes the benchmark's tables into the page."""
    store(name, figures, part)
    write(tables_of(name))


def names() -> list[str]:
    """The benchmarks whose tables are written."""
    return sorted(file.parent.name for file in BENCHMARKS.glob("*/docs.py") if file.parent.name != "common")


def tables_of(name: str) -> dict[str, str]:
    return importlib.import_module(f"benchmarks.{name}.docs").tables()


def marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by python3 dev.py docs -->", f"<!-- end of {name} -->"


def with_tables(text: str, tables: dict[str, str]) -> str:
    """The page's text with these tables between their marks. Raises ValueError where a table has none."""
    for name, table in tables.items():
        first, last = marks(name)
        if text.count(first) != 1 or text.count(last) != 1:
            raise ValueError(f"The page needs the lines {first} and {last} once, for the table {name!r}.")
        before, after = text.split(first)[0], text.split(last)[1]
        text = f"{before}{first}\n{table}{last}{after}"
    return text


def write(tables: dict[str, str]) -> None:
    """Writes these tables into the page."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
