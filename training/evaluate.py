"""Stage `evaluate`: what a demo model does on RelitScenes: losses, the light on a pasted subject, filled holes.

python3 dev.py train evaluate     # the published weights and those in training, on scenes of the test split
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import torch
from PIL import Image

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.relight import MAX_GAIN, LightReader, change_of_light, read_light, relight
from relit_scenes.draw import draw_background, draw_scene
from relit_scenes.layers import render_layers
from relit_scenes.render import Scene, render_scene
from relit_scenes.training_scenes import training_pair
from training.candidate import LEVELS, SIDE, Candidate, candidate_of, mean_filled, published
from training.codec import current_codec, psnr
from training.data import as_tensor
from training.stage import WORK, Log

# No inner steps but as many model calls, and less guidance: a weak network's errors do not add up.
PLAIN_STEPS = {"steps": 17, "inner_steps": 0, "cfg": 2.0}
OWN_PROMPTS = "each its own"
# Name in the table, which prompts, and what differs from Harmonize Sampler's defaults.
RUNS = (
    ("defaults", "right", {}),
    ("defaults", "wrong", {}),
    ("defaults", "none", {}),
    ("defaults", OWN_PROMPTS, {}),
    ("identity 0", "right", {"anchor_strength": 0.0}),
    ("denoise 0.6", "right", {"denoise": 0.6}),
    ("denoise 0.45", "right", {"denoise": 0.45}),
    *(("no inner steps", prompt, PLAIN_STEPS) for prompt in ("right", "wrong", "none", OWN_PROMPTS)),
    ("no inner steps, denoise 0.6", OWN_PROMPTS, {**PLAIN_STEPS, "denoise": 0.6}),
    ("cfg 1", "right", {"cfg": 1.0}),
    ("cfg 1", "none", {"cfg": 1.0}),
    ("cfg 1", OWN_PROMPTS, {"cfg": 1.0}),
)


def evaluate(which: list[str], count: int) -> None:
    """Measures "published" and "training" weights on the test split; contact sheets go to `.cache/demo`."""
    for name in which:
        if name == "published":
            model = published()
        else:
            weights = torch.load(WORK / "diffusion.pt", weights_only=True)["average"]
            model = candidate_of(current_codec(), weights)
        log = Log(f"evaluate_{name}")
        contact_sheet(model).save(WORK / f"sheet_{name}.png")
        report(model, "test", count, log)


def report(candidate: Candidate, split: str, count: int, log: Callable[[str], None]) -> None:
    """All measurements on the first `count` scenes of a split, one line each as soon as it is known."""
    truths, prompts = truths_of(split, count)
    clean = candidate.codec.encode(truths)
    log(f"codec {psnr(candidate.codec.decode(clean), truths):.2f} dB on {count} truths")
    for name, given in (
        ("right prompt", prompts),
        ("no prompt", [""] * count),
        ("another's", shifted(prompts)),
    ):
        losses = candidate.losses(clean, given)
        log(f"loss at sigma {' '.join(map(str, LEVELS))}, {name}: {' '.join(f'{loss:.4f}' for loss in losses)}")
    cases = rendered_cases(split, count)
    log(f"fMSE without a model: {', '.join(f'{name} {error:.4f}' for name, error in best_possible(cases).items())}")
    for name, which, changes in RUNS:
        scene_prompts, reference_prompts = prompts_of(cases, which)
        errors = relit_errors(cases, *candidate.harmonized(cases, scene_prompts, reference_prompts, **changes))
        log(f"fMSE, {name}, prompt {which}: {errors}")
    log(f"L1 in holes: {', '.join(f'{name} {error:.4f}' for name, error in hole_errors(candidate).items())}")


# Scenes and prompts


@cache
def rendered_cases(split: str, count: int) -> list[Scene]:
    """The first scenes of a split."""
    return [render_scene(draw_scene(seed, split), SIDE) for seed in range(count)]


@cache
def truths_of(split: str, count: int) -> tuple[torch.Tensor, list[str]]:
    """Finished scenes as in training, [N,3,S,S] in [-1,1], and their prompts."""
    images, prompts = zip(*(training_pair(seed, SIDE, split) for seed in range(count)), strict=True)
    return as_tensor(list(images)), list(prompts)


def holes_of(count: int) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Backgrounds of the test split, a square hole in each [N,S,S], and their prompts."""
    side = 48
    images, prompts, holes = [], [], np.zeros((count, SIDE, SIDE), np.float32)
    for seed in range(count):
        shot = draw_background(seed, "test")
        images.append(linear_to_srgb(render_layers(shot, SIDE).empty))
        prompts.append(shot.prompt)
        top, left = np.random.default_rng(seed).integers(2, (SIDE - side) // 8 - 1, 2) * 8
        holes[seed, top : top + side, left : left + side] = 1
    return images, holes, prompts


def shifted(prompts: list[str]) -> list[str]:
    """Every image gets the next one's prompt."""
    return prompts[1:] + prompts[:1]


def prompts_of(cases: list[Scene], which: str) -> tuple[list[str], list[str] | None]:
    """Prompts of the scenes and of their references ("right", "wrong", "none" or OWN_PROMPTS); None = the same."""
    right = [case.prompt for case in cases]
    return {
        "right": (right, None),
        "wrong": (shifted(right), None),
        "none": ([""] * len(cases), None),
        OWN_PROMPTS: (right, [case.exemplar_prompt for case in cases]),
    }[which]


# The light on the subject


def subject_error(image: np.ndarray, case: Scene) -> float:
    """fMSE: squared error over the subject, sRGB."""
    return float(np.square(image - case.truth)[case.true_matte > 0.5].mean())


def relit(case: Scene, change: np.ndarray) -> np.ndarray:
    """The composite under a light changed by `change` (log gain), clipped to the gains that count as light."""
    return relight(case.composite, np.exp(np.clip(change, -np.log(MAX_GAIN), np.log(MAX_GAIN))))


def stitched(case: Scene, result: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The composite with its subject relit as Stitch does it."""
    light = read_light(LightReader(case.composite, case.matte), [result], [reference], background=case.background)
    return np.where(case.matte[..., None] > 0, relight(case.composite, light.gain), case.composite)


@dataclass(frozen=True)
class Relit:
    """The errors of one run, [N] by name."""

    errors: dict[str, np.ndarray]

    def __str__(self) -> str:
        paste = self.errors["paste"]
        return ", ".join(
            f"{name} {values.mean():.4f}" + ("" if name == "paste" else f" ({np.mean(values < paste):.0%} better)")
            for name, values in self.errors.items()
        )


def relit_errors(cases: list[Scene], results: np.ndarray, references: np.ndarray) -> Relit:
    """fMSE of the paste, of the model's own pixels, and of the paste relit by the light of the result ("single"), of
    result and reference ("with_reference"), and as Stitch does it ("stitch")."""
    rows = []
    for case, result, reference in zip(cases, results, references, strict=True):
        result, reference = (np.ascontiguousarray(image) for image in (result, reference))
        composite, matte = case.composite, case.matte
        single, with_reference = (
            relit(case, change_of_light(result, other, composite, matte)) for other in (composite, reference)
        )
        images = {
            "paste": composite,
            "model's own": result,
            "single": single,
            "with_reference": with_reference,
            "stitch": stitched(case, result, reference),
        }
        rows.append({name: subject_error(image, case) for name, image in images.items()})
    return Relit({name: np.array([row[name] for row in rows]) for name in rows[0]})


def best_possible(cases: list[Scene]) -> dict[str, float]:
    """fMSE without a model: relit by the light of the truth, and by the true ratio."""
    true = [relit(case, change_of_light(case.truth, case.composite, case.composite, case.matte)) for case in cases]
    ratio = [linear_to_srgb(srgb_to_linear(case.composite) * case.ratio) for case in cases]
    found = {"light of the truth": true, "true ratio": ratio}
    return {
        name: float(np.mean([subject_error(*pair) for pair in zip(images, cases, strict=True)]))
        for name, images in found.items()
    }


# Holes


def hole_errors(candidate: Candidate, count: int = 24) -> dict[str, float]:
    """Mean L1 inside the holes: of the model, of the mean color, and of cv2's Telea inpainting."""
    images, holes, prompts = holes_of(count)
    telea = [
        cv2.inpaint((image * 255 + 0.5).astype(np.uint8), hole.astype(np.uint8), 3, cv2.INPAINT_TELEA) / 255
        for image, hole in zip(images, holes, strict=True)
    ]
    found = {
        "mean fill": [mean_filled(*pair) for pair in zip(images, holes, strict=True)],
        "Telea": telea,
        "model": candidate.inpainted(images, holes, prompts),
        "model, cfg 1": candidate.inpainted(images, holes, prompts, cfg=1.0),
    }
    inside = holes > 0
    return {name: float(np.abs(np.stack(filled) - np.stack(images))[inside].mean()) for name, filled in found.items()}


# To look at


def contact_sheet(candidate: Candidate) -> Image.Image:
    """Rows of six: truths and the same prompts drawn from noise (twice), composites, their harmonized images and
    references, the subjects relit, the truths, images with holes, and the holes filled."""
    truths, prompts = truths_of("test", 12)
    cases = rendered_cases("test", 6)
    composites, true = (np.stack([getattr(case, name) for case in cases]) for name in ("composite", "truth"))
    results, references = candidate.harmonized(cases, [case.prompt for case in cases])
    drawn = candidate.drawn(prompts)
    shown = ((truths + 1) / 2).movedim(1, -1).numpy()
    lit = [stitched(*of) for of in zip(cases, results, references, strict=True)]
    images, holes, hole_prompts = holes_of(6)
    emptied = np.stack([mean_filled(*pair) for pair in zip(images, holes, strict=True)])
    filled = candidate.inpainted(images, holes, hole_prompts)
    rows = [shown[:6], drawn[:6], shown[6:], drawn[6:], composites, results, references, lit, true, emptied, filled]
    lines = [np.concatenate(list(row), axis=1) for row in rows]
    return Image.fromarray((np.concatenate(lines) * 255 + 0.5).clip(0, 255).astype(np.uint8))
