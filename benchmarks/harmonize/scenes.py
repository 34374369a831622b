"""Scenes whose harmonized truth is known, and the exact denoiser for them: ground truth without a network.

A scene is the log light of an image on a grid of 24×24 cells: smooth light, plus fine texture, plus the subject's
albedo. The prompt names the albedo up to a small remainder. The composite shows the subject under the light of another
scene, and the reference is that other scene. All parts are normally distributed, so the best estimate E[x0 | x] is
linear and known: with the right prompt, with a wrong one, and without any.
"""

import functools
from dataclasses import dataclass

import numpy as np
import torch

SIDE = 24
DOUBLE = torch.float64
# Standard deviations of light, texture and grain, and the correlation lengths of the first two in cells.
LIGHT, TEXTURE, GRAIN, LIGHT_LENGTH, TEXTURE_LENGTH = 0.6, 0.25, 0.05, 9.0, 1.2
# Standard deviation of the albedo about what a prompt names, and about 0 without a prompt.
ALBEDO_WITH_PROMPT, ALBEDO_WITHOUT_PROMPT = 0.10, 0.95
ALBEDOS = (-1.2, -0.6, 0.6, 1.2)
# The prompt names the subject's albedo, its negative, or nothing.
PROMPTS = RIGHT, WRONG, NONE = ("right", "wrong", "none")


@functools.cache
def kernel(length: float, deviation: float) -> torch.Tensor:
    """Squared-exponential covariance of the grid's cells, [576,576]. Shared: not to be changed in place."""
    at = torch.arange(SIDE, dtype=DOUBLE)
    v, u = (axis.flatten() for axis in torch.meshgrid(at, at, indexing="ij"))
    apart = (v[:, None] - v) ** 2 + (u[:, None] - u) ** 2
    return deviation**2 * torch.exp(-0.5 * apart / length**2)


def disc(radius: float) -> torch.Tensor:
    """bool [576]: the subject, a disc in the middle."""
    at = torch.arange(SIDE, dtype=DOUBLE) - SIDE / 2
    return ((at[:, None] ** 2 + at**2) <= radius**2).flatten()


@dataclass(frozen=True)
class Scenes:
    """Log light, each [N,576]. Scenes that show the same thing share its texture and albedo.

    Attributes:
        subject: bool [576].
        truth: the subject in the scene's light.
        composite: the subject under another light, the rest as in the truth.
        reference: the scene that the subject comes from, under that other light.
        background: the scene without the subject.
        texture: of the truth, subject included; on the subject it is what makes its identity.
        albedo: [N,1], the subject's own.
        named: [N], the albedo that the right prompt names.
        same_color: whether the subject is of the background's own material, which the prompt names.
    """

    subject: torch.Tensor
    truth: torch.Tensor
    composite: torch.Tensor
    reference: torch.Tensor
    background: torch.Tensor
    texture: torch.Tensor
    albedo: torch.Tensor
    named: torch.Tensor
    same_color: bool


def draw_scenes(count: int, seed: int, same_color: bool = False) -> Scenes:
    generator, cells = torch.Generator().manual_seed(seed), SIDE**2

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=DOUBLE, generator=generator)

    light = torch.linalg.cholesky(kernel(LIGHT_LENGTH, LIGHT) + 1e-9 * torch.eye(cells, dtype=DOUBLE))
    texture = torch.linalg.cholesky(kernel(TEXTURE_LENGTH, TEXTURE) + GRAIN**2 * torch.eye(cells, dtype=DOUBLE))
    here, there = drawn(count, cells) @ light.T, drawn(count, cells) @ light.T
    own, other, behind = (drawn(count, cells) @ texture.T for _ in range(3))
    named = torch.tensor(ALBEDOS, dtype=DOUBLE)[torch.randint(len(ALBEDOS), (count,), generator=generator)]
    albedo = (named + ALBEDO_WITH_PROMPT * drawn(count))[:, None]
    if same_color:
        named, albedo = torch.zeros_like(named), torch.zeros_like(albedo)
    subject = disc(6.0)
    truth = here + own + albedo * subject
    return Scenes(
        subject,
        truth,
        torch.where(subject, there + own + albedo, truth),
        there + torch.where(subject, own, other) + albedo * subject,
        torch.where(subject, here + behind, truth),
        own,
        albedo,
        named,
        same_color,
    )


