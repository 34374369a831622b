"""What a model really changed, from images alone.

A returned image differs everywhere from what the model was given: its texture is softer, its pixels are rounded, it is
shifted by a fraction of a pixel. All of this grows with the local contrast, so the usual difference for each contrast
is measured in the image itself, and what exceeds it many times is a change. It is looked for at two scales: objects
show in fine differences, shadows in coarse ones.

Images are float32 [H,W,3] sRGB in 0..1, masks [H,W].
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ..interrupt import by_bands, check, waiting
from .color import largest_channel
from .geometry import Size
from .masks import resize_mask
from .resample import quick_resize, reduce
from .surround import labeled
from .tone_field import median

# Changes are looked for in images whose longer side has at most this many pixels.
MOST_SIDE = 1024
# Differences are averaged over a Gaussian of this many pixels: of that image, and of one half as large.
SIGMA, SCALES = 1.5, (1.0, 0.5)
# Local contrast is that in a Gaussian of this many pixels of the half as large one.
CONTRAST_SIGMA = 1.25
# The usual difference is measured in this many classes of contrast with equally many pixels, of at most so many.
CLASSES, MOST_SORTED = 12, 2**14
# No difference below this counts as unusual (sRGB): an 8-bit image rounds by half a level.
LEAST = 0.75 / 255
# A change is more than this many times the usual difference; around it, this many times are enough.
CERTAIN, POSSIBLE = 7.0, 3.0
# Smaller changes, in pixels of that image, are noise.
LEAST_AREA = 24


def find_changes(given: np.ndarray, returned: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    """Where a returned image was changed beyond a shift of its colors, softness and noise; binary float32 [H,W].

    Args:
        given: what the model was given.
        returned: what it made of that, registered and without its color shift, of the same size.
        seen: [H,W], 0 where the returned image shows nothing.
    """
    check()
    full = Size.of(given)
    size = full.reduced_to(MOST_SIDE)
    before, after = reduce(given, size), reduce(returned, size)
    shown = np.ones(size[::-1], bool) if seen is None else resize_mask(seen.astype(np.float32), *size) > 0.99
    if not shown.any():
        return np.zeros(full[::-1], np.float32)
    classes = ContrastClasses.of(local_contrast(before), shown)
    certain, possible = np.zeros(shown.shape, bool), np.zeros(shown.shape, bool)
    for apart in differences(before, after, shown):
        # No smaller ones are changes: the usual ones are at least LEAST.
        large = np.flatnonzero((apart > POSSIBLE * LEAST) & shown)
        times = apart.ravel()[large] / classes.usual(apart, large)
        certain.ravel()[large[times > CERTAIN]] = True
        possible.ravel()[large[times > POSSIBLE]] = True
    changed = cv2.dilate(changed_parts(certain, possible), np.ones((3, 3), np.uint8)).astype(np.float32)
    return changed if size == full else (resize_mask(changed, *full) > 0.5).astype(np.float32)


def local_contrast(image: np.ndarray) -> np.ndarray:
    """Standard deviation in a Gaussian of CONTRAST_SIGMA, the largest of the channels, [H,W]."""
    half = Size.of(image).scaled(0.5)
    mean, square = (
        waiting(cv2.GaussianBlur, quick_resize(values, half), (0, 0), CONTRAST_SIGMA)
        for values in (image, by_bands(np.square, image))
    )
    square -= np.multiply(mean, mean, out=mean)
    contrast = np.sqrt(np.maximum(largest_channel(square), 0))
    return waiting(cv2.resize, contrast, Size.of(image), interpolation=cv2.INTER_LINEAR)


def differences(before: np.ndarray, after: np.ndarray, shown: np.ndarray) -> Iterator[np.ndarray]:
    """How far two images differ at each of SCALES, the largest of the channels, [H,W] each.

    Args:
        shown: bool [H,W], where `after` shows anything; elsewhere the two count as equal.
    """
    apart, size = by_bands(np.subtract, after, before), Size.of(before)
    if not shown.all():
        apart[~shown] = 0
    for scale in SCALES:
        blurred = waiting(cv2.GaussianBlur, quick_resize(apart, size.scaled(scale)), (0, 0), SIGMA)
        most = by_bands(lambda band: largest_channel(np.abs(band)), blurred)
        yield most if scale == 1 else waiting(cv2.resize, most, size, interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True, eq=False)
class ContrastClasses:
    """The pixels of an image in classes of local contrast, which have equally many pixels.

    Attributes:
        contrast: [H,W].
        order: pixels that are shown, by their contrast; indices into the image. Of large images not all.
        ranges: of each class, where it begins and ends in that order. One contrast may be in two classes.
        middles: the median contrast of each class.
    """

    contrast: np.ndarray
    order: np.ndarray
    ranges: list[tuple[int, int]]
    middles: list[float]

    @classmethod
    def of(cls, contrast: np.ndarray, shown: np.ndarray) -> "ContrastClasses":
        places = np.flatnonzero(shown)
        # So many tell medians exactly enough.
        places = places[:: max(1, len(places) // MOST_SORTED)]
        order = places[waiting(rising_order, contrast.ravel()[places])]
        rising = contrast.ravel()[order]
        edges = np.interp(np.linspace(0, len(rising) - 1, CLASSES + 1), np.arange(len(rising)), rising)
        firsts, lasts = np.searchsorted(rising, edges[:-1]), np.searchsorted(rising, edges[1:], "right")
        ranges = [(int(first), int(last)) for first, last in zip(firsts, lasts, strict=True)]
        return cls(contrast, order, ranges, [float(median(rising[first:last])) for first, last in ranges])

    def usual(self, apart: np.ndarray, places: np.ndarray) -> np.ndarray:
        """The usual (median) difference of pixels of each contrast, at least LEAST, at some places of the image: [N].

        It grows with the contrast: where much of one class was changed, the others tell its usual difference.

        Args:
            apart: from `difference`.
            places: [N], indices into it as one row.
        """
        values = apart.ravel()[self.order]
        medians = [float(median(values[first:last])) for first, last in self.ranges]
        # The largest non-decreasing function below the medians.
        rising = np.minimum.accumulate(medians[::-1])[::-1]
        usual = np.interp(self.contrast.ravel()[places], self.middles, rising)
        return np.maximum(usual, LEAST).astype(np.float32)


def rising_order(values: np.ndarray) -> np.ndarray:
    """`np.argsort` of float32 values that are not negative, in half the time: NumPy sorts 16 bits by their digits."""
    bits = values.view(np.uint32)
    low = np.argsort(bits.astype(np.uint16), kind="stable")
    return low[np.argsort((bits >> 16).astype(np.uint16)[low], kind="stable")]


def changed_parts(certain: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """The connected parts of what is possible that hold something certain (hysteresis) and are no specks, uint8 [H,W]:
    1 there."""
    count, labels = labeled(possible)
    changed = np.zeros(count, bool)
    changed[labels[certain]] = True
    changed &= np.bincount(labels[possible], minlength=count) >= LEAST_AREA
    return changed[labels].view(np.uint8)
