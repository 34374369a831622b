"""Pasting: to the pixel where it can be, without a fringe everywhere."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_support import disc

from phd_ops.pixels.blend import alpha_over
from phd_ops.pixels.foreground import extend, is_mixed, is_photo, premultiplied, soft_colors, times_alpha
from phd_ops.pixels.geometry import Placement, Size, bounding_box, random_placement
from phd_ops.pixels.masks import LEAST_ALPHA, grow
from phd_ops.pixels.paste import (
    BLENDS,
    PasteOptions,
    Subject,
    paste,
    place_subject,
    shadow_ellipse,
    subject_box,
    warp_exemplar,
)
from phd_ops.pixels.resample import resample

RED, GREEN, BLUE = np.eye(3, dtype=np.float32)


def make_image(width, height, seed=0):
    # Of 8 bits, whose fractions show every rounding; random floats are dyadic and would hide it.
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32) / 255


def smooth_image(width, height):
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([0.5 + 0.4 * np.sin(x / 9), 0.5 + 0.4 * np.cos(y / 7), (x + y) / (width + height)], -1).astype(
        np.float32
    )


def rectangle(width, height, x, y, w, h):
    matte = np.zeros((height, width), np.float32)
    matte[y : y + h, x : x + w] = 1
    return matte


def mixed(matte, subject, background):
    return matte[..., None] * subject + (1 - matte[..., None]) * background


def test_an_identity_placement_pastes_bit_exactly():
    exemplar, scene, matte = make_image(40, 30), make_image(40, 30, 1), rectangle(40, 30, 10, 5, 20, 12)
    # Box 20 x 12 about (20, 11); longer side 20 of the shorter side 30.
    pasted = paste(scene, Subject(exemplar, matte), Placement(20 / 40, 11 / 30, 20 / 30))
    assert np.array_equal(pasted.composite, np.where(matte[..., None] == 1, exemplar, scene))
    assert np.array_equal(pasted.matte, matte)
    assert {a.dtype for a in (pasted.composite, pasted.matte)} == {np.dtype(np.float32)}
    reference, covered = warp_exemplar(Subject(exemplar, matte), Placement(20 / 40, 11 / 30, 20 / 30), Size(40, 30))
    assert np.array_equal(reference, exemplar)
    assert covered == 1


def test_a_whole_pixel_shift_copies():
    exemplar, scene, matte = make_image(40, 30), make_image(50, 30, 1), rectangle(40, 30, 10, 5, 20, 12)
    pasted = paste(scene, Subject(exemplar, matte), Placement(33 / 50, 20 / 30, 20 / 30))
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
    exemplar, scene, matte = make_image(40, 40), make_image(64, 64, 1), rectangle(40, 40, 6, 10, 20, 12)
    pasted = paste(scene, Subject(exemplar, matte), Placement(0.5, 0.5, 20 / 64, rotation, flip))
    part = turned(exemplar[10:22, 6:26])
    height, width = part.shape[:2]
    y, x = 32 - height // 2, 32 - width // 2
    expected = scene.copy()
    expected[y : y + height, x : x + width] = part
    assert pasted.composite == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("size", [0.2, 0.45, 1.3])
def test_center_and_size_land_where_the_placement_puts_them(size):
    scene, exemplar, matte = make_image(200, 100), make_image(80, 80), rectangle(80, 80, 20, 30, 40, 20)
    pasted = paste(scene, Subject(exemplar, matte), Placement(0.4, 0.55, size))
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
    exemplar, matte, scene = make_image(40, 30), disc(30, 12), make_image(100, 80, 1)
    matte = np.pad(matte, ((0, 0), (5, 5)))
    large = np.pad(scene, ((100, 100), (100, 100), (0, 0)))
    whole, high = round(x * 100), 41
    # 24 px on the canvas are 24 in the exemplar, and its even-sided box stands on whole pixels.
    clipped = paste(scene, Subject(exemplar, matte), Placement(whole / 100, high / 80, 24 / 80))
    full = paste(large, Subject(exemplar, matte), Placement((whole + 100) / 300, (high + 100) / 280, 24 / 280))
    assert np.array_equal(clipped.composite, full.composite[100:180, 100:200])
    assert np.array_equal(clipped.matte, full.matte[100:180, 100:200])


def test_a_subject_wholly_off_the_canvas_leaves_the_scene():
    scene = make_image(50, 40)
    pasted = paste(
        scene, Subject(make_image(30, 30, 1), disc(30, 10)), Placement(3, 0.5, 0.5), PasteOptions(softness=2)
    )
    assert np.array_equal(pasted.composite, scene)
    assert not pasted.matte.any()


def test_a_soft_edge_does_not_fade_where_the_canvas_ends():
    # A bust stands flush with the scene's lower border.
    matte = rectangle(40, 40, 10, 10, 20, 30)
    pasted = paste(
        make_image(60, 60),
        Subject(make_image(40, 40, 1), matte),
        Placement(0.5, 45 / 60, 0.5),
        PasteOptions(softness=2),
    )
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
    scene, exemplar = make_image(48, 36, seed), make_image(40, 30, seed + 1)
    matte = np.pad(disc(30, 10, 4), ((0, 0), (5, 5)))
    pasted = paste(scene, Subject(exemplar, matte), Placement(x, y, size, rotation, flip), PasteOptions(softness))
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
    pasted = paste(
        scene, Subject(mixed(matte, RED, GREEN), matte), Placement(0.5, 0.5, 0.6, rotation), PasteOptions(softness)
    )
    assert pasted.composite[..., 1].max() < 0.5 / 255
    # Nor darkness: red and blue in the matte's proportions make up the whole.
    assert pasted.composite == pytest.approx(mixed(pasted.matte, RED, BLUE), abs=0.5 / 255)


def test_no_dark_halo_where_the_soft_edge_reaches_far_in_the_exemplar():
    # A tenth of its size: 6 px of softness are 60 in the exemplar, and the edge reaches three times as far.
    white = np.ones((500, 500, 3), np.float32)
    pasted = paste(
        white[:60, :60],
        Subject(white, rectangle(500, 500, 150, 150, 200, 200)),
        Placement(size=1 / 3),
        PasteOptions(softness=6),
    )
    assert pasted.composite == pytest.approx(1, abs=1e-4)


def test_a_wide_soft_skirt_is_not_cut_off():
    # Opaque in the middle, half transparent far around: a subject with its veil.
    matte = np.maximum(disc(100, 12), 0.4 * disc(100, 45))
    pasted = paste(
        np.zeros((100, 100, 3), np.float32), Subject(np.ones((100, 100, 3), np.float32), matte), Placement(size=0.24)
    )
    assert pasted.matte == pytest.approx(matte)
    assert pasted.composite[..., 0] == pytest.approx(matte, abs=5e-5)


def estimate_foreground(image, matte):
    """An image with the subject's own colors at its soft pixels."""
    found = image.copy()
    for places, own in soft_colors(image, matte, *times_alpha(image, matte)):
        found[places] = own
    return found


