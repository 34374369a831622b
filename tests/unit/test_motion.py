"""Motion from points: the simplest model that explains them."""

import numpy as np
import pytest
from motion_support import about_center

from phd_ops.pixels.geometry import Size, mapped
from phd_ops.pixels.motion import agreeing, find_motion
from phd_ops.pixels.register import inverted

SIZE = Size(400, 300)
AFFINE = np.array([[1.01, 0.004, 2.0], [-0.002, 0.99, 1.0]])
TRUE = {
    "shift": inverted(about_center(SIZE, shift=(7.25, -3.5))),
    "zoom and rotation": inverted(about_center(SIZE, 1.02, 0.4, (2, 1))),
    "affine": AFFINE,
}


def points(matrix, noise=0.05, wrong=0.0, seed=0, box=(400, 300), count=300):
    """Moved and still points, with errors of tracking; a share of them is wrong altogether."""
    rng = np.random.default_rng(seed)
    still = rng.uniform(0, 1, (count, 2)) * box
    moved = mapped(inverted(matrix), still) + rng.normal(0, noise, (count, 2))
    false = rng.random(count) < wrong
    moved[false] += rng.uniform(-15, 15, (int(false.sum()), 2))
    return moved, still


@pytest.mark.parametrize("wrong", [0, 0.3])
@pytest.mark.parametrize("model", TRUE)
def test_the_model_that_moved_the_points_is_found(model, wrong):
    moved, still = points(TRUE[model], wrong=wrong)
    motion = find_motion(moved, still, SIZE)
    assert motion.model == model
    corners = np.array([[0, 0], [400, 0], [400, 300], [0, 300]], float)
    assert np.abs(mapped(motion.matrix, mapped(inverted(TRUE[model]), corners)) - corners).max() < 0.05
    assert agreeing(moved, still).mean() == pytest.approx(1 - wrong, abs=0.06)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.3])
def test_noise_is_not_taken_for_a_zoom(noise):
    moved, still = points(np.array([[1, 0, 1.5], [0, 1, 0.0]]), noise)
    assert find_motion(moved, still, SIZE).model == "shift"


def test_points_in_one_corner_do_not_zoom_the_rest():
    moved, still = points(TRUE["zoom and rotation"], noise=0.2, box=(40, 30), count=40)
    assert find_motion(moved, still, SIZE).model == "shift"


def test_too_few_points_or_none_that_agree_are_no_motion():
    moved, still = points(TRUE["shift"], count=8)
    assert find_motion(moved, still, SIZE) is None
    rng = np.random.default_rng(0)
    assert find_motion(rng.uniform(0, 300, (40, 2)), rng.uniform(0, 300, (40, 2)), SIZE) is None
