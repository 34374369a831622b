"""What a photograph goes through before it is trained on: another look of all of it, another light on its subject.

Images are uint8 [H,W,3] sRGB, mattes uint8 [H,W].
"""

import cv2
import numpy as np

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from training.module_data import to_bytes

# How often a photograph's colors trade places. There are few photographs: their colors are not to be learned by heart.
TRADED = 0.5
# How often a photograph is compressed as JPEG or blurred, and the range of JPEG's qualities.
COMPRESSED, BLURRED = 0.15, 0.15
QUALITIES = (50, 95)
# A region has this share of its image.
LEAST_REGION, MOST_REGION = 0.04, 0.4


def crop_of(rng: np.random.Generator, matte: np.ndarray | None, whole: int, least: float) -> tuple[slice, slice]:
    """A random square of an image of side `whole`, of `least` to 1 of it, that has at least half of the subject.

    matte: the subject's, None = there is none.
    """
    mask = None if matte is None else matte > 127
    for _ in range(8):
        side = int(round(whole * rng.uniform(least, 1)))
        top, left = rng.integers(0, whole - side + 1, 2)
        box = np.s_[top : top + side, left : left + side]
        if mask is None or 2 * np.count_nonzero(mask[box]) >= np.count_nonzero(mask):
            return box
    return np.s_[:whole, :whole]


def region(rng: np.random.Generator, labels: np.ndarray) -> np.ndarray:
    """Superpixels about a random place, as a matte: those whose center lies in a random ellipse.

    labels: uint8 [H,W], the number of each pixel's superpixel.
    """
    height, width = labels.shape
    flat = labels.ravel()
    count = np.bincount(flat, minlength=256).clip(1)
    v, u = np.mgrid[:height, :width].astype(np.float32)
    centers = [np.bincount(flat, place.ravel(), 256) / count for place in (v, u)]
    for _ in range(8):
        at = rng.uniform(0.2, 0.8, 2) * labels.shape
        radii = rng.uniform(0.12, 0.36, 2) * labels.shape
        inside = sum(
            np.square((center - here) / radius) for center, here, radius in zip(centers, at, radii, strict=True)
        )
        chosen = np.uint8(inside < 1)[labels]
        if LEAST_REGION < chosen.mean() < MOST_REGION:
            break
    return cv2.GaussianBlur(chosen * np.uint8(255), (3, 3), 0)


def off_by_a_pixel(rng: np.random.Generator, matte: np.ndarray) -> np.ndarray:
    """The matte, or one that is a pixel too wide or too narrow."""
    change = int(rng.integers(-1, 2))
    if change == 0:
        return matte
    return (cv2.dilate if change > 0 else cv2.erode)(np.ascontiguousarray(matte), np.ones((3, 3), np.uint8))


def traded_colors(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A photograph whose channels now and then are in another order."""
    return np.take(image, rng.permutation(3), axis=2) if rng.random() < TRADED else image


def another_exposure(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """All of a photograph in another exposure, contrast and color of light, darker more often than brighter."""
    gain = np.exp(rng.normal(-0.1, 0.3) + rng.normal(0, 0.1, 3)).astype(np.float32)
    values = srgb_to_linear(np.arange(256, dtype=np.float32)[:, None] / 255)
    power = np.float32(np.exp(rng.normal(0, 0.15)))
    return cv2.LUT(image, to_bytes(linear_to_srgb(values**power * gain))[None])


def worn(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A photograph, now and then slightly blurred or compressed."""
    if rng.random() < BLURRED:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < COMPRESSED:
        quality = int(rng.integers(*QUALITIES))
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return image


def toned(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """An image as a look-up table changes it: each channel by a rising curve of its own, and more or less color.

    The curves have a common part: a power and an S about the middle.
    """
    x = np.linspace(0, 1, 256)
    power = np.exp(rng.normal(0, 0.35) + rng.normal(0, 0.12, 3))
    curves = x[:, None] ** power
    curves += rng.normal(0, 0.06) * np.sin(2 * np.pi * curves)
    # Black may be lifted and white dimmed.
    curves = rng.uniform(0, 0.06) + curves * rng.uniform(0.85, 1.0)
    table = to_bytes(np.maximum.accumulate(curves, axis=0))
    changed = cv2.LUT(image, table[None]).astype(np.float32)
    gray = changed.mean(-1, keepdims=True)
    saturation = np.float32(np.exp(rng.normal(0, 0.2)))
    return (gray + (changed - gray) * saturation + 0.5).clip(0, 255).astype(np.uint8)
