"""An edge drawn again after the image: by hand where that can be computed, and in general properties."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.pixels import edge_matting
from phd_ops.pixels.edge_matting import refine_edge
from phd_ops.pixels.masks import signed_distance

RED, GREEN = np.float32([0.8, 0.2, 0.1]), np.float32([0.1, 0.5, 0.3])


def disc(side=80, radius=25.0, ramp=2.0, x=0.0):
    v, u = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    return np.clip((radius - np.hypot(u - x, v)) / ramp + 0.5, 0, 1).astype(np.float32)


def make_image(matte, grain=0.0):
    alpha = matte[..., None]
    image = alpha * RED + (1 - alpha) * GREEN
    return (image + np.random.default_rng(0).normal(0, grain, image.shape)).clip(0, 1).astype(np.float32)


def band_error(mask, truth, width=5):
    return float(np.abs(mask - truth)[np.abs(signed_distance(truth)) <= width].mean())


@pytest.mark.parametrize("ramp", [1.0, 3.0])
def test_a_hard_mask_becomes_the_true_matte_where_colors_tell_all(ramp):
    truth = disc(ramp=ramp)
    found = refine_edge(make_image(truth), (truth > 0.5).astype(np.float32), 4)
    assert band_error(found, truth) < 0.01


@pytest.mark.parametrize("pixels", [-2, 2])
def test_an_edge_some_pixels_off_is_brought_back(pixels):
    truth = disc()
    off = disc(radius=25 + pixels)
    assert band_error(refine_edge(make_image(truth, 0.01), off, 4), truth) < 0.2 * band_error(off, truth)


def test_a_mask_moved_sideways_is_brought_back():
    truth = disc()
    assert band_error(refine_edge(make_image(truth, 0.02), disc(x=2.0), 5), truth) < 0.03


def test_beyond_the_band_the_mask_becomes_hard_and_nothing_else_changes():
    mask = cv2.GaussianBlur(disc(), (0, 0), 6)
    found = refine_edge(make_image(disc()), mask, 3)
    far = np.abs(signed_distance(mask)) >= 3
    assert np.array_equal(found[far], (mask > 0.5)[far])


def test_a_single_color_tells_nothing_and_the_mask_stays():
    mask = disc(ramp=6)
    found = refine_edge(np.full((80, 80, 3), 0.5, np.float32), mask, 3)
    assert np.abs(found - mask)[np.abs(signed_distance(mask)) < 3].max() < 0.2
    assert (signed_distance(found) > 0).sum() == pytest.approx((mask > 0.5).sum(), rel=0.05)


def test_zero_pixels_leave_the_mask_as_it_is():
    mask = disc()
    assert refine_edge(make_image(mask), mask, 0) is mask


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_without_an_edge_stays_as_it_is(value):
    mask = np.full((50, 60), value, np.float32)
    assert np.array_equal(refine_edge(np.random.default_rng(0).random((50, 60, 3)).astype("f4"), mask, 5), mask)


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3), (3, 300)])
def test_small_images_do_not_crash(shape):
    rng = np.random.default_rng(0)
    mask = rng.random(shape, np.float32)
    found = refine_edge(rng.random((*shape, 3), np.float32), mask, 4)
    assert found.shape == shape and found.min() >= 0 and found.max() <= 1


@given(st.integers(0, 2**31), st.integers(1, 8))
def test_any_mask_stays_a_mask_and_its_input_stays_as_it_was(seed, pixels):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(3, 40, 2)
    image, mask = rng.random((height, width, 3), np.float32), rng.random((height, width), np.float32)
    before = mask.copy()
    found = refine_edge(image, mask, pixels)
    assert found.dtype == np.float32 and found.shape == mask.shape
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
    assert np.array_equal(mask, before)


def test_tiles_leave_no_seam(monkeypatch):
    truth = disc(200, 70)
    image, mask = make_image(truth, 0.02), disc(200, 71.5)
    whole = refine_edge(image, mask, 4)
    monkeypatch.setattr(edge_matting, "TILE", 37)
    tiled = refine_edge(image, mask, 4)
    assert np.abs(tiled - whole).max() < 0.02


def test_the_energy_is_that_of_the_paper():
    """Levin 2006, eq. 12, summed window by window: the solved matte has the least of it (with the trust term)."""
    rng = np.random.default_rng(3)
    image, mask = rng.random((7, 8, 3)), (rng.random((7, 8)) > 0.5).astype(np.float32)
    unknown = np.zeros((7, 8), bool)
    unknown[2:5, 2:6] = True

    def energy(matte):
        total = edge_matting.MASK_WEIGHT * np.square(matte - mask)[unknown].sum()
        for row in range(5):
            for column in range(6):
                colors = image[row : row + 3, column : column + 3].reshape(9, 3)
                alpha = matte[row : row + 3, column : column + 3].ravel()
                # The best linear function of the colors, with a small price on its slope.
                design = np.column_stack([colors, np.ones(9)])
                price = np.diag([edge_matting.NOISE] * 3 + [0])
                fit = np.linalg.solve(design.T @ design + price, design.T @ alpha)
                total += np.square(design @ fit - alpha).sum() + fit @ price @ fit
        return total

    free = edge_matting.solve(image, mask, unknown).astype(float)
    inner = unknown & (free > 0) & (free < 1)
    assert inner.any()
    for row, column in np.argwhere(inner):
        for step in (-1e-3, 1e-3):
            other = free.copy()
            other[row, column] += step
            assert energy(other) > energy(free) - 1e-9
