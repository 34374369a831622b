"""Mattes by tiles."""

import numpy as np
import pytest

from phd_ops.pixels.tiles import EMPTY, OPAQUE, SOFT, TILE, tiles


def painted(matte: np.ndarray, **options) -> np.ndarray:
    """The kind of the tile that each pixel lies in; fails where tiles overlap or leave something out."""
    kinds, count = np.full(matte.shape, -1), np.zeros(matte.shape, int)
    for kind, box in tiles(matte, **options):
        kinds[box.slices] = kind
        count[box.slices] += 1
    assert (count == 1).all()
    return kinds


def test_each_pixel_lies_in_one_tile_of_its_kind():
    matte = np.zeros((2 * TILE + 5, 3 * TILE + 7), np.float32)
    matte[: TILE + 1, : 2 * TILE] = 1
    matte[0, 0] = 0.5
    kinds = painted(matte)
    assert kinds[1, 1] == SOFT and kinds[TILE - 1, TILE] == OPAQUE
    assert kinds[TILE, 0] == SOFT and kinds[0, 2 * TILE] == EMPTY and kinds[-1, -1] == EMPTY


@pytest.mark.parametrize("shape", [(1, 1), (1, 2 * TILE), (TILE + 1, 1), (TILE, TILE)])
@pytest.mark.parametrize(("value", "kind"), [(0, EMPTY), (0.5, SOFT), (1, OPAQUE)])
def test_small_and_even_mattes_are_of_one_kind(shape, value, kind):
    assert (painted(np.full(shape, value, np.float32)) == kind).all()


def test_tiles_side_by_side_of_one_kind_are_one_box():
    assert len(list(tiles(np.zeros((TILE, 9 * TILE), np.float32)))) == 1


@pytest.mark.parametrize("reach", [0, 1, 5, TILE, 3 * TILE])
def test_a_tile_within_reach_of_something_is_not_empty(reach):
    rng = np.random.default_rng(reach)
    matte = np.zeros((6 * TILE + 3, 5 * TILE + 11), np.float32)
    row, column = rng.integers(0, matte.shape[0]), rng.integers(0, matte.shape[1])
    matte[row, column] = 0.2
    for kind, box in tiles(matte, reach):
        near = box.grown(reach)
        is_near = near.x <= column < near.x + near.width and near.y <= row < near.y + near.height
        # Boxes are runs of tiles; those in one row within reach are soft, and none beyond.
        if kind == EMPTY:
            assert not is_near
        elif not is_near:
            pytest.fail("a tile out of reach counts as soft")


def test_what_counts_as_opaque_is_the_callers():
    matte = np.full((TILE, TILE), 1 - 1e-6, np.float32)
    assert (painted(matte) == SOFT).all()
    assert (painted(matte, opaque=1 - 1e-5) == OPAQUE).all()
