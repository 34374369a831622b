"""Resizing, blurring and warping images: float throughout, antialiased."""

import math
from collections.abc import Iterator

import cv2
import numpy as np

from ..interrupt import bands, check, waiting
from .geometry import Box, Margins, Size

# Smaller images are mirrored before a warp.
MIRRORED_SIDE = 256
# A wider Gaussian, in pixels, is computed on a coarser grid, finely enough for any eye.
COARSE_SIGMA = 8.0
# Ways to go on beyond an image that need no warp.
EXTENDED = cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE
# OpenCV cuts a Gaussian of floats off at this many sigmas.
KERNEL_REACH = 4
# Pixels of a band that is filtered.
FILTERED_BAND = 2**16


# Ways to resize an image. AUTO takes means where it shrinks, and a cubic where it grows.
AUTO, LANCZOS, BILINEAR, NEAREST = "auto", "lanczos", "bilinear", "nearest"
RESAMPLERS = (AUTO, LANCZOS, BILINEAR, NEAREST)


def reduce(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Reduces an image to a smaller (width, height): every pixel is the mean of those that it covers."""
    if image.shape[1::-1] == tuple(size):
        return image
    return waiting(cv2.resize, image, size, interpolation=cv2.INTER_AREA)


def resize(image: np.ndarray, size: Size, resampler: str = AUTO) -> np.ndarray:
    """Resizes an image in float, antialiased where it shrinks, but for NEAREST; itself at the same size."""
    if Size.of(image) == size:
        return image
    if resampler in FILTERS:
        return clip(filtered(filtered(image, 0, size.height, resampler), 1, size.width, resampler))
    if resampler == NEAREST:
        return waiting(cv2.resize, image, size, interpolation=cv2.INTER_NEAREST_EXACT)
    shrinks = size.width * size.height < image.shape[0] * image.shape[1]
    return clip(waiting(cv2.resize, image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def quick_resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Resizes an image or a mask that is looked at but not shown: linearly down to half its size, which takes a seventh
    of the time of means and leaves no pixel out, and by means beyond."""
    if Size.of(image) == size:
        return image
    far = image.shape[1] > 2 * size.width or image.shape[0] > 2 * size.height
    return waiting(cv2.resize, image, size, interpolation=cv2.INTER_AREA if far else cv2.INTER_LINEAR)


def triangle(x: np.ndarray) -> np.ndarray:
    return np.clip(1 - abs(x), 0, None)


def lanczos(x: np.ndarray) -> np.ndarray:
    """Duchon 1979, with three lobes."""
    return np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


# Kernels, and how many pixels they reach to each side.
FILTERS = {LANCZOS: (lanczos, 3.0), BILINEAR: (triangle, 1.0)}


def filtered(image: np.ndarray, axis: int, length: int, resampler: str) -> np.ndarray:
    """An image [H,W,...] resized along an axis by a kernel, which is as much wider as the image shrinks."""
    kernel, reach = FILTERS[resampler]
    whole = image.shape[axis]
    scale = whole / length
    wide = max(scale, 1.0)
    centers = (np.arange(length) + 0.5) * scale
    first = np.floor(centers - reach * wide).astype(int)
    places = first[:, None] + np.arange(math.ceil(2 * reach * wide) + 1)
    weights = kernel((places + 0.5 - centers[:, None]) / wide)
    # Beyond the image there is nothing: what lies inside counts alone.
    weights[(places < 0) | (places >= whole)] = 0
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    places = np.clip(places, 0, whole - 1)
    result = np.zeros((*image.shape[:axis], length, *image.shape[axis + 1 :]), np.float32)
    spread = [1] * image.ndim
    spread[axis] = length
    for tap in range(places.shape[1]):
        check()
        result += weights[:, tap].reshape(spread) * np.take(image, places[:, tap], axis)
    return result


def pad(image: np.ndarray, margins: Margins, *, repeat: bool = True) -> np.ndarray:
    """An image [H,W,...] with margins, where its edge pixels repeat, or else 0 is; itself without any."""
    if not any(margins):
        return image
    left, top, right, bottom = margins
    border = cv2.BORDER_REPLICATE if repeat else cv2.BORDER_CONSTANT
    return waiting(cv2.copyMakeBorder, image, top, bottom, left, right, border)


def clip(image: np.ndarray) -> np.ndarray:
    """Brings an image into 0..1, in place."""
    for rows in bands(*image.shape[:2]):
        np.clip(image[rows], 0, 1, out=image[rows])
    return image


def resample(
    image: np.ndarray,
    matrix: np.ndarray,
    size: Size,
    border: int,
    interpolation: int = cv2.INTER_CUBIC,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Warps [H,W], [H,W,3] or a cut-out [H,W,4] by a continuous affine matrix, from source to destination.

    A shift by whole pixels keeps every bit; what it adds nothing to is a view. A reduction is antialiased first (area),
    then the rest is one warp.

    Args:
        image: its values are in 0..1.
        matrix: float64 [2,3].
        size: of the destination.
        border: what lies beyond the source, a cv2.BORDER_ constant.
        out: to write into, of the destination's size.
    """
    linear, offset = matrix[:, :2], matrix[:, 2]
    if np.allclose(linear, np.eye(2), atol=1e-9) and np.allclose(offset, np.round(offset), atol=1e-6):
        x, y = (round(value) for value in offset)
        shown = Box(x, y, *Size.of(image)).inside(size)
        if border in EXTENDED and out is None and 0 not in shown.size:
            left, top, right, bottom = shown.x, shown.y, shown.x + shown.width, shown.y + shown.height
            margins = Margins(left, top, size.width - right, size.height - bottom)
            return pad(image[shown.moved(-x, -y).slices], margins, repeat=border == cv2.BORDER_REPLICATE)
        matrix, interpolation = np.column_stack([np.eye(2), np.round(offset)]), cv2.INTER_NEAREST
    else:
        scale = float(np.sqrt(abs(np.linalg.det(linear))))
        if scale < 1:
            source = Size.of(image)
            reduced = source.scaled(scale)
            image = reduce(image, reduced)
            linear = linear @ np.diag([source.width / reduced.width, source.height / reduced.height])
            matrix = np.column_stack([linear, offset])
    # OpenCV puts pixel centers at whole numbers; here they are at half ones.
    half = np.array([0.5, 0.5])
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ half - half])
    if border == cv2.BORDER_REFLECT and min(image.shape[:2]) < MIRRORED_SIDE:
        # OpenCV reflects once for every width that a pixel lies off, which takes minutes for tiny images far away. An
        # image joined with its mirror images repeats instead, and that is one division.
        image = np.concatenate([image, image[:, ::-1]], axis=1)
        image, border = np.concatenate([image, image[::-1]]), cv2.BORDER_WRAP
    warped = waiting(cv2.warpAffine, image, shifted, size, out, flags=interpolation, borderMode=border)
    if warped.shape[2:] == (4,):
        # Where a cubic overshoots, a cut-out's colors overshoot with its matte: both are scaled back together.
        for rows in bands(*warped.shape[:2]):
            over = warped[rows, :, 3] > 1 + 1e-4
            warped[rows][over] /= warped[rows][over, 3:]
    return clip(warped)


def moved(matrix: np.ndarray, source: Box, destination: Box) -> np.ndarray:
    """The same affine map, in the coordinates of a box of the source and a box of the destination."""
    origin = np.array([source.x, source.y], float)
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ origin - [destination.x, destination.y]])


def blur(image: np.ndarray, sigma: float, cells: float = COARSE_SIGMA) -> np.ndarray:
    """Blurs [H,W] or [H,W,C] with a Gaussian of `sigma` pixels; beyond the image its border pixels repeat.

    A wide blur is computed on a coarser grid, so that it costs no more than a narrow one.

    Args:
        cells: the most cells of that grid that `sigma` has. Fewer are faster, and exact enough for what nobody sees.
    """
    size, coarser = Size.of(image), sigma / cells
    if coarser > 1:
        image = reduce(image, Size(*(max(1, round(side / coarser)) for side in size)))
    # The sides need not be multiples of the grid's cells, so the two scales differ a little.
    scales = image.shape[1] / size.width, image.shape[0] / size.height
    image = gaussian(image, sigma * scales[0], sigma * scales[1])
    return waiting(cv2.resize, image, size, interpolation=cv2.INTER_LINEAR) if coarser > 1 else image


def gaussian(image: np.ndarray, across: float, down: float) -> np.ndarray:
    """`cv2.GaussianBlur` with these sigmas, in bands, with the same bits."""
    blurred = np.empty_like(image)
    for rows, near, inner in bands_around(Size.of(image), down):
        part = waiting(cv2.GaussianBlur, image[near], (0, 0), across, sigmaY=down, borderType=cv2.BORDER_REPLICATE)
        blurred[rows] = part[inner]
    return blurred


def bands_around(size: Size, sigma: float) -> Iterator[tuple[slice, slice, slice]]:
    """Bands of an image of a size for a Gaussian of `sigma` pixels, with a check before each.

    Each is three slices: its rows; those with all rows in the filter's reach; and where it lies in the latter. Few rows
    at a time stay in the processor's cache, and memory that was just freed serves again.
    """
    reach = math.ceil(KERNEL_REACH * sigma) + 1
    # A high band has little overlap with the next one.
    step = max(4 * reach, FILTERED_BAND // size.width)
    for top in range(0, size.height, step):
        check()
        bottom, first = min(top + step, size.height), max(0, top - reach)
        yield slice(top, bottom), slice(first, min(size.height, bottom + reach)), slice(top - first, bottom - first)
