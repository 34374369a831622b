"""Light: read smoothly up to the silhouette, given to the subject's own pixels."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.geometry import Box, Size
from phd_ops.light import (
    CELL,
    LEAST_CELLS,
    MOST_GAIN,
    NO_SHIFT,
    ColourShift,
    fade_in_window,
    fit_colour_shift,
    join,
    light_sigma,
    linear_to_srgb,
    local_linear_smooth,
    relight,
    relight_gain,
    shadow_gain,
    srgb_to_linear,
    stitch,
)
from phd_ops.masks import ramp
from phd_ops.paste import resize


def picture(side, seed=0, low=0.2, high=0.8):
    return np.random.default_rng(seed).uniform(low, high, (side, side, 3)).astype(np.float32)


def disc(side, radius, ramp=0.0):
    y, x = np.mgrid[0:side, 0:side] + 0.5
    inside = radius - np.hypot(x - side / 2, y - side / 2)
    return (np.clip(inside / ramp + 0.5, 0, 1) if ramp else inside > 0).astype(np.float32)


def plane(side, slope_x, slope_y, height=0.3):
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    return (height + slope_x * x + slope_y * y)[..., None]


def test_srgb_by_the_standard():
    assert srgb_to_linear(np.float32([0, 0.04045, 0.5, 1])) == pytest.approx([0, 0.0031308, 0.21404, 1], abs=1e-5)
    assert linear_to_srgb(np.float32([0, 0.0031308, 0.21404, 1])) == pytest.approx([0, 0.04045, 0.5, 1], abs=1e-5)


def test_srgb_round_trip():
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    assert linear_to_srgb(srgb_to_linear(values)) == pytest.approx(values, abs=1e-6)
    assert linear_to_srgb(np.float32([-1, 2])) == pytest.approx([0, 1], abs=1e-6)


@given(st.integers(0, 2**32), st.floats(-2, 2), st.floats(-2, 2), st.sampled_from([3.0, 8.0, 20.0, 60.0]))
def test_a_linear_field_comes_back_on_any_matte(seed, slope_x, slope_y, sigma):
    field = plane(48, slope_x, slope_y)
    blobs = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((48, 48)), (0, 0), 4)
    matte = np.clip(blobs / blobs.std(), 0, 1).astype(np.float32)
    smooth = local_linear_smooth(field, matte, sigma)
    assert np.abs(smooth - field)[matte > 0].max() < 1e-4


@pytest.mark.parametrize("sigma", [6.0, 30.0])
def test_a_linear_field_comes_back_at_the_silhouette_where_a_blur_bends(sigma):
    field, matte = plane(96, 1, 0.5), disc(96, 30)
    smooth = local_linear_smooth(field, matte, sigma)
    blurred = cv2.GaussianBlur(field[..., 0] * matte, (0, 0), sigma) / np.maximum(
        cv2.GaussianBlur(matte, (0, 0), sigma), 1e-6
    )
    assert np.abs(smooth - field)[matte > 0].max() < 1e-4
    assert np.abs(blurred - field[..., 0])[matte > 0].max() > 0.03
    # And a little beyond it.
    assert np.abs(smooth - field)[disc(96, 33) > 0].max() < 1e-3


@pytest.mark.parametrize("sigma", [6.0, 20.0])
def test_it_is_the_weighted_least_squares_plane(sigma):
    """By its definition, at a few pixels; a wide window is computed on a coarse grid and must still agree."""
    rng, side = np.random.default_rng(0), 80
    values, weight = rng.random((side, side, 1), dtype=np.float32), disc(side, 30, 4)
    smooth = local_linear_smooth(values, weight, sigma)
    y, x = np.mgrid[0:side, 0:side].astype(float)
    for row, column in ((40, 40), (40, 12), (62, 55)):
        window = np.sqrt(weight * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))).ravel()
        design = np.stack([np.ones(side * side), (x - column).ravel(), (y - row).ravel()], 1)
        height = np.linalg.lstsq(design * window[:, None], values.ravel() * window, rcond=None)[0][0]
        assert smooth[row, column, 0] == pytest.approx(height, abs=0.01)


def test_values_without_weight_are_never_read():
    values, matte = picture(40), disc(40, 12)
    spoilt = np.where(matte[..., None] > 0, values, np.float32(1e6))
    assert np.array_equal(local_linear_smooth(values, matte, 5), local_linear_smooth(spoilt, matte, 5))


def test_out_of_reach_of_all_weight_it_is_0():
    matte = np.zeros((64, 64), np.float32)
    matte[:4, :4] = 1
    assert local_linear_smooth(np.ones((64, 64, 1), np.float32), matte, 3)[-1, -1] == 0
    assert not local_linear_smooth(np.ones((16, 16, 1), np.float32), np.zeros((16, 16), np.float32), 3).any()


def test_light_sigma_is_a_quarter_of_the_diameter():
    assert light_sigma(disc(200, 80)) == pytest.approx(40, rel=0.01)
    assert light_sigma(disc(20, 3)) == 4


def test_a_picture_that_did_not_change_has_gain_1():
    composite = picture(48)
    assert (relight_gain(composite, composite, disc(48, 16)) == 1).all()


@pytest.mark.parametrize("gain", [(1.5, 1.5, 1.5), (0.7, 1.0, 1.4)])
def test_a_constant_gain_in_the_subject_comes_back(gain):
    before, matte = picture(64, low=0.45, high=0.7), disc(64, 20)
    after = np.where(matte[..., None] > 0, linear_to_srgb(srgb_to_linear(before) * np.float32(gain)), before)
    found = relight_gain(after, before, matte)[matte > 0]
    # DARK, which keeps black finite, draws gains a little towards 1.
    assert found == pytest.approx(np.broadcast_to(np.float32(gain), found.shape), rel=0.03)


def test_what_happens_outside_the_subject_does_not_count():
    before, matte = picture(64), disc(64, 20)
    after = np.where(matte[..., None] > 0, before, 1 - before)
    assert relight_gain(after, before, matte)[matte > 0] == pytest.approx(1, abs=1e-6)


def test_luma_only_gives_one_gain_and_leaves_colour():
    before, matte = np.full((48, 48, 3), 0.5, np.float32), disc(48, 16)
    after = linear_to_srgb(srgb_to_linear(before) * np.float32([1.6, 1.0, 0.8]))
    gain = relight_gain(after, before, matte, luma_only=True)
    assert np.array_equal(gain[..., 0], gain[..., 1]) and np.array_equal(gain[..., 0], gain[..., 2])
    expected = np.exp(np.log([1.6, 1.0, 0.8]) @ [0.2126, 0.7152, 0.0722])
    assert gain[24, 24, 0] == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("after", "limit"), [(1.0, MOST_GAIN), (0.0, 1 / MOST_GAIN)])
def test_gains_are_bounded(after, limit):
    before = np.full((32, 32, 3), 0.15 if after else 0.9, np.float32)
    gain = relight_gain(np.full((32, 32, 3), after, np.float32), before, disc(32, 12))
    assert gain[16, 16] == pytest.approx(limit, rel=1e-4)
    assert gain.min() >= 1 / MOST_GAIN - 1e-6 and gain.max() <= MOST_GAIN + 1e-5


def test_relight_multiplies_linear_light():
    composite = picture(8, low=0.2, high=0.6)
    assert np.array_equal(relight(composite, np.float32([1, 1, 1])), linear_to_srgb(srgb_to_linear(composite)))
    twice = srgb_to_linear(relight(composite, np.float32([2, 1, 0.5])))
    assert twice == pytest.approx(srgb_to_linear(composite) * np.float32([2, 1, 0.5]), abs=1e-5)


@pytest.fixture
def pieces():
    background, subject, harmonised = (picture(48, seed) for seed in range(3))
    matte = disc(48, 10, 3)
    composite = matte[..., None] * subject + (1 - matte[..., None]) * background
    change = np.clip((18 - np.hypot(*(np.mgrid[0:48, 0:48] - 23.5))) / 4, 0, 1).astype(np.float32)
    gain = np.full((48, 48, 3), 1.2, np.float32)
    pictures = {"background": background, "composite": composite, "harmonised": harmonised}
    return pictures | {"matte": matte, "change": change, "gain": gain}


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_stitch_leaves_every_bit_outside_the_used_mask(pieces, detail):
    image, used = join(**pieces, detail=detail)
    assert np.array_equal(used, np.maximum(pieces["matte"], pieces["change"]))
    assert 0 < (used == 0).mean() < 1
    assert np.array_equal(image[used == 0], pieces["background"][used == 0])
    assert image.dtype == np.float32


def test_without_detail_the_subject_is_the_models(pieces):
    image, _ = join(**pieces, detail=0)
    # Off the soft rim, where subject and surround are taken apart first.
    inside = (pieces["matte"] == 1) | ((pieces["matte"] == 0) & (pieces["change"] == 1))
    assert image[inside] == pytest.approx(pieces["harmonised"][inside], abs=1e-6)


def test_with_all_detail_the_subject_is_its_own_under_the_gain(pieces):
    image, _ = join(**pieces, detail=1)
    inside = pieces["matte"] == 1
    assert image[inside] == pytest.approx(relight(pieces["composite"], pieces["gain"])[inside], abs=1e-6)


def test_the_surround_fades_from_model_to_background(pieces):
    image, _ = join(**pieces, detail=1)
    outside, change = pieces["matte"] == 0, pieces["change"][..., None]
    expected = pieces["background"] * (1 - change) + pieces["harmonised"] * change
    assert image[outside] == pytest.approx(expected[outside], abs=1e-6)


def test_a_composite_that_did_not_change_is_given_back_whatever_the_detail(pieces):
    # Up to the edge of what may change, where it is the background's anyway.
    pieces["background"] = np.where(pieces["matte"][..., None] > 0, pieces["background"], pieces["composite"])
    pieces |= {"harmonised": pieces["composite"], "gain": np.ones((48, 48, 3), np.float32)}
    for detail in (0, 0.5, 1):
        assert join(**pieces, detail=detail)[0] == pytest.approx(pieces["composite"], abs=1e-5)


def test_stitching_what_was_not_changed_gives_the_composite_back_soft_rim_and_all(pieces):
    """Whatever the ring: the soft rim is mixed with the background once, not twice."""
    for change in (pieces["change"], np.zeros_like(pieces["change"])):
        same = {**pieces, "harmonised": pieces["composite"], "gain": np.ones_like(pieces["gain"]), "change": change}
        image, used = join(**same, detail=1)
        inside = used > 0
        assert image[inside] == pytest.approx(pieces["composite"][inside], abs=2e-5)


def test_shadow_gain_finds_a_shadow_beside_the_subject_and_never_brightens():
    before = np.full((96, 96, 3), 0.6, np.float32)
    matte = np.zeros((96, 96), np.float32)
    matte[20:60, 30:66] = 1
    after = before.copy()
    after[62:80, 20:76] = linear_to_srgb(srgb_to_linear(before[:1, :1]) * 0.5)
    after[:15] = 0.9
    gain = shadow_gain(after, before, matte)
    assert gain.shape == (96, 96, 1)
    assert gain[71, 48, 0] == pytest.approx(0.5, abs=0.12)
    assert gain.max() <= 1 and gain[5, 48, 0] == 1
    assert shadow_gain(before, before, matte) == pytest.approx(np.ones((96, 96, 1)))


def test_kept_surround_is_the_backgrounds_under_the_shadow(pieces):
    image, _ = join(**pieces, detail=1, keep_surround=1.0, shadow=np.float32(0.5))
    ring = (pieces["change"] == 1) & (pieces["matte"] == 0)
    assert ring.any()
    expected = linear_to_srgb(srgb_to_linear(pieces["background"]) * 0.5)
    assert image[ring] == pytest.approx(expected[ring], abs=1e-6)


GAIN, OFFSET = np.float32([1.04, 0.97, 1.02]), np.float32([-0.02, 0.015, 0.01])


def shifted(original):
    """What a VAE makes of a picture whose colours `GAIN` and `OFFSET` bring back."""
    return (original - OFFSET) / GAIN


def residual_levels(shift, shifted_picture, original):
    return float(np.abs(shift.apply(shifted_picture) - original).max()) * 255


@pytest.mark.parametrize("altered", [0, 0.1, 0.3])
def test_a_colour_shift_is_found_to_a_tenth_of_a_level_whatever_else_changed(altered):
    original, everywhere = picture(96), np.ones((96, 96), np.float32)
    given = shifted(original)
    changed = np.random.default_rng(5).random((96, 96)) < altered
    given[changed] = np.clip(given[changed] + 0.25, 0.01, 0.99)
    shift = fit_colour_shift(given, original, everywhere)
    assert residual_levels(shift, shifted(original), original) < 0.1
    assert shift.gain == pytest.approx(GAIN, abs=1e-3) and shift.offset == pytest.approx(OFFSET, abs=1e-3)
    assert 0.5 * (1 - altered) * 96**2 < shift.pixels <= (1 - altered) * 96**2 * 1.02


def test_a_shape_that_changed_has_no_say():
    # A third of what was thought untouched is another thing altogether.
    original = cv2.GaussianBlur(picture(96), (0, 0), 2)
    given = shifted(original)
    given[:, :30] = np.float32([0.9, 0.1, 0.3])
    shift = fit_colour_shift(given, original, np.ones((96, 96), np.float32))
    assert residual_levels(shift, shifted(original), original) < 0.1


@pytest.mark.parametrize("bits", ["rounded", "noise"])
def test_a_colour_shift_is_found_through_noise(bits):
    rng, original = np.random.default_rng(3), picture(192)
    given = shifted(original)
    given = (
        np.round(given * 255) / 255
        if bits == "rounded"
        else given + rng.normal(0, 2 / 255, given.shape).astype(np.float32)
    )
    shift = fit_colour_shift(given.astype(np.float32), original, np.ones((192, 192), np.float32))
    # Noise ties the gain to 1, here more than need be: white noise has little left of its contrast in a cell's mean.
    assert residual_levels(shift, shifted(original), original) < (0.1 if bits == "rounded" else 0.7)


def test_clipped_pixels_have_no_say():
    original = picture(128, low=0, high=1)
    given = np.clip(shifted(original), 0.1, 0.9)
    given = np.where(given <= 0.1, 0, np.where(given >= 0.9, 1, given)).astype(np.float32)
    shift = fit_colour_shift(given, original, np.ones((128, 128), np.float32))
    inner = (original > 0.2).all(-1) & (original < 0.8).all(-1)
    assert np.abs(shift.apply(shifted(original)) - original)[inner].max() * 255 < 0.1


def test_only_untouched_pixels_are_read():
    original, untouched = picture(64), np.zeros((64, 64), np.float32)
    untouched[:20] = 0.5
    given = shifted(original)
    wanted = fit_colour_shift(given, original, untouched)
    given[20:] = np.nan
    found = fit_colour_shift(given, original, untouched)
    assert np.array_equal(found.gain, wanted.gain) and np.array_equal(found.offset, wanted.offset)
    assert found.pixels <= 20 * 64


@pytest.mark.parametrize("too_small", [0, 0.05 / 255])
def test_no_shift_is_exactly_none(too_small):
    original = picture(64)
    shift = fit_colour_shift(original + np.float32(too_small), original, np.ones((64, 64), np.float32))
    assert shift.gain.tolist() == [1, 1, 1] and shift.offset.tolist() == [0, 0, 0]
    assert shift.pixels > 2000
    assert shift.apply(original) is original


@pytest.mark.parametrize("cells", [0, 1, LEAST_CELLS - 1])
def test_from_too_few_pixels_no_shift_is_read(cells):
    original, untouched = picture(160), np.zeros((160, 160), np.float32)
    untouched[:CELL, : cells * CELL] = 1
    assert fit_colour_shift(shifted(original), original, untouched) is NO_SHIFT
    untouched[:CELL, : (LEAST_CELLS + 1) * CELL] = 1
    assert fit_colour_shift(shifted(original), original, untouched).pixels > 0


@pytest.mark.parametrize("texture", [0.005, 0.012, 0.02])
@pytest.mark.parametrize("shift", [(1, 0), (0.97, 0.01)])
def test_over_a_calm_background_noise_is_not_taken_for_a_lower_gain(texture, shift):
    # A wall or a sky, with a VAE's noise on it: a plain regression finds gains of .6 there.
    rng = np.random.default_rng(0)
    original = (0.2 + rng.normal(0, texture, (256, 256, 3))).astype(np.float32)
    noisy = ((original - shift[1]) / shift[0] + rng.normal(0, 0.01, original.shape)).astype(np.float32)
    found = fit_colour_shift(noisy, original, np.ones((256, 256), np.float32))
    # At the tones that were seen it is right; of others, such as the subject's, it makes little of what it cannot know.
    seen, other = np.float32([0.2, 0.8]) / shift[0] - np.float32(shift[1]) / shift[0]
    assert np.abs(seen * found.gain + found.offset - 0.2).max() * 255 < 0.3
    assert np.abs(other * found.gain + found.offset - 0.8).max() * 255 < 8


@pytest.mark.parametrize("made", ["negative", "other", "bright"])
def test_what_no_vae_does_is_no_shift(made):
    original = picture(64)
    given = {"negative": 1 - original, "other": picture(64, 9), "bright": original * 0.3 + 0.6}[made]
    assert fit_colour_shift(given, original, np.ones((64, 64), np.float32)) is NO_SHIFT


def test_of_a_flat_context_the_offset_is_read_and_the_gain_stays():
    original = np.zeros((40, 40, 3), np.float32) + np.float32([0.3, 0.5, 0.7])
    shift = fit_colour_shift(original + np.float32([0.02, 0, -0.03]), original, np.ones((40, 40), np.float32))
    assert shift.gain == pytest.approx([1, 1, 1], abs=1e-3)
    assert shift.apply(original + np.float32([0.02, 0, -0.03])) == pytest.approx(original, abs=0.1 / 255)


def test_a_shift_is_taken_off_by_its_strength():
    shift, colours = ColourShift(GAIN, OFFSET, 100), picture(8)
    whole = np.clip(colours * GAIN + OFFSET, 0, 1)
    assert shift.apply(colours) == pytest.approx(whole, abs=1e-6)
    assert shift.apply(colours, 0.5) == pytest.approx((whole + colours) / 2, abs=1e-6)
    assert shift.apply(colours, 0) is colours
    assert NO_SHIFT.apply(colours) is colours


def stitched(window, blend, **more):
    return stitch(**window, fade=ramp(window["change"], 0, blend), **more)


@pytest.fixture
def window():
    """A window with a pasted subject, soft at its rim, and what may change."""
    y, x = np.mgrid[0:120, 0:160].astype(np.float32)
    background = np.stack([0.3 + x / 400, 0.3 + y / 300, 0.6 - x / 500], -1) + 0.04 * picture(160, 1)[:120]
    matte = np.clip((24 - np.hypot(x - 80, y - 60)) / 3 + 0.5, 0, 1)
    subject = np.float32([0.6, 0.4, 0.3]) + 0.1 * (picture(160, 2)[:120] - 0.5)
    composite = (matte[..., None] * subject + (1 - matte[..., None]) * background).astype(np.float32)
    change = (np.hypot(x - 80, y - 60) < 40).astype(np.float32)
    return {"background": background, "composite": composite, "matte": matte, "change": change}


@pytest.mark.parametrize("size", [(160, 120), (96, 72), (320, 240), (152, 128)])
@pytest.mark.parametrize("detail", [0.0, 0.9])
def test_a_window_of_which_nothing_was_made_goes_back_to_the_bit(window, size, detail):
    """Also where it was worked on at another size: then the picture is resized once, not twice."""
    done = stitched(window, 12, sampled=resize(window["composite"], Size(*size)), detail=detail)
    assert 0 < (done.used > 0).mean() < 1
    assert np.array_equal(done.picture[done.used > 0], window["composite"][done.used > 0])
    assert np.array_equal(done.picture[done.used == 0], window["background"][done.used == 0])
    assert (done.gain == 1).all()


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (96, 72)])
def test_a_colour_shift_of_the_model_is_taken_off(window, size):
    given = resize(window["composite"], Size(*size))
    done, left = (stitched(window, 0, sampled=shifted(given), colour_fix=fix, detail=0) for fix in (1, 0))
    assert done.shift.pixels > 1000
    assert done.shift.gain == pytest.approx(GAIN, abs=1e-3)
    # Off the soft rim, where subject and surround are taken apart first.
    used = (done.used == 1) & np.isin(window["matte"], (0, 1))
    wanted = resize(given, Size(160, 120))
    assert np.abs(done.picture - wanted)[used].max() * 255 < 0.1
    assert np.abs(left.picture - wanted)[used].max() * 255 > 4


def test_what_the_model_painted_is_not_taken_for_a_shift(window):
    sampled = np.where(window["change"][..., None] > 0, window["composite"] * 0.6, window["composite"])
    done = stitched(window, 0, sampled=sampled, detail=0)
    assert done.shift.gain.tolist() == [1, 1, 1] and done.shift.offset.tolist() == [0, 0, 0]
    inside = (done.used == 1) & np.isin(window["matte"], (0, 1))
    assert done.picture[inside] == pytest.approx((window["composite"] * 0.6)[inside], abs=1e-5)


def test_a_shift_and_a_change_of_light_are_told_apart(window):
    darker = linear_to_srgb(srgb_to_linear(window["composite"]) * 0.6)
    sampled = shifted(np.where(window["change"][..., None] > 0, darker, window["composite"]))
    done = stitched(window, 12, sampled=sampled, detail=1)
    core = window["matte"] == 1
    # DARK, which keeps black finite, draws gains a little towards 1.
    assert done.gain[core] == pytest.approx(np.full((core.sum(), 3), 0.6), abs=0.05)


def test_with_a_control_light_is_the_difference_of_both(window):
    darker = linear_to_srgb(srgb_to_linear(window["composite"]) * 0.6)
    sampled = np.where(window["change"][..., None] > 0, darker, window["composite"])
    core = window["matte"] == 1
    for control, gain in ((sampled, 1), (window["composite"], 0.6)):
        done = stitched(window, 12, sampled=sampled, control=control, detail=1)
        assert done.gain[core] == pytest.approx(np.full((core.sum(), 3), gain), abs=0.05)


@given(
    st.integers(0, 2**32),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 60),
    st.booleans(),
    st.floats(0, 1),
    st.sampled_from([(48, 40), (64, 56), (32, 24), (1, 1)]),
    st.booleans(),
)
def test_whatever_the_options_the_outside_is_the_backgrounds(
    seed, detail, keep_surround, blend, luma_only, colour_fix, size, with_control
):
    rng = np.random.default_rng(seed)
    blobs = cv2.GaussianBlur(rng.standard_normal((40, 48)), (0, 0), 4)
    matte = np.clip(3 * blobs / blobs.std() - 3, 0, 1).astype(np.float32)
    change = (blobs / blobs.std() > 0.6).astype(np.float32)
    background, composite = (rng.random((40, 48, 3), dtype=np.float32) for _ in range(2))
    sampled, control = (rng.random((size[1], size[0], 3), dtype=np.float32) for _ in range(2))
    arrays = [background, composite, sampled, matte, change, control]
    copies = [array.copy() for array in arrays]
    done = stitch(
        *arrays[:5],
        ramp(change, 0, blend),
        control=control if with_control else None,
        detail=detail,
        keep_surround=keep_surround,
        luma_only=luma_only,
        colour_fix=colour_fix,
    )
    outside = done.used == 0
    assert np.array_equal(done.picture[outside], background[outside])
    assert not done.used[np.maximum(matte, change) == 0].any()
    assert np.isfinite(done.picture).all() and done.picture.min() >= 0 and done.picture.max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


def test_even_of_an_unchanged_window_only_the_used_part_comes_back(window):
    # A composite that differs where nothing may change: there the background counts.
    window["composite"] = np.where(window["change"][..., None] > 0, window["composite"], 1 - window["composite"])
    done = stitched(window, 12, sampled=window["composite"].copy())
    assert np.array_equal(done.picture[done.used == 0], window["background"][done.used == 0])
    assert np.array_equal(done.picture[done.used > 0], window["composite"][done.used > 0])


@pytest.mark.parametrize("detail", [0, 0.5, 0.9, 1])
def test_what_the_model_did_to_all_is_not_done_twice_at_a_soft_edge(detail):
    # It makes everything darker by one factor, where the subject is soft too.
    y, x = np.mgrid[0:120, 0:120]
    matte = cv2.GaussianBlur((np.hypot(x - 60, y - 60) < 25).astype(np.float32), (0, 0), 6)
    matte[matte < 1 / 255] = 0
    background = np.full((120, 120, 3), 0.5, np.float32)
    composite = matte[..., None] * np.float32([0.7, 0.6, 0.5]) + (1 - matte[..., None]) * background
    harmonised = linear_to_srgb(srgb_to_linear(composite) * np.float32(0.5))
    gain = relight_gain(harmonised, composite, matte)
    picture_, _ = join(background, composite, harmonised, matte, np.ones_like(matte), detail, gain)
    assert np.abs(picture_ - harmonised).max() * 255 < (0.5 if detail == 0 else 6)


def test_a_window_fades_where_it_ends_inside_the_picture_and_not_at_its_border():
    change = np.zeros((40, 60), np.float32)
    change[20:, 10:50] = 1
    fade = fade_in_window(change, Box(10, 20, 40, 20), 8)
    assert fade.shape == (20, 40)
    # The mask ends with the window on three sides; the fourth is the picture's.
    assert fade[0].max() < 0.1 and fade[:, 0].max() < 0.1 and fade[:, -1].max() < 0.1
    assert fade[-1, 20] == 1
