"""PhDCrop: the window that the model works in."""

import math

import comfy.latent_formats
import numpy as np
from comfy_api.latest import io

from ..phd_ops.pixels.geometry import Box, Size, bounding_box, crop_window
from ..phd_ops.pixels.masks import resize_mask
from ..phd_ops.pixels.resample import resize
from .compat import newer
from .images import as_images, as_masks, as_tensor, common_batch, item, pixels
from .ui import Message, outlined, show
from .validate import check_numbers

Crop = io.Custom("PHD_CROP")
LEAST_SIDE = 64


# The latent grid in pixels of models whose VAE reduces by more than 8, by their latents' channels.
COARSE_GRIDS = {48: 16, 128: 32}


def model_size(model) -> tuple[int, int]:
    """The side of the square image that a model was made for, and what its images' sides are multiples of."""
    config = model.model.model_config
    latent = model.get_model_object("latent_format")
    is_unet = "model_channels" in config.unet_config
    # Transformers work on 2×2 latent cells at a time.
    multiple = COARSE_GRIDS.get(latent.latent_channels, 8) * (1 if is_unet else 2)
    # Of the demo model only; newer configurations say None to whatever they are asked.
    own = getattr(config, "image_side", None)
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
            description="Cuts the window that the model works in. It slides inside the image and never pads.",
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
                        "The model's image size: 512 for SD 1.5, 1024 for SDXL and Flux, 256 for the demo model. "
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
                    "reference", optional=True, tooltip="The reference from Paste & Blend, cut by the same window."
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model that will sample the window: tells its size and its grid.",
                ),
                io.Mask.Input(
                    "subject_mask", optional=True, tooltip="1 = subject, the subject_matte from Paste & Blend."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="composite", tooltip="The window of the composite, at the model's size."),
                io.Mask.Output(display_name="inpaint_mask", tooltip="1 = the ring to inpaint, in the window."),
                io.Mask.Output(display_name="harmonize_mask", tooltip="1 = what may change, in the window."),
                Crop.Output(display_name="crop", tooltip="Where the window lies; goes into Stitch."),
                io.Image.Output(
                    display_name="reference", tooltip="The window of the reference (of the composite without one)."
                ),
                io.Mask.Output(
                    display_name="subject_mask",
                    tooltip="1 = subject, in the window (without one: the harmonize_mask without the ring).",
                ),
            ],
            is_output_node=True,
            **newer(io.Schema, search_aliases=["crop and stitch", "inpaint crop"]),
        )

    @classmethod
    def execute(
        cls,
        composite,
        inpaint_mask,
        harmonize_mask,
        side=512,
        context=1.6,
        multiple=8,
        reference=None,
        model=None,
        subject_mask=None,
    ) -> io.NodeOutput:
        check_numbers(context=context)
        if model is not None:
            own_side, own_multiple = model_size(model)
            side, multiple = side or own_side, math.lcm(multiple, own_multiple)
        if side < LEAST_SIDE:
            raise ValueError(f"side is {side}; it must be at least {LEAST_SIDE}, or 0 with a model connected.")
        composites = as_images(composite, "composite")[..., :3]
        inpaints, messages = as_masks(inpaint_mask, composites, "inpaint_mask")
        harmonizes, resized = as_masks(harmonize_mask, composites, "harmonize_mask")
        messages += resized
        references = composites if reference is None else as_images(reference, "reference")[..., :3]
        if references.shape[1:] != composites.shape[1:]:
            raise ValueError(
                f"reference is {pixels(Size.of(references[0]))}, but composite is {pixels(Size.of(composites[0]))}: "
                "connect both from the same Paste & Blend."
            )
        batches = {
            "composite": composites,
            "inpaint_mask": inpaints,
            "harmonize_mask": harmonizes,
            "reference": references,
        }
        if subject_mask is not None:
            batches["subject_mask"], resized = as_masks(subject_mask, composites, "subject_mask")
            messages += resized
        count = common_batch(**batches)
        subjects = batches.get("subject_mask", np.clip(harmonizes - inpaints, 0, 1))
        scene = Size.of(composites[0])
        # One window for the whole batch, around all of it, so that the crops stack.
        subject = bounding_box(harmonizes.max(axis=0)) or Box(0, 0, *scene)
        window = crop_window(subject, scene, side, context, multiple)

        def cut(batch: np.ndarray, to_size) -> list[np.ndarray]:
            return [to_size(item(batch, index)[window.box.slices]) for index in range(count)]

        def cut_mask(batch: np.ndarray) -> list[np.ndarray]:
            return cut(batch, lambda part: resize_mask(part, *window.target))

        images = cut(composites, lambda part: resize(part, window.target))
        masks = cut_mask(harmonizes)
        text = f"Window {window.box.width}×{window.box.height} at ({window.box.x}, {window.box.y}), "
        messages.append(Message(f"{text}worked on at {window.target.width}×{window.target.height}."))
        if not harmonizes.any():
            messages.append(Message("The harmonize_mask is empty: the window is the whole image.", warning=True))
        return io.NodeOutput(
            as_tensor(images),
            as_tensor(cut_mask(inpaints)),
            as_tensor(masks),
            window,
            as_tensor(images if reference is None else cut(references, lambda part: resize(part, window.target))),
            as_tensor(cut_mask(subjects)),
            ui=show(cls, [outlined(*pair) for pair in zip(images, masks, strict=True)], messages),
        )
