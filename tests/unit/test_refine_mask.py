"""From a segmenter's raw mask to one that can be pasted."""

import numpy as np
import pytest

from phd_ops.segmenters.prompt import Prompt
from phd_ops.segmenters.refine_mask import MaskRefinement, keep_parts, refine_mask

LARGE, SMALL, SPECK = (slice(10, 40), slice(10, 40)), (slice(12, 22), slice(60, 70)), (slice(50, 51), slice(50, 51))
IMAGE = np.full((60, 80, 3), 0.5, np.float32)


def mask_of(*blocks, value=1.0):
    mask = np.zeros((60, 80), np.float32)
    for block in blocks:
        mask[block] = value
    return mask


def refined(mask, **settings):
    return refine_mask(mask, IMAGE, Prompt(box=(58, 10, 15, 15)), MaskRefinement(**settings))


def test_nearly_opaque_becomes_opaque_and_haze_empty():
    mask = mask_of(LARGE, value=0.96)
    mask[0, :] = 0.03
    assert np.array_equal(refined(mask), mask_of(LARGE))


@pytest.mark.parametrize(("keep", "blocks"), [("largest", [LARGE]), ("all", [LARGE, SMALL]), ("prompted", [SMALL])])
def test_keep_decides_which_parts_of_the_mask_stay(keep, blocks):
    raw = mask_of(LARGE, SMALL, SPECK)
    assert np.array_equal(refined(raw, keep=keep), mask_of(*blocks))
    assert np.array_equal(keep_parts(raw, Prompt(box=(58, 10, 15, 15)), keep), mask_of(*blocks))


def test_small_holes_are_filled_and_openings_stay():
    mask = mask_of(LARGE)
    mask[20:24, 20:24] = 0
    assert np.array_equal(refined(mask), mask_of(LARGE))
    handle = mask_of(LARGE)
    handle[18:28, 18:28] = 0
    assert np.array_equal(refined(handle), handle)


def test_a_threshold_makes_the_mask_hard_even_where_the_edge_is_refined():
    soft = mask_of(LARGE, value=0.6)
    assert refined(soft).max() == np.float32(0.6)
    assert np.array_equal(refined(soft, threshold=0.6), mask_of(LARGE))
    assert not refined(soft, threshold=0.61).any()
    assert set(np.unique(refined(soft, threshold=0.5, edge=3))) == {0, 1}


@pytest.mark.parametrize(("pixels", "side"), [(2, 34), (-2, 26)])
def test_the_edge_moves_outward_or_inward(pixels, side):
    grown = refined(mask_of(LARGE), grow=pixels)
    # The corners are round.
    assert grown.max(0).sum() == grown.max(1).sum() == side


def test_the_edge_follows_the_image():
    image = IMAGE.copy()
    image[LARGE] = (0.9, 0.1, 0.1)
    moved = np.roll(mask_of(LARGE), 2, axis=1)
    found = refine_mask(moved, image, Prompt(), MaskRefinement(edge=4))
    assert np.abs(found - mask_of(LARGE)).sum() < 0.1 * np.abs(moved - mask_of(LARGE)).sum()
