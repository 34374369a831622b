"""Finished scenes for training: the truth alone, in 8 bits, with its prompt. A model never sees a composite."""

import numpy as np

from phd_ops.pixels.color import linear_to_srgb
from relit_scenes import backgrounds, light, subjects
from relit_scenes.draw import draw_shot
from relit_scenes.layers import embedded, render_layers
from relit_scenes.split import SPLITS
from relit_scenes.subjects import KINDS

# Linear light in 16 bits to sRGB in 8 bits.
SRGB = (linear_to_srgb(np.arange(65536) / 65535) * 255 + 0.5).astype(np.uint8)


def srgb_bytes(light_image: np.ndarray) -> np.ndarray:
    """Linear light in 0..1 to sRGB as uint8, of any shape."""
    return SRGB[(light_image * 65535 + 0.5).astype(np.uint16)]


def training_scene(
    seed: int, side: int = 128, split: str = "train", kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, str]:
    """A finished scene as uint8 [side,side,4] (sRGB and the subject's matte), and its prompt."""
    shot = draw_shot(seed, split, kinds)
    parts = render_layers(shot, side)
    matte = (embedded(parts.matte, parts.box, side) * 255 + 0.5).astype(np.uint8)
    return np.dstack([srgb_bytes(parts.finished), matte]), shot.prompt


def training_pair(
    seed: int, side: int = 128, split: str = "train", kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, str]:
    """A finished scene without its matte, uint8 [side,side,3], and its prompt."""
    scene, prompt = training_scene(seed, side, split, kinds)
    return scene[..., :3], prompt


def vocabulary() -> list[str]:
    """Phrases that contain every word that a prompt can have."""
    found = [f"a {color} {noun}" for color in subjects.COLORS for noun in subjects.CLASSES]
    found += [f"an {pattern}" for pattern in subjects.PATTERNS if pattern]
    for split in SPLITS:
        found += [
            f"on {ground} before {band} under {behind}" for _, ground, behind, band in backgrounds.combinations(split)
        ]
        found += [f"before {caption}" for _, _, caption in backgrounds.PHOTOGRAPHS[split]]
    return [*found, ", ".join(light.WORDS)]
