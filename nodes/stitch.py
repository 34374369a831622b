"""PhDStitch: puts the harmonized image back into the untouched background."""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.utils
import cv2
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.interrupt import SIDE_BY_SIDE, bands, copy, each, waiting
from ..phd_ops.latents.mask_grid import on_video_images
from ..phd_ops.pixels.crop_window import CropWindow
from ..phd_ops.pixels.finish import INSIDE, KEEP_CHANGES, OWN, SUBJECT_PIXELS, FinishOptions, finish
from ..phd_ops.pixels.geometry import Margins, Size, bounding_box
from ..phd_ops.pixels.masks import above
from ..phd_ops.pixels.register import UNLIKE
from ..phd_ops.pixels.resample import pad
from ..phd_ops.pixels.stitch import Stitched, StitchOptions
from ..phd_ops.sentence import sentence
from .checked import checked
from .images import as_given, as_images, as_masks, in_range, item, named_mask, pixels
from .registration_report import registration_messages, registration_report
from .stitch_batch import Batch, by_seed, check_masks, check_scene
from .stitch_clips import read_clips
from .stitch_inputs import read_sockets, stitch_sockets
from .ui import HAS_UI, Message, by_image, outlined, preview, show, stored_for_page
from .validate import check_choice, check_socket


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
                "1: keeps the original background around the subject and adds only the model's shadow. New objects "
                "that the model painted still show. 0: the model's pixels."
            ),
        ),
        io.Int.Input(
            "edge_fade",
            default=12,
            min=0,
            max=256,
            tooltip=(
                "The widest fade, in pixels, measured inward from the mask's edge. Thin parts of the mask get a "
                "shorter one."
            ),
        ),
    ]


