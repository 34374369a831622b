"""PhDStitch: the way back into the untouched image."""

import json

import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops.pixels.geometry import Box, CropWindow, Size
from ..phd_ops.pixels.masks import resize_mask
from ..phd_ops.pixels.stitch import Stitched, fade_in_window, stitch
from .compat import newer
from .crop import Crop
from .images import as_images, as_masks, common_batch, item, named_mask, pixels
from .ui import Message, outlined, show
from .validate import check_numbers


class PhDStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDStitch",
            display_name="Stitch",
            category="PhD",
            description=(
                "Puts the harmonized image back. The subject keeps its own detail under the model's light; "
                "every pixel outside the returned mask is the background's, bit for bit."
            ),
            inputs=[
                io.Image.Input("background", tooltip="The scene before anything was pasted."),
                io.Image.Input("composite", tooltip="The whole composite from Paste & Blend."),
                io.Image.Input("sampled", tooltip="What VAE Decode made of the harmonized latent."),
                io.Mask.Input("subject_mask", tooltip="1 = subject, the matte from Paste & Blend."),
                io.Mask.Input("harmonize_mask", tooltip="1 = what may change, from Paste & Blend."),
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
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "0: the model's own pixels around the subject. 1: the background's, darker where the model "
                        "painted a shadow; for weak models, or when nothing there needs inpainting."
                    ),
                ),
                io.Int.Input(
                    "edge_fade",
                    default=12,
                    min=0,
                    max=256,
                    tooltip="Width in pixels over which the new surround fades into the background, inside the mask.",
                ),
                io.Boolean.Input(
                    "luma_only",
                    default=False,
                    tooltip="Takes brightness from the model but not color.",
                    **newer(io.Boolean.Input, advanced=True),
                ),
                io.Float.Input(
                    "color_fix",
                    optional=True,
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "Takes off the tone step that VAEs put on images, measured where nothing was to change: "
                        "1 all of it, 0 none."
                    ),
                    **newer(io.Float.Input, advanced=True),
                ),
                Crop.Input(
                    "crop", optional=True, tooltip="From Crop Around Subject, if the sampled image is its window."
                ),
                io.Image.Input(
                    "sampled_reference",
                    optional=True,
                    tooltip="The decoded reference, if one was harmonized: light is then the two results' difference.",
                ),
                io.Mask.Input(
                    "changed",
                    optional=True,
                    tooltip="1 = around the subject, what takes the model's pixels; from Harmonize Sampler. "
                    "Without it: all of harmonize_mask.",
                ),
                io.Int.Input(
                    "num_seeds",
                    optional=True,
                    default=1,
                    min=1,
                    max=16,
                    tooltip="As in Harmonize Sampler: the sampled images are so many runs of each scene, whose light "
                    "is averaged.",
                    **newer(io.Int.Input, advanced=True),
                ),
                io.Float.Input(
                    "relight_strength",
                    optional=True,
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    tooltip="How far the subject's light moves: 0 not at all, 1 as it was read. A model that moves it "
                    "only part of the way, such as at low denoise, wants more.",
                    **newer(io.Float.Input, advanced=True),
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The finished image, at the background's size."),
                io.Mask.Output(display_name="mask", tooltip="The composite mask used: 0 = the background's own pixel."),
                io.String.Output(
                    display_name="report",
                    tooltip="JSON, a list with an entry for each image: how light moved, whether the subject stayed "
                    "itself, and whether the model neglected or suppressed it.",
                ),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["uncrop", "relight", "detail transfer"]),
        )

    @classmethod
    def execute(
        cls,
        background,
        composite,
        sampled,
        subject_mask,
        harmonize_mask,
        detail=0.9,
        keep_surround=0.0,
        edge_fade=12,
        luma_only=False,
        color_fix=1.0,
        crop: CropWindow | None = None,
        sampled_reference=None,
        changed=None,
        num_seeds=1,
        relight_strength=1.0,
    ) -> io.NodeOutput:
        check_numbers(
            detail=detail, keep_surround=keep_surround, color_fix=color_fix, relight_strength=relight_strength
        )
        for name, mask in (("subject_mask", subject_mask), ("harmonize_mask", harmonize_mask)):
            if crop is not None and tuple(mask.shape[-2:][::-1]) == crop.target != crop.scene:
                raise ValueError(
                    f"{name} is {pixels(crop.target)}, the window's size: connect the whole mask from Paste & Blend."
                )
        scenes = as_images(background, "background")[..., :3]
        composites = as_images(composite, "composite")[..., :3]
        samples = by_seed(sampled, "sampled", num_seeds)
        references = None if sampled_reference is None else by_seed(sampled_reference, "sampled_reference", num_seeds)
        mattes, messages = as_masks(subject_mask, scenes, "subject_mask")
        changes, resized = as_masks(harmonize_mask, scenes, "harmonize_mask")
        messages += resized
        batches = {"background": scenes, "composite": composites, "sampled": samples[0], "subject_mask": mattes}
        batches["harmonize_mask"] = changes
        if references is not None:
            batches["sampled_reference"] = references[0]
        if changed is not None:
            batches["changed"] = named_mask(changed, "changed").numpy()
        size = Size.of(scenes[0])
        if Size.of(composites[0]) != size:
            wrong = f"composite is {pixels(Size.of(composites[0]))}, but background is {pixels(size)}"
            raise ValueError(f"{wrong}: connect the composite that was made from this background.")
        if crop is not None and crop.scene != size:
            wrong = f"crop was cut from an image of {pixels(crop.scene)}, but background is {pixels(size)}"
            raise ValueError(f"{wrong}: connect the crop that was cut from this background's composite.")
        window = crop.box if crop is not None else decoded_window(size, Size.of(samples[0][0]))
        if crop is None and window.size != size:
            text = f"sampled is {pixels(window.size)}: the image's margin, which the VAE cut off, stays as it is."
            messages.append(Message(text))
        count = common_batch(**batches)
        images = np.empty((count, size.height, size.width, 3), np.float32)
        masks = np.zeros(images.shape[:3], np.float32)
        previews, reports = [], []
        for index in range(count):
            images[index] = item(scenes, index)
            matte, change = item(mattes, index), item(changes, index)
            results = [item(run, index) for run in samples]
            shown_references = None if references is None else [item(run, index) for run in references]
            if shown_references is not None and all(map(is_same, shown_references, results)):
                text = "sampled_reference is the sampled image again: light is read from that one alone."
                messages.append(Message(text))
                shown_references = None
            shows = change if changed is None else change.copy()
            if changed is not None:
                # The fade runs outside the subject, not over what touches it, such as a contact shadow.
                new = resize_mask(item(batches["changed"], index), *window.size) > 0.5
                shows[window.slices] *= new | (matte[window.slices] > 0)
            stitched = stitch(
                item(scenes, index)[window.slices],
                item(composites, index)[window.slices],
                results,
                matte[window.slices],
                change[window.slices],
                fade_in_window(shows, window, edge_fade),
                references=shown_references,
                detail=detail,
                keep_surround=keep_surround,
                luma_only=luma_only,
                color_fix=color_fix,
                strength=relight_strength,
            )
            images[index][window.slices], masks[index][window.slices] = stitched.image, stitched.used
            previews += [outlined(images[index]), outlined(masks[index])]
            reports.append(figures(stitched, matte[window.slices]))
            messages += sentences(stitched, matte[window.slices], reports[-1], color_fix)
        return io.NodeOutput(
            torch.from_numpy(images),
            torch.from_numpy(masks),
            json.dumps(reports),
            ui=show(cls, previews, messages),
        )


