"""PhDStitch: puts the harmonized image back into the untouched background."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.latents.mask_grid import on_video_images
from ..phd_ops.pixels.crop_window import CropWindow
from ..phd_ops.pixels.finish import INSIDE, KEEP_CHANGES, OWN, SUBJECT_PIXELS, FinishOptions
from ..phd_ops.pixels.geometry import Size
from ..phd_ops.pixels.stitch import StitchOptions
from ..phd_ops.sentence import sentence
from .checked import checked
from .images import as_given, as_images, as_masks, in_range, item, named_mask, pixels
from .stitch_batch import Batch, by_seed, check_masks, check_scene, with_shared_references
from .stitch_finish import finish_with_margins
from .stitch_inputs import StitchGiven, read_sockets, stitch_sockets
from .ui import HAS_UI, Message, outlined, preview, show, stored_for_page
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
        mattes, messages = scene_masks(read, "subject_matte", scenes)
        masks, resized = scene_masks(read, "harmonize_mask", scenes)
        new = read.changed
        if new is not None:
            # Of a video, the sampler knows the latent frames that changed.
            new = on_video_images(named_mask(new, "changed"), len(runs[0])).numpy()
        batch = Batch(
            given, scenes, composites, runs, references, mattes, masks, new, crop, read.may_have_moved,
            read.reference_items,
        )  # fmt: skip
        check_scene(Size.of(scenes[0]), Size.of(composites[0]), crop)
        batch = with_shared_references(batch)
        check_masks(batch)
        done = finish_with_margins(batch, options)
        previews = (outlined(array) for pair in zip(done.images, done.masks, strict=True) for array in pair)
        before = stored_for_page(preview(item(composites, index)) for index in range(batch.count))
        ui = show(previews, messages + resized + done.messages) | {"phd_report": done.reports, "phd_before": before}
        arrays = (torch.from_numpy(array) for array in (done.images, done.masks, done.changes))
        image, mask, changed = arrays
        return io.NodeOutput(image, mask, json.dumps(done.reports), changed, ui=ui)


def scene_masks(read: StitchGiven, name: str, scenes: np.ndarray) -> tuple[np.ndarray, list[Message]]:
    """A mask of the whole scenes as float32 [B,H,W]; and a message if it was resized."""
    mask = getattr(read, name)
    return (mask.numpy(), []) if name in read.own else as_masks(mask, scenes, name)


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
