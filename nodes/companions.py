"""What a LATENT brings along from Crop Around Subject: masks, light reference and original, under one key of its
dict.

ComfyUI's nodes copy a LATENT's dict, and this key with it, though they may change the samples. Nodes that make a new
dict drop it; then the samplers' own sockets must be connected.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F

from ..phd_ops.pixels.pasted_scenes import PasteCrop
from ..phd_ops.sentence import sentence
from .images import pixels
from .shared_reference import taken_items
from .ui import warn

KEY = "phd"
NO_MASK = sentence(
    "No mask: none is connected, and the latent brings none, so everything may change. The "
    "latent of Crop Around Subject brings its masks along, unless a node in between dropped "
    "them."
)
# A noise mask over less of the subject is meant for what is around it.
LEAST_OF_SUBJECT = 0.05
BY_HAND = sentence("connect its masks and references by the samplers' own sockets")


@dataclass(frozen=True, eq=False)
class Companions:
    """The companions of a cropped latent. One item of a batch may serve all.

    Attributes:
        crop: the window that the latent shows.
        inpaint_mask, harmonize_mask, subject_matte: of the window, in pixels, [B,h,w].
        original, reference: the encoded composite and light reference, of the latent's shape when it was cut. None
            where they no longer fit, or where there is no reference.
        sampled_reference: the reference after harmonizing; None before, or where there was none to sample.
        reference_items: the items that sampled_reference is of, if not of all, see `shared_items`.
        changed: latent cells that harmonizing changed, [B,h,w]; None before.
        vae: the VAE that encoded it.
    """

    crop: PasteCrop
    inpaint_mask: torch.Tensor
    harmonize_mask: torch.Tensor
    subject_matte: torch.Tensor
    original: torch.Tensor | None = None
    reference: torch.Tensor | None = None
    sampled_reference: torch.Tensor | None = None
    reference_items: tuple[int, ...] | None = None
    changed: torch.Tensor | None = None
    vae: Any = None

    def taken(self, places: Sequence[int]) -> "Companions":
        """The companions of the scenes at these places of the batch, in this order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        shared = {}
        if self.reference_items is not None and self.sampled_reference is not None:
            del values["sampled_reference"]
            items, rows = taken_items(self.reference_items, places)
            shared = {"sampled_reference": self.sampled_reference[rows] if rows else None, "reference_items": items}
        batches = {name: value for name, value in values.items() if isinstance(value, torch.Tensor) and len(value) > 1}
        taken = {name: batch[list(places)] for name, batch in batches.items()}
        return replace(self, crop=self.crop.taken(places), **taken, **shared)


def latent_or(connected: dict | None, own: torch.Tensor | None) -> dict | None:
    """The connected LATENT, or else a companion as one; None without either."""
    return {"samples": own} if connected is None and own is not None else connected


def with_companions(latent: dict, companions: Companions) -> dict:
    return {**latent, KEY: companions}


def without_companions(latent: dict) -> dict:
    return {name: value for name, value in latent.items() if name != KEY}


def companions_of(latent: dict) -> Companions | None:
    """A LATENT's companions, fitted to its samples; None where it has none, or is no LATENT at all.

    Of an enlarged latent the references are left out, with a warning. Of a batch that was split or repeated, each item
    gets its own.

    Raises:
        ValueError: the latent was cut or joined with others, so that they do not fit.
    """
    held, samples = (latent.get(KEY), latent.get("samples")) if isinstance(latent, dict) else (None, None)
    if not isinstance(held, Companions) or not isinstance(samples, torch.Tensor) or held.original is None:
        return held if isinstance(held, Companions) else None
    if samples.shape[1:] != held.original.shape[1:]:
        held = resized(held, samples)
    return of_items(held, latent, len(samples))


def resized(held: Companions, samples: torch.Tensor) -> Companions:
    """The companions of a latent that was scaled since it was cut."""
    assert held.original is not None  # `companions_of` has looked
    (height, width), (own_height, own_width) = samples.shape[-2:], held.original.shape[-2:]
    # Scaled sides are rounded to whole cells.
    if abs(width * own_height - height * own_width) > own_height + own_width:
        raise ValueError(
            sentence(
                "latent is {width}×{height} cells, but Crop Around Subject made {own_width}×{own_height}: "
                "it was cut since, so its masks do not fit. Scale it evenly, or {advice}.",
                width=width,
                height=height,
                own_width=own_width,
                own_height=own_height,
                advice=BY_HAND,
            )
        )
    warn(
        sentence("The latent was scaled after Crop Around Subject: its light reference no longer fits and is left out.")
    )
    return replace(held, reference=None, sampled_reference=None)


def leaves_out(noise_mask: torch.Tensor, subject: torch.Tensor) -> bool:
    """Whether a noise mask [B,1,h,w], or of frames [B,1,T,h,w], changes next to nothing of a subject, [B,H,W], of any
    item or frame. False where there is no subject."""
    core = subject.amax(0) > 0.9
    mask = noise_mask.float().reshape(-1, 1, *noise_mask.shape[-2:]).amax(0, keepdim=True)
    shown = F.interpolate(mask, core.shape)[0, 0].to(core.device)
    return bool(core.any()) and float(shown[core].mean()) < LEAST_OF_SUBJECT


def of_items(held: Companions, latent: dict, count: int) -> Companions:
    """The companions of the items that a latent holds now, of `count`."""
    assert held.original is not None  # `companions_of` has looked
    own, index = len(held.original), latent.get("batch_index")
    if index is None and count % own == 0:
        index = range(count)
    if index is not None and len(index) == count == len(set(index)):
        places = [int(place) % own for place in index]
        if places == list(range(own)):
            return held
        # Of a clip, the masks are those of its frames, and not of items.
        if len(held.inpaint_mask) in (1, own):
            return held.taken(places)
    elif count == own:
        # Latent Batch Seed Behavior gives all items one place.
        return held
    raise ValueError(
        sentence(
            "latent has {count} items, but Crop Around Subject made {own}: it was joined with others, "
            "so its masks do not fit. Sample them apart, or {advice}.",
            count=count,
            own=own,
            advice=BY_HAND,
        )
    )


def given_mask(mask: torch.Tensor | None, latent: dict, held: Companions | None, name: str) -> torch.Tensor | None:
    """A sampler's mask: the connected one, else the latent's noise mask, else the companion called `name`.

    A noise mask that leaves the subject out is that of an inpainting before, and does not replace the harmonize mask.

    Raises:
        ValueError: the connected mask is the whole image's, while the latent shows a window.
    """
    if held is not None and isinstance(mask, torch.Tensor):
        size, crop = tuple(mask.shape[-2:][::-1]), held.crop
        if size == crop.scene != crop.target:
            raise ValueError(
                sentence(
                    "mask is {cut_from}, the whole image's, but the latent shows a window: connect {mask} of "
                    "Crop Around Subject, or nothing.",
                    cut_from=pixels(crop.scene),
                    mask="cropped_" + name,
                )
            )
    if mask is not None or not isinstance(latent, dict):
        return mask
    noise_mask = latent.get("noise_mask")
    if noise_mask is not None:
        if held is None or name != "harmonize_mask" or not leaves_out(noise_mask, held.subject_matte):
            return None
        warn(
            sentence(
                "The latent's noise mask leaves the subject out, so the harmonize mask of Crop Around Subject is used. "
                "To use another mask, connect it to mask."
            )
        )
    if held is None:
        warn(NO_MASK)
    return None if held is None else getattr(held, name)
