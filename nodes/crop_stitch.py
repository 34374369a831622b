"""PhDCrop and PhDStitch: the window that the model works in, and the way back into the untouched picture."""

import math

import comfy.latent_formats
import numpy as np
import torch
from comfy_api.latest import io

from ..phd_ops import light
from ..phd_ops.geometry import Box, CropWindow, Size, bounding_box, crop_window
from ..phd_ops.masks import resize_mask
from ..phd_ops.paste import resize
from .compat import check_numbers, newer
from .pictures import as_masks, as_pictures, as_tensor, common_batch, item, outlined, pixels, shown

Crop = io.Custom("PHD_CROP")
LEAST_SIDE = 64


# The latent grid in pixels of models whose VAE reduces by more than 8, by their latents' channels.
COARSE_GRIDS = {48: 16, 128: 32}


def model_size(model) -> tuple[int, int]:
    """The side of the square picture that a model was made for, and what its pictures' sides are multiples of."""
    config = model.model.model_config
    latent = model.get_model_object("latent_format")
    is_unet = "model_channels" in config.unet_config
    # Transformers work on 2×2 latent cells at a time.
    multiple = COARSE_GRIDS.get(latent.latent_channels, 8) * (1 if is_unet else 2)
    # Of the demo model only; newer configurations say None to whatever they are asked.
    own = getattr(config, "picture_side", None)
    if own is not None:
        return own, multiple
    if isinstance(latent, comfy.latent_formats.SD15):
        # Stable Diffusion 1 has 512 pixels, 2 with its wider text has 768.
        return 768 if config.unet_config.get("context_dim") == 1024 else 512, multiple
    return 1024, multiple


class PhDCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDCrop",
            display_name="Crop Around Subject",
            category="PhD",
            description="Cuts the window that the model works in. It slides inside the picture and never pads.",
            inputs=[
                io.Image.Input("composite", tooltip="The scene with the subject in it, from Paste & Blend."),
                io.Mask.Input("inpaint_mask", tooltip="1 = the ring to inpaint, from Paste & Blend."),
                io.Mask.Input(
                    "harmonize_mask", tooltip="1 = what may change, from Paste & Blend. The window is around it."
                ),
                io.Int.Input(
                    "side",
                    default=512,
                    min=0,
                    max=4096,
                    step=8,
                    tooltip=(
                        "The model's picture size: 512 for SD 1.5, 1024 for SDXL and Flux, 256 for the demo model. "
                        "0: that of the connected model."
                    ),
                ),
                io.Float.Input(
                    "context",
                    default=1.6,
                    min=1.0,
                    max=8.0,
                    step=0.05,
                    tooltip="The window's side over the longer side of what may change: how much scene the model sees.",
                ),
                io.Int.Input(
                    "multiple",
                    optional=True,
                    default=8,
                    min=1,
                    max=128,
                    tooltip="The target's sides are multiples of this; a connected model may ask for more.",
                    **newer(io.Int.Input, advanced=True),
                ),
                io.Image.Input(
                    "control", optional=True, tooltip="The control from Paste & Blend, cut by the same window."
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample the window: tells its size and its grid.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="composite", tooltip="The window of the composite, at the model's size."),
                io.Mask.Output(display_name="inpaint_mask", tooltip="1 = the ring to inpaint, in the window."),
                io.Mask.Output(display_name="harmonize_mask", tooltip="1 = what may change, in the window."),
                Crop.Output(display_name="crop", tooltip="Where the window lies; goes into Stitch."),
                io.Image.Output(
                    display_name="control", tooltip="The window of the control (of the composite without one)."
                ),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["crop and stitch", "inpaint crop"]),
        )

    @classmethod
    def execute(
        cls, composite, inpaint_mask, harmonize_mask, side=512, context=1.6, multiple=8, control=None, model=None
    ) -> io.NodeOutput:
        check_numbers(context=context)
        if model is not None:
            own_side, own_multiple = model_size(model)
            side, multiple = side or own_side, math.lcm(multiple, own_multiple)
        if side < LEAST_SIDE:
            raise ValueError(f"side is {side}; it must be at least {LEAST_SIDE}, or 0 with a model connected.")
        told = []
        composites = as_pictures(composite, "composite")[..., :3]
        inpaints = as_masks(inpaint_mask, composites, "inpaint_mask", told)
        harmonizes = as_masks(harmonize_mask, composites, "harmonize_mask", told)
        controls = composites if control is None else as_pictures(control, "control")[..., :3]
        if controls.shape[1:] != composites.shape[1:]:
            raise ValueError(
                f"control is {pixels(Size.of(controls[0]))}, but composite is {pixels(Size.of(composites[0]))}: "
                "connect both from the same Paste & Blend."
            )
        count = common_batch(composite=composites, inpaint_mask=inpaints, harmonize_mask=harmonizes, control=controls)
        scene = Size.of(composites[0])
        # One window for the whole batch, around all of it, so that the crops stack.
        subject = bounding_box(harmonizes.max(axis=0)) or Box(0, 0, *scene)
        window = crop_window(subject, scene, side, context, multiple)

        def cut(batch: np.ndarray, to_size) -> list[np.ndarray]:
            return [to_size(item(batch, index)[window.box.slices]) for index in range(count)]

        pictures = cut(composites, lambda part: resize(part, window.target))
        masks = cut(harmonizes, lambda part: resize_mask(part, *window.target))
        told.append(
            f"Window {window.box.width}×{window.box.height} at ({window.box.x}, {window.box.y}), "
            f"worked on at {window.target.width}×{window.target.height}."
        )
        if not harmonizes.any():
            told.append("The harmonize_mask is empty: the window is the whole picture.")
        return io.NodeOutput(
            as_tensor(pictures),
            as_tensor(cut(inpaints, lambda part: resize_mask(part, *window.target))),
            as_tensor(masks),
            window,
            as_tensor(pictures if control is None else cut(controls, lambda part: resize(part, window.target))),
            ui=shown(cls, [outlined(*pair) for pair in zip(pictures, masks, strict=True)], *told),
        )


