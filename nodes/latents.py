"""Conversions between ComfyUI's LATENTs and the tensors of `phd_ops`: checks, and pixel masks on the latent grid."""

from typing import Any

import comfy.sample
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher

from ..phd_ops.latents.mask_grid import cover, cover_softly, on_latent_frames, share, temporal_stride
from .images import named_mask
from .validate import check_socket


def checked_samples(model: Any, latent: dict, name: str) -> torch.Tensor:
    """The tensor of a LATENT as the model takes it: [B,C,H,W], or [B,C,T,H,W] for video models."""
    check_socket("model", model, ModelPatcher, "a MODEL")
    check_socket(name, latent, dict, "a LATENT")
    samples = latent.get("samples")
    if samples is None:
        raise ValueError(
            f"{name} holds no samples: connect vae to Crop Around Subject, or a latent such as from VAE Encode."
        )
    if getattr(samples, "is_nested", False):
        raise ValueError(
            f"{name} holds several tensors (a joint audio and video latent), which this node cannot mask: connect the "
            "latent of images alone."
        )
    check_socket(name, samples, torch.Tensor, "a LATENT")
    if samples.ndim not in (4, 5) or 0 in samples.shape:
        shape = tuple(samples.shape)
        raise ValueError(f"{name} must be an image's [B,C,H,W] or a video's [B,C,T,H,W]; this one is {shape}.")
    # Noise is drawn in the latent's own type.
    samples = samples if samples.is_floating_point() else samples.float()
    samples = comfy.sample.fix_empty_latent_channels(model, samples)
    wanted = model.get_model_object("latent_format")
    if samples.shape[1] != wanted.latent_channels:
        counts = f"{samples.shape[1]} channels, but the model works on {wanted.latent_channels}"
        raise ValueError(f"{name} has {counts}: encode the image with the VAE that belongs to this model.")
    if samples.ndim != 2 + wanted.latent_dimensions:
        raise ValueError(f"{name} is of shape {tuple(samples.shape)}, a video; this model works on images.")
    return samples


def checked_like(model: Any, other: dict, samples: torch.Tensor, name: str) -> torch.Tensor:
    """The tensor of another LATENT, which must be of the same shape as `samples`."""
    found = checked_samples(model, other, name)
    if found.shape != samples.shape:
        shapes = f"{tuple(samples.shape)}; this one is {tuple(found.shape)}"
        raise ValueError(f"{name} must be a latent of the scene's shape {shapes}.")
    return found.to(samples)


def repeated(batch: torch.Tensor, times: int) -> torch.Tensor:
    """All items, one after another, several times over."""
    return batch if times == 1 else torch.cat([batch] * times)


def latent_mask(mask: torch.Tensor | None, latent: dict, samples: torch.Tensor, *, soft: bool) -> torch.Tensor | None:
    """The mask on the latent's grid, [B,1,h,w] or [B,1,T,h,w], from the input, else from the latent's noise mask.

    A cell is 1 if any of its pixels is masked; with `soft` it has its strongest pixel's value.
    """
    mask = mask if mask is not None else latent.get("noise_mask")
    if mask is None:
        return None
    check_socket("mask", mask, torch.Tensor, "a MASK")
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
        raise ValueError(f"mask has {len(mask)} items, but the latent has {count}: use one mask, or one for each.")
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
        counts = f"{len(mask)} items, but the latent has {count} items of {frames} frames"
        uses = "one mask, or one per item, per latent frame or image of the video, or per frame or image of every item"
        raise ValueError(f"{name} has {counts}: use {uses}.")
    return mask.expand(count, 1, frames, *size)


def checked_places(latent: dict, count: int) -> list[int]:
    """The items' places in the batch that they were taken from, for example by Latent From Batch."""
    places = latent.get("batch_index")
    if places is None:
        return list(range(count))
    if len(places) != count:
        counts = f"{len(places)} items, but the latent has {count}"
        raise ValueError(f"latent's batch_index names {counts}: take items out of a batch with Latent From Batch.")
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
        counts = f"{len(cells)} items, but the latent has {len(samples)}"
        raise ValueError(f"subject_matte has {counts}: use one mask, or one for each.")
    return cells[:, None]
