"""What time and memory are measured on: networks, a latent, and runs of KSampler and of our sampler."""

import functools

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models
import torch

from devtools.comfyui import load_pack
from devtools.tiny_networks import patcher

CONTEXT = 128
# About 16 million weights at 96 channels.
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "num_res_blocks": [2, 2, 1], "channel_mult": [1, 2, 2],
    "transformer_depth": [0, 0, 0, 1, 1], "transformer_depth_output": [0, 0, 0, 0, 0, 1, 1, 1],
    "transformer_depth_middle": 1, "context_dim": CONTEXT, "use_spatial_transformer": True,
    "use_linear_in_transformer": True, "legacy": False, "adm_in_channels": None, "num_heads": 4,
    "use_temporal_attention": False, "dtype": torch.float32,
}  # fmt: skip


class Instant(torch.nn.Module):
    """A network that takes no time and no memory, so that a run's time and memory are the sampler's own."""

    dtype = torch.float32

    def forward(self, x: torch.Tensor, *_, **__) -> torch.Tensor:
        return torch.zeros_like(x)


@functools.cache
def unet(family: str, channels: int) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's own UNet."""
    config = comfy.supported_models.SD15({**UNET, "model_channels": channels})
    model = comfy.model_base.BaseModel(config, getattr(comfy.model_base.ModelType, family), device="cpu")
    return patcher(model)


def instant() -> comfy.model_patcher.ModelPatcher:
    config = comfy.supported_models.SD15({**UNET, "disable_unet_model_creation": True})
    model = comfy.model_base.BaseModel(config, comfy.model_base.ModelType.EPS, device="cpu")
    model.diffusion_model = Instant()
    return patcher(model)


def prompt() -> list:
    return [[torch.randn(1, 77, CONTEXT, generator=torch.Generator().manual_seed(1)), {}]]


def latent(side: int) -> dict:
    """A LATENT whose middle is masked for inpainting."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    samples = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(7))
    return {"samples": samples, "noise_mask": mask}


def ours(model, given: dict, steps: int, inner_steps: int, method: str = "masked Langevin") -> torch.Tensor:
    """PhDMaskedInpaintSampler."""
    settings = {"cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    loop = {"method": method, "inner_steps": inner_steps, "step_size": 1.0, "lambda_strength": 10.0}
    node = load_pack().nodes.inpaint_sampler.PhDMaskedInpaintSampler
    (result,) = node.execute(model, prompt(), prompt(), given, seed=3, steps=steps, **settings, **loop).args
    return result["samples"]


def core(model, given: dict, steps: int) -> torch.Tensor:
    """KSampler."""
    import nodes

    (result,) = nodes.common_ksampler(model, 3, steps, 1.0, "euler", "normal", prompt(), prompt(), given)
    return result["samples"]
