"""The scenes' exact estimate as a MODEL of ComfyUI, whose prompt is a conditioning like any other.

Latents are [items,1,24,24], log light as it is. The prompt is the text encoder's part of a CONDITIONING,
[items or 1,1,2]: the albedo that is named, and 1 where a prompt says one.
"""

import comfy.model_patcher
import torch

from benchmarks.common.oracle import Network, OracleConfig, oracle
from benchmarks.harmonize.scenes import SIDE, Denoiser, Scenes, albedo_told


class LightConfig(OracleConfig):
    # The levels of Stable Diffusion, so that a denoise means what it means there.
    sampling_settings = {"shift": 1.0, "sigma_min": 0.029, "sigma_max": 14.6}


class PromptedNetwork(Network):
    """Knows the scenes as the prompt of each item describes them."""

    def estimate(self, x: torch.Tensor, a: float, sigma: float, prompt: torch.Tensor) -> torch.Tensor:
        light, estimate = x.flatten(1), torch.empty_like(x).flatten(1)
        named, told = prompt[:, 0, 0].double(), prompt[:, 0, 1] > 0.5
        for chosen, mean in ((told, named[told]), (~told, None)):
            if chosen.any():
                estimate[chosen] = self.process(light[chosen], a, sigma, mean)
        return estimate.view_as(x)


def harmonizing_oracle(denoiser: Denoiser, family: str = "EPS") -> comfy.model_patcher.ModelPatcher:
    return oracle(family, denoiser, PromptedNetwork, LightConfig)


def conditioning(scenes: Scenes, prompt: str) -> list:
    """What a text encoder would make of the scenes' prompts, one of PROMPTS."""
    named = albedo_told(scenes, prompt)
    told = torch.zeros(len(scenes.named), 1, 2)
    if named is not None:
        told[:, 0, 0], told[:, 0, 1] = named.float(), 1
    return [[told, {}]]


def as_latent(light: torch.Tensor) -> dict:
    """Log light [N,576] as a LATENT."""
    return {"samples": light.float().view(-1, 1, SIDE, SIDE)}


def as_light(latent: dict) -> torch.Tensor:
    """The way back."""
    return latent["samples"].double().flatten(1)
