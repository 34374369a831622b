"""The color shift that a VAE puts on an image: measured where nothing was to change, and removed."""

from dataclasses import dataclass

import numpy as np

from ..interrupt import by_bands
from .resample import reduce

# A color shift is measured on the means of cells this wide, in which a VAE's noise averages out; with fewer cells than
# this, nothing is measured.
CELL, LEAST_CELLS = 8, 16
# How strongly the noise that is left ties a color shift's gain to 1.
NOISE_TIE = 30.0
# A shift too small to see counts as none: a tenth of an 8-bit level.
INVISIBLE = 0.1 / 255


@dataclass(frozen=True)
class ColorShift:
    """Undoes a color shift: gain * value + offset, for each channel (sRGB).

    Attributes:
        gain, offset: float32 [3].
        pixels: how many pixels agree with it; 0 if there were too few to measure it, and nothing is corrected.
    """

    gain: np.ndarray
    offset: np.ndarray
    pixels: int

    def apply(self, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Removes the shift from an image [H,W,3], by a strength in 0..1."""
        if strength == 0 or not (self.gain != 1).any() and not self.offset.any():
            return image

        def shifted(band: np.ndarray) -> np.ndarray:
            return np.clip(band + np.float32(strength) * (band * self.gain + self.offset - band), 0, 1)

        return by_bands(shifted, image)


NO_SHIFT = ColorShift(np.ones(3, np.float32), np.zeros(3, np.float32), 0)


def robust_line(x: np.ndarray, y: np.ndarray, noise_tie: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits y = gain x + offset by iteratively reweighted least squares with Tukey's biweight.

    Where all values are alike nothing separates gain from offset, and noise on x biases the gain toward 0: there the
    gain is tied to 1, by `noise_tie` times the noise's variance.

    Args:
        x, y: [N,C].
    Returns:
        gain, offset and the least residual that counts as an outlier, each [C].
    """
    gain, offset, spread = np.ones(x.shape[1]), np.median(y - x, axis=0), np.ones(x.shape[1])
    for _ in range(8):
        residual = y - gain * x - offset
        spread = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), 1e-5)
        weight = np.clip(1 - (residual / (4.685 * spread)) ** 2, 0, None) ** 2
        total = weight.sum(0)
        mx, my = (weight * x).sum(0) / total, (weight * y).sum(0) / total
        tie = 1e-7 + noise_tie * spread**2
        gain = ((weight * (x - mx) * (y - my)).sum(0) / total + tie) / ((weight * (x - mx) ** 2).sum(0) / total + tie)
        offset = my - gain * mx
    return gain, offset, 4.685 * spread


def fit_color_shift(shifted: np.ndarray, original: np.ndarray, untouched: np.ndarray) -> ColorShift:
    """Measures how to undo a VAE's color shift: original = gain * shifted + offset, for each channel.

    Only pixels that should not have changed are used. A first robust fit finds those that did change; a second one
    uses the means of 8×8 cells of the others, in which little of the VAE's noise is left.

    Args:
        shifted, original: float32 [H,W,3] sRGB, of one size.
        untouched: [H,W], above 0 where a pixel should be the original's.
    """
    # A clipped value is not the value that it was.
    sound = ((np.minimum(shifted, original) > 0) & (np.maximum(shifted, original) < 1)).all(axis=2) & (untouched > 0)
    rows, columns = (side // CELL for side in sound.shape)
    inside = np.flatnonzero(sound)
    if len(inside) < LEAST_CELLS * CELL**2 or rows * columns == 0:
        return NO_SHIFT
    some = inside[:: max(1, len(inside) // 65536)]
    x, y = (image.reshape(-1, 3)[some].astype(np.float64) for image in (shifted, original))
    gain, offset, outlying = robust_line(x, y, noise_tie=0)
    if ((gain < 0.5) & (y.std(axis=0) > 0.05)).any():
        # The original has contrast, and the other image does not follow it: it is not the same image.
        return NO_SHIFT
    sound &= (np.abs(original - np.float32(gain) * shifted - np.float32(offset)) < outlying).all(axis=2)

    def cells(field: np.ndarray) -> np.ndarray:
        return reduce(np.ascontiguousarray(field[: rows * CELL, : columns * CELL], np.float32), (columns, rows))

    share = cells(sound)
    full = share >= 0.5
    if full.sum() < LEAST_CELLS:
        return NO_SHIFT
    x, y = (
        cells(np.where(sound[..., None], image, 0))[full].astype(np.float64) / share[full, None]
        for image in (shifted, original)
    )
    gain, offset, outlying = robust_line(x, y, NOISE_TIE)
    agreed = int(share[full][(np.abs(y - gain * x - offset) < outlying).all(axis=1)].sum() * CELL**2)
    # No VAE shifts colors this far: something else was measured.
    if (np.abs(gain - 1) > 0.5).any() or (np.abs(gain * 0.5 + offset - 0.5) > 0.25).any():
        return NO_SHIFT
    if max(np.abs(offset).max(), np.abs(gain + offset - 1).max()) < INVISIBLE:
        return ColorShift(NO_SHIFT.gain, NO_SHIFT.offset, agreed)
    return ColorShift(gain.astype(np.float32), offset.astype(np.float32), agreed)
