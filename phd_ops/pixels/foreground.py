"""A subject's own colors, without the old background that shines through its soft edge."""

import cv2
import numpy as np

from .geometry import Size
from .resample import blur, reduce


def estimate_foreground(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The subject's own colors where its matte is above 0, without the old background that shines through.

    Solves I = alpha F + (1 - alpha) B by least squares in windows around every soft pixel, from the whole image down
    to 6 px; each round falls back on the one before where its window cannot tell. Exact where subject and background
    are flat; opaque pixels keep their bits. The last step is that of blur-fusion (Forte 2021, arXiv 2006.14970).
    """
    soft = (matte > 0) & (matte < 1)
    if not soft.any():
        return image
    height, width = matte.shape
    # The windows' sums need these; the background's follow, since (1 - alpha) I = I - alpha I, and so on.
    colors = cv2.merge([image, matte])
    fields = {1: (colors, cv2.multiply(colors, cv2.merge([matte] * 4)))}
    # A wide window is computed on a coarser grid.
    for finer, coarser in ((1, 4), (4, 16)):
        size = max(1, width // coarser), max(1, height // coarser)
        fields[coarser] = tuple(reduce(field, size) for field in fields[finer])
    foreground = background = None
    for radius, coarser, trust in ((None, 1, 1e-6), (96, 16, 1e-3), (24, 4, 1e-3), (6, 1, 1e-3)):
        if radius is None:
            i, ai = (np.float32(cv2.mean(field)) for field in fields[1])
        else:
            i, ai = (cv2.blur(field, (2 * (radius // coarser) + 1,) * 2) for field in fields[coarser])
            if coarser > 1:
                foreground, background = (
                    np.broadcast_to(f, (*i.shape[:2], 3)) if f.ndim == 1 else cv2.resize(f, Size.of(i))
                    for f in (foreground, background)
                )
            else:
                # Only the soft pixels' colors are wanted at full size.
                i, ai = i[soft], ai[soft]
                foreground, background = (cv2.resize(f, (width, height))[soft] for f in (foreground, background))
        a, aa = i[..., 3:], ai[..., 3:]
        i, ai = i[..., :3], ai[..., :3]
        if foreground is None:
            foreground = background = i
        ab, bb = a - aa, 1 - 2 * a + aa + trust
        aa = aa + trust
        fi, bi = ai + trust * foreground, i - ai + trust * background
        determinant = aa * bb - ab * ab
        foreground, background = (bb * fi - ab * bi) / determinant, (aa * bi - ab * fi) / determinant
    alpha, mixed = matte[soft][:, None], image[soft]
    foreground = foreground + alpha * (mixed - alpha * foreground - (1 - alpha) * background)
    result = image.copy()
    result[soft] = np.clip(foreground, 0, 1)
    return result


def premultiplied(image: np.ndarray, matte: np.ndarray, straight: bool = False) -> np.ndarray:
    """The cut-out [H,W,4] of a subject: its own colors times its matte, and the matte.

    straight: the image's soft pixels hold the subject's own colors already, as images with alpha do.
    """
    colors = image if straight else estimate_foreground(image, matte)
    return cv2.merge([cv2.multiply(colors, cv2.merge([matte] * 3)), matte])


def cut_out(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A cut-out for other programs, [H,W,4] not premultiplied: its colors go on under transparent pixels."""
    return np.dstack([extend(premultiplied(image, matte), sigma=8.0), matte])


def extend(cutout: np.ndarray, sigma: float) -> np.ndarray:
    """The colors [H,W,3] of a cut-out, carried on beyond its edge for about 4 sigma; black further out.

    Opaque pixels keep their bits.
    """
    around = blur(cutout, sigma)
    # Between the core, opaque but for rounding, and where there is nothing left to carry on.
    rim = np.flatnonzero((cutout[..., 3] < 1 - 1e-5) & (around[..., 3] > 1e-6))
    around, own = around.reshape(-1, 4)[rim], cutout.reshape(-1, 4)[rim]
    # Where little is left of the subject its own colors are noise: there those around it have a say.
    doubt = 0.03 * (1 - own[:, 3:])
    near = (own[:, :3] + doubt * (around[:, :3] / around[:, 3:])) / (own[:, 3:] + doubt)
    colors = cv2.cvtColor(cutout, cv2.COLOR_RGBA2RGB)
    colors.reshape(-1, 3)[rim] = near.clip(0, 1)
    return colors
