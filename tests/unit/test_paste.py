"""Pasting: to the pixel where it can be, without a fringe everywhere."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.geometry import Placement, Size, bounding_box, random_placement
from phd_ops.masks import grow
from phd_ops.paste import (
    LEAST_ALPHA,
    estimate_foreground,
    extend,
    paste,
    resample,
    shadow_ellipse,
    subject_box,
    warp_exemplar,
)

RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


def picture(width, height, seed=0):
    # Of 8 bits, whose fractions show every rounding; random floats are dyadic and would hide it.
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32) / 255


def smooth_picture(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([0.5 + 0.4 * np.sin(x / 9), 0.5 + 0.4 * np.cos(y / 7), (x + y) / (width + height)], -1).astype(
        np.float32
    )


def rectangle(width, height, x, y, w, h):
    matte = np.zeros((height, width), np.float32)
    matte[y : y + h, x : x + w] = 1
    return matte


def disc(side, radius, ramp=0.0):
    """A matte whose edge is hard, or a linear ramp of `ramp` pixels."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    inside = radius - np.hypot(x - side / 2, y - side / 2)
    return (np.clip(inside / ramp + 0.5, 0, 1) if ramp else inside > 0).astype(np.float32)


def mixed(matte, subject, background):
    return matte[..., None] * subject + (1 - matte[..., None]) * background


def test_an_identity_placement_pastes_bit_exactly():
    exemplar, scene, matte = picture(40, 30), picture(40, 30, 1), rectangle(40, 30, 10, 5, 20, 12)
    # Box 20 x 12 about (20, 11); longer side 20 of the shorter side 30.
    pasted = paste(scene, exemplar, matte, Placement(20 / 40, 11 / 30, 20 / 30), softness=0)
    assert np.array_equal(pasted.composite, np.where(matte[..., None] == 1, exemplar, scene))
    assert np.array_equal(pasted.matte, matte)
    assert {a.dtype for a in (pasted.composite, pasted.matte)} == {np.dtype(np.float32)}
    control, covered = warp_exemplar(exemplar, matte, Placement(20 / 40, 11 / 30, 20 / 30), Size(40, 30))
    assert np.array_equal(control, exemplar)
    assert covered == 1


def test_a_whole_pixel_shift_copies():
    exemplar, scene, matte = picture(40, 30), picture(50, 30, 1), rectangle(40, 30, 10, 5, 20, 12)
    pasted = paste(scene, exemplar, matte, Placement(33 / 50, 20 / 30, 20 / 30), softness=0)
    expected = scene.copy()
    expected[14:26, 23:43] = exemplar[5:17, 10:30]
    assert np.array_equal(pasted.composite, expected)
    assert np.array_equal(pasted.matte, rectangle(50, 30, 23, 14, 20, 12))


@pytest.mark.parametrize(
    ("rotation", "flip", "turned"),
    [
        (90, False, lambda a: np.rot90(a, 1)),
        (-90, False, lambda a: np.rot90(a, -1)),
        (180, False, lambda a: np.rot90(a, 2)),
        (0, True, np.fliplr),
        (90, True, lambda a: np.rot90(np.fliplr(a), 1)),
        (450, False, lambda a: np.rot90(a, 1)),
    ],
)
def test_right_angles_and_flip_move_pixels_and_mix_none(rotation, flip, turned):
    exemplar, scene, matte = picture(40, 40), picture(64, 64, 1), rectangle(40, 40, 6, 10, 20, 12)
    pasted = paste(scene, exemplar, matte, Placement(0.5, 0.5, 20 / 64, rotation, flip), softness=0)
    part = turned(exemplar[10:22, 6:26])
    height, width = part.shape[:2]
    y, x = 32 - height // 2, 32 - width // 2
    expected = scene.copy()
    expected[y : y + height, x : x + width] = part
    assert pasted.composite == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [0.2, 0.45, 1.3])
def test_centre_and_size_land_where_they_are_told(size):
    scene, exemplar, matte = picture(200, 100), picture(80, 80), rectangle(80, 80, 20, 30, 40, 20)
    pasted = paste(scene, exemplar, matte, Placement(0.4, 0.55, size), softness=0)
    weights = pasted.matte / pasted.matte.sum()
    y, x = np.mgrid[0:100, 0:200] + 0.5
    assert ((weights * x).sum(), (weights * y).sum()) == pytest.approx((80, 55), abs=0.05)
    # 40 px become 100 * size, 20 px half of it.
    assert pasted.matte.sum() == pytest.approx(100 * size * 50 * size, rel=0.04)
    box = bounding_box(pasted.matte, 0.5)
    assert (box.width, box.height) == pytest.approx((100 * size, 50 * size), abs=1)


