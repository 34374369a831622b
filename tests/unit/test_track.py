"""The track of something through a clip, from boxes."""

import numpy as np
import pytest

from phd_ops.pixels.geometry import Size
from phd_ops.pixels.track import track

SCENE = Size(200, 100)
NONE = [np.nan] * 4


def moving(count=30, step=3.0, side=20.0):
    """Boxes that move evenly to the right."""
    x = 20 + step * np.arange(count)
    return np.column_stack([x, np.full(count, 40.0), np.full(count, side), np.full(count, side)])


def test_a_subject_gets_the_box_s_center_and_area():
    found = track(np.tile([50.0, 30, 40, 10], (3, 1)), SCENE)
    placement = found.place(1, Size(10, 10), SCENE)
    assert (placement.x, placement.y) == (70 / 200, 35 / 100)
    assert placement.size * 100 == pytest.approx(20)


def test_even_motion_stays_as_it_is():
    found = track(moving(), SCENE)
    np.testing.assert_allclose(found.centers[:, 0], 30 + 3 * np.arange(30), atol=1e-9)
    assert found.seen.all()


def test_jittery_boxes_are_smoothed():
    noise = np.random.default_rng(1).normal(size=(60, 4))
    still = np.tile([60.0, 40, 30, 30], (60, 1))
    found = track(still + noise, SCENE)
    raw = np.abs(np.diff((still + noise)[:, 0], 2)).mean()
    assert np.abs(np.diff(found.centers[:, 0], 2)).mean() < 0.1 * raw
    assert np.abs(found.centers - [75, 55]).max() < 1.5


def test_missing_frames_lie_on_the_path():
    boxes = moving()
    boxes[10:15] = NONE
    found = track(boxes, SCENE)
    assert found.seen.all()
    np.testing.assert_allclose(found.centers[:, 0], 30 + 3 * np.arange(30), atol=1e-6)


def test_what_leaves_and_returns_is_not_there_in_between():
    boxes = moving(60, 1)
    boxes[20:40] = NONE
    boxes[:3] = boxes[-2:] = NONE
    found = track(boxes, SCENE)
    assert found.seen.tolist() == [False] * 3 + [True] * 17 + [False] * 20 + [True] * 18 + [False] * 2
    assert found.place(25, Size(10, 10), SCENE) is None


def test_nothing_at_all_is_nowhere():
    found = track(np.full((4, 4), np.nan), SCENE)
    assert not found.seen.any() and found.place(0, Size(5, 5), SCENE) is None


def test_what_the_border_cuts_off_is_still_as_large():
    boxes = moving(40, 5)
    # It leaves at the right: from the 33rd frame on the border cuts it.
    right = np.minimum(boxes[:, 0] + boxes[:, 2], 200)
    cut = np.column_stack([boxes[:, 0], boxes[:, 1], right - boxes[:, 0], boxes[:, 3]])[:36]
    found = track(cut, SCENE)
    np.testing.assert_allclose(found.sides, 20, atol=1e-6)
    np.testing.assert_allclose(found.centers[:, 0], 30 + 5 * np.arange(36), atol=1e-6)


def test_a_cut_is_not_smoothed_over():
    boxes = np.concatenate([moving(12, 1), moving(12, 1) + [100, 0, 0, 0]])
    found = track(boxes, SCENE)
    np.testing.assert_allclose(found.centers[:, 0], boxes[:, 0] + 10, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12])
def test_short_clips_work(count):
    found = track(moving(count), SCENE)
    np.testing.assert_allclose(found.centers[:, 0], 30 + 3 * np.arange(count), atol=1e-9)


def test_ten_thousand_frames_work():
    found = track(np.tile([50.0, 30, 40, 10], (10_000, 1)), SCENE)
    assert found.seen.all() and found.centers.shape == (10_000, 2)
