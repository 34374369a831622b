"""What images and clips a model was made for: their size, the grid of their sides, and the number of frames."""

from typing import Any

import comfy.latent_formats

from ..phd_ops.sentence import sentence
from .ui import Message

# The side of a latent cell in pixels, where it is not 8, for versions of ComfyUI whose latent formats do not have it.
CELLS = {"Wan22": 16, "LTXV": 32, "HunyuanImage21": 32, "HunyuanImage21Refiner": 16, "HunyuanVideo15": 16, "Flux2": 16,
         "SC_Prior": 42, "SC_B": 4, "SD_X4": 4, "ChromaRadiance": 1}  # fmt: skip
# Transformers that work on single cells, and whose configurations do not say so.
WITHOUT_PATCHES = ("ltxv", "ltxav")
# Video models, by their latent format: the side of a square with as many pixels as the frames that ComfyUI's own nodes
# make for them, such as 832×480 for Wan 2.1 and 1280×704 for Wan 2.2 5B.
VIDEO_SIDES = {"Wan21": 632, "Wan22": 949, "HunyuanVideo": 638, "HunyuanVideo15": 638, "LTXV": 627, "Mochi": 638,
               "Cosmos1CV8x8x8": 949}  # fmt: skip
# Models of single images that share a video model's latent format.
IMAGE_MODELS = ("qwen_image", "cosmos_predict2")
# The input channels of a model of IMAGE_MODELS that makes a video of an image, and has one channel for a mask.
OF_VIDEOS = 17


def of_format(latent: comfy.latent_formats.LatentFormat, known: dict[str, int], other: int) -> int:
    """What is known of a latent format by its name, or of the one that it is made from, as LTXAV from LTXV."""
    return next((known[kind.__name__] for kind in type(latent).__mro__ if kind.__name__ in known), other)


def latent_grid(latent: comfy.latent_formats.LatentFormat, config: dict[str, Any]) -> int:
    """What the sides of a model's images are multiples of: pixels per latent cell times cells per patch."""
    cell = getattr(latent, "spacial_downscale_ratio", None) or of_format(latent, CELLS, 8)
    if "model_channels" in config or "stable_cascade_stage" in config:
        return int(cell)
    # Transformers work on patches of cells, most of them on 2×2; those of videos are [frames, height, width].
    patch = config.get("patch_size") or (1 if config.get("image_model") in WITHOUT_PATCHES else 2)
    return int(cell) * int(max(patch) if isinstance(patch, (list, tuple)) else patch)


def model_size(model: Any) -> tuple[int, int]:
    """The side in pixels of the square image that a MODEL was made for, and what its images' sides are multiples of."""
    config = model.model.model_config
    latent = model.get_model_object("latent_format")
    multiple = latent_grid(latent, config.unet_config)
    # Only the demo model has it; newer configurations give None for any name.
    own = getattr(config, "image_side", None)
    if own is not None:
        return own, multiple
    if isinstance(latent, comfy.latent_formats.SD15) and "image_model" not in config.unet_config:
        # Stable Diffusion 1 has 512 pixels, 2 with its wider text has 768. PixArt has the same latents, and is larger.
        return 768 if config.unet_config.get("context_dim") == 1024 else 512, multiple
    if config.unet_config.get("image_model") not in IMAGE_MODELS:
        return of_format(latent, VIDEO_SIDES, 1024), multiple
    return 1024, multiple


def makes_single_images(model: Any) -> bool:
    """Whether a MODEL works on one image at a time, though its VAE takes a batch of images for a video's frames."""
    config = model.model.model_config.unet_config
    return config.get("image_model") in IMAGE_MODELS and config.get("in_channels") != OF_VIDEOS


def frames_for(vae: Any, count: int) -> tuple[int, list[Message]]:
    """How many of `count` frames a VAE encodes: a video's take one and then groups of, say, four. And a message."""
    if getattr(vae, "latent_dim", 2) != 3 or getattr(vae, "not_video", False):
        return count, []
    ratios = [getattr(vae, name, None) for name in ("downscale_ratio", "upscale_ratio")]
    if not all(isinstance(ratio, tuple) and callable(ratio[0]) for ratio in ratios):
        return count, []
    down, up = (ratio[0] for ratio in ratios)  # type: ignore[index]  # of frames to latent frames, and back
    kept = min(count, max(1, int(up(down(count)))))
    if kept == count:
        return count, []
    text = sentence(
        "This VAE needs 1 + {group}n frames: the last {cut} of {count} are left out.",
        group=int(up(2) - up(1)),
        count=count,
        cut=count - kept,
    )
    return kept, [Message(text, warning=True)]
