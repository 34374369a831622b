"""sRGB, linear light, and luma."""

import cv2
import numpy as np

# Rec. 709 luma of linear red, green and blue, float32 [3].
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """sRGB to linear light by IEC 61966-2-1; float32, of the same shape."""
    values = in_a_row(image)
    light = values + np.float32(0.055)
    light /= np.float32(1.055)
    to_power(light, 2.4)
    return with_line(light, values, 0.04045, 1 / 12.92).reshape(np.shape(image))


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light, clipped to 0..1, to sRGB by IEC 61966-2-1; float32, of the same shape."""
    values = np.clip(in_a_row(light), 0, 1)
    image = values.copy()
    to_power(image, 1 / 2.4)
    image *= np.float32(1.055)
    image -= np.float32(0.055)
    return with_line(image, values, 0.0031308, 12.92).reshape(np.shape(light))


def in_a_row(values: np.ndarray) -> np.ndarray:
    """Values of any shape as float32 [1,N]; without a copy where they are so already."""
    return np.ascontiguousarray(values, np.float32).reshape(1, -1)


def to_power(values: np.ndarray, exponent: float) -> None:
    """Raises values [1,N] to a power, in place, to about 3e-7 of their size; those near 0 count as 0.001. OpenCV's
    logarithm takes a tenth of the time of NumPy's."""
    np.maximum(values, np.float32(1e-3), out=values)
    log(values, out=values)
    values *= np.float32(exponent)
    if values.size:
        cv2.exp(values, values)


def log(values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Natural logarithm of float32 values of any shape, contiguous and above 0; into `out` if given."""
    out = np.empty_like(values) if out is None else out
    if values.size:
        cv2.log(values.reshape(1, -1), out.reshape(1, -1))
    return out


def with_line(curve: np.ndarray, values: np.ndarray, end: float, slope: float) -> np.ndarray:
    """A curve of values, [1,N] both, with a line in its place where these are at most `end`."""
    low = values <= np.float32(end)
    if low.any():
        np.multiply(values, np.float32(slope), out=curve, where=low)
    return curve


def largest_channel(values: np.ndarray) -> np.ndarray:
    """The largest of three channels [...,3]: [...]. Much faster than `max` over an axis of three."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


def threefold(mask: np.ndarray) -> np.ndarray:
    """A mask [H,W] in three channels: these multiply several times faster than a broadcast one."""
    return cv2.merge([mask] * 3)


def same_pixels(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two images of one size are equal to the bit, row by row: of others, mostly the first one tells."""
    return all(map(np.array_equal, one, other))


def luma(values: np.ndarray) -> np.ndarray:
    """The luma-weighted mean of linear values [...,3]: [...,1]."""
    return values @ LUMA[:, None]
