"""Blending: every way keeps the scene's bits outside its support, and each does there what its paper describes."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.pixels.blend import alpha_over, match_colors, multiband, poisson, pyramid
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.masks import feather, grow
from phd_ops.pixels.paste import BLENDS, PasteOptions, Subject, paste


def make_image(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.float32) / 255


def flat(side, *color):
    return np.broadcast_to(np.float32(color if len(color) == 3 else color * 3), (side, side, 3)).copy()


def disc(side, radius, soft=0.0):
    y, x = np.mgrid[0:side, 0:side] + 0.5
    return feather((np.hypot(x - side / 2, y - side / 2) < radius).astype(np.float32), soft)


def bump(side, sigma, height):
    """A hill in the middle, the same in all channels."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    hill = height * np.exp(-((x - side / 2) ** 2 + (y - side / 2) ** 2) / (2 * sigma**2))
    return hill[..., None].astype(np.float32)


def joined(blend, scene, colors, matte, alpha, reach=10):
    if blend == "alpha":
        return alpha_over(scene, colors, alpha)
    if blend == "multi-band":
        return multiband(scene, colors, matte, alpha, reach)
    return poisson(scene, colors, alpha, mixed=blend == "Poisson mixed")


@given(st.integers(0, 2**32), st.sampled_from(BLENDS), st.integers(1, 40), st.integers(1, 40), st.floats(0, 30))
def test_outside_its_support_a_blend_gives_the_scenes_bits(seed, blend, height, width, reach):
    rng = np.random.default_rng(seed)
    blobs = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 3)
    alpha = np.clip(4 * blobs, 0, 1).astype(np.float32)
    scene, colors = make_image(width, height, seed), make_image(width, height, seed + 1)
    copies = [array.copy() for array in (scene, colors, alpha)]
    image_ = joined(blend, scene, colors, alpha, alpha, reach)
    assert np.array_equal(image_[alpha == 0], scene[alpha == 0])
    assert image_.dtype == np.float32 and image_.shape == scene.shape
    assert image_.min(initial=0) >= 0 and image_.max(initial=0) <= 1
    assert all(np.array_equal(a, b) for a, b in zip((scene, colors, alpha), copies, strict=True))


def test_alpha_is_exact_at_both_ends_and_linear_between():
    scene, colors = make_image(30, 20), make_image(30, 20, 1)
    assert np.array_equal(alpha_over(scene, colors, np.zeros((20, 30), np.float32)), scene)
    assert np.array_equal(alpha_over(scene, colors, np.ones((20, 30), np.float32)), colors)
    mixed = alpha_over(scene, colors, np.full((20, 30), 0.25, np.float32))
    assert mixed == pytest.approx(0.25 * colors + 0.75 * scene, abs=1e-6)


