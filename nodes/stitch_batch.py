"""The inputs of PhDStitch as arrays, one image of the batch after another, and what is refused of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch

from ..phd_ops.interrupt import bands, each
from ..phd_ops.pixels.align import Aligned, laid_onto, lies_in_place, registered
from ..phd_ops.pixels.crop_window import CropWindow
from ..phd_ops.pixels.geometry import Box, Size, bounding_box
from ..phd_ops.pixels.layers import Given, Layers
from ..phd_ops.pixels.masks import resize_mask
from ..phd_ops.pixels.register import MATCHED, SUBJECT_ONLY, Registration
from ..phd_ops.pixels.resample import resize
from ..phd_ops.pixels.resizings import GRIDS, is_stretched
from ..phd_ops.pixels.shots import LEAST_FRAMES, Look, reference_frames
from ..phd_ops.pixels.stitch import fades_in_window, narrow_change
from ..phd_ops.sentence import sentence
from .images import as_results, common_batch, item, pixels
from .ui import Message

# No model zooms so far into what it was given that it shows a smaller share of it.
LEAST_SHOWN = 0.7


@dataclass(frozen=True, eq=False)
class Batch:
    """The node's inputs as arrays. One item of each serves all, or there are as many as of the others.

    Attributes:
        given: the scenes as they came, [B,H,W,3]; their values may lie outside 0..1.
        scenes, composites: [B,H,W,3].
        runs, references: for each seed, what the model made of the composites and of the references: [B,h,w,3].
        reference_items: the images whose references these are, see `shared_items`; None: of all, or one serves all.
        mattes, harmonize_masks: [B,H,W].
        changed: [B,h,w], of any size.
        crop: the window that was sampled; None for the whole scene.
        may_have_moved: whether the sampled images came from somewhere else, and may not lie where the composite lies.
    """

    given: np.ndarray
    scenes: np.ndarray
    composites: np.ndarray
    runs: list[np.ndarray]
    references: list[np.ndarray] | None
    mattes: np.ndarray
    harmonize_masks: np.ndarray
    changed: np.ndarray | None
    crop: CropWindow | None
    may_have_moved: bool
    reference_items: tuple[int, ...] | None = None

    @cached_property
    def count(self) -> int:
        batches = {"background": self.scenes, "composite": self.composites, "sampled": self.runs[0]}
        batches |= {"subject_matte": self.mattes, "harmonize_mask": self.harmonize_masks}
        if self.references is not None and self.reference_items is None:
            batches |= {"sampled_reference": self.references[0]}
        batches |= {} if self.changed is None else {"changed": self.changed}
        batches |= {"crop": self.crop.boxes} if self.crop and self.crop.boxes else {}
        return common_batch(**batches)

    def layers(self, index: int, window: Box, edge_fade: float) -> Layers:
        """The layers of image `index`, inside the window."""
        matte, change = item(self.mattes, index), item(self.harmonize_masks, index)
        taken = change if self.changed is None else narrow_change(change, item(self.changed, index), matte, window)
        fade, shadow_fade = fades_in_window(taken, window, edge_fade)
        return replace(self.hard_layers(index, window), fade=fade, shadow_fade=shadow_fade)

    def hard_layers(self, index: int, window: Box) -> Layers:
        """The layers of image `index`, inside the window: with what may change in the fades' place."""
        batches = (self.scenes, self.composites, self.mattes, *[self.harmonize_masks] * 3)
        scene = Size.of(self.scenes[0])
        right, bottom = window.x + window.width < scene.width, window.y + window.height < scene.height
        goes_on = (window.x > 0, window.y > 0, right, bottom)
        return Layers(*(item(batch, index)[window.slices] for batch in batches), goes_on=goes_on)

    def look(self, index: int) -> Look:
        """What tells whether image `index` is a frame of a clip."""
        return Look.of(*(item(batch, index) for batch in (self.scenes, self.composites, self.mattes)))

    def aligned(self, index: int, known: list[Registration] | None = None) -> tuple[Aligned, Box, list[Message]]:
        """The images that the model made of composite `index`, the part of the scene that they show, and messages.

        known: how the images lie, if they were aligned before.
        """
        results, scene = [item(run, index) for run in self.runs], Size.of(self.scenes[0])
        size = Size.of(results[0])
        if self.crop is not None and size == scene:
            check_sampled("sampled", size, scene, self.crop)
        window, messages = find_window(scene, size, self.crop and self.crop.of(index))
        if self.crop is not None:
            results = [self.with_margin(one, index) for one in results]
        found = Aligned(results, None, known or [])
        if self.may_have_moved and (known is None or not all(lies_in_place(one) for one in known)):
            given = self.model_given(index, window)
            if known is None:
                known = registered(given.composite, results, given.unchanged, given.matte)
            found = replace(laid_onto(given.composite, results, known, given.matte), given=given)
            check_part(found, Size.of(results[0]), Size.of(given.composite), window)
        if all(one.status not in (MATCHED, SUBJECT_ONLY) for one in found.registrations):
            check_sampled("sampled", size, scene, self.crop)
        return found, window, messages

    def model_given(self, index: int, window: Box) -> Given:
        """What the model was given of composite `index`, the part that it shows."""
        at = window.slices
        masks = item(self.mattes, index)[at], item(self.harmonize_masks, index)[at]
        if self.crop is None:
            return Given(item(self.composites, index)[at], *masks)
        return Given(self.cropped(index, self.crop), *(resize_mask(mask, *self.crop.target) for mask in masks))

    def cropped(self, index: int, crop: CropWindow) -> np.ndarray:
        """The window of composite `index` at the model's size, [h,w,3]."""
        return resize(crop.of(index).cut(item(self.composites, index)), crop.target, crop.resampler)

    def sampled_references(self, index: int, aligned: Aligned) -> tuple[list[np.ndarray] | None, list[Message]]:
        """What the model made of the reference of composite `index`, for each seed that is taken; None where that tells
        nothing."""
        if self.references is None or (self.reference_items is not None and index not in self.reference_items):
            return None, []
        place = index if self.reference_items is None else self.reference_items.index(index)
        references = [item(run, place) for run in self.references]
        check_sampled("sampled_reference", Size.of(references[0]), Size.of(self.scenes[0]), self.crop)
        if self.crop is not None:
            references = [mirror_margin(one, self.crop.target) for one in references]
        if aligned.taken is not None:
            references = [references[number] for number in aligned.taken]
        if all(map(is_same, references, aligned.images)):
            text = sentence(
                "sampled_reference is the same image as sampled: the light is estimated from sampled alone."
            )
            return None, [Message(text)]
        return references, []

    def with_margin(self, sampled: np.ndarray, index: int) -> np.ndarray:
        """A sampled window whose margin the VAE cut off, with the composite's in its place; others as they are."""
        assert self.crop is not None  # or there is no window
        part = decoded_window(self.crop.target, Size.of(sampled))
        if part.size == self.crop.target:
            return sampled
        # Where the model made nothing, it changed nothing.
        whole = self.cropped(index, self.crop).copy()
        whole[part.slices] = sampled
        return whole


