"""Mattes by tiles: most of a matte is empty or opaque, and only the tiles along its soft edge take work."""

import itertools
from collections.abc import Iterator

import numpy as np

from ..interrupt import BAND, check
from .geometry import Box

# The side of a tile in pixels.
TILE = 96
# Kinds of tiles.
EMPTY, SOFT, OPAQUE = range(3)


def tiles(matte: np.ndarray, reach: int = 0, opaque: float = 1.0) -> Iterator[tuple[int, Box]]:
    """All of a matte [H,W] in boxes, and the kind of each box, with a check before each.

    A box holds tiles side by side that are of one kind, about a band's pixels at most. EMPTY: 0 everywhere; OPAQUE: at
    least `opaque` everywhere; SOFT: all else.

    Args:
        reach: in pixels. What has something within this many pixels is not EMPTY, but SOFT.
    """
    height, width = matte.shape
    tops, lefts = range(0, height, TILE), np.arange(0, width, TILE)
    low, high = np.empty((len(tops), width), matte.dtype), np.zeros((len(tops), width + 1), matte.dtype)
    for number, top in enumerate(tops):
        check()
        matte[top : top + TILE].min(axis=0, out=low[number])
        matte[max(0, top - reach) : top + TILE + reach].max(axis=0, out=high[number, :width])
    # Each second range that `reduceat` is given lies between two tiles' and is not used.
    ends = np.stack([np.maximum(lefts - reach, 0), np.minimum(lefts + TILE + reach, width)], 1).ravel()
    filled = np.maximum.reduceat(high, ends, axis=1)[:, ::2] > 0
    low = np.minimum.reduceat(low, lefts, axis=1)
    kinds = np.where(low >= opaque, OPAQUE, np.where(filled, SOFT, EMPTY))
    most = max(1, BAND // TILE**2)
    for top, row in zip(tops, kinds.tolist(), strict=True):
        left, bottom = 0, min(top + TILE, height)
        for (kind, _), alike in itertools.groupby(enumerate(row), lambda tile: (tile[1], tile[0] // most)):
            check()
            right = min(left + TILE * len(list(alike)), width)
            yield kind, Box(left, top, right - left, bottom - top)
            left = right
