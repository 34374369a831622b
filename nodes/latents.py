"""Conversions between ComfyUI's LATENTs and the tensors of `phd_ops`: checks, and pixel masks on the latent grid."""

from typing import Any

import comfy.sample
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher

from ..phd_ops.latents.mask_grid import cover, cover_softly, on_latent_frames, share, temporal_stride
from ..phd_ops.sentence import sentence
from .images import named_mask
from .validate import check_socket


def named_samples(latent: dict, name: str) -> torch.Tensor:
    """The tensor of a LATENT, of any shape. Raises ValueError where there is none; `name` is the input's."""
    check_socket(name, latent, dict, sentence("a LATENT"))
    samples = latent.get("samples")
    if samples is None:
        raise ValueError(
            sentence(
                "{name} holds no samples: connect vae to Crop Around Subject, or a latent such as from VAE Encode.",
                name=name,
            )
        )
    if getattr(samples, "is_nested", False):
        raise ValueError(
            sentence(
                "{name} holds several tensors (a joint audio and video latent), which this node cannot "
                "mask: connect the latent of images alone.",
                name=name,
            )
        )
    check_socket(name, samples, torch.Tensor, sentence("a LATENT"))
    return samples


def checked_samples(model: Any, latent: dict, name: str) -> torch.Tensor:
    """The tensor of a LATENT as the model takes it: [B,C,H,W], or [B,C,T,H,W] for video models."""
    check_socket("model", model, ModelPatcher, sentence("a MODEL"))
    samples = named_samples(latent, name)
    if samples.ndim not in (4, 5) or 0 in samples.shape:
        shape = tuple(samples.shape)
        raise ValueError(
            sentence(
                "{name} must be an image's [B,C,H,W] or a video's [B,C,T,H,W]; this one is {shape}.",
                name=name,
                shape=shape,
            )
        )
    # Noise is drawn in the latent's own type.
    samples = samples if samples.is_floating_point() else samples.float()
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    wanted = model.get_model_object("latent_format")
    if samples.shape[1] != wanted.latent_channels:
        raise ValueError(
            sentence(
                "{name} has {channels} channels, but the model works on {wanted}: encode the image with "
                "the VAE that belongs to this model.",
                name=name,
                channels=samples.shape[1],
                wanted=wanted.latent_channels,
            )
        )
    if samples.ndim != 2 + wanted.latent_dimensions:
        raise ValueError(
            sentence(
                "{name} is of shape {shape}, a video; this model works on images.",
                name=name,
                shape=tuple(samples.shape),
            )
        )
    return samples


def checked_like(model: Any, other: dict, samples: torch.Tensor, name: str) -> torch.Tensor:
    """The tensor of another LATENT, which must be of the same shape as `samples`."""
    found = checked_samples(model, other, name)
    if found.shape != samples.shape:
        raise ValueError(
            sentence(
                "{name} must be a latent of the scene's shape {shape}; this one is {found}.",
                name=name,
                shape=tuple(samples.shape),
                found=tuple(found.shape),
            )
        )
    return found.to(samples)


def repeated(batch: torch.Tensor, times: int) -> torch.Tensor:
    """All items, one after another, several times over."""
    return batch if times == 1 else torch.cat([batch] * times)


def latent_mask(mask: torch.Tensor | None, latent: dict, samples: torch.Tensor, *, soft: bool) -> torch.Tensor | None:
    """The mask on the latent's grid, see `mask_on_grid`: the input, else the latent's noise mask; None without any."""
    mask = mask if mask is not None else latent.get("noise_mask")
    return None if mask is None else mask_on_grid(mask, samples, soft=soft)


