"""PhDStitch: puts the harmonized image back into the untouched background."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.interrupt import bands, by_bands, copy, waiting
from ..phd_ops.pixels.align import Aligned, align
from ..phd_ops.pixels.crop_window import CropWindow
from ..phd_ops.pixels.finish import INSIDE, KEEP_CHANGES, OWN, SUBJECT_PIXELS, FinishOptions, finish
from ..phd_ops.pixels.geometry import Box, Margins, Size
from ..phd_ops.pixels.layers import Layers
from ..phd_ops.pixels.masks import above, resize_mask
from ..phd_ops.pixels.register import MATCHED, SUBJECT_ONLY
from ..phd_ops.pixels.resample import pad, resize
from ..phd_ops.pixels.resizings import GRIDS, is_stretched
from ..phd_ops.pixels.stitch import Stitched, StitchOptions, fades_in_window, narrow_change
from ..phd_ops.sentence import sentence
from .checked import checked
from .images import as_given, as_images, as_masks, common_batch, in_range, item, named_mask, pixels
from .registration_report import registration_messages, registration_report
from .stitch_inputs import read_sockets, stitch_sockets
from .ui import HAS_UI, Message, by_image, outlined, preview, show, stored_for_page
from .validate import check_choice, check_socket

# No model zooms so far into what it was given that it shows a smaller share of it.
LEAST_SHOWN = 0.7


def blend_inputs() -> list[io.Input]:
    return [
        io.Float.Input(
            "detail",
            default=0.9,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="0: the model's own pixels on the subject. 1: the subject's texture under the new light.",
        ),
        io.Float.Input(
            "keep_surround",
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip=(
                "1: around the subject the background's pixels stay, darker where the model painted a shadow, unless "
                "it painted something new. 0: the model's own pixels, as for a surround that was inpainted."
            ),
        ),
        io.Int.Input(
            "edge_fade",
            default=12,
            min=0,
            max=256,
            tooltip=(
                "Most pixels over which the result fades into the background, inside the mask. Where the mask is "
                "narrow the fade is narrower too, so that the model's work is not lost."
            ),
        ),
    ]


def light_inputs() -> list[io.Input]:
    return [
        io.Boolean.Input(
            "luma_only",
            default=False,
            tooltip="Takes brightness from the model but not color.",
        ),
        io.Float.Input(
            "color_fix",
            optional=True,
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip=(
                "Removes the VAE's color shift, measured where nothing was to change. 1 removes all of it, 0 none."
            ),
        ),
    ]


def optional_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "num_seeds",
            optional=True,
            default=1,
            min=1,
            max=16,
            tooltip=(
                "The sampled images are this many runs of each scene, with other seeds, and their light is averaged. "
                "Not needed with a latent of Harmonize Sampler, which brings its seeds along."
            ),
        ),
        io.Float.Input(
            "relight_strength",
            optional=True,
            default=1.0,
            min=0.0,
            max=2.0,
            step=0.05,
            tooltip=(
                "How far the subject's light moves: 0 not at all, 1 as estimated. A model that moves the light only "
                "part of the way, as at low denoise, needs more."
            ),
        ),
    ]


def finish_inputs() -> list[io.Input]:
    return [
        io.Combo.Input(
            "keep_changes",
            options=list(KEEP_CHANGES),
            optional=True,
            default=INSIDE,
            tooltip=(
                "What the model changed outside the mask, such as a long shadow or a reflection: left out, kept if it "
                "touches the subject, or all kept. What it did not change is always the background's, bit for bit."
            ),
        ),
        io.Combo.Input(
            "subject_pixels",
            options=list(SUBJECT_PIXELS),
            optional=True,
            default=OWN,
            tooltip=(
                "Whose pixels the subject has. own: its own, under the model's light. model: the model's, with their "
                "outline. auto: its own, unless the model gave it another pose or place."
            ),
        ),
    ]


def stitch_outputs() -> list[io.Output]:
    return [
        io.Image.Output(display_name="image", tooltip="The finished image, at the background's size."),
        io.Mask.Output(display_name="mask", tooltip="The composite mask used: 0 = the background's own pixel."),
        io.String.Output(
            display_name="report",
            tooltip=(
                "JSON, a list with an entry for each image: how light moved, whether the subject stayed itself, "
                "whether the model neglected or suppressed it, and whether its image had moved."
            ),
        ),
        io.Mask.Output(
            display_name="changes",
            tooltip="1 = what the model really changed, inside the mask and outside, at the background's size.",
        ),
    ]


class PhDStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDStitch",
            display_name="Stitch & Relight",
            category="PhD",
            description=(
                "Puts the harmonized image back. The subject keeps its own detail under the model's light; "
                "every pixel outside the returned mask is the background's, bit for bit."
            ),
            inputs=[*stitch_sockets(), *blend_inputs(), *light_inputs(), *optional_inputs(), *finish_inputs()],
            outputs=stitch_outputs(),
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        detail: float = 0.9,
        keep_surround: float = 1.0,
        edge_fade: int = 12,
        luma_only: bool = False,
        color_fix: float = 1.0,
        num_seeds: int = 1,
        relight_strength: float = 1.0,
        keep_changes: str = INSIDE,
        subject_pixels: str = OWN,
        **sockets: Any,
    ) -> io.NodeOutput:
        check_choice("keep_changes", keep_changes, KEEP_CHANGES)
        check_choice("subject_pixels", subject_pixels, SUBJECT_PIXELS)
        read = read_sockets(sockets, num_seeds)
        crop = read.crop
        stitching = StitchOptions(detail, keep_surround, luma_only, color_fix, relight_strength)
        if crop is not None:
            stitching = replace(stitching, resampler=crop.resampler)
        options = FinishOptions(stitching, edge_fade, keep_changes, subject_pixels)
        check_crop(crop, subject_matte=read.subject_matte, harmonize_mask=read.harmonize_mask)
        given = as_given(read.background, "background")[..., :3]
        composites = as_images(read.composite, "composite")[..., :3]
        scenes = in_range(given)
        runs = by_seed(read.sampled, "sampled", read.num_seeds)
        references = None
        if read.sampled_reference is not None:
            references = by_seed(read.sampled_reference, "sampled_reference", read.num_seeds)
        mattes, messages = as_masks(read.subject_matte, scenes, "subject_matte")
        changes, resized = as_masks(read.harmonize_mask, scenes, "harmonize_mask")
        new = None if read.changed is None else named_mask(read.changed, "changed").numpy()
        batch = Batch(given, scenes, composites, runs, references, mattes, changes, new, crop, read.may_have_moved)
        check_scene(Size.of(scenes[0]), Size.of(composites[0]), crop)
        check_masks(batch)
        done = stitch_with_margins(batch, options)
        previews = (outlined(array) for pair in zip(done.images, done.masks, strict=True) for array in pair)
        before = stored_for_page(preview(item(composites, index)) for index in range(batch.count))
        ui = show(previews, messages + resized + done.messages) | {"phd_report": done.reports, "phd_before": before}
        arrays = (torch.from_numpy(array) for array in (done.images, done.masks, done.changes))
        image, mask, changed = arrays
        return io.NodeOutput(image, mask, json.dumps(done.reports), changed, ui=ui)


@dataclass(frozen=True, eq=False)
class Batch:
    """The node's inputs as arrays. One item of each serves all, or there are as many as of the others.

    Attributes:
        given: the scenes as they came, [B,H,W,3]; their values may lie outside 0..1.
        scenes, composites: [B,H,W,3].
        runs, references: for each seed, what the model made of the composites and of the references: [B,h,w,3].
        mattes, changes: [B,H,W].
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
    changes: np.ndarray
    changed: np.ndarray | None
    crop: CropWindow | None
    may_have_moved: bool

    @cached_property
    def count(self) -> int:
        batches = {"background": self.scenes, "composite": self.composites, "sampled": self.runs[0]}
        batches |= {"subject_matte": self.mattes, "harmonize_mask": self.changes}
        batches |= {} if self.references is None else {"sampled_reference": self.references[0]}
        batches |= {} if self.changed is None else {"changed": self.changed}
        return common_batch(**batches)

    def layers(self, index: int, window: Box, edge_fade: float) -> Layers:
        """The layers of image `index`, inside the window."""
        matte, change = item(self.mattes, index), item(self.changes, index)
        taken = change if self.changed is None else narrow_change(change, item(self.changed, index), matte, window)
        at = window.slices
        fade, shadow_fade = fades_in_window(taken, window, edge_fade)
        return Layers(
            background=item(self.scenes, index)[at],
            composite=item(self.composites, index)[at],
            matte=matte[at],
            change=change[at],
            fade=fade,
            shadow_fade=shadow_fade,
        )

    def aligned(self, index: int) -> tuple[Aligned, Box, list[Message]]:
        """The images that the model made of composite `index`, the part of the scene that they show, and messages."""
        results, scene = [item(run, index) for run in self.runs], Size.of(self.scenes[0])
        size = Size.of(results[0])
        if self.crop is not None and size == scene:
            check_sampled("sampled", size, scene, self.crop)
        window, messages = find_window(scene, size, self.crop)
        if self.crop is not None:
            results = [self.with_margin(one, index) for one in results]
        found = Aligned(results, None, [])
        if self.may_have_moved:
            given, unchanged, subject = self.model_given(index, window)
            found = align(given, results, unchanged, subject)
            check_part(found, Size.of(results[0]), Size.of(given), window)
        if all(one.status not in (MATCHED, SUBJECT_ONLY) for one in found.registrations):
            check_sampled("sampled", size, scene, self.crop)
        return found, window, messages

    def model_given(self, index: int, window: Box) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the model was given of composite `index`, [h,w,3]; where nothing was to change, and the subject's matte,
        [h,w]."""
        at = window.slices
        matte, change = item(self.mattes, index)[at], item(self.changes, index)[at]
        unchanged = by_bands(lambda one, other: 1 - np.maximum(one, other), change, matte)
        if self.crop is None:
            return item(self.composites, index)[at], unchanged, matte
        target = self.crop.target
        return self.cropped(index, self.crop), resize_mask(unchanged, *target), resize_mask(matte, *target)

    def cropped(self, index: int, crop: CropWindow) -> np.ndarray:
        """The window of composite `index` at the model's size, [h,w,3]."""
        return resize(crop.cut(item(self.composites, index)), crop.target, crop.resampler)

    def sampled_references(
        self, index: int, results: list[np.ndarray]
    ) -> tuple[list[np.ndarray] | None, list[Message]]:
        """What the model made of the reference of composite `index`, for each seed; None where that tells nothing."""
        if self.references is None:
            return None, []
        references = [item(run, index) for run in self.references]
        check_sampled("sampled_reference", Size.of(references[0]), Size.of(self.scenes[0]), self.crop)
        if self.crop is not None:
            references = [mirror_margin(one, self.crop.target) for one in references]
        if all(map(is_same, references, results)):
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


