"""The segmenters that are measured, and Segment run with one of them."""

import functools
import hashlib
import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from benchmarks.segment.cases import Case
from devtools import package_images as images
from devtools.comfyui import PACK, load_pack
from devtools.paths import DEMO_WEIGHTS
from phd_ops.segmenters.prompt import Prompt

DEMO_DEEPLAB = DEMO_WEIGHTS / "deeplab.safetensors"

Find = Callable[[np.ndarray, Prompt], np.ndarray]


@functools.cache
def loading() -> ModuleType:
    """The pack's module that loads segmenters."""
    load_pack()
    return importlib.import_module(f"{PACK}.nodes.load_segmenter")


def from_file(path: Path):
    """A segmenter from a file anywhere."""
    nodes = loading()
    if path.suffix == ".onnx":
        network = nodes.SalientModel(str(path))
        return nodes.LoadedSegmenter(path.name, lambda image, _: network.predict(image), needs_prompt=False)
    return nodes.LoadedSegmenter(path.name, nodes.managed(nodes.read_checkpoint(path)), needs_prompt=False)


def remembered(find: Find) -> Find:
    """A segmenter's `find` that runs once for each image and box: Segment asks again for every setting of the edge."""
    masks = {}

    def find_once(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        key = hashlib.blake2b(np.ascontiguousarray(image)).digest(), prompt.box
        if key not in masks:
            masks[key] = find(image, prompt)
        return masks[key].copy()

    return find_once


def backends(folder: Path | None) -> dict:
    """Name -> segmenter: those that need no further file, and one for every model file in a folder."""
    nodes = loading()
    grabcut = nodes.load_segmenter(nodes.GRABCUT)
    saliency = remembered(from_file(images.package_file("rembg", "u2netp.onnx")).find)

    def both(image: np.ndarray, prompt: Prompt) -> np.ndarray:
        return nodes.grabcut(image, rough=saliency(image, prompt))

    found = {
        "grabcut": nodes.LoadedSegmenter("grabcut", remembered(grabcut.find), needs_prompt=True),
        "u2netp": nodes.LoadedSegmenter("u2netp", saliency, needs_prompt=False),
        "u2netp, then grabcut": nodes.LoadedSegmenter("both", remembered(both), needs_prompt=False),
        "deeplab (demo weights)": from_file(DEMO_DEEPLAB),
    }
    files = sorted(folder.iterdir()) if folder else []
    return found | {path.stem: from_file(path) for path in files if path.suffix in nodes.ENDINGS}


def segment(node: type, segmenter, case: Case, refine_edge: int) -> np.ndarray:
    """The mask [H,W] of PhDSegment for a case, with the box a user would draw."""
    image, box = torch.from_numpy(case.image)[None], ", ".join(map(str, case.box))
    with torch.inference_mode():
        mask = node.execute(image, segmenter, box=box, keep="prompted", refine_edge=refine_edge).args[0]
    return mask[0].numpy()
