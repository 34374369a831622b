"""Cutting a subject out of an exemplar and pasting it into a scene: float throughout, resampled once.

Images are float32 [H,W,3] in 0..1 (sRGB), mattes float32 [H,W] in 0..1. Subjects travel premultiplied, float32
[H,W,4]: their own colors times the matte, and the matte.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from . import blend as blending
from .foreground import extend, premultiplied
from .geometry import Box, Placement, Size, bounding_box, box_around, mapped, outline
from .masks import LEAST_ALPHA, feather
from .masks import ring as ring_around
from .resample import moved, resample

BLENDS = ("alpha", "multi-band", "Poisson", "Poisson mixed")


def subject_box(matte: np.ndarray) -> Box | None:
    """The subject's box in its exemplar; None for an empty matte. Faint specks do not widen it."""
    return bounding_box(matte, 0.5) or bounding_box(matte, LEAST_ALPHA)


def exemplar_matrix(matte: np.ndarray, placement: Placement, scene: Size) -> np.ndarray:
    """The whole exemplar's continuous coordinates to the scene's, float64 [2,3]; a placement is of the subject's box.

    Raises ValueError for an empty matte.
    """
    box = subject_box(matte)
    if box is None:
        raise ValueError("The subject's mask is empty: there is nothing to paste.")
    return moved(placement.matrix(Size(box.width, box.height), scene), Box(-box.x, -box.y, 0, 0), Box(0, 0, 0, 0))


def feather_reach(sigma: float) -> int:
    """How many pixels beyond a hard edge a feather of `sigma` leaves at least LEAST_ALPHA."""
    return math.floor(2.66 * sigma + 0.5)


@dataclass(frozen=True)
class Placed:
    """A subject where it stands in a scene, before it is joined with it.

    Attributes:
        region: the part of the scene that it can change; empty where it stands off the canvas.
        colors: float32 [h,w,3] in that region, carried on beyond the subject's edge; black further out.
        matte: float32 [h,w], the subject's own.
        alpha: float32 [h,w], the matte with its boundary softened.
    """

    region: Box
    colors: np.ndarray
    matte: np.ndarray
    alpha: np.ndarray


def place_subject(
    scene: Size,
    exemplar: np.ndarray,
    matte: np.ndarray,
    placement: Placement,
    softness: float,
    carry: float,
    straight: bool,
) -> Placed:
    """Cuts a subject out of its exemplar and moves it where it shall stand.

    Arguments as for `paste`; the colors are carried on beyond the edge for about 4 `carry` pixels.
    """
    matrix = exemplar_matrix(matte, placement, scene)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    support = bounding_box(matte, LEAST_ALPHA)
    # Room for the filters' reach in the exemplar; and in the scene for a soft edge, which is made on a canvas with a
    # margin, so that what lies off the canvas is clipped and does not fade.
    near = support.grown(math.ceil(min(3 / scale, max(matte.shape))) + 1).inside(Size.of(matte))
    margin = math.ceil(4 * softness) + 3
    # An enlarged edge is as soft as its pixels are wide.
    foot = math.ceil(max(scale, 1.0))
    canvas = Box(0, 0, *scene)
    landed = box_around(mapped(matrix, outline(matte, LEAST_ALPHA)))
    work = landed.grown(margin + foot).within(canvas.grown(margin))
    region = work.within(canvas)
    if 0 in region.size:
        nothing = np.zeros((0, 0), np.float32)
        return Placed(Box(0, 0, 0, 0), np.zeros((0, 0, 3), np.float32), nothing, nothing)

    local = moved(matrix, near, work)
    reaches_frame = max(edge.max() for edge in (matte[0], matte[-1], matte[:, 0], matte[:, -1])) >= LEAST_ALPHA
    # Beyond the cut-out lies nothing, even where a reduction mixed some of the subject into its outermost pixels.
    border = cv2.BORDER_REPLICATE if reaches_frame else cv2.BORDER_CONSTANT
    cutout = resample(premultiplied(exemplar[near.slices], matte[near.slices], straight), local, work.size, border)
    own = cv2.extractChannel(cutout, 3)
    # Weights make up 1 but for rounding, and an opaque pixel shall be opaque.
    own[own > 1 - 1e-5] = 1
    alpha = feather(own, softness)
    if reaches_frame:
        # The exemplar's frame is not the subject's edge: a bust that ends there is cut off, not softened.
        frame = resample(np.ones(near.size[::-1], np.float32), local, work.size, cv2.BORDER_CONSTANT)
        own, alpha = own * frame, alpha * frame
    alpha = np.where(alpha < LEAST_ALPHA, np.float32(0), alpha)
    inner = region.moved(-work.x, -work.y).slices
    return Placed(region, extend(cutout, carry)[inner], own[inner], alpha[inner])


@dataclass(frozen=True)
class Pasted:
    """What pasting gives, in the scene's frame.

    Attributes:
        composite: float32 [H,W,3].
        matte: float32 [H,W], the subject's alpha as composited.
        region: the part of the scene outside which nothing changed; empty where the subject stands off the canvas.
    """

    composite: np.ndarray
    matte: np.ndarray
    region: Box


