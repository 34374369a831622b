"""What the demo's module is trained on: pastes with their truths, from RelitScenes and from the demo's own images."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from phd_ops.latents.module_condition import module_condition
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene
from training.data import as_tensor, augmented, in_cells
from training.demo_scenes import SceneRenderer, common_light, to_srgb
from training.module_base import Base

# The share of photographs, where there are any.
PHOTOGRAPHS = 0.3
# Shares of the others: RelitScenes with their own pastes, finished RelitScenes whose subject gets another
# light here; the rest are the demo's own images.
RENDERED, RELIT_HERE = 0.6, 0.15
# How often the light reference is left out, so that the module works without one.
REFERENCE_DROPPED = 0.4
# How often the ring is as Paste & Blend makes it; otherwise it has another width.
USUAL_RING = 0.5


@dataclass(frozen=True)
class Paste:
    """A paste with its truth, uint8 arrays [S,S,3] sRGB or [S,S].

    Attributes:
        truth: the subject in the scene's light.
        composite: the subject in another light, on the scene's background.
        matte: the subject's, 0..255.
        hidden: subject and ring, above 0 = to be drawn.
        reference: the subject in the other scene, whose light it came with, in its place here; None = not known.
        prompt: what the truth shows.
    """

    truth: np.ndarray
    composite: np.ndarray
    matte: np.ndarray
    hidden: np.ndarray
    reference: np.ndarray | None
    prompt: str

    @property
    def stacked(self) -> np.ndarray:
        """All images, [S,S,11]."""
        return np.dstack([self.truth, self.composite, self.reference, self.matte, self.hidden])

    @classmethod
    def of_stack(cls, images: np.ndarray, prompt: str) -> "Paste":
        truth, composite, reference = images[..., :3], images[..., 3:6], images[..., 6:9]
        return cls(truth, composite, images[..., 9], images[..., 10], reference, prompt)


@dataclass(frozen=True)
class PasteBatch:
    """Pastes for one training step.

    Attributes:
        truth, composite, reference: [B,3,S,S] in [-1,1].
        referenced: [B,1,1,1], 1 = there is a reference; elsewhere `reference` means nothing.
        matte: [B,1,S,S] in 0..1.
        hidden: [B,1,S/8,S/8], 1 = to be drawn.
        prompts: [B].
    """

    truth: torch.Tensor
    composite: torch.Tensor
    reference: torch.Tensor
    referenced: torch.Tensor
    matte: torch.Tensor
    hidden: torch.Tensor
    prompts: list[str]


def batch_of(pastes: list[Paste]) -> PasteBatch:
    hidden = np.stack([in_cells(paste.hidden).max((1, 3)) > 0 for paste in pastes])
    references = [paste.truth if paste.reference is None else paste.reference for paste in pastes]
    known = torch.tensor([float(paste.reference is not None) for paste in pastes])
    return PasteBatch(
        as_tensor([paste.truth for paste in pastes]),
        as_tensor([paste.composite for paste in pastes]),
        as_tensor(references),
        known.view(-1, 1, 1, 1),
        torch.from_numpy(np.stack([paste.matte for paste in pastes]))[:, None].float() / 255,
        torch.from_numpy(hidden)[:, None].float(),
        [paste.prompt for paste in pastes],
    )


@dataclass(frozen=True)
class Latents:
    """A batch as the module's training takes it.

    Attributes:
        truth, composite: [B,C,h,w], as the base's network takes them.
        condition: [B,2C+3,h,w], see `module_condition`.
        subject: [B,1,h,w], the subject's share of each cell.
        hidden: [B,1,h,w], 1 = to be drawn.
        prompts: [B], the right ones.
    """

    truth: torch.Tensor
    composite: torch.Tensor
    condition: torch.Tensor
    subject: torch.Tensor
    hidden: torch.Tensor
    prompts: list[str]


@torch.no_grad()
def encoded(base: Base, batch: PasteBatch) -> Latents:
    """A batch, encoded by the base's VAE."""
    truth, composite = base.encode(batch.truth), base.encode(batch.composite)
    known = batch.referenced > 0
    reference = base.encode(batch.reference) if known.any() else torch.zeros_like(truth)
    subject = F.adaptive_avg_pool2d(batch.matte, truth.shape[2:]).to(truth)
    hidden = batch.hidden.to(truth)
    condition = module_condition(composite, subject, hidden, reference)
    channels = truth.shape[1]
    # Without a reference, its channels and the last one are 0.
    condition[:, -channels - 1 :] *= known.to(truth)
    return Latents(truth, composite, condition, subject, hidden, batch.prompts)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """0..1 to uint8."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


# Light and ring


def other_light(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A uint8 image [H,W,3] in another light: exposure, color, a slope across it, and sometimes another contrast."""
    height, width = image.shape[:2]
    v, u = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    angle, slope = rng.uniform(0, 2 * np.pi), abs(rng.normal(0, 0.35))
    plane = slope * (np.cos(angle) * u + np.sin(angle) * v)
    gain = rng.normal(0, 0.45) + rng.normal(0, 0.22, 3) + plane[..., None]
    lit = srgb_to_linear(image.astype(np.float32) / 255) * np.exp(gain).astype(np.float32)
    if rng.random() < 0.3:
        lit = np.clip(lit, 0, 4) ** np.float32(np.exp(rng.normal(0, 0.15)))
    return to_bytes(linear_to_srgb(lit.astype(np.float32)))


