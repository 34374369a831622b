"""A clip for Paste, Crop and Stitch: a camera that pans, a subject that moves, and a stand-in for a model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.common.comfyui import call
from benchmarks.common.images import disc, tensor, texture
from phd_ops.pixels.geometry import Placement, Size

# By how many pixels the camera moves from frame to frame.
PAN = 3
# What the stand-in model does to its window: the light of each channel, a color shift, and noise.
LIGHT, SHIFT, NOISE = (0.8, 0.75, 0.65), (1.01, 0.004), 0.004


@dataclass(frozen=True)
class Clip:
    """The inputs of the nodes for one clip.

    Attributes:
        pasted: of Paste & Blend; cropped: of Crop; stitched: of Stitch.
    """

    pasted: dict[str, Any]
    cropped: dict[str, Any]
    stitched: dict[str, Any]


def camera(size: Size, frames: int) -> torch.Tensor:
    """The frames of a camera that moves over a still scene."""
    wide = texture(Size(size.width + PAN * frames, size.height), 0)
    shown = [wide[:, PAN * n : PAN * n + size.width] for n in range(frames)]
    return torch.from_numpy(np.stack(shown))


def path(frames: int, size: float) -> str:
    """Placements of a subject that crosses the middle of the scene: a line of JSON for each frame."""
    through = np.linspace(0, 1, frames)
    return "\n".join(Placement(0.45 + 0.1 * at, 0.5, size, 5 * at).to_text() for at in through)


def model(window: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What a stand-in for a model makes of the windows [B,h,w,3]."""
    rng, inside = np.random.default_rng(0), mask[..., None]
    light = torch.tensor(LIGHT) * inside + (1 - inside)
    noise = torch.from_numpy(rng.normal(0, NOISE, window.shape).astype(np.float32))
    return (SHIFT[0] * window * light + SHIFT[1] + noise).clamp(0, 1)


def make_clip(size: Size, frames: int, subject: int, side: int) -> Clip:
    exemplar, matte = tensor(texture(Size(subject, subject), 1)), tensor(disc(subject, 0.45 * subject, 6))
    pasted = {"background": camera(size, frames), "subject": exemplar, "subject_mask": matte}
    pasted |= {"placements": path(frames, 0.9 * subject / min(size))}
    paste, *_ = call("PhDPasteBlend", **pasted)
    cropped = {"paste": paste, "side": side}
    crop, window, _, change, *_ = call("PhDCrop", **cropped)
    return Clip(pasted, cropped, {"crop": crop, "sampled": model(window, change)})
