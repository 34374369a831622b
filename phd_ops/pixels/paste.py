"""Cutting a subject out of its exemplar and pasting it into a scene: in float throughout, resampled once.

Images are float32 [H,W,3] sRGB in 0..1, mattes float32 [H,W] in 0..1. A cut-out is premultiplied, float32 [H,W,4]: the
subject's own colors times its matte, and the matte.
"""

import contextlib
import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from ..interrupt import bands, by_bands, copy, meanwhile, waiting
from ..sentence import sentence
from . import blend as blending
from .foreground import Extension, premultiplied
from .geometry import Box, Placement, Size, bounding_box, box_around, mapped, outline
from .masks import LEAST_ALPHA, feather
from .masks import ring as ring_around
from .resample import moved, resample
from .tiles import EMPTY, OPAQUE, tiles

BLENDS = ("alpha", "multi-band", "Poisson", "Poisson mixed")
# At this many sigmas from a hard edge, its Gaussian falls below LEAST_ALPHA. The placement editor draws the same reach.
FEATHER_REACH = 2.66
# What is not above this counts as nothing.
BELOW_LEAST = float(np.nextafter(np.float32(LEAST_ALPHA), np.float32(0)))


@dataclass(frozen=True, eq=False)
class Subject:
    """A subject in its exemplar.

    Attributes:
        image: the exemplar, [H,W,3].
        matte: [H,W].
        is_cutout: the image holds the subject's own colors at its soft edge and nothing around it, as images with
            alpha do. Otherwise the old background is taken out of the soft edge.
        has_surround: what is around it in the exemplar shows its light.
        clip_box: of a clip's subject, the box in all its frames, which is placed instead of this frame's own.
    """

    image: np.ndarray
    matte: np.ndarray
    is_cutout: bool = False
    has_surround: bool = True
    clip_box: Box | None = None

    @functools.cached_property
    def box(self) -> Box | None:
        """The box that is placed; None where this frame's matte is empty. See `subject_box`; found once."""
        own = subject_box(self.matte)
        return own and (self.clip_box or own)


@dataclass(frozen=True)
class PasteOptions:
    """How a subject is pasted.

    Attributes:
        softness: sigma in scene pixels of the Gaussian that softens the boundary; it blurs alpha, never color.
        blend: one of BLENDS, see `blend.py`.
        color_match: 0..1, how far the subject's color statistics move to those of the ring around it.
        ring: width of that ring in scene pixels.
    """

    softness: float = 0.0
    blend: str = "alpha"
    color_match: float = 0.0
    ring: int = 24

    @property
    def keeps_colors(self) -> bool:
        """Whether the subject has its own colors in the composite."""
        return self.color_match == 0 and self.blend in ("alpha", "multi-band")


PLAIN_PASTE = PasteOptions()


def subject_box(matte: np.ndarray) -> Box | None:
    """The subject's box in its exemplar; None for an empty matte. Faint specks do not widen it."""
    return bounding_box(matte, 0.5) or bounding_box(matte, LEAST_ALPHA)


def exemplar_matrix(box: Box | None, placement: Placement, scene: Size) -> np.ndarray:
    """Maps the whole exemplar's continuous coordinates to the scene's: float64 [2,3].

    Args:
        box: the subject's, from `subject_box`.
        placement: of that box.
    Raises:
        ValueError: there is no box, since the matte is empty.
    """
    if box is None:
        raise ValueError(sentence("The subject's mask is empty: there is nothing to paste."))
    return moved(placement.matrix(box.size, scene), Box(-box.x, -box.y, 0, 0), Box(0, 0, 0, 0))


def feather_reach(sigma: float) -> int:
    """How many pixels beyond a hard edge a feather of `sigma` leaves at least LEAST_ALPHA."""
    return math.floor(FEATHER_REACH * sigma + 0.5)


