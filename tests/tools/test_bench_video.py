"""`dev.py bench video --quick`: what does not depend on the machine holds on small clips too."""

import json

import numpy as np
import pytest
from bench_support import has_sprites, ran
from PIL import Image

from benchmarks.video.run import TIMES, WANTED, holds, main

pytestmark = pytest.mark.skipif(not has_sprites(), reason="the sprites of RelitScenes are not installed")
# Their processes take longer than all else.
LEFT_OUT = ("memory_frames", "memory_8192_gib")


@pytest.fixture(scope="module")
def benchmark(comfyui, tmp_path_factory):
    return ran(main, tmp_path_factory.mktemp("bench_video"))


def test_the_last_line_is_json_with_all_figures(benchmark):
    figures = json.loads(benchmark[1][-1])
    assert set(WANTED) - set(LEFT_OUT) <= set(figures)
    assert all(isinstance(value, bool) or np.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("name", [name for name in WANTED if name not in TIMES])
def test_video_figure_is_within_its_bound(benchmark, name):
    figures = json.loads(benchmark[1][-1])
    assert holds(name, figures[name]), figures[name]
    assert benchmark[0] == 0


def test_the_table_names_the_rival_and_both_ways_to_read_light(benchmark):
    printed = "\n".join(benchmark[1])
    for row in ("crop and paste-back alone", "each frame by itself", "steady"):
        assert row in printed


def test_light_over_time_and_a_path_are_drawn(benchmark):
    with Image.open(benchmark[2] / "bench_video.png") as image:
        assert min(image.size) > 400 and len(image.convert("RGB").getcolors(2**20)) > 50
