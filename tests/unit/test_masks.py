"""Masks: edges move by the pixels asked for, and "may change" is never lost."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from phd_ops.latents.mask_grid import (
    changed_cells,
    cover,
    greatest,
    on_grid,
    on_latent_frames,
    on_video_images,
    share,
    temporal_stride,
)
from phd_ops.pixels.masks import (
    as_mask,
    beyond,
    distance_to,
    drop_specks,
    feather,
    fill_holes,
    grow,
    keep_components,
    largest_component,
    local_radius,
    narrow_ramp,
    ramp,
    resize_mask,
    ring,
    signed_distance,
    stabilize,
    zero_black,
)


def square(side, start, stop):
    mask = np.zeros((side, side), np.float32)
    mask[start:stop, start:stop] = 1
    return mask


def radius_map(side):
    """Distance of every pixel's center to the image's."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    return np.hypot(x - side / 2, y - side / 2)


@pytest.mark.parametrize("shape", [(5, 7), (1, 5, 7), (1, 1, 5, 7), (1, 5, 7, 1)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.uint8, torch.bool, torch.int64])
def test_as_mask_takes_every_shape_and_type(shape, dtype):
    given = (torch.arange(35) % 2).reshape(shape).to(dtype)
    mask = as_mask(given)
    assert (mask.shape, mask.dtype) == ((1, 5, 7), torch.float32)
    assert torch.equal(mask.flatten(), (torch.arange(35) % 2).float())


@pytest.mark.parametrize("shape", [(3, 5, 7), (3, 1, 5, 7), (3, 5, 7, 1)])
def test_as_mask_keeps_the_batch(shape):
    values = torch.rand(shape)
    assert torch.equal(as_mask(values), values.reshape(3, 5, 7))


def test_as_mask_bounds_its_values_and_nan_is_nothing():
    given = torch.tensor([[float("nan"), -1.0, 0.25], [2.0, float("inf"), float("-inf")]])
    assert as_mask(given).tolist() == [[[0.0, 0.0, 0.25], [1.0, 1.0, 0.0]]]


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5, 7), (1, 1, 1, 5, 7), (0, 5, 7), (1, 0, 7)])
def test_as_mask_refuses_other_shapes_and_names_them(shape):
    with pytest.raises(ValueError, match=str(tuple(shape)).replace("(", r"\(").replace(")", r"\)")):
        as_mask(torch.zeros(shape))


def test_signed_distance_runs_between_pixels():
    mask = np.float32([[0, 0, 0, 1, 1, 1]] * 3)
    assert signed_distance(mask).tolist() == [[-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]] * 3


def test_signed_distance_of_nothing_and_of_everything():
    assert (signed_distance(np.zeros((4, 5), np.float32)) == -np.inf).all()
    assert (signed_distance(np.ones((4, 5), np.float32)) == np.inf).all()


@pytest.mark.parametrize("pixels", [*range(0, 65, 4), 1, 2, 3, 7.5])
def test_grow_moves_a_discs_edge_by_the_given_pixels(pixels):
    radius = radius_map(220)
    grown = grow((radius < 40).astype(np.float32), pixels) == 1
    assert grown[radius < 40 + pixels - 0.75].all()
    assert not grown[radius > 40 + pixels + 0.75].any()
    # The edge itself: the radius of a disc of the same area.
    assert np.sqrt(grown.sum() / np.pi) == pytest.approx(40 + pixels, abs=0.5)


@pytest.mark.parametrize("pixels", [*range(0, 65, 4), 1, 2, 3])
def test_grow_moves_a_squares_sides_by_whole_pixels(pixels):
    grown = grow(square(200, 80, 120), pixels)
    assert np.flatnonzero(grown[100]).tolist() == list(range(80 - pixels, 120 + pixels))
    assert np.flatnonzero(grown[:, 100]).tolist() == list(range(80 - pixels, 120 + pixels))