def paste(
    scene: np.ndarray,
    exemplar: np.ndarray,
    matte: np.ndarray,
    placement: Placement,
    softness: float = 0.0,
    blend: str = "alpha",
    light_match: float = 0.0,
    ring: int = 24,
    straight: bool = False,
    out: np.ndarray | None = None,
) -> Pasted:
    """Pastes the subject of an exemplar into a scene. The cost is that of the subject's region, not of the scene.

    Args:
        matte: of the exemplar's size, not empty.
        placement: of the box around the matte.
        softness: sigma in scene pixels of the Gaussian that softens the boundary; it blurs alpha, never color.
        blend: one of BLENDS, see `blend.py`.
        light_match: 0..1, how far the subject's color statistics go to those of the ring around it.
        ring: width of that ring in scene pixels.
        straight: the exemplar's soft pixels hold the subject's own colors, as images with alpha do; otherwise the
            old background is taken out of them.
        out: float32 [H,W,3] that the composite is written into; may be the scene itself. A new one by default.
    """
    # A pyramid looks about twice as far beyond the edge as the seam is wide.
    carry = max(softness, 1.0) * (2 if blend == "multi-band" else 1)
    placed = place_subject(Size.of(scene), exemplar, matte, placement, softness, carry, straight)
    composite = scene.copy() if out is None else out
    if out is not None and out is not scene:
        out[...] = scene
    alpha = np.zeros(scene.shape[:2], np.float32)
    if 0 not in placed.region.size:
        colors, part = placed.colors, composite[placed.region.slices]
        if light_match > 0:
            colors = blending.match_colors(colors, placed.alpha, scene, placed.region, ring, light_match)
        if blend == "multi-band":
            part[...] = blending.multiband(part, colors, placed.matte, placed.alpha, feather_reach(softness))
        elif blend == "alpha":
            blending.alpha_over(part, colors, placed.alpha, out=part)
        else:
            part[...] = blending.poisson(part, colors, placed.alpha, mixed=blend == "Poisson mixed")
        alpha[placed.region.slices] = placed.alpha
    return Pasted(composite, alpha, placed.region)


def warp_exemplar(
    exemplar: np.ndarray, matte: np.ndarray, placement: Placement, scene: Size, out: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """The whole exemplar moved as `paste` moves its subject: a reference, whose subject lies on the composite's.

    `out`, of the scene's size and contiguous, is written into where it is given.

    Returns:
        float32 [H,W,3] of the scene's size, mirrored where the exemplar does not reach; and the share of the scene
        that it does reach, 0..1.
    """
    matrix = exemplar_matrix(matte, placement, scene)
    # Light is smooth: linear interpolation shows as much of it as cubic, at a third of the time.
    reference = resample(exemplar, matrix, scene, cv2.BORDER_REFLECT, cv2.INTER_LINEAR, out)
    frame, canvas = mapped(matrix, Box(0, 0, *Size.of(exemplar)).corners), Box(0, 0, *scene).corners
    covered, _ = cv2.intersectConvexConvex(frame.astype(np.float32), canvas.astype(np.float32))
    return reference, min(1.0, covered / (scene.width * scene.height))


def shadow_ellipse(matte: np.ndarray) -> np.ndarray:
    """A flat ellipse on the ground where a subject stands, binary [H,W]: room for a contact shadow."""
    box = bounding_box(matte, 0.5)
    ground = np.zeros(matte.shape, np.uint8)
    if box is not None:
        center = (box.x + box.width // 2, box.y + box.height - 1)
        axes = (max(1, round(0.6 * box.width)), max(1, round(0.12 * box.height)))
        cv2.ellipse(ground, center, axes, 0, 0, 360, 1, -1)
    return ground.astype(np.float32)


class SceneMasks(NamedTuple):
    """The masks of one scene, float32 [H,W], which every pasted subject adds to in place."""

    matte: np.ndarray
    inpaint: np.ndarray
    harmonize: np.ndarray

    def start(self, subjects: np.ndarray | None, inpaint: np.ndarray | None, ring: int) -> None:
        """From the masks of a node before; without its inpaint mask, with the ring around its subjects."""
        if subjects is not None:
            self.matte[...] = subjects
        support = self.matte > 0
        self.inpaint[...] = ring_around(support.astype(np.float32), ring) if inpaint is None else inpaint
        self.inpaint[support] = 0
        np.maximum(support, self.inpaint, out=self.harmonize)

    def add(self, pasted: Pasted, ring: int, shadow: bool) -> None:
        # The masks are touched only where this subject's can reach, so the cost is the subject's and not the scene's.
        reach = max(ring, pasted.region.width, pasted.region.height) if shadow else ring
        window = pasted.region.grown(reach + 1).inside(Size.of(self.matte)).slices
        matte, inpaint, harmonize = (mask[window] for mask in self)
        own = pasted.matte[window]
        np.maximum(inpaint, ring_around((own > 0).astype(np.float32), ring), out=inpaint)
        if shadow:
            np.maximum(inpaint, shadow_ellipse(own), out=inpaint)
        # What shines through both of two veils; exact at 0 and 1.
        matte[...] = own + (1 - own) * matte
        inpaint[matte > 0] = 0
        np.maximum(matte > 0, inpaint, out=harmonize)
