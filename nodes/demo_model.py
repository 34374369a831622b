"""PhDLoadDemoModel: the small diffusion model that comes with the pack, as ordinary MODEL, CLIP and VAE."""

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models_base
import torch
from comfy_api.latest import io

from ..demo.codec import CHANNELS, PATCH, PatchCodec
from .checked import checked
from .demo_networks import FLOW, MODELS, TEXT_WIDTH, DemoClip, DemoTokenizer, build_model
from .demo_weights import read_weights
from .learned_module import DEMO, Module, load_module
from .validate import check_choice

# The number of tokens of CLIP's tokenizer.
VOCABULARY = 49408


def load_model(prediction: str = FLOW) -> comfy.model_patcher.ModelPatcher:
    """The UNet as a MODEL, in the type and on the device that ComfyUI chooses."""
    weights = read_weights("unet")
    load_device = comfy.model_management.get_torch_device()
    parameters = sum(value.numel() for value in weights.values())
    dtype = comfy.model_management.unet_dtype(model_params=parameters)
    cast = comfy.model_management.unet_manual_cast(dtype, load_device)
    offload_device = comfy.model_management.unet_offload_device()
    model = build_model(dtype, cast, offload_device, prediction)
    unet = model.diffusion_model if prediction == FLOW else model.diffusion_model.flow
    unet.load_state_dict(weights)
    # For ComfyUI's latent previews, as latent formats of other models have them.
    factors, bias = load_codec().mean_colors()
    model.latent_format.latent_rgb_factors = factors.tolist()
    model.latent_format.latent_rgb_factors_bias = bias.tolist()
    return comfy.model_patcher.ModelPatcher(model.eval(), load_device=load_device, offload_device=offload_device)


def load_clip() -> comfy.sd.CLIP:
    """The text encoder as a CLIP."""
    weights = read_weights("text")
    # The file holds the embeddings of trained words only. All others are zero and have no effect.
    table = torch.zeros(VOCABULARY, TEXT_WIDTH)
    table[weights.pop("known_tokens").long()] = weights.pop("known_embeddings").float()
    weights["text_model.embeddings.token_embedding.weight"] = table
    target = comfy.supported_models_base.ClipTarget(DemoTokenizer, DemoClip)
    clip = comfy.sd.CLIP(target, parameters=sum(value.numel() for value in weights.values()))
    clip.cond_stage_model.load_sd(weights)
    return clip


def load_codec() -> PatchCodec:
    codec = PatchCodec()
    codec.load_state_dict({name: value.float() for name, value in read_weights("codec").items()})
    return codec


def load_vae() -> comfy.sd.VAE:
    """The codec as a VAE."""
    codec = load_codec()
    # ComfyUI's VAE class does not know this codec. A pixel-space VAE, which has no weights, is created in its place
    # and then gets the codec.
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
                "A real but very small diffusion model that comes with the pack, to try the graph on a CPU in a "
                "minute. It knows a few photographs and about eighty objects at 128 to 256 pixels. For real work use a "
                "checkpoint."
            ),
            inputs=[
                io.Combo.Input(
                    "prediction",
                    options=[*MODELS],
                    default=FLOW,
                    optional=True,
                    tooltip=(
                        "flow: a rectified flow, as it was trained. noise: the same weights as a network that predicts "
                        "noise (eps), as Stable Diffusion does."
                    ),
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip=(
                        "The demo diffusion model. Like an inpainting checkpoint, it sees the image outside the mask."
                    ),
                ),
                io.Clip.Output(
                    display_name="clip", tooltip="Its text encoder. Words it was not trained on have no effect."
                ),
                io.Vae.Output(display_name="vae", tooltip="Its autoencoder: 8×8 pixels to 32 channels."),
                Module.Output(display_name="module", tooltip="Its learned module, for Insert Subject."),
            ],
        )

    @classmethod
    @checked
    def execute(cls, prediction: str = FLOW) -> io.NodeOutput:
        check_choice("prediction", prediction, [*MODELS])
        return io.NodeOutput(load_model(prediction), load_clip(), load_vae(), load_module(DEMO))