@pytest.mark.parametrize("pixels", [1, 2, 5, 19])
def test_grow_shrinks_where_negative(pixels):
    assert (grow(square(60, 10, 50), -pixels) == square(60, 10 + pixels, 50 - pixels)).all()
    radius = radius_map(120)
    shrunk = grow((radius < 40).astype(np.float32), -pixels)
    assert np.sqrt(shrunk.sum() / np.pi) == pytest.approx(40 - pixels, abs=0.5)


def test_grow_by_more_than_there_is():
    assert not grow(square(60, 20, 40), -10).any()
    assert grow(square(60, 20, 40), 60).all()
    assert not grow(np.zeros((9, 9), np.float32), 60).any()
    assert grow(np.ones((9, 9), np.float32), -60).all()


@pytest.mark.parametrize("width", [1, 2, 3, 8, 24])
def test_a_ring_lies_outside_its_mask_and_has_its_width(width):
    mask = square(120, 40, 80)
    band = ring(mask, width)
    assert not (band * mask).any()
    assert np.flatnonzero(band[60]).tolist() == [*range(40 - width, 40), *range(80, 80 + width)]


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_mask_and_ring_make_the_grown_mask(seed, width):
    mask = (np.random.default_rng(seed).random((24, 31)) > 0.97).astype(np.float32)
    assert (np.maximum(mask, ring(mask, width)) == grow(mask, width)).all()


@given(st.integers(0, 2**32), st.floats(0, 20))
def test_a_ramp_inside_is_never_outside(seed, width):
    mask = cv2.GaussianBlur(np.random.default_rng(seed).random((24, 31)).astype(np.float32), (0, 0), 2)
    mask = (mask > 0.5).astype(np.float32)
    depth = signed_distance(mask)
    for soft in (ramp(depth, width), narrow_ramp(depth, width)):
        assert not soft[mask == 0].any()
        assert (soft[mask == 1] > 0).all()
        assert soft.max() <= 1
    assert (narrow_ramp(depth, width) >= ramp(depth, width)).all()


def test_a_ramp_inside_rises_linearly_to_1():
    mask = np.float32([[0, 0, 1, 1, 1, 1, 1, 1]] * 2)
    depth = signed_distance(mask)
    assert ramp(depth, 4)[0].tolist() == [0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]
    assert (ramp(depth, 0) == mask).all()
    assert (ramp(signed_distance(np.ones((4, 4), np.float32)), 3) == 1).all()


@pytest.mark.parametrize("radius", [20, 60, 180])
def test_the_local_radius_is_that_of_the_disc_that_fits_in(radius):
    mask = disc_of(400, radius)
    found = local_radius(signed_distance(mask), 500)[mask > 0]
    # Rounded down to the next of the radii that are tried.
    assert radius / 2**0.5 - 1 < found.max() <= radius
    assert (found == found.max()).mean() > 0.95
    # A thin line keeps its own, also where it hangs on the disc.
    mask[199:202] = 1
    line = local_radius(signed_distance(mask), 500)[200, : 200 - radius - 8]
    assert not line.any()


def disc_of(side, radius):
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    return (np.hypot(x, y) < radius).astype(np.float32)


def test_feather_crosses_one_half_at_the_edge_and_does_not_fade_at_the_border():
    mask = np.repeat(np.float32([[1] * 20 + [0] * 20]), 8, axis=0)
    soft = feather(mask, 3)
    assert soft[4, 19] + soft[4, 20] == pytest.approx(1, abs=1e-5)
    assert soft[:, :5] == pytest.approx(1, abs=1e-5)
    # Of a straight edge a Gaussian leaves Phi(d / sigma); 3.5 px outside, sigma 3: .1217.
    assert soft[4, 23] == pytest.approx(0.1217, abs=0.002)
    assert feather(mask, 0) is mask


def test_fill_holes_fills_what_does_not_reach_the_border():
    mask = square(20, 4, 16)
    mask[8:11, 8:11] = 0
    mask[9, 9] = 0.3
    assert (fill_holes(mask) == square(20, 4, 16)).all()


