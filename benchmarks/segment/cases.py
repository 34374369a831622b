"""Images whose subject's true mask is known."""

from dataclasses import dataclass

import numpy as np

from benchmarks.common import masked_photographs
from phd_ops.pixels.geometry import Box, bounding_box
from relit_scenes.draw import draw_scene
from relit_scenes.render import render_scene

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
    return Case("quokka", *masked_photographs.quokka(), exact=False)


def voc_cases(count: int) -> list[Case]:
    """The largest people of a photograph from Pascal VOC, one case each."""
    image, masks = masked_photographs.people()
    return [Case(f"voc person {i + 1}", image, mask, exact=False) for i, mask in enumerate(masks[:count])]
