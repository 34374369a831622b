"""The demo model's UNet and text encoder as they are trained: initial weights, prompts to context, the UNet's input."""

import torch
from torch import nn

from demo.codec import left_by_mask
from devtools import package_images
from devtools.comfyui import load_pack
from relit_scenes.training_scenes import vocabulary
from training.demo_scenes import CUT_OUTS, LIGHT_WORDS

EMBEDDING = "text_model.embeddings.token_embedding.weight"


def initialize(module: nn.Module) -> nn.Module:
    """Gives ComfyUI's layers torch's initial values; they have none, because ComfyUI always loads weights."""
    for layer in module.modules():
        if hasattr(layer, "reset_parameters"):
            own = next(base for base in type(layer).__mro__ if base.__module__.startswith("torch.nn"))
            own.reset_parameters(layer)
    return module


def initial_networks(tokenizer, fresh: bool) -> nn.ModuleDict:
    """{"unet", "text"} with the published weights, or with random ones if `fresh`.

    Only embeddings of words that prompts can contain are trained. All others stay zero, so that an unknown word has no
    effect instead of a random one.
    """
    pack = load_pack().nodes
    unet = initialize(pack.demo_networks.build_model(torch.float32).diffusion_model)
    nn.init.zeros_(unet.out[-1].weight)
    nn.init.zeros_(unet.out[-1].bias)
    text = initialize(pack.demo_networks.DemoTextEncoder(dtype=torch.float32)).transformer
    embedding = text.text_model.embeddings.token_embedding.weight
    table = torch.zeros_like(embedding)
    known = known_tokens(tokenizer)
    table[known] = 0.1 * torch.randn(len(known), embedding.shape[1])
    if not fresh:
        unet.load_state_dict({name: value.float() for name, value in pack.demo_weights.read_weights("unet").items()})
        published = {name: value.float() for name, value in pack.demo_weights.read_weights("text").items()}
        table[published.pop("known_tokens").long()] = published.pop("known_embeddings")
        text.load_state_dict({**published, EMBEDDING: table})
    with torch.no_grad():
        embedding.copy_(table)
    return nn.ModuleDict({"unet": unet, "text": text}).requires_grad_(True)


def known_tokens(tokenizer) -> list[int]:
    """Every token that a training prompt can contain."""
    captions = [caption for _, _, caption in package_images.PHOTOGRAPHS.values()]
    captions += [caption for _, caption, _ in package_images.TEXTURES.values()]
    captions += [*CUT_OUTS.values(), *package_images.SPRITES.values(), ", ".join(LIGHT_WORDS), *vocabulary()]
    return sorted(set(tokenize(tokenizer, captions).flatten().tolist()))


def word_tokenizer():
    """ComfyUI's tokenizer as the demo model uses it."""
    return load_pack().nodes.demo_networks.DemoWordTokenizer()


def tokenize(tokenizer, prompts: list[str]) -> torch.Tensor:
    """[B,77] token ids, by ComfyUI's own tokenizer."""
    return torch.tensor([[token for token, _ in tokenizer.tokenize_with_weights(prompt)[0]] for prompt in prompts])


def encode_text(text: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """ComfyUI's CLIP text model layer by layer, [B,77] to [B,77,W]: autograd cannot follow its own in-place forward."""
    from comfy.ldm.modules.attention import optimized_attention_for_device

    x = text.embeddings(tokens)
    attention = optimized_attention_for_device(x.device, mask=True, small_input=True)
    causal = torch.full((x.shape[1], x.shape[1]), -torch.finfo(x.dtype).max).triu_(1)
    for layer in text.encoder.layers:
        x = x + layer.self_attn(layer.layer_norm1(x), causal, attention)
        x = x + layer.mlp(layer.layer_norm2(x))
    return text.final_layer_norm(x)


def unet_input(noisy: torch.Tensor, clean: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    """[B,2C+1,h,w]: the noisy latent, the mask, and the clean latent where it is visible.

    hidden: [B,1,h,w], 1 = to be drawn.
    """
    return torch.cat([noisy, left_by_mask(clean, hidden)], 1)