def mask_on_grid(mask: torch.Tensor, samples: torch.Tensor, *, soft: bool = False) -> torch.Tensor:
    """A mask on the grid of a latent's samples, [B,1,h,w] or [B,1,T,h,w].

    A cell is 1 if any of its pixels is masked; with `soft` it has its strongest pixel's value.
    """
    check_socket("mask", mask, torch.Tensor, sentence("a MASK"))
    count, frames, size = len(samples), samples.shape[2:-2], samples.shape[-2:]
    to_grid = cover_softly if soft else cover
    if mask.ndim == 5 and samples.ndim == 5 and mask.shape[1] == 1 and len(mask) in (1, count):
        # Some of ComfyUI's video nodes give one mask per frame.
        stride = temporal_stride(mask.shape[2], *frames)
        if stride or mask.shape[2] == frames[0]:
            own = to_grid(named_mask(mask.flatten(0, 2), "mask"), *size).view(len(mask), -1, *size)
            own = on_latent_frames(own, *frames) if stride else own
            return comfy.utils.repeat_to_batch_size(own[:, None], count)
    mask = named_mask(mask, "mask")
    if frames:
        return frame_mask(to_grid(mask, *size), count, samples.shape[2])
    if len(mask) not in (1, count):
        raise ValueError(
            sentence(
                "mask has {items} items, but the latent has {count}: use one mask, or one for each.",
                items=len(mask),
                count=count,
            )
        )
    return comfy.utils.repeat_to_batch_size(to_grid(mask, *size), count)[:, None]


def frame_mask(mask: torch.Tensor, count: int, frames: int, name: str = "mask", *, mean: bool = False) -> torch.Tensor:
    """A mask [N,h,w] as [B,1,T,h,w], for every latent frame of a batch of videos.

    As in ComfyUI, N masks are those of the frames if there are N frames, before they are those of the items. Last, they
    are those of the video's images, of one video or of all; a latent frame has the maximum of its images, or the mean.
    """
    size = mask.shape[-2:]
    if len(mask) in (1, frames):
        mask = mask.view(1, 1, -1, *size)
    elif len(mask) == count * frames:
        mask = mask.view(count, 1, frames, *size)
    elif len(mask) == count:
        mask = mask.view(count, 1, 1, *size)
    elif temporal_stride(len(mask), frames):
        mask = on_latent_frames(mask[None], frames, mean=mean)[:, None]
    elif len(mask) % count == 0 and temporal_stride(len(mask) // count, frames):
        mask = on_latent_frames(mask.view(count, -1, *size), frames, mean=mean)[:, None]
    else:
        raise ValueError(
            sentence(
                "{name} has {items} items, but the latent has {count} items of {frames} frames: use one "
                "mask, or one per item, per latent frame or image of the video, or per frame or image of "
                "every item.",
                name=name,
                items=len(mask),
                count=count,
                frames=frames,
            )
        )
    return mask.expand(count, 1, frames, *size)


def checked_places(latent: dict, count: int) -> list[int]:
    """The items' places in the batch that they were taken from, for example by Latent From Batch."""
    places = latent.get("batch_index")
    if places is None:
        return list(range(count))
    if len(places) != count:
        raise ValueError(
            sentence(
                "latent's batch_index names {items} items, but the latent has {count}: take items out of "
                "a batch with Latent From Batch.",
                items=len(places),
                count=count,
            )
        )
    return [int(place) for place in places]


def subject_share(mask: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """The subject's share of each latent cell, [N,1,h,w] with N 1 or the latent's, or [B,1,T,h,w] for videos."""
    if isinstance(mask, torch.Tensor) and mask.ndim == samples.ndim == 5 and mask.shape[1] == 1:
        # As some of ComfyUI's video nodes give masks.
        mask = mask.flatten(0, 2)
    cells = share(named_mask(mask, "subject_matte"), *samples.shape[-2:])
    if samples.ndim == 5:
        return frame_mask(cells, len(samples), samples.shape[2], "subject_matte", mean=True)
    if len(cells) not in (1, len(samples)):
        raise ValueError(
            sentence(
                "subject_matte has {items} items, but the latent has {count}: use one mask, or one for each.",
                items=len(cells),
                count=len(samples),
            )
        )
    return cells[:, None]
