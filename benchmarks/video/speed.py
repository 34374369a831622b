"""Time and memory of Paste, Crop and Stitch on clips, beside a bare crop and paste-back."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.common.comfyui import call, silent
from benchmarks.common.images import disc, tensor, texture
from benchmarks.common.table import Section
from benchmarks.common.timing import race
from benchmarks.video import memory, rivals
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


def measure_speed(size: Size, frames: int, side: int, repeats: int) -> Section:
    """Seconds a frame of Crop and Stitch, of a clip whose sampled windows are connected as images."""
    section = Section(f"{frames} frames of {size.width}×{size.height}, window {side}: ms for the whole clip")
    clip = make_clip(size, frames, min(size) // 2, side)
    paste, window = clip.cropped["paste"], clip.stitched["crop"]
    shown, sampled = paste.composite, clip.stitched["sampled"]

    def bare() -> None:
        rivals.crop(shown, window.box, window.target)
        rivals.paste_back(paste.background, paste.harmonize_mask, window.box, sampled)

    runners = {
        "Paste & Blend": lambda: call("PhDPasteBlend", **clip.pasted),
        "Crop": lambda: call("PhDCrop", **clip.cropped),
        "Stitch": lambda: call("PhDStitch", **clip.stitched),
        "crop and paste-back alone": bare,
        "one plain copy of the frames": shown.clone,
    }
    with silent():
        taken = race(repeats, runners)
    section.times(taken, "crop and paste-back alone")
    ours = taken["Crop"] + taken["Stitch"]
    section.figures["seconds_per_frame"] = ours / 1000 / frames
    section.figures["paste_back_ratio"] = ours / taken["crop and paste-back alone"]
    image, mask, *_ = call("PhDStitch", **clip.stitched)
    section.figures["outside_equal_720"] = torch.equal(image[mask == 0], paste.background[mask == 0])
    return section


def measure_still(size: Size, subject: int, side: int, repeats: int) -> Section:
    """Seconds of Stitch on one large picture."""
    section = Section(f"One picture of {size.width}×{size.height}, window {side}: ms")
    still = make_clip(size, 1, subject, side)
    with silent():
        taken = race(repeats, {"Stitch": lambda: call("PhDStitch", **still.stitched)})
    section.times(taken, "Stitch")
    section.figures["stitch_4k_seconds"] = taken["Stitch"] / 1000
    return section


def measure_memory(size: Size, counts: tuple[int, int], large: int | None) -> Section:
    """Memory beyond the outputs, in frames: how much more a longer clip takes."""
    section = Section(
        f"Memory beyond outputs, frames of {size.width}×{size.height}: more for {counts[1]} than {counts[0]}"
    )
    found = {}
    for node in memory.NODES:
        less, more = (memory.measure(node, size, frames) for frames in counts)
        found[node] = more - less
        section.row(node, f"{found[node]:9.2f} frames   ({less:.2f}, {more:.2f})")
    section.figures["memory_frames"] = max(found.values())
    if large is not None:
        beyond = memory.measure("PhDStitch", Size(large, large), 1) * large * large * 12 / 2**30
        section.figures["memory_8192_gib"] = beyond
        section.row(f"PhDStitch, one picture of {large}²", f"{beyond:9.2f} GiB")
    return section
