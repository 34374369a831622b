"""Writes the tables of docs/benchmarks.md that are made of stored figures: `python3 dev.py docs`.

A benchmark whose figures are stored has a module `docs` with a function `tables()`, Markdown by name. Each table lies
in the page between two marks with its name; the text around them is written by hand.
"""

from devtools.paths import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


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