@pytest.mark.parametrize("x", [-0.3, 0.0, 0.95, 1.3])
def test_what_lies_off_the_canvas_is_clipped_exactly(x):
    # The same paste on a canvas 100 px larger on every side, then cut.
    exemplar, matte, scene = picture(40, 30), disc(30, 12), picture(100, 80, 1)
    matte = np.pad(matte, ((0, 0), (5, 5)))
    large = np.pad(scene, ((100, 100), (100, 100), (0, 0)))
    whole, high = round(x * 100), 41
    # 24 px on the canvas are 24 in the exemplar, and its even-sided box stands on whole pixels.
    clipped = paste(scene, exemplar, matte, Placement(whole / 100, high / 80, 24 / 80), softness=0)
    full = paste(large, exemplar, matte, Placement((whole + 100) / 300, (high + 100) / 280, 24 / 280), softness=0)
    assert np.array_equal(clipped.composite, full.composite[100:180, 100:200])
    assert np.array_equal(clipped.matte, full.matte[100:180, 100:200])


def test_a_subject_wholly_off_the_canvas_leaves_the_scene():
    scene = picture(50, 40)
    pasted = paste(scene, picture(30, 30, 1), disc(30, 10), Placement(3, 0.5, 0.5), softness=2)
    assert np.array_equal(pasted.composite, scene)
    assert not pasted.matte.any()


def test_a_soft_edge_does_not_fade_where_the_canvas_ends():
    # A bust stands flush with the scene's lower border.
    matte = rectangle(40, 40, 10, 10, 20, 30)
    pasted = paste(picture(60, 60), picture(40, 40, 1), matte, Placement(0.5, 45 / 60, 0.5), softness=2)
    assert pasted.matte[30:60, 30] == pytest.approx([*pasted.matte[30:50, 30], *np.ones(10)], abs=1e-5)
    assert pasted.matte[30, 30] < 0.7


@given(
    st.integers(0, 2**32),
    st.floats(-0.2, 1.2),
    st.floats(-0.2, 1.2),
    st.floats(0.05, 2),
    st.floats(-180, 180),
    st.booleans(),
    st.sampled_from([0.0, 0.7, 3.0]),
)
def test_pixels_without_matte_are_the_scenes_own(seed, x, y, size, rotation, flip, softness):
    scene, exemplar = picture(48, 36, seed), picture(40, 30, seed + 1)
    matte = np.pad(disc(30, 10, 4), ((0, 0), (5, 5)))
    pasted = paste(scene, exemplar, matte, Placement(x, y, size, rotation, flip), softness)
    outside = pasted.matte == 0
    assert np.array_equal(pasted.composite[outside], scene[outside])
    assert pasted.matte[~outside].min(initial=1) >= LEAST_ALPHA
    for array in (pasted.composite, pasted.matte):
        assert np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1 + 1e-6


@pytest.mark.parametrize("softness", [0, 1.5, 6])
@pytest.mark.parametrize("rotation", [0, 20])
@pytest.mark.parametrize("ramp", [0, 2, 8, 20])
def test_a_red_subject_cut_from_green_brings_no_green_onto_blue(ramp, rotation, softness):
    matte = disc(96, 30, ramp)
    scene = np.zeros((80, 80, 3), np.float32) + BLUE
    pasted = paste(scene, mixed(matte, RED, GREEN), matte, Placement(0.5, 0.5, 0.6, rotation), softness)
    assert pasted.composite[..., 1].max() < 0.5 / 255
    # Nor darkness: red and blue in the matte's proportions make up the whole.
    assert pasted.composite == pytest.approx(mixed(pasted.matte, RED, BLUE), abs=0.5 / 255)


def test_no_dark_halo_where_the_soft_edge_reaches_far_in_the_exemplar():
    # A tenth of its size: 6 px of softness are 60 in the exemplar, and the edge reaches three times as far.
    white = np.ones((500, 500, 3), np.float32)
    pasted = paste(white[:60, :60], white, rectangle(500, 500, 150, 150, 200, 200), Placement(size=1 / 3), softness=6)
    assert pasted.composite == pytest.approx(1, abs=1e-4)


def test_a_wide_soft_skirt_is_not_cut_off():
    # Opaque in the middle, half transparent far around: a subject with its veil.
    matte = np.maximum(disc(100, 12), 0.4 * disc(100, 45))
    pasted = paste(
        np.zeros((100, 100, 3), np.float32), np.ones((100, 100, 3), np.float32), matte, Placement(size=0.24), 0
    )
    assert pasted.matte == pytest.approx(matte)
    assert pasted.composite[..., 0] == pytest.approx(matte, abs=5e-5)


def test_the_foreground_keeps_opaque_pixels_and_extends_to_the_nearest_colour():
    # Left half red, right half blue, on green.
    matte, image = rectangle(80, 40, 10, 10, 60, 20), np.zeros((40, 80, 3), np.float32) + GREEN
    image[10:30, 10:40], image[10:30, 40:70] = RED, BLUE
    colours = extend(np.dstack([estimate_foreground(image, matte) * matte[..., None], matte]), 3)
    assert np.array_equal(colours[matte == 1], image[matte == 1])
    assert colours[20, 6] == pytest.approx(RED, abs=0.02)
    assert colours[20, 73] == pytest.approx(BLUE, abs=0.02)
    assert colours[..., 1].max() < 0.5 / 255


