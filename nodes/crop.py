"""PhDCrop: cuts the window that the model works in."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import comfy.latent_formats
import comfy.sd
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..phd_ops.interrupt import bands, by_bands
from ..phd_ops.pixels.geometry import Box, CropWindow, Size, bounding_box, crop_window
from ..phd_ops.pixels.masks import FAINT, resize_mask
from ..phd_ops.pixels.pasted_scenes import PasteCrop, PastedScenes
from ..phd_ops.pixels.resample import resize
from .checked import checked
from .companions import Companions, with_companions
from .images import as_images, as_masks, as_tensor, common_batch, item, pixels
from .paste_inputs import Paste
from .ui import HAS_UI, Message, outlined, show
from .validate import check_socket

Crop = io.Custom("PHD_CROP")
LEAST_SIDE = 64
MASKS = ("inpaint_mask", "harmonize_mask", "subject_matte")

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
            inputs=[*window_inputs(), *scene_inputs(), *model_inputs()],
            outputs=[
                Crop.Output(display_name="crop", tooltip="Where the window lies, and the paste; goes into Stitch."),
                io.Image.Output(
                    display_name="cropped_image", tooltip="The window of the composite, at the model's size."
                ),
                io.Mask.Output(display_name="cropped_inpaint_mask", tooltip="1 = the ring to inpaint, in the window."),
                io.Mask.Output(display_name="cropped_harmonize_mask", tooltip="1 = what may change, in the window."),
                io.Image.Output(
                    display_name="cropped_reference",
                    tooltip="The window of the reference (of the composite without one).",
                ),
                io.Mask.Output(
                    display_name="cropped_subject_matte",
                    tooltip="1 = subject, in the window (without one: the harmonize_mask without the ring).",
                ),
                io.Latent.Output(
                    display_name="latent",
                    tooltip=(
                        "The encoded window, for the samplers. It brings its masks and the light reference along. "
                        "Needs vae."
                    ),
                ),
            ],
            **HAS_UI,
        )

    @classmethod
    @checked
    def execute(  # noqa: PLR0913
        cls,
        side: int = 0,
        context: float = 1.6,
        multiple: int = 8,
        paste: PastedScenes | None = None,
        composite: torch.Tensor | None = None,
        inpaint_mask: torch.Tensor | None = None,
        harmonize_mask: torch.Tensor | None = None,
        reference: torch.Tensor | None = None,
        subject_matte: torch.Tensor | None = None,
        model: Any = None,
        vae: Any = None,
    ) -> io.NodeOutput:
        side, multiple = working_size(model, side, multiple)
        given = {"composite": composite, "inpaint_mask": inpaint_mask, "harmonize_mask": harmonize_mask}
        given |= {"reference": reference, "subject_matte": subject_matte}
        pasted, given = with_paste(paste, given)
        batches, messages = read_scenes(given)
        count = common_batch(**batches)
        check_masks(batches["inpaint_mask"], batches["harmonize_mask"])
        window = window_around(batches["harmonize_mask"], side, context, multiple)
        images = {name: as_tensor(cut_images(batches[name], count, window)) for name in ("composite", "reference")}
        masks = {name: as_tensor(cut_masks(batches[name], count, window)) for name in MASKS}
        crop = PasteCrop(window.box, window.target, window.scene, pasted)
        latent = {} if vae is None else encoded(vae, images, masks, crop)
        pairs = zip(images["composite"], masks["harmonize_mask"], strict=True)
        shown = (outlined(*map(np.asarray, pair)) for pair in pairs)
        return io.NodeOutput(
            crop,
            images["composite"],
            masks["inpaint_mask"],
            masks["harmonize_mask"],
            images["reference"],
            masks["subject_matte"],
            latent,
            ui=show(shown, messages + window_messages(crop, bool(batches["harmonize_mask"].any())))
            | {"phd_window": [window_as_data(crop)]},
        )


def window_inputs() -> list[io.Input]:
    return [
        io.Int.Input(
            "side",
            default=0,
            min=0,
            max=4096,
            step=8,
            tooltip=(
                "0: the image size of the connected model. Otherwise the size itself: 512 for SD 1.5, 1024 for SDXL "
                "and Flux, 256 for the demo model."
            ),
        ),
        io.Float.Input(
            "context",
            default=1.6,
            min=1.0,
            max=8.0,
            step=0.05,
            tooltip=(
                "Window side divided by the longer side of what may change. Larger: the model sees more of the scene."
            ),
        ),
        io.Int.Input(
            "multiple",
            optional=True,
            default=8,
            min=1,
            max=128,
            tooltip="The target's sides are multiples of this; a connected model may ask for more.",
        ),
    ]


def scene_inputs() -> list[io.Input]:
    """Their order is that of the outputs, so that a bypassed node hands each of them on in its place."""
    return [
        Paste.Input("paste", optional=True, tooltip="From Paste & Blend. Without it, connect the next inputs."),
        io.Image.Input("composite", optional=True, tooltip="Instead of the paste's: the scene with the subject in it."),
        io.Mask.Input("inpaint_mask", optional=True, tooltip="Instead of the paste's: 1 = the ring to inpaint."),
        io.Mask.Input(
            "harmonize_mask",
            optional=True,
            tooltip="Instead of the paste's: 1 = what may change. The window is centered on it.",
        ),
        io.Image.Input(
            "reference",
            optional=True,
            tooltip="Instead of the paste's: the light reference, cut by the same window.",
        ),
        io.Mask.Input("subject_matte", optional=True, tooltip="Instead of the paste's: 1 = subject."),
    ]


def model_inputs() -> list[io.Input]:
    return [
        io.Model.Input(
            "model",
            optional=True,
            tooltip="The model that will sample the window. Its image size and latent grid are used.",
        ),
        io.Vae.Input("vae", optional=True, tooltip="Encodes the window: the output latent needs it."),
    ]


def working_size(model: Any, side: int, multiple: int) -> tuple[int, int]:
    """The window's side in pixels, and what its sides are multiples of."""
    if model is not None:
        check_socket("model", model, ModelPatcher, "a MODEL")
        own_side, own_multiple = model_size(model)
        side, multiple = side or own_side, math.lcm(multiple, own_multiple)
    if side < LEAST_SIDE:
        raise ValueError(f"side is {side}; it must be at least {LEAST_SIDE}, or 0 with a model connected.")
    return side, multiple


