"""The window that a model works in: by hand, and what holds for every image, mask and size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.pixels.crop_window import (
    AREA,
    EXACT,
    LONGEST_SIDE,
    MOST_ASPECT,
    NO_RESIZE,
    CropWindow,
    WorkingSize,
    crop_window,
)
from phd_ops.pixels.geometry import Box, Margins, Size

SIDES = st.integers(1, 700)
STRIPE = Size(3442, 512)


def window_of(subject, scene, side=128, context=1.6, keep=None, **size):
    return crop_window(subject, scene, WorkingSize(side=side, **size), context, keep)


def test_a_crop_window_by_hand():
    # Side ceil(40 * 2.5) = 100, centered on (120, 70); works at 128.
    window = window_of(Box(100, 50, 40, 40), Size(400, 300), context=2.5)
    assert (window.box, window.target) == (Box(70, 20, 100, 100), Size(128, 128))


def test_a_crop_window_always_shows_some_scene():
    # 16 px on every side, even where no context was asked for.
    assert window_of(Box(100, 50, 40, 40), Size(400, 300), context=1).box == Box(84, 34, 72, 72)


def test_a_crop_window_slides_inside_the_scene():
    assert window_of(Box(380, 0, 20, 40), Size(400, 300), context=2).box == Box(320, 0, 80, 80)


def test_a_crop_window_keeps_the_shape_of_a_narrow_scene():
    # All of it at about 200^2 pixels is 100 x 400; 100 = 12.5 x 8 goes to the even multiple.
    window = window_of(Box(0, 0, 100, 400), Size(100, 400), side=200, context=1)
    assert (window.box, window.target) == (Box(0, 0, 100, 400), Size(96, 400))


@pytest.mark.parametrize(("side", "target"), [(512, (1024, 256)), (1024, (2048, 512))])
def test_a_stripe_gets_a_short_side_of_half_the_models_and_keeps_its_shape(side, target):
    window = window_of(Box(0, 0, *STRIPE), STRIPE, side=side)
    assert window.target == target
    assert window.box == Box(0, -174, 3442, 860) and window.margins == Margins(0, 174, 0, 174)
    assert window.stretch < 0.001


def test_a_stripe_gets_no_margin_where_less_context_will_do():
    window = window_of(Box(1000, 200, 2000, 100), STRIPE, side=512)
    assert window.box == Box(968, 0, 2048, 512) and not any(window.margins)
    assert window.target == (1024, 256)


def test_a_mask_like_a_stripe_takes_more_of_a_large_scene():
    window = window_of(Box(100, 1000, 3442, 512), Size(4000, 3000), side=512)
    assert window.box == Box(0, 0, 4000, 3000)
    assert window.target == (592, 440)


def test_a_margin_is_never_larger_than_memory_allows():
    window = window_of(Box(0, 0, 100_000, 10), Size(100_000, 10))
    assert window.box == Box(0, 0, 100_000, 10) and window.stretch > 1


@pytest.mark.parametrize(
    ("subject", "exact", "box"),
    [
        # Context 2: twice the longer side; the other one follows the shape.
        (Box(1000, 1000, 300, 200), (1024, 1024), Box(850, 800, 600, 600)),
        (Box(1000, 1000, 300, 200), (1024, 512), Box(750, 900, 800, 400)),
        (Box(1000, 1000, 300, 200), (512, 1024), Box(850, 500, 600, 1200)),
        # It slides to stay inside.
        (Box(0, 0, 300, 200), (1024, 1024), Box(0, 0, 600, 600)),
        # Less context where the shape does not fit otherwise.
        (Box(100, 1000, 1000, 100), (512, 1024), Box(84, 0, 1100, 2200)),
    ],
)
def test_an_exact_size_gives_the_window_its_shape(subject, exact, box):
    window = window_of(subject, Size(2000, 2200), mode=EXACT, exact=Size(*exact), context=2)
    assert window.target == exact and window.stretch < 0.002
    assert window.box == box
    assert not any(window.margins)


def test_where_the_exact_shape_does_not_fit_the_image_gets_margins():
    window = window_of(Box(0, 0, *STRIPE), STRIPE, mode=EXACT, exact=Size(1024, 1024))
    assert window.box == Box(0, -1465, 3442, 3442) and window.target == (1024, 1024)
    assert window.margins == Margins(0, 1465, 0, 1465)


def test_a_shape_that_would_be_nearly_all_margin_is_refused_with_the_sizes():
    with pytest.raises(ValueError, match=r"^width is 64 and height 8192: .*3442×440576 pixels.*3442×512 with its"):
        window_of(Box(0, 0, *STRIPE), STRIPE, mode=EXACT, exact=Size(64, 8192))


def test_the_longest_side_is_the_side():
    window = window_of(Box(0, 0, 600, 300), Size(600, 300), side=512, mode=LONGEST_SIDE)
    assert window.target == (512, 256)


def test_without_resizing_the_window_grows_to_whole_multiples():
    window = window_of(Box(100, 50, 41, 41), Size(400, 300), mode=NO_RESIZE, context=2.5, multiple=16)
    assert window.target == window.box.size == (112, 112)
    assert not any(window.margins)
    # Where the image ends it reaches beyond.
    window = window_of(Box(0, 0, 50, 50), Size(50, 61), mode=NO_RESIZE, multiple=16)
    assert window.target == window.box.size == (64, 64)
    assert window.margins == Margins(7, 2, 7, 1)


def test_a_window_also_holds_what_it_is_to_keep():
    window = window_of(Box(100, 100, 50, 50), Size(2000, 1000), keep=Box(1500, 500, 20, 30))
    assert window.box == Box(84, 84, 1436, 446)


@given(
    st.data(), SIDES, SIDES, st.floats(1, 4), st.sampled_from([8, 16, 32]),
    st.sampled_from([AREA, LONGEST_SIDE, NO_RESIZE, EXACT]), st.booleans(),
)  # fmt: skip
def test_every_window_holds_what_it_must_in_the_shape_that_was_asked_for(
    data, width, height, context, multiple, mode, keeps
):
    scene = Size(width, height)

    def box():
        x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
        return Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))

    subject, keep = box(), box() if keeps else None
    exact = Size(*(8 * data.draw(st.integers(8, 64)) for _ in range(2)))
    size = WorkingSize(mode, 256, exact, multiple)
    window = crop_window(subject, scene, size, context, keep)
    for held in filter(None, (subject, keep)):
        assert held.within(window.box) == held
    # Beyond the scene only as far as the scene is too small.
    if window.box.width <= width:
        assert not window.margins.left and not window.margins.right
    if window.box.height <= height:
        assert not window.margins.top and not window.margins.bottom
    ratio = window.box.width / window.box.height
    if mode == EXACT:
        assert window.target == exact
        # To whole pixels.
        assert (
            abs(window.box.width - window.box.height * exact.width / exact.height)
            <= 0.5 * (1 + exact.width / exact.height) + 1
        )
    else:
        assert all(side >= multiple and side % multiple == 0 for side in window.target)
    if mode == NO_RESIZE:
        assert window.target == window.box.size
    elif mode != EXACT:
        assert (
            1 / MOST_ASPECT - 1 / window.box.height
            <= ratio
            <= MOST_ASPECT + 0.5 * (1 + MOST_ASPECT) / window.box.height
        )


@pytest.mark.parametrize("repeat", [True, False])
def test_beyond_the_image_its_edges_repeat_or_there_is_nothing(repeat):
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    window = CropWindow(Box(-1, -2, 6, 4), Size(6, 4), Size(4, 3))
    wanted = np.pad(image, ((2, 0), (1, 1)), "edge" if repeat else "constant")[:4]
    assert np.array_equal(window.cut(image, repeat=repeat), wanted)
    inside = CropWindow(Box(1, 1, 2, 2), Size(2, 2), Size(4, 3))
    assert np.array_equal(inside.cut(image), image[1:3, 1:3])


def test_stretch_is_how_much_more_one_direction_grows():
    assert CropWindow(Box(0, 0, 100, 50), Size(200, 100), Size(100, 50)).stretch == 0
    assert CropWindow(Box(0, 0, 100, 50), Size(210, 100), Size(100, 50)).stretch == pytest.approx(0.05)