def test_the_foreground_keeps_opaque_pixels_and_extends_to_the_nearest_color():
    # Left half red, right half blue, on green.
    matte, image = rectangle(80, 40, 10, 10, 60, 20), np.zeros((40, 80, 3), np.float32) + GREEN
    image[10:30, 10:40], image[10:30, 40:70] = RED, BLUE
    colors = extend(np.dstack([estimate_foreground(image, matte) * matte[..., None], matte]), 3)
    assert np.array_equal(colors[matte == 1], image[matte == 1])
    assert colors[20, 6] == pytest.approx(RED, abs=0.02)
    assert colors[20, 73] == pytest.approx(BLUE, abs=0.02)
    assert colors[..., 1].max() < 0.5 / 255


@pytest.mark.parametrize("softness", [0, 2, 12])
@pytest.mark.parametrize("placement", [Placement(0.5, 0.5, 0.6), Placement(0.1, 0.7, 0.9, 35, True)])
def test_alpha_shows_the_extended_colors_that_all_blends_share(placement, softness):
    # Larger than a tile, so that some tiles are empty and some opaque; it reaches the exemplar's frame.
    exemplar, matte = smooth_image(240, 240), np.roll(disc(240, 100, 9), 25, axis=0)
    scene = make_image(400, 360, 1)
    placed = place_subject(Size.of(scene), Subject(exemplar, matte), placement, softness, max(softness, 1))
    assert placed is not None
    at, inner = placed.region.slices, placed.region.moved(-placed.work.x, -placed.work.y).slices
    wanted = scene.copy()
    wanted[at] = alpha_over(scene[at], placed.extension.all_colors()[inner], placed.alpha)
    pasted = paste(scene, Subject(exemplar, matte), placement, PasteOptions(softness))
    assert np.array_equal(pasted.composite, wanted)


