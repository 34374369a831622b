"""PhDCrop: cuts the window that the model works in."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import comfy.sd
import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from comfy_api.latest import io

from ..phd_ops.interrupt import bands, copy, each
from ..phd_ops.latents.mask_grid import on_latent_frames, temporal_stride
from ..phd_ops.pixels.crop_window import AREA, EXACT, NO_RESIZE, SIZE_MODES, CropWindow, WorkingSize, crop_window
from ..phd_ops.pixels.geometry import Box, Margins, Size, bounding_box, joined_box
from ..phd_ops.pixels.masks import FAINT, resize_mask
from ..phd_ops.pixels.moving_window import moving_window, out_of_line
from ..phd_ops.pixels.pasted_scenes import PasteCrop, PastedScenes, are_equal
from ..phd_ops.pixels.resample import AUTO, RESAMPLERS, resize
from ..phd_ops.pixels.resizings import STRETCHED
from ..phd_ops.sentence import sentence
from .checked import checked
from .companions import Companions, with_companions
from .crop_inputs import LEAST_SIDE, model_inputs, plain_inputs, scene_inputs, window_inputs
from .images import (
    as_given,
    as_images,
    as_masks,
    by_pairs,
    common_batch,
    each_image,
    in_range,
    item,
    pixels,
)
from .model_size import frames_for, makes_single_images, model_size
from .ui import HAS_UI, Message, outlined, show
from .validate import check_choice, check_socket

Crop = io.Custom("PHD_CROP")
IMAGES = ("composite", "reference")
MASKS = ("inpaint_mask", "harmonize_mask", "subject_matte")
SCENE_PARTS = ("composite", "inpaint_mask", "harmonize_mask", "reference", "subject_matte")
# The mean difference from which on the colors of two subjects are others.
OTHER_COLORS = 2 / 255
NO_REFERENCE = sentence(
    "composite shows the subject in other colors than the paste, so the paste's light reference is left out: the "
    "light is estimated from the result alone."
)


class PhDCrop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDCrop",
            display_name="Crop Around Subject",
            category="PhD",
            description=(
                "Cuts the window that the model works in: around what was pasted, or around any mask of any image. "
                "Stitch puts it back."
            ),
            inputs=[*window_inputs(), *scene_inputs(), *model_inputs(), *plain_inputs()],
            outputs=[
                Crop.Output(
                    display_name="crop", tooltip="Where the window is, and what it was cut from. Connect to Stitch."
                ),
                io.Image.Output(
                    display_name="cropped_image", tooltip="The window of the composite, at the model's size."
                ),
                io.Mask.Output(display_name="cropped_inpaint_mask", tooltip="1 = the ring to inpaint, in the window."),
                io.Mask.Output(display_name="cropped_harmonize_mask", tooltip="1 = what may change, in the window."),
                io.Image.Output(
                    display_name="cropped_reference",
                    tooltip="The window of the reference; without one, of the composite.",
                ),
                io.Mask.Output(
                    display_name="cropped_subject_matte",
                    tooltip="1 = subject, in the window (if not connected: the harmonize_mask without the ring).",
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
        size_mode: str = AREA,
        width: int = 1024,
        height: int = 1024,
        resampler: str = AUTO,
        extend_left: int = 0,
        extend_top: int = 0,
        extend_right: int = 0,
        extend_bottom: int = 0,
        window_per_frame: bool = False,
        **sockets: Any,
    ) -> io.NodeOutput:
        check_choice("size_mode", size_mode, SIZE_MODES)
        check_choice("resampler", resampler, RESAMPLERS)
        model, vae = sockets.get("model"), sockets.get("vae")
        size = working_size(model, WorkingSize(size_mode, side, Size(width, height), multiple))
        margins = Margins(extend_left, extend_top, extend_right, extend_bottom)
        given = {name: sockets.get(name) for name in SCENE_PARTS}
        pasted, resized = plain_scenes(sockets, margins)
        check_extension(margins, sockets)
        connected = {name for name, value in given.items() if value is not None}
        pasted, given, left = with_paste(sockets.get("paste") if pasted is None else pasted, given)
        if pasted is not None and any(margins):
            pasted = pasted.extended(margins)
            given = {name: getattr(pasted, name) for name in given}
        own = set() if pasted is None else set(MASKS) - connected
        batches, messages = read_scenes(given, own)
        if pasted is not None and connected:
            pasted = replace(pasted, **{name: torch.from_numpy(batches[name]) for name in MASKS})
        messages += left
        kept, kept_resized = context_boxes(sockets, batches["composite"], margins)
        apart = model is not None and makes_single_images(model)
        count, left_out = common_batch(**batches), []
        if not apart:
            count, left_out = frames_for(vae, count)
        if left_out:
            batches = {name: batch[:count] for name, batch in batches.items()}
            kept = kept[:count]
            pasted = None if pasted is None else pasted.until(count)
        if not {"inpaint_mask", "harmonize_mask"} <= own:
            check_masks(batches["inpaint_mask"], batches["harmonize_mask"])
        changes = list(each(lambda mask: bounding_box(mask, FAINT), list(batches["harmonize_mask"])))
        make = moving_window if window_per_frame and len(changes) > 1 else window_around
        outlying = out_of_line(changes) if make is moving_window else []
        changes = [None if frame in outlying else box for frame, box in enumerate(changes)]
        window = replace(make(changes, Size.of(batches["composite"][0]), size, context, kept), resampler=resampler)
        cut = cut_windows(batches, count, window, ProgressBar(count))
        crop = PasteCrop(window.box, window.target, window.scene, resampler, window.boxes, pasted=pasted)
        latent = {} if vae is None else encoded(vae, cut, crop, apart)
        if vae is not None and sockets.get("image") is not None:
            # Both samplers would take the same mask, so that ComfyUI's own may have it too.
            latent["noise_mask"] = noise_mask(cut["inpaint_mask"], latent["samples"])
        pairs = zip(cut["composite"], cut["harmonize_mask"], strict=True)
        shown = (outlined(*map(np.asarray, pair)) for pair in pairs)
        messages = resized + messages + kept_resized + left_out + too_large(outlying)
        messages += window_messages(crop, sockets, batches["harmonize_mask"])
        return io.NodeOutput(
            crop,
            cut["composite"],
            cut["inpaint_mask"],
            cut["harmonize_mask"],
            cut["reference"],
            cut["subject_matte"],
            latent,
            ui=show(shown, messages) | {"phd_window": windows_as_data(crop)},
        )


def working_size(model: Any, size: WorkingSize) -> WorkingSize:
    """The size that the model gets: its own side where none is given, and its grid."""
    grid = 1
    if model is not None:
        check_socket("model", model, ModelPatcher, sentence("a MODEL"))
        own_side, grid = model_size(model)
        size = replace(size, side=size.side or own_side, multiple=math.lcm(size.multiple, grid))
    if size.mode == EXACT:
        for name, length in size.exact._asdict().items():
            if length % grid:
                lower = length // grid * grid
                raise ValueError(
                    sentence(
                        "{name} is {length}; for this model it must be a multiple of {grid}, such as {lower} or "
                        "{upper}.",
                        name=name,
                        length=length,
                        grid=grid,
                        lower=lower,
                        upper=lower + grid,
                    )
                )
    elif size.mode != NO_RESIZE and size.side < LEAST_SIDE:
        raise ValueError(
            sentence(
                "side is {side}; it must be at least {least}, or 0 with a model connected.",
                side=size.side,
                least=LEAST_SIDE,
            )
        )
    return size


def plain_scenes(sockets: Mapping[str, Any], margins: Margins) -> tuple[PastedScenes | None, list[Message]]:
    """What `image` and `mask` give, as scenes without a subject; None where no image is connected. And messages."""
    image, mask = sockets.get("image"), sockets.get("mask")
    if image is None:
        if mask is not None:
            raise ValueError(
                sentence("mask is connected, but image is not: connect the image it belongs to, or disconnect it.")
            )
        return None, []
    others = [name for name in ("paste", *SCENE_PARTS) if sockets.get(name) is not None]
    if others:
        raise ValueError(
            sentence("image and {name} are both connected: connect image with mask, or else {name}.", name=others[0])
        )
    given = as_given(image, "image")[..., :3]
    images = in_range(given)
    if mask is None and not any(margins):
        raise ValueError(sentence("mask is not connected: connect what may change, or extend the image at a side."))
    masks, resized = np.zeros((1, *images.shape[1:3]), np.float32), []
    if mask is not None:
        masks, resized = as_masks(mask, images, "mask")
    common_batch(image=images, mask=masks)
    image = torch.from_numpy(images)
    background = image if given is images else torch.from_numpy(given)
    return PastedScenes.without_subject(background, image, torch.from_numpy(masks)), resized


def check_extension(margins: Margins, sockets: Mapping[str, Any]) -> None:
    """Refuses to extend scenes whose parts are connected one by one: Stitch would not get the larger ones."""
    parts = [name for name in SCENE_PARTS if sockets.get(name) is not None]
    for side, added in margins._asdict().items():
        if added and parts:
            raise ValueError(
                sentence(
                    "{name} is {added}, which takes a paste or an image alone: disconnect {part}, or set it to 0.",
                    name=f"extend_{side}",
                    added=added,
                    part=parts[0],
                )
            )


def context_boxes(
    sockets: Mapping[str, Any], composites: np.ndarray, margins: Margins
) -> tuple[list[Box | None], list[Message]]:
    """The boxes around what the windows must show besides, in the extended scenes, one for all or one for each; and
    messages."""
    mask = sockets.get("context_mask")
    if mask is None:
        return [None], []
    whole = Size.of(composites[0])
    own = Size(whole.width - margins.left - margins.right, whole.height - margins.top - margins.bottom)
    masks, resized = as_masks(mask, np.empty((1, own.height, own.width, 0), np.float32), "context_mask")
    common_batch(**{"composite" if sockets.get("image") is None else "image": composites}, context_mask=masks)
    boxes = (bounding_box(one, FAINT) for one in masks)
    return [None if box is None else box.moved(margins.left, margins.top) for box in boxes], resized


def as_batch(value: Any) -> Any:
    """A mask [H,W] as [1,H,W]: a later split of the latent takes items, not rows."""
    return value[None] if isinstance(value, torch.Tensor) and value.ndim == 2 else value


def with_paste(
    paste: PastedScenes | None, given: dict[str, Any]
) -> tuple[PastedScenes | None, dict[str, Any], list[Message]]:
    """The paste with all connected inputs; these by name, and the paste's in place of those that are not; messages."""
    messages: list[Message] = []
    connected = {name: as_batch(value) for name, value in given.items() if value is not None}
    if paste is not None:
        check_socket("paste", paste, PastedScenes, sentence("the paste of Paste & Blend"))
        if "inpaint_mask" in connected and "harmonize_mask" not in connected:
            # What is inpainted beyond the paste's own ring may change too, or Stitch would leave it out.
            connected["harmonize_mask"] = with_inpainted(paste, connected["inpaint_mask"])
        if "composite" in connected and "reference" not in connected:
            connected["reference"], left_out = references_for(paste, connected["composite"])
            messages = [Message(NO_REFERENCE)] if left_out else []
        # Nothing is known of the exemplars of other references.
        one_exemplar = paste.one_exemplar and given["reference"] is None
        changed = replace(paste, **connected, one_exemplar=one_exemplar) if connected else paste
        return changed, {name: getattr(changed, name) for name in given}, messages
    for name in ("composite", "inpaint_mask", "harmonize_mask"):
        if given[name] is None:
            raise ValueError(
                sentence(
                    "{name} is not connected: connect the paste of Paste & Blend, an image with its mask, or {name} "
                    "itself.",
                    name=name,
                )
            )
    return None, given, messages