class PhDStitch(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDStitch",
            display_name="Stitch",
            category="PhD",
            description=(
                "Puts the harmonised picture back. The subject keeps its own detail under the model's light; "
                "every pixel outside the returned mask is the background's, bit for bit."
            ),
            inputs=[
                io.Image.Input("background", tooltip="The scene before anything was pasted."),
                io.Image.Input("composite", tooltip="The whole composite from Paste & Blend."),
                io.Image.Input("sampled", tooltip="What VAE Decode made of the harmonised latent."),
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
                    "blend",
                    default=12,
                    min=0,
                    max=256,
                    tooltip="Width in pixels over which the new surround fades into the background, inside the mask.",
                ),
                io.Boolean.Input(
                    "luma_only",
                    default=False,
                    tooltip="Takes brightness from the model but not colour.",
                    **newer(io.Boolean.Input, advanced=True),
                ),
                io.Float.Input(
                    "colour_fix",
                    optional=True,
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip=(
                        "Takes off the tone step that VAEs put on pictures, measured where nothing was to change: "
                        "1 all of it, 0 none."
                    ),
                    **newer(io.Float.Input, advanced=True),
                ),
                Crop.Input(
                    "crop", optional=True, tooltip="From Crop Around Subject, if the sampled picture is its window."
                ),
                io.Image.Input(
                    "sampled_control",
                    optional=True,
                    tooltip="The decoded control, if one was harmonised: light is then the two results' difference.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The finished picture, at the background's size."),
                io.Mask.Output(display_name="mask", tooltip="The composite mask used: 0 = the background's own pixel."),
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
        blend=12,
        luma_only=False,
        colour_fix=1.0,
        crop: CropWindow | None = None,
        sampled_control=None,
    ) -> io.NodeOutput:
        check_numbers(detail=detail, keep_surround=keep_surround, colour_fix=colour_fix)
        told = []
        for name, mask in (("subject_mask", subject_mask), ("harmonize_mask", harmonize_mask)):
            if crop is not None and tuple(mask.shape[-2:][::-1]) == crop.target != crop.scene:
                raise ValueError(
                    f"{name} is {pixels(crop.target)}, the window's size: connect the whole mask from Paste & Blend."
                )
        scenes = as_pictures(background, "background")[..., :3]
        composites = as_pictures(composite, "composite")[..., :3]
        samples = as_pictures(sampled, "sampled")[..., :3]
        mattes = as_masks(subject_mask, scenes, "subject_mask", told)
        changes = as_masks(harmonize_mask, scenes, "harmonize_mask", told)
        batches = {"background": scenes, "composite": composites, "sampled": samples, "subject_mask": mattes}
        batches["harmonize_mask"] = changes
        controls = None
        if sampled_control is not None:
            controls = batches["sampled_control"] = as_pictures(sampled_control, "sampled_control")[..., :3]
        size = Size.of(scenes[0])
        if Size.of(composites[0]) != size:
            wrong = f"composite is {pixels(Size.of(composites[0]))}, but background is {pixels(size)}"
            raise ValueError(f"{wrong}: connect the composite that was made from this background.")
        if crop is not None and crop.scene != size:
            wrong = f"crop was cut from a picture of {pixels(crop.scene)}, but background is {pixels(size)}"
            raise ValueError(f"{wrong}: connect the crop that was cut from this background's composite.")
        window = crop.box if crop is not None else decoded_window(size, Size.of(samples[0]))
        if crop is None and window.size != size:
            told.append(
                f"sampled is {pixels(window.size)}: the picture's margin, which the VAE cut off, stays as it is."
            )
        count = common_batch(**batches)
        pictures = np.empty((count, size.height, size.width, 3), np.float32)
        masks = np.zeros(pictures.shape[:3], np.float32)
        previews = []
        for index in range(count):
            pictures[index] = item(scenes, index)
            part, pasted, matte, change = (
                item(batch, index)[window.slices] for batch in (scenes, composites, mattes, changes)
            )
            harmonised = item(samples, index)
            control = None if controls is None else item(controls, index)
            if control is not None and is_same(control, harmonised):
                told.append("sampled_control is the sampled picture again: light is read from that one alone.")
                control = None
            stitched = light.stitch(
                part,
                pasted,
                harmonised,
                matte,
                change,
                light.fade_in_window(item(changes, index), window, blend),
                control=control,
                detail=detail,
                keep_surround=keep_surround,
                luma_only=luma_only,
                colour_fix=colour_fix,
            )
            pictures[index][window.slices], masks[index][window.slices] = stitched.picture, stitched.used
            previews += [outlined(pictures[index]), outlined(masks[index])]
            told += report(stitched, matte, colour_fix)
        return io.NodeOutput(torch.from_numpy(pictures), torch.from_numpy(masks), ui=shown(cls, previews, *told))


