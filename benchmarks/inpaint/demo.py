"""Masked sampling on the demo model, a real but small network, on scenes that it was not trained on."""

import functools
from dataclasses import dataclass
from unittest import mock

import comfy.sample
import numpy as np
import torch

from benchmarks.common import rival_loops as rivals
from benchmarks.common.table import Section
from benchmarks.inpaint.exact import core, masked, preset, repaint, rival
from devtools import package_images as images
from devtools.comfyui import load_pack
from devtools.model_calls import count_model_calls
from training.demo_scenes import SceneRenderer

SIDE, PATCH, BAND = 128, 8, 4
# Training uses the seeds [1], [2], [3, step], [4, step] and so on.
SEED = [20260101, 4]
HOLE = slice(40, 88)
COUNTS = (20, 60, 120)


@dataclass(frozen=True)
class Scenes:
    """Scenes [B,H,W,3] in 0..1, their latents and the CONDITIONING of their prompts, with the model and its VAE."""

    truth: torch.Tensor
    latents: torch.Tensor
    prompts: list
    model: object
    vae: object


@functools.cache
def scenes(count: int) -> Scenes:
    demo = load_pack().nodes.demo_model
    # Without the sprites, which would have to be downloaded; the photographs provide enough subjects.
    with mock.patch.object(images, "load_sprites", dict):
        renderer = SceneRenderer()
    rng = np.random.default_rng(SEED)
    drawn = [renderer.render(rng, SIDE) for _ in range(count)]
    truth = torch.from_numpy(np.stack([image for image, _ in drawn])).float() / 255
    clip, vae = demo.load_clip(), demo.load_vae()
    prompts = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for _, text in drawn]
    return Scenes(truth, vae.encode(truth), prompts, demo.load_model(), vae)


def cells() -> torch.Tensor:
    """The hole on the latent grid, [1,1,h,w]."""
    mask = torch.zeros(1, 1, SIDE // PATCH, SIDE // PATCH)
    mask[..., HOLE.start // PATCH : HOLE.stop // PATCH, HOLE.start // PATCH : HOLE.stop // PATCH] = 1
    return mask


def errors(shown: torch.Tensor, truth: torch.Tensor) -> tuple[float, float]:
    """Mean absolute difference in the hole, and within BAND pixels of its edge."""
    apart = (shown.detach() - truth).abs().mean(-1)[:, HOLE, HOLE]
    inner = torch.zeros(apart.shape[1:], dtype=torch.bool)
    inner[BAND:-BAND, BAND:-BAND] = True
    return float(apart.mean()), float(apart[:, ~inner].mean())


def rows() -> dict[str, dict[int, tuple]]:
    """Every loop as (steps, sampler) by the count of model calls, or the nearest that it can make below it."""
    one, two = {"inner": 5, "pinned": False}, {"inner": 5, "pinned": True}
    own = {count: preset(name) for count, name in zip(COUNTS, ("fast", "balanced", "best"), strict=True)}
    shorter = masked("masked Langevin", inner_steps=2)
    return {
        "ours": {20: (7, shorter)} | {count: (own[count].steps, own[count].sampler) for count in COUNTS[1:]},
        "core KSampler, euler": {count: (count, core("euler")) for count in COUNTS},
        "plain Langevin": {n: (k, rival(rivals.langevin, inner=5)) for n, k in zip(COUNTS, (5, 11, 21), strict=True)},
        "RePaint, r = 5": {n: (k, repaint(k, 5).sampler) for n, k in zip(COUNTS, (4, 12, 24), strict=True)},
        "LanPaint v1.x": {n: (k, rival(rivals.lanpaint, **one)) for n, k in zip(COUNTS, (5, 11, 21), strict=True)},
        "LanPaint v2.1": {n: (k, rival(rivals.lanpaint, **two)) for n, k in zip(COUNTS, (6, 17, 34), strict=True)},
    }


def inpaint(given: Scenes, steps: int, sampler, cfg: float = 1.0) -> tuple[torch.Tensor, int]:
    """Images [B,H,W,3], each with its own prompt and noise, and the model calls of each."""
    sampling = given.model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(sampling, "simple", steps)
    mask, made = cells(), []
    with count_model_calls() as count:
        for index, (known, prompt) in enumerate(zip(given.latents, given.prompts, strict=True)):
            start = known[None] * (1 - mask)
            noise = comfy.sample.prepare_noise(start, index)
            made.append(
                comfy.sample.sample_custom(
                    given.model, noise, cfg, sampler(), sigmas, prompt, given.prompts[0], start,
                    noise_mask=mask, disable_pbar=True, seed=index,
                )
            )  # fmt: skip
    return given.vae.decode(torch.cat(made)), count.calls // len(made)


def measure(count: int, cfg: float = 1.0) -> tuple[Section, dict[str, dict], list[tuple[str, np.ndarray]]]:
    """The table, its figures, and the images at the middle count of model calls."""
    given = scenes(count)
    section = Section(f"Demo model, {count} held-out scenes of {SIDE}², hole of {HOLE.stop - HOLE.start}², L1 × 255")
    decoded = given.vae.decode(given.latents)
    floor = errors(decoded, given.truth)
    section.row("the codec alone", f"masked {255 * floor[0]:6.2f}  boundary {255 * floor[1]:6.2f}")
    figures, shown = {}, [("truth", given.truth), ("to inpaint", holed(given.truth))]
    for name, runs in rows().items():
        columns = []
        for wanted, (steps, sampler) in runs.items():
            made, calls = inpaint(given, steps, sampler, cfg)
            masked_l1, boundary_l1 = errors(made, given.truth)
            figures[f"{name} {wanted}"] = {"masked_l1": masked_l1, "boundary_l1": boundary_l1, "calls": calls}
            columns.append(f"{calls:4d} calls {255 * masked_l1:6.2f} {255 * boundary_l1:6.2f}")
            if wanted == COUNTS[1]:
                shown.append((f"{name}: {calls} calls", made))
        section.row(name, "  |".join(columns))
    return section, figures, [(title, side_by_side(batch)) for title, batch in shown]


def better(figures: dict[str, dict]) -> list[str]:
    """A line for each error in which a rival is below ours at the same count of calls."""
    lines = []
    for name, score in figures.items():
        mine = figures[f"ours {name.rsplit(' ', 1)[1]}"]
        for quality in ("masked_l1", "boundary_l1"):
            if score[quality] < mine[quality]:
                lines.append(
                    f"{name} beats ours in {quality}: {255 * score[quality]:.2f} against {255 * mine[quality]:.2f}"
                )
    return lines


def holed(truth: torch.Tensor) -> torch.Tensor:
    gray = truth.clone()
    gray[:, HOLE, HOLE] = 0.5
    return gray


def side_by_side(batch: torch.Tensor) -> np.ndarray:
    """uint8 [H,B*W,3]."""
    return (torch.cat(list(batch), dim=1).clamp(0, 1) * 255).round().byte().numpy()
