"""The color shift of a VAE: found where nothing was to change, and taken off."""

import cv2
import numpy as np
import pytest
from image_support import GAIN, OFFSET, make_image, shifted

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.vae_color_shift import (
    CELL,
    LEAST_CELLS,
    NO_SHIFT,
    ColorShift,
    fit_color_shift,
    fit_with_saturation,
    saturated,
)


def residual_levels(shift, shifted_image, original):
    return float(np.abs(shift.apply(shifted_image) - original).max()) * 255


def shapes():
    """Large colored shapes, [256,256,3]."""
    coarse = np.random.default_rng(4).uniform(0.1, 0.8, (12, 12, 3)).astype(np.float32)
    return cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("altered", [0, 0.1, 0.3])
def test_a_color_shift_is_found_to_a_tenth_of_a_level_whatever_else_changed(altered):
    original, everywhere = make_image(96), np.ones((96, 96), np.float32)
    given = shifted(original)
    changed = np.random.default_rng(5).random((96, 96)) < altered
    given[changed] = np.clip(given[changed] + 0.25, 0.01, 0.99)
    shift = fit_color_shift(given, original, everywhere)
    assert residual_levels(shift, shifted(original), original) < 0.1
    assert shift.gain == pytest.approx(GAIN, abs=1e-3) and shift.offset == pytest.approx(OFFSET, abs=1e-3)
    assert 0.5 * (1 - altered) * 96**2 < shift.pixels <= (1 - altered) * 96**2 * 1.02


def test_a_shape_that_changed_does_not_affect_the_shift():
    # A third of what was thought untouched is another thing altogether.
    original = cv2.GaussianBlur(make_image(96), (0, 0), 2)
    given = shifted(original)
    given[:, :30] = np.float32([0.9, 0.1, 0.3])
    shift = fit_color_shift(given, original, np.ones((96, 96), np.float32))
    assert residual_levels(shift, shifted(original), original) < 0.1


@pytest.mark.parametrize("bits", ["rounded", "noise"])
def test_a_color_shift_is_found_through_noise(bits):
    rng, original = np.random.default_rng(3), make_image(192)
    given = shifted(original)
    given = (
        np.round(given * 255) / 255
        if bits == "rounded"
        else given + rng.normal(0, 2 / 255, given.shape).astype(np.float32)
    )
    shift = fit_color_shift(given.astype(np.float32), original, np.ones((192, 192), np.float32))
    # Noise ties the gain to 1, here more than need be: white noise has little left of its contrast in a cell's mean.
    assert residual_levels(shift, shifted(original), original) < (0.1 if bits == "rounded" else 0.7)


def test_clipped_pixels_do_not_affect_the_shift():
    original = make_image(128, low=0, high=1)
    given = np.clip(shifted(original), 0.1, 0.9)
    given = np.where(given <= 0.1, 0, np.where(given >= 0.9, 1, given)).astype(np.float32)
    shift = fit_color_shift(given, original, np.ones((128, 128), np.float32))
    inner = (original > 0.2).all(-1) & (original < 0.8).all(-1)
    assert np.abs(shift.apply(shifted(original)) - original)[inner].max() * 255 < 0.1


def test_only_untouched_pixels_are_read():
    original, untouched = make_image(64), np.zeros((64, 64), np.float32)
    untouched[:20] = 0.5
    given = shifted(original)
    wanted = fit_color_shift(given, original, untouched)
    given[20:] = np.nan
    found = fit_color_shift(given, original, untouched)
    assert np.array_equal(found.gain, wanted.gain) and np.array_equal(found.offset, wanted.offset)
    assert found.pixels <= 20 * 64


@pytest.mark.parametrize("too_small", [0, 0.05 / 255])
def test_no_shift_is_exactly_none(too_small):
    original = make_image(64)
    shift = fit_color_shift(original + np.float32(too_small), original, np.ones((64, 64), np.float32))
    assert shift.gain.tolist() == [1, 1, 1] and shift.offset.tolist() == [0, 0, 0]
    assert shift.pixels > 2000
    assert shift.apply(original) is original


@pytest.mark.parametrize("cells", [0, 1, LEAST_CELLS - 1])
def test_from_too_few_pixels_no_shift_is_read(cells):
    original, untouched = make_image(160), np.zeros((160, 160), np.float32)
    untouched[:CELL, : cells * CELL] = 1
    assert fit_color_shift(shifted(original), original, untouched) is NO_SHIFT
    untouched[:CELL, : (LEAST_CELLS + 1) * CELL] = 1
    assert fit_color_shift(shifted(original), original, untouched).pixels > 0


@pytest.mark.parametrize("texture", [0.005, 0.012, 0.02])
@pytest.mark.parametrize("shift", [(1, 0), (0.97, 0.01)])
def test_over_a_calm_background_noise_is_not_taken_for_a_lower_gain(texture, shift):
    # A wall or a sky, with a VAE's noise on it: a plain regression finds gains of .6 there.
    rng = np.random.default_rng(0)
    original = (0.2 + rng.normal(0, texture, (256, 256, 3))).astype(np.float32)
    noisy = ((original - shift[1]) / shift[0] + rng.normal(0, 0.01, original.shape)).astype(np.float32)
    found = fit_color_shift(noisy, original, np.ones((256, 256), np.float32))
    # At the tones that were seen it is right; of others, such as the subject's, it makes little of what it cannot know.
    seen, other = np.float32([0.2, 0.8]) / shift[0] - np.float32(shift[1]) / shift[0]
    assert np.abs(seen * found.gain + found.offset - 0.2).max() * 255 < 0.3
    assert np.abs(other * found.gain + found.offset - 0.8).max() * 255 < 8