def test_a_subject_off_the_canvas_is_not_placed():
    exemplar, matte, scene = make_image(30, 30), disc(30, 8), make_image(40, 40)
    assert place_subject(Size.of(scene), Subject(exemplar, matte), Placement(5, 5, 0.3), 0, 1) is None
    pasted = paste(scene, Subject(exemplar, matte), Placement(5, 5, 0.3))
    assert np.array_equal(pasted.composite, scene) and not pasted.matte.any() and 0 in pasted.region.size


def test_an_evenly_transparent_subject_takes_the_colors_seen_near_by():
    # Nothing tells glass from what lies behind it; the color seen is the only fair guess.
    image = smooth_image(60, 60)
    colors = estimate_foreground(image, np.full((60, 60), 0.5, np.float32))
    assert np.abs(colors - image).max() < 0.12


@pytest.mark.parametrize("softness", [0, 2])
@pytest.mark.parametrize(
    "placement",
    [Placement(0.5, 0.5, 0.5), Placement(0.41, 0.57, 0.31, 33), Placement(0.5, 0.4, 1.1, -120, True)],
)
def test_the_references_subject_lies_on_the_composites(placement, softness):
    exemplar, matte = smooth_image(120, 90), np.pad(disc(90, 25, 2), ((0, 0), (20, 10)))
    pasted = paste(make_image(100, 100), Subject(exemplar, matte), placement, PasteOptions(softness))
    core = grow((pasted.matte > 0.999).astype(np.float32), -3) == 1
    assert core.sum() > 100
    reference, _ = warp_exemplar(Subject(exemplar, matte), placement, Size(100, 100))
    assert np.abs(reference - pasted.composite)[core].max() < 0.01


