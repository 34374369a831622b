"""How alike two crops are to networks that people know: CLIP-I, DINO-I and DreamSim.

They are measured only where their weights lie on this machine already; nothing is downloaded.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

# As DreamBooth (arXiv 2208.12242) has them: the cosine of two images' embeddings, 1 is the same.
CLIP = "openai/clip-vit-base-patch32"
DINO = "facebook/dino-vits16"
# DreamSim (arXiv 2306.09344) is a distance, 0 is the same. Its package keeps its weights in this folder by default, and
# downloads what it does not find there.
DREAMSIM = Path("models")
DREAMSIM_FILES = (
    "dino_vitb16_pretrain.pth", "clip_vitb16_pretrain.pth.tar", "open_clip_vitb16_pretrain.pth.tar", "*_lora",
)  # fmt: skip

Measure = Callable[[np.ndarray, np.ndarray], float]


def as_image(crop: np.ndarray) -> Image.Image:
    return Image.fromarray((crop * 255 + 0.5).clip(0, 255).astype(np.uint8))


def cosine(embed: Callable[[Image.Image], torch.Tensor]) -> Measure:
    def measure(one: np.ndarray, other: np.ndarray) -> float:
        with torch.inference_mode():
            pair = [embed(as_image(crop)).flatten() for crop in (one, other)]
        return float(torch.nn.functional.cosine_similarity(*pair, dim=0))

    return measure


def clip_i() -> Measure:
    from transformers import CLIPImageProcessor, CLIPModel

    model = CLIPModel.from_pretrained(CLIP, local_files_only=True).eval()
    processor = CLIPImageProcessor.from_pretrained(CLIP, local_files_only=True)
    return cosine(lambda image: model.get_image_features(**processor(images=image, return_tensors="pt")))


def dino_i() -> Measure:
    from transformers import AutoImageProcessor, AutoModel

    model = AutoModel.from_pretrained(DINO, local_files_only=True).eval()
    processor = AutoImageProcessor.from_pretrained(DINO, local_files_only=True)
    return cosine(lambda image: model(**processor(images=image, return_tensors="pt")).last_hidden_state[0, 0])


def dreamsim_distance() -> Measure:
    if not all(any(DREAMSIM.glob(name)) for name in DREAMSIM_FILES):
        raise OSError(f"{DREAMSIM} has no weights of DreamSim")
    from dreamsim import dreamsim

    model, preprocess = dreamsim(pretrained=True, cache_dir=str(DREAMSIM), device="cpu")

    def measure(one: np.ndarray, other: np.ndarray) -> float:
        with torch.inference_mode():
            return float(model(*(preprocess(as_image(crop)) for crop in (one, other))))

    return measure


# Name in the JSON -> (what loads it, the weights in words).
KNOWN: dict[str, tuple[Callable[[], Measure], str]] = {
    "clip_i": (clip_i, CLIP),
    "dino_i": (dino_i, DINO),
    "dreamsim": (dreamsim_distance, "dreamsim"),
}


def at_hand() -> tuple[dict[str, Measure], dict[str, str]]:
    """The measures whose weights are here, and for each of the others what it needs."""
    measures, missing = {}, {}
    for name, (load, weights) in KNOWN.items():
        try:
            with offline():
                measures[name] = load()
        except (ImportError, OSError, ValueError):
            missing[name] = f"the weights of {weights} are not on this machine"
    return measures, missing


@contextlib.contextmanager
def offline():
    """Keeps the libraries from looking for newer weights."""
    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value
