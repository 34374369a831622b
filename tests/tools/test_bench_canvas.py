"""`dev.py bench canvas --quick`: its figures are there, and those that are no times hold."""

import contextlib
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks.canvas.run import SCRIPTS, TIMES, WANTED, holds, main, measure_code


def test_the_browsers_code_is_small():
    section = measure_code()
    assert holds("gzip_kb", section.figures["gzip_kb"])
    assert ("files", f"{len(list(SCRIPTS.iterdir())):9d}") in section.rows


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Exit status, what was printed, and the folder with the screenshot."""
    folder = tmp_path_factory.mktemp("bench_canvas")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        status = main(["--quick", "--out", str(folder)])
    if status == 2:
        pytest.skip("needs a full ComfyUI with its server, chromium and chromedriver")
    return status, printed.getvalue().splitlines(), folder


@pytest.mark.e2e
def test_the_last_line_is_json_with_all_figures(benchmark):
    figures = json.loads(benchmark[1][-1])
    assert set(WANTED) <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())


@pytest.mark.e2e
@pytest.mark.parametrize("name", [name for name in WANTED if name not in TIMES])
def test_figure_holds(benchmark, name):
    assert holds(name, json.loads(benchmark[1][-1])[name])


@pytest.mark.e2e
def test_the_status_says_that_all_exact_figures_hold(benchmark):
    figures = json.loads(benchmark[1][-1])
    assert benchmark[0] == (0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1)


@pytest.mark.e2e
def test_the_screenshot_is_a_image(benchmark):
    (path,) = benchmark[2].glob("bench_canvas_*.png")
    assert np.asarray(Image.open(path)).std() > 10