def test_the_reference_fills_the_whole_frame_with_the_exemplar():
    exemplar = smooth_image(40, 40) * 0.5 + 0.5
    reference, covered = warp_exemplar(Subject(exemplar, disc(40, 10)), Placement(0.2, 0.8, 0.2), Size(100, 100))
    assert reference.min() > exemplar.min() - 0.02
    # 20 px in the exemplar are 20 in the scene: it reaches from (0, 60) to (40, 100).
    assert covered == pytest.approx(0.16, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_reported_random_placement_gives_the_identical_paste_by_hand(seed):
    scene, exemplar, matte = make_image(90, 70), make_image(60, 60, 1), disc(60, 20, 3)
    box = subject_box(matte)
    drawn = random_placement(seed, Size(box.width, box.height), Size.of(scene), (0.3, 0.8), 15, True)
    reread = Placement(**json.loads(drawn.to_text()))
    first, second = (paste(scene, Subject(exemplar, matte), where, PasteOptions(1.5)) for where in (drawn, reread))
    assert np.array_equal(first.composite, second.composite)
    assert np.array_equal(first.matte, second.matte)


def test_a_reduction_is_antialiased():
    # Stripes finer than the result can show become their mean.
    stripes = np.zeros((128, 128, 3), np.float32)
    stripes[:, ::2] = 1
    matrix = np.array([[0.125, 0, 0], [0, 0.125, 0]])
    assert resample(stripes, matrix, Size(16, 16), 1)[2:-2, 2:-2] == pytest.approx(0.5, abs=0.01)


def test_resampling_puts_pixel_centers_where_the_matrix_maps_them():
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
        paste(
            make_image(20, 20),
            Subject(make_image(20, 20), np.zeros((20, 20), np.float32)),
            Placement(),
            PasteOptions(1),
        )


def test_inputs_are_left_as_they_were():
    arrays = scene, exemplar, matte = make_image(40, 40), make_image(40, 40, 1), disc(40, 12, 3)
    copies = [array.copy() for array in arrays]
    paste(scene, Subject(exemplar, matte), Placement(rotation=10), PasteOptions(2))
    assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


def test_a_shadow_lies_at_the_subjects_feet():
    shadow = shadow_ellipse(rectangle(100, 100, 30, 20, 40, 50))
    # Center (50, 69), half axes .6 * 40 and .12 * 50.
    assert bounding_box(shadow) == (26, 63, 49, 13)
    assert not shadow_ellipse(np.zeros((20, 20), np.float32)).any()


def cubic(t):
    """Keys' kernel with a = -0.75, OpenCV's."""
    t = np.abs(t)
    near, far = 1.25 * t**3 - 2.25 * t**2 + 1, -0.75 * (t**3 - 5 * t**2 + 8 * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def placed_by_definition(cutout, matrix, scene):
    """Every scene pixel's center, mapped back into the cut-out [h,w,4] and interpolated there, in float64."""
    y, x = np.mgrid[0 : scene.height, 0 : scene.width] + 0.5
    inverse = np.linalg.inv(matrix[:, :2])
    u, v = np.tensordot(inverse, np.stack([x - matrix[0, 2], y - matrix[1, 2]]), 1) - 0.5
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    height, width = cutout.shape[:2]
    total = np.zeros((scene.height, scene.width, 4))
    for row in range(-1, 3):
        for column in range(-1, 3):
            i, j = top + row, left + column
            weight = cubic(u - j) * cubic(v - i) * ((i >= 0) & (i < height) & (j >= 0) & (j < width))
            total += weight[..., None] * cutout[i.clip(0, height - 1), j.clip(0, width - 1)]
    # Colors overshoot with their matte, and are brought back with it.
    return (total / np.maximum(total[..., 3:], 1)).clip(0, 1)


@given(
    st.floats(-0.3, 1.3),
    st.floats(-0.3, 1.3),
    st.floats(1.0, 3.0),
    st.one_of(st.floats(-360, 360), st.sampled_from([0, 90, 180, 270, 45])),
    st.booleans(),
)
def test_every_placement_is_what_its_definition_says(x, y, scale, rotation, flip):
    exemplar, matte = smooth_image(50, 40), np.pad(disc(40, 12, 5), ((0, 0), (4, 6)))
    scene, box = make_image(70, 56), subject_box(matte)
    placement = Placement(x, y, scale * max(box.width, box.height) / 56, rotation, flip)
    pasted = paste(scene, Subject(exemplar, matte), placement)
    matrix = placement.matrix(Size(box.width, box.height), Size(70, 56))
    matrix[:, 2] -= matrix[:, :2] @ [box.x, box.y]
    wanted = placed_by_definition(premultiplied(exemplar, matte).astype(float), matrix, Size(70, 56))
    # OpenCV takes coordinates to 1/32 px, of which the matte's slope of 1/5 a pixel makes .003 in each direction.
    assert np.abs(pasted.matte - wanted[..., 3]).max() < 0.01
    composite = wanted[..., :3] + (1 - wanted[..., 3:]) * scene
    assert np.abs(pasted.composite - composite).max() < 0.015


@pytest.mark.parametrize("softness", [0, 1.5, 4])
@pytest.mark.parametrize("rotation", [0, 30, -77])
@pytest.mark.parametrize(("x", "y"), [(0.0, 0.5), (0.93, 0.12), (0.5, 1.1), (-0.2, -0.1)])
def test_a_soft_turned_subject_is_clipped_exactly_too(x, y, rotation, softness):
    exemplar, matte, scene = make_image(50, 50), disc(50, 16, 3), make_image(96, 80, 1)
    large = np.pad(scene, ((80, 80), (96, 96), (0, 0)))
    # 1.25 times its size, in both canvases the same place.
    size = 1.25 * subject_box(matte).width
    clipped = paste(scene, Subject(exemplar, matte), Placement(x, y, size / 80, rotation), PasteOptions(softness))
    full = paste(
        large,
        Subject(exemplar, matte),
        Placement((x + 1) / 3, (y + 1) / 3, size / 240, rotation),
        PasteOptions(softness),
    )
    assert 0 < (clipped.matte > 0).mean() < 0.5
    # The same but for the last bits of where it stands: before its version 5, OpenCV rounds coordinates to 1/32 px.
    assert np.abs(clipped.matte - full.matte[80:160, 96:192]).max() < 0.02
    assert np.array_equal(full.composite[full.matte == 0], large[full.matte == 0])


@pytest.mark.parametrize("softness", [0, 2])
@pytest.mark.parametrize("blend", BLENDS[:2])
@pytest.mark.parametrize(("x", "y"), [(8, 30), (60, 6), (60, 78), (0, 0)])
def test_a_soft_subject_on_whole_pixels_is_clipped_to_the_bit(x, y, blend, softness):
    exemplar, matte, scene = make_image(50, 50), disc(50, 12), make_image(96, 80, 1)
    large = np.pad(scene, ((80, 80), (96, 96), (0, 0)))
    clipped = paste(
        scene, Subject(exemplar, matte), Placement(x / 96, y / 80, 24 / 80), PasteOptions(softness, "alpha")
    )
    full = paste(
        large,
        Subject(exemplar, matte),
        Placement((x + 96) / 288, (y + 80) / 240, 24 / 240),
        PasteOptions(softness, "alpha"),
    )
    assert np.array_equal(clipped.matte, full.matte[80:160, 96:192])
    assert np.array_equal(clipped.composite, full.composite[80:160, 96:192])


@pytest.mark.parametrize("rotation", [0, 25])
def test_a_subject_that_its_exemplars_frame_cuts_is_not_softened_there(rotation):
    # A bust: opaque down to the exemplar's lower border.
    exemplar, matte = np.ones((40, 40, 3), np.float32), rectangle(40, 40, 8, 10, 24, 30)
    placement = Placement(0.5, 0.5, 60 / 120, rotation)
    hard, soft = (
        paste(np.zeros((120, 120, 3), np.float32), Subject(exemplar, matte), placement, PasteOptions(s)).matte
        for s in (0, 3)
    )
    # Down the middle of the subject: the frame's edge is as sharp as without softness, the upper edge is not.
    matrix = placement.matrix(Size(24, 30), Size(120, 120))
    feet, head = (matrix[:, :2] @ [12, end] + matrix[:, 2] for end in (30, 0))
    down = (feet - head) / np.linalg.norm(feet - head)

    def along(matte, start, steps):
        return [float(matte[tuple(np.floor(start + step * down).astype(int)[::-1])]) for step in steps]

    assert along(soft, feet, (-3, -6)) == pytest.approx([1, 1], abs=0.03)
    assert along(soft, feet, (2, 4)) == [0, 0]
    assert along(hard, head, (3, -3)) == pytest.approx([1, 0], abs=0.01)
    assert 0.5 < along(soft, head, (3,))[0] < 0.95 and 0.05 < along(soft, head, (-3,))[0] < 0.5


@pytest.mark.parametrize(("ramp", "error"), [(2, 1), (6, 2), (16, 3)])
def test_the_foreground_of_flat_colors_comes_back_at_soft_edges(ramp, error):
    own, old = np.float32([0.8, 0.3, 0.2]), np.float32([0.1, 0.6, 0.9])
    matte = disc(120, 30, ramp)
    found = estimate_foreground(mixed(matte, own, old), matte)
    # In 8-bit levels, weighted by what is seen of it.
    assert (np.abs(found - own) * matte[..., None]).max() * 255 < error
    unmixed = np.abs(mixed(matte, own, old) - own) * matte[..., None]
    assert np.abs(found - own)[matte > 0].mean() < 0.1 * unmixed[(matte > 0) & (matte < 1)].mean()


def test_the_foreground_of_an_opaque_or_empty_matte_is_the_image():
    image = make_image(20, 30)
    for value in (0, 1):
        assert np.array_equal(estimate_foreground(image, np.full((30, 20), value, np.float32)), image)


@pytest.mark.parametrize("near_frame", [10, 1])
@pytest.mark.parametrize("size", [0.05, 0.1, 0.3])
def test_a_tiny_subject_is_tiny(size, near_frame):
    # Few pixels in the scene, hundreds in the exemplar, whose frame is near.
    side = 400
    matte = rectangle(side, side, near_frame, near_frame, side - 2 * near_frame, side - 2 * near_frame)
    pasted = paste(
        np.zeros((60, 60, 3), np.float32), Subject(np.ones((side, side, 3), np.float32), matte), Placement(size=size)
    )
    assert pasted.matte.sum() == pytest.approx((size * 60) ** 2, rel=0.12)
    box = bounding_box(pasted.matte, 0.1)
    assert max(box.size) <= size * 60 + 3


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("size", [1e-4, 0.02, 1, 8, 1e4])
@pytest.mark.parametrize("side", [1, 2, 3, 17])
def test_any_size_of_any_exemplar_in_any_scene_gives_an_image(side, size, blend):
    for scene in (make_image(1, 1), make_image(33, 2), make_image(24, 30)):
        exemplar, matte = make_image(side, side, 1), np.ones((side, side), np.float32)
        pasted = paste(scene, Subject(exemplar, matte), Placement(0.5, 0.5, size, 10), PasteOptions(1.5, blend, 0.5))
        assert pasted.composite.shape == scene.shape
        assert np.isfinite(pasted.composite).all()
        assert pasted.composite.min() >= 0 and pasted.composite.max() <= 1
        assert np.array_equal(pasted.composite[pasted.matte == 0], scene[pasted.matte == 0])
        if size == 1e4:
            assert pasted.matte == pytest.approx(1, abs=1e-5)


def test_a_subject_larger_than_the_scene_fills_it_with_its_middle():
    exemplar = smooth_image(60, 60)
    pasted = paste(
        make_image(40, 20), Subject(exemplar, np.ones((60, 60), np.float32)), Placement(0.5, 0.5, 6), PasteOptions(3)
    )
    # 60 px are 120: twice the size, the middle 20 × 10 are seen.
    assert pasted.matte == pytest.approx(1)
    assert pasted.composite == pytest.approx(
        resample(exemplar, np.array([[2.0, 0, -40], [0, 2.0, -50]]), Size(40, 20), 1), abs=1e-5
    )


@pytest.mark.parametrize("blend", BLENDS)
def test_a_scene_16k_wide_is_taken(blend):
    scene, exemplar = make_image(16384, 8), make_image(20, 20, 1)
    pasted = paste(scene, Subject(exemplar, disc(20, 8)), Placement(0.999, 0.5, 0.8), PasteOptions(0, blend))
    changed = np.flatnonzero((pasted.composite != scene).any(axis=(0, 2)))
    assert changed.min() > 16350
    assert pasted.matte.sum() == pytest.approx(np.pi * 3.2**2, rel=0.1)


def test_an_exemplar_16k_wide_is_taken():
    exemplar, matte = make_image(16384, 8), rectangle(16384, 8, 100, 1, 16184, 6)
    # A quarter of its size: 4046 × 1.5 pixels, of which the scene shows 60.
    placement = Placement(size=16184 / 4 / 40)
    pasted = paste(make_image(60, 40), Subject(exemplar, matte), placement)
    assert pasted.matte.sum() == pytest.approx(60 * 1.5, rel=0.2)
    reference, covered = warp_exemplar(Subject(exemplar, matte), placement, Size(60, 40))
    assert reference.shape == (40, 60, 3) and covered == pytest.approx(2 / 40, rel=0.01)


def blob(width, height, x, y, sigma):
    v, u = np.mgrid[0:height, 0:width] + 0.5
    return np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * sigma**2)).astype(np.float32)


