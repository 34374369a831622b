"""The demo model's networks, in ComfyUI's own classes: UNet, text encoder and tokenizer."""

from typing import Any

import comfy.latent_formats
import comfy.model_base
import comfy.model_sampling
import comfy.sd1_clip
import comfy.supported_models_base
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

from ..demo.codec import CHANNELS, left_by_mask
from ..phd_ops.latents.noise import as_flow_input, noise_from_velocity

FLOW, NOISE = "flow", "noise"
TEXT_WIDTH = 128
TEXT_CONFIG = {
    "num_hidden_layers": 2,
    "hidden_size": TEXT_WIDTH,
    "num_attention_heads": 4,
    "intermediate_size": 384,
    "hidden_act": "gelu",
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}


class DemoLatent(comfy.latent_formats.LatentFormat):
    """Principal components of 8×8 patches, of about unit mean square."""

    latent_channels = CHANNELS
    scale_factor = 1.0


class DemoConfig(comfy.supported_models_base.BASE):
    """A small text-conditioned UNet of ComfyUI's own class, trained as a rectified flow, x = (1 - sigma) x0 + sigma n.

    It is an inpainting model: its input is the noisy latent, the mask, and the latent outside the mask.
    """

    image_side = 256
    unet_config = {
        "image_size": 32,
        "in_channels": CHANNELS + 1,
        "out_channels": CHANNELS,
        "model_channels": 64,
        "num_res_blocks": [2, 2, 1],
        "channel_mult": [1, 2, 2],
        "transformer_depth": [0, 0, 0, 1, 1],
        "transformer_depth_output": [0, 0, 0, 0, 0, 1, 1, 1],
        "transformer_depth_middle": 1,
        "context_dim": TEXT_WIDTH,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": True,
        "legacy": False,
    }
    unet_extra_config = {"num_heads": -1, "num_head_channels": 32}
    latent_format = DemoLatent
    sampling_settings = {"shift": 1.0}
    memory_usage_factor = 0.5

    def inpaint_model(self) -> bool:
        # ComfyUI would otherwise replace DemoModel's own handling of the mask.
        return False


class DemoModel(comfy.model_base.BaseModel):
    """Passes the noise mask and the latent outside it to the network, as core does for inpainting checkpoints.

    Without a mask everything is masked and the network sees no clean latent.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.concat_keys = ("mask", "masked_image")

    def blank_inpaint_image_like(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(noise)

    def concat_cond(self, **kwargs: Any) -> torch.Tensor:
        mask, image = super().concat_cond(**kwargs).split([1, CHANNELS], 1)
        return left_by_mask(image, mask)


class DemoTextEncoder(comfy.sd1_clip.SDClipModel):
    """ComfyUI's CLIP text encoder with two layers of width TEXT_WIDTH."""

    def __init__(self, device: Any = "cpu", dtype: torch.dtype | None = None, model_options: dict = {}):
        super().__init__(
            device=device, dtype=dtype, model_options=model_options, textmodel_json_config=dict(TEXT_CONFIG)
        )


class DemoClip(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device: Any = "cpu", dtype: torch.dtype | None = None, model_options: dict = {}):
        super().__init__(device=device, dtype=dtype, model_options=model_options, clip_model=DemoTextEncoder)


class DemoWordTokenizer(comfy.sd1_clip.SDTokenizer):
    """ComfyUI's own CLIP tokenizer, which has to know the width of the embeddings."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict = {}, **_: Any):
        super().__init__(
            embedding_directory=embedding_directory, tokenizer_data=tokenizer_data, embedding_size=TEXT_WIDTH
        )


class DemoTokenizer(comfy.sd1_clip.SD1Tokenizer):
    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict = {}):
        super().__init__(
            embedding_directory=embedding_directory, tokenizer_data=tokenizer_data, tokenizer=DemoWordTokenizer
        )


class InpaintingUNet(UNetModel):
    """A UNet that sees the known cells without noise, scaled as they would be in the noisy latent."""

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The flow's velocity [B,C,H,W].

        Args:
            x: [B,2C+1,H,W], the noisy latent, the mask (1 = masked), and the clean latent with masked cells at 0.
            timesteps: [B] in 0..1000, 1000 t.
        """
        noisy, mask, known = x.split([CHANNELS, 1, CHANNELS], 1)
        signal = 1 - (timesteps / 1000).to(x).view(-1, 1, 1, 1)
        return super().forward(torch.cat([mask * noisy + signal * known, mask], 1), timesteps, *args, **kwargs)


class NoisePrediction(torch.nn.Module):
    """The demo's flow network as one that predicts noise (eps), as Stable Diffusion's does: same weights, same x0."""

    def __init__(self, **unet_config: Any):
        super().__init__()
        self.flow = InpaintingUNet(**unet_config)
        self.dtype = self.flow.dtype
        self.levels = comfy.model_sampling.ModelSamplingDiscrete()

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The noise [B,C,H,W].

        Args:
            x: [B,2C+1,H,W], the noisy latent scaled to unit variance, the mask, and the clean latent outside it.
            timesteps: [B] in 0..999 of Stable Diffusion's schedule.
        """
        noisy, known = x.split([CHANNELS, x.shape[1] - CHANNELS], 1)
        noisy, t = as_flow_input(noisy, self.levels.sigma(timesteps))
        velocity = self.flow(torch.cat([noisy, known], 1), 1000 * t, *args, **kwargs)
        return noise_from_velocity(noisy, velocity, t)


# Prediction -> ComfyUI's type of model, and the network.
MODELS = {
    FLOW: (comfy.model_base.ModelType.FLOW, InpaintingUNet),
    NOISE: (comfy.model_base.ModelType.EPS, NoisePrediction),
}


def build_model(
    dtype: torch.dtype,
    manual_cast_dtype: torch.dtype | None = None,
    device: torch.device | None = None,
    prediction: str = FLOW,
) -> DemoModel:
    """The UNet inside ComfyUI's model class, without weights."""
    config = DemoConfig(DemoConfig.unet_config)
    config.set_inference_dtype(dtype, manual_cast_dtype)
    kind, network = MODELS[prediction]
    return DemoModel(config, kind, device=device, unet_model=network)
