"""docs/benchmarks.md and the stored figures agree: `dev.py docs` writes the page's tables of them."""

import csv
import importlib
import re
import shutil

import pytest

import dev
from benchmarks.common import docs as page
from benchmarks.quality import docs as quality_docs
from devtools.paths import ROOT

FOLDERS = sorted(file.parent.name for file in (ROOT / "benchmarks").glob("*/docs.py") if file.parent.name != "common")


@pytest.mark.parametrize("name", FOLDERS)
def test_the_page_shows_the_stored_figures(name):
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text, importlib.import_module(f"benchmarks.{name}.docs").tables()) == text


def test_every_marked_table_of_the_page_is_written_by_a_benchmark():
    marked = re.findall(r"<!-- (.+): written by python3 dev.py docs -->", page.PAGE.read_text(encoding="utf-8"))
    tables = [name for folder in FOLDERS for name in importlib.import_module(f"benchmarks.{folder}.docs").tables()]
    assert sorted(marked) == sorted(tables)


@pytest.mark.parametrize(("file", "column"), [("quality.csv", "worse"), ("consistency.csv", "seed_change")])
def test_another_stored_figure_gives_another_page(tmp_path, file, column):
    shutil.copytree(quality_docs.RESULTS, tmp_path / "results", ignore=lambda *_: ["images"])
    rows = quality_docs.read(tmp_path / "results" / file)
    shown = next(row for row in rows if row["method"] == "single_defaults")
    shown[column] = "0.123"
    with (tmp_path / "results" / file).open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(shown))
        writer.writeheader()
        writer.writerows(rows)
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text, quality_docs.tables(tmp_path / "results")) != text


def test_a_table_goes_between_its_marks_and_nothing_else_changes():
    first, last = page.marks("mine")
    text = f"before\n\n{first}\nold\n{last}\n\nafter\n"
    assert page.with_tables(text, {"mine": "| new |\n"}) == f"before\n\n{first}\n| new |\n{last}\n\nafter\n"


def test_a_table_without_marks_is_an_error():
    with pytest.raises(ValueError, match="for the table 'mine'"):
        page.with_tables("a page without marks\n", {"mine": "| new |\n"})


def test_docs_takes_no_arguments(capsys):
    assert dev.main(["docs", "quality"]) == 2
    assert "docs takes no arguments" in capsys.readouterr().err