def mirror_margin(reference: np.ndarray, target: Size) -> np.ndarray:
    """A sampled reference whose margin the VAE cut off, with its mirror image there; others as they are."""
    part = decoded_window(target, Size.of(reference))
    if part.size == target:
        return reference
    right, bottom = target.width - part.width - part.x, target.height - part.height - part.y
    return cv2.copyMakeBorder(reference, part.y, bottom, part.x, right, cv2.BORDER_REFLECT)


def put_back(window: np.ndarray, stitched: Stitched, *, in_range: bool) -> None:
    """Writes a result into its window of the background [h,w,3]. Values outside 0..1 stay where nothing changed."""
    for rows in bands(*stitched.used.shape):
        changed = in_range or stitched.used[rows][..., None] > 0
        window[rows] = np.where(changed, stitched.image[rows], window[rows])


@dataclass(frozen=True, eq=False)
class Done:
    """The finished images [B,H,W,3]; the masks used, and what the model changed, [B,H,W]; each image's report."""

    images: np.ndarray
    masks: np.ndarray
    changes: np.ndarray
    reports: list[dict[str, Any]]
    messages: list[Message]


def stitch_batch(batch: Batch, options: FinishOptions) -> Done:
    images = np.empty((batch.count, *batch.scenes.shape[1:]), np.float32)
    masks, changes = (np.zeros(images.shape[:3], np.float32) for _ in range(2))
    reports, messages = [], []
    for index in range(batch.count):
        aligned, window, cut_off = batch.aligned(index)
        references, ignored = batch.sampled_references(index, aligned.images)
        layers = batch.layers(index, window, options.edge_fade)
        done = finish(layers, aligned, references, options)
        stitched = done.stitched
        copy(item(batch.given, index), images[index])
        put_back(images[index][window.slices], stitched, in_range=batch.given is batch.scenes)
        copy(stitched.used, masks[index][window.slices])
        copy(done.changed, changes[index][window.slices])
        reports.append(report_of(stitched, layers.matte) | registration_report(done, aligned.registrations))
        own = messages_of(stitched, layers.matte, reports[-1], options.stitch.color_fix)
        messages.append(cut_off + ignored + own + registration_messages(done, aligned.registrations))
    return Done(images, masks, changes, reports, by_image(messages))


