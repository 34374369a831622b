"""How long each node that works on pixels takes to hear an interrupt.

A node asks ComfyUI now and then whether it is to stop. One whole run shows when: from the time between two checks
follows how long a user waits who clicks at a random moment, for all moments at once. Then a few runs are interrupted.
"""

import contextlib
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.common.table import Section
from devtools.comfyui import PACK


def images(side: int) -> dict[str, torch.Tensor]:
    """A scene, a composite with a darker disc in it, and the disc's mask with a soft edge."""
    across = torch.linspace(0, 0.7, side)
    texture = 0.2 * torch.rand(64, 64, generator=torch.Generator().manual_seed(0)).repeat(side // 64, side // 64)
    scene = (texture + 0.5 * across[:, None] + 0.3 * across)[None, :, :, None].repeat(1, 1, 1, 3)
    center = torch.linspace(-1, 1, side)
    inside = (0.7 - (center[:, None] ** 2 + center**2).sqrt()) * side / 4
    mask = inside.clamp_(0, 1)[None]
    return {"scene": scene, "composite": scene * (1 - 0.5 * mask[..., None]), "mask": mask}


def works(side: int, nodes: dict[str, type]) -> dict[str, tuple[str, Callable[[], dict]]]:
    """For each row of the table, a node's id and what makes its inputs."""
    middle = f"{side // 8}, {side // 8}, {side * 3 // 4}, {side * 3 // 4}"

    def paste(**widgets: Any) -> dict:
        given = images(side)
        widgets = {"size": 0.9, "rotation": 30.0, "shadow": True, **widgets}
        return {"background": given["scene"], "subject": given["composite"], "subject_mask": given["mask"], **widgets}

    def stitch() -> dict:
        given = images(side)
        small = torch.nn.functional.interpolate(given["composite"].movedim(-1, 1), (min(side, 1024),) * 2, mode="area")
        scenes = {"background": given["scene"], "composite": given["composite"]}
        masks = {"subject_matte": given["mask"], "harmonize_mask": (given["mask"] > 0).float()}
        return {**scenes, **masks, "sampled": 0.9 * small.movedim(1, -1).contiguous()}

    def crop() -> dict:
        given = images(side)
        masks = {"inpaint_mask": given["mask"], "harmonize_mask": given["mask"]}
        return {"composite": given["composite"], **masks, "side": 1024}

    def segment() -> dict:
        segmenter = nodes["PhDLoadSegmenter"].execute(model="grabcut (no weights)").result[0]
        return {"image": images(side)["composite"], "segmenter": segmenter, "box": middle, "refine_edge": 3}

    return {
        "Paste & Blend": ("PhDPasteBlend", paste),
        "Paste & Blend, multi-band": ("PhDPasteBlend", lambda: paste(blend="multi-band", feather=16.0)),
        "Paste & Blend, Poisson": ("PhDPasteBlend", lambda: paste(blend="Poisson", color_match=0.5)),
        "Stitch": ("PhDStitch", stitch),
        "Segment": ("PhDSegment", segment),
        "Crop Around Subject": ("PhDCrop", crop),
    }


@contextlib.contextmanager
def watched(heard: Callable[[], None]):
    """Calls `heard` with every check that a node makes."""
    checked: Any = sys.modules[f"{PACK}.nodes.checked"]
    original = checked.throw_exception_if_processing_interrupted

    def check() -> None:
        heard()
        original()

    checked.throw_exception_if_processing_interrupted = check
    try:
        yield
    finally:
        checked.throw_exception_if_processing_interrupted = original


def waits(node: type, inputs: dict) -> np.ndarray:
    """The seconds between the checks of one run, with those before the first and after the last."""
    moments = [time.perf_counter()]
    with watched(lambda: moments.append(time.perf_counter())):
        node.execute(**inputs)
    return np.diff([*moments, time.perf_counter()])


def quantile(waits: np.ndarray, share: float) -> float:
    """The time within which that share of requests is heard that come at random moments of a run."""
    low, high = 0.0, float(waits.max())
    for _ in range(40):
        middle = (low + high) / 2
        later = np.clip(waits - middle, 0, None).sum() / waits.sum()
        low, high = (middle, high) if later > 1 - share else (low, middle)
    return high


def stopped_after(node: type, inputs: dict, delay: float) -> float | None:
    """The seconds from an interrupt, `delay` after the start, to the node's end; None if it had ended before."""
    import comfy.model_management

    ended = []

    def execute() -> None:
        with contextlib.suppress(comfy.model_management.InterruptProcessingException):
            node.execute(**inputs)
            return
        ended.append(time.perf_counter())

    thread = threading.Thread(target=execute)
    thread.start()
    thread.join(delay)
    asked = time.perf_counter()
    comfy.model_management.interrupt_current_processing()
    thread.join()
    comfy.model_management.interrupt_current_processing(False)
    return ended[0] - asked if ended else None


def measure(side: int, interrupts: int, nodes: dict[str, type]) -> Section:
    """The table, each row's seconds, and `interrupt_p95_s`, the worst row's.

    Args:
        side: of the images, in pixels; a multiple of 64.
        interrupts: how many runs of each row are interrupted at random moments.
    """
    section, moments = Section(f"Interrupts of nodes on images of {side}×{side} pixels"), random.Random(0)
    worst = stopped = 0.0
    for label, (name, make) in works(side, nodes).items():
        inputs = make()
        between = waits(nodes[name], inputs)
        p95, total = quantile(between, 0.95), float(between.sum())
        stops = [stopped_after(nodes[name], inputs, moments.uniform(0, total)) for _ in range(interrupts)]
        stops = [stop for stop in stops if stop is not None]
        text = f"run {total:7.2f} s, heard within {p95:5.2f} s (95 %), {between.max():5.2f} s (always)"
        text += f"; {len(stops)} stopped within {max(stops):.2f} s" if stops else ""
        section.row(label, text)
        worst = max(worst, p95, *stops)
        section.figures |= {
            f"{label}: run_s": total,
            f"{label}: p95_s": p95,
            f"{label}: longest_s": float(between.max()),
        }
        stopped = max([stopped, *stops])
        del inputs
    section.figures |= {"interrupt_p95_s": worst, "interrupt_stopped_s": stopped}
    return section
