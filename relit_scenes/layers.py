"""Renders one shot into its parts in linear light: lit background, lit subject with its matte, shadow."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from phd_ops.pixels.geometry import Box
from relit_scenes import backgrounds, subjects
from relit_scenes.descriptions import Shot
from relit_scenes.subjects import Cutout

# The share of the direct light that a cast shadow takes, and the share of all light that a contact shadow takes.
CAST, CONTACT = 0.42, 0.55
# A fainter shadow counts as none.
LEAST_SHADOW = 0.01


@dataclass(frozen=True)
class RenderedShot:
    """The parts of a shot, float32, linear light. S is the image's side, [h,w] the subject's cut-out.

    Attributes:
        empty: [S,S,3], the lit background.
        box: where the cut-out lies in the image.
        matte: [h,w] in 0..1.
        lit: [h,w,3], the subject's colors in this light, not multiplied by alpha, at most 1.
        relit: [h,w,3], shade times gain: albedo × relit = lit, where nothing clips.
        shadow: [S,S] in 0..1, the share of the light that is taken away.
        log_gain: [S,S,3], the light's logarithm.
    """

    empty: np.ndarray
    box: Box
    matte: np.ndarray
    lit: np.ndarray
    relit: np.ndarray
    shadow: np.ndarray
    log_gain: np.ndarray

    @property
    def finished(self) -> np.ndarray:
        """[S,S,3], linear light: the subject on its background, with its shadow."""
        image = self.empty * (1 - self.shadow[..., None])
        return over(image, self.box, self.matte, self.lit)


def render_layers(shot: Shot, side: int, cut: Cutout | None = None) -> RenderedShot:
    """A shot's parts at side × side pixels.

    cut: the subject at this size, where the caller has it already; it is rendered by default.
    """
    log_gain = shot.light.log_gain(side)
    gain = np.exp(log_gain)
    empty = np.minimum(backgrounds.render(shot.background, side) * gain, 1)
    if shot.subject is None:
        none = np.zeros((0, 0, 3), np.float32)
        shadow = np.zeros((side, side), np.float32)
        return RenderedShot(empty, Box(0, 0, 0, 0), none[..., 0], none, none, shadow, log_gain)
    cut = cut or subjects.cutout(shot.subject, round(shot.size * side))
    box = box_of(shot, cut, side)
    relit = gain[box.slices] * shot.light.shade(cut.normals, cut.shade)[..., None].astype(np.float32)
    lit = np.minimum(cut.albedo * relit, 1)
    return RenderedShot(empty, box, cut.matte, lit, relit, shadow_of(shot, cut, box, side), log_gain)


def over(image: np.ndarray, box: Box, matte: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Composites straight `colors` [h,w,3] over an image, in place; returns the image."""
    alpha = matte[..., None]
    image[box.slices] = (1 - alpha) * image[box.slices] + alpha * colors
    return image


def embedded(part: np.ndarray, box: Box, side: int, fill: float = 0.0) -> np.ndarray:
    """A part [h,w,...] at its box in an image [side,side,...] of the value `fill`."""
    image = np.full((side, side, *part.shape[2:]), fill, np.float32)
    image[box.slices] = part
    return image


def box_of(shot: Shot, cut: Cutout, side: int) -> Box:
    """The cut-out's box in whole pixels, moved so that it lies inside the image."""
    height, width = cut.matte.shape
    x = min(max(round(shot.x * side - width / 2), 0), side - width)
    y = min(max(round(shot.base * side - height), 0), side - height)
    return Box(x, y, width, height)


def shadow_of(shot: Shot, cut: Cutout, box: Box, side: int) -> np.ndarray:
    """[side,side]: the share of the ground's light that the subject's contact shadow and cast shadow take."""
    base, height = box.y + box.height - 1, max(box.height, 1)
    foot = np.flatnonzero(cut.matte[int(0.86 * height) :].max(axis=0) > 0.5)
    left, right = (foot[0], foot[-1] + 1) if foot.size else (0, box.width)
    center, half = box.x + (left + right) / 2, max(2.0, (right - left) / 2)
    v, u = np.ogrid[0:side, 0:side]
    apart = ((u + 0.5 - center) / (1.12 * half)) ** 2 + ((v + 0.5 - base) / max(1.5, 0.20 * half)) ** 2
    shadow = CONTACT * np.clip(1.4 - apart, 0, 1)
    overcast = shot.background.kind == "outdoors" and shot.background.behind == "an overcast sky"
    if shot.background.kind != "photograph":
        azimuth, long = math.radians(shot.light.azimuth), 1 / math.tan(math.radians(shot.light.elevation))
        lean, rise = -math.sin(azimuth) * long, 0.34 * math.cos(azimuth) * long
        # Height above the base becomes distance along the ground, foreshortened.
        onto_ground = np.array([[1, -lean, box.x + lean * height], [0, rise, base - rise * height]])
        cast = cv2.warpAffine(cut.matte, onto_ground, (side, side), flags=cv2.INTER_LINEAR)
        cast = cv2.GaussianBlur(cast, (0, 0), 0.014 * side)
        # Only the ground is shadowed, not what stands behind it.
        reach = np.clip((v + 0.5 - shot.background.horizon * side) / (0.03 * side), 0, 1)
        shadow = 1 - (1 - shadow) * (1 - CAST * (0.35 if overcast else 1) * cast * reach)
    return np.where(shadow < LEAST_SHADOW, 0, shadow).astype(np.float32)
