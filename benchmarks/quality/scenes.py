"""The RelitScenes of `bench quality`, in chunks, as inputs for the demo model and the nodes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.common.demo_model import DemoModel
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene

SIDE = 128
# Scenes that are sampled as one batch; an interruption loses at most one chunk.
CHUNK = 40


def stratum_of(number: int) -> str:
    """Strata take turns, so that all have the same number of scenes."""
    return STRATA[number % len(STRATA)]


def scene(number: int, split: str, side: int = SIDE) -> Scene:
    """Scene `number` of the benchmark: its seed is its number."""
    return render_scene(draw_scene(number, split, stratum_of(number)), side)


@dataclass(frozen=True)
class Chunk:
    """Some scenes, and the inputs of every method. Images are [N,S,S,3], masks [N,S,S]."""

    scenes: list[Scene]
    model: DemoModel

    def __len__(self) -> int:
        return len(self.scenes)

    def stacked(self, name: str) -> np.ndarray:
        return np.stack([getattr(scene, name) for scene in self.scenes])

    @cached_property
    def composites(self) -> np.ndarray:
        return self.stacked("composite")

    @cached_property
    def backgrounds(self) -> np.ndarray:
        return self.stacked("background")

    @cached_property
    def matte(self) -> torch.Tensor:
        """The given matte, which is off by a pixel in two strata."""
        return torch.from_numpy(self.stacked("matte"))

    @cached_property
    def mask(self) -> torch.Tensor:
        """1 = may change: subject and ring."""
        return torch.from_numpy(self.stacked("harmonize_mask"))

    @cached_property
    def latent(self) -> dict:
        return self.model.encoded(self.composites)

    @cached_property
    def reference(self) -> dict:
        return self.model.encoded(self.stacked("reference"))

    @cached_property
    def positive(self) -> list:
        return self.model.conditioning([scene.prompt for scene in self.scenes])

    @cached_property
    def reference_positive(self) -> list:
        return self.model.conditioning([scene.exemplar_prompt for scene in self.scenes])

    @cached_property
    def negative(self) -> list:
        return self.model.conditioning([""] * len(self))
