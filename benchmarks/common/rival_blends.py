"""Other tools' ways to blend a subject into a background, without a model.

All take float32 images [H,W,3] in 0..1 and the subject's matte [H,W], and return an image.
"""

import cv2
import numpy as np

from benchmarks.common.images import eight_bits
from phd_ops.pixels.blend import alpha_over, match_colors
from phd_ops.pixels.geometry import Box

FEATHER = 1.5
# As wide as the subject's radius in the harmonizing scenes.
RING = 48


def feathered(background: np.ndarray, composite: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Alpha that falls off inside the subject's edge."""
    alpha = np.clip(2 * cv2.GaussianBlur(matte, (0, 0), FEATHER) - 1, 0, 1)
    return alpha_over(background, composite, alpha)


def ring_matched(background: np.ndarray, composite: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Mean and deviation of a ring of the background around the subject."""
    whole = Box(0, 0, *matte.shape[::-1])
    return alpha_over(background, match_colors(composite, matte, background, whole, RING, 1.0), matte)


def scene_matched(background: np.ndarray, composite: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """Mean and deviation of the whole background, in CIE Lab, as color transfer tools do it."""
    inside = matte > 0.5
    lab, behind = (cv2.cvtColor(part, cv2.COLOR_RGB2Lab) for part in (composite, background))
    ours, theirs = lab[inside], behind[~inside]
    matched = (lab - ours.mean(0)) / (ours.std(0) + 1e-6) * theirs.std(0) + theirs.mean(0)
    matched = np.clip(cv2.cvtColor(matched.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1)
    return alpha_over(background, matched, matte)


def seamless(scene, colors, alpha) -> np.ndarray:
    """`cv2.seamlessClone` in 8 bits, of a subject that already has its place in the scene."""
    mask = eight_bits(alpha > 0.5)
    x, y, width, height = cv2.boundingRect(mask)
    center = x + width // 2, y + height // 2
    cloned = cv2.seamlessClone(eight_bits(colors), eight_bits(scene), mask, center, cv2.NORMAL_CLONE)
    return np.float32(cloned) / 255
