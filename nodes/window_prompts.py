"""What prompts show of an image beside their words, where the latent shows a window of that image."""

from collections.abc import Iterator
from typing import Any

import torch

from ..phd_ops.sentence import sentence
from .companions import Companions
from .images import pixels
from .ui import warn


def shown(values: dict[str, Any]) -> Iterator[Any]:
    """A prompt's masks [...,H,W], in pixels, and its ControlNets' images [B,C,H,W]; None where one has none."""
    yield from (values[name] for name in ("mask", "concat_mask") if name in values)
    control = values.get("control")
    while control is not None:
        yield getattr(control, "cond_hint_original", None)
        control = getattr(control, "previous_controlnet", None)


def warn_of_whole_image(held: Companions | None, **prompts: list | None) -> None:
    """Warns of each prompt, by its input's name, with a mask or an image of the whole image's size: ComfyUI would
    squeeze it into the window."""
    if held is None or held.crop.scene == held.crop.target:
        return
    for name, prompt in prompts.items():
        images = (image for _, values in prompt or [] for image in shown(values) if isinstance(image, torch.Tensor))
        if any(tuple(image.shape[-2:][::-1]) == held.crop.scene for image in images):
            warn(
                sentence(
                    "{name} holds a mask or a ControlNet's image of {size}, the whole image's, but the latent shows a "
                    "window: make it from cropped_image or a cropped mask of Crop Around Subject.",
                    name=name,
                    size=pixels(held.crop.scene),
                )
            )