@given(st.integers(0, 99), st.integers(1, 70), st.integers(1, 70))
def test_a_pyramid_collapses_to_its_image(seed, width, height):
    whole = make_image(width, height, seed)
    levels = int(np.log2(min(width, height)))
    *bands, rest = pyramid(whole, levels)
    assert len(bands) == levels
    assert rest.shape[:2] == tuple(-(-side // 2**levels) for side in (height, width))
    for band in reversed(bands):
        rest = band + cv2.pyrUp(rest, dstsize=Size.of(band))
    assert rest == pytest.approx(whole, abs=1e-6)


def test_a_band_holds_what_the_next_coarser_image_lacks():
    assert [np.abs(band).max() for band in pyramid(flat(32, 0.5), 3)] == pytest.approx([0, 0, 0, 0.5], abs=1e-6)
    checks = np.indices((32, 32)).sum(0)[..., None] % 2 * np.ones(3, np.float32)
    fine, coarse = pyramid(checks.astype(np.float32), 1)
    # The finest pattern is all in the finest band.
    assert np.abs(fine[4:-4, 4:-4]).min() > 0.45
    assert coarse[2:-2, 2:-2] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("reach", [0, 1, 3, 7, 40])
def test_equal_flat_colors_stay_what_they_are_in_many_bands(reach):
    scene, matte = flat(64, 0.3, 0.6, 0.9), disc(64, 20)
    assert multiband(scene, scene, matte, grow(matte, reach), reach) == pytest.approx(scene, abs=1e-6)


@pytest.mark.parametrize("reach", [0, 0.5, 0.99])
def test_without_reach_many_bands_are_alpha(reach):
    scene, colors, alpha = make_image(40, 40), make_image(40, 40, 1), disc(40, 12, 1)
    assert np.array_equal(multiband(scene, colors, alpha, alpha, reach), alpha_over(scene, colors, alpha))


def test_a_wider_reach_fades_over_a_wider_seam():
    # A black subject in a white scene, with room for every band.
    matte, everywhere = np.zeros((256, 256), np.float32), np.ones((256, 256), np.float32)
    matte[:, 128:] = 1
    spread = []
    for reach in (0, 4, 22, 94):
        row = multiband(flat(256, 1.0), flat(256, 0.0), matte, everywhere if reach else matte, reach)[128, :, 0]
        spread.append(int(((row > 0.05) & (row < 0.95)).sum()))
        # The middle of the seam is the matte's edge, and far from it both are themselves.
        assert row[127] + row[128] == pytest.approx(1, abs=0.03)
        assert row[0] == pytest.approx(1, abs=1e-5) and row[-1] == pytest.approx(0, abs=1e-5)
    assert spread[0] == 0
    assert all(wider >= 2 * narrower for narrower, wider in zip(spread[1:], spread[2:], strict=False))


def test_many_bands_keep_the_subjects_detail_and_the_scenes():
    scene, colors, matte = make_image(128, 128) * 0.2 + 0.3, make_image(128, 128, 1) * 0.2 + 0.5, disc(128, 40)
    result = multiband(scene, colors, matte, grow(matte, 20), 15)
    core, context = grow(matte, -4) == 1, (grow(matte, 4) == 0) & (grow(matte, 18) == 1)

    def fine(image):
        return image - cv2.GaussianBlur(image, (0, 0), 1)

    assert np.abs(fine(result) - fine(colors))[core].max() < 0.02
    assert np.abs(fine(result) - fine(scene))[context].max() < 0.02
    # While the coarse colors of both meet: the rim is nearer to the scene than the subject was.
    rim = (grow(matte, -1) - grow(matte, -6)) == 1
    assert result[rim].mean() < colors[rim].mean() - 0.02


def test_poisson_takes_a_flat_subjects_offset_off():
    scene, alpha = flat(80, 0.3, 0.5, 0.2), disc(80, 25)
    result = poisson(scene, flat(80, 0.8, 0.4, 0.6), alpha)
    # OpenCV's 8 bits leave one and a half levels of it, evenly.
    assert np.abs(result - scene).max() < 2 / 255
    assert result[disc(80, 22) == 1].std(axis=0).max() < 0.2 / 255


def test_poisson_keeps_gradients_and_takes_the_scenes_colors_at_the_edge():
    hill, alpha = bump(100, 8, 0.3), disc(100, 35)
    result = poisson(flat(100, 0.2), flat(100, 0.5) + hill, alpha)
    assert np.abs(result - (0.2 + hill)).max() < 2 / 255


def test_poisson_follows_a_scene_that_changes_around_the_subject():
    # Where the scene rises from left to right, so does the subject: the membrane of a linear rim is linear.
    rise = np.linspace(0.2, 0.7, 100, dtype=np.float32)[None, :, None]
    scene = np.broadcast_to(rise, (100, 100, 3)).copy()
    result = poisson(scene, flat(100, 0.9), disc(100, 30))
    # OpenCV's own answer is off by 4 levels of 76: it solves in a mask three pixels smaller.
    assert np.abs(result - scene).max() < 7 / 255


def test_poisson_stays_float():
    # A hill of two 8-bit levels: in 8 bits it would be two terraces.
    hill, alpha = bump(160, 25, 2 / 255), disc(160, 70)
    result = poisson(flat(160, 0.3), flat(160, 0.6) + hill, alpha)[80, 30:130, 0]
    assert len(np.unique(result[:50])) == 50
    assert np.abs(np.diff(result)).max() < 0.25 / 255
    assert np.abs(np.diff(result) - np.diff(hill[80, 30:130, 0])).max() < 0.2 / 255


def test_poisson_mixed_shows_the_scenes_gradients_through_a_flat_subject():
    stripes = (0.5 + 0.2 * np.sin(np.arange(100) / 2)).astype(np.float32)[None, :, None]
    scene, alpha = np.broadcast_to(stripes, (100, 100, 3)).copy(), disc(100, 30)
    mixed, normal = (poisson(scene, flat(100, 0.6), alpha, mixed=m) for m in (True, False))
    core = grow(alpha, -5) == 1
    assert np.corrcoef(mixed[core].ravel(), scene[core].ravel())[0, 1] > 0.95
    assert mixed[core].std() > 0.8 * scene[core].std()
    assert normal[core].std() < 0.2 * scene[core].std()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 12), (2, 2), (2, 9), (3, 2), (3, 3), (4, 3)])
