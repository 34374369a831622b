"""The segmenter that a checkpoint holds, recognized by its tensors; the file's name does not matter."""

import torch

from ..sentence import sentence
from . import deeplab, sam

SUPPORTED = sentence(
    "supported are SAM (ViT-B, ViT-L, ViT-H), DeepLabV3+ of segmentation-models-pytorch or "
    "transformers, DeepLabV3 of torchvision, and salient-object models as .onnx"
)
# Known checkpoints that are not supported: how a tensor's name begins, and what the file is.
UNSUPPORTED = (
    ("mask_decoder.hf_token", sentence("a SAM-HQ checkpoint")),
    ("sam_mask_decoder.", sentence("a SAM 2 checkpoint")),
    ("memory_attention.", sentence("a SAM 2 checkpoint")),
    ("detector.", sentence("a SAM 3 checkpoint")),
    ("image_encoder.patch_embed.seq.", sentence("a MobileSAM checkpoint")),
    ("vision_encoder.", sentence("a SAM checkpoint in transformers' own layout")),
    ("model.diffusion_model.", sentence("a diffusion model")),
    ("diffusion_model.", sentence("a diffusion model")),
)
SAM_TENSORS = ("image_encoder.patch_embed.proj.weight", "mask_decoder.mask_tokens.weight")
# What training tools put in front of a network's tensor names.
PREFIXES = ("module.", "model.", "net.")


def without_prefix(weights: dict) -> dict[str, torch.Tensor]:
    """The tensors of a state dict, without the prefixes that all of their names share."""
    tensors = {
        name: value for name, value in weights.items() if isinstance(name, str) and isinstance(value, torch.Tensor)
    }
    for prefix in PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            return without_prefix({name[len(prefix) :]: value for name, value in tensors.items()})
    return tensors


def build(weights: object, metadata: dict[str, str]) -> sam.SamSegmenter | deeplab.DeepLab:
    """The segmenter of a state dict.

    Args:
        weights: what the file holds; anything but a dict of tensors is refused.
        metadata: of a safetensors file, see `deeplab`.
    Raises ValueError; its message is what follows the file's name and a colon.
    """
    tensors = without_prefix(weights) if isinstance(weights, dict) else {}
    for start, what in UNSUPPORTED:
        if any(name.startswith(start) for name in tensors):
            raise ValueError(sentence("this is {what}; {supported}.", what=what, supported=SUPPORTED))
    if all(name in tensors for name in SAM_TENSORS):
        return sam.SamSegmenter(sam.build(tensors))
    if deeplab.library_of(tensors) is not None:
        return deeplab.build(tensors, metadata)
    raise ValueError(sentence("this is not a segmenter that this pack knows; {supported}.", supported=SUPPORTED))
