"""Writes a full-size checkpoint with random weights in fp16: to measure training for a base without downloading one.

.venv/bin/python -m training.random_checkpoint sd15 FILE        # SD 1.5, 2.1 GB
.venv/bin/python -m training.random_checkpoint sdxl FILE        # SDXL, 6.9 GB
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from devtools.comfyui import activate, get_comfyui

# As ComfyUI names what a published checkpoint's UNet and VAE have.
COMMON = {"image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "legacy": False,
          "use_spatial_transformer": True, "use_temporal_attention": False, "use_temporal_resblock": False}  # fmt: skip
UNETS = {
    "sd15": {"num_res_blocks": [2] * 4, "channel_mult": [1, 2, 4, 4], "transformer_depth": [1] * 6 + [0] * 2,
             "transformer_depth_middle": 1, "transformer_depth_output": [1] * 9 + [0] * 3, "context_dim": 768,
             "adm_in_channels": None, "use_linear_in_transformer": False},
    "sdxl": {"num_res_blocks": [2] * 3, "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10],
             "transformer_depth_middle": 10, "transformer_depth_output": [0] * 3 + [2] * 3 + [10] * 3,
             "context_dim": 2048, "num_classes": "sequential", "adm_in_channels": 2816,
             "use_linear_in_transformer": True},
}  # fmt: skip
VAE = {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3, "ch": 128,
       "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": []}  # fmt: skip


def random_checkpoint(unet: dict) -> dict[str, torch.Tensor]:
    """The weights of MODEL, CLIP and VAE by a checkpoint's names, fp16; layers roughly keep a signal's size."""
    from comfy.ldm.models.autoencoder import AutoencoderKL
    from comfy.model_detection import model_config_from_unet_config

    config = model_config_from_unet_config({**COMMON, **unet})
    config.set_inference_dtype(torch.float16, None)
    model = config.get_model({}, device="cpu").requires_grad_(False)
    clip = config.clip_target({}).clip(dtype=torch.float16, device="cpu", model_options={}).requires_grad_(False)
    vae = AutoencoderKL(ddconfig=VAE, embed_dim=4).half().requires_grad_(False)
    for name, weight in (pair for part in (model, clip, vae) for pair in part.named_parameters()):
        if weight.ndim > 1:
            weight.normal_(std=weight[0].numel() ** -0.5)
        else:
            weight.fill_(not name.endswith("bias"))
    weights = model.state_dict_for_saving(clip.state_dict(), vae.state_dict())
    return {name: weight.contiguous() for name, weight in weights.items()}


if __name__ == "__main__":
    kind, file = sys.argv[1:]
    activate(get_comfyui())
    save_file(random_checkpoint(UNETS[kind]), Path(file))