@pytest.mark.parametrize(("x", "y"), [(0, 0), (8, 8), (4, 5)])
def test_poisson_takes_subjects_of_a_few_pixels(x, y, width, height, mixed):
    scene, colors, alpha = make_image(12, 20), make_image(12, 20, 1), np.zeros((20, 12), np.float32)
    alpha[y : y + height, x : x + width] = 1
    result = poisson(scene, colors, alpha, mixed)
    assert np.array_equal(result[alpha == 0], scene[alpha == 0])
    assert np.isfinite(result).all()


@pytest.mark.parametrize("blend", BLENDS)
def test_a_subject_that_reaches_the_canvas_edge_is_blended_up_to_it(blend):
    # A bust at the lower border: flat, of the scene's color but for an offset.
    scene, matte = flat(60, 0.4), np.zeros((60, 60), np.float32)
    matte[20:, 15:45] = 1
    result = joined(blend, scene, flat(60, 0.6), matte, feather(matte, 2), reach=5)
    assert np.isfinite(result).all()
    assert result[59, 5] == pytest.approx(0.4, abs=1e-6)
    assert result[59, 30] == pytest.approx(result[50, 30], abs=0.04)
    if blend == "alpha":
        assert result[59, 30] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("blend", ["Poisson", "Poisson mixed"])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.25, 0.5), (0.77, 0.754), (0.31, 0.777)])
def test_poisson_lands_where_alpha_does(blend, x, y):
    """The solver is given a center; a pixel of error there would move the subject by one."""
    scene, colors = flat(90, 0.3), flat(60, 0.5) + bump(60, 3, 0.4)
    matte = disc(60, 20)
    result = paste(scene, Subject(colors, matte), Placement(x, y, 41 / 90), PasteOptions(0, blend)).composite - 0.3
    over = paste(scene, Subject(colors, matte), Placement(x, y, 41 / 90), PasteOptions(0, "alpha")).composite - 0.5
    hill = np.clip(over[..., 0], 0.05, None) - 0.05
    found = np.clip(result[..., 0], 0.05, None) - 0.05
    for axis in np.indices(hill.shape):
        assert (axis * found).sum() / found.sum() == pytest.approx((axis * hill).sum() / hill.sum(), abs=0.3)


def lab(colors):
    return cv2.cvtColor(np.ascontiguousarray(colors), cv2.COLOR_RGB2Lab)


@pytest.fixture
def matching():
    """A reddish subject of some contrast in a bluish scene of more."""
    scene = np.clip(flat(100, 0.35, 0.4, 0.55) + 0.2 * (make_image(100, 100) - 0.5), 0, 1)
    colors = np.clip(flat(60, 0.6, 0.45, 0.4) + 0.1 * (make_image(60, 60, 1) - 0.5), 0, 1)
    return {"colors": colors, "alpha": disc(60, 20), "scene": scene, "region": Box(20, 20, 60, 60), "ring": 10}


