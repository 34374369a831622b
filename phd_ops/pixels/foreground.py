"""A subject's own colors, without the old background that shows through its soft edge."""

import math
from collections.abc import Iterator

import cv2
import numpy as np

from ..interrupt import bands, by_bands, check, waiting
from .geometry import Size
from .resample import COARSE_SIGMA, KERNEL_REACH, blur, reduce
from .tiles import EMPTY, SOFT, tiles

# Wide windows about a pixel: their radius in pixels, and how much coarser the grid is that they are summed on. Then the
# radius of the narrow one, which only the soft pixels need.
WINDOWS, RADIUS = ((96, 16), (24, 4)), 6
# How strongly a window's colors are held to those of the wider window before it; and those of the whole image to its
# mean color.
RIDGE, WHOLE_RIDGE = 1e-3, 1e-6
# A cut-out is opaque from here on: resampling rounds.
OPAQUE_ENOUGH = 1 - 1e-5


def times_alpha(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """An image's colors and its matte, each times the matte, [H,W,4]."""
    product = np.empty((*matte.shape, 4), np.float32)
    for rows in bands(*matte.shape):
        cv2.multiply(cv2.merge([image[rows], matte[rows]]), cv2.merge([matte[rows]] * 4), product[rows])
    return product


def soft_colors(
    image: np.ndarray, matte: np.ndarray, by_alpha: np.ndarray
) -> Iterator[tuple[tuple[np.ndarray, np.ndarray], np.ndarray]]:
    """The subject's own colors at all soft pixels, without the old background that shows through.

    Solves I = alpha F + (1 - alpha) B by least squares in windows around every soft pixel, from the whole image down
    to 6 px; each round falls back on the one before where its window cannot tell F from B. Exact where subject and
    background are flat. The last step is that of blur-fusion (Forte 2021, arXiv 2006.14970).

    Args:
        image: float32 [H,W,3] in 0..1.
        matte: float32 [H,W] in 0..1.
        by_alpha: from `times_alpha`. All else that windows sum follows, since (1 - alpha) I = I - alpha I, and so on.
    Returns:
        Part by part, the pixels' places (rows, columns) and colors [N,3].
    """
    size = Size.of(matte)
    soft_boxes = [box for kind, box in tiles(matte) if kind == SOFT]
    if not soft_boxes:
        return
    # A wide window is summed on a coarser grid.
    smaller = Size(max(1, size.width // 4), max(1, size.height // 4))
    colors = cv2.merge([reduce(image, smaller), reduce(matte, smaller)])
    fields = {4: (colors, reduce(by_alpha, smaller))}
    smaller = Size(max(1, smaller.width // 4), max(1, smaller.height // 4))
    fields[16] = reduce(fields[4][0], smaller), reduce(fields[4][1], smaller)
    means, alpha_means = (np.array(waiting(cv2.mean, field), np.float32) for field in fields[4])
    foreground, background = separate(means, alpha_means, (means[:3], means[:3]), WHOLE_RIDGE)
    for radius, coarser in WINDOWS:
        side = 2 * (radius // coarser) + 1
        means, alpha_means = (waiting(cv2.blur, field, (side, side)) for field in fields[coarser])
        foreground, background = (spread(color, Size.of(means)) for color in (foreground, background))
        # The colors take the place of the means.
        for rows in bands(*means.shape[:2]):
            wider = foreground[rows], background[rows]
            means[rows, :, :3], alpha_means[rows, :, :3] = separate(means[rows], alpha_means[rows], wider, RIDGE)
        foreground, background = means[..., :3], alpha_means[..., :3]
    both = by_bands(lambda one, other: np.concatenate([one, other], axis=2), foreground, background)
    side = 2 * RADIUS + 1
    for box in soft_boxes:
        check()
        near, part = box.grown(RADIUS).inside(size), matte[box.slices]
        inner, soft = box.moved(-near.x, -near.y).slices, (part > 0) & (part < 1)
        around = cv2.merge([image[near.slices], matte[near.slices]]), by_alpha[near.slices]
        means, alpha_means = (cv2.blur(field, (side, side))[inner][soft] for field in around)
        rows, columns = np.nonzero(soft)
        places = rows + box.y, columns + box.x
        wider = at_places(both, places, size)
        own, behind = separate(means, alpha_means, (wider[:, :3], wider[:, 3:]), RIDGE)
        found, alpha = image[places], matte[places][:, None]
        yield places, np.clip(own + alpha * (found - alpha * own - (1 - alpha) * behind), 0, 1)


def spread(color: np.ndarray, size: Size) -> np.ndarray:
    """One color [3], or a field of them [h,w,3], as a field of the given size."""
    if color.ndim == 1:
        return np.broadcast_to(color, (size.height, size.width, 3))
    return waiting(cv2.resize, color, size)


def at_places(field: np.ndarray, places: tuple[np.ndarray, np.ndarray], size: Size) -> np.ndarray:
    """A field [h,w,C], enlarged to a size as `spread` does, at some pixels there (rows, columns): [N,C]."""
    (row, below, down), (column, beside, across) = (
        neighbors(at, length, enlarged)
        for at, length, enlarged in zip(places, field.shape, (size.height, size.width), strict=False)
    )
    lines = []
    for line in (row, below):
        left = field[line, column]
        lines.append(left + across * (field[line, beside] - left))
    upper, lower = lines
    return upper + down * (lower - upper)


def neighbors(at: np.ndarray, length: int, enlarged: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of places along a side that is enlarged: the pixels [N] before and behind, and how far on each lies [N,1]."""
    place = np.clip((at + 0.5) * (length / enlarged) - 0.5, 0, length - 1)
    before = place.astype(int)
    return before, np.minimum(before + 1, length - 1), (place - before).astype(np.float32)[:, None]


def separate(
    means: np.ndarray, alpha_means: np.ndarray, wider: tuple[np.ndarray, np.ndarray], ridge: float
) -> tuple[np.ndarray, np.ndarray]:
    """The colors F and B [...,3] that explain windows best.

    Args:
        means, alpha_means: of a window's colors and alpha, and of the same times alpha: [...,4].
        wider: F and B of the wider window before, [...,3].
        ridge: the weight of those.
    """
    i, a = means[..., :3], means[..., 3:]
    ai, aa = alpha_means[..., :3], alpha_means[..., 3:]
    ab, bb = a - aa, 1 - 2 * a + aa + ridge
    aa = aa + ridge
    fi, bi = ai + ridge * wider[0], i - ai + ridge * wider[1]
    determinant = aa * bb - ab * ab
    return (bb * fi - ab * bi) / determinant, (aa * bi - ab * fi) / determinant


def premultiplied(image: np.ndarray, matte: np.ndarray, is_cutout: bool = False) -> np.ndarray:
    """The premultiplied cut-out of a subject, float32 [H,W,4]: its own colors times its matte, and the matte.

    Args:
        is_cutout: the image's soft pixels hold the subject's own colors already, as images with alpha do.
    """
    cutout = times_alpha(image, matte)
    # All before any is written: windows overlap.
    found = [] if is_cutout else list(soft_colors(image, matte, cutout))
    for rows in bands(*matte.shape):
        cv2.insertChannel(matte[rows], cutout[rows], 3)
    for places, own in found:
        cutout[(*places, slice(3))] = own * matte[places][:, None]
    return cutout


def cut_out(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A cut-out for other programs, float32 [H,W,4], not premultiplied: its colors go on under transparent pixels."""
    colors = extend(premultiplied(image, matte), sigma=8.0)
    return by_bands(lambda *layers: np.dstack(layers), colors, matte)


def extend(cutout: np.ndarray, sigma: float) -> np.ndarray:
    """The colors [H,W,3] of a premultiplied cut-out [H,W,4], extended beyond its edge for about 4 sigma; then black.

    Opaque pixels keep their bits.
    """
    size, reach = Size.of(cutout), math.ceil(KERNEL_REACH * sigma) + 1
    # A wide blur is made of the whole image, on a coarser grid.
    wide = blur(cutout, sigma) if sigma > COARSE_SIGMA else None
    colors = np.zeros((*cutout.shape[:2], 3), np.float32)
    for kind, box in tiles(cutout[..., 3], reach, OPAQUE_ENOUGH):
        at = box.slices
        if kind != EMPTY:
            cv2.cvtColor(cutout[at], cv2.COLOR_RGBA2RGB, colors[at])
        if kind != SOFT:
            continue
        near = box.grown(reach).inside(size)
        blurred = wide[at] if wide is not None else blur(cutout[near.slices], sigma)[box.moved(-near.x, -near.y).slices]
        # Between the core and where there is nothing left to extend.
        rim = (cutout[at][..., 3] < OPAQUE_ENOUGH) & (blurred[..., 3] > 1e-6)
        around, own = blurred[rim], cutout[at][rim]
        # Where little is left of the subject its own colors are noise: there those around it are given weight.
        weight = 0.03 * (1 - own[:, 3:])
        extended = (own[:, :3] + weight * (around[:, :3] / around[:, 3:])) / (own[:, 3:] + weight)
        colors[at][rim] = extended.clip(0, 1)
    return colors
