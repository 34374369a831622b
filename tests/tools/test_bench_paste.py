"""`dev.py bench paste --quick`: the figures that do not depend on the machine hold, at small sizes too."""

import json

import numpy as np
import pytest
from bench_support import ran
from PIL import Image

from benchmarks.paste.run import TIMES, WANTED, holds, main


@pytest.fixture(scope="module")
def benchmark(comfyui, tmp_path_factory):
    """Exit status, what was printed, and the folder with the contact sheet."""
    return ran(main, tmp_path_factory.mktemp("bench_paste"))


def test_the_last_line_is_json_with_all_figures(benchmark):
    _, printed, _ = benchmark
    figures = json.loads(printed[-1])
    assert set(WANTED) <= set(figures)
    assert all(isinstance(value, bool) or np.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("name", [name for name in WANTED if name not in TIMES])
def test_paste_figure_is_within_its_bound(benchmark, name):
    figures = json.loads(benchmark[1][-1])
    assert holds(name, figures[name]), figures[name]


def test_the_exit_status_is_0_where_all_exact_figures_hold(benchmark):
    figures = json.loads(benchmark[1][-1])
    assert benchmark[0] == (0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1)


def test_the_table_names_the_rivals(benchmark):
    printed = "\n".join(benchmark[1])
    for rival in ("core GrowMask", "cv2.warpAffine", "ImageCompositeMasked", "Pillow", "cv2.seamlessClone"):
        assert rival in printed


def test_the_contact_sheet_is_an_image(benchmark):
    sheet = Image.open(benchmark[2] / "bench_paste.png")
    assert sheet.width > 1000 and np.asarray(sheet).std() > 10