def references_for(paste: PastedScenes, composite: Any) -> tuple[torch.Tensor, bool]:
    """The light references for another composite than the paste's, and whether any was left out.

    Against its reference, a subject in other colors would count as in other light. The composite stands in for a
    reference that is not there.
    """
    if not isinstance(composite, torch.Tensor) or composite.shape[:3] != paste.composite.shape[:3]:
        # What does not fit is refused later.
        return paste.reference, False
    images = torch.from_numpy(as_given(composite, "composite")[..., :3])
    references, left_out, count = [], False, len(images)
    parts = (batch.expand(count, *batch.shape[1:]) for batch in (paste.reference, paste.composite, paste.subject_matte))
    for image, own, before, matte in zip(images, *parts, strict=True):
        is_other = bool((image - before)[matte > 0.99].abs().mean() > OTHER_COLORS)
        is_there = not are_equal(own, before)
        left_out |= is_there and is_other
        references.append(own if is_there and not is_other else image)
    return torch.stack(references), left_out


def with_inpainted(paste: PastedScenes, inpaint_mask: torch.Tensor) -> torch.Tensor:
    """What may change in a paste, [B,H,W], and what is inpainted by another mask than its own."""
    harmonizes = paste.harmonize_mask.numpy()
    inpaints, _ = as_masks(inpaint_mask, paste.composite.numpy(), "inpaint_mask")
    common_batch(paste=harmonizes, inpaint_mask=inpaints)
    return torch.from_numpy(by_pairs(np.maximum, harmonizes, inpaints))