def stitch_with_margins(batch: Batch, options: FinishOptions) -> Done:
    """`stitch_batch`, where a crop's window may reach beyond the scenes: they get the margins that the model saw."""
    margins = Margins() if batch.crop is None else batch.crop.margins
    if batch.crop is None or not any(margins):
        return stitch_batch(batch, options)

    def padded(arrays: np.ndarray, *, repeat: bool = True) -> np.ndarray:
        return np.stack([pad(array, margins, repeat=repeat) for array in arrays])

    scene, scenes = batch.crop.scene, padded(batch.scenes)
    larger = replace(
        batch,
        given=scenes if batch.given is batch.scenes else padded(batch.given),
        scenes=scenes,
        composites=padded(batch.composites),
        mattes=padded(batch.mattes, repeat=False),
        changes=padded(batch.changes),
        crop=replace(batch.crop, box=batch.crop.box.moved(margins.left, margins.top), scene=margins.around(scene)),
    )
    done = stitch_batch(larger, options)
    rows, columns = Box(margins.left, margins.top, *scene).slices

    def own(arrays: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(arrays[:, rows, columns])

    return Done(own(done.images), own(done.masks), own(done.changes), done.reports, done.messages)


def check_crop(crop: CropWindow | None, **masks: torch.Tensor) -> None:
    """Refuses what is no crop, and masks of the window's size in place of the whole image's. Names are the inputs'."""
    if crop is not None:
        check_socket("crop", crop, CropWindow, sentence("the crop of Crop Around Subject"))
    for name, mask in masks.items():
        check_socket(name, mask, torch.Tensor, sentence("a MASK"))
        if crop is not None and tuple(mask.shape[-2:][::-1]) == crop.target != crop.scene:
            raise ValueError(
                sentence(
                    "{name} is {size}, the window's size: connect the whole mask from Paste & Blend.",
                    name=name,
                    size=pixels(crop.target),
                )
            )


def check_masks(batch: Batch) -> None:
    """Refuses masks in each other's places, and inpaint_mask in the place of harmonize_mask."""
    for index in range(batch.count):
        composite, scene = item(batch.composites, index), item(batch.scenes, index)
        any_subject = any_change = overlap = left_out = pasted = False
        for rows in bands(*scene.shape[:2]):
            matte, change = item(batch.mattes, index)[rows], item(batch.changes, index)[rows]
            subject, outside = matte > 0, (matte > 0.5) & (change == 0)
            any_subject |= bool(subject.any())
            any_change |= bool(change.any())
            overlap |= bool((subject & (change > 0)).any())
            left_out |= bool(outside.any())
            # A subject's pixels differ from the background's; a ring's do not.
            pasted |= not np.array_equal(composite[rows][outside], scene[rows][outside])
        if not any_subject or not any_change:
            continue
        if left_out and not pasted:
            raise ValueError(
                sentence(
                    "subject_matte covers more than harmonize_mask, where nothing was pasted: the two are "
                    "swapped, so connect each to its own name."
                )
            )
        if not overlap:
            raise ValueError(
                sentence(
                    "harmonize_mask leaves out the whole subject, as inpaint_mask does: connect "
                    "harmonize_mask of Paste & Blend."
                )
            )


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
    images = as_images(batch, name)[..., :3]
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


def report_of(stitched: Stitched, matte: np.ndarray) -> dict[str, Any]:
    """One image's entry in the node's report, for callers over the API."""
    light = stitched.light
    pixels_seen = int(np.count_nonzero(above(matte, 0.5)))
    # Without a subject, identity is undefined.
    identity = stitched.identity if matte.any() else None
    sampled = identity if light is None else light.identity
    gain = [1.0] * 3
    if light is not None:
        gain = waiting(np.average, light.gain.reshape(-1, 3), axis=0, weights=matte.ravel())
    return {
        "gain": [round(float(value), 3) for value in gain],
        "light_by": "none" if light is None else light.by,
        "eased": None if light is None or light.eased is None else [round(value, 3) for value in light.eased],
        "identity": None if identity is None else round(identity, 3),
        "identity_of_sampled": None if sampled is None else round(sampled, 3),
        "neglected": bool(matte.any()) if light is None else light.neglected,
        "suppressed": light is not None and light.suppressed,
        "color_shift_pixels": stitched.shift.pixels,
        "subject_pixels": pixels_seen,
        "visible": pixels_seen > 0,
        "empty": not matte.any(),
    }


def messages_of(stitched: Stitched, matte: np.ndarray, report: dict[str, Any], color_fix: float) -> list[Message]:
    """The same as messages on the node."""
    if stitched.light is not None:
        messages = light_messages(report)
    elif matte.any():
        messages = [Message(sentence("The model changed nothing in the composite: it is put back as it is."))]
    elif stitched.used.any():
        messages = [Message(sentence("There is no subject: in the mask are the model's own pixels."))]
    else:
        text = sentence("The subject's mask is empty: the background passes through unchanged.")
        messages = [Message(text, warning=True)]
    shift = stitched.shift
    if shift.pixels and color_fix > 0:
        gain = ", ".join(f"×{value:.3f}" for value in shift.gain)
        offset = ", ".join(f"{value * 255:+.1f}" for value in shift.offset)
        text = sentence(
            "Color shift removed: {gain}; {offset} levels (red, green, blue), by {pixels} pixels.",
            gain=gain,
            offset=offset,
            pixels=shift.pixels,
        )
        messages.append(Message(text))
    return messages


def light_messages(report: dict[str, Any]) -> list[Message]:
    """How the light moved, and whether the subject stayed itself."""
    red, green, blue = (f"{value:.2f}" for value in report["gain"])
    own, sampled = report["identity"], report["identity_of_sampled"]
    messages = [
        Message(
            sentence(
                "Light on the subject: red ×{red}, green ×{green}, blue ×{blue}, estimated from {source}.",
                red=red,
                green=green,
                blue=blue,
                source=report["light_by"],
            )
        ),
        Message(sentence("Identity {own:.2f} (the sampled image's: {sampled:.2f}).", own=own, sampled=sampled)),
    ]
    estimated, applied = (f"×{value:.2f}" for value in report["eased"] or (1, 1))
    if estimated != applied:
        text = sentence(
            "The light was estimated to change by up to {estimated} and is eased there to {applied}.",
            estimated=estimated,
            applied=applied,
        )
        messages.append(Message(text))
    if report["neglected"]:
        text = sentence(
            "The model left the subject as it was: raise denoise or inner steps, or check that the mask covers it."
        )
        messages.append(Message(text))
    if report["suppressed"]:
        text = sentence("The model seems to have painted the subject away: name it in the prompt, or lower denoise.")
        messages.append(Message(text, warning=True))
    return messages
