"""The local-linear smoother: a plane around every pixel, from weighted pixels only."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.local_linear import local_linear_smooth

HEIGHT, WIDTH = 47, 61
DTYPES = [torch.float32, torch.float64]


def shaped(*parts, value=1.0):
    """A weight [1,1,H,W] that is `value` in each of the index pairs."""
    weight = torch.zeros(1, 1, HEIGHT, WIDTH)
    for rows, columns in parts:
        weight[0, 0, rows, columns] = value
    return weight


def blobs(seed, holes=False):
    """Soft parts of any form; with holes their inside is gone."""
    random = torch.randn(1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(random, 7, 1, 3, count_include_pad=False)
    weight = (4 * smooth / smooth.std()).clamp(0, 1)
    return weight * (smooth < 1.2 * smooth.std()) if holes else weight


STEPS = torch.arange(HEIGHT)
ALL = slice(None)
MATTES = {
    "full": shaped((ALL, ALL)),
    "faint": shaped((ALL, ALL), value=0.004),
    "half": shaped((slice(0, 20), ALL)),
    "horizontal line": shaped((20, ALL)),
    "vertical line": shaped((ALL, 20)),
    "diagonal line": shaped((STEPS, STEPS)),
    "steep line": shaped((STEPS, (1.27 * STEPS).long())),
    "1 pixel": shaped((5, 7)),
    "1 pixel in the corner": shaped((HEIGHT - 1, WIDTH - 1)),
    "2 pixels": shaped((5, slice(7, 9))),
    "3 pixels": shaped((5, slice(7, 9)), (6, 7)),
    "two parts": shaped((slice(2, 12), slice(3, 9)), (slice(40, 44), slice(50, 58))),
    "a frame": shaped((slice(10, 40), slice(10, 50))) - shaped((slice(14, 36), slice(14, 46))),
}


def plane(dtype=torch.float32, slope_x=1.0, slope_y=-0.7, height=0.3, size=(HEIGHT, WIDTH)):
    """A linear field that rises by a slope over the longer side."""
    y, x = (torch.arange(side, dtype=dtype) / max(size) for side in size)
    return (height + slope_y * y[:, None] + slope_x * x)[None, None]


def error(weight, sigma, dtype=torch.float32, **slopes):
    field = plane(dtype, size=weight.shape[-2:], **slopes)
    smooth = local_linear_smooth(field, weight.to(dtype), sigma)
    assert smooth.dtype == dtype and smooth.isfinite().all()
    return (smooth - field).abs()[weight > 0].max().item()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0, 9.0, 20.0])
@pytest.mark.parametrize("matte", MATTES)
def test_a_linear_field_comes_back_on_every_matte(matte, sigma, dtype):
    assert error(MATTES[matte], sigma, dtype) < 1e-5


@pytest.mark.parametrize("matte", ["full", "faint", "half", "two parts", "a frame"])
@pytest.mark.parametrize("sigma", [60.0, 200.0])
def test_a_linear_field_comes_back_with_a_window_wider_than_the_image(matte, sigma):
    # What holds the slope of too narrow mattes weighs more against so wide a window.
    assert error(MATTES[matte], sigma) < 1e-5 * (sigma / 60) ** 2


@given(
    st.integers(0, 2**32),
    st.booleans(),
    st.floats(0.5, 60),
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.sampled_from(DTYPES),
)
def test_a_linear_field_comes_back_on_soft_and_holed_mattes(seed, holes, sigma, slope_x, slope_y, dtype):
    assert error(blobs(seed, holes), sigma, dtype, slope_x=slope_x, slope_y=slope_y) < 2e-5


@given(st.integers(0, 2**32), st.floats(0.001, 0.2), st.floats(1, 16))
def test_a_linear_field_comes_back_on_scattered_pixels(seed, density, sigma):
    random = torch.rand(2, 1, 1, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
    weight = random[0] * (random[1] < density)
    weight[0, 0, 3, 4] = 1
    assert error(weight, sigma) < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 200), (201, 5), (130, 257)])
@pytest.mark.parametrize("sigma", [1.0, 4.0])
def test_a_linear_field_comes_back_on_images_of_any_size(size, sigma):
    assert error(torch.ones(1, 1, *size), sigma) < 1e-5


@pytest.mark.parametrize(("size", "sigma"), [((300, 517), 100.0), ((1100, 90), 4.0), ((1100, 90), 40.0)])
def test_on_a_coarse_grid_a_linear_field_comes_back_up_to_the_silhouette(size, sigma):
    """The last row and column of cells are not whole."""
    height, width = size
    y, x = torch.arange(height)[:, None] / height - 0.5, torch.arange(width) / width - 0.5
    weight = (6 * (0.4 - torch.hypot(x, y))).clamp(0, 1)[None, None]
    assert error(weight, sigma) < 1e-5


def weighted_plane(values, weight, sigma, row, column):
    """The height of the weighted least squares plane at a pixel, by its definition."""
    y, x = np.mgrid[0 : values.shape[0], 0 : values.shape[1]].astype(float)
    window = np.sqrt(weight * np.exp(-((x - column) ** 2 + (y - row) ** 2) / (2 * sigma**2))).ravel()
    design = np.stack([np.ones(x.size), (x - column).ravel() / sigma, (y - row).ravel() / sigma], 1)
    return np.linalg.lstsq(design * window[:, None], values.ravel() * window, rcond=None)[0][0]


@pytest.mark.parametrize(
    ("side", "sigma", "tolerance"),
    [(48, 1.5, 1e-5), (48, 6.0, 1e-5), (48, 40.0, 1e-5), (192, 8.0, 0.006), (192, 30.0, 0.006)],
)
def test_the_result_is_the_weighted_least_squares_plane(side, sigma, tolerance):
    """To rounding where a cell is a pixel, and nearly where it holds several; inside, at the silhouette and beyond."""
    y, x = torch.meshgrid(*[torch.arange(side) / side - 0.5] * 2, indexing="ij")
    weight = (8 * (0.35 - torch.hypot(x, y))).clamp(0, 1)
    values = torch.sin(9 * x + 5 * y * y) + torch.rand(side, side, generator=torch.Generator().manual_seed(0))
    smooth = local_linear_smooth(values[None, None], weight[None, None], sigma)[0, 0]
    for row, column in ((0.5, 0.5), (0.5, 0.16), (0.76, 0.73), (0.12, 0.5)):
        row, column = int(row * side), int(column * side)
        wanted = weighted_plane(values.numpy(), weight.numpy(), sigma, row, column)
        assert smooth[row, column].item() == pytest.approx(wanted, abs=tolerance)


@pytest.mark.parametrize("sigma", [1.0, 5.0, 30.0])
def test_a_constant_stays_wherever_the_window_reaches(sigma):
    field = torch.full((1, 2, HEIGHT, WIDTH), 0.7)
    smooth = local_linear_smooth(field, MATTES["two parts"], sigma)
    reached = smooth != 0
    torch.testing.assert_close(smooth[reached], field[reached], rtol=0, atol=1e-6)
    assert reached[..., 2:12, 3:9].all()


def test_scaling_all_weights_changes_nothing():
    values = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    full, faint = (local_linear_smooth(values, MATTES[name], 5.0) for name in ("full", "faint"))
    torch.testing.assert_close(full, faint, rtol=0, atol=1e-5)


@given(st.integers(0, 2**32), st.sampled_from([1.0, 6.0, 25.0]), st.sampled_from(DTYPES))
def test_values_without_weight_are_never_used(seed, sigma, dtype):
    generator = torch.Generator().manual_seed(seed)
    values, weight = torch.rand(1, 2, HEIGHT, WIDTH, generator=generator, dtype=dtype), blobs(seed).to(dtype)
    junk = torch.where(weight > 0, values, 1e6 * torch.randn(values.shape, generator=generator, dtype=dtype))
    assert torch.equal(local_linear_smooth(junk, weight, sigma), local_linear_smooth(values, weight, sigma))


def test_out_of_reach_of_all_weight_the_result_is_0():
    smooth = local_linear_smooth(plane(height=3), MATTES["1 pixel"], 2.0)
    assert smooth[0, 0, 5, 7] > 2 and not smooth[0, 0, 25:].any() and not smooth[0, 0, :, 30:].any()


@pytest.mark.parametrize("sigma", [1.0, 30.0])
def test_without_any_weight_the_result_is_0(sigma):
    assert not local_linear_smooth(plane(), torch.zeros(1, 1, HEIGHT, WIDTH), sigma).any()


def test_beyond_the_silhouette_the_plane_continues():
    weight = shaped((slice(10, 30), slice(10, 40)))
    near = shaped((slice(7, 33), slice(7, 43))) > 0
    field = plane()
    assert (local_linear_smooth(field, weight, 5.0) - field).abs()[near].max() < 1e-5


@pytest.mark.parametrize("sigma", [1.0, 6.0, 30.0])
def test_items_are_independent(sigma):
    values = torch.rand(3, 4, 130, 75, generator=torch.Generator().manual_seed(2))
    weight = (torch.rand(3, 1, 130, 75, generator=torch.Generator().manual_seed(3)) - 0.3).clamp(0)
    weight[1] = 0
    together = local_linear_smooth(values, weight, sigma)
    for i in range(3):
        assert torch.equal(together[i : i + 1], local_linear_smooth(values[i : i + 1], weight[i : i + 1], sigma))


def test_one_weight_serves_all_items():
    values, weight = torch.rand(3, 2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2)), blobs(4)
    assert torch.equal(
        local_linear_smooth(values, weight, 4.0), local_linear_smooth(values, weight.repeat(3, 1, 1, 1), 4.0)
    )


def test_the_smoother_is_linear_in_the_values():
    one, other = torch.rand(2, 1, 2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(2))
    smooth = [local_linear_smooth(values, blobs(5), 4.0) for values in (one, other, 2 * one - 3 * other)]
    torch.testing.assert_close(smooth[2], 2 * smooth[0] - 3 * smooth[1], rtol=0, atol=1e-5)


def test_inputs_are_left_as_they_were():
    values, weight = plane(), blobs(1)
    copies = values.clone(), weight.clone()
    local_linear_smooth(values, weight, 4.0)
    assert torch.equal(values, copies[0]) and torch.equal(weight, copies[1])