def read_scenes(given: dict[str, Any], own: Container[str]) -> tuple[dict[str, np.ndarray], list[Message]]:
    """Images and masks as batches of one size, by the names of their inputs; and messages.

    own: the masks that are the paste's own, and need no check.
    """
    composites = as_images(given["composite"], "composite")[..., :3]
    batches, messages = {"composite": composites}, []
    for name in MASKS:
        if name in own:
            batches[name] = given[name].numpy()
        elif given[name] is not None:
            batches[name], resized = as_masks(given[name], composites, name)
            messages += resized
    batches["reference"] = read_reference(given["reference"], composites)
    if given["subject_matte"] is None:
        batches["subject_matte"] = without(batches["harmonize_mask"], batches["inpaint_mask"])
    return batches, messages


def without(masks: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Masks [B,H,W] minus others; one of either serves all of the other."""
    return by_pairs(lambda mask, other: np.clip(mask - other, 0, 1), masks, others)


def check_masks(inpaints: np.ndarray, harmonizes: np.ndarray) -> None:
    """Refuses the two masks in each other's places: what is inpainted is a part of what may change."""
    count = common_batch(inpaint_mask=inpaints, harmonize_mask=harmonizes)
    found = each(lambda index: in_each_other(item(inpaints, index), item(harmonizes, index)), range(count))
    harmonized, beyond, left = np.any(list(found), axis=0)
    if harmonized and beyond and not left:
        raise ValueError(
            sentence(
                "inpaint_mask covers all of harmonize_mask and more: the two are swapped, so connect each "
                "to its own name."
            )
        )


def in_each_other(inpaint: np.ndarray, harmonize: np.ndarray) -> tuple[bool, bool, bool]:
    """Whether there is any pixel of harmonize_mask [H,W], of inpaint_mask beyond it, and of it beyond inpaint_mask."""
    harmonized = beyond = left = False
    for rows in bands(*harmonize.shape):
        one, other = inpaint[rows] > 0, harmonize[rows] > 0
        harmonized |= bool(other.any())
        beyond |= bool((one & ~other).any())
        left |= bool((other & ~one).any())
    return harmonized, beyond, left


def encoded(vae: Any, cut: dict[str, torch.Tensor], crop: PasteCrop, apart: bool) -> dict:
    """The window as a LATENT with its companions, encoded as VAE Encode does.

    cut: from `cut_windows`. apart: each image is encoded alone, also by a VAE of videos.
    """
    check_socket("vae", vae, comfy.sd.VAE, sentence("a VAE"))

    def encode(batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([vae.encode(image) for image in batch.split(1 if apart else len(batch))])

    original = encode(cut["composite"])
    # A cut-out, and several subjects, have none: two samples of one image would differ in no light.
    same = torch.equal(cut["composite"], cut["reference"])
    reference = None if same else encode(cut["reference"])
    inpaint, harmonize, matte = (cut[name] for name in MASKS)
    return with_companions(
        {"samples": original}, Companions(crop, inpaint, harmonize, matte, original, reference, vae=vae)
    )


def noise_mask(masks: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """Masks [B,h,w] as a LATENT holds them: those of a clip by its latent frames [1,1,T,h,w], or ComfyUI would mix them
    across its groups of frames; those of single images in a video's latents [B,1,1,h,w]."""
    if samples.ndim == 5 and len(samples) > 1:
        return masks[:, None, None]
    frames = samples.shape[2] if samples.ndim == 5 else 1
    return masks if temporal_stride(len(masks), frames) is None else on_latent_frames(masks[None], frames)[:, None]


def read_reference(reference: torch.Tensor | None, composites: np.ndarray) -> np.ndarray:
    """The references [B,H,W,3], of the composites' size; the composites without one."""
    references = composites if reference is None else as_images(reference, "reference")[..., :3]
    if references.shape[1:] != composites.shape[1:]:
        raise ValueError(
            sentence(
                "reference is {reference}, but composite is {composite}: connect both from the same Paste & Blend.",
                reference=pixels(Size.of(references[0])),
                composite=pixels(Size.of(composites[0])),
            )
        )
    return references


def window_around(
    changes: Sequence[Box | None], scene: Size, size: WorkingSize, context: float, keeps: Sequence[Box | None]
) -> CropWindow:
    """One window for a whole batch, around all that may change, so that the crops stack."""
    return crop_window(joined_box(changes) or Box(0, 0, *scene), scene, size, context, joined_box(keeps))


def cut_windows(
    batches: Mapping[str, np.ndarray], count: int, window: CropWindow, progress: ProgressBar
) -> dict[str, torch.Tensor]:
    """The windows of `count` images and masks of each batch at the model's size: [B,h,w,3] and [B,h,w]. Beyond the
    scene may change what may change at its border, but no subject is there."""
    size = window.target[::-1]
    made = {name: np.empty((count, *size, *batches[name].shape[3:]), np.float32) for name in (*IMAGES, *MASKS)}

    def cut(index: int) -> None:
        own = window.of(index)
        for name in IMAGES:
            part = own.cut(item(batches[name], index))
            copy(resize(part, window.target, window.resampler), made[name][index])
        for name in MASKS:
            part = own.cut(item(batches[name], index), repeat=name != "subject_matte")
            copy(resize_mask(part, *window.target), made[name][index])

    for _ in each_image(cut, count, progress):
        pass
    return {name: torch.from_numpy(batch) for name, batch in made.items()}


def too_large(frames: Sequence[int]) -> list[Message]:
    """What to say of frames whose masks are far larger than those around them."""
    if not frames:
        return []
    text = sentence(
        "The mask of {count} frames, the first of them {first}, is far larger than just before and after: their "
        "windows are those of the other frames, and what lies outside them stays as it is.",
        count=len(frames),
        first=frames[0],
    )
    return [Message(text, warning=True)]


def windows_as_data(window: CropWindow) -> list[dict[str, int]]:
    """The window, or those of a clip's frames, for callers over the API, in the history of a run; in pixels."""
    target = {"target_width": window.target.width, "target_height": window.target.height}
    return [{**box._asdict(), **target} for box in window.boxes or (window.box,)]


def window_messages(window: CropWindow, sockets: Mapping[str, Any], changes: np.ndarray) -> list[Message]:
    box, target, margins = window.box, window.target, window.margins
    text = sentence(
        "Window {width}×{height} at ({x}, {y}), worked on at {target_width}×{target_height}.",
        **box._asdict(),
        target_width=target.width,
        target_height=target.height,
    )
    if window.boxes:
        text = sentence(
            "Each frame has its own window of {width}×{height}, from ({x}, {y}) to ({to_x}, {to_y}), worked on at "
            "{target_width}×{target_height}.",
            **box._asdict(),
            to_x=window.boxes[-1].x,
            to_y=window.boxes[-1].y,
            target_width=target.width,
            target_height=target.height,
        )
    messages = [Message(text)]
    if any(margins):
        text = sentence(
            "The window reaches beyond the image (left {left}, top {top}, right {right}, bottom {bottom} px): its edge "
            "pixels repeat there.",
            **margins._asdict(),
        )
        messages.append(Message(text))
    if window.stretch > STRETCHED:
        text = sentence(
            "To fit the size, one direction is enlarged {more:.1%} more than the other.", more=window.stretch
        )
        messages.append(Message(text))
    if not changes.any():
        pasted = sentence("The harmonize_mask is empty: the window is the whole image.")
        plain = sentence("The mask is empty: the window is the whole image.")
        messages.append(Message(pasted if sockets.get("image") is None else plain, warning=True))
    return messages
