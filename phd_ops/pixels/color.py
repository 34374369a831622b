"""sRGB, linear light, and luma."""

import numpy as np

# Rec. 709 luma of linear red, green and blue, float32 [3].
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """sRGB to linear light by IEC 61966-2-1; float32, of the same shape."""
    return np.where(image <= 0.04045, image / 12.92, ((np.maximum(image, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Linear light, clipped to 0..1, to sRGB by IEC 61966-2-1; float32, of the same shape."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def largest_channel(values: np.ndarray) -> np.ndarray:
    """The largest of three channels [...,3]: [...]. Much faster than `max` over an axis of three."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


def same_pixels(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two images of one size are equal to the bit, row by row: of others, mostly the first one tells."""
    return all(map(np.array_equal, one, other))


def luma(values: np.ndarray) -> np.ndarray:
    """The luma-weighted mean of linear values [...,3]: [...,1]."""
    return values @ LUMA[:, None]
