"""docs/benchmarks.md and the stored figures agree: `dev.py docs` writes the page's tables of them."""

import copy
import csv
import json
import re
import shutil
from types import SimpleNamespace

import pytest

import dev
from benchmarks.batch import run as batch
from benchmarks.common import docs as page
from benchmarks.common.table import Section
from benchmarks.demo import run as demo
from benchmarks.finish import run as finish
from benchmarks.quality import docs as quality_docs
from benchmarks.soak import run as soak

NAMES = page.names()
# Those of quality are in files of rows.
IN_FIGURES = [name for name in NAMES if name != "quality"]
# Columns that name a setting.
SETTINGS = ("cfg", "at most calls")


def test_every_benchmark_with_a_section_has_its_tables_written():
    sections = re.findall(r"(?m)^## (\w+)$", page.PAGE.read_text(encoding="utf-8"))
    assert {section.lower() for section in sections} - {"votes"} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_page_shows_the_stored_figures(name):
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text, page.tables_of(name)) == text


def test_every_table_of_the_page_is_written_by_a_benchmark():
    text = page.PAGE.read_text(encoding="utf-8")
    marked = re.findall(r"<!-- (.+): written by python3 dev.py docs -->", text)
    assert sorted(marked) == sorted(table for name in NAMES for table in page.tables_of(name))
    for mark in marked:
        first, last = page.marks(mark)
        text = text.split(first)[0] + text.split(last)[1]
    # The first table lists the commands.
    assert re.findall(r"(?m)^\|.*\n\|[ |:-]+\|$", text) == ["| command | measures | takes |\n|---|---|---|"]


def figures_in(stored, path=()):
    """The place of every figure, in dicts and lists within each other."""
    if isinstance(stored, (dict, list)):
        for key, value in stored.items() if isinstance(stored, dict) else enumerate(stored):
            yield from figures_in(value, (*path, key))
    elif not isinstance(stored, str):
        yield path


def with_another(stored, path):
    """The stored figures, one of them changed."""
    changed = copy.deepcopy(stored)
    *way, last = path
    holder = changed
    for key in way:
        holder = holder[key]
    holder[last] = not holder[last] if isinstance(holder[last], bool) else 3 * holder[last] + 7
    return changed


def cells(tables):
    """Every cell with a digit in it, but for those that name what is measured, by table, line and column."""
    found = {}
    for name, table in tables.items():
        head, _, *lines = ([cell.strip() for cell in line.split(" | ")] for line in table.splitlines())
        for number, line in enumerate(lines):
            for column, cell in list(enumerate(line))[1:]:
                if re.search(r"\d", cell) and head[column] not in SETTINGS:
                    found[name, number, column] = cell
    return found


@pytest.mark.parametrize("name", IN_FIGURES)
def test_no_figure_of_a_table_stays_when_the_stored_ones_change(name, tmp_path, monkeypatch):
    stored, shown = page.stored(name), cells(page.tables_of(name))
    monkeypatch.setattr(page, "BENCHMARKS", tmp_path)
    (tmp_path / name).mkdir()
    stays = set(shown)
    for path in figures_in(stored):
        page.store(name, with_another(stored, path))
        now = cells(page.tables_of(name))
        stays -= {place for place in stays if now.get(place) != shown[place]}
    assert shown and {place: shown[place] for place in stays} == {}


def test_one_other_stored_figure_is_noticed_until_docs_is_run(tmp_path, monkeypatch):
    for name in ("PAGE", "BENCHMARKS"):
        target = tmp_path / getattr(page, name).name
        copied = shutil.copy if name == "PAGE" else shutil.copytree
        copied(getattr(page, name), target)
        monkeypatch.setattr(page, name, target)
    page.store("paste", page.stored("paste") | {"grow64_ms": 4321.0})
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text, page.tables_of("paste")) != text
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    assert dev.COMMANDS["docs"]([]) == 0
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text, page.tables_of("paste")) == text and "4321.0 ms" in text


# Whole runs and others


