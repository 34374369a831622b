"""Renders a scene description: truth, composite, exemplar, masks, and the light between them.

Everything is composed in linear light, with one light over the whole image:

    truth      = (1 - matte) × background × (1 - shadow) + matte × albedo × shade × gain
    composite  = (1 - matte) × background                + matte × the exemplar's subject, unchanged
    ratio      = (shade × gain) of the scene / (shade × gain) of the exemplar: what relights the subject
"""

from dataclasses import dataclass

import cv2
import numpy as np

from phd_ops.pixels.color import linear_to_srgb
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.paste import Pasted, SceneMasks, Subject, subject_box, warp_exemplar
from relit_scenes import subjects
from relit_scenes.descriptions import MATTE_ERROR, Labels, SceneDescription, labels_of
from relit_scenes.layers import embedded, over, render_layers

# The inpaint ring's width as a share of the image's side.
RING = 1 / 16
LEAST_SIDE = 64


@dataclass(frozen=True)
class Scene:
    """A scene's images: float32, [S,S,3] sRGB in 0..1 or [S,S] in 0..1, unless stated otherwise.

    Attributes:
        truth: the subject in the scene's light, with its shadow.
        background: the scene without the subject.
        exemplar: the subject in another scene under another light.
        exemplar_matte: the subject's matte in the exemplar as a method gets it (off by one pixel in two strata).
        composite: the exemplar's subject, unchanged, pasted onto the background with the given matte.
        reference: the exemplar moved so that its subject lies on the composite's; mirrored beyond the exemplar's edge.
        reference_cover: the share of the image that the exemplar covers there.
        matte: the given matte in the scene.
        true_matte: the exact matte; it differs from `matte` in the two strata with a wrong matte.
        shadow: the share of the light that the subject's shadow takes; 0 where there is none.
        inpaint_mask: binary, the ring around the subject with room for a shadow, as Paste & Blend makes it.
        harmonize_mask: binary, subject and ring, as Paste & Blend makes it.
        prompt, exemplar_prompt: what the truth and the exemplar show.
        placement: of the subject's box, as Paste & Blend takes it.
        shift: (x, y) in whole pixels, from the subject in the exemplar to the subject in the scene.
        log_gain, exemplar_log_gain: [S,S,3], the logarithms of the two lights, the exemplar's in its own frame.
        ratio: [S,S,3], linear light: composite × ratio = truth wherever the true matte is 1; 1 off the subject.
        labels: how much the scene differs from its exemplar.
        description: what the scene was rendered from.
    """

    truth: np.ndarray
    background: np.ndarray
    exemplar: np.ndarray
    exemplar_matte: np.ndarray
    composite: np.ndarray
    reference: np.ndarray
    reference_cover: float
    matte: np.ndarray
    true_matte: np.ndarray
    shadow: np.ndarray
    inpaint_mask: np.ndarray
    harmonize_mask: np.ndarray
    prompt: str
    exemplar_prompt: str
    placement: Placement
    shift: tuple[int, int]
    log_gain: np.ndarray
    exemplar_log_gain: np.ndarray
    ratio: np.ndarray
    labels: Labels
    description: SceneDescription


def render_scene(description: SceneDescription, side: int) -> Scene:
    """All images of a scene at side × side pixels. Raises ValueError for a side below LEAST_SIDE."""
    if side < LEAST_SIDE:
        raise ValueError(f"side is {side}; a scene needs at least {LEAST_SIDE} pixels.")
    shot, other = description.scene, description.exemplar
    cut = subjects.cutout(shot.subject, round(shot.size * side))
    here, there = render_layers(shot, side, cut), render_layers(other, side, cut)
    shift = (here.box.x - there.box.x, here.box.y - there.box.y)
    exemplar = there.finished
    error = MATTE_ERROR.get(description.stratum, 0)
    true_matte = embedded(cut.matte, here.box, side)
    matte = grown(true_matte, error)
    exemplar_matte = grown(embedded(cut.matte, there.box, side), error)
    composite = here.empty.copy()
    if error:
        # A wrong matte cuts out the exemplar's pixels as they are, some of its background among them.
        alpha = matte[..., None]
        composite = (1 - alpha) * composite + alpha * moved(exemplar, shift)
    else:
        over(composite, here.box, here.matte, there.lit)
    exemplar, composite = linear_to_srgb(exemplar), linear_to_srgb(composite)
    placement = placement_of(matte, side)
    reference, cover = warp_exemplar(Subject(exemplar, exemplar_matte), placement, Size(side, side))
    masks = SceneMasks(*np.zeros((3, side, side), np.float32))
    masks.add(Pasted(composite, matte, Box(0, 0, side, side)), round(RING * side), shadow=True)
    return Scene(
        truth=linear_to_srgb(here.finished),
        background=linear_to_srgb(here.empty),
        exemplar=exemplar,
        exemplar_matte=exemplar_matte,
        composite=composite,
        reference=reference,
        reference_cover=cover,
        matte=matte,
        true_matte=true_matte,
        shadow=here.shadow,
        inpaint_mask=masks.inpaint,
        harmonize_mask=masks.harmonize,
        prompt=shot.prompt,
        exemplar_prompt=other.prompt,
        placement=placement,
        shift=shift,
        log_gain=here.log_gain,
        exemplar_log_gain=there.log_gain,
        ratio=embedded(here.relit / there.relit, here.box, side, fill=1.0),
        labels=labels_of(description),
        description=description,
    )


def grown(matte: np.ndarray, pixels: int) -> np.ndarray:
    """A matte [S,S] whose edge lies one pixel further out (1), further in (-1) or where it was (0), equally soft."""
    if pixels == 0:
        return matte
    return (cv2.dilate if pixels > 0 else cv2.erode)(matte, np.ones((3, 3), np.uint8))


def moved(image: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """An image shifted by whole pixels (x, y); border pixels are repeated."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(height) - shift[1], 0, height - 1)
    return image[rows[:, None], np.clip(np.arange(width) - shift[0], 0, width - 1)]


def placement_of(matte: np.ndarray, side: int) -> Placement:
    """The placement that puts the subject's box where this matte has it; the subject keeps its size in pixels."""
    box = subject_box(matte)
    return Placement((box.x + box.width / 2) / side, (box.y + box.height / 2) / side, max(box.size) / side)