@dataclass(frozen=True, eq=False)
class Placed:
    """A subject at its place in a scene, before it is blended in.

    Attributes:
        region: the part of the scene that it can change.
        work: the same with a margin beyond the canvas.
        extension: the subject's colors in `work`, extended beyond its edge.
        matte: float32 [h,w] in `region`, the subject's own.
        alpha: float32 [h,w] in `region`, the matte with its boundary softened.
    """

    region: Box
    work: Box
    extension: Extension
    matte: np.ndarray
    alpha: np.ndarray


def place_subject(scene: Size, subject: Subject, placement: Placement, softness: float, extent: float) -> Placed | None:
    """Cuts a subject out of its exemplar and warps it to its place; None where that lies off the canvas.

    Args:
        softness: as in PasteOptions.
        extent: the colors are extended beyond the edge for about 4 times as many pixels.
    """
    matte, matrix = subject.matte, exemplar_matrix(subject.box, placement, scene)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    support = bounding_box(matte, LEAST_ALPHA)
    assert support is not None  # exemplar_matrix has refused an empty matte
    # Room for the filters' reach in the exemplar. In the scene, room for a soft edge: it is made on a canvas with a
    # margin, so that what lies off the canvas is clipped and does not fade.
    near = support.grown(math.ceil(min(3 / scale, max(matte.shape))) + 1).inside(Size.of(matte))
    margin = math.ceil(4 * softness) + 3
    # An enlarged edge is as soft as its pixels are wide.
    enlarged = math.ceil(max(scale, 1.0))
    canvas = Box(0, 0, *scene)
    # A subject that is not turned lands on its box, mapped; of one that is turned, the box may be smaller than that.
    is_turned = bool(matrix[0, 1] or matrix[1, 0])
    landed = box_around(mapped(matrix, outline(matte, LEAST_ALPHA) if is_turned else support.corners))
    work = landed.grown(margin + enlarged).within(canvas.grown(margin))
    region = work.within(canvas)
    if 0 in region.size:
        return None

    local = moved(matrix, near, work)
    reaches_frame = max(edge.max() for edge in (matte[0], matte[-1], matte[:, 0], matte[:, -1])) >= LEAST_ALPHA
    # Beyond the cut-out lies nothing, even where a reduction mixed some of the subject into its outermost pixels.
    border = cv2.BORDER_REPLICATE if reaches_frame else cv2.BORDER_CONSTANT
    # The source is passed on without a name, so that its memory is free again during the following steps.
    cutout = resample(
        premultiplied(subject.image[near.slices], matte[near.slices], subject.is_cutout), local, work.size, border
    )
    extension = Extension(cutout, extent)
    own = extension.alpha
    alpha = feather(own, softness)
    if reaches_frame:
        # The exemplar's frame is not the subject's edge: a bust that ends there is cut off, not softened.
        whole = waiting(np.ones, near.size[::-1], np.float32)
        frame = resample(whole, local, work.size, cv2.BORDER_CONSTANT)
        own, alpha = by_bands(np.multiply, own, frame), by_bands(np.multiply, alpha, frame)
    _, alpha = waiting(cv2.threshold, alpha, BELOW_LEAST, 0, cv2.THRESH_TOZERO)
    inner = region.moved(-work.x, -work.y).slices
    return Placed(region, work, extension, own[inner], alpha[inner])


@dataclass(frozen=True, eq=False)
class Pasted:
    """The result of a paste, in the scene's frame.

    Attributes:
        composite: float32 [H,W,3].
        matte: float32 [H,W], the subject's alpha as composited.
        region: the part of the scene outside which nothing changed; empty where the subject lies off the canvas.
    """

    composite: np.ndarray
    matte: np.ndarray
    region: Box