def test_a_run_replaces_the_figures_before_and_a_part_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "BENCHMARKS", tmp_path)
    (tmp_path / "mine").mkdir()
    page.store("mine", {"old": 1})
    page.store("mine", {"new": 2})
    assert page.stored("mine") == {"new": 2}
    page.store("mine", {"from": "an earlier run", "speed": 3}, "one")
    page.store("mine", {"speed": 4}, "other")
    page.store("mine", {"speed": 5}, "one")
    assert page.stored("mine") == {"new": 2, "one": {"speed": 5}, "other": {"speed": 4}}


@pytest.fixture
def kept(monkeypatch):
    """What is stored, by benchmark and part, and nothing is written."""
    found = {}
    monkeypatch.setattr(page, "store", lambda name, figures, part="": found.update({(name, part): figures}))
    monkeypatch.setattr(page, "write", lambda tables: None)
    return found


def test_a_part_of_bench_batch_is_kept_where_it_is_whole(kept, monkeypatch, capsys):
    figures = {"overhead_per_job_ms": 1.23456, "overhead_server_ms": 2.0, "ray_overhead_ms": 3.0}
    monkeypatch.setattr(batch, "measured", lambda part, quick: Section(part, figures=dict(figures)))
    batch.main(["--quick"])
    assert kept == {}
    batch.main(["--part", "timing"])
    assert kept == {("batch", "timing"): figures | {"overhead_per_job_ms": 1.235}}
    kept.clear()
    # Without Ray.
    del figures["ray_overhead_ms"]
    batch.main(["--part", "timing"])
    assert kept == {} and json.loads(capsys.readouterr().out.splitlines()[-1])["overhead_server_ms"] == 2


def test_interrupts_on_a_named_side_are_kept_of_a_quick_run_too(kept, monkeypatch):
    monkeypatch.setattr(soak, "measure_calls", lambda *_: {"calls": 5, "crashes": 1})
    monkeypatch.setattr(soak, "measure_interrupts", lambda _: {"interrupt_p95_s": 0.5})
    monkeypatch.setattr(soak, "measure_server", lambda *_: {"runs": 3, "crashes": 2})
    for arguments in (["--quick"], ["--hours", "1"], ["--seed", "7"]):
        soak.main(arguments)
        assert kept == {}
    soak.main(["--quick", "--side", "8192"])
    assert kept == {("soak", "interrupts, 8192"): {"interrupt_p95_s": 0.5}}
    soak.main([])
    assert set(kept) == {("soak", f"interrupts, {side}") for side in (8192, 2048)} | {
        ("soak", "calls"),
        ("soak", "server"),
    }
    assert kept["soak", "calls"]["crashes"] == 1 and kept["soak", "server"]["crashes"] == 2


def test_bench_demo_is_kept_of_the_demos_own_images_alone(kept, monkeypatch):
    run = SimpleNamespace(seconds={"7": 1.234}, model_calls={"7": 5})
    shown = SimpleNamespace(run=run, titles={"7": "Sampler"}, untouched=0.75, kept=True)
    monkeypatch.setattr(demo, "run", lambda options: shown)
    for name in ("save", "print_table"):
        monkeypatch.setattr(demo, name, lambda *_: None)
    demo.main(["--seed", "3"])
    assert kept == {}
    demo.main([])
    assert kept["demo", ""]["nodes"] == {"Sampler": {"seconds": 1.23, "model_calls": 5}}


def test_kinds_of_damage_are_kept_apart_and_what_all_have_together_only_of_all():
    figures = {f"kinds.{kind}.ours.edge": 0.5 for kind in finish.KINDS}
    figures |= {name: 1 for names in finish.EXTRAS.values() for name in names} | dict.fromkeys(finish.TOGETHER, 2)
    some = finish.parts_of(figures, 1024, ["none", "tint"])
    assert some == {
        "1024, none": {"scenes": 24, "ours.edge": 0.5, "none_equal": 1},
        "1024, tint": {"scenes": 24, "ours.edge": 0.5},
    }
    assert finish.parts_of(figures, 512, list(finish.KINDS))["512, all kinds"] == dict.fromkeys(finish.TOGETHER, 2)


# Tables and marks


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
