"""What is measured of an image beside its truth. The smoother here is the benchmark's own: no figure rests on the
code that it measures."""

import math

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab

from phd_ops.pixels.color import srgb_to_linear
from relit_scenes.light import LUMA
from relit_scenes.render import Scene

# Sigmas as shares of the image's side: what is coarser is light, what is finer is texture.
LIGHT_SIGMA, TEXTURE_SIGMA = 0.05, 0.02
# Half the width of the band about the edge, as a share of the side: 4 pixels of 128.
BAND = 1 / 32
DARKEST = 2e-3
# As much darker than the background, outside the subject, is shadow.
SHADOW = 0.08
FIGURES = ("fmse", "de00", "light", "identity", "boundary", "shadow_iou", "outside_equal")


def smoothed(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian mean over where there is weight: values [H,W] or [H,W,C], weight [H,W] in 0..1."""
    over = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-6
    weighted = cv2.GaussianBlur(values * (weight[..., None] if values.ndim == 3 else weight), (0, 0), sigma)
    return weighted / (over[..., None] if values.ndim == 3 else over)


def log_light(image: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(srgb_to_linear(image), DARKEST))


def light_error(image: np.ndarray, scene: Scene, inside: np.ndarray) -> float:
    """Mean square of the coarse part of log light, apart from the truth's."""
    apart = log_light(image) - log_light(scene.truth)
    coarse = smoothed(apart, np.float32(inside), LIGHT_SIGMA * len(inside))
    return float(np.square(coarse[inside]).mean())


def identity(image: np.ndarray, scene: Scene, inside: np.ndarray) -> float:
    """Correlation of the subject's texture with the one that was pasted, NaN for a subject without any."""
    core = cv2.erode(np.uint8(inside), np.ones((5, 5), np.uint8)) > 0
    if core.sum() < 16:
        return math.nan
    fine = []
    for each in (image, scene.composite):
        light = log_light(each) @ LUMA
        fine.append((light - smoothed(light, np.float32(core), TEXTURE_SIGMA * len(core)))[core])
    ours, own = fine
    spread = float(np.sqrt(np.square(ours).sum() * np.square(own).sum()))
    return float((ours * own).sum()) / spread if own.std() > 0.01 and spread > 0 else math.nan


def boundary_error(image: np.ndarray, scene: Scene) -> float:
    """Squared error of the gradients in a band about the edge, over the true gradients' squares."""
    edge = np.uint8(scene.true_matte > 0.5)
    reach = max(1, round(BAND * len(edge)))
    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    band = cv2.dilate(edge, ball) > cv2.erode(edge, ball)
    wrong = due = 0.0
    for axis in (0, 1):
        both = band & np.roll(band, -1, axis)
        both = both[:-1] if axis == 0 else both[:, :-1]
        wrong += float(np.square(np.diff(image - scene.truth, axis=axis)[both]).sum())
        due += float(np.square(np.diff(scene.truth, axis=axis)[both]).sum())
    return wrong / max(due, 1e-12)


def shadow_iou(image: np.ndarray, scene: Scene) -> float:
    """Overlap of where the ground got darker with the true shadow, NaN where there is none."""
    ground = np.maximum(scene.matte, scene.true_matte) == 0
    true = (scene.shadow > SHADOW) & ground
    if not true.any():
        return math.nan
    now, before = (srgb_to_linear(each) @ LUMA + DARKEST for each in (image, scene.background))
    found = (now < (1 - SHADOW) * before) & ground
    return float((found & true).sum() / (found | true).sum())


def outside_equal(image: np.ndarray, scene: Scene) -> float:
    """1 where every pixel that no mask lets change is the background's to the bit, else 0."""
    outside = np.maximum.reduce([scene.matte, scene.harmonize_mask, scene.inpaint_mask]) == 0
    return float(np.array_equal(image[outside], scene.background[outside]))


def score(image: np.ndarray, scene: Scene) -> dict[str, float]:
    """image: float32 [S,S,3] in 0..1. By name, FIGURES."""
    if image.shape != scene.truth.shape or not np.isfinite(image).all():
        raise ValueError(f"An image of {scene.truth.shape} in 0..1 is needed; one of {image.shape} came.")
    inside = scene.true_matte > 0.5
    labs = [rgb2lab(each[inside][:, None]) for each in (image, scene.truth)]
    return {
        "fmse": float(np.square(image - scene.truth)[inside].mean()),
        "de00": float(deltaE_ciede2000(*labs).mean()),
        "light": light_error(image, scene, inside),
        "identity": identity(image, scene, inside),
        "boundary": boundary_error(image, scene),
        "shadow_iou": shadow_iou(image, scene),
        "outside_equal": outside_equal(image, scene),
    }
