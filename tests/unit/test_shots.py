"""The frames of a shot are found by what they show, apart from other images."""

import numpy as np
import pytest

from phd_ops.pixels.geometry import Size
from phd_ops.pixels.resample import resize
from phd_ops.pixels.shots import LEAST_FRAMES, Look, find_clips, reference_frames

WIDTH, HEIGHT = 160, 90


def scene(seed, size=(WIDTH, HEIGHT)):
    """Structure on all scales."""
    rng, image = np.random.default_rng(seed), np.zeros((size[1], size[0], 3), np.float32)
    for cell in (5, 15, 40):
        image += resize(rng.random((size[1] // cell + 2, size[0] // cell + 2, 3), np.float32), Size(*size)) - 0.5
    return np.clip(0.5 + 0.25 * image, 0, 1)


def look(background, x=60, side=40, subject=3, brightness=1.0):
    """What tells of a frame with a square subject; None: without one."""
    composite, matte = background.copy(), np.zeros(background.shape[:2], np.float32)
    if subject is not None:
        at = slice(20, 20 + side), slice(x, x + side)
        composite[at], matte[at] = resize(scene(subject, (64, 64)), Size(side, side)), 1
    return Look.of(background * np.float32(brightness), composite, matte)


def panned(frames, step=3, seed=0, **given):
    wide = scene(seed, (WIDTH + step * frames, HEIGHT))
    return [look(np.ascontiguousarray(wide[:, step * n : step * n + WIDTH]), **given) for n in range(frames)]


def test_frames_of_a_moving_camera_are_one_shot():
    assert find_clips(panned(12)) == [range(12)]


def test_a_moving_subject_in_a_still_scene_is_one_shot():
    background = scene(0)
    assert find_clips([look(background, x=30 + 5 * n) for n in range(10)]) == [range(10)]


def test_light_that_drifts_is_no_cut():
    background = scene(0)
    assert find_clips([look(background, brightness=1 - 0.05 * n) for n in range(10)]) == [range(10)]


def test_at_a_cut_a_new_shot_begins():
    assert find_clips([*panned(6), *panned(7, seed=5)]) == [range(6), range(6, 13)]


def test_unrelated_images_are_no_clip():
    assert find_clips([look(scene(seed), subject=20 + seed) for seed in range(12)]) == []


def test_other_subjects_in_one_scene_are_no_clip():
    background = scene(0)
    assert find_clips([look(background, subject=seed) for seed in range(12)]) == []


def test_one_subject_all_over_a_scene_is_no_clip():
    background = scene(0)
    assert find_clips([look(background, x=(0, 100)[n % 2]) for n in range(12)]) == []


def test_runs_of_one_image_are_no_clip():
    assert find_clips([look(scene(0))] * 12) == []


@pytest.mark.parametrize("frames", range(LEAST_FRAMES + 1))
def test_few_frames_are_no_clip(frames):
    assert find_clips(panned(frames)) == ([range(frames)] if frames >= LEAST_FRAMES else [])


def test_a_subject_that_is_gone_for_some_frames_and_returns_stays_in_its_shot():
    background = scene(0)
    shown = [3, 3, 3, None, None, 3, 3, 3]
    looks = [look(background + np.float32(0.01 * n), subject=subject) for n, subject in enumerate(shown)]
    assert find_clips(looks) == [range(8)]


def test_no_images_are_no_clip():
    assert find_clips([]) == []


def test_five_frames_of_every_shot_have_a_reference_and_all_other_images():
    still = look(scene(9), subject=20)
    looks = [*panned(12), still, *panned(LEAST_FRAMES, seed=5)]
    assert reference_frames(looks) == [1, 3, 6, 8, 10, 12, *range(13, 13 + LEAST_FRAMES)]
    assert reference_frames([look(scene(seed), subject=20 + seed) for seed in range(6)]) == list(range(6))
    assert reference_frames([]) == []


def test_frames_that_show_no_subject_have_no_reference():
    background = scene(0)
    looks = [look(background, x=30 + 2 * n, subject=3 if n in (4, 5) else None) for n in range(12)]
    assert reference_frames(looks) == [4, 5]
    assert reference_frames(panned(8, subject=None)) == []
