"""A color shift that varies across an image: found where it does, and constant where it does not."""

import cv2
import numpy as np
import pytest
from image_support import make_image, shifted

from phd_ops.pixels.vae_color_shift import fit_color_shift

SIDE = 192
ALL = np.ones((SIDE, SIDE), np.float32)


def scene(seed=0):
    """Large shapes and some grain, away from 0 and 1."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0.25, 0.75, (9, 9, 3)).astype(np.float32), (SIDE, SIDE))
    return coarse + 0.05 * (make_image(SIDE, seed) - 0.5)


def tint(kind):
    """The gain and the offset of a damage at each pixel, [SIDE,SIDE,3]."""
    at = (2 * np.arange(SIDE) + 1) / SIDE - 1
    u, v = np.meshgrid(at, at)
    slope, zero = np.float32([0.10, -0.04, -0.08]), np.zeros((SIDE, SIDE, 3), np.float32)
    if kind == "offset from left to right":
        return 1 + zero, 0.4 * u[..., None] * slope
    if kind == "gain from top to bottom":
        return 1.03 + v[..., None] * slope, zero
    if kind == "vignette":
        return 1 + (0.3 - 0.5 * (u * u + v * v))[..., None] * np.abs(slope), zero - 0.01
    return 1 + zero, zero


def residual(shift, image, original):
    return float(np.abs(shift.apply(image) - original).max()) * 255


@pytest.mark.parametrize("altered", [False, True])
@pytest.mark.parametrize("kind", ["offset from left to right", "gain from top to bottom", "vignette"])
def test_a_tint_that_varies_is_taken_off_everywhere(kind, altered):
    original = scene()
    gain, offset = tint(kind)
    tinted = (original * gain + offset).astype(np.float32)
    given = tinted.copy()
    if altered:
        given[40:100, 60:120] = np.float32([0.8, 0.3, 0.2])
    shift = fit_color_shift(given, original, ALL)
    assert shift.field is not None
    # The inverse of a gain that varies is no polynomial, and it is seen less well where something else stands.
    assert residual(shift, tinted, original) < (4 if altered else 1.5)
    assert residual(fit_constant(given, original), tinted, original) > 8


def fit_constant(given, original):
    """A shift from so few cells that it is constant."""
    few = np.zeros_like(ALL)
    few[80:120, 20:130] = 1
    return fit_color_shift(given, original, few)


@pytest.mark.parametrize("damage", ["none", "noise", "blur", "another thing"])
def test_a_constant_shift_stays_constant(damage):
    rng, original = np.random.default_rng(1), scene()
    given = shifted(original)
    if damage == "noise":
        given = given + rng.normal(0, 3 / 255, given.shape)
    elif damage == "blur":
        given = cv2.GaussianBlur(given, (0, 0), 2)
    elif damage == "another thing":
        given[:, :60] = 0.6 * given[:, :60] + 0.1
    shift = fit_color_shift(given.astype(np.float32), original, ALL)
    assert shift.field is None and shift.pixels > 0


def test_no_shift_is_none_whatever_the_images_noise():
    original = scene()
    given = (original + np.random.default_rng(1).normal(0, 3 / 255, original.shape)).astype(np.float32)
    shift = fit_color_shift(given, original, ALL)
    assert shift.field is None and residual(shift, original, original) < 0.5


def test_under_what_changed_the_field_goes_on():
    original = scene()
    gain, offset = tint("offset from left to right")
    tinted, untouched = (original * gain + offset).astype(np.float32), ALL.copy()
    untouched[50:150, 50:150] = 0
    given = np.where(untouched[..., None] > 0, tinted, np.float32(0.2))
    assert residual(fit_color_shift(given, original, untouched), tinted, original) < 1.5


def test_a_field_seen_in_one_corner_alone_is_not_carried_across():
    original, corner = scene(), np.zeros_like(ALL)
    corner[:88, :88] = 1
    gain, offset = tint("vignette")
    given = (original * gain + offset + np.random.default_rng(0).normal(0, 0.01, original.shape)).astype(np.float32)
    shift = fit_color_shift(given, original, corner)
    assert shift.field is None or shift.field.largest() < 0.2


def test_a_field_is_removed_by_its_strength_and_at_any_size():
    original = scene()
    gain, offset = tint("gain from top to bottom")
    tinted = (original * gain + offset).astype(np.float32)
    shift = fit_color_shift(tinted, original, ALL)
    whole = shift.apply(tinted)
    assert shift.apply(tinted, 0.5) == pytest.approx((whole + tinted) / 2, abs=1e-6)
    half = cv2.resize(tinted, (96, 96), interpolation=cv2.INTER_AREA)
    assert shift.apply(half) == pytest.approx(cv2.resize(whole, (96, 96), interpolation=cv2.INTER_AREA), abs=2e-3)
