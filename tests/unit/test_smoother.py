"""The smoother of images: a plane around every pixel, the same as that of `local_linear.py`."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_support import disc, make_image

from phd_ops.local_linear import local_linear_smooth
from phd_ops.pixels.smoother import Smoother, product


def plane(side, slope_x, slope_y, height=0.3):
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    return (height + slope_x * x + slope_y * y)[..., None]


@given(st.integers(0, 2**32), st.floats(-2, 2), st.floats(-2, 2), st.sampled_from([3.0, 8.0, 20.0, 60.0]))
def test_a_linear_field_comes_back_on_any_matte(seed, slope_x, slope_y, sigma):
    field = plane(48, slope_x, slope_y)
    blobs = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((48, 48)), (0, 0), 4)
    matte = np.clip(blobs / blobs.std(), 0, 1).astype(np.float32)
    smooth = Smoother(matte, sigma)(field)
    assert np.abs(smooth - field)[matte > 0].max() < 1e-4


@pytest.mark.parametrize("sigma", [6.0, 30.0])
def test_a_linear_field_comes_back_at_the_silhouette_where_a_blur_bends(sigma):
    field, matte = plane(96, 1, 0.5), disc(96, 30)
    smooth = Smoother(matte, sigma)(field)
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
    smooth = Smoother(weight, sigma)(values)
    y, x = np.mgrid[0:side, 0:side].astype(float)
    for row, column in ((40, 40), (40, 12), (62, 55)):
        window = np.sqrt(weight * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))).ravel()
        design = np.stack([np.ones(side * side), (x - column).ravel(), (y - row).ravel()], 1)
        height = np.linalg.lstsq(design * window[:, None], values.ravel() * window, rcond=None)[0][0]
        assert smooth[row, column, 0] == pytest.approx(height, abs=0.01)


def test_values_without_weight_are_never_read():
    values, matte = make_image(40), disc(40, 12)
    spoilt = np.where(matte[..., None] > 0, values, np.float32(1e6))
    assert np.array_equal(Smoother(matte, 5)(values), Smoother(matte, 5)(spoilt))


def test_out_of_reach_of_all_weight_it_is_0():
    matte = np.zeros((64, 64), np.float32)
    matte[:4, :4] = 1
    assert Smoother(matte, 3)(np.ones((64, 64, 1), np.float32))[-1, -1] == 0
    assert not Smoother(np.zeros((16, 16), np.float32), 3)(np.ones((16, 16, 1), np.float32)).any()


@pytest.mark.parametrize("size", [(61, 47), (90, 130), (1, 40), (3, 2)])
@pytest.mark.parametrize("sigma", [4.0, 11.0, 70.0])
def test_it_gives_what_the_smoother_of_latents_gives(size, sigma):
    rng = np.random.default_rng(0)
    values, weight = rng.random((*size, 3), np.float32), np.clip(2 * rng.random((*size, 3), np.float32) - 0.8, 0, 1)
    fields, weights = (torch.from_numpy(array).movedim(-1, 0)[:, None] for array in (values, weight))
    theirs = local_linear_smooth(fields, weights, sigma)[:, 0].movedim(0, -1).numpy()
    assert Smoother(weight, sigma)(values) == pytest.approx(theirs, abs=1e-5)
    theirs = local_linear_smooth(fields.movedim(0, 1), weights[:1], sigma)[0].movedim(0, -1).numpy()
    assert Smoother(weight[..., 0], sigma)(values) == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("shape", [(3, 4, 5), (70, 70, 900), (900, 70, 70), (2, 700, 800)])
def test_a_product_in_parts_is_the_product(shape):
    rng, (rows, inner, columns) = np.random.default_rng(0), shape
    one, other = rng.standard_normal((rows, inner)), rng.standard_normal((inner, columns))
    np.testing.assert_allclose(product(one, other), one @ other, rtol=1e-12, atol=1e-12)
