"""The color shift that a VAE or an edit model puts on an image: measured where nothing was to change, and removed."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..interrupt import bands
from .color import LUMA
from .geometry import Size
from .resample import reduce
from .tone_field import MOST_CELLS, TERMS, Cells, ToneField, fit_field, median

# A color shift is measured on the means of cells this wide, in which a VAE's noise averages out; with fewer cells than
# this, nothing is measured.
CELL, LEAST_CELLS = 8, 16
# With fewer than this, it is constant.
LEAST_FIELD_CELLS = 100
# The first fit needs no more pixels: it only tells what changed.
MOST_PIXELS = 2**12
# How strongly the noise that is left ties a color shift's gain to 1.
NOISE_TIE = 30.0
# Iterations of its fit: without that tie, then with it.
UNTIED, TIED = 4, 4
# A shift too small to see counts as none: a tenth of an 8-bit level.
INVISIBLE = 0.1 / 255
# A model that makes a whole scene darker, brighter or paler shifts colors by more than a VAE. That is believed of a
# gain up to MOST_GAIN, or its inverse, where errors are no larger than this share of the contrast (medians).
MOST_GAIN, EXPLAINED = 2.5, 0.1
# Where colors still differ by WORTH_SATURATION, so many other saturations between these are tried, and then some around
# the best one. It must leave less than LEFT, and than this share of what is left without it.
WORTH_SATURATION, SATURATIONS, TRIED, FINER = 0.5 / 255, (0.4, 3.0), 25, 9
LEFT, LEFT_SHARE = 2.5 / 255, 0.75


@dataclass(frozen=True)
class ColorShift:
    """Undoes a color shift: gain * value + offset, for each channel (sRGB).

    Attributes:
        gain, offset: float32 [3].
        pixels: how many pixels agree with it; 0 if there were too few to measure it, and nothing is corrected.
        field: what is added to gain and offset from place to place; None where the shift is constant.
        left: by how much the colors still differ once it is undone: the median over the cells of the channel that
            differs most (sRGB); 0 if there were too few.
        saturation: how much farther from gray all colors become, before gain and offset.
    """

    gain: np.ndarray
    offset: np.ndarray
    pixels: int
    field: ToneField | None = None
    left: float = 0.0
    saturation: float = 1.0

    def apply(self, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Removes the shift from an image [H,W,3], by a strength in 0..1."""
        if strength == 0 or not (self.field or (self.gain != 1).any() or self.offset.any() or self.saturation != 1):
            return image
        if self.saturation != 1:
            image = saturated(image, 1 + strength * (self.saturation - 1))
        shifted, share = np.empty_like(image), np.float32(strength)
        for rows in bands(*image.shape[:2]):
            gain, offset = self.in_rows(rows, Size.of(image))
            gain, offset = 1 + share * (gain - 1), share * offset
            if self.field is None:
                # In one pass, as the matrix of a map from color to color.
                shifted[rows] = cv2.transform(image[rows], np.column_stack([np.diag(gain), offset]))
            else:
                np.multiply(image[rows], gain, out=shifted[rows])
                shifted[rows] += offset
            np.clip(shifted[rows], 0, 1, out=shifted[rows])
        return shifted

    def in_rows(self, rows: slice, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset in some rows of an image, [3] or [rows,width,3]."""
        if self.field is None:
            return self.gain, self.offset
        gain, offset = self.field.in_rows(rows, size)
        return self.gain + gain, self.offset + offset

    @property
    def largest(self) -> float:
        """How far it shifts black or white at most, anywhere in an image (sRGB)."""
        gain, offset = self.anywhere
        return float(max(np.abs(offset).max(), np.abs(gain + offset - 1).max()))

    @property
    def anywhere(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain and offset in places all over an image; [3] or [9,9,3]."""
        return self.in_rows(slice(0, 9), Size(9, 9))

    @property
    def orders(self) -> tuple[int, int]:
        """Of the polynomials of its gain and offset; (0, 0) where it is constant."""
        return (0, 0) if self.field is None else self.field.orders

    @property
    def values(self) -> np.ndarray:
        """All its coefficients as if it varied across the image, float64 [36]; see `from_values`."""
        parts = np.zeros((2, 1 + TERMS[-1], 3))
        parts[:, 0] = self.gain, self.offset
        if self.field is not None:
            for part, field in zip(parts, (self.field.gain, self.field.offset), strict=True):
                part[1 : 1 + len(field)] = field
        return parts.ravel()

    @classmethod
    def from_values(cls, values: np.ndarray, pixels: int) -> "ColorShift":
        gain, offset = values.reshape(2, 1 + TERMS[-1], 3).astype(np.float32)
        field = ToneField(gain[1:], offset[1:]) if gain[1:].any() or offset[1:].any() else None
        return without_invisible(cls(gain[0], offset[0], pixels, field))


NO_SHIFT = ColorShift(np.ones(3, np.float32), np.zeros(3, np.float32), 0)


def saturated(image: np.ndarray, saturation: float) -> np.ndarray:
    """An image [H,W,3] with all colors so much farther from the gray of their luma; its values may leave 0..1."""
    return cv2.transform(image, saturation * np.eye(3) + (1 - saturation) * LUMA)


def without_invisible(shift: ColorShift) -> ColorShift:
    """A shift; none where it is constant and too small to see."""
    if shift.field is None and shift.largest < INVISIBLE:
        return replace(shift, gain=NO_SHIFT.gain, offset=NO_SHIFT.offset)
    return shift


def robust_line(x: np.ndarray, y: np.ndarray, noise_tie: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fits y = gain x + offset by iteratively reweighted least squares with Tukey's biweight.

    Where all values are alike nothing separates gain from offset, and noise on x biases the gain toward 0: there the
    gain is tied to 1, by `noise_tie` times the noise's variance.

    Args:
        x, y: [N,C].
    Returns:
        gain, offset and the least residual that counts as an outlier, each [C].
    """
    # Each channel is one row in memory.
    x, y = (np.ascontiguousarray(values.T) for values in (x, y))
    gain, offset, spread = np.ones((len(x), 1)), median(y - x)[:, None], np.ones((len(x), 1))
    for step in range(UNTIED + TIED):
        residual = y - gain * x - offset
        spread = np.maximum(1.4826 * median(np.abs(residual)), 1e-5)[:, None]
        weight = np.maximum(1 - (residual / (4.685 * spread)) ** 2, 0) ** 2
        total = weight.sum(axis=1, keepdims=True)
        mx, my = ((weight * values).sum(axis=1, keepdims=True) / total for values in (x, y))
        # What a large shift leaves at first is no noise.
        tie, dx = 1e-7 + (noise_tie * spread**2 if step >= UNTIED else 0), x - mx
        weight *= dx
        covariance, variance = ((weight * values).sum(axis=1, keepdims=True) / total for values in (y - my, dx))
        gain = (covariance + tie) / (variance + tie)
        offset = my - gain * mx
    return gain[:, 0], offset[:, 0], 4.685 * spread[:, 0]


def fit_color_shift(shifted: np.ndarray, original: np.ndarray, untouched: np.ndarray) -> ColorShift:
    """Measures how to undo a VAE's color shift: original = gain * shifted + offset, for each channel.

    Only pixels that should not have changed are used. A first robust fit finds those that did change; a second one
    uses the means of 8×8 cells of the others, in which little of the VAE's noise is left. A shift that varies across
    the image is fitted to the cells with a field, see `tone_field.py`.

    Args:
        shifted, original: float32 [H,W,3] sRGB, of one size.
        untouched: [H,W], above 0 where a pixel should be the original's.
    """
    # A clipped value is not the value that it was.
    sound = between(shifted, 0, 1) & between(original, 0, 1) & (untouched > 0)
    inside = np.flatnonzero(sound)
    if len(inside) < LEAST_CELLS * CELL**2 or min(sound.shape) < CELL:
        return NO_SHIFT
    some = inside[:: max(1, len(inside) // MOST_PIXELS)]
    x, y = (image.reshape(-1, 3)[some].astype(np.float64) for image in (shifted, original))
    gain, offset, outlying = robust_line(x, y, noise_tie=0)
    every = cell_means(shifted, original, sound)
    if ((gain < 0.5) & (y.std(axis=0) > 0.05)).any():
        # The original has contrast, and the other image does not follow it: it is not the same image.
        return measured(NO_SHIFT, every)
    varying = fit_varying(every) if len(every.u) >= LEAST_FIELD_CELLS else None
    if varying is not None:
        return measured(varying, every)
    left = original - (shifted * np.float32(gain) + np.float32(offset))
    sound &= between(left, -outlying, outlying)
    cells = cell_means(shifted, original, sound)
    if len(cells.u) < LEAST_CELLS:
        return measured(NO_SHIFT, every)
    return measured(constant_shift(cells), every)


def fit_with_saturation(shifted: np.ndarray, original: np.ndarray, untouched: np.ndarray) -> ColorShift:
    """`fit_color_shift`, where that leaves much with another saturation: edit models change it in the whole scene."""
    plain = fit_color_shift(shifted, original, untouched)
    if plain.left < WORTH_SATURATION:
        return plain
    sound = between(shifted, 0, 1) & between(original, 0, 1) & (untouched > 0)
    saturation = find_saturation(cell_means(shifted, original, sound))
    if saturation == 1:
        return plain
    found = fit_color_shift(saturated(shifted, saturation), original, untouched)
    return replace(found, saturation=saturation) if found.left < plain.left else plain


def find_saturation(cells: Cells) -> float:
    """The one with which a gain and an offset for each channel leave least of the cells; 1 if that is hardly less."""
    some = cells[:: math.ceil(len(cells.u) / MOST_CELLS)]

    def left(saturation: float) -> float:
        x = saturated(some.shifted[None], saturation)[0]
        gain, offset, _ = robust_line(x, some.original, NOISE_TIE)
        return float(np.median(np.abs(some.original - gain * x - offset).max(axis=1)))

    tried = np.geomspace(*SATURATIONS, TRIED)
    place = min(range(TRIED), key=lambda number: left(tried[number]))
    # What goes on getting less beyond them has another cause.
    if place in (0, TRIED - 1) or left(tried[place]) > min(LEFT, LEFT_SHARE * left(1)):
        return 1.0
    return min(np.geomspace(tried[place - 1], tried[place + 1], FINER).tolist(), key=left)


def fit_again(shifted: np.ndarray, original: np.ndarray, untouched: np.ndarray, orders: tuple[int, int]) -> ColorShift:
    """The color shift of a further frame of a shot, of which it is known how it varies across the image.

    Args:
        orders: those of the shift that `fit_color_shift` found in another frame. All else is as there.
    """
    if min(untouched.shape) < CELL:
        return NO_SHIFT
    every = cell_means(shifted, original, between(shifted, 0, 1) & between(original, 0, 1) & (untouched > 0))
    if orders != (0, 0):
        varying = fit_varying(every, orders) if len(every.u) >= LEAST_FIELD_CELLS else None
        return measured(varying or NO_SHIFT, every)
    return measured(constant_shift(every) if len(every.u) >= LEAST_CELLS else NO_SHIFT, every)


def measured(shift: ColorShift, cells: Cells) -> ColorShift:
    """A shift with what it leaves of the cells."""
    if len(cells.u) < LEAST_CELLS:
        return shift
    some = cells[:: math.ceil(len(cells.u) / MOST_CELLS)]
    more, added = (0, 0) if shift.field is None else shift.field.at(some.u, some.v)
    error = np.abs(some.original - (shift.gain + more) * some.shifted - shift.offset - added)
    return replace(shift, left=float(median(error.T).max()))


def constant_shift(cells: Cells) -> ColorShift:
    """A shift that is the same all over the image."""
    x, y, step = cells.shifted, cells.original, math.ceil(len(cells.u) / MOST_CELLS)
    gain, offset, outlying = robust_line(x[::step], y[::step], NOISE_TIE)
    error = np.abs(y - gain * x - offset)
    agreed = int(cells.pixels[(error < outlying).all(axis=1)].sum())
    shift = ColorShift(gain.astype(np.float32), offset.astype(np.float32), agreed)
    # One that is not plausible is of something else.
    return without_invisible(shift) if is_plausible(shift) or is_regrade(gain, error, y) else NO_SHIFT


def fit_varying(cells: Cells, orders: tuple[int, int] | None = None) -> ColorShift | None:
    """A shift that varies across the image; None where a constant one explains the cells as well."""
    found = fit_field(cells, NOISE_TIE, orders)
    if found is None:
        return None
    gain, offset, field = found
    more, added = field.at(cells.u, cells.v)
    error = np.abs(cells.original - (gain + more) * cells.shifted - offset - added)
    agreed = (error < np.maximum(6.9 * np.median(error, axis=0), 1e-4)).all(axis=1)
    shift = ColorShift(gain, offset, int(cells.pixels[agreed].sum()), field)
    return shift if is_plausible(shift) else None


def between(image: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """Where all channels of an image [H,W,3] lie between two values, or two for each channel; bool [H,W]."""
    low, high = (np.broadcast_to(np.float32(bound), 3) for bound in (low, high))
    inner = np.nextafter(low, np.float32(np.inf)), np.nextafter(high, np.float32(-np.inf))
    return cv2.inRange(image, *(bound.astype(float) for bound in inner)) > 0


def cell_means(shifted: np.ndarray, original: np.ndarray, sound: np.ndarray) -> Cells:
    """The means of two images [H,W,3] over the sound pixels of each cell that has half of them or more."""
    height, width = sound.shape
    rows, columns = height // CELL, width // CELL

    def means(field: np.ndarray) -> np.ndarray:
        return reduce(np.ascontiguousarray(field[: rows * CELL, : columns * CELL]), (columns, rows))

    mask = sound.astype(np.uint8)
    share = means(sound.astype(np.float32))
    full = share >= 0.5
    x, y = (
        means(cv2.copyTo(image, mask))[full].astype(np.float64) / share[full, None] for image in (shifted, original)
    )
    row, column = np.nonzero(full)
    u, v = ((2 * at + 1) * CELL / side - 1 for at, side in ((column, width), (row, height)))
    return Cells(u, v, x, y, share[full] * CELL**2)


def is_plausible(shift: ColorShift) -> bool:
    """Whether a VAE or an edit model may shift colors this far."""
    gain, offset = shift.anywhere
    return bool((np.abs(gain - 1) <= 0.5).all() and (np.abs(gain * 0.5 + offset - 0.5) <= 0.25).all())


def is_regrade(gain: np.ndarray, error: np.ndarray, original: np.ndarray) -> bool:
    """Whether a gain [3] that no VAE has is of the whole scene made darker, brighter or paler.

    error, original: of cells, [N,3].
    """
    contrast = median(np.abs(original - median(original.T)).T)
    explained = median(error.T) < EXPLAINED * contrast
    return bool((explained & (np.abs(np.log(np.maximum(gain, 1e-6))) < math.log(MOST_GAIN))).all())
