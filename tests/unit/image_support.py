"""Images, mattes and a tone shift that several tests share."""

import numpy as np


def make_image(side, seed=0, low=0.2, high=0.8):
    """Noise, float32 [side,side,3]."""
    return np.random.default_rng(seed).uniform(low, high, (side, side, 3)).astype(np.float32)


def disc(side, radius, ramp=0.0):
    """A round matte in the middle of a square, whose edge rises over `ramp` pixels."""
    y, x = np.mgrid[0:side, 0:side] + 0.5
    inside = radius - np.hypot(x - side / 2, y - side / 2)
    return (np.clip(inside / ramp + 0.5, 0, 1) if ramp else inside > 0).astype(np.float32)


GAIN, OFFSET = np.float32([1.04, 0.97, 1.02]), np.float32([-0.02, 0.015, 0.01])


def shifted(original):
    """What a VAE makes of an image whose colors `GAIN` and `OFFSET` bring back."""
    return (original - OFFSET) / GAIN