def test_an_evenly_transparent_subject_takes_the_colours_seen_near_by():
    # Nothing tells glass from what lies behind it; the colour seen is the only fair guess.
    image = smooth_picture(60, 60)
    colours = estimate_foreground(image, np.full((60, 60), 0.5, np.float32))
    assert np.abs(colours - image).max() < 0.12


@pytest.mark.parametrize("softness", [0, 2])
@pytest.mark.parametrize(
    "placement",
    [Placement(0.5, 0.5, 0.5), Placement(0.41, 0.57, 0.31, 33), Placement(0.5, 0.4, 1.1, -120, True)],
)
def test_the_controls_subject_lies_on_the_composites(placement, softness):
    exemplar, matte = smooth_picture(120, 90), np.pad(disc(90, 25, 2), ((0, 0), (20, 10)))
    pasted = paste(picture(100, 100), exemplar, matte, placement, softness)
    core = grow((pasted.matte > 0.999).astype(np.float32), -3) == 1
    assert core.sum() > 100
    control, _ = warp_exemplar(exemplar, matte, placement, Size(100, 100))
    assert np.abs(control - pasted.composite)[core].max() < 0.01


def test_the_control_fills_the_whole_frame_with_the_exemplar():
    exemplar = smooth_picture(40, 40) * 0.5 + 0.5
    control, covered = warp_exemplar(exemplar, disc(40, 10), Placement(0.2, 0.8, 0.2), Size(100, 100))
    assert control.min() > exemplar.min() - 0.02
    # 20 px in the exemplar are 20 in the scene: it reaches from (0, 60) to (40, 100).
    assert covered == pytest.approx(0.16, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_reported_random_placement_gives_the_identical_paste_by_hand(seed):
    scene, exemplar, matte = picture(90, 70), picture(60, 60, 1), disc(60, 20, 3)
    box = subject_box(matte)
    drawn = random_placement(seed, Size(box.width, box.height), Size.of(scene), (0.3, 0.8), 15, True)
    told = Placement(**json.loads(drawn.to_text()))
    first, second = (paste(scene, exemplar, matte, where, 1.5) for where in (drawn, told))
    assert np.array_equal(first.composite, second.composite)
    assert np.array_equal(first.matte, second.matte)


def test_a_reduction_is_antialiased():
    # Stripes finer than the result can show become their mean.
    stripes = np.zeros((128, 128, 3), np.float32)
    stripes[:, ::2] = 1
    matrix = np.array([[0.125, 0, 0], [0, 0.125, 0]])
    assert resample(stripes, matrix, Size(16, 16), 1)[2:-2, 2:-2] == pytest.approx(0.5, abs=0.01)


def test_resampling_puts_pixel_centres_where_the_matrix_says():
    # Twice the size: source x covers destination 2x..2x+2, so a ramp stays the ramp of continuous coordinates.
    ramp = np.repeat(((np.arange(20) + 0.5) / 20)[None], 20, axis=0).astype(np.float32)
    warped = resample(ramp, np.array([[2.0, 0, 0], [0, 2.0, 0]]), Size(40, 40), 1)
    assert warped[20, 6:-6] == pytest.approx(((np.arange(40) + 0.5) / 40)[6:-6], abs=0.004)


def test_the_subjects_box_ignores_faint_specks_unless_there_is_nothing_else():
    matte = rectangle(40, 40, 10, 10, 8, 6)
    matte[35, 35] = 0.3
    assert subject_box(matte) == (10, 10, 8, 6)
    assert subject_box(0.3 * rectangle(40, 40, 10, 10, 8, 6)) == (10, 10, 8, 6)
    assert subject_box(np.zeros((40, 40), np.float32)) is None


def test_an_empty_matte_is_refused_in_words():
    with pytest.raises(ValueError, match="empty"):
        paste(picture(20, 20), picture(20, 20), np.zeros((20, 20), np.float32), Placement(), 1)


def test_inputs_are_left_as_they_were():
    arrays = picture(40, 40), picture(40, 40, 1), disc(40, 12, 3)
    copies = [array.copy() for array in arrays]
    paste(*arrays, Placement(rotation=10), 2)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


def test_a_shadow_lies_at_the_subjects_feet():
    shadow = shadow_ellipse(rectangle(100, 100, 30, 20, 40, 50))
    # Centre (50, 69), half axes .6 * 40 and .12 * 50.
    assert bounding_box(shadow) == (26, 63, 49, 13)
    assert not shadow_ellipse(np.zeros((20, 20), np.float32)).any()