def light_inputs() -> list[io.Input]:
    return [
        io.Boolean.Input(
            "luma_only",
            default=False,
            tooltip="Matches brightness only. The subject keeps its own color.",
        ),
        io.Float.Input(
            "color_fix",
            optional=True,
            default=1.0,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip=(
                "Removes the VAE's color shift, measured where nothing should change. 1 removes all of it, 0 none."
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
                "The sampled images are this many runs of each scene, with different seeds; their light is averaged. "
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
                "How far the subject's light changes: 0 not at all, 1 as estimated. Raise it if the model changes the "
                "light only in part, as at low denoise."
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
                "Whose pixels the subject gets. own: its own, under the model's light. model: the model's, with their "
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
                "JSON, a list with an entry for each image: how the light changed, how well the subject was "
                "preserved, whether the model left it as it was or painted over it, and whether its image had moved."
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
        masks, resized = as_masks(read.harmonize_mask, scenes, "harmonize_mask")
        new = read.changed
        if new is not None:
            # Of a video, the sampler knows the latent frames that changed.
            new = on_video_images(named_mask(new, "changed"), len(runs[0])).numpy()
        batch = Batch(given, scenes, composites, runs, references, mattes, masks, new, crop, read.may_have_moved)
        check_scene(Size.of(scenes[0]), Size.of(composites[0]), crop)
        check_masks(batch)
        done = stitch_with_margins(batch, options)
        previews = (outlined(array) for pair in zip(done.images, done.masks, strict=True) for array in pair)
        before = stored_for_page(preview(item(composites, index)) for index in range(batch.count))
        ui = show(previews, messages + resized + done.messages) | {"phd_report": done.reports, "phd_before": before}
        arrays = (torch.from_numpy(array) for array in (done.images, done.masks, done.changes))
        image, mask, changed = arrays
        return io.NodeOutput(image, mask, json.dumps(done.reports), changed, ui=ui)


def put_back(window: np.ndarray, image: np.ndarray, used: np.ndarray) -> None:
    """Writes a result into its window of the background [h,w,3]. Where nothing changed it keeps its values, which may
    lie outside 0..1."""
    for rows in bands(*used.shape):
        cv2.copyTo(image[rows], (used[rows] > 0).astype(np.uint8), window[rows])


def copy_nonzero(mask: np.ndarray, out: np.ndarray) -> None:
    """Copies a mask [h,w] into one of zeros. Most of a mask is 0, and memory that was never used is slow to write."""
    box = bounding_box(mask)
    if box is not None:
        copy(mask[box.slices], out[box.slices])


@dataclass(frozen=True, eq=False)
class Done:
    """The finished images [B,H,W,3]; the masks used, and what the model changed, [B,H,W]; each image's report."""

    images: np.ndarray
    masks: np.ndarray
    changes: np.ndarray
    reports: list[dict[str, Any]]
    messages: list[Message]


def stitch_batch(batch: Batch, options: FinishOptions, margins: Margins = Margins()) -> Done:  # noqa: B008
    """Finishes all images, some of them side by side. The frames of a clip are read first, and share their light.

    margins: those of the scenes, which are worked on; the images that were given, and the finished ones, have none.
    """
    images = np.empty((batch.count, *batch.given.shape[1:]), np.float32)
    masks, changes = (np.zeros(images.shape[:3], np.float32) for _ in range(2))

    def finished(index: int) -> tuple[dict[str, Any], list[Message]]:
        aligned, window, cut_off = batch.aligned(index, clips.registrations.get(index))
        references, ignored = batch.sampled_references(index, aligned.images)
        layers = batch.layers(index, window, options.edge_fade)
        done = finish(layers, aligned, references, options, clips.readings.get(index))
        stitched = done.stitched
        copy(item(batch.given, index), images[index])
        place = window.moved(-margins.left, -margins.top)
        shown = place.inside(Size.of(images[index]))
        part, place = shown.moved(-place.x, -place.y).slices, shown.slices
        used = stitched.used[part]
        put_back(images[index][place], stitched.image[part], used)
        copy_nonzero(used, masks[index][place])
        copy_nonzero(done.changed[part], changes[index][place])
        report = report_of(stitched, layers.matte) | registration_report(done, aligned.registrations)
        own = messages_of(stitched, layers.matte, report, options.stitch.color_fix)
        return report | clips.report(index), (
            cut_off + ignored + own + registration_messages(done, aligned.registrations) + clips.messages(index)
        )

    clips = read_clips(batch, options.stitch)
    progress, results = comfy.utils.ProgressBar(batch.count), []
    for result in each(finished, range(batch.count)):
        results.append(result)
        progress.update(1)
    reports, messages = zip(*results, strict=True)
    return Done(images, masks, changes, list(reports), by_image(messages))


def stitch_with_margins(batch: Batch, options: FinishOptions) -> Done:
    """`stitch_batch`, where a crop's window may reach beyond the scenes: they get the margins that the model saw."""
    margins = Margins() if batch.crop is None else batch.crop.margins
    if batch.crop is None or not any(margins):
        return stitch_batch(batch, options)

    larger = replace(
        batch,
        scenes=WithMargins(batch.scenes, margins),
        composites=WithMargins(batch.composites, margins),
        mattes=WithMargins(batch.mattes, margins, repeat=False),
        harmonize_masks=WithMargins(batch.harmonize_masks, margins),
        crop=batch.crop.in_padded_scene(),
    )
    return stitch_batch(larger, options, margins)


class WithMargins(Sequence):
    """Images [B,H,W,...] with margins, see `pad`: made when they are asked for, so that those of a long clip are never
    all there."""

    def __init__(self, images: np.ndarray, margins: Margins, *, repeat: bool = True):
        self.images = images
        # An image is asked for several times while it is worked on.
        self.padded = functools.lru_cache(SIDE_BY_SIDE)(lambda index: pad(images[index], margins, repeat=repeat))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.padded(index)


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


def report_of(stitched: Stitched, matte: np.ndarray) -> dict[str, Any]:
    """One image's entry in the node's report, for callers over the API."""
    light, box = stitched.light, bounding_box(matte)
    pixels_seen = 0 if box is None else int(np.count_nonzero(above(matte[box.slices], 0.5)))
    gain = [1.0] * 3 if light is None or box is None else mean_gain(light.gain[box.slices], matte[box.slices])
    # Without a subject, identity is undefined.
    identity = stitched.identity if box is not None else None
    sampled = identity if light is None else light.identity
    return {
        "gain": [round(value, 3) for value in gain],
        "light_by": "none" if light is None else light.by,
        "eased": None if light is None or light.eased is None else [round(value, 3) for value in light.eased],
        "identity": None if identity is None else round(identity, 3),
        "identity_of_sampled": None if sampled is None else round(sampled, 3),
        "neglected": box is not None if light is None else light.neglected,
        "suppressed": light is not None and light.suppressed,
        "color_shift_pixels": stitched.shift.pixels,
        "subject_pixels": pixels_seen,
        "visible": pixels_seen > 0,
        "empty": box is None,
    }


def mean_gain(gain: np.ndarray, matte: np.ndarray) -> list[float]:
    """The mean of each channel of a gain [H,W,3], weighted by a subject's matte [H,W]; not empty."""
    total = np.zeros(3)
    for rows in bands(*matte.shape):
        total += [float((gain[rows, :, channel] * matte[rows]).sum(dtype=np.float64)) for channel in range(3)]
    return list(total / waiting(np.sum, matte, dtype=np.float64))


def messages_of(stitched: Stitched, matte: np.ndarray, report: dict[str, Any], color_fix: float) -> list[Message]:
    """Light and identity of one finished image, as messages on the node."""
    if stitched.light is not None:
        messages = light_messages(report)
    elif report.get("registration") == UNLIKE:
        # Registration says that nothing of it was used, and why.
        messages = []
    elif matte.any():
        messages = [Message(sentence("The model did not change the composite, so it is returned as it is."))]
    elif stitched.used.any():
        messages = [Message(sentence("No subject: the masked area shows the model's own pixels."))]
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
