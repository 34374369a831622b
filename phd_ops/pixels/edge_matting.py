"""Refines a mask's edge by the image: closed-form matting (Levin 2006, IEEE TPAMI 30(2), eq. 12) in a band.

In every 3×3 window the matte is assumed to be a linear function of the colors. The matte that departs least from that,
and equals the mask outside the band, solves a sparse linear system. pymatting's `estimate_alpha_cf` minimizes the same
energy; a band needs only a fraction of its unknowns, and scipy, which ComfyUI itself requires, solves them.
"""

import cv2
import numpy as np

from ..interrupt import bands, by_bands, waiting
from .geometry import Box, Size
from .masks import signed_distance

# The least variance of a window's colors, of colors in 0..1.
NOISE = 1e-6
# How strongly the band's pixels are held to the mask: where colors do not decide, the mask does.
MASK_WEIGHT = 1e-3
# The system is solved in tiles, to bound time and memory, with this many pixels of context around each.
TILE, AROUND = 256, 16
# The pixels of a 3×3 window.
WINDOW = 9


def refine_edge(image: np.ndarray, mask: np.ndarray, pixels: int) -> np.ndarray:
    """Moves a mask's edge to the image's; it is soft where the image's is.

    Args:
        image: float [H,W,3] in 0..1.
        mask: float32 [H,W] in 0..1, soft or hard.
        pixels: how far from the mask's edge, on both sides, the image's edge is searched for. Further away the mask
            becomes 0 or 1, since a network's soft values there are mostly the blur of its small output. 0 leaves the
            mask as it is.
    Returns:
        float32 [H,W] in 0..1.
    """
    size = Size.of(mask)
    if pixels <= 0 or min(size) < 3:
        return mask
    unknown = by_bands(lambda band: np.abs(band) < pixels, signed_distance(mask))
    refined = np.empty(mask.shape, np.float32)
    for rows in bands(*mask.shape):
        refined[rows] = np.where(unknown[rows], mask[rows], mask[rows] > 0.5)
    mask = by_bands(np.copy, refined)
    for top in range(0, size.height, TILE):
        for left in range(0, size.width, TILE):
            core = Box(left, top, TILE, TILE).inside(size)
            if unknown[core.slices].any():
                near = core.grown(AROUND).inside(size)
                matte = waiting(solve, image[near.slices], mask[near.slices], unknown[near.slices])
                refined[core.slices] = matte[core.moved(-near.x, -near.y).slices]
    return refined


def solve(image: np.ndarray, mask: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """The matte of least energy that equals the mask off the band.

    Args:
        image: [h,w,3].
        mask: float32 [h,w].
        unknown: bool [h,w], the band.
    Returns:
        float32 [h,w] in 0..1.
    """
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    height, width = mask.shape
    touched = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    rows, columns = np.nonzero(touched)
    # The pixels of each window that overlaps the band, [N,9].
    steps = (np.arange(3)[:, None] * width + np.arange(3)).ravel()
    pixels = (rows * width + columns)[:, None] + steps
    colors = image.reshape(-1, 3)[pixels].astype(np.float64)
    colors -= colors.mean(1, keepdims=True)
    covariance = np.einsum("nki,nkj->nij", colors, colors) / WINDOW + NOISE / WINDOW * np.eye(3)
    energy = -(1 + np.einsum("nki,nij,nlj->nkl", colors, np.linalg.inv(covariance), colors, optimize=True)) / WINDOW
    energy[:, np.arange(WINDOW), np.arange(WINDOW)] += 1
    # Only the unknowns' rows are needed.
    wanted = np.flatnonzero(unknown)
    place = np.full(height * width, -1)
    place[wanted] = np.arange(len(wanted))
    owner = place[pixels][:, :, None].repeat(WINDOW, 2)
    other = pixels[:, None, :].repeat(WINDOW, 1)
    kept = owner >= 0
    shape = (len(wanted), height * width)
    system = sparse.coo_matrix((energy[kept], (owner[kept], other[kept])), shape=shape).tocsc()
    known = np.where(unknown, 0, mask).ravel().astype(np.float64)
    square = system[:, wanted] + MASK_WEIGHT * sparse.eye(len(wanted), format="csc")
    given = MASK_WEIGHT * mask.ravel()[wanted].astype(np.float64) - system @ known
    matte = mask.astype(np.float32, copy=True)
    solved = np.asarray(spsolve(square, given, permc_spec="MMD_AT_PLUS_A"))
    matte[unknown] = solved.clip(0, 1)
    return matte
