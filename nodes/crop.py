"""PhDCrop: cuts the window that the model works in."""

import math
from collections.abc import Callable
from typing import Any

import comfy.latent_formats
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..phd_ops.pixels.geometry import Box, CropWindow, Size, bounding_box, crop_window
from ..phd_ops.pixels.masks import FAINT, resize_mask
from ..phd_ops.pixels.resample import resize
from .checked import checked
from .compat import newer
from .images import as_images, as_masks, as_tensor, common_batch, item, pixels
from .ui import HAS_UI, Message, outlined, show
from .validate import check_socket

Crop = io.Custom("PHD_CROP")
LEAST_SIDE = 64

# The side of a latent cell in pixels, where it is not 8, for versions of ComfyUI whose latent formats do not have it.
CELLS = {"Wan22": 16, "LTXV": 32, "HunyuanImage21": 32, "HunyuanImage21Refiner": 16, "SC_Prior": 42, "SC_B": 4,
         "SD_X4": 4, "ChromaRadiance": 1}  # fmt: skip


def latent_grid(latent: comfy.latent_formats.LatentFormat, config: dict[str, Any]) -> int:
    """What the sides of a model's images are multiples of: pixels per latent cell times cells per patch."""
    cell = getattr(latent, "spacial_downscale_ratio", None) or CELLS.get(type(latent).__name__, 8)
    if "model_channels" in config or "stable_cascade_stage" in config:
        return int(cell)
    # Transformers work on patches of cells, most of them on 2×2; those of videos are [frames, height, width].
    patch = config.get("patch_size") or 2
    return int(cell) * int(max(patch) if isinstance(patch, (list, tuple)) else patch)


def model_size(model: Any) -> tuple[int, int]:
    """The side in pixels of the square image that a MODEL was made for, and what its images' sides are multiples of."""
    config = model.model.model_config
    latent = model.get_model_object("latent_format")
    multiple = latent_grid(latent, config.unet_config)
    # Only the demo model has it; newer configurations give None for any name.
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
                    "harmonize_mask", tooltip="1 = what may change, from Paste & Blend. The window is centered on it."
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
                    tooltip=(
                        "Window side divided by the longer side of what may change. Larger: the model sees more of the "
                        "scene."
                    ),
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
                    tooltip="The model that will sample the window. Its image size and latent grid are used.",
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
            **HAS_UI,
            **newer(io.Schema, search_aliases=["crop and stitch", "inpaint crop"]),
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        composite: torch.Tensor,
        inpaint_mask: torch.Tensor,
        harmonize_mask: torch.Tensor,
        side: int = 512,
        context: float = 1.6,
        multiple: int = 8,
        reference: torch.Tensor | None = None,
        model: Any = None,
        subject_mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        if model is not None:
            check_socket("model", model, ModelPatcher, "a MODEL")
            own_side, own_multiple = model_size(model)
            side, multiple = side or own_side, math.lcm(multiple, own_multiple)
        if side < LEAST_SIDE:
            raise ValueError(f"side is {side}; it must be at least {LEAST_SIDE}, or 0 with a model connected.")
        composites = as_images(composite, "composite")[..., :3]
        inpaints, messages = as_masks(inpaint_mask, composites, "inpaint_mask")
        harmonizes, resized = as_masks(harmonize_mask, composites, "harmonize_mask")
        messages += resized
        references = read_reference(reference, composites)
        batches = {"composite": composites, "inpaint_mask": inpaints, "harmonize_mask": harmonizes}
        batches["reference"] = references
        if subject_mask is not None:
            batches["subject_mask"], resized = as_masks(subject_mask, composites, "subject_mask")
            messages += resized
        count = common_batch(**batches)
        subjects = batches.get("subject_mask", np.clip(harmonizes - inpaints, 0, 1))
        window = window_around(harmonizes, side, context, multiple)
        images, masks = cut_images(composites, count, window), cut_masks(harmonizes, count, window)
        return io.NodeOutput(
            as_tensor(images),
            as_tensor(cut_masks(inpaints, count, window)),
            as_tensor(masks),
            window,
            as_tensor(images if reference is None else cut_images(references, count, window)),
            as_tensor(cut_masks(subjects, count, window)),
            ui=show(
                (outlined(*pair) for pair in zip(images, masks, strict=True)),
                messages + window_messages(window, bool(harmonizes.any())),
            )
            | {"phd_window": [window_as_data(window)]},
        )


def read_reference(reference: torch.Tensor | None, composites: np.ndarray) -> np.ndarray:
    """The references [B,H,W,3], of the composites' size; the composites without one."""
    references = composites if reference is None else as_images(reference, "reference")[..., :3]
    if references.shape[1:] != composites.shape[1:]:
        raise ValueError(
            f"reference is {pixels(Size.of(references[0]))}, but composite is {pixels(Size.of(composites[0]))}: "
            "connect both from the same Paste & Blend."
        )
    return references


def window_around(changes: np.ndarray, side: int, context: float, multiple: int) -> CropWindow:
    """One window for a whole batch, around all that may change [B,H,W], so that the crops stack."""
    scene = Size.of(changes[0])
    subject = bounding_box(changes.max(axis=0), FAINT) or Box(0, 0, *scene)
    return crop_window(subject, scene, side, context, multiple)


def cut(batch: np.ndarray, count: int, box: Box, to_target: Callable[[np.ndarray], np.ndarray]) -> list[np.ndarray]:
    return [to_target(item(batch, index)[box.slices]) for index in range(count)]


def cut_images(batch: np.ndarray, count: int, window: CropWindow) -> list[np.ndarray]:
    """The windows of `count` images [H,W,3], at the model's size."""
    return cut(batch, count, window.box, lambda part: resize(part, window.target))


def cut_masks(batch: np.ndarray, count: int, window: CropWindow) -> list[np.ndarray]:
    """The windows of `count` masks [H,W], at the model's size."""
    return cut(batch, count, window.box, lambda part: resize_mask(part, *window.target))


def window_as_data(window: CropWindow) -> dict[str, int]:
    """The window for callers over the API, in the history of a run; in pixels."""
    return {**window.box._asdict(), "target_width": window.target.width, "target_height": window.target.height}


def window_messages(window: CropWindow, any_change: bool) -> list[Message]:
    box, target = window.box, window.target
    place = f"Window {box.width}×{box.height} at ({box.x}, {box.y}), worked on at {target.width}×{target.height}."
    if any_change:
        return [Message(place)]
    empty = "The harmonize_mask is empty: the window is the whole image."
    return [Message(place), Message(empty, warning=True)]
