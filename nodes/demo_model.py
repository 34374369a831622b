"""PhDLoadDemoModel: the small diffusion model that comes with the pack, as ordinary MODEL, CLIP and VAE."""

import hashlib
import json
from pathlib import Path

import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.model_sampling
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy_api.latest import io

from ..demo.codec import CHANNELS, PATCH, PatchCodec, left_by_mask
from ..phd_ops.latents.noise import as_flow_input, noise_from_velocity
from .compat import newer
from .validate import check_choice

WEIGHTS = Path(__file__).resolve().parent.parent / "demo" / "weights"

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
    """Principal components of 8×8 patches, already of about unit mean square."""

    latent_channels = CHANNELS
    scale_factor = 1.0


class DemoConfig(comfy.supported_models_base.BASE):
    """A small text-conditioned UNet of ComfyUI's own class, trained as rectified flow (x = (1-sigma) x0 + sigma n).

    It is an inpainting model: it sees the mask, and what that leaves of the clean latent.
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

    def inpaint_model(self):
        return False


class DemoModel(comfy.model_base.BaseModel):
    """Hands on what a noise mask leaves of the latent, as core does for inpainting checkpoints.

    Without a mask all is to be drawn, and there is nothing to see.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.concat_keys = ("mask", "masked_image")

    def blank_inpaint_image_like(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(noise)

    def concat_cond(self, **kwargs) -> torch.Tensor:
        mask, image = super().concat_cond(**kwargs).split([1, CHANNELS], 1)
        return left_by_mask(image, mask)


class DemoTextEncoder(comfy.sd1_clip.SDClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(
            device=device, dtype=dtype, model_options=model_options, textmodel_json_config=dict(TEXT_CONFIG)
        )


class DemoClip(comfy.sd1_clip.SD1ClipModel):
    def __init__(self, device="cpu", dtype=None, model_options={}):
        super().__init__(device=device, dtype=dtype, model_options=model_options, clip_model=DemoTextEncoder)


class DemoWordTokenizer(comfy.sd1_clip.SDTokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}, **_):
        super().__init__(
            embedding_directory=embedding_directory, tokenizer_data=tokenizer_data, embedding_size=TEXT_WIDTH
        )


class DemoTokenizer(comfy.sd1_clip.SD1Tokenizer):
    def __init__(self, embedding_directory=None, tokenizer_data={}):
        super().__init__(
            embedding_directory=embedding_directory, tokenizer_data=tokenizer_data, tokenizer=DemoWordTokenizer
        )


class InpaintingUNet(UNetModel):
    """Takes [noisy latent, mask, what the mask leaves] and sees what is known without noise, at the same scale."""

    def forward(self, x, timesteps, *args, **kwargs):
        """x [B,2C+1,H,W], timesteps [B] in 0..1000."""
        noisy, mask, seen = x.split([CHANNELS, 1, CHANNELS], 1)
        signal = 1 - (timesteps / 1000).to(x).view(-1, 1, 1, 1)
        return super().forward(torch.cat([mask * noisy + signal * seen, mask], 1), timesteps, *args, **kwargs)


class NoisePrediction(torch.nn.Module):
    """The demo's flow network as one that predicts noise (eps), as Stable Diffusion's does: same weights, same x0."""

    def __init__(self, **unet_config):
        super().__init__()
        self.flow = InpaintingUNet(**unet_config)
        self.dtype = self.flow.dtype
        self.levels = comfy.model_sampling.ModelSamplingDiscrete()

    def forward(self, x, timesteps, *args, **kwargs):
        """x [B,2C+1,H,W]: the noisy latent scaled to unit variance, the mask, the known latent; timesteps [B]."""
        noisy, known = x.split([CHANNELS, x.shape[1] - CHANNELS], 1)
        noisy, t = as_flow_input(noisy, self.levels.sigma(timesteps))
        velocity = self.flow(torch.cat([noisy, known], 1), 1000 * t, *args, **kwargs)
        return noise_from_velocity(noisy, velocity, t)


MODELS = {
    FLOW: (comfy.model_base.ModelType.FLOW, InpaintingUNet),
    NOISE: (comfy.model_base.ModelType.EPS, NoisePrediction),
}


def build_model(dtype: torch.dtype, manual_cast_dtype: torch.dtype | None = None, device=None, prediction: str = FLOW):
    """The UNet inside its model, without weights."""
    config = DemoConfig(DemoConfig.unet_config)
    config.set_inference_dtype(dtype, manual_cast_dtype)
    kind, network = MODELS[prediction]
    return DemoModel(config, kind, device=device, unet_model=network)


def read_weights(name: str) -> dict[str, torch.Tensor]:
    """One of the demo model's files, checked against the hash it was published with."""
    file = WEIGHTS / f"{name}.safetensors"
    if not file.is_file():
        raise FileNotFoundError(f"The demo model's file demo/weights/{file.name} is missing; reinstall the pack.")
    try:
        published = json.loads((WEIGHTS / "sha256.json").read_text())[file.name]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError("demo/weights/sha256.json is missing or damaged; reinstall the pack.") from None
    if hashlib.sha256(file.read_bytes()).hexdigest() != published:
        raise ValueError(f"demo/weights/{file.name} is damaged: its hash is not the published one. Reinstall the pack.")
    return comfy.utils.load_torch_file(str(file), safe_load=True)


def load_model(prediction: str = FLOW) -> comfy.model_patcher.ModelPatcher:
    weights = read_weights("unet")
    load_device = comfy.model_management.get_torch_device()
    parameters = sum(value.numel() for value in weights.values())
    dtype = comfy.model_management.unet_dtype(model_params=parameters)
    cast = comfy.model_management.unet_manual_cast(dtype, load_device)
    offload_device = comfy.model_management.unet_offload_device()
    model = build_model(dtype, cast, offload_device, prediction)
    unet = model.diffusion_model if prediction == FLOW else model.diffusion_model.flow
    unet.load_state_dict(weights)
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=load_device, offload_device=offload_device)