def paste(
    scene: np.ndarray,
    subject: Subject,
    placement: Placement,
    options: PasteOptions = PLAIN_PASTE,
    out: np.ndarray | None = None,
) -> Pasted:
    """Pastes a subject into a scene. The cost is that of the subject's region, not of the scene.

    Args:
        scene: float32 [H,W,3].
        placement: of the subject's box.
        out: float32 [H,W,3] that the composite is written into; may be the scene itself. A new array by default.
    Raises:
        ValueError: the subject's matte is empty.
    """
    # A pyramid looks about twice as far beyond the edge as the seam is wide.
    extent = max(options.softness, 1.0) * (2 if options.blend == "multi-band" else 1)
    composite = np.empty_like(scene) if out is None else out
    # Memory that was never used is slow to write: meanwhile the subject is placed.
    with contextlib.nullcontext() if out is scene else meanwhile(copy, scene, composite):
        placed = place_subject(Size.of(scene), subject, placement, options.softness, extent)
    alpha = np.zeros(scene.shape[:2], np.float32)
    if placed is None:
        return Pasted(composite, alpha, Box(0, 0, 0, 0))
    blend_in(composite, placed, options)
    copy(placed.alpha, alpha[placed.region.slices])
    return Pasted(composite, alpha, placed.region)


def blend_in(scene: np.ndarray, placed: Placed, options: PasteOptions) -> None:
    """Blends a placed subject into its region of a scene [H,W,3], in place."""
    part = scene[placed.region.slices]
    if options.blend == "alpha" and options.color_match == 0:
        composite_onto(part, placed)
        return
    colors = placed.extension.all_colors()[placed.region.moved(-placed.work.x, -placed.work.y).slices]
    if options.color_match > 0:
        colors = blending.match_colors(colors, placed.alpha, scene, placed.region, options.ring, options.color_match)
    if options.blend == "multi-band":
        blended = blending.multiband(part, colors, placed.matte, placed.alpha, feather_reach(options.softness))
    elif options.blend == "alpha":
        blended = blending.alpha_over(part, colors, placed.alpha)
    else:
        blended = blending.poisson(part, colors, placed.alpha, mixed=options.blend == "Poisson mixed")
    copy(blended, part)


def composite_onto(scene: np.ndarray, placed: Placed) -> None:
    """`blend.alpha_over` in place, on the region of a scene [h,w,3].

    It makes no image of all extended colors: only those in the tiles along the edge that alpha lets show.
    """
    extension, left, top = placed.extension, placed.region.x - placed.work.x, placed.region.y - placed.work.y
    for kind, box in tiles(placed.alpha):
        if kind == EMPTY:
            continue
        part, alpha, own = scene[box.slices], placed.alpha[box.slices], box.moved(left, top)
        if kind == OPAQUE and extension.is_opaque(own):
            cv2.cvtColor(extension.cutout[own.slices], cv2.COLOR_RGBA2RGB, part)
        else:
            blending.mix(part, extension.colors(own, alpha > 0), alpha)


