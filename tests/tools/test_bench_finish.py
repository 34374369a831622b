"""`dev.py bench finish --quick`: what depends neither on the machine nor on the images' size holds."""

import json

import numpy as np
import pytest
from bench_support import has_sprites, ran
from PIL import Image

from benchmarks.finish.damages import KINDS, changed_outside, motion
from benchmarks.finish.run import QUICK_KINDS, holds, main, scene

pytestmark = pytest.mark.skipif(not has_sprites(), reason="the sprites of RelitScenes are not installed")
EXACT = ("none_equal", "outside_equal", "kinds.shift6_tint.ours.worse", "changes_kept", "pose_noticed", "pose_falsely")


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Exit status, what was printed, and the folder with the contact sheet."""
    return ran(main, tmp_path_factory.mktemp("bench_finish"))


def test_the_last_line_is_json_with_every_kind_and_method(benchmark):
    figures = json.loads(benchmark[1][-1])
    for kind in QUICK_KINDS:
        for method in ("mask", "sift", "stitch_before", "ours"):
            for figure in ("fmse_ratio", "identity", "edge", "worse", "outside_equal", "seconds"):
                assert f"kinds.{kind}.{method}.{figure}" in figures


@pytest.mark.parametrize("name", EXACT)
def test_finish_figure_is_within_its_bound(benchmark, name):
    figures = json.loads(benchmark[1][-1])
    assert holds(name, figures[name]), figures[name]


def test_registration_beats_the_field_s_own_remedies_where_images_move(benchmark):
    figures = json.loads(benchmark[1][-1])
    for rival in ("mask", "sift"):
        for figure in ("fmse_ratio", "edge"):
            ours = figures[f"kinds.shift6_tint.ours.{figure}"]
            assert ours < figures[f"kinds.shift6_tint.{rival}.{figure}"]


def test_losses_are_printed(benchmark):
    # Of a perfect image that did not move, a plain composite by the mask is perfect.
    assert any("LOSS: fMSE" in line for line in benchmark[1])


def test_the_contact_sheet_is_an_image(benchmark):
    sheet = Image.open(benchmark[2] / "bench_finish.png")
    assert sheet.width > 1000 and np.asarray(sheet).std() > 10


@pytest.fixture(scope="module")
def one():
    return scene(0, 128)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "none"])
def test_every_damage_changes_the_truth_and_stays_in_range(one, kind):
    image = KINDS[kind](one)
    assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
    assert image.shape != one.truth.shape or not np.array_equal(image, one.truth)


def test_motion_is_given_in_pixels_of_1024():
    image = np.zeros((512, 512, 3), np.float32)
    image[100, 100] = 1
    assert motion(image, shift=(6, -4))[98, 103].min() == 1


def test_the_new_shadow_reaches_beyond_the_mask(one):
    new = changed_outside(KINDS["shadow_outside"](one), one)
    assert new.mean() > 0.02
    assert not new[one.harmonize_mask > 0].any()
