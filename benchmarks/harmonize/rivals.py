"""Other tools on a pasted subject: blends, color statistics, and ComfyUI's own sampling."""

import itertools
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.common.comfyui import call
from benchmarks.common.rival_blends import FEATHER, feathered, ring_matched, scene_matched, seamless
from benchmarks.harmonize.methods import Case, stitch
from benchmarks.harmonize.oracle import as_latent, as_light, conditioning
from benchmarks.harmonize.scenes import (
    DOUBLE,
    GRAIN,
    LIGHT,
    LIGHT_LENGTH,
    RIGHT,
    SIDE,
    TEXTURE,
    TEXTURE_LENGTH,
    kernel,
    squared_error,
)
from benchmarks.harmonize.score import Made, local_linear, made
from devtools.model_calls import count_model_calls

# Denoise and steps of KSampler.
LEVELS = (0.5, 0.75, 0.9)
STEPS = (10, 36, 60)
# In cells: a quarter of the subject's diameter, as in phd_ops/pixels/relight.py.
LIGHT_SIGMA = 3.0


def on_each_scene(case: Case, blend: Callable) -> np.ndarray:
    """Applies a blend of background, composite and matte to every scene."""
    return np.stack([blend(*pair, case.matte) for pair in zip(case.backgrounds, case.composites, strict=True)])


def continued(subject: torch.Tensor, steps: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """The membrane with given values at the subject's edge, in its cells, [N,S] (Pérez et al. 2003, Poisson editing).

    steps: takes pairs of neighbors across the edge, inner cells [E] and outer cells [E]; returns the values [N,E].
    """
    cells = torch.nonzero(subject).flatten()
    place = torch.full((SIDE**2,), -1)
    place[cells] = torch.arange(len(cells))
    beside = cells[:, None] + torch.tensor([1, -1, SIDE, -SIDE])
    row, column = torch.nonzero(place[beside] >= 0, as_tuple=True)
    laplacian = 4 * torch.eye(len(cells), dtype=DOUBLE)
    laplacian[row, place[beside[row, column]]] = -1
    row, column = torch.nonzero(place[beside] < 0, as_tuple=True)
    jumps = steps(cells[row], beside[row, column])
    at_edge = torch.zeros(len(jumps), len(cells), dtype=DOUBLE).index_add_(1, row, jumps)
    return torch.linalg.solve(laplacian, at_edge.T).T


def log_poisson(case: Case) -> torch.Tensor:
    """Poisson editing in log light: the subject keeps its gradients, and the step at its edge vanishes."""
    light, subject = case.scenes.composite.clone(), case.scenes.subject
    light[:, subject] += continued(subject, lambda inner, outer: light[:, outer] - light[:, inner])
    return light


def log_membrane(case: Case) -> torch.Tensor:
    """Relight without a model: how much brighter the scene is than the reference at the edge, as a membrane."""
    light, reference, subject = case.scenes.composite.clone(), case.scenes.reference, case.scenes.subject
    light[:, subject] += continued(subject, lambda inner, outer: light[:, outer] - reference[:, outer])
    return light


def best_possible(case: Case) -> torch.Tensor:
    """A lower bound: the best estimate of the light from the surroundings, with the true texture and albedo."""
    subject, light = case.scenes.subject, case.scenes.composite.clone()
    smooth = kernel(LIGHT_LENGTH, LIGHT)
    seen = smooth + kernel(TEXTURE_LENGTH, TEXTURE) + GRAIN**2 * torch.eye(SIDE**2, dtype=DOUBLE)
    gain = torch.linalg.solve(seen[~subject][:, ~subject], smooth[~subject][:, subject])
    own = case.scenes.texture + case.scenes.albedo
    light[:, subject] = light[:, ~subject] @ gain + own[:, subject]
    return light


def classical(case: Case) -> dict[str, list[Made]]:
    """Methods without a model, each with all its variants."""
    composites = case.composites
    return {
        "paste": [made("paste", composites)],
        "feather": [made(f"feather, {FEATHER:g} px", on_each_scene(case, feathered))],
        "reinhard": [
            made("Reinhard, ring, Lab", on_each_scene(case, ring_matched)),
            made("Reinhard, whole scene, Lab", on_each_scene(case, scene_matched)),
        ],
        "poisson": [
            made("Poisson in log light", case.decoded(log_poisson(case))),
            made("cv2.seamlessClone", on_each_scene(case, seamless)),
        ],
        "membrane": [made("membrane of scene - reference, no model", case.decoded(log_membrane(case)))],
        "best_possible": [made("E[light | scene], true texture and albedo", case.decoded(best_possible(case)))],
    }


def core(case: Case, steps: int, denoise: float, masked: bool) -> tuple[torch.Tensor, int, float]:
    """KSampler, with SetLatentNoiseMask or on the whole image; log light, calls, and the first noise level."""
    import comfy.samplers

    prompts, latent = conditioning(case.scenes, RIGHT), as_latent(case.scenes.composite)
    if masked:
        (latent,) = call("SetLatentNoiseMask", samples=latent, mask=torch.from_numpy(case.matte)[None])
    with count_model_calls() as count:
        (result,) = call(
            "KSampler", model=case.model, seed=5, steps=steps, cfg=1.0, sampler_name="euler", scheduler="simple",
            positive=prompts, negative=prompts, latent_image=latent, denoise=denoise,
        )  # fmt: skip
    first = comfy.samplers.KSampler(case.model, steps, "cpu", "euler", "simple", denoise).sigmas[0]
    return as_light(result["samples"]), count.items // len(case), float(first)


def sampled(case: Case, masked: bool, who: str, steps: tuple[int, ...], levels: tuple[float, ...]) -> list[tuple]:
    """KSampler at every combination of steps and denoise: label, log light, calls."""
    results = []
    for count, denoise in itertools.product(steps, levels):
        light, calls, first = core(case, count, denoise, masked)
        results.append((f"{who}, {count} steps from σ {first:.2g}", light, calls))
    return results


def relit(case: Case, light: torch.Tensor) -> torch.Tensor:
    """Roughly what Stitch makes of a result, in log light; enough to choose the best settings by."""
    subject, change = case.scenes.subject, (light - case.scenes.composite)[:, case.scenes.subject]
    lit = case.scenes.composite.clone()
    lit[:, subject] += change @ local_linear(subject, LIGHT_SIGMA).T
    return lit


def generative(case: Case, quick: bool = False) -> dict[str, list[Made]]:
    """KSampler at several settings, and the best of them followed by our Stitch."""
    few = STEPS[:2] if quick else STEPS
    whole = sampled(case, False, "SDEdit", STEPS[:1], LEVELS[:2])
    masked = sampled(case, True, "KSampler + mask", few, LEVELS)
    label, light, calls = min(masked, key=lambda run: squared_error(relit(case, run[1]), case.scenes).mean())
    images, equal = stitch(case, light)
    return {
        "sdedit": [made(label, case.decoded(light), calls) for label, light, calls in whole],
        "ksampler": [made(label, case.decoded(light), calls) for label, light, calls in masked],
        "ksampler_relight": [made(f"{label}, our Stitch", images, calls, equal)],
    }
