"""What can be said without a truth: whether results add up as light does, and whether they stay what they are where
mask, seed or crop change a little. A method that changes nothing is perfectly stable, so read both beside the errors.
"""

import csv
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.common.demo_model import DemoModel
from benchmarks.common.subject_scores import on_subject
from benchmarks.common.table import Section
from benchmarks.quality.plan import Plan
from benchmarks.quality.scenes import Chunk, scene, stratum_of
from benchmarks.quality.store import MethodRun, Store
from benchmarks.quality.table import Result, gathered, without_nan
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from relit_scenes.render import Scene, grown, moved

# Scenes, and the model calls of each method.
SCENES, LEVEL = 12, 10
# light_error: the error of result(L1) + result(L2) as a share of result(L1 + L2), root mean square over the subject in
# linear light; the paste's is 1. The others: root mean square change of the result over the subject, in levels of 255.
FIGURES = ("light_error", "mask_change", "seed_change", "crop_change")
# In pixels: no multiple of a latent cell.
MOVE = (5, 3)
# The first of the two lights has this share of red, green and blue at the left edge, and this at the right one.
LEFT, RIGHT = (0.75, 0.7, 0.6), (0.4, 0.3, 0.25)


def without_light(given: Scene) -> Scene:
    """The scene with prompts that do not describe the light, which some variants change."""
    shots = (given.description.scene, given.description.exemplar)
    prompts = [f"{shot.subject.name} {shot.background.name}" for shot in shots if shot.subject]
    return replace(given, prompt=prompts[0], exemplar_prompt=prompts[1])


def lit_by_one(given: Scene, share: np.ndarray) -> Scene:
    """The scene where only this share [S,S,3] of its light is on; the pasted subject is the same."""
    background = linear_to_srgb(srgb_to_linear(given.background) * share)
    return replace(given, background=background, composite=pasted(given, background, given.matte))


def pasted(given: Scene, background: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The exemplar's subject, cut out by a matte and pasted unchanged."""
    subject, alpha = srgb_to_linear(moved(given.exemplar, given.shift)), matte[..., None]
    return linear_to_srgb((1 - alpha) * srgb_to_linear(background) + alpha * subject)


def first_light(side: int) -> np.ndarray:
    """The share of a first light from the left, warmer than a second one from the right: [S,S,3]."""
    across = np.linspace(0, 1, side, dtype=np.float32)[None, :, None]
    return np.repeat((1 - across) * np.float32(LEFT) + across * np.float32(RIGHT), side, axis=0)


def cut_wider(given: Scene, pixels: int) -> Scene:
    """The scene with a matte that is off by this many pixels more, and what that cuts out."""
    matte = grown(given.matte, pixels)
    composite = pasted(given, given.background, matte)
    return replace(given, matte=matte, composite=composite, harmonize_mask=grown(given.harmonize_mask, pixels))


def shifted(given: Scene, shift: tuple[int, int]) -> Scene:
    """The scene in another crop."""
    names = ("background", "composite", "reference", "matte", "true_matte", "harmonize_mask", "inpaint_mask")
    return replace(given, **{name: moved(getattr(given, name), shift) for name in names})


def figures_of(run: Callable[[Chunk, int], np.ndarray], given: list[Scene], model: DemoModel) -> list[dict[str, float]]:
    """FIGURES of a method for each scene."""
    given = [without_light(one) for one in given]

    def results(change: Callable[[Scene], Scene], seed: int = 0) -> np.ndarray:
        return run(Chunk([change(one) for one in given], model), seed)

    share = first_light(len(given[0].truth))
    whole = results(lambda one: one)
    parts = [results(lambda one, share=share: lit_by_one(one, share)) for share in (share, 1 - share)]
    wider, narrower = (results(lambda one, pixels=pixels: cut_wider(one, pixels)) for pixels in (1, -1))
    other_seed = results(lambda one: one, seed=1)
    back = (-MOVE[0], -MOVE[1])
    other_crop = [moved(image, back) for image in results(lambda one: shifted(one, MOVE))]
    rows = []
    for index, one in enumerate(given):
        core = cv2.erode(np.uint8(on_subject(one)), np.ones((5, 5), np.uint8)) > 0
        image, light = whole[index][core], srgb_to_linear(whole[index])[core]
        added = sum(srgb_to_linear(part[index])[core] for part in parts)
        masks = [rms(changed[index][core] - image) for changed in (wider, narrower)]
        rows.append(
            {
                "light_error": rms(added - light) / max(rms(light), 1e-6),
                "mask_change": 255 * float(np.mean(masks)),
                "seed_change": 255 * rms(other_seed[index][core] - image),
                "crop_change": 255 * rms(other_crop[index][core] - image),
            }
        )
    return rows


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def measure(plan: Plan, weights: str, methods: Iterable[Any]) -> list[Result]:
    """Measures what is missing of these methods (`methods.Method`), all scenes of each at once."""
    store, numbers = Store(plan.folder / "consistency_scenes.csv", FIGURES), plan.numbers[:SCENES]
    model, given = DemoModel(), [scene(number, plan.split) for number in numbers]
    results = []
    for method in methods:
        run = MethodRun(weights, plan.split, method.name, LEVEL if method.calls else 0, method.settings, 0)
        if store.missing(run, numbers):
            began = time.perf_counter()
            found = figures_of(method.run, given, model)
            seconds = round((time.perf_counter() - began) / len(given), 4)
            rows = {
                number: {"stratum": stratum_of(number), "calls": method.calls, "seconds": seconds, **row}
                for number, row in zip(numbers, found, strict=True)
            }
            store.add(run, rows)
        results.append(gathered(store, [run], method.label, numbers))
        print(f"without truth  {method.label}", flush=True)
    return results


def section(results: list[Result]) -> Section:
    count = len(results[0].stratum)
    found = Section(f"Without truth, {count} scenes, at most {LEVEL} calls: RMS over the subject")
    for result in sorted(results, key=lambda result: result.mean("light_error")):
        light, *changes = (result.mean(name) for name in FIGURES)
        text = "  ".join(f"{name} {value:5.2f}" for name, value in zip(FIGURES[1:], changes, strict=True))
        found.row(result.name, f"{result.calls:4d} calls  {FIGURES[0]} {light:.3f}  levels of 255: {text}")
    return found


def as_json(results: list[Result]) -> dict:
    listed = {result.name: without_nan({name: result.mean(name) for name in FIGURES}) for result in results}
    return {"n": len(results[0].stratum), **listed}


def save(results: list[Result], file: Path) -> Path:
    """Means by method, as CSV."""
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["method", "label", "calls", "scenes", *FIGURES])
        for result in results:
            figures = [f"{result.mean(name):.5g}" for name in FIGURES]
            writer.writerow([result.name, result.label, result.calls, len(result.stratum), *figures])
    return file
