"""Networks of ComfyUI's own classes with seeded weights, for the tests and the benchmarks."""

import unittest.mock

import comfy.ldm.wan.vae
import comfy.model_base
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import torch


def seed_weights(network: torch.nn.Module) -> torch.nn.Module:
    """Gives a network seeded weights: ComfyUI's layers leave theirs uninitialized."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5)
            else:
                weight.fill_(0.0 if name.endswith("bias") else 1.0)
    return network


def patcher(model: comfy.model_base.BaseModel) -> comfy.model_patcher.ModelPatcher:
    """A MODEL with seeded weights."""
    seed_weights(model.diffusion_model)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=cpu, offload_device=cpu)


UNET = {
    "image_size": 32, "out_channels": 4, "model_channels": 32, "num_res_blocks": [1, 1], "channel_mult": [1, 2],
    "transformer_depth": [0, 0], "transformer_depth_output": [0, 0, 0, 0], "transformer_depth_middle": 1,
    "context_dim": 32, "num_heads": 4, "use_spatial_transformer": True, "use_linear_in_transformer": False,
    "legacy": False, "adm_in_channels": None, "dtype": torch.float32, "use_temporal_attention": False,
}  # fmt: skip


def tiny_wan_vae() -> comfy.sd.VAE:
    """ComfyUI's own VAE of Wan 2.1 with few channels: a clip's first frame is a latent frame, and then each four."""
    whole = comfy.ldm.wan.vae.WanVAE
    few = {"dim": 8, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    weights = seed_weights(whole(z_dim=16, temperal_downsample=[False, True, True], **few)).state_dict()
    # ComfyUI knows one number of channels only.
    with unittest.mock.patch.object(comfy.ldm.wan.vae, "WanVAE", lambda **config: whole(**config | few)):
        return comfy.sd.VAE(sd=weights, device=torch.device("cpu"), dtype=torch.float32)


def tiny_model(family: str, in_channels: int = 4, latent_format=None) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's own UNet and BaseModel, with few channels and seeded weights. `family` names a ModelType."""
    out_channels = 4 if latent_format is None else latent_format.latent_channels
    config = comfy.supported_models.SD15({**UNET, "in_channels": in_channels, "out_channels": out_channels})
    if latent_format is not None:
        config.latent_format = latent_format
    kind = getattr(comfy.model_base.ModelType, family)
    model = comfy.model_base.BaseModel(config, kind, device=torch.device("cpu"))
    if in_channels == 9:
        model.set_inpaint()
    return patcher(model)
