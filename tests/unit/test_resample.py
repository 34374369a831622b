"""Resizing against Pillow, which filters the same way in float."""

import cv2
import numpy as np
import pytest
from PIL import Image

from phd_ops.pixels.geometry import Margins, Size
from phd_ops.pixels.resample import AUTO, BILINEAR, LANCZOS, NEAREST, RESAMPLERS, pad, quick_resize, resample, resize

FILTERS = {LANCZOS: Image.Resampling.LANCZOS, BILINEAR: Image.Resampling.BILINEAR, NEAREST: Image.Resampling.NEAREST}
SIZES = [(64, 48), (200, 150), (31, 97), (101, 7), (1, 1)]


def image(height, width, seed=0):
    # Well inside 0..1, so that nothing that overshoots is clipped.
    return (0.4 + 0.2 * np.random.default_rng(seed).random((height, width, 3))).astype(np.float32)


@pytest.mark.parametrize("resampler", FILTERS)
@pytest.mark.parametrize("size", SIZES)
def test_resamplers_are_pillows(resampler, size):
    source = image(73, 101)
    made = resize(source, Size(*size), resampler)
    channels = [Image.fromarray(source[..., n]).resize(size, FILTERS[resampler]) for n in range(3)]
    wanted = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    assert made.dtype == np.float32 and made.shape == (size[1], size[0], 3)
    assert abs(made - wanted).max() < 2e-6


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_an_image_of_the_wanted_size_is_itself_and_a_flat_one_stays_flat(resampler):
    source = image(20, 30)
    assert resize(source, Size(30, 20), resampler) is source
    flat = np.full((20, 30, 3), 0.7, np.float32)
    for size in SIZES:
        np.testing.assert_allclose(resize(flat, Size(*size), resampler), 0.7, atol=1e-6)


@pytest.mark.parametrize("resampler", RESAMPLERS)
def test_values_stay_in_range(resampler):
    source = (np.random.default_rng(1).random((40, 40, 3)) > 0.5).astype(np.float32)
    for size in ((90, 90), (17, 23)):
        made = resize(source, Size(*size), resampler)
        assert made.min() >= 0 and made.max() <= 1
    assert resize(source[..., 0], Size(9, 9), resampler).shape == (9, 9)


def test_margins_repeat_the_edge_or_are_0_and_none_copies_nothing():
    source = image(3, 4)
    made = pad(source, Margins(1, 2, 3, 0))
    assert np.array_equal(made, np.pad(source, ((2, 0), (1, 3), (0, 0)), "edge"))
    assert np.array_equal(
        pad(source[..., 0], Margins(0, 0, 0, 2), repeat=False), np.pad(source[..., 0], ((0, 2), (0, 0)))
    )
    assert pad(source, Margins()) is source
    assert RESAMPLERS[0] == AUTO


@pytest.mark.parametrize("border", [cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT])
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-7, 5), (2, 2), (40, 0), (0, -40)])
@pytest.mark.parametrize("size", [(24, 18), (9, 30), (40, 40)])
def test_a_shift_by_whole_pixels_keeps_every_bit(border, shift, size):
    source, matrix = image(18, 24), np.column_stack([np.eye(2), shift])
    given = source.copy()
    made = resample(source, matrix, Size(*size), border)
    wanted = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_NEAREST, borderMode=border)
    assert np.array_equal(made, wanted) and np.array_equal(source, given)


@pytest.mark.parametrize("scale", [0.5, 0.6, 0.79, 1.0, 1.5])
def test_what_is_resized_quickly_leaves_no_pixel_out_and_keeps_the_mean(scale):
    side = 61
    size = Size(round(scale * side), round(scale * side))
    for place in range(side):
        mask = np.zeros((side, side), np.float32)
        mask[place, side - 1 - place] = 1
        assert quick_resize(mask, size).max() > 0
    source = image(side, side)
    assert quick_resize(source, size).mean() == pytest.approx(source.mean(), abs=2e-3)
    assert quick_resize(source, Size(side, side)) is source


@pytest.mark.parametrize("side", [64, 30, 8])
def test_what_is_resized_quickly_to_half_or_less_is_the_mean_of_its_pixels(side):
    source = image(128, 128)
    wanted = cv2.resize(source, (side, side), interpolation=cv2.INTER_AREA)
    assert quick_resize(source, Size(side, side)) == pytest.approx(wanted, abs=1e-6)
