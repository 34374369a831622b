"""A subject's own colors, without the old background that shows through its soft edge."""

import cv2
import numpy as np

from ..interrupt import bands, by_bands, picked, waiting
from .geometry import Size
from .resample import blur, reduce

# Windows about a pixel: their radius in pixels, and how much coarser the grid is that they are summed on.
WINDOWS = ((96, 16), (24, 4), (6, 1))
# How strongly a window's colors are held to those of the wider window before it; and those of the whole image to its
# mean color.
RIDGE, WHOLE_RIDGE = 1e-3, 1e-6


def estimate_foreground(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The subject's own colors where its matte is above 0, without the old background that shows through.

    Solves I = alpha F + (1 - alpha) B by least squares in windows around every soft pixel, from the whole image down
    to 6 px; each round falls back on the one before where its window cannot tell F from B. Exact where subject and
    background are flat; opaque pixels keep their bits. The last step is that of blur-fusion (Forte 2021, arXiv
    2006.14970).

    Args:
        image: float32 [H,W,3] in 0..1.
        matte: float32 [H,W] in 0..1.
    Returns:
        float32 [H,W,3].
    """
    soft = by_bands(lambda band: (band > 0) & (band < 1), matte)
    if not soft.any():
        return image
    height, width = matte.shape
    # All sums that the windows need; the background's follow, since (1 - alpha) I = I - alpha I, and so on.
    colors, by_alpha = (np.empty((height, width, 4), np.float32) for _ in range(2))
    for rows in bands(height, width):
        colors[rows] = cv2.merge([image[rows], matte[rows]])
        by_alpha[rows] = cv2.multiply(colors[rows], cv2.merge([matte[rows]] * 4))
    fields = {1: (colors, by_alpha)}
    # A wide window is summed on a coarser grid.
    for finer, coarser in ((1, 4), (4, 16)):
        size = max(1, width // coarser), max(1, height // coarser)
        given, by_alpha = fields[finer]
        fields[coarser] = reduce(given, size), reduce(by_alpha, size)
    means, alpha_means = (np.array(waiting(cv2.mean, field), np.float32) for field in fields[1])
    foreground, background = separate(means, alpha_means, (means[:3], means[:3]), WHOLE_RIDGE)
    for radius, coarser in WINDOWS:
        side = 2 * (radius // coarser) + 1
        means, alpha_means = (waiting(cv2.blur, field, (side, side)) for field in fields[coarser])
        size = Size.of(means)
        if coarser > 1:
            foreground, background = (spread(color, size) for color in (foreground, background))
            # The colors take the place of the means.
            for rows in bands(*means.shape[:2]):
                wider = foreground[rows], background[rows]
                means[rows, :, :3], alpha_means[rows, :, :3] = separate(means[rows], alpha_means[rows], wider, RIDGE)
            foreground, background = means[..., :3], alpha_means[..., :3]
    # Only the soft pixels' colors are wanted at full size; one image after the other, to save memory.
    means, alpha_means = picked(means, soft), picked(alpha_means, soft)
    foreground, background = (picked(spread(color, Size.of(image)), soft) for color in (foreground, background))
    alpha, found = picked(matte, soft)[:, None], picked(image, soft)
    for some in bands(len(found), 1):
        wider = foreground[some], background[some]
        own, behind = separate(means[some], alpha_means[some], wider, RIDGE)
        own = own + alpha[some] * (found[some] - alpha[some] * own - (1 - alpha[some]) * behind)
        found[some] = np.clip(own, 0, 1)
    result, done = np.empty_like(image), 0
    for rows in bands(height, width):
        count = int(np.count_nonzero(soft[rows]))
        result[rows] = image[rows]
        result[rows][soft[rows]] = found[done : done + count]
        done += count
    return result


def spread(color: np.ndarray, size: Size) -> np.ndarray:
    """One color [3], or a field of them [h,w,3], as a field of the given size."""
    if color.ndim == 1:
        return np.broadcast_to(color, (size.height, size.width, 3))
    return waiting(cv2.resize, color, size)


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
    colors = image if is_cutout else estimate_foreground(image, matte)
    return by_bands(lambda own, alpha: cv2.merge([cv2.multiply(own, cv2.merge([alpha] * 3)), alpha]), colors, matte)


def cut_out(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A cut-out for other programs, float32 [H,W,4], not premultiplied: its colors go on under transparent pixels."""
    colors = extend(premultiplied(image, matte), sigma=8.0)
    return by_bands(lambda *layers: np.dstack(layers), colors, matte)


def extend(cutout: np.ndarray, sigma: float) -> np.ndarray:
    """The colors [H,W,3] of a premultiplied cut-out [H,W,4], extended beyond its edge for about 4 sigma; then black.

    Opaque pixels keep their bits.
    """
    blurred = blur(cutout, sigma)
    colors = np.empty((*cutout.shape[:2], 3), np.float32)
    for rows in bands(*cutout.shape[:2]):
        colors[rows] = cutout[rows, :, :3]
        # Between the core, opaque up to rounding, and where there is nothing left to extend.
        rim = (cutout[rows, :, 3] < 1 - 1e-5) & (blurred[rows, :, 3] > 1e-6)
        around, own = blurred[rows][rim], cutout[rows][rim]
        # Where little is left of the subject its own colors are noise: there those around it are given weight.
        weight = 0.03 * (1 - own[:, 3:])
        near = (own[:, :3] + weight * (around[:, :3] / around[:, 3:])) / (own[:, 3:] + weight)
        colors[rows][rim] = near.clip(0, 1)
    return colors
