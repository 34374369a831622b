"""The RelitScenes of `bench quality`, a few at a time, as the demo model and its nodes take them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.common.comfyui import call
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene

SIDE = 128
# So many scenes are sampled as one batch, and are lost where a run is stopped.
CHUNK = 40


def stratum_of(number: int) -> str:
    """Every stratum has as many scenes as any other."""
    return STRATA[number % len(STRATA)]


def scene(number: int, split: str, side: int = SIDE) -> Scene:
    return render_scene(draw_scene(number, split, stratum_of(number)), side)


class Model:
    """The demo model as its node gives it."""

    def __init__(self, prediction: str = "flow"):
        self.model, self.clip, self.vae = call("PhDLoadDemoModel", prediction=prediction)

    def told(self, prompts: list[str]) -> list:
        """A CONDITIONING with a prompt for each item of a batch."""
        each = [call("CLIPTextEncode", clip=self.clip, text=prompt)[0][0][0] for prompt in prompts]
        return [[torch.cat(each), {}]]

    def encoded(self, images: np.ndarray) -> dict:
        return call("VAEEncode", pixels=torch.from_numpy(images), vae=self.vae)[0]

    def decoded(self, latent: dict) -> np.ndarray:
        """float32 [N,S,S,3] in 0..1."""
        return call("VAEDecode", samples=latent, vae=self.vae)[0].float().clamp(0, 1).numpy()


@dataclass(frozen=True)
class Chunk:
    """Some scenes with what every method is given of them. Images are [N,S,S,3], masks [N,S,S]."""

    scenes: list[Scene]
    model: Model

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
        """The matte that a method is given."""
        return torch.from_numpy(self.stacked("matte"))

    @cached_property
    def mask(self) -> torch.Tensor:
        """What may change: subject and ring."""
        return torch.from_numpy(self.stacked("harmonize_mask"))

    @cached_property
    def latent(self) -> dict:
        return self.model.encoded(self.composites)

    @cached_property
    def reference(self) -> dict:
        return self.model.encoded(self.stacked("reference"))

    @cached_property
    def positive(self) -> list:
        return self.model.told([scene.prompt for scene in self.scenes])

    @cached_property
    def reference_positive(self) -> list:
        return self.model.told([scene.exemplar_prompt for scene in self.scenes])

    @cached_property
    def negative(self) -> list:
        return self.model.told([""] * len(self))