@functools.cache
def eigenvectors(subject: bytes, albedo: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Eigenvalues [576] and eigenvectors [576,576] of the scenes' covariance.

    subject: the bytes of its mask. albedo: standard deviation of the subject's albedo.
    """
    mask = torch.frombuffer(bytearray(subject), dtype=torch.bool).to(DOUBLE)
    covariance = kernel(LIGHT_LENGTH, LIGHT) + kernel(TEXTURE_LENGTH, TEXTURE)
    covariance += GRAIN**2 * torch.eye(SIDE**2, dtype=DOUBLE)
    return torch.linalg.eigh(covariance + albedo**2 * torch.outer(mask, mask))


class Denoiser:
    """E[x0 | a x0 + sigma n = x] of the scenes, given what the prompt names."""

    def __init__(self, subject: torch.Tensor, same_color: bool = False):
        self.subject = subject.to(DOUBLE)
        mask = subject.numpy().tobytes()
        self.with_prompt = eigenvectors(mask, 0.0 if same_color else ALBEDO_WITH_PROMPT)
        self.without_prompt = eigenvectors(mask, ALBEDO_WITHOUT_PROMPT)

    def __call__(self, x: torch.Tensor, a: float, sigma: float, albedo: torch.Tensor | None) -> torch.Tensor:
        """x [...,576]; albedo: the one that is named, broadcasting to [...], None without a prompt."""
        values, vectors = self.without_prompt if albedo is None else self.with_prompt
        values = values.clamp(min=1e-9)
        offset = 0 if albedo is None else albedo[..., None] * self.subject
        gain = vectors * (a * values / (a * a * values + sigma * sigma))
        return offset + (x - a * offset) @ gain @ vectors.T


def named_albedo(scenes: Scenes, prompt: str) -> torch.Tensor | None:
    """The albedo [N] that a prompt names for `Denoiser`, or None."""
    return {RIGHT: scenes.named, WRONG: -scenes.named, NONE: None}[prompt]


def squared_error(result: torch.Tensor, scenes: Scenes) -> torch.Tensor:
    """fMSE of each scene, [N]: mean squared error in log light over the subject."""
    return (result - scenes.truth)[:, scenes.subject].square().mean(1)


def make_image(log_light: torch.Tensor, cell: int) -> np.ndarray:
    """Log light [...,576] as float32 sRGB images [...,24 cell,24 cell,3], where a cell is `cell` pixels wide.

    0 is middle gray; an increase of 2 multiplies the light by e.
    """
    from phd_ops.pixels.color import linear_to_srgb

    light = (0.18 * torch.exp(log_light / 2)).float().numpy().reshape(*log_light.shape[:-1], SIDE, SIDE)
    light = light.repeat(cell, axis=-2).repeat(cell, axis=-1)
    return np.repeat(linear_to_srgb(light)[..., None], 3, axis=-1)


def log_light(images: np.ndarray) -> torch.Tensor:
    """The inverse of `make_image`: the mean log light of each cell, [...,576]."""
    from phd_ops.pixels.color import srgb_to_linear

    light, cell = srgb_to_linear(images[..., 0]), images.shape[-2] // SIDE
    logs = 2 * np.log(np.maximum(light, 1e-6) / 0.18)
    cells = logs.reshape(*light.shape[:-2], SIDE, cell, SIDE, cell).mean(axis=(-3, -1))
    return torch.from_numpy(cells.reshape(*light.shape[:-2], SIDE**2)).to(DOUBLE)