def test_fill_holes_leaves_larger_ones_than_asked():
    mask = square(20, 4, 16)
    mask[6:8, 6:8] = mask[10:13, 10:13] = 0
    small = square(20, 4, 16)
    small[10:13, 10:13] = 0
    assert (fill_holes(mask, 4) == small).all() and (fill_holes(mask, 3) == mask).all()
    for plain in (np.zeros((6, 6), np.float32), np.ones((6, 6), np.float32)):
        assert (fill_holes(plain, 9) == plain).all()


def test_fill_holes_leaves_bays_and_soft_edges():
    mask = square(20, 4, 16)
    mask[0:10, 9] = 0
    mask[16, 4:16] = 0.25
    assert (fill_holes(mask) == mask).all()
    # A region enclosed by the subject and the image's border is not a hole.
    bay = np.ones((6, 6), np.float32)
    bay[0, 2] = 0
    assert (fill_holes(bay) == bay).all()


def test_the_largest_component_stays_with_its_soft_edge():
    mask = np.zeros((30, 40), np.float32)
    mask[5:20, 5:20] = 1
    mask[4, 5:20] = mask[20, 5:20] = 0.4
    large = mask.copy()
    mask[10:14, 30:34] = 1
    assert (largest_component(mask) == large).all()


def test_nothing_of_a_component_close_by_is_left():
    mask = np.zeros((20, 20), np.float32)
    mask[2:12, 2:10] = 1
    large = mask.copy()
    mask[2:12, 11:18] = 1
    assert (largest_component(mask) == large).all()


def test_one_component_or_none_is_left_alone():
    soft = feather(square(20, 5, 15), 2)
    assert (largest_component(soft) == soft).all()
    assert not largest_component(np.zeros((5, 5), np.float32)).any()


def test_resize_mask_keeps_the_covered_share():
    assert resize_mask(square(64, 16, 48), 16, 16) == pytest.approx(square(16, 4, 12))
    assert resize_mask(square(63, 16, 48), 20, 20).mean() == pytest.approx((32 / 63) ** 2, abs=1e-3)
    mask = square(8, 2, 4)
    assert resize_mask(mask, 8, 8) is mask


