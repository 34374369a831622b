"""From a checkpoint's tensors to the segmenter they belong to. The file's name has no say."""

import torch

from . import deeplab, sam

SUPPORTED = (
    "supported are SAM (ViT-B, ViT-L, ViT-H), DeepLabV3+ of segmentation-models-pytorch or transformers, "
    "DeepLabV3 of torchvision, and salient-object models as .onnx"
)
# What else comes under these names: a part of a tensor's name, and what it is.
FOREIGN = (
    ("mask_decoder.hf_token", "a SAM-HQ checkpoint"),
    ("sam_mask_decoder.", "a SAM 2 checkpoint"),
    ("memory_attention.", "a SAM 2 checkpoint"),
    ("detector.", "a SAM 3 checkpoint"),
    ("image_encoder.patch_embed.seq.", "a MobileSAM checkpoint"),
    ("vision_encoder.", "a SAM checkpoint in transformers' own layout"),
    ("model.diffusion_model.", "a diffusion model"),
    ("diffusion_model.", "a diffusion model"),
)
SAM_TENSORS = ("image_encoder.patch_embed.proj.weight", "mask_decoder.mask_tokens.weight")
# What training tools put before a network's own names.
PREFIXES = ("module.", "model.", "net.")


def unwrapped(weights: dict) -> dict[str, torch.Tensor]:
    """The tensors of a state dict without a prefix that all of them share."""
    tensors = {
        name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return unwrapped({name[len(prefix) :]: value for name, value in tensors.items()})
    return tensors


def build(weights: dict, metadata: dict[str, str]) -> sam.SamSegmenter | deeplab.DeepLab:
    """The segmenter of a state dict. Raises ValueError with the rest of a sentence that begins with the file's name."""
    tensors = unwrapped(weights) if isinstance(weights, dict) else {}
    for part, what in FOREIGN:
        if any(name.startswith(part) for name in tensors):
            raise ValueError(f"is {what}; {SUPPORTED}")
    if all(name in tensors for name in SAM_TENSORS):
        return sam.SamSegmenter(sam.build(tensors))
    if deeplab.library_of(tensors) is not None:
        return deeplab.build(tensors, metadata)
    raise ValueError(f"is not a segmenter that this pack knows; {SUPPORTED}")