def over(matte: np.ndarray, subject: np.ndarray, background: np.ndarray) -> np.ndarray:
    """`subject` over `background` by a matte in 0..255, all uint8."""
    alpha = matte[..., None].astype(np.float32) / 255
    return (alpha * subject + (1 - alpha) * background + 0.5).astype(np.uint8)


def ring_around(rng: np.random.Generator, matte: np.ndarray) -> np.ndarray:
    """Subject and a ring of random width, half of them with room for a shadow below: uint8 [S,S], 0 or 1."""
    side = len(matte)
    reach = int(rng.integers(2, side // 8 + 1))
    hidden = cv2.dilate(np.uint8(matte > 0), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2))
    rows, columns = np.nonzero(matte > 127)
    if rows.size and rng.random() < 0.5:
        axes = (int(np.ptp(columns) * 0.8) + 2, int(np.ptp(rows) * 0.15) + 2)
        cv2.ellipse(hidden, (int(columns.mean()), int(rows.max())), axes, 0, 0, 360, 1, -1)
    return hidden


# RelitScenes


def rendered_paste(scene: Scene) -> Paste:
    """A scene as Paste & Blend gives it."""
    truth, composite, matte, reference = map(to_bytes, (scene.truth, scene.composite, scene.matte, scene.reference))
    return Paste(truth, composite, matte, np.uint8(scene.harmonize_mask > 0), reference, scene.prompt)


def rendered(rng: np.random.Generator, side: int) -> Paste:
    """A paste of the training split, some of them mirrored or with a prompt without its light."""
    paste = rendered_paste(render_scene(draw_scene(int(rng.integers(2**31)), "train"), side))
    return Paste.of_stack(*augmented(rng, paste.stacked, paste.prompt))


class PasteStore:
    """Pastes of RelitScenes' training split on disk: rendered once (50 ms each), drawn often. Paste i has seed i.

    There are two files: images and prompts. A prompt is written after its images, so that an interruption costs one
    paste at most.
    """

    def __init__(self, folder: Path, side: int, most: int):
        self.side, self.most = side, most
        self.prompts_file, images_file = folder / f"pastes_{side}.txt", folder / f"pastes_{side}.bytes"
        kept = images_file.is_file() and self.prompts_file.is_file()
        # The last line may be incomplete.
        self.prompts = self.prompts_file.read_text().split("\n")[:-1][:most] if kept else []
        self.prompts_file.write_text("".join(f"{prompt}\n" for prompt in self.prompts))
        self.images = np.memmap(images_file, np.uint8, "r+" if kept else "w+", shape=(most, side, side, 11))

    def grow(self, count: int) -> None:
        """Renders until there are `count` pastes, or `most`."""
        while len(self.prompts) < min(count, self.most):
            seed = len(self.prompts)
            paste = rendered_paste(render_scene(draw_scene(seed, "train"), self.side))
            self.images[seed] = paste.stacked
            self.prompts.append(paste.prompt)
            with self.prompts_file.open("a") as file:
                file.write(paste.prompt + "\n")

    def draw(self, rng: np.random.Generator, first: int) -> Paste:
        """One of the first `first` pastes, some of them mirrored or with a prompt without its light."""
        seed = rng.integers(min(first, self.most))
        return Paste.of_stack(*augmented(rng, np.asarray(self.images[seed]), self.prompts[seed]))


def relit_here(rng: np.random.Generator, paste: Paste) -> Paste:
    """A finished scene whose subject gets another light: all that photographs with mattes can give."""
    composite = over(paste.matte, other_light(rng, paste.truth), paste.truth)
    return replace(paste, composite=composite, reference=None)


# The demo's own images


def demo_paste(renderer: SceneRenderer, rng: np.random.Generator, side: int) -> Paste:
    """A subject in two backgrounds with a light each; it is pasted from the second into the first."""
    layer, word = renderer.subject(rng, side)
    (scene, caption), (other, _) = (renderer.background(rng, side) for _ in range(2))
    (gain, words), (other_gain, _) = (common_light(rng, side) for _ in range(2))
    empty = scene * (1 - layer.alpha) * gain
    layer.put_into(scene, rng)
    light = layer.put_into(other, rng) * other_gain
    truth, composite, reference = (
        to_bytes(to_srgb(image)) for image in (scene * gain, empty + layer.premultiplied * light, other * other_gain)
    )
    matte = to_bytes(layer.alpha[..., 0])
    prompt = ", ".join([word, caption, *words])
    return Paste(truth, composite, matte, ring_around(rng, matte), reference, prompt)


# All


class PasteMixture:
    """Batches of all kinds of pastes, the same for the same step. Each step adds some pastes to the store."""

    first, most, added = 600, 12000, 2
    # Every sixth step has a quarter as many pastes, of twice the side.
    side, large_every = 128, 6

    def __init__(self, base: Base, folder: Path, photograph: Callable[[np.random.Generator, int], Paste] | None = None):
        """photograph: makes a paste of a photograph, of so many pixels; None = there are none."""
        self.base, self.store, self.demo = base, PasteStore(folder, self.side, self.most), SceneRenderer()
        self.photograph = photograph

    def batch(self, step: int, count: int) -> Latents:
        rng = np.random.default_rng([11, step])
        known = self.first + self.added * step
        self.store.grow(known)
        large = step % self.large_every == self.large_every - 1
        side, count = (2 * self.side, count // 4) if large else (self.side, count)
        return encoded(self.base, batch_of([self.paste(rng, side, known) for _ in range(count)]))

    def paste(self, rng: np.random.Generator, side: int, known: int) -> Paste:
        """One paste, often with another ring or without its reference; of the first `known` of the store."""
        if self.photograph is not None and rng.random() < PHOTOGRAPHS:
            return self.photograph(rng, side)
        kind = rng.random()
        if kind >= RENDERED + RELIT_HERE:
            paste = demo_paste(self.demo, rng, side)
        else:
            paste = self.store.draw(rng, known) if side == self.side else rendered(rng, side)
            if kind >= RENDERED:
                paste = relit_here(rng, paste)
        if rng.random() >= USUAL_RING:
            paste = replace(paste, hidden=ring_around(rng, paste.matte))
        return replace(paste, reference=None) if rng.random() < REFERENCE_DROPPED else paste
