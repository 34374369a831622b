"""Finishing any model's image: brought back onto what the model was given, then stitched.

An edit model returns a whole image, in which everything moved a little and some things changed that should not have.
What really changed decides which of its pixels are used; the rest is the scene's, bit for bit.

Images are float32 [H,W,3] sRGB in 0..1, masks float32 [H,W] in 0..1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .align import Aligned
from .changes import find_changes
from .clip_light import READING_SIDE, Reading
from .color import largest_channel
from .geometry import Box, Size, bounding_box
from .layers import Layers
from .masks import grow, resize_mask
from .register import CLEAR, MATCHED, UNLIKE, gray, register
from .resample import quick_resize
from .stitch import (
    PLAIN_STITCH,
    ModelWindow,
    Stitched,
    StitchOptions,
    fades_in_window,
    light_on_subject,
    put_into_background,
    unchanged,
    without_shifts,
)
from .surround import parts_with_subject

# Which changes outside the mask come along.
INSIDE, TOUCHING, EVERYTHING = KEEP_CHANGES = ("inside the mask", "touching the subject", "everything")
# Whose pixels the subject gets.
OWN, MODEL, AUTO = SUBJECT_PIXELS = ("own", "model", "auto")
# The longer side in pixels of the images that it is followed in.
POSE_SIDE = 256
# A subject that moved by more than this share of its longer side no longer fits its own pixels.
MOVED_SHARE = 0.02
# Where its texture cannot be followed: a subject stands elsewhere if less than this share of its matte still differs
# from the background; one of which hardly anything does was painted away, and is not there at all.
LEAST_OVERLAP, GONE = 0.85, 0.25
# What differs by more than this shows something else (sRGB), and what differs by less than this the same.
APART, ALIKE = 24 / 255, 10 / 255


@dataclass(frozen=True)
class FinishOptions:
    """How any model's image is finished.

    Attributes:
        stitch: how it is stitched.
        edge_fade: in pixels, see `fades_in_window`.
        keep_changes: one of KEEP_CHANGES.
        subject_pixels: one of SUBJECT_PIXELS; AUTO takes the model's where the subject's own no longer fit.
    """

    stitch: StitchOptions = PLAIN_STITCH
    edge_fade: float = 12
    keep_changes: str = INSIDE
    subject_pixels: str = OWN


PLAIN_FINISH = FinishOptions()


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished image.

    Attributes:
        stitched: the image, and how it came about.
        changed: binary float32 [H,W], what the model really changed.
        subject_fits: whether its own pixels still fit, see `still_fits`.
        subject_from: OWN or MODEL, whose pixels the subject has.
    """

    stitched: Stitched
    changed: np.ndarray
    subject_fits: bool = True
    subject_from: str = OWN


def finish(
    layers: Layers,
    aligned: Aligned,
    references: Sequence[np.ndarray] | None = None,
    options: FinishOptions = PLAIN_FINISH,
    reading: Reading | None = None,
) -> Finished:
    """Puts what a model made of a composite back into the background, with what it changed outside the mask if asked.

    Args:
        layers: of the window that the model was given.
        aligned: its images of that window.
        references: as for `stitch`.
        reading: of the color shift and the light, where they were read before, as of a clip's frames.
    """
    images, full, stitching = aligned.images, Size.of(layers.composite), options.stitch
    size, side = Size.of(images[0]), None if reading is None else READING_SIDE
    window = ModelWindow(layers, size, stitching.resampler, aligned.seen, aligned.given, side)
    known = None if reading is None else reading.light_in(window)
    if known is None and window.came_back(images):
        return Finished(unchanged(layers), np.zeros_like(layers.matte))
    # A clip's frames share their light, and only the first seed's image is shown.
    shifts = window.color_shifts(images) if reading is None else [reading.shift] * len(images)
    images = without_shifts(images, shifts, stitching.color_fix)
    small = find_changes(window.composite, images[0], aligned.seen)
    changed = (resize_mask(small, *full) > 0.5).astype(np.float32)
    fits, subject_from = True, OWN
    if window.subject is not None and aligned.registrations:
        fits = still_fits(window, images[0])
    if options.subject_pixels == MODEL or (options.subject_pixels == AUTO and not fits):
        subject_from = MODEL
        stitching = replace(stitching, detail=0.0, keep_surround=0.0)
    kept = with_changes(layers, changed, options.keep_changes, subject_from == MODEL, options.edge_fade)
    if kept is not layers:
        window = replace(window, layers=kept)
    light = known
    if light is None and window.subject is not None:
        light = light_on_subject(window, images, references, shifts, stitching)
    # What was read of the surround holds for the given mask.
    surround = reading.surround if reading is not None and kept is layers else None
    stitched = put_into_background(window, images, shifts[0], light, stitching, surround)
    return Finished(stitched, changed, fits, subject_from)


def with_changes(layers: Layers, changed: np.ndarray, keep: str, new_subject: bool, edge_fade: float) -> Layers:
    """The layers with what may come along of what changed.

    Args:
        new_subject: the subject's new silhouette is taken, cut out of what changed.
    """
    allowed, change = layers.harmonize_mask > 0, layers.harmonize_mask
    if new_subject:
        touching = parts_with_subject(changed, layers.matte)
        change = (touching & (allowed | (keep != INSIDE))).astype(np.float32)
    if keep == TOUCHING:
        touching = parts_with_subject(np.maximum(changed, allowed), layers.matte)
        change = np.maximum(change, np.where(touching, changed, np.float32(0)))
    elif keep == EVERYTHING:
        change = np.maximum(change, changed)
    if change is layers.harmonize_mask:
        return layers
    left, top, right, bottom = map(int, layers.goes_on)
    framed = np.pad(change, ((top, bottom), (left, right)))
    fade, shadow_fade = fades_in_window(framed, Box(left, top, *Size.of(change)), edge_fade)
    return replace(layers, harmonize_mask=change, fade=fade, shadow_fade=shadow_fade)


def still_fits(window: ModelWindow, harmonized: np.ndarray) -> bool:
    """Whether the subject in the model's image stands as its matte has it, so that its own pixels still fit.

    Its texture is followed from the composite. Where that fails, its silhouette tells: where the subject stood, the
    background shows again.
    """
    box = bounding_box(window.matte)
    assert box is not None  # or there is no subject
    near = box.grown(max(box.size) // 4).inside(window.size).slices
    composite, after = window.composite[near], harmonized[near]
    inside = window.seen_matte[near] > 0.5
    scale = POSE_SIDE / max(inside.shape)
    shown = Size.of(inside).scaled(scale)
    wider = grow(resize_mask(inside.astype(np.float32), *shown), CLEAR)
    most = MOVED_SHARE * max(box.size)
    before, returned = (quick_resize(gray(image), shown) for image in (composite, after))
    # A much smaller motion need not be known.
    found = register(before, returned, wider, scale * most / 4)
    if found.status == MATCHED:
        return found.moved / scale <= most
    if found.status != UNLIKE:
        return True
    background = window.background[near]
    stood_out = inside & (largest_channel(np.abs(composite - background)) > APART)
    stands_out = largest_channel(np.abs(after - background)) > ALIKE
    overlap = float(stands_out[stood_out].mean()) if stood_out.any() else 1.0
    return not GONE < overlap < LEAST_OVERLAP
