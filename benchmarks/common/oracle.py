"""A ComfyUI MODEL that predicts without error: its BaseModel around the exact estimate E[x0 | x] of a process."""

from typing import Protocol

import comfy.latent_formats
import comfy.model_base
import comfy.model_patcher
import comfy.model_sampling
import comfy.supported_models_base
import numpy as np
import torch

FAMILIES = ("EPS", "V_PREDICTION", "FLOW")


class Process(Protocol):
    """A distribution of latents whose posterior mean is known in closed form."""

    def estimate(self, x: torch.Tensor, a: float, sigma: float) -> torch.Tensor:
        """E[x0 | a x0 + sigma n = x], with n standard normal noise."""
        ...


class OracleFormat(comfy.latent_formats.LatentFormat):
    latent_channels = 1
    scale_factor = 1.0


class OracleConfig(comfy.supported_models_base.BASE):
    latent_format = OracleFormat
    memory_usage_factor = 0.01
    sampling_settings = {"shift": 1.0}

    def inpaint_model(self):
        return False


class Network(torch.nn.Module):
    """Answers as a perfectly trained network of a family would."""

    dtype = torch.float32

    def __init__(self, family: str, process: Process):
        super().__init__()
        self.family, self.process = family, process

    def estimate(self, x: torch.Tensor, a: float, sigma: float, prompt: torch.Tensor | None) -> torch.Tensor:
        """E[x0 | a x0 + sigma n = x]. The base class ignores the prompt."""
        return self.process.estimate(x, a, sigma)

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, context=None, *_, **__) -> torch.Tensor:
        x, time = x.double(), float(timesteps[0])
        if self.family == "FLOW":
            sigma = time / 1000
            return ((x - self.estimate(x, 1 - sigma, sigma, context)) / sigma).float()
        sigma = float(np.exp(4 * time))
        scale = (sigma**2 + 1) ** 0.5
        estimate = self.estimate(x * scale, 1.0, sigma, context)
        if self.family == "EPS":
            return ((x * scale - estimate) / sigma).float()
        return ((x - estimate * scale) / sigma).float()


def continuous_sampling(config, family: str) -> torch.nn.Module:
    """ComfyUI's model sampling for any noise level, not only those of a thousand training steps."""
    kind = getattr(comfy.model_sampling, family)

    class Sampling(comfy.model_sampling.ModelSamplingContinuousEDM, kind):
        pass

    return Sampling(config)


def oracle(family: str, process, network=Network, config=OracleConfig) -> comfy.model_patcher.ModelPatcher:
    """A MODEL of a family (one of FAMILIES) that predicts a process exactly."""
    config = config({"disable_unet_model_creation": True})
    model = comfy.model_base.BaseModel(config, getattr(comfy.model_base.ModelType, family), device="cpu")
    model.diffusion_model = network(family, process)
    if family != "FLOW":
        model.model_sampling = continuous_sampling(config, family)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)
