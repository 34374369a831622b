"""The demo model with holes in backgrounds that it was not trained on, as any loop gets them, a batch at a time."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_patcher
import comfy.sample
import comfy.samplers
import numpy as np
import torch

from benchmarks.inpaint.scores import Scores, Square, score
from devtools.comfyui import load_pack
from devtools.model_calls import count_model_calls
from phd_ops.pixels.color import linear_to_srgb
from relit_scenes.draw import draw_background
from relit_scenes.layers import render_layers

SIDE, PATCH, HOLE = 128, 8, 48
# Backgrounds that are inpainted as one batch.
CHUNK = 16
SCHEDULER = "simple"


@dataclass(frozen=True)
class Network:
    """What the demo network is used as.

    Attributes:
        plain: without the mask and the image outside it, which it sees as an inpainting model.
        prediction: "flow" or "noise" (eps), as its node has it.
        half: in bfloat16, which takes about half the time; for trials.
    """

    plain: bool = False
    prediction: str = "flow"
    half: bool = False

    @property
    def name(self) -> str:
        kind = "demo_plain" if self.plain else "demo"
        return kind + ("" if self.prediction == "flow" else "_eps") + ("_bf16" if self.half else "")


@functools.cache
def load(network: Network) -> comfy.model_patcher.ModelPatcher:
    model = load_pack().nodes.demo_model.load_model(network.prediction)
    inner = model.model
    if network.half:
        inner.diffusion_model.to(torch.bfloat16).dtype = torch.bfloat16
    if network.plain:
        given = inner.concat_cond
        inner.concat_cond = lambda **inputs: given(
            **{name: value for name, value in inputs.items() if name not in ("denoise_mask", "concat_mask")}
        )
    return model


@functools.cache
def encoders() -> tuple:
    """CLIP and VAE."""
    demo = load_pack().nodes.demo_model
    return demo.load_clip(), demo.load_vae()


@dataclass(frozen=True)
class Chunk:
    """Some backgrounds with a hole each.

    Attributes:
        truth: [B,H,W,3] in 0..1.
        holes: where each has its hole.
        latents: [B,C,h,w], with zeros in the hole: a start must hold no trace of the truth.
        mask: [B,1,h,w], 1 in the hole.
        prompts: one CONDITIONING with a prompt for each.
    """

    truth: np.ndarray
    holes: list[Square]
    latents: torch.Tensor
    mask: torch.Tensor
    prompts: list

    @functools.cached_property
    def decoded(self) -> np.ndarray:
        """The truth through the codec, [B,H,W,3]: the best that any loop can make."""
        _, vae = encoders()
        return as_images(vae, vae.encode(torch.from_numpy(self.truth)))

    def few(self, count: int) -> "Chunk":
        """The first of these backgrounds."""
        prompts = [[self.prompts[0][0][:count], {}]]
        return Chunk(self.truth[:count], self.holes[:count], self.latents[:count], self.mask[:count], prompts)


def as_images(vae, latents: torch.Tensor) -> np.ndarray:
    return vae.decode(latents).detach().float().clamp(0, 1).numpy()


def hole_of(number: int) -> Square:
    """A hole on whole cells of the latent, two or more from the border."""
    top, left = np.random.default_rng(number).integers(2, (SIDE - HOLE) // PATCH - 1, 2) * PATCH
    return Square(int(top), int(left), HOLE)


@functools.lru_cache(16)
def chunk(split: str, first: int) -> Chunk:
    """CHUNK backgrounds of a split of RelitScenes, from this number on, which is their seed."""
    numbers = range(first, first + CHUNK)
    shots, holes = [draw_background(number, split) for number in numbers], [hole_of(number) for number in numbers]
    truth = np.stack([linear_to_srgb(render_layers(shot, SIDE).empty) for shot in shots]).astype(np.float32)
    clip, vae = encoders()
    mask = torch.zeros(CHUNK, 1, SIDE // PATCH, SIDE // PATCH)
    for item, hole in zip(mask, holes, strict=True):
        rows, columns = (slice(part.start // PATCH, part.stop // PATCH) for part in hole.within())
        item[:, rows, columns] = 1
    return Chunk(truth, holes, vae.encode(torch.from_numpy(truth)) * (1 - mask), mask, encoded(clip, shots))


def encoded(clip, shots: list) -> list:
    prompts = [clip.encode_from_tokens_scheduled(clip.tokenize(shot.prompt))[0][0] for shot in shots]
    return [[torch.cat(prompts), {}]]


@functools.cache
def no_prompt() -> list:
    clip, _ = encoders()
    return clip.encode_from_tokens_scheduled(clip.tokenize(""))


def inpaint(
    network: Network, given: Chunk, steps: int, sampler: Callable, cfg: float, seed: int
) -> tuple[np.ndarray, int]:
    """Images [B,H,W,3] in 0..1, and the model calls of the whole batch: one for both prompts, as ComfyUI makes it."""
    model = load(network)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), SCHEDULER, steps)
    noise = comfy.sample.prepare_noise(given.latents, seed)
    with count_model_calls() as count:
        made = comfy.sample.sample_custom(
            model, noise, cfg, sampler(), sigmas, given.prompts, no_prompt(), given.latents,
            noise_mask=given.mask, disable_pbar=True, seed=seed,
        )  # fmt: skip
    return as_images(encoders()[1], made), count.calls


def scored(images: np.ndarray, given: Chunk) -> list[Scores]:
    return [score(*of) for of in zip(images, given.truth, given.holes, strict=True)]