def load_clip() -> comfy.sd.CLIP:
    weights = read_weights("text")
    # The file holds the words the model knows; all others stay zero and say nothing.
    table = torch.zeros(49408, TEXT_WIDTH)
    table[weights.pop("known_tokens").long()] = weights.pop("known_embeddings").float()
    weights["text_model.embeddings.token_embedding.weight"] = table
    target = comfy.supported_models_base.ClipTarget(DemoTokenizer, DemoClip)
    clip = comfy.sd.CLIP(target, parameters=sum(value.numel() for value in weights.values()))
    clip.cond_stage_model.load_sd(weights)
    return clip


def load_vae() -> comfy.sd.VAE:
    codec = PatchCodec()
    codec.load_state_dict({name: value.float() for name, value in read_weights("codec").items()})
    # ComfyUI's VAE class knows no codec of this kind. Its pixel-space VAE has no weights and no further needs,
    # so it is made first and then given ours.
    vae = comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})
    vae.vae_dtype = torch.float32
    vae.first_stage_model = codec.eval()
    vae.latent_channels = CHANNELS
    vae.downscale_ratio = vae.upscale_ratio = PATCH
    vae.memory_used_encode = lambda shape, dtype: 64 * shape[2] * shape[3] * comfy.model_management.dtype_size(dtype)
    vae.memory_used_decode = lambda shape, dtype: (
        64 * 64 * shape[2] * shape[3] * comfy.model_management.dtype_size(dtype)
    )
    vae.patcher = comfy.model_patcher.ModelPatcher(
        codec, load_device=vae.device, offload_device=comfy.model_management.vae_offload_device()
    )
    return vae


class PhDLoadDemoModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PhDLoadDemoModel",
            display_name="Load Demo Model",
            category="PhD",
            description=(
                "A real, very small diffusion model that comes with the pack, to try the graph on a CPU in a minute. "
                "It knows a few photographs and some eighty things at 128 to 256 pixels. For work use a checkpoint."
            ),
            inputs=[
                io.Combo.Input(
                    "prediction",
                    options=[*MODELS],
                    default=FLOW,
                    optional=True,
                    tooltip="The family it belongs to: a rectified flow, as it was trained, or the same weights as a "
                    "network that predicts noise (eps), as Stable Diffusion's.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The demo diffusion model. Like an inpainting checkpoint it sees what a mask leaves of the "
                    "image.",
                ),
                io.Clip.Output(display_name="clip", tooltip="Its text encoder; unknown words say nothing."),
                io.Vae.Output(display_name="vae", tooltip="Its autoencoder: 8×8 pixels to 32 channels."),
            ],
            **newer(io.Schema, search_aliases=["tiny model", "example model"]),
        )

    @classmethod
    def execute(cls, prediction: str = FLOW) -> io.NodeOutput:
        check_choice("prediction", prediction, [*MODELS])
        return io.NodeOutput(load_model(prediction), load_clip(), load_vae())