def centroid(weight):
    y, x = np.mgrid[0 : weight.shape[0], 0 : weight.shape[1]] + 0.5
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.parametrize(
    "placement",
    [
        Placement(0.5, 0.5, 0.7),
        Placement(0.47, 0.53, 0.43, 27),
        Placement(0.511, 0.487, 0.9, -131, True),
        Placement(0.4, 0.6, 0.313, 200.3),
        Placement(0.5, 0.5, 0.25, 45, True),
    ],
)
@pytest.mark.parametrize("softness", [0, 2])
def test_the_references_subject_lies_on_the_composites_to_a_tenth_of_a_pixel(placement, softness):
    # A bright blob on a black subject and a black scene: its centroid is found to a few hundredths of a pixel.
    light = blob(120, 100, 57.3, 48.8, 8)
    exemplar = np.repeat(light[..., None], 3, axis=2)
    matte = rectangle(120, 100, 15, 10, 84, 78)
    pasted = paste(np.zeros((130, 140, 3), np.float32), Subject(exemplar, matte), placement, PasteOptions(softness))
    # The reference goes on beyond the subject, with mirror images of it.
    reference = warp_exemplar(Subject(exemplar, matte), placement, Size(140, 130))[0] * pasted.matte[..., None]
    assert centroid(reference[..., 0]) == pytest.approx(centroid(pasted.composite[..., 0]), abs=0.1)
    # And both where the placement puts them.
    matrix = placement.matrix(Size(84, 78), Size(140, 130))
    wanted = matrix[:, :2] @ [57.3 - 15, 48.8 - 10] + matrix[:, 2]
    assert centroid(pasted.composite[..., 0]) == pytest.approx(wanted, abs=0.1)