def by_seed(batch: torch.Tensor, name: str, seeds: int) -> list[np.ndarray]:
    """A batch of images as one batch for each seed: first all scenes with the first one, and so on."""
    images = as_images(batch, name)[..., :3]
    if len(images) % seeds:
        problem = f"{name} has {len(images)} images, which are no {seeds} runs of the same scenes"
        raise ValueError(f"{problem}: set num_seeds as in Harmonize Sampler.")
    return np.split(images, seeds)


def decoded_window(scene: Size, sampled: Size) -> Box:
    """The part of a scene that VAE Encode took: it cuts both margins off so that the sides fit the latent grid."""
    for cell in (8, 16, 32, 64):
        if sampled == (scene.width // cell * cell, scene.height // cell * cell):
            return Box((scene.width - sampled.width) // 2, (scene.height - sampled.height) // 2, *sampled)
    return Box(0, 0, *scene)


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two images are one and the same, but for what batches of models round differently."""
    return one.shape == other.shape and float(np.abs(one - other).max()) < 0.5 / 255


def figures(stitched: Stitched, matte: np.ndarray) -> dict:
    """What stitching found, in numbers, for whoever calls over the API."""
    light = stitched.light
    gain = [1.0] * 3 if light is None else np.average(light.gain.reshape(-1, 3), axis=0, weights=matte.ravel())
    return {
        "gain": [round(float(value), 3) for value in gain],
        "light_by": "none" if light is None else light.by,
        "identity": round(stitched.identity, 3),
        "identity_of_sampled": 1.0 if light is None else round(light.identity, 3),
        "neglected": bool(matte.any()) if light is None else light.neglected,
        "suppressed": light is not None and light.suppressed,
        "color_shift_pixels": stitched.shift.pixels,
    }


def sentences(stitched: Stitched, matte: np.ndarray, found: dict, color_fix: float) -> list[Message]:
    """The same for whoever looks at the node."""
    messages = []
    if stitched.light is not None:
        red, green, blue = found["gain"]
        messages.append(
            Message(
                f"Light on the subject: red ×{red:.2f}, green ×{green:.2f}, blue ×{blue:.2f}, by {found['light_by']}."
            )
        )
        messages.append(
            Message(f"Identity {found['identity']:.2f} (the sampled image's: {found['identity_of_sampled']:.2f}).")
        )
    elif matte.any():
        messages.append(Message("Nothing was made of the composite: it is put back as it is."))
    elif stitched.used.any():
        messages.append(
            Message("The subject's mask is empty: only its surround is taken from the sampled image.", warning=True)
        )
    else:
        messages.append(Message("The subject's mask is empty: the background passes through unchanged.", warning=True))
    if found["neglected"] and stitched.light is not None:
        messages.append(
            Message(
                "The model left the subject as it was: raise denoise or inner steps, or see that the mask covers it."
            )
        )
    if found["suppressed"]:
        messages.append(
            Message(
                "The model seems to have painted the subject away: name it in the prompt, or lower denoise.",
                warning=True,
            )
        )
    shift = stitched.shift
    if shift.pixels and color_fix > 0:
        gain = ", ".join(f"×{value:.3f}" for value in shift.gain)
        offset = ", ".join(f"{value * 255:+.1f}" for value in shift.offset)
        messages.append(
            Message(f"Color shift taken off: {gain}; {offset} levels (red, green, blue), by {shift.pixels} pixels.")
        )
    return messages