def as_batch(value: Any) -> Any:
    """A mask [H,W] as [1,H,W]: a later split of the latent takes items, not rows."""
    return value[None] if isinstance(value, torch.Tensor) and value.ndim == 2 else value


def with_paste(paste: PastedScenes | None, given: dict[str, Any]) -> tuple[PastedScenes | None, dict[str, Any]]:
    """The connected inputs by name, and the paste's in place of those that are not; and the paste with all of them."""
    connected = {name: as_batch(value) for name, value in given.items() if value is not None}
    if paste is not None:
        check_socket("paste", paste, PastedScenes, "the paste of Paste & Blend")
        changed = replace(paste, **connected) if connected else paste
        return changed, {name: getattr(changed, name) for name in given}
    for name in ("composite", "inpaint_mask", "harmonize_mask"):
        if given[name] is None:
            raise ValueError(f"{name} is not connected: connect the paste of Paste & Blend, or {name} itself.")
    return None, given


def read_scenes(given: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[Message]]:
    """Images and masks as batches of one size, by the names of their inputs; and messages."""
    composites = as_images(given["composite"], "composite")[..., :3]
    batches, messages = {"composite": composites}, []
    for name in MASKS:
        if given[name] is not None:
            batches[name], resized = as_masks(given[name], composites, name)
            messages += resized
    batches["reference"] = read_reference(given["reference"], composites)
    if given["subject_matte"] is None:
        batches["subject_matte"] = without(batches["harmonize_mask"], batches["inpaint_mask"])
    return batches, messages


def without(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Masks [B,H,W] minus others; one of either serves all of the other."""
    count = max(len(masks), len(others))
    pairs = ((item(masks, index), item(others, index)) for index in range(count))
    return as_tensor([by_bands(lambda mask, other: np.clip(mask - other, 0, 1), *pair) for pair in pairs]).numpy()


def check_masks(inpaints: np.ndarray, harmonizes: np.ndarray) -> None:
    """Refuses the two masks in each other's places: what is inpainted is a part of what may change."""
    # Whether there is any pixel of harmonize_mask, of inpaint_mask beyond it, and of it beyond inpaint_mask.
    harmonized = beyond = left = False
    for rows in bands(*harmonizes.shape[1:]):
        inpaint, harmonize = inpaints[:, rows] > 0, harmonizes[:, rows] > 0
        harmonized |= bool(harmonize.any())
        beyond |= bool((inpaint & ~harmonize).any())
        left |= bool((harmonize & ~inpaint).any())
    if harmonized and beyond and not left:
        raise ValueError(
            "inpaint_mask covers all of harmonize_mask and more: the two are swapped, so connect each to its own name."
        )


def encoded(vae: Any, images: dict[str, torch.Tensor], masks: dict[str, torch.Tensor], crop: PasteCrop) -> dict:
    """The window as a LATENT with its companions, encoded as VAE Encode does."""
    check_socket("vae", vae, comfy.sd.VAE, "a VAE")
    original = vae.encode(images["composite"])
    # A cut-out, and several subjects, have none: two samples of one image would differ in no light.
    same = torch.equal(images["composite"], images["reference"])
    reference = None if same else vae.encode(images["reference"])
    inpaint, harmonize, matte = (masks[name] for name in MASKS)
    return with_companions(
        {"samples": original}, Companions(crop, inpaint, harmonize, matte, original, reference, vae=vae)
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
    change = functools.reduce(functools.partial(by_bands, np.maximum), changes)
    subject = bounding_box(change, FAINT) or Box(0, 0, *scene)
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
