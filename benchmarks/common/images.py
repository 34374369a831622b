"""Images and masks to measure on, and differences between images in levels of 8 bits."""

import cv2
import numpy as np
import torch

from phd_ops.pixels.geometry import Size


def tensor(array: np.ndarray) -> torch.Tensor:
    """An image [H,W,C] or a mask [H,W] as a batch of one."""
    return torch.from_numpy(np.ascontiguousarray(array))[None]


def eight_bits(image: np.ndarray) -> np.ndarray:
    """An image in 0..1 as uint8."""
    return np.round(image * 255).astype(np.uint8)


def in_eight_bits(image: np.ndarray) -> np.ndarray:
    """An image in 0..1 rounded as in a PNG file, so that an unchanged pixel is equal. Float32."""
    return np.round(image * 255) / np.float32(255)


def levels(difference: np.ndarray) -> float:
    """The largest absolute difference, in levels of 8 bits."""
    return float(np.abs(difference).max()) * 255


def texture(size: Size, seed: int) -> np.ndarray:
    """An image with large shapes and grain, whose values stay clear of 0 and 1. Float32 [H,W,3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((max(2, size.height // 64), max(2, size.width // 64), 3), np.float32)
    grain = rng.random((size.height, size.width, 3), np.float32)
    return np.clip(0.2 + 0.55 * cv2.resize(coarse, size) + 0.05 * grain, 0, 1)


def disc(side: int, radius: float, ramp: float) -> np.ndarray:
    """A round matte in the middle of a square, whose edge rises over `ramp` pixels. Float32 [side,side]."""
    v, u = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    return np.clip((radius - np.hypot(u, v)) / ramp + 0.5, 0, 1).astype(np.float32)