@given(st.data(), st.integers(2, 9), st.integers(2, 9))
def test_cover_never_loses_a_pixel_of_a_mask_of_another_size(data, rows, columns):
    height, width = data.draw(st.integers(rows, 90)), data.draw(st.integers(columns, 90))
    assume((height // (height // rows), width // (height // rows)) != (rows, columns))
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    mask = torch.zeros(1, height, width)
    mask[0, y, x] = 2 / 255
    covered = cover(mask, rows, columns)
    assert covered.shape == (1, rows, columns)
    assert covered[0, int((y + 0.5) * rows / height), int((x + 0.5) * columns / width)] == 1
    # And at most its neighbors, where a cell's edge cuts through the pixel.
    assert covered.sum() <= 4


@pytest.mark.parametrize(("pixel", "cell"), [(2, None), (3, 0), (10, 0), (11, 1), (514, 63), (515, None), (518, None)])
def test_cover_crops_an_odd_remainder_as_the_vae_does(pixel, cell):
    # 519 = 64 cells of 8 and 7 over: 3 are cropped before and 4 behind.
    for axis in (1, 2):
        mask = torch.zeros(1, 519, 519)
        mask.select(axis, pixel)[:] = 1
        lines = cover(mask, 64, 64)[0].amax(2 - axis)
        assert lines.nonzero().flatten().tolist() == ([] if cell is None else [cell])


@pytest.mark.parametrize("cell", [4, 8, 16, 32])
def test_cover_is_exact_where_cells_are_whole(cell):
    mask = torch.rand(2, 3 * cell, 4 * cell) ** 200
    cells = mask.reshape(2, 3, cell, 4, cell).amax((2, 4))
    assert torch.equal(cover(mask, 3, 4), (cells > 1 / 255).float())


def test_cover_ignores_what_an_8_bit_mask_cannot_store():
    assert not cover(torch.full((1, 16, 16), 1 / 256), 2, 2).any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_as_mask_reads_integers_above_1_as_8_bits(dtype):
    assert as_mask(torch.tensor([[0, 51, 255]], dtype=dtype)).tolist() == [[[0.0, pytest.approx(0.2), 1.0]]]
    assert as_mask(torch.tensor([[0, 1, 1]], dtype=dtype)).tolist() == [[[0.0, 1.0, 1.0]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_as_mask_of_any_float_type_is_float32(dtype):
    mask = as_mask(torch.tensor([[0.0, 0.25, 1.0, 1.5]], dtype=dtype))
    assert mask.dtype == torch.float32
    assert mask.tolist() == [[[0.0, 0.25, 1.0, 1.0]]]


def test_as_mask_leaves_the_mask_it_was_given():
    given = torch.tensor([[float("nan"), -1.0, 2.0]], requires_grad=True)
    as_mask(given)[...] = 0.5
    assert given.tolist()[0][1:] == [-1.0, 2.0]


@pytest.mark.parametrize("pixels", [0, 1, 31, 64, 100.5, 128, 255, 256, -1, -16, -39])
def test_grow_is_right_to_half_a_pixel_up_to_256(pixels):
    radius = radius_map(640)
    grown = grow((radius < 50).astype(np.float32), pixels)
    assert np.sqrt(grown.sum() / np.pi) == pytest.approx(50 + pixels, abs=0.5)
    # Along a straight edge it is exact to the pixel.
    straight = np.zeros((8, 600), np.float32)
    straight[:, :300] = 1
    assert abs(grow(straight, pixels)[4].sum() - (300 + pixels)) <= 0.5


def mask_of(kind, seed, height, width):
    rng, mask = np.random.default_rng(seed), np.zeros((height, width), np.float32)
    if kind == "full":
        mask[:] = 1
    elif kind == "specks":
        mask[:] = rng.random((height, width)) > 0.95
    elif kind == "corners":
        mask[0, 0] = mask[-1, -1] = mask[0, -1] = 1
    elif kind == "border":
        mask[:, -1] = mask[0] = 1
    elif kind == "blob":
        mask[height // 3 : 2 * height // 3 + 1, width // 4 : width // 2 + 1] = 1
    elif kind == "soft":
        mask[:] = rng.random((height, width))
    return mask


@given(
    st.sampled_from(["empty", "full", "specks", "corners", "border", "blob", "soft"]),
    st.integers(0, 99),
    st.integers(1, 40),
    st.integers(1, 40),
    st.floats(-50, 50),
)
def test_grow_agrees_with_the_signed_distance(kind, seed, height, width, pixels):
    mask = mask_of(kind, seed, height, width)
    assert (grow(mask, pixels) == (signed_distance(mask) > -pixels)).all()


def bands(mask, inner, outer):
    """Core, seam, ring and context of a mask: whatever the widths, all from one signed distance."""
    distance, context = signed_distance(mask), beyond(mask, outer)
    core = distance >= inner
    return [band.astype(np.float32) for band in (core, ~core & ~context, (distance < 0) & ~context, context)]


@given(st.sampled_from(["specks", "corners", "border", "blob"]), st.integers(0, 99), st.floats(0, 9), st.floats(0, 9))
def test_core_seam_and_context_make_up_the_image(kind, seed, inner, outer):
    mask = mask_of(kind, seed, 24, 31)
    core, seam, ring_, context = bands(mask, inner, outer)
    assert ((core + seam + context) == 1).all()
    assert (ring_ == seam * (mask == 0)).all()
    assert (core <= mask).all() and (context <= 1 - mask).all()


def test_bands_have_their_widths():
    core, seam, ring_, context = (band[4] for band in bands(square(100, 30, 70)[30:40], 5, 8))
    assert np.flatnonzero(core).tolist() == list(range(35, 65))
    assert np.flatnonzero(context).tolist() == [*range(0, 22), *range(78, 100)]
    assert np.flatnonzero(ring_).tolist() == [*range(22, 30), *range(70, 78)]
    assert np.flatnonzero(seam).tolist() == [*range(22, 35), *range(65, 78)]


def test_bands_without_width_are_the_mask_and_the_rest():
    mask = square(30, 10, 20)
    core, seam, ring_, context = bands(mask, 0, 0)
    assert (core == mask).all() and (context == 1 - mask).all()
    assert not seam.any() and not ring_.any()


@pytest.mark.parametrize(("value", "core", "context"), [(0, 0, 1), (1, 1, 0)])
def test_bands_of_nothing_and_of_everything(value, core, context):
    found = bands(np.full((6, 7), value, np.float32), 3, 3)
    assert [band.mean() for band in found] == [core, 0, 0, context]


@pytest.mark.parametrize("sigma", [1.5, 6])
def test_feather_is_a_gaussian_of_its_sigma(sigma):
    """The slope of a straight edge is the Gaussian itself: its deviation is sigma, to the pixel that sampled it."""
    slope = -np.diff(feather(np.repeat(np.float32([[1] * 60 + [0] * 60]), 4, axis=0), sigma)[2])
    x = np.arange(1, 120)
    mean = (slope * x).sum() / slope.sum()
    assert mean == pytest.approx(60, abs=0.01)
    assert np.sqrt((slope * (x - mean) ** 2).sum() / slope.sum()) == pytest.approx(sigma, rel=0.03)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("value", "stable"), [(0.98, 1), (0.999, 1), (0.02, 0), (0.97, 0.97), (0.5, 0.5), (0.03, 0.03)]
)
def test_a_core_of_98_percent_becomes_opaque_however_it_was_stored(dtype, value, stable):
    stored = np.array([[value]], dtype).astype(np.float32)
    assert stabilize(stored)[0, 0] == (stable if stable in (0, 1) else stored[0, 0])


@given(st.integers(0, 2**32))
def test_stabilize_touches_neither_soft_edges_nor_itself(seed):
    mask = np.random.default_rng(seed).random((20, 20)).astype(np.float32)
    stable = stabilize(mask)
    soft = (mask > 0.021) & (mask < 0.979)
    assert np.array_equal(stable[soft], mask[soft])
    assert np.array_equal(stabilize(stable), stable)
    assert stable.dtype == np.float32


def specks():
    """Parts of 1, 4 and 100 pixels, the last with a soft edge."""
    mask = np.zeros((30, 40), np.float32)
    mask[2, 2], mask[10:12, 5:7], mask[10:20, 20:30] = 1, 1, 1
    mask[10:20, 30] = 0.3
    return mask


@pytest.mark.parametrize(("area", "kept"), [(0, 105), (1, 105), (2, 104), (4, 104), (5, 100), (100, 100), (101, 0)])
def test_drop_specks_drops_parts_of_fewer_pixels(area, kept):
    dropped = drop_specks(specks(), area)
    assert (dropped > 0.5).sum() == kept
    assert dropped.any() == (kept > 0)
    # A part keeps its soft edge.
    assert (dropped[10:20, 30] == (np.float32(0.3) if kept else 0)).all()


def test_keep_components_asks_for_every_parts_area():
    asked = []
    keep_components(specks(), lambda areas: asked.append(sorted(areas.tolist())) or areas > 0)
    assert asked == [[1, 4, 100]]
    assert (largest_component(specks()) == drop_specks(specks(), 50)).all()
    assert not drop_specks(np.zeros((5, 5), np.float32), 3).any()


@pytest.mark.parametrize("cell", [8, 16, 32])
@pytest.mark.parametrize("extra", [0, 1, 7])
def test_cover_of_every_grid_never_loses_a_pixel_that_the_vae_sees(cell, extra):
    # A mask of single pixels, one in each cell of an image whose sides are no multiples of the cell.
    height, width = 3 * cell + extra, 5 * cell + extra
    before = extra // 2
    for y, x in (
        (before, before),
        (before + cell, before + 3 * cell - 1),
        (before + 3 * cell - 1, before + 5 * cell - 1),
    ):
        mask = torch.zeros(1, height, width)
        mask[0, y, x] = 1
        wanted = torch.zeros(1, 3, 5)
        wanted[0, (y - before) // cell, (x - before) // cell] = 1
        assert torch.equal(cover(mask, 3, 5), wanted)


@given(st.floats(0.3, 12), st.integers(1, 40))
def test_feather_never_exceeds_1(sigma, start):
    mask = np.zeros((40, 48), np.float32)
    mask[:, :start] = 1
    assert feather(mask, sigma).max() <= 1
    assert feather(np.ones((20, 20), np.float32), sigma).max() <= 1


@pytest.mark.parametrize("sigma", [9, 20, 64])
def test_a_wide_feather_on_a_coarse_grid_is_the_gaussian(sigma):
    mask = (radius_map(401) < 120).astype(np.float32)
    direct = cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    assert np.abs(feather(mask, sigma) - direct).max() < 0.01


def test_share_is_the_part_of_a_cell_that_is_subject():
    mask = torch.zeros(1, 16, 24)
    mask[0, :8, :4], mask[0, 8:, 8:16], mask[0, 8, 16] = 1, 0.5, 1
    assert torch.equal(share(mask, 2, 3), torch.tensor([[[0.5, 0, 0], [0, 0.5, 1 / 64]]]))


@pytest.mark.parametrize("cell", [4, 8, 16, 32])
@pytest.mark.parametrize("extra", [0, 1, 7])
def test_a_grid_covers_the_part_of_an_image_that_the_vae_takes(cell, extra):
    extra = min(extra, cell - 1)
    mask = torch.rand(2, 9 * cell + extra, 11 * cell + extra, generator=torch.Generator().manual_seed(0))
    taken = mask[:, extra // 2 :, extra // 2 :][:, : 9 * cell, : 11 * cell]
    assert torch.equal(on_grid(mask, 9, 11), taken)
    cells = taken.unflatten(2, (11, cell)).unflatten(1, (9, cell))
    torch.testing.assert_close(share(mask, 9, 11), cells.mean((2, 4)))
    assert torch.equal(greatest(mask, 9, 11), cells.amax((2, 4)))


def test_a_mask_of_another_shape_is_stretched_over_the_grid():
    mask = torch.rand(1, 10, 37, generator=torch.Generator().manual_seed(0))
    assert on_grid(mask, 8, 8) is mask
    assert share(mask, 8, 8).shape == (1, 8, 8)
    assert on_grid(mask[:, :4, :4], 8, 8).shape == (1, 4, 4)


def latents(batch=1, seed=0, side=32):
    return 3 + 2 * torch.randn(batch, 4, side, side, generator=torch.Generator().manual_seed(seed))


def test_where_nothing_was_sampled_nothing_has_changed():
    before = latents()
    assert not changed_cells(before, before.clone()).any()
    after = before.clone()
    after[..., 10:20, 10:20] = latents(seed=1)[..., 10:20, 10:20] - 4
    changed = changed_cells(before, after)
    assert changed.shape == (1, 32, 32) and changed.dtype == torch.float32
    assert changed[0, 10:20, 10:20].all()
    # It looks coarsely: so many cells farther out.
    changed[0, 5:25, 5:25] = 0
    assert not changed.any()


@pytest.mark.parametrize(
    ("place", "deviations"),
    [(np.s_[8:24, 8:24], 0.5), (np.s_[26:, :], 0.5), (np.s_[26:, 26:], 0.9), (np.s_[:, :], 0.25)],
    ids=["middle", "bottom", "corner", "all"],
)
def test_an_offset_as_of_a_shadow_has_changed_everywhere_up_to_the_border(place, deviations):
    before, after = latents(), latents()
    after[0, :, place[0], place[1]] -= 2 * deviations
    changed = changed_cells(before, after)[0]
    assert changed[place].all()
    assert changed.mean() < 3 * changed[place].numel() / 32**2


def test_texture_alone_has_not_changed():
    before = latents()
    # Finer than the coarse look: every cell differs from its neighbors, their mean does not.
    pattern = 1.5 * ((torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2 - 1)
    assert not changed_cells(before, before + pattern).any()
    rearranged = before + 0.5 * (latents(seed=1) - 3)
    assert not changed_cells(before, rearranged)[:, 4:-4, 4:-4].any()


def test_what_has_changed_does_not_hang_on_the_latent_s_scale():
    before, after = latents(), latents()
    after[..., 8:24, 8:24] -= 0.7
    wanted = changed_cells(before, after)
    assert 0 < wanted.mean() < 1
    assert torch.equal(changed_cells(0.125 * before, 0.125 * after), wanted)
    assert torch.equal(changed_cells(before.double(), after.double()), wanted)


def test_each_item_and_each_frame_has_changed_by_itself():
    before, after = latents(batch=4, seed=2), latents(batch=4, seed=2)
    after[1, :, 4:12, 4:12] += 3
    after[2] += 3
    together = changed_cells(before, after)
    assert together.mean((1, 2)).gt(0).tolist() == [False, True, True, False]
    for i in range(4):
        assert torch.equal(together[i : i + 1], changed_cells(before[i : i + 1], after[i : i + 1]))
    video = (x.unflatten(0, (2, 2)).movedim(2, 1) for x in (before, after))
    assert torch.equal(changed_cells(*video), together)


def test_a_flat_latent_and_one_of_a_single_cell_are_defined():
    for shape in ((1, 4, 8, 8), (1, 4, 1, 1)):
        flat = torch.zeros(shape)
        assert not changed_cells(flat, flat).any()
        assert changed_cells(flat, flat + 1).all()


def test_a_distance_is_the_same_in_every_call_and_the_root_of_a_whole_number():
    # Without rounding, OpenCV 5 gives one mask in four other bits the second time.
    rng = np.random.default_rng(0)
    for _ in range(40):
        height, width = rng.integers(3, 140, 2)
        inside = rng.random((height, width)) < rng.choice([0.5, 0.05, 0.005])
        inside[0, 0] = True
        distance = distance_to(inside)
        assert np.array_equal(distance, distance_to(inside.copy()))
        rows, columns = np.nonzero(inside)
        y, x = np.mgrid[:height, :width]
        squared = ((y[..., None] - rows) ** 2 + (x[..., None] - columns) ** 2).min(axis=2)
        assert np.array_equal(distance, np.sqrt(squared.astype(np.float32)))


def test_a_black_slightly_above_0_becomes_0_and_the_subject_keeps_its_values():
    mask = torch.full((2, 256, 256), 2 / 255)
    mask[:, 96:160, 96:160] = 1
    mask[1, 96:160, 96] = 0.4
    cleaned = zero_black(mask)
    assert cleaned.count_nonzero() == 2 * 64 * 64
    assert torch.equal(cleaned[cleaned > 0], mask[mask > 0.02])


def test_a_noisy_black_becomes_0():
    noise = torch.randint(0, 4, (1, 64, 64), generator=torch.Generator().manual_seed(0)) / 255
    assert not zero_black(noise).any()


@pytest.mark.parametrize(("share", "value"), [(0.05, 1 / 255), (0.3, 3 / 255), (0.45, 5 / 255)])
def test_specks_strewn_over_a_black_become_0_and_the_subject_keeps_its_values(share, value):
    mask = torch.from_numpy(feather(square(256, 96, 160), 3))[None]
    mask[mask < 1 / 255] = 0
    speckled = torch.rand(mask.shape, generator=torch.Generator().manual_seed(0)) < share
    cleaned = zero_black(torch.where(speckled & (mask == 0), torch.tensor(value), mask))
    assert torch.equal(cleaned[mask > 0.021], mask[mask > 0.021]) and not cleaned[mask == 0].any()


@pytest.mark.parametrize("sigma", [2, 10, 20, 30])
def test_where_a_soft_edge_ends_it_keeps_its_values(sigma):
    soft = torch.from_numpy(feather(square(256, 80, 176), sigma))[None].mul(255).round() / 255
    assert torch.equal(zero_black(soft), soft)


def test_soft_edges_strengths_and_specks_on_a_true_black_keep_their_values():
    speck = torch.zeros(1, 64, 64)
    speck[0, 3, 4] = 2 / 255
    soft = torch.from_numpy(feather(square(64, 24, 40), 5))[None]
    soft[soft < 1 / 255] = 0
    ramp_ = torch.linspace(0, 1, 64).expand(1, 64, 64)
    for mask in (speck, soft, ramp_, torch.zeros(1, 8, 8), torch.ones(1, 8, 8)):
        assert torch.equal(zero_black(mask), mask)


def test_each_mask_of_a_batch_has_its_own_black():
    faint, speck = torch.full((8, 8), 0.01), torch.zeros(8, 8)
    speck[0, 0] = 0.01
    assert torch.equal(zero_black(torch.stack([faint, speck])), torch.stack([torch.zeros(8, 8), speck]))


class OnGpu(torch.Tensor):
    """A tensor that numpy does not see until it is copied to the CPU, as those of a GPU."""

    def numpy(self, **_):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self, *_):
        return self.as_subclass(torch.Tensor)


def test_a_mask_on_a_gpu_is_cleaned_there():
    noise = torch.randint(0, 4, (1, 1, 64, 64), generator=torch.Generator().manual_seed(0)) / 255
    cleaned = zero_black(noise.as_subclass(OnGpu))
    assert isinstance(cleaned, OnGpu) and not cleaned.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_masks_of_every_float_type_are_cleaned(dtype):
    noise = (torch.randint(0, 4, (1, 64, 64), generator=torch.Generator().manual_seed(0)) / 255).to(dtype)
    cleaned = zero_black(noise)
    assert cleaned.dtype == dtype and not cleaned.any()


@pytest.mark.parametrize(("images", "frames", "stride"), [(9, 3, 4), (81, 21, 4), (17, 3, 8), (13, 3, 6), (8, 3, None)])
def test_the_first_latent_frame_of_a_video_is_one_image(images, frames, stride):
    assert temporal_stride(images, frames) == stride
    if stride:
        mask = torch.zeros(1, images, 1, 1)
        mask[:, images - 1] = 1
        assert on_latent_frames(mask, frames).flatten().tolist() == [0] * (frames - 1) + [1]
        assert on_latent_frames(mask, frames, mean=True).flatten().tolist() == pytest.approx(
            [0] * (frames - 1) + [1 / stride]
        )


def test_masks_of_latent_frames_are_those_of_their_images():
    frames = torch.arange(3.0)[:, None, None].expand(3, 2, 2)
    images = on_video_images(frames, 9)
    assert images[:, 0, 0].tolist() == [0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert torch.equal(on_latent_frames(images[None], 3)[0], frames)
    assert on_video_images(frames, 3) is frames and on_video_images(frames[:1], 9).shape[0] == 1


@pytest.mark.parametrize(("videos", "stride"), [(2, 4), (3, 8), (5, 6)])
def test_masks_of_several_videos_are_those_of_each(videos, stride):
    frames = torch.rand(videos, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    length = 1 + 2 * stride
    alone = torch.cat([on_video_images(one, length) for one in frames])
    assert torch.equal(on_video_images(frames.flatten(0, 1), videos * length), alone)
    # What is no video's is left alone, and refused where the batches are counted.
    assert on_video_images(frames.flatten(0, 1), videos * length + 1).shape[0] == 3 * videos