def test_a_match_of_strength_0_is_no_match(matching):
    assert match_colors(**matching, strength=0) is matching["colors"]


def test_a_full_match_gives_the_rings_mean_and_deviation(matching):
    matched = lab(match_colors(**matching, strength=1))[matching["alpha"] > 0.5]
    theirs = lab(matching["scene"])[(grow(disc(100, 20), 10) - disc(100, 20)) > 0]
    assert matched.mean(0) == pytest.approx(theirs.mean(0), abs=0.3)
    # The deviation's guard against noise, 1, takes some of it.
    assert matched.std(0) == pytest.approx(theirs.std(0), rel=0.25)


def test_half_a_match_is_half_way(matching):
    whole, half = (match_colors(**matching, strength=s) for s in (1, 0.5))
    assert half == pytest.approx((whole + matching["colors"]) / 2, abs=1e-6)


def test_a_match_reads_selected_pixels_only(matching):
    wanted = match_colors(**matching, strength=1)
    inside = matching["alpha"] > 0
    # What lies outside the subject in its image, under it in the scene, and beyond the ring.
    spoilt = dict(matching)
    spoilt["colors"] = np.where(inside[..., None], matching["colors"], np.float32(1))
    scene = matching["scene"].copy()
    scene[20:80, 20:80][inside] = (1, 0, 1)
    scene[grow(disc(100, 20), 10) == 0] = (0, 1, 0)
    spoilt["scene"] = scene
    assert np.array_equal(match_colors(**spoilt, strength=1)[inside], wanted[inside])


def test_a_flat_subject_takes_the_rings_mean_and_no_contrast(matching):
    matching["colors"] = flat(60, 0.6, 0.45, 0.4)
    matched = match_colors(**matching, strength=1)
    assert matched.std(axis=(0, 1)).max() < 1e-4
    theirs = lab(matching["scene"])[(grow(disc(100, 20), 10) - disc(100, 20)) > 0]
    assert lab(matched)[30, 30] == pytest.approx(theirs.mean(0), abs=0.3)


def test_noise_is_stretched_three_times_at_most(matching):
    matching["colors"] = flat(60, 0.5) + 0.004 * (make_image(60, 60, 1) - 0.5)
    matching["scene"] = make_image(100, 100)
    matched, before = (
        lab(c)[matching["alpha"] > 0.5] for c in (match_colors(**matching, strength=1), matching["colors"])
    )
    assert (matched.std(0) <= 3.2 * before.std(0)).all()


def test_without_a_ring_or_a_subject_nothing_is_matched(matching):
    nothing = matching | {"alpha": np.zeros((60, 60), np.float32)}
    assert match_colors(**nothing, strength=1) is matching["colors"]
    # The subject covers the whole canvas: there is nothing around it.
    whole = matching | {
        "alpha": np.ones((60, 60), np.float32),
        "scene": make_image(60, 60),
        "region": Box(0, 0, 60, 60),
    }
    assert match_colors(**whole, strength=1) is matching["colors"]


def test_a_light_match_changes_the_subject_and_nothing_else():
    scene, exemplar, matte = flat(80, 0.2, 0.3, 0.6), flat(60, 0.8, 0.6, 0.3), disc(60, 20)
    plain, matched = (
        paste(scene, Subject(exemplar, matte), Placement(size=0.5), PasteOptions(1, color_match=m)) for m in (0, 1)
    )
    assert np.array_equal(plain.matte, matched.matte)
    assert np.array_equal(matched.composite[matched.matte == 0], scene[matched.matte == 0])
    assert matched.composite[40, 40] == pytest.approx(scene[0, 0], abs=0.02)
    assert plain.composite[40, 40] == pytest.approx(exemplar[0, 0], abs=1e-6)