@pytest.mark.parametrize(
    ("placement", "share"),
    [
        # The exemplar is 40 px, in a scene of 100: scaled by 2.5 it is the scene.
        (Placement(0.5, 0.5, 1), 1),
        (Placement(0.5, 0.5, 3, 45), 1),
        (Placement(0.5, 0.5, 0.4), 0.16),
        (Placement(0, 0.5, 0.4), 0.08),
        (Placement(1, 1, 0.4), 0.04),
        (Placement(3, 3, 0.4), 0),
        (Placement(0.5, 0.5, 0.4, 33, True), 0.16),
        (Placement(0, 0.5, 0.4, 45), 0.08),
        # Turned by 45° about the corner: a quarter of it.
        (Placement(0, 0, 0.4, 45), 0.04),
    ],
)
def test_the_share_that_the_exemplar_covers_by_hand(placement, share):
    _, covered = warp_exemplar(Subject(make_image(40, 40), np.ones((40, 40), np.float32)), placement, Size(100, 100))
    assert covered == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("side", [1, 2, 5, 16, 255, 257])
def test_a_reference_far_off_the_canvas_costs_no_more(side):
    """OpenCV alone reflects once for every width of the exemplar: minutes for one of 16 px, 10000 scenes off."""
    exemplar = smooth_image(side, side)
    reference, covered = warp_exemplar(
        Subject(exemplar, np.ones((side, side), np.float32)), Placement(x=1e4, size=0.05), Size(256, 256)
    )
    assert covered == 0
    assert reference.min() >= exemplar.min() - 1e-6 and reference.max() <= exemplar.max() + 1e-6


