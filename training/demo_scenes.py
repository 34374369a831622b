"""The demo's own training scenes: subjects from installed packages in photographs whose light they share.

A scene is a crop of a photograph or a colored texture, with or without a subject (a sprite, or a subject cut out of
a photograph). The subject takes the light of its surroundings under the gray-world assumption; then one common light
falls on everything, in linear light. The model is trained on such finished scenes only, never on a raw paste.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from devtools import package_images as images
from phd_ops.segmenters.onnx_salient import SalientModel

CUT_OUTS = {
    "astronaut": "an astronaut in an orange suit",
    "coffee": "a cup of coffee",
    "flower": "an orange flower",
    "motorcycle": "a red motorcycle",
}
# How much a subject follows the log light of its surroundings, and the mean linear gray of a well-lit photograph.
GRAY_WORLD_SHARE = 0.5
GRAY = 0.18
LIGHT_WORDS = ("warm light", "cold light", "bright", "dark")


def to_linear(image: np.ndarray) -> np.ndarray:
    """sRGB in 0..1 to linear light by a 2.2 power, which is exact enough for training data."""
    return np.power(np.clip(image, 0, 1), 2.2)


def to_srgb(light: np.ndarray) -> np.ndarray:
    """The inverse of `to_linear`; clips to 0..1."""
    return np.power(np.clip(light, 0, 1), 1 / 2.2)


class SceneRenderer:
    """Renders (image, prompt) pairs from a numpy Generator; the same generator state gives the same pair."""

    def __init__(self):
        self.backgrounds = []
        photographs = {name: images.read_rgb(images.photograph_path(name)) for name in images.PHOTOGRAPHS}
        for name, (_, _, caption) in images.PHOTOGRAPHS.items():
            # Photographs whose subject is also cut out are rarer, or the model would put that subject everywhere.
            weight = 4.0 if name in ("rocket", "temple") else 1.0
            self.backgrounds.append((to_linear(photographs[name]), caption, weight))
        for path, caption, albedo in images.TEXTURES.values():
            gray = cv2.cvtColor(images.read_rgb(images.package_file("skimage", path)), cv2.COLOR_RGB2GRAY)
            gray = to_linear(gray)
            self.backgrounds.append((gray[..., None] / gray.mean() * np.float32(albedo), caption, 0.8))
        salient = SalientModel(str(images.package_file("rembg", "u2netp.onnx")))
        self.subjects = []
        for name, word in CUT_OUTS.items():
            matte = salient.predict(photographs[name])
            ys, xs = np.nonzero(matte > 0.5)
            box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
            rgba = np.dstack([to_linear(photographs[name]), matte])[box]
            self.subjects.append((rgba, word, 14.0 if name == "astronaut" else 5.0))
        for word, sprite in images.load_sprites().items():
            self.subjects.append((np.dstack([to_linear(sprite[..., :3]), sprite[..., 3]]), word, 1.0))
        self.background_odds = np.array([weight for _, _, weight in self.backgrounds])
        self.background_odds /= self.background_odds.sum()
        self.subject_odds = np.array([weight for _, _, weight in self.subjects])
        self.subject_odds /= self.subject_odds.sum()

    def background(self, rng: np.random.Generator, side: int) -> tuple[np.ndarray, str]:
        """A crop [side,side,3] in linear light, and its caption."""
        image, caption, _ = self.backgrounds[rng.choice(len(self.backgrounds), p=self.background_odds)]
        height, width = image.shape[:2]
        crop = int(min(height, width) * rng.uniform(0.3, 1.0))
        y, x = rng.integers(0, height - crop + 1), rng.integers(0, width - crop + 1)
        scene = cv2.resize(image[y : y + crop, x : x + crop], (side, side), interpolation=cv2.INTER_AREA)
        return (scene[:, ::-1] if rng.random() < 0.5 else scene).copy(), caption

    def subject(self, rng: np.random.Generator, side: int) -> tuple["Layer", str]:
        """One subject at a random place of an image, and its word."""
        rgba, word, _ = self.subjects[rng.choice(len(self.subjects), p=self.subject_odds)]
        if rng.random() < 0.5:
            rgba = rgba[:, ::-1]
        scale = side * rng.uniform(0.35, 0.95) / max(rgba.shape[:2])
        size = [max(8, round(n * scale)) for n in rgba.shape[1::-1]]
        premultiplied = np.dstack([rgba[..., :3] * rgba[..., 3:], rgba[..., 3]])
        small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
        x0 = int(rng.integers(-size[0] // 5, side - size[0] + size[0] // 5 + 1))
        y0 = side - size[1] if rng.random() < 0.5 else int(rng.integers(0, max(1, side - size[1] + size[1] // 5 + 1)))
        image = np.zeros((side, side, 4), np.float32)
        top, left, bottom, right = max(0, y0), max(0, x0), min(side, y0 + size[1]), min(side, x0 + size[0])
        image[top:bottom, left:right] = small[top - y0 : bottom - y0, left - x0 : right - x0]
        return Layer(image[..., :3], image[..., 3:], left, right, bottom), word

    def render(self, rng: np.random.Generator, side: int) -> tuple[np.ndarray, str]:
        """One scene: uint8 [side,side,3] sRGB and its prompt."""
        scene, prompt = self.background(rng, side)
        if rng.random() < 0.75:
            layer, word = self.subject(rng, side)
            layer.put_into(scene, rng)
            prompt = f"{word}, {prompt}"
        light, words = common_light(rng, side)
        return (to_srgb(scene * light) * 255 + 0.5).astype(np.uint8), ", ".join([prompt, *words])


@dataclass(frozen=True, eq=False)
class Layer:
    """A subject at its place in an image, in linear light.

    Attributes:
        premultiplied: float32 [S,S,3], its colors times alpha.
        alpha: [S,S,1] in 0..1.
        left, right, bottom: of its box, in pixels.
    """

    premultiplied: np.ndarray
    alpha: np.ndarray
    left: int
    right: int
    bottom: int

    def put_into(self, scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Puts the subject into `scene` [S,S,3] in the light of its surroundings, half of the time with a shadow.

        Changes `scene` in place. Returns that light, float32 [3], a factor.
        """
        side = len(scene)
        # Gray world: the mean of the surroundings, weighted towards the subject, is taken as their light.
        near = cv2.GaussianBlur(self.alpha[..., 0], (0, 0), side / 8) * (1 - self.alpha[..., 0]) + 1e-4
        mean = (scene * near[..., None]).sum((0, 1)) / near.sum()
        light = np.exp(np.clip(GRAY_WORLD_SHARE * np.log((mean + 0.01) / GRAY), -1.6, 0.8))
        if rng.random() < 0.5:  # a soft shadow where the subject stands
            shadow = np.zeros((side, side), np.float32)
            center = ((self.left + self.right) // 2, self.bottom - 1)
            axes = (max(1, (self.right - self.left) // 2), max(1, side // 24))
            cv2.ellipse(shadow, center, axes, 0, 0, 360, 1.0, -1)
            scene *= 1 - 0.5 * cv2.GaussianBlur(shadow, (0, 0), side / 40)[..., None]
        scene *= 1 - self.alpha
        scene += self.premultiplied * light
        return light


def common_light(rng: np.random.Generator, side: int) -> tuple[np.ndarray, list[str]]:
    """One light for a whole image: a gain on linear light, [side,side,3], and its words where it is strong."""
    exposure, warmth = rng.normal(0, 0.3), rng.normal(0, 0.2)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.3)
    v, u = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    gradient = slope * (np.cos(angle) * u + np.sin(angle) * v)
    gain = np.exp(exposure + np.float32([warmth, 0, -warmth]) + gradient[..., None])
    applies = (warmth > 0.15, warmth < -0.15, exposure > 0.25, exposure < -0.25)
    return gain, [word for word, chosen in zip(LIGHT_WORDS, applies, strict=True) if chosen]


def rendered_scenes(renderer: SceneRenderer, seed: list[int], count: int, side: int) -> tuple[torch.Tensor, list[str]]:
    """`count` scenes as [count,3,side,side] in [-1,1], and their prompts."""
    rng = np.random.default_rng(seed)
    scenes = [renderer.render(rng, side) for _ in range(count)]
    images = torch.from_numpy(np.stack([image for image, _ in scenes])).permute(0, 3, 1, 2)
    return images.float() / 127.5 - 1, [prompt for _, prompt in scenes]
