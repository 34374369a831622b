"""What can be done with an image that a model returned: ours, and what others do. All give an image of the scene's
size."""

from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.common.images import eight_bits
from benchmarks.common.rival_blends import seamless
from phd_ops.pixels.align import align
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.finish import EVERYTHING, INSIDE, OWN, Finished, FinishOptions, finish
from phd_ops.pixels.geometry import Box, Size
from phd_ops.pixels.layers import Layers
from phd_ops.pixels.register import Registration
from phd_ops.pixels.resample import resize
from phd_ops.pixels.stitch import fades_in_window, stitch
from relit_scenes.render import Scene

# The node's default.
EDGE_FADE = 12
# Feather of a mask, in pixels, as people set it.
FEATHER = 8


def layers_of(scene: Scene) -> Layers:
    window = Box(0, 0, *Size.of(scene.truth))
    fade, shadow_fade = fades_in_window(scene.harmonize_mask, window, EDGE_FADE)
    return Layers(scene.background, scene.composite, scene.matte, scene.harmonize_mask, fade, shadow_fade)


def as_it_comes(scene: Scene, returned: np.ndarray) -> np.ndarray:
    return resize(returned, Size.of(scene.truth))


def mask(scene: Scene, returned: np.ndarray) -> np.ndarray:
    """Composited by the mask of what may change, with a feather inside it."""
    inside = cv2.distanceTransform(np.uint8(scene.harmonize_mask > 0), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    alpha = np.clip(inside / FEATHER, 0, 1)[..., None].astype(np.float32)
    image = as_it_comes(scene, returned)
    return np.where(alpha > 0, scene.background + alpha * (image - scene.background), scene.background)


def color_matched(scene: Scene, returned: np.ndarray) -> np.ndarray:
    """Mean and deviation of each channel as in the composite (in linear light), then composited by the mask."""
    image, wanted = (srgb_to_linear(shown) for shown in (as_it_comes(scene, returned), scene.composite))
    image = (image - image.mean((0, 1))) / (image.std((0, 1)) + 1e-6) * wanted.std((0, 1)) + wanted.mean((0, 1))
    return mask(scene, linear_to_srgb(np.clip(image, 0, 1)))


def poisson(scene: Scene, returned: np.ndarray) -> np.ndarray:
    """Seamless cloning of the returned image, inside the mask of what may change."""
    inside = scene.harmonize_mask.copy()
    # OpenCV wants a border that stays.
    inside[[0, -1]] = inside[:, [0, -1]] = 0
    cloned = seamless(scene.background, as_it_comes(scene, returned), inside)
    return np.where(inside[..., None] > 0.5, cloned, scene.background)


def sift(scene: Scene, returned: np.ndarray) -> np.ndarray:
    """SIFT, homography by RANSAC, and the mask: what the field's own post-processing does."""
    given, size = scene.composite, Size.of(scene.truth)
    detector = cv2.SIFT.create(4000)
    one, other = (
        detector.detectAndCompute(cv2.cvtColor(eight_bits(shown), cv2.COLOR_RGB2GRAY), None)
        for shown in (returned, given)
    )
    matrix = None
    if one[1] is not None and other[1] is not None and min(len(one[1]), len(other[1])) >= 4:
        pairs = cv2.BFMatcher().knnMatch(one[1], other[1], k=2)
        good = [pair[0] for pair in pairs if len(pair) == 2 and pair[0].distance < 0.75 * pair[1].distance]
        if len(good) >= 4:
            ends = [np.float32([one[0][match.queryIdx].pt for match in good])]
            ends.append(np.float32([other[0][match.trainIdx].pt for match in good]))
            matrix, _ = cv2.findHomography(*ends, cv2.RANSAC, 3.0)
    if matrix is None:
        return mask(scene, returned)
    moved = cv2.warpPerspective(returned, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return mask(scene, np.clip(moved, 0, 1))


def stitch_before(scene: Scene, returned: np.ndarray) -> np.ndarray:
    """Stitch without registration."""
    return stitch(layers_of(scene), [as_it_comes(scene, returned)]).image


@dataclass(frozen=True, eq=False)
class Ours:
    """What Stitch makes of a returned image, and how far that had moved."""

    finished: Finished
    registration: Registration

    @property
    def image(self) -> np.ndarray:
        return self.finished.stitched.image


def ours(scene: Scene, returned: np.ndarray, keep: str = INSIDE, pixels: str = OWN) -> Ours:
    """By default as the node's defaults give it."""
    layers = layers_of(scene)
    aligned = align(scene.composite, [returned], 1 - np.maximum(layers.harmonize_mask, layers.matte), layers.matte)
    options = FinishOptions(edge_fade=EDGE_FADE, keep_changes=keep, subject_pixels=pixels)
    return Ours(finish(layers, aligned, options=options), aligned.registrations[0])


# Without ours, which gives more than an image.
RIVALS = {
    "as_it_comes": as_it_comes,
    "mask": mask,
    "color_matched": color_matched,
    "poisson": poisson,
    "sift": sift,
    "stitch_before": stitch_before,
}


@dataclass(frozen=True)
class Kept:
    """What comes along of changes outside the mask, as shares of areas.

    Attributes:
        kept: of the changes' area, how much is taken from the returned image.
        touched: of the unchanged area outside the mask, how much is.
    """

    kept: float
    touched: float


def kept_changes(scene: Scene, returned: np.ndarray, changed: np.ndarray) -> Kept:
    """changed: where the returned image was changed outside the mask, bool [S,S]."""
    used = ours(scene, returned, EVERYTHING).finished.stitched.used > 0
    rest = (np.maximum(scene.harmonize_mask, scene.matte) == 0) & ~changed
    return Kept(float(used[changed].mean()), float(used[rest].mean()))
