"""`dev.py bench canvas --quick`: all its figures are there, and those that are not times are within their bounds."""

import contextlib
import io
import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks.canvas.run import TIMES, WANTED, holds, main

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def benchmark(server, chromium, tmp_path_factory):
    """Exit status, what was printed, and the folder with the screenshot."""
    folder = tmp_path_factory.mktemp("bench_canvas")
    with chromium.new_window(), contextlib.redirect_stdout(io.StringIO()) as printed:
        status = main(["--quick", "--out", str(folder)], (chromium, server))
    return status, printed.getvalue().splitlines(), folder


def test_the_last_line_is_json_with_all_figures(benchmark):
    figures = json.loads(benchmark[1][-1])
    assert set(WANTED) <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("name", [name for name in WANTED if name not in TIMES])
def test_a_figure_that_is_not_a_time_is_within_its_bound(benchmark, name):
    assert holds(name, json.loads(benchmark[1][-1])[name])


def test_the_exit_status_is_0_when_all_figures_that_are_not_times_hold(benchmark):
    figures = json.loads(benchmark[1][-1])
    assert benchmark[0] == (0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1)


def test_the_screenshot_is_an_image(benchmark):
    (path,) = benchmark[2].glob("bench_canvas_*.png")
    assert np.asarray(Image.open(path)).std() > 10