def test_a_small_exemplar_is_mirrored_as_a_large_one():
    exemplar, matrix = smooth_image(40, 30), np.array([[0.9, 0.2, 55], [-0.2, 0.9, 20]])
    mirrored = resample(exemplar, matrix, Size(120, 90), cv2.BORDER_REFLECT, cv2.INTER_LINEAR)
    # The same by hand: nine times the exemplar, every other one mirrored.
    row = np.concatenate([exemplar[:, ::-1], exemplar] * 4, axis=1)
    tiled = np.concatenate([row[::-1], row] * 4)
    offset = matrix[:, 2] - matrix[:, :2] @ [3 * 40, 3 * 30]
    wanted = resample(
        tiled, np.column_stack([matrix[:, :2], offset]), Size(120, 90), cv2.BORDER_CONSTANT, cv2.INTER_LINEAR
    )
    assert mirrored == pytest.approx(wanted, abs=0.01)


def test_a_rotation_of_a_thousand_million_degrees_is_one_modulo_360():
    scene, exemplar, matte = make_image(60, 50), make_image(40, 40, 1), disc(40, 12, 2)
    huge, small = (
        paste(scene, Subject(exemplar, matte), Placement(rotation=r), PasteOptions(1)) for r in (1e9, 1e9 % 360)
    )
    assert np.array_equal(huge.composite, small.composite)


