"""Stage `classifier`: a small network that recognizes the object in a RelitScene.

The benchmark asks it whether images that the demo model drew show the object of their prompt. It is trained on truths
of the training split with shuffled colors, so that shape decides, and never on a diffusion model's output.
"""

import re
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from devtools.comfyui import load_pack
from relit_scenes.subjects import CLASSES
from relit_scenes.training_scenes import training_pair
from training.data import RelitStore, SceneMixture, as_tensor
from training.export import publish
from training.stage import WORK, Log, cosine, set_rate

SIDE = 64
RATE = 2e-3
# The last class: none of them.
CLASSES_AND_NONE = (*CLASSES, "nothing")


def class_of(prompt: str) -> int:
    """The object that a prompt names, as an index into CLASSES_AND_NONE."""
    # The words before the place name the subject.
    words = re.split(r" on | before |,", f" {prompt}")[0] + " "
    found = [index for index, noun in enumerate(CLASSES) if f" {noun} " in words]
    return found[-1] if found else len(CLASSES)


class Classifier(nn.Sequential):
    """[B,3,64,64] in [-1,1] to logits [B,classes]."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96, 128)):
        layers, channels = [], 3
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
            layers += [nn.Conv2d(width, width, 3, stride=2, padding=1, groups=8), nn.SiLU()]
            channels = width
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels * 16, len(CLASSES_AND_NONE)))


def resized(images: torch.Tensor) -> torch.Tensor:
    """[B,3,S,S] at the classifier's size, [B,3,64,64]."""
    return F.interpolate(images, (SIDE, SIDE), mode="area")


def augmented(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Permuted channels, mirrored, lighter or darker, some blurred: only shape tells the class."""
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
    """The published classifier."""
    model = Classifier()
    weights = load_pack().nodes.demo_weights.read_weights("classifier")
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    return model.eval()


@torch.no_grad()
def accuracy(model: Classifier, images: torch.Tensor, prompts: list[str]) -> float:
    """The share of images [B,3,S,S] in [-1,1] whose likeliest class is the object that the prompt names."""
    wanted = torch.tensor([class_of(prompt) for prompt in prompts])
    return float((model(resized(images)).argmax(1) == wanted).float().mean())


def held_out(count: int, split: str = "test") -> tuple[torch.Tensor, list[str]]:
    """Truths that show an object, [count,3,128,128] in [-1,1], and their prompts."""
    found, seed = [], 0
    while len(found) < count:
        image, prompt = training_pair(seed, split=split)
        seed += 1
        if class_of(prompt) < len(CLASSES):
            found.append((image, prompt))
    return as_tensor([np.asarray(image) for image, _ in found]), [prompt for _, prompt in found]


def train_classifier(steps: int) -> None:
    """Cross entropy on the stored scenes. Takes minutes, so it is published at the end without a checkpoint."""
    log = Log("classifier")
    torch.manual_seed(0)
    side = 128
    first, most = SceneMixture.scenes[side]
    store, model = RelitStore(WORK, side, most), Classifier()
    store.grow(first)
    classes = torch.tensor([class_of(prompt) for prompt in store.prompts])
    images = torch.cat([resized(as_tensor([image[..., :3]])) for image in store.images[: len(store)]])
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.02)
    began, generator = time.time(), torch.Generator().manual_seed(0)
    validation = {split: held_out(200, split) for split in ("validation", "test")}
    for step in range(steps):
        set_rate(optimizer, RATE * cosine(step, steps))
        drawn = torch.randint(len(store), (64,), generator=generator)
        logits = model.train()(augmented(images[drawn], generator))
        loss = F.cross_entropy(logits, classes[drawn], label_smoothing=0.05)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % 500 == 0 or step + 1 == steps:
            found = [f"{split} {accuracy(model.eval(), *of):.3f}" for split, of in validation.items()]
            log(f"step {step + 1} loss {loss.item():.3f}, {time.time() - began:.0f} s, on truths: {', '.join(found)}")
    publish({"classifier": model.state_dict()})
