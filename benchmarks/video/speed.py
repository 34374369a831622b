"""Time and memory of Paste, Crop and Stitch on clips, beside a bare crop and paste-back."""

import torch

from benchmarks.common.comfyui import call, silent
from benchmarks.common.table import Section
from benchmarks.common.timing import race
from benchmarks.video import memory, rivals
from benchmarks.video.inputs import make_clip
from phd_ops.pixels.geometry import Size


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
    """Seconds of Stitch on one large image."""
    section = Section(f"One image of {size.width}×{size.height}, window {side}: ms")
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
        section.row(f"PhDStitch, one image of {large}²", f"{beyond:9.2f} GiB")
    return section
