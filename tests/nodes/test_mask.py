"""PhDMask: a pixel widget means pixels, and every mask of a batch is edited by itself."""

import numpy as np
import pytest
import torch
from node_support import block, make_image, refused, run_node

MASK = block(60, 80, 20, 30, 40, 50)


def edited(mask=MASK, **widgets):
    return run_node("PhDMask", mask=mask, **widgets).values[0]


def disc(radius, height=200, width=220, y=100.0, x=110.0):
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).float()[None]


def test_a_mask_that_nothing_is_done_to_comes_back_as_it_was():
    soft = torch.rand(2, 60, 80, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    assert torch.equal(edited(soft), soft)
    nearly = torch.where(MASK > 0, 0.99, 0.01)
    assert torch.equal(edited(nearly), MASK)


@pytest.mark.parametrize("pixels", [-40, -7, -1, 1, 2, 13, 64, 128])
def test_grow_means_pixels_in_every_direction(pixels):
    # Of all centers those within the distance of the mask's edge, which runs half a pixel off its outermost centers.
    wide = disc(50, 420, 460, 210, 230)
    inside = np.argwhere((wide[0].numpy() > 0.5) == (pixels > 0))
    grown = edited(wide, grow=pixels)[0].numpy()
    for y, x in np.random.default_rng(0).integers(0, (420, 460), (300, 2)):
        nearest = np.sqrt(((inside - (y, x)) ** 2).sum(1).min()) - 0.5
        assert grown[y, x] == float(nearest < pixels if pixels > 0 else nearest > -pixels)


@pytest.mark.parametrize("pixels", [-20, 5, 33])
def test_a_grown_disc_is_a_disc(pixels):
    grown = edited(disc(45), grow=pixels)
    radius = (grown.sum() / torch.pi) ** 0.5
    assert radius.item() == pytest.approx(45 + pixels, abs=0.5)


@pytest.mark.parametrize("sigma", [1.0, 4.0, 12.0])
def test_feather_means_pixels(sigma):
    row = edited(block(120, 200, 0, 0, 120, 100), feather=sigma)[0, 60].double()
    slope, x = -row.diff(), torch.arange(1, 200, dtype=torch.float64)
    center = (slope * x).sum() / slope.sum()
    assert center.item() == pytest.approx(100, abs=0.2)
    assert (slope * (x - center) ** 2).sum().div(slope.sum()).sqrt().item() == pytest.approx(sigma, rel=0.08)


def test_at_the_images_border_nothing_fades():
    assert edited(block(120, 200, 0, 0, 120, 100), feather=8.0)[0, :, 0].min() > 0.999


def test_specks_go_and_holes_are_filled():
    mask = MASK.clone()
    mask[0, 30, 40] = 0
    mask[0, 2:4, 2:4] = 1
    assert torch.equal(edited(mask, fill_holes=True, remove_specks=5), MASK)
    assert torch.equal(edited(mask, remove_specks=4), mask)


def test_inverting_comes_before_the_rest():
    assert torch.equal(edited(invert=True), 1 - MASK)
    assert torch.equal(edited(invert=True, grow=3), edited(1 - MASK, grow=3))
    # The inverted square's hole is filled.
    assert edited(invert=True, fill_holes=True).min() == 1


def test_items_of_a_batch_equal_the_same_item_alone():
    masks = torch.cat([MASK, block(60, 80, 0, 0, 10, 10), torch.zeros(1, 60, 80)])
    widgets = {"grow": 4, "feather": 2.0, "remove_specks": 9, "fill_holes": True}
    ran = run_node("PhDMask", mask=masks, **widgets)
    for index in range(3):
        assert torch.equal(ran.values[0][index : index + 1], edited(masks[index : index + 1], **widgets))
    assert ran.text == ["The masks cover 0.0% to 15.9% of their images.", "Image 3: The mask is empty."]


def test_the_node_shows_what_the_mask_covers():
    assert run_node("PhDMask", mask=MASK).text == ["The mask covers 8.3% of the image, in a box of 20×20 at (30, 20)."]


@pytest.mark.parametrize("shape", [(60, 80), (1, 1, 60, 80), (1, 60, 80, 1)])
def test_every_shape_of_a_mask_is_taken(shape):
    assert torch.equal(edited(MASK.reshape(shape), grow=2), edited(grow=2))


def test_a_nan_counts_as_0_and_the_smallest_mask_goes_through():
    mask = MASK.clone()
    mask[0, 0, 0] = torch.nan
    assert torch.equal(edited(mask), MASK)
    for value in (0.0, 1.0):
        for widgets in ({"grow": 5}, {"grow": -5}, {"feather": 3.0}, {"fill_holes": True}, {"remove_specks": 1}):
            assert edited(torch.full((1, 1, 1), value), **widgets).item() == value


def test_a_mask_that_loses_all_gives_a_warning():
    ran = run_node("PhDMask", mask=MASK, grow=-11)
    assert not ran.values[0].any()
    assert ran.execution.outputs["node"]["phd_warnings"] == ["The mask is empty."]


def test_a_faint_mask_is_not_called_empty():
    ran = run_node("PhDMask", mask=0.4 * MASK)
    assert ran.text == ["The mask covers 8.3% of the image, in a box of 20×20 at (30, 20)."]


def test_what_is_no_mask_is_refused_by_name():
    assert refused("PhDMask", mask=make_image(60, 80)).startswith("mask: A mask must be [H,W]")


def test_the_mask_is_shown(page):
    ran = run_node("PhDMask", mask=MASK.repeat(2, 1, 1))
    assert len(ran.execution.outputs["node"]["images"]) == 2


def test_the_input_stays_as_it_was():
    mask = MASK.clone()
    for widgets in ({"grow": 5}, {"feather": 3.0}, {"fill_holes": True}, {"remove_specks": 9}, {"invert": True}):
        edited(mask, **widgets)
    assert torch.equal(mask, MASK)
