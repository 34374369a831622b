"""A small classifier of the things in RelitScenes: what is to be seen in an image that the demo model drew?

It learns from truths of the training split, in colors that are mixed up (a class comes in any color), and never sees
what a diffusion model made. `python3 dev.py train classifier` makes `demo/weights/classifier.safetensors`, 0.6 MB.
"""

import re

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from devtools.comfyui import load_pack
from relit_scenes.subjects import CLASSES
from relit_scenes.training_scenes import training_pair
from training.data import as_tensor

SIDE = 64
# The last class: none of them.
CLASSES_AND_NONE = (*CLASSES, "nothing")


def class_of(prompt: str) -> int:
    """Which thing a prompt names, as an index into CLASSES_AND_NONE."""
    # What comes before the place names the subject.
    words = re.split(r" on | before |,", f" {prompt}")[0] + " "
    found = [index for index, noun in enumerate(CLASSES) if f" {noun} " in words]
    return found[-1] if found else len(CLASSES)


class Classifier(nn.Sequential):
    """[B,3,64,64] in -1..1 to logits [B,classes]."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128)):
        layers, before = [], 3
        for width in widths:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
            layers += [nn.Conv2d(width, width, 3, stride=2, padding=1, groups=8), nn.SiLU()]
            before = width
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(before * 16, len(CLASSES_AND_NONE)))


def as_seen(images: torch.Tensor) -> torch.Tensor:
    """[B,3,S,S] in -1..1 at the classifier's side."""
    return F.interpolate(images, (SIDE, SIDE), mode="area")


def varied(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Channels in another order, mirrored, lighter or darker, some blurred: shape is what tells a class."""
    images = images[:, torch.randperm(3, generator=generator)]
    if torch.rand(1, generator=generator) < 0.5:
        images = images.flip(-1)
    gain = torch.exp(0.25 * torch.randn(len(images), 3, 1, 1, generator=generator))
    images = (images + 1) * gain - 1
    if torch.rand(1, generator=generator) < 0.5:
        images = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    shift = torch.randint(-5, 6, (2,), generator=generator).tolist()
    return images.roll(shift, (2, 3)) + 0.05 * torch.randn(images.shape, generator=generator)


def load() -> Classifier:
    model = Classifier()
    weights = load_pack().nodes.demo_model.read_weights("classifier")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.eval()


@torch.no_grad()
def accuracy(model: Classifier, images: torch.Tensor, prompts: list[str]) -> float:
    """Of images [B,3,S,S] in -1..1, the share in which the thing that the prompt names is the likeliest."""
    wanted = torch.tensor([class_of(prompt) for prompt in prompts])
    return float((model(as_seen(images)).argmax(1) == wanted).float().mean())


def held_out(count: int, split: str = "test") -> tuple[torch.Tensor, list[str]]:
    """Truths that show a thing, [count,3,128,128] in -1..1, and their prompts."""
    found, seed = [], 0
    while len(found) < count:
        image, prompt = training_pair(seed, split=split)
        seed += 1
        if class_of(prompt) < len(CLASSES):
            found.append((image, prompt))
    return as_tensor([np.asarray(image) for image, _ in found]), [prompt for _, prompt in found]
