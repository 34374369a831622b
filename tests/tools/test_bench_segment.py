"""`dev.py bench segment --quick`: with few and small images, too, all bounds but those on times hold."""

import json

import numpy as np
import pytest
from bench_support import has_sprites, ran
from PIL import Image

from benchmarks.segment import backends, sam, scores
from benchmarks.segment.run import TIMES, WANTED, holds, main
from phd_ops.segmenters.prompt import Prompt
from relit_scenes.draw import draw_scene
from relit_scenes.render import render_scene
from training.segmenter import intersection_over_union

SEGMENTERS = ["grabcut", "u2netp", "u2netp, then grabcut", "deeplab (demo weights)"]


@pytest.fixture(scope="module")
def benchmark(comfyui, tmp_path_factory):
    """Exit status, printed lines, and the folder with the images."""
    if not has_sprites():
        pytest.skip("the npm package with the sprites cannot be had here")
    return ran(main, tmp_path_factory.mktemp("bench_segment"))


@pytest.fixture(scope="module")
def figures(benchmark):
    return json.loads(benchmark[1][-1])


def test_the_last_line_is_json_with_all_figures(figures):
    assert set(WANTED) <= set(figures)
    for table in ("iou", "iou_photographs", "edge"):
        assert list(figures[table]) == SEGMENTERS
    assert np.isfinite(list(figures["iou"].values())).all()


@pytest.mark.parametrize("name", [name for name in WANTED if name not in TIMES])
def test_segment_figure_is_within_its_bound(figures, name):
    assert holds(name, figures[name]), figures[name]


def test_the_exit_status_is_0_where_all_figures_but_times_hold(benchmark, figures):
    assert benchmark[0] == (0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1)


def test_refine_edge_makes_the_edge_of_every_segmenter_truer(figures):
    assert all(edge["gain"] > 0.1 for edge in figures["edge"].values())


def test_the_cost_of_prompts_is_measured(figures):
    assert figures["sam_first"] > 0 and figures["sam_next"] > 0 and figures["sam_peak_megabytes"] >= 0


def test_the_sam_part_runs_by_itself_and_prints_a_line_of_json(comfyui, capsys):
    assert sam.main(["small"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])) == {"first", "next", "peak_megabytes"}


def test_the_sam_of_published_size_runs_in_a_process_of_its_own(monkeypatch):
    asked = []

    def fresh(*command):
        asked.append(command)
        return {"first": 2.0, "next": 0.5, "peak_megabytes": 7.0}

    monkeypatch.setattr(sam, "in_fresh_process", fresh)
    _, figures = sam.measure(quick=False)
    assert asked == [("benchmarks.segment.sam",)]
    assert figures == {"reprompt_speedup": 4, "sam_first": 2, "sam_next": 0.5, "sam_peak_megabytes": 7}


def test_a_segmenter_is_asked_once_for_the_same_image_and_box():
    calls = []

    def find(image, prompt):
        calls.append(prompt.box)
        return image[..., 0]

    find_once, image = backends.remembered(find), np.full((4, 4, 3), 0.5, np.float32)
    for box in ((0, 0, 2, 2), (0, 0, 2, 2), (1, 1, 2, 2)):
        # What a caller does to its mask does not reach the next one.
        find_once(image, Prompt(box=box))[:] = 9
    assert calls == [(0, 0, 2, 2), (1, 1, 2, 2)]
    assert (find_once(image, Prompt(box=(0, 0, 2, 2))) == 0.5).all()
    assert (find_once(image + 0.25, Prompt(box=(0, 0, 2, 2))) == 0.75).all()


def test_the_images_are_drawn(benchmark):
    sheet = Image.open(benchmark[2] / "bench_segment.png")
    assert sheet.width > 1000 and np.asarray(sheet).std() > 10


def test_overlap_and_edge_error_by_hand():
    truth = np.zeros((40, 40), np.float32)
    truth[10:30, 10:30] = 1
    shifted = np.roll(truth, 10, axis=1)
    assert intersection_over_union(truth, truth) == 1
    assert intersection_over_union(shifted, truth) == pytest.approx(1 / 3)
    assert scores.edge_error(truth, truth) == 0
    assert scores.edge_error(1 - truth, truth) == 1
    far = truth.copy()
    far[0, 0] = 1
    assert scores.edge_error(far, truth) == 0


def test_the_demo_s_deeplab_finds_held_out_subjects(comfyui):
    segmenter = backends.from_file(backends.DEMO_DEEPLAB)
    overlaps = []
    for seed in range(8):
        scene = render_scene(draw_scene(seed, "test", "mixed", kinds=("solid",)), 192)
        found = segmenter.find(scene.exemplar.astype(np.float32), Prompt(class_name="subject"))
        overlaps.append(intersection_over_union(found, scene.exemplar_matte))
    assert np.mean(overlaps) >= 0.75, overlaps
    assert backends.DEMO_DEEPLAB.stat().st_size < 4e6
