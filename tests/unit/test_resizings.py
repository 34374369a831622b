"""The exact ways in which models resize images."""

import numpy as np
import pytest

from phd_ops.pixels.geometry import Box, Size, mapped
from phd_ops.pixels.resizings import is_stretched, resizings


def shown(way, returned):
    """The part of the given image that a returned image of this size shows: left, top, right, bottom."""
    (left, top), (right, bottom) = mapped(way.matrix, Box(0, 0, *returned).corners[[0, 2]])
    return [float(round(value, 6)) for value in (left, top, right, bottom)]


CASES = [
    # given, returned, how, the part that is shown
    ((100, 80), (100, 80), "same size", [0, 0, 100, 80]),
    ((100, 80), (50, 40), "resized", [0, 0, 100, 80]),
    ((1000, 750), (992, 736), "cut to the grid", [4, 7, 996, 743]),
    ((1000, 750), (992, 736), "cut to the grid", [0, 0, 992, 736]),
    # A square of 750 from the middle.
    ((1000, 750), (1024, 1024), "cropped", [125, 0, 875, 750]),
    # 1184 by 880, a size of FLUX Kontext, of an image of 1000 by 752: its height shrinks to 743.2, so 4 rows go on
    # either side.
    ((1000, 752), (1184, 880), "cropped", [0, 4, 1000, 748]),
    # A quarter of the square is padding.
    ((400, 300), (800, 800), "padded", [0, -50, 400, 350]),
    ((400, 300), (800, 800), "padded", [0, 0, 400, 400]),
    # About a megapixel is 1182 by 887, of which 1168 by 880 are left by cells of 16.
    ((400, 300), (1168, 880), "cut to the grid", [7 * 400 / 1182, 3 * 300 / 887, 1175 * 400 / 1182, 883 * 300 / 887]),
]


@pytest.mark.parametrize(("given", "returned", "how", "part"), CASES)
def test_the_ways_of_resizing_show_the_parts_that_nodes_show(given, returned, how, part):
    found = [shown(way, returned) for way in resizings(Size(*returned), Size(*given)) if way.how == how]
    assert any(np.allclose(one, part, atol=1e-4) for one in found), found


def test_an_image_of_the_given_size_was_not_resized():
    (way,) = resizings(Size(64, 48), Size(64, 48))
    assert way.how == "same size" and np.array_equal(way.matrix, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize(
    ("returned", "stretched"), [((1000, 750), False), ((992, 736), False), ((500, 375), False), ((750, 750), True)]
)
def test_a_shape_that_no_rounding_explains_is_stretched(returned, stretched):
    assert is_stretched(Size(*returned), Size(1000, 750)) is stretched