def with_shared_references(batch: Batch) -> Batch:
    """The batch, where images of references are as many as Harmonize Sampler samples of a clip: each of its own."""
    if batch.references is None or batch.reference_items is not None:
        return batch
    own, scenes = len(batch.references[0]), replace(batch, references=None)
    if own in (1, scenes.count) or scenes.count < LEAST_FRAMES:
        return batch
    items = reference_frames(list(each(scenes.look, range(scenes.count))))
    return replace(batch, reference_items=tuple(items)) if len(items) == own else batch


def mirror_margin(reference: np.ndarray, target: Size) -> np.ndarray:
    """A sampled reference whose margin the VAE cut off, with its mirror image there; others as they are."""
    part = decoded_window(target, Size.of(reference))
    if part.size == target:
        return reference
    right, bottom = target.width - part.width - part.x, target.height - part.height - part.y
    return cv2.copyMakeBorder(reference, part.y, bottom, part.x, right, cv2.BORDER_REFLECT)


def check_masks(batch: Batch) -> None:
    """Refuses masks in each other's places, and inpaint_mask in the place of harmonize_mask."""
    for error in each(lambda index: masks_error(batch, index), range(batch.count)):
        if error is not None:
            raise ValueError(error)


def masks_error(batch: Batch, index: int) -> str | None:
    """What is wrong with the masks of image `index`."""
    subject, whole_change = bounding_box(item(batch.mattes, index)), item(batch.harmonize_masks, index)
    if subject is None:
        return None
    batches = (batch.composites, batch.scenes, batch.mattes, batch.harmonize_masks)
    composite, scene, matte, change = (item(one, index)[subject.slices] for one in batches)
    overlap = left_out = pasted = False
    for rows in bands(*matte.shape):
        inside, outside = matte[rows] > 0, (matte[rows] > 0.5) & (change[rows] == 0)
        overlap |= bool((inside & (change[rows] > 0)).any())
        if outside.any():
            left_out = True
            # A subject's pixels differ from the background's; a ring's do not.
            pasted |= not np.array_equal(composite[rows][outside], scene[rows][outside])
    if not overlap and bounding_box(whole_change) is None:
        return None
    if left_out and not pasted:
        return sentence(
            "subject_matte covers more than harmonize_mask, where nothing was pasted: the two are swapped, so "
            "connect each to its own name."
        )
    if not overlap:
        return sentence(
            "harmonize_mask leaves out the whole subject, as inpaint_mask does: connect harmonize_mask of Paste & "
            "Blend."
        )
    return None


