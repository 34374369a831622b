"""The scenes' exact denoiser as a ComfyUI MODEL, with prompts as ordinary CONDITIONING.

Latents are [items,1,24,24], the log light itself. The embedding of a prompt is [items or 1,1,2]: the albedo that it
names, and 1, or 0 for a prompt that names none.
"""

import comfy.model_patcher
import torch

from benchmarks.common.oracle import Network, OracleConfig, oracle
from benchmarks.harmonize.scenes import SIDE, Denoiser, Scenes, named_albedo


class LightConfig(OracleConfig):
    # The noise levels of Stable Diffusion, so that a value of denoise means the same.
    sampling_settings = {"shift": 1.0, "sigma_min": 0.029, "sigma_max": 14.6}


class LightNetwork(Network):
    """Denoises each item as its own prompt describes it."""

    def estimate(self, x: torch.Tensor, a: float, sigma: float, prompt: torch.Tensor) -> torch.Tensor:
        light, estimate = x.flatten(1), torch.empty_like(x).flatten(1)
        albedo, named = prompt[:, 0, 0].double(), prompt[:, 0, 1] > 0.5
        for chosen, known in ((named, albedo[named]), (~named, None)):
            if chosen.any():
                estimate[chosen] = self.process(light[chosen], a, sigma, known)
        return estimate.view_as(x)


def harmonizing_oracle(denoiser: Denoiser, family: str = "EPS") -> comfy.model_patcher.ModelPatcher:
    return oracle(family, denoiser, LightNetwork, LightConfig)


def conditioning(scenes: Scenes, prompt: str) -> list:
    """The scenes' prompts as a text encoder would give them; `prompt` is one of PROMPTS."""
    albedo = named_albedo(scenes, prompt)
    embedding = torch.zeros(len(scenes.named), 1, 2)
    if albedo is not None:
        embedding[:, 0, 0], embedding[:, 0, 1] = albedo.float(), 1
    return [[embedding, {}]]


def as_latent(light: torch.Tensor) -> dict:
    """Log light [N,576] as a LATENT."""
    return {"samples": light.float().view(-1, 1, SIDE, SIDE)}


def as_light(samples: torch.Tensor) -> torch.Tensor:
    """A LATENT's samples, or those of several seeds, as log light [N,576]."""
    return samples.double().reshape(-1, SIDE * SIDE)
