"""The most memory that a node holds at once beyond its inputs and outputs, measured in a process of its own."""

import ctypes
import gc
import json
import sys

import torch

from benchmarks.common.comfyui import call, silent, start_comfyui, temporary_folders
from benchmarks.common.memory import extra, in_fresh_process
from benchmarks.video.inputs import make_clip
from phd_ops.pixels.geometry import Size

NODES = ("PhDPasteBlend", "PhDCrop", "PhDStitch")


def measure(node: str, size: Size, frames: int) -> float:
    """In frames: images of three channels of floats."""
    return in_fresh_process("benchmarks.video.memory", node, *size, frames)


def give_back_at_once() -> None:
    """Makes the C library of Linux give every array back to the system as it is freed: what it keeps would blur the
    figures."""
    if sys.platform == "linux":
        least_mapped, most_kept, size = -3, -1, 2**16
        for option in (least_mapped, most_kept):
            ctypes.CDLL(None).mallopt(option, size)


def beyond_outputs(node: str, size: Size, frames: int) -> float:
    start_comfyui()
    give_back_at_once()
    with temporary_folders(), silent():

        def run(clip):
            inputs = dict(zip(NODES, (clip.pasted, clip.cropped, clip.stitched), strict=True))
            return call(node, **inputs[node])

        run(make_clip(Size(160, 128), 6, 64, 64))
        clip = make_clip(size, frames, min(size) // 4, min(512, min(size)))
        outputs = []
        gc.collect()

        def run_and_touch():
            outputs.extend(value for value in run(clip) if isinstance(value, torch.Tensor))
            for value in outputs:
                # What is zero and was never written takes no memory yet.
                value.add_(0)

        held = extra(run_and_touch)
    return (held - sum(value.nbytes for value in outputs)) / (size.width * size.height * 12)


if __name__ == "__main__":
    kind, width, height, count = sys.argv[1], *map(int, sys.argv[2:])
    print(json.dumps(beyond_outputs(kind, Size(width, height), count)))