def check_scene(scene: Size, composite: Size, crop: CropWindow | None) -> None:
    """Refuses a composite and a crop that are not of this scene."""
    if composite != scene:
        raise ValueError(
            sentence(
                "composite is {composite}, but background is {scene}: connect the composite that was made "
                "from this background.",
                composite=pixels(composite),
                scene=pixels(scene),
            )
        )
    if crop is not None and crop.scene != scene:
        raise ValueError(
            sentence(
                "crop was cut from an image of {cut_from}, but background is {scene}: connect the crop "
                "that was cut from this background's composite.",
                cut_from=pixels(crop.scene),
                scene=pixels(scene),
            )
        )


def find_window(scene: Size, sampled: Size, crop: CropWindow | None) -> tuple[Box, list[Message]]:
    """The part of the scene that was sampled; and a message if the VAE cut off the rest."""
    if crop is not None:
        if decoded_window(crop.target, sampled).size == crop.target:
            return crop.box, []
        text = sentence(
            "sampled is {sampled}: the window's margin, which the VAE cut off, stays as it is.", sampled=pixels(sampled)
        )
        return crop.box, [Message(text)]
    window = decoded_window(scene, sampled)
    if window.size == scene:
        return window, []
    text = sentence(
        "sampled is {size}: the image's margin, which the VAE cut off, stays as it is.", size=pixels(window.size)
    )
    return window, [Message(text)]


def check_sampled(name: str, size: Size, scene: Size, crop: CropWindow | None) -> None:
    """Refuses a sampled image of a shape that what was to be sampled does not have. `name` is the input's."""
    whole = scene if crop is None else crop.target
    if may_show(size, whole) and not (crop is not None and size == scene != whole):
        return
    if crop is None:
        raise ValueError(
            sentence(
                "{name} is {size}, which cannot be all of a background of {whole}: connect the crop that "
                "it was sampled from, or give it the background's shape.",
                name=name,
                size=pixels(size),
                whole=pixels(whole),
            )
        )
    raise ValueError(
        sentence(
            "{name} is {size}, which cannot be the crop's window of {whole}: connect the image that "
            "was sampled from this crop.",
            name=name,
            size=pixels(size),
            whole=pixels(whole),
        )
    )


def check_part(found: Aligned, sampled: Size, given: Size, window: Box) -> None:
    """Refuses an image that shows a small part of what it is to replace, as where a crop's window comes without it.

    `given` is the size at which the model was given the window.
    """
    for one in found.registrations:
        shown = abs(np.linalg.det(one.matrix[:, :2])) * sampled.width * sampled.height
        if one.motion != "none" and shown < LEAST_SHOWN * given.width * given.height:
            raise ValueError(
                sentence(
                    "sampled shows only a part of a background of {whole}: connect the crop that it was sampled from.",
                    whole=pixels(window.size),
                )
            )


def may_show(sampled: Size, whole: Size) -> bool:
    """Whether `sampled` has the whole image's aspect ratio, allowing for the VAE's crop and rounding."""
    return decoded_window(whole, sampled).size != whole or not is_stretched(sampled, whole)


def by_seed(batch: torch.Tensor, name: str, seeds: int) -> list[np.ndarray]:
    """A batch of images as one batch for each seed: first all scenes with the first one, and so on."""
    images = as_results(batch, name)
    if len(images) % seeds:
        raise ValueError(
            sentence(
                "{name} has {images} images, which cannot be {seeds} runs of the same scenes: set "
                "num_seeds to the number of runs, or connect all of them.",
                name=name,
                images=len(images),
                seeds=seeds,
            )
        )
    return np.split(images, seeds)


def decoded_window(scene: Size, sampled: Size) -> Box:
    """The part of an image that VAE Encode took: it cuts both margins off so that the sides fit the latent grid."""
    for cell in GRIDS:
        if sampled == (scene.width // cell * cell, scene.height // cell * cell):
            return Box((scene.width - sampled.width) // 2, (scene.height - sampled.height) // 2, *sampled)
    return Box(0, 0, *scene)


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two images are the same, up to what models round differently in batches."""
    if one.shape != other.shape:
        return False
    return all(float(np.abs(one[rows] - other[rows]).max()) < 0.5 / 255 for rows in bands(*one.shape[:2]))
