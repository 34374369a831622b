"""The RelitScenes of `bench quality`, in chunks, as inputs for the demo model and the nodes."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.common.comfyui import call
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


class Model:
    """The demo model's MODEL, CLIP and VAE; prediction: "flow" or "noise"."""

    def __init__(self, prediction: str = "flow"):
        self.model, self.clip, self.vae, _ = call("PhDLoadDemoModel", prediction=prediction)

    def conditioning(self, prompts: list[str]) -> list:
        """A CONDITIONING with one prompt for each item of a batch."""
        encoded = [call("CLIPTextEncode", clip=self.clip, text=prompt)[0][0][0] for prompt in prompts]
        return [[torch.cat(encoded), {}]]

    def encoded(self, images: np.ndarray) -> dict:
        return call("VAEEncode", pixels=torch.from_numpy(images), vae=self.vae)[0]

    def decoded(self, latent: dict) -> np.ndarray:
        """float32 [N,S,S,3] in 0..1."""
        return call("VAEDecode", samples=latent, vae=self.vae)[0].float().clamp(0, 1).numpy()


@dataclass(frozen=True)
class Chunk:
    """Some scenes, and the inputs of every method. Images are [N,S,S,3], masks [N,S,S]."""

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