def decoded_window(scene: Size, sampled: Size) -> Box:
    """The part of a scene that VAE Encode took: it cuts both margins off so that the sides fit the latent grid."""
    for cell in (8, 16, 32, 64):
        if sampled == (scene.width // cell * cell, scene.height // cell * cell):
            return Box((scene.width - sampled.width) // 2, (scene.height - sampled.height) // 2, *sampled)
    return Box(0, 0, *scene)


def is_same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures are one and the same, but for what batches of models round differently."""
    return one.shape == other.shape and float(np.abs(one - other).max()) < 0.5 / 255


def report(stitched: light.Stitched, matte: np.ndarray, colour_fix: float) -> list[str]:
    """What stitching did, in sentences."""
    told = []
    if matte.any():
        red, green, blue = np.average(stitched.gain.reshape(-1, 3), axis=0, weights=matte.ravel())
        told.append(f"Light on the subject: red ×{red:.2f}, green ×{green:.2f}, blue ×{blue:.2f}.")
    elif stitched.used.any():
        told.append("The subject's mask is empty: only its surround is taken from the sampled picture.")
    else:
        told.append("The subject's mask is empty: the background passes through unchanged.")
    shift = stitched.shift
    if shift.pixels and colour_fix > 0:
        gain = ", ".join(f"×{value:.3f}" for value in shift.gain)
        offset = ", ".join(f"{value * 255:+.1f}" for value in shift.offset)
        told.append(f"Colour shift taken off: {gain}; {offset} levels (red, green, blue), by {shift.pixels} pixels.")
    return told
