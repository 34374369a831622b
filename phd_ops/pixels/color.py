"""sRGB and linear light."""

import numpy as np

LUMA = np.float32([[0.2126], [0.7152], [0.0722]])


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(image <= 0.04045, image / 12.92, ((np.maximum(image, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)
