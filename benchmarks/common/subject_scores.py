"""The figures of an image beside its truth. The smoother is the benchmark's own, so that no figure depends on the code
that it measures."""

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from benchmarks.common import iharmony
from phd_ops.pixels.color import srgb_to_linear
from relit_scenes.light import LUMA
from relit_scenes.render import Scene

# Sigmas as shares of the image's side: anything coarser counts as light, anything finer as texture.
LIGHT_SIGMA, TEXTURE_SIGMA = 0.05, 0.02
# Half the width of the band about the edge, as a share of the side: 4 pixels of 128.
BAND = 1 / 32
# Linear light is clipped here before its logarithm is taken.
DARKEST = 2e-3
# Ground that is darker than the background by this share counts as shadow.
SHADOW = 0.08


def smoothed(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Normalized Gaussian blur of values [H,W] or [H,W,C] with a weight [H,W] in 0..1."""
    over = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6
    weighted = cv2.GaussianBlur(values * (weight[..., None] if values.ndim == 3 else weight), (0, 0), sigma)
    return weighted / (over[..., None] if values.ndim == 3 else over)


def log_light(image: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(srgb_to_linear(image), DARKEST))


def on_subject(scene: Scene) -> np.ndarray:
    """Where the scene truly shows the subject, bool [S,S]."""
    return scene.true_matte > 0.5


def squared_error(image: np.ndarray, scene: Scene) -> float:
    """Mean square error over the subject."""
    return float(np.square(image - scene.truth)[on_subject(scene)].mean())


def color_difference(image: np.ndarray, scene: Scene) -> float:
    """Mean CIEDE2000 over the subject."""
    inside = on_subject(scene)
    labs = [rgb2lab(shown[inside][:, None]) for shown in (image, scene.truth)]
    return float(deltaE_ciede2000(*labs).mean())


def light_error(image: np.ndarray, scene: Scene) -> float:
    """Mean square over the subject of the coarse part of the difference in log light."""
    inside = on_subject(scene)
    difference = log_light(image) - log_light(scene.truth)
    coarse = smoothed(difference, np.float32(inside), LIGHT_SIGMA * len(inside))
    return float(np.square(coarse[inside]).mean())


def identity(image: np.ndarray, scene: Scene) -> float:
    """Correlation of the subject's texture with that of the paste; NaN for a subject without texture."""
    core = cv2.erode(np.uint8(on_subject(scene)), np.ones((5, 5), np.uint8)) > 0
    if core.sum() < 16:
        return math.nan
    fine = []
    for shown in (image, scene.composite):
        light = log_light(shown) @ LUMA
        fine.append((light - smoothed(light, np.float32(core), TEXTURE_SIGMA * len(core)))[core])
    ours, own = fine
    spread = float(np.sqrt(np.square(ours).sum() * np.square(own).sum()))
    return float((ours * own).sum()) / spread if own.std() > 0.01 and spread > 0 else math.nan


def boundary_error(image: np.ndarray, scene: Scene) -> float:
    """Squared error of the gradients in a band around the subject's edge, over the squares of the true gradients."""
    edge = np.uint8(on_subject(scene))
    reach = max(1, round(BAND * len(edge)))
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    band = cv2.dilate(edge, ball) > cv2.erode(edge, ball)
    return gradient_error(image, scene, band)


def gradient_error(image: np.ndarray, scene: Scene, where: np.ndarray) -> float:
    """Squared error of the gradients between pixels of `where`, over the squares of the true gradients."""
    wrong = due = 0.0
    for axis in (0, 1):
        both = where & np.roll(where, -1, axis)
        both = both[:-1] if axis == 0 else both[:, :-1]
        wrong += float(np.square(np.diff(image - scene.truth, axis=axis)[both]).sum())
        due += float(np.square(np.diff(scene.truth, axis=axis)[both]).sum())
    return wrong / max(due, 1e-12)


def surround(scene: Scene) -> np.ndarray:
    """The ground that may change, bool [S,S]: a halo shows here."""
    return (scene.harmonize_mask > 0) & (np.maximum(scene.matte, scene.true_matte) == 0)


def ring_error(image: np.ndarray, scene: Scene) -> float:
    """Mean square error over the ground around the subject; NaN where none may change."""
    ring = surround(scene)
    return float(np.square(image - scene.truth)[ring].mean()) if ring.any() else math.nan


def ring_edge_error(image: np.ndarray, scene: Scene) -> float:
    """Squared error of the gradients in the ground around the subject, over the squares of the true ones; NaN where no
    ground may change."""
    ring = surround(scene)
    return gradient_error(image, scene, ring) if ring.any() else math.nan


def seam_error(image: np.ndarray, scene: Scene) -> float:
    """Mean square error of the steps across the outer edge of what may change; NaN where there is no such edge."""
    ring, outside = surround(scene), np.maximum(scene.harmonize_mask, scene.true_matte) == 0
    steps = []
    for axis in (0, 1):
        ours, beyond = (np.moveaxis(mask, axis, 0) for mask in (ring, outside))
        edge = ours[1:] & beyond[:-1] | ours[:-1] & beyond[1:]
        steps.append(np.square(np.diff(np.moveaxis(image - scene.truth, axis, 0), axis=0))[edge])
    return float(np.concatenate(steps).mean()) if any(map(len, steps)) else math.nan


def shadow_iou(image: np.ndarray, scene: Scene) -> float:
    """Intersection over union of the ground that got darker and the true shadow; NaN where there is no shadow."""
    ground = np.maximum(scene.matte, scene.true_matte) == 0
    true = (scene.shadow > SHADOW) & ground
    if not true.any():
        return math.nan
    now, before = (srgb_to_linear(shown) @ LUMA + DARKEST for shown in (image, scene.background))
    found = (now < (1 - SHADOW) * before) & ground
    return float((found & true).sum() / (found | true).sum())


def outside_equal(image: np.ndarray, scene: Scene) -> float:
    """1 if every pixel outside all masks equals the background bit for bit, else 0."""
    outside = np.maximum.reduce([scene.matte, scene.harmonize_mask, scene.inpaint_mask]) == 0
    return float(np.array_equal(image[outside], scene.background[outside]))


def foreground(image: np.ndarray, scene: Scene) -> float:
    """The subject's share of the image: the same for all images of a scene. iHarmony4's papers sort scenes by it."""
    del image
    return float(on_subject(scene).mean())


def iharmony_figure(measure: Callable[..., float]) -> Callable[[np.ndarray, Scene], float]:
    return lambda image, scene: measure(image, scene.truth, on_subject(scene))


MEASURES = {
    "fmse": squared_error,
    "de00": color_difference,
    "light": light_error,
    "identity": identity,
    "boundary": boundary_error,
    "ring": ring_error,
    "ring_edge": ring_edge_error,
    "seam": seam_error,
    "shadow_iou": shadow_iou,
    "outside_equal": outside_equal,
    "foreground": foreground,
    **{name: iharmony_figure(measure) for name, measure in iharmony.MEASURES.items()},
}
FIGURES = tuple(MEASURES)


def score(image: np.ndarray, scene: Scene, figures: Sequence[str] = FIGURES) -> dict[str, float]:
    """Figures by name, for an image float32 [S,S,3] in 0..1. Raises ValueError for another shape, NaN or infinity."""
    if image.shape != scene.truth.shape:
        raise ValueError(f"An image of shape {scene.truth.shape} is needed, but got shape {image.shape}.")
    if not np.isfinite(image).all():
        raise ValueError("The image holds values that are NaN or infinite.")
    return {name: MEASURES[name](image, scene) for name in figures}
