"""The page of results: the worst first, before and after, and no name that becomes markup."""

import json
import os
import re

import numpy as np
import pytest
from batch_support import images
from PIL import Image

from phd_batch.ledger import JOBS, Ledger
from phd_batch.page import worst_first, write_page
from phd_batch.results import results, write_tables

# Windows has no such names.
ODD = "b&.png" if os.name == "nt" else "<b>&.png"


@pytest.fixture
def folder(tmp_path):
    images(tmp_path / "in", "a.png", ODD)
    images(tmp_path / "images", "1.png", "2.png", "3.png")
    return tmp_path


@pytest.fixture
def ledger(folder):
    ledger = Ledger(folder / "ledger.sqlite")
    found = [
        (1, 2, "a.png", {"identity": 0.9, "neglected": False, "gain": [1.0, 0.5, 2.0], "files": ["images/1.png"]}),
        (
            2,
            2,
            ODD,
            {"identity": 0.95, "neglected": True, "seed": 2**64 - 1, "files": ["images/2.png", "images/3.png"]},
        ),
        (3, 3, "a.png", None),
    ]
    with ledger.changing() as run:
        run(JOBS.format(name="jobs"))
        for row, state, name, result in found:
            cells = json.dumps([["hash.png", str(folder / "in" / name)], 0.5])
            run(
                "INSERT INTO jobs (row, key, cells, state, error, result) VALUES (?, x'00', ?, ?, ?, ?)",
                (row, cells, state, None if result else "no <i>", json.dumps(result) if result else None),
            )
    return ledger


COLUMNS = ("background", "x")


def test_the_page_shows_what_is_wrong_first_and_escapes_names(folder, ledger):
    page, sheet = write_page(folder, ledger, COLUMNS, "background")
    text = page.read_text(encoding="utf-8")
    data = json.loads(re.search(r"data = (\[.*\]);", text)[1])
    assert [entry["row"] for entry in data] == [3, 2, 1]
    assert data[0]["error"] == "no <i>" and "no <i>" not in text and "<b>&" not in text
    assert data[1]["background"].endswith(ODD) and "after" not in data[0]
    for entry in data[1:]:
        before, after = (Image.open(folder / entry[side]) for side in ("before", "after"))
        assert before.size == after.size == (8, 8)
    assert Image.open(sheet).width > 1000


def test_columns_may_have_any_name(folder, ledger):
    columns = ("background", "METADATA <b>&")
    text = write_page(folder, ledger, columns, "background")[0].read_text(encoding="utf-8")
    shown, data = re.search(r"const shown = (\[.*?\]), data = (\[.*\]);", text).groups()
    assert json.loads(shown)[:2] == [*columns] and len(json.loads(data)) == 3 and "<b>&" not in text


def test_a_thumbnail_follows_its_image(folder, ledger):
    def shown():
        write_page(folder, ledger, COLUMNS, "background")
        return int(np.asarray(Image.open(folder / "thumbnails" / "1.jpg"))[0, 0, 0])

    assert shown() < 20
    Image.new("RGB", (8, 8), (250, 7, 9)).save(folder / "images" / "1.png")
    assert shown() > 230


def test_a_thumbnail_of_a_photo_is_upright(folder, ledger):
    """As the result is, beside which it stands."""
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 20)).save(folder / "in" / "a.png", exif=turned)
    write_page(folder, ledger, ("background", "x"), "background")
    with Image.open(folder / "thumbnails" / "1.before.jpg") as shown:
        assert shown.size == (20, 30)


def test_only_so_many_are_shown():
    rows = ({"row": row, "state": "done", "identity": 1 - row / 1000} for row in range(1000))
    assert [row["row"] for row in worst_first(rows, 3)] == [999, 998, 997]


def test_the_tables_have_the_report_and_its_types(folder, ledger):
    paths = write_tables(folder, ledger, COLUMNS)
    lines = paths[0].read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("row,state,file,background,x,gain,identity,neglected,suppressed,drift,")
    assert "1 0.5 2" in lines[1] and "images/3.png" in lines[2] and ",0.5," in lines[3]
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is optional")
    table = parquet.read_table(folder / "results.parquet").to_pylist()
    assert table[0]["identity"] == 0.9 and table[0]["gain"] == [1.0, 0.5, 2.0] and table[0]["neglected"] is False
    # No whole number of Parquet is so large.
    assert table[1]["seed"] == str(2**64 - 1) and table[2]["identity"] is None
    assert len(list(results(ledger, COLUMNS))) == 3