def warp_exemplar(
    subject: Subject, placement: Placement, scene: Size, out: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Warps the whole exemplar as `paste` warps its subject: the light reference, aligned with the composite.

    Args:
        out: float32 [H,W,3] of the scene's size, contiguous, to write into. A new array by default.
    Returns:
        float32 [H,W,3] of the scene's size, mirrored where the exemplar does not reach; and the share of the scene
        that it does reach, 0..1.
    """
    matrix = exemplar_matrix(subject.box, placement, scene)
    # Light is smooth: linear interpolation shows as much of it as cubic, at a third of the time.
    reference = resample(subject.image, matrix, scene, cv2.BORDER_REFLECT, cv2.INTER_LINEAR, out)
    frame, canvas = mapped(matrix, Box(0, 0, *Size.of(subject.image)).corners), Box(0, 0, *scene).corners
    shown, _ = cv2.intersectConvexConvex(frame.astype(np.float32), canvas.astype(np.float32))
    return reference, min(1.0, shown / (scene.width * scene.height))


def covered(matte: np.ndarray) -> np.ndarray:
    """Binary [H,W]: where a matte is above 0."""
    return by_bands(lambda band: (band > 0).astype(np.float32), matte)


def shadow_ellipse(matte: np.ndarray) -> np.ndarray:
    """A flat ellipse on the ground below a subject, binary [H,W]: room for a contact shadow."""
    box = bounding_box(matte, 0.5)
    ground = np.zeros(matte.shape, np.uint8)
    if box is not None:
        center = (box.x + box.width // 2, box.y + box.height - 1)
        axes = (max(1, round(0.6 * box.width)), max(1, round(0.12 * box.height)))
        waiting(cv2.ellipse, ground, center, axes, 0, 0, 360, 1, -1)
    return by_bands(lambda band: band.astype(np.float32), ground)


@dataclass(eq=False)
class SceneMasks:
    """The masks of one scene, float32 [H,W]. Not a value: every pasted subject is drawn into the arrays in place.

    They may be views of a batch. All are zero at first.

    Attributes:
        matte: the alpha of all subjects together.
        inpaint: what is inpainted: the rings around the subjects, and their shadows' room.
        harmonize: what harmonizing may change: the subjects and what is inpainted.
    """

    matte: np.ndarray
    inpaint: np.ndarray
    harmonize: np.ndarray

    def start(self, subjects: np.ndarray | None, inpaint: np.ndarray | None, ring: int) -> None:
        """Takes over the masks of an earlier paste; without its inpaint mask, the ring around its subjects."""
        if subjects is not None:
            copy(subjects, self.matte)
        copy(ring_around(covered(self.matte), ring) if inpaint is None else inpaint, self.inpaint)
        for rows in bands(*self.matte.shape):
            support = self.matte[rows] > 0
            self.inpaint[rows][support] = 0
            np.maximum(support, self.inpaint[rows], out=self.harmonize[rows])

    def add(self, pasted: Pasted, ring: int, shadow: bool) -> None:
        """Draws one more subject, with a ring of `ring` pixels and, on request, room for its shadow."""
        # Only what this subject can reach is touched, so the cost is the subject's and not the scene's.
        reach = max(ring, pasted.region.width, pasted.region.height) if shadow else ring
        window = pasted.region.grown(reach + 1).inside(Size.of(self.matte)).slices
        matte, inpaint, harmonize = self.matte[window], self.inpaint[window], self.harmonize[window]
        own = pasted.matte[window]
        around = ring_around(covered(own), ring)
        ground = shadow_ellipse(own) if shadow else around
        for rows in bands(*own.shape):
            np.maximum(inpaint[rows], np.maximum(around[rows], ground[rows]), out=inpaint[rows])
            # Two semitransparent layers, one over the other; exact at 0 and 1.
            matte[rows] = own[rows] + (1 - own[rows]) * matte[rows]
            inpaint[rows][matte[rows] > 0] = 0
            np.maximum(matte[rows] > 0, inpaint[rows], out=harmonize[rows])


@dataclass(eq=False)
class Canvas:
    """One composite in the making. Not a value: subjects are pasted into the arrays in place; they may be views.

    Attributes:
        composite, reference: float32 [H,W,3].
        masks: of the same size.
    """

    composite: np.ndarray
    reference: np.ndarray
    masks: SceneMasks

    @property
    def size(self) -> Size:
        return Size.of(self.composite)

    def paste(self, subject: Subject, placement: Placement, options: PasteOptions, shadow: bool) -> Pasted:
        """Pastes a subject into the composite and draws its masks."""
        pasted = paste(self.composite, subject, placement, options, out=self.composite)
        self.masks.add(pasted, options.ring, shadow)
        return pasted

    def warp_reference(self, subject: Subject, placement: Placement) -> float:
        """Writes the reference; returns the share of it that the exemplar covers, 0..1. See `warp_exemplar`."""
        _, shown = warp_exemplar(subject, placement, self.size, out=self.reference)
        return shown
