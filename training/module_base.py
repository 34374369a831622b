"""A frozen base model as the module's training uses it: images and prompts to what ComfyUI's own model class takes."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.sd
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel
from torch.utils.checkpoint import checkpoint

from devtools.comfyui import load_pack
from training.codec import current_codec
from training.diffusion import channel_weights, has_bfloat16
from training.networks import encode_text, initial_networks, tokenize, word_tokenizer

# Above so many parameters a base's activations are computed again instead of kept.
LARGE = 100_000_000


@dataclass(frozen=True)
class Base:
    """A frozen base.

    Attributes:
        model: ComfyUI's own model class; its weights get no gradients.
        encode: images [B,3,H,W] in [-1,1] to the latents [B,C,h,w] that the network takes.
        decode: the inverse.
        prompts: prompts to the model's conditions: `c_crossattn`, and `y` for SDXL.
        channels: [C], the loss's weights, 1 on average.
    """

    model: comfy.model_base.BaseModel
    encode: Callable[[torch.Tensor], torch.Tensor]
    decode: Callable[[torch.Tensor], torch.Tensor]
    prompts: Callable[[list[str]], dict[str, torch.Tensor]]
    channels: torch.Tensor

    @property
    def unet_config(self) -> dict:
        return dict(self.model.model_config.unet_config)

    @property
    def device(self) -> torch.device:
        return next(self.model.diffusion_model.parameters()).device

    @property
    def is_flow(self) -> bool:
        return isinstance(self.model.model_sampling, comfy.model_sampling.CONST)

    @property
    def parameters(self) -> int:
        return sum(value.numel() for value in self.model.diffusion_model.parameters())

    def visible(self, clean: torch.Tensor, hidden: torch.Tensor) -> dict[str, torch.Tensor]:
        """What an inpainting model sees of the latents [B,C,h,w] outside the hidden cells; {} for other models."""
        if not self.model.concat_keys:
            return {}
        given = {"noise": clean, "latent_image": clean, "denoise_mask": hidden, "device": clean.device}
        return {"c_concat": self.model.concat_cond(**given)}

    def levels(self, shares: torch.Tensor) -> torch.Tensor:
        """Noise levels (sigmas) for shares of the way to pure noise, [N]."""
        sampling = self.model.model_sampling
        # 0 percent would be a level that stands for infinity.
        greatest = float(sampling.sigma_max)
        found = [min(float(sampling.percent_to_sigma(1 - share)), greatest) for share in shares.tolist()]
        return torch.tensor(found)


def demo_base() -> Base:
    """The published demo model."""
    codec, tokenizer = current_codec(), word_tokenizer()
    networks = initial_networks(tokenizer, fresh=False).requires_grad_(False)
    model = load_pack().nodes.demo_networks.build_model(torch.float32)
    model.diffusion_model = networks["unet"]
    text = networks["text"].text_model
    return Base(
        model.eval().requires_grad_(False),
        codec.encode,
        codec.decode,
        lambda prompts: {"c_crossattn": encode_text(text, tokenize(tokenizer, prompts))},
        channel_weights(codec),
    )


def is_large(base: Base) -> bool:
    return base.parameters > LARGE


def recompute(network: torch.nn.Module) -> None:
    """Makes a UNet or its encoder keep the inputs of its blocks alone, and compute what lies between once more."""
    for layer in network.modules():
        if isinstance(layer, (ResBlock, BasicTransformerBlock)):
            layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)


def checkpoint_base(file: Path, prompts: set[str]) -> Base:
    """A checkpoint of Stable Diffusion 1 or 2 or SDXL, for these prompts and the empty one.

    Raises ValueError with one sentence for other files.
    """
    # ComfyUI keeps float32 weights for a CPU, twice what a CPU with bfloat16 needs.
    on_cpu = comfy.model_management.get_torch_device().type == "cpu"
    options = {"dtype": torch.bfloat16} if on_cpu and has_bfloat16("cpu") else {}
    try:
        model, clip, vae = comfy.sd.load_checkpoint_guess_config(str(file), model_options=options)[:3]
    # A damaged file raises a different error for each place where the damage can be.
    except Exception:
        raise ValueError(f"{file.name} cannot be read as a checkpoint: it is damaged, or of another kind.") from None
    if model is None or clip is None or vae is None:
        raise ValueError(f"{file.name} holds no MODEL, CLIP and VAE together: give a whole checkpoint.")
    if not isinstance(model.model.diffusion_model, UNetModel):
        kind = type(model.model.diffusion_model).__name__
        raise ValueError(f"{file.name} is a {kind}; the module is a copy of a UNet's encoder, as SD 1.5 and SDXL have.")
    # The text encoder is freed when this returns.
    known = core_prompts(model.model, clip, {*prompts, ""})
    # Not by ComfyUI's manager, which would take it off the device again when another model needs room.
    model.model.to(model.load_device)
    return base_of(model.model, vae, known)


def base_of(
    model: comfy.model_base.BaseModel, vae: comfy.sd.VAE, prompts: Callable[[list[str]], dict[str, torch.Tensor]]
) -> Base:
    """A base of one of ComfyUI's models and VAEs."""
    model.eval().requires_grad_(False)

    @torch.no_grad()
    def encode(images: torch.Tensor) -> torch.Tensor:
        return model.process_latent_in(vae.encode((images.movedim(1, -1) + 1) / 2))

    @torch.no_grad()
    def decode(latents: torch.Tensor) -> torch.Tensor:
        return vae.decode(model.process_latent_out(latents)).movedim(-1, 1) * 2 - 1

    base = Base(model, encode, decode, prompts, torch.ones(model.latent_format.latent_channels))
    if is_large(base):
        recompute(model.diffusion_model)
    return base


@torch.no_grad()
def core_prompts(model: comfy.model_base.BaseModel, clip: comfy.sd.CLIP, texts: set[str]) -> Callable:
    """A function for conditions of these prompts, as ComfyUI's own text encoder encodes them here and now."""
    known = {text: encoded_prompt(clip, text) for text in texts}

    def prompts(texts: list[str]) -> dict[str, torch.Tensor]:
        # Long prompts have several pieces; as in core, shorter ones are repeated until all are of one length.
        length = math.lcm(*(known[text][0].shape[1] for text in texts))
        contexts = [known[text][0].repeat(1, length // known[text][0].shape[1], 1) for text in texts]
        found = {"c_crossattn": torch.cat(contexts).float()}
        pooled = torch.cat([known[text][1] for text in texts]).float()
        adm = model.encode_adm(pooled_output=pooled, device="cpu")
        return found if adm is None else {**found, "y": adm}

    return prompts


def encoded_prompt(clip: comfy.sd.CLIP, text: str) -> tuple[torch.Tensor, ...]:
    """Context [1,N,W] and pooled output [1,P] in half precision: training holds those of all images."""
    return tuple(part.cpu().half() for part in clip.encode_from_tokens(clip.tokenize(text), return_pooled=True))