@pytest.mark.parametrize("made", ["negative", "other", "bright"])
def test_what_no_vae_does_is_no_shift(made):
    original = make_image(64)
    given = {"negative": 1 - original, "other": make_image(64, 9), "bright": original * 0.3 + 0.6}[made]
    shift = fit_color_shift(given, original, np.ones((64, 64), np.float32))
    assert (shift.gain.tolist(), shift.offset.tolist(), shift.pixels) == ([1, 1, 1], [0, 0, 0], 0)


@pytest.mark.parametrize("noise", [0, 1.5 / 255])
@pytest.mark.parametrize("exposure", [0.25, 0.5, 1.5, (0.25, 0.35, 0.5)])
def test_a_scene_made_darker_or_brighter_all_over_is_brought_back(exposure, noise):
    original = shapes()
    given = linear_to_srgb(srgb_to_linear(original) * np.float32(exposure)).astype(np.float32)
    noisy = given + np.random.default_rng(2).normal(0, noise, given.shape).astype(np.float32)
    shift = fit_color_shift(noisy, original, np.ones((256, 256), np.float32))
    # Linear near black, sRGB is a power above, and of a power an exposure is a gain and an offset.
    assert np.median(np.abs(shift.apply(given) - original)) * 255 < 0.5
    assert shift.left * 255 < 2


@pytest.mark.parametrize("contrast", [0.6, 0.8, 1.4])
def test_another_contrast_is_brought_back(contrast):
    original = make_image(128, low=0.3, high=0.7)
    given = (original - 0.5) * np.float32(contrast) + np.float32(0.5)
    shift = fit_color_shift(given, original, np.ones((128, 128), np.float32))
    assert residual_levels(shift, given, original) < 0.1


@pytest.mark.parametrize("made", ["shifted", "sepia", "inverted", "red for blue"])
def test_how_far_a_shift_leaves_the_colors_apart_is_known(made):
    original = shapes()
    given = {
        "shifted": shifted(original),
        "sepia": original.mean(-1, keepdims=True) * np.float32([1.05, 1, 0.8]),
        "inverted": 1 - original,
        "red for blue": original[..., ::-1],
    }[made]
    left = fit_color_shift(np.ascontiguousarray(given), original, np.ones((256, 256), np.float32)).left * 255
    assert left < 0.1 if made == "shifted" else left > 6


@pytest.mark.parametrize("noise", [0, 1 / 255])
@pytest.mark.parametrize("saturation", [0.5, 0.8, 1.25])
def test_another_saturation_is_brought_back_with_the_tint(saturation, noise):
    original = shapes()
    given = np.clip(shifted(saturated(original, saturation)), 0.001, 0.999)
    noisy = (given + np.random.default_rng(1).normal(0, noise, given.shape)).astype(np.float32)
    shift = fit_with_saturation(noisy, original, np.ones((256, 256), np.float32))
    # A tint and a saturation do not quite commute.
    assert shift.saturation == pytest.approx(1 / saturation, rel=0.07)
    assert np.median(np.abs(shift.apply(given) - original)) * 255 < 1
    # Half of it is half of it.
    half = shift.apply(given, 0.5)
    assert np.median(np.abs(half - (given + original) / 2)) * 255 < 3


@pytest.mark.parametrize("made", ["shifted", "noisy", "growing", "darker", "gray"])
def test_no_other_saturation_is_found_in_what_another_cause_explains(made):
    original, rng = shapes(), np.random.default_rng(7)
    across = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    given = {
        "shifted": shifted(original),
        "noisy": original + rng.normal(0, 0.03, original.shape),
        "growing": original + across * np.float32([0.04, 0, -0.05]),
        "darker": linear_to_srgb(srgb_to_linear(original) * np.float32(0.3)),
        "gray": np.repeat(original.mean(-1, keepdims=True), 3, -1),
    }[made].astype(np.float32)
    everywhere = np.ones((256, 256), np.float32)
    found, plain = (fit(given, original, everywhere) for fit in (fit_with_saturation, fit_color_shift))
    assert found.saturation == 1
    assert np.array_equal(found.apply(given), plain.apply(given))


def test_of_a_flat_context_the_offset_is_read_and_the_gain_stays():
    original = np.zeros((40, 40, 3), np.float32) + np.float32([0.3, 0.5, 0.7])
    shift = fit_color_shift(original + np.float32([0.02, 0, -0.03]), original, np.ones((40, 40), np.float32))
    assert shift.gain == pytest.approx([1, 1, 1], abs=1e-3)
    assert shift.apply(original + np.float32([0.02, 0, -0.03])) == pytest.approx(original, abs=0.1 / 255)


def test_a_shift_is_taken_off_by_its_strength():
    shift, colors = ColorShift(GAIN, OFFSET, 100), make_image(8)
    whole = np.clip(colors * GAIN + OFFSET, 0, 1)
    assert shift.apply(colors) == pytest.approx(whole, abs=1e-6)
    assert shift.apply(colors, 0.5) == pytest.approx((whole + colors) / 2, abs=1e-6)
    assert shift.apply(colors, 0) is colors
    assert NO_SHIFT.apply(colors) is colors