@given(st.integers(0, 2**32), st.sampled_from(BLENDS), st.floats(0, 1), st.floats(0, 4), st.floats(0.1, 1.2))
def test_no_blend_and_no_match_touches_a_pixel_without_matte(seed, blend, color_match, softness, size):
    rng = np.random.default_rng(seed)
    scene, exemplar, matte = make_image(60, 50, seed), make_image(40, 40, seed + 1), disc(40, 14, 3)
    x, y, rotation = rng.uniform(-0.1, 1.1), rng.uniform(-0.1, 1.1), rng.uniform(0, 360)
    pasted = paste(
        scene, Subject(exemplar, matte), Placement(x, y, size, rotation), PasteOptions(softness, blend, color_match)
    )
    outside = pasted.matte == 0
    assert np.array_equal(pasted.composite[outside], scene[outside])
    assert pasted.composite.min() >= 0 and pasted.composite.max() <= 1


@pytest.mark.parametrize("rotation", [0, 17, 45])
def test_a_gray_subject_stays_gray_up_to_its_edge(rotation):
    # A cubic overshoots at a hard edge; were the matte alone brought back, the rim would be brighter than the subject.
    gray = np.full((80, 80, 3), 0.7, np.float32)
    pasted = paste(
        gray[:64, :64], Subject(gray, disc(80, 25)), Placement(0.5, 0.5, 0.7, rotation), PasteOptions(softness=1.5)
    )
    assert pasted.composite == pytest.approx(0.7, abs=1e-4)


def saved_cutout(how, behind):
    """A soft red disc in a file with alpha: its colors, its alpha, and the true colors; 8 bits as a file has them."""
    from_center = np.hypot(*(np.mgrid[:80, :80] - 40.0))
    alpha = np.float32(np.round(np.clip((25 - from_center) / 8 + 0.5, 0, 1) * 255) / 255)
    own, share = np.full((80, 80, 3), (0.8, 0.2, 0.1), np.float32), alpha[..., None]
    shown = {
        "own colors": np.where(share > 0, own, np.float32(behind)),
        "mixed": share * own + (1 - share) * np.float32(behind),
        "own colors everywhere": own,
    }[how]
    return np.float32(np.round(shown * 255) / 255), alpha, own


@pytest.mark.parametrize("is_cutout", [False, True], ids=["RGB and mask", "RGBA"])
@pytest.mark.parametrize("behind", [0.0, 1.0], ids=["black", "white"])
@pytest.mark.parametrize("how", ["own colors", "mixed", "own colors everywhere"])
def test_a_file_with_alpha_leaves_no_rim_however_it_was_saved(how, behind, is_cutout):
    shown, alpha, own = saved_cutout(how, behind)
    wanted = np.dstack([own * alpha[..., None], alpha])
    assert np.abs(premultiplied(shown, alpha, is_cutout) - wanted).max() < 1 / 255


def test_a_photo_with_alpha_is_told_from_a_file_of_own_colors():
    _, alpha, own = saved_cutout("mixed", 0.0)
    share, texture = alpha[..., None], np.random.default_rng(2).uniform(0.1, 0.5, (80, 80, 3)).astype(np.float32)
    texture[..., 1] += 0.4
    assert is_photo(share * own + (1 - share) * texture, alpha)
    # Colors of its own, with those of the photo where nothing of it shows; and with its own going on beyond the edge.
    assert not is_photo(np.where(share > 0, own, texture), alpha)
    assert not is_photo(extend(premultiplied(own, alpha, True), sigma=8.0), alpha)
    for how in ("own colors", "mixed", "own colors everywhere"):
        assert not is_photo(saved_cutout(how, 1.0)[0], alpha)
    assert not is_photo(share * own + (1 - share) * texture, np.float32(alpha > 0.5))


def test_an_image_that_does_not_show_how_it_was_saved_is_taken_as_given():
    _, alpha, _ = saved_cutout("mixed", 0.0)
    black = np.zeros((80, 80, 3), np.float32)
    assert is_mixed(black, alpha) is None
    assert is_mixed(black, np.float32(alpha > 0.5)) is None
    assert is_mixed(black, np.ones_like(alpha)) is None
    noise = np.random.default_rng(1).random((80, 80, 3), np.float32)
    assert is_mixed(noise, alpha) is None
