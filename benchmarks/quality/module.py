"""`bench quality --module`: the learned module on the benchmark's scenes, by prompt and number of model calls.

Rows: `module` is what the model draws, `module_stitch` the paste relit by the light read off it, and `module_reference`
the same where the module sees the light reference. `truth` is the truth through the model's autoencoder, and
`truth_stitch` the paste relit by that: no model can draw a better image. `with_reference` samples without the module,
and `both` is Stitch with the module's run as its `latent` and one without the module as its `latent_2`: their errors
differ. "one prompt" is the right one for the scene, and none of its own for the light reference. Seeds, steps and
relight_strength were chosen on the validation split.
"""

import json

import numpy as np
import torch

from benchmarks.common.comfyui import call
from benchmarks.common.demo_model import DemoModel
from benchmarks.common.subject_scores import score
from benchmarks.common.table import Section, exit_status, shortened, show
from benchmarks.quality.methods import OUR_DENOISE, WITH_REFERENCE, Method, harmonized, stitched, with_reference
from benchmarks.quality.plan import Plan
from benchmarks.quality.scenes import CHUNK, Chunk, scene, stratum_of
from benchmarks.quality.store import weights_hash
from devtools.paths import DEMO_WEIGHTS

# Calls: steps, num_seeds and Stitch's relight_strength.
SETTINGS = {1: (1, 1, 1.2), 4: (1, 4, 1.2), 10: (1, 10, 1.2), 32: (2, 16, 1.2)}
QUICK = (1, 4)
# Where the bounds lie, and prompts other than the right ones are measured.
MAIN_CALLS = 4
PROMPTS = ("right", "none", "wrong")
# The calls of `with_reference`.
BESIDE = 10
# Of `both`, by calls: the module's steps and seeds, steps and seeds of the run without it, which samples scene and
# reference, and Stitch's relight_strength.
BOTH = {14: (1, 2, 3, 2, 1.4), 32: (1, 2, 5, 3, 1.4)}
MAIN_BOTH = 32
ONE = "one"
WANTED = {
    "own_color.module_stitch": ("<=", 0.48),
    "own_color.module_reference": ("<=", 0.38),
    "own_color.module_reference_worse": ("<=", 0.06),
    "own_color.module_wrong_prompt": ("<=", 1.3),
    "own_color.module_no_prompt": ("<=", 1.15),
    "own_color.module_shadow_iou": (">=", 0.4),
    "own_color.module_edge": ("<=", 0.75),
    "own_color.module_both": ("<=", 0.3),
    "own_color.module_both_worse": ("<=", 0.06),
}


def prompted(chunk: Chunk, right: list[str], which: str) -> list:
    """A CONDITIONING of the scenes' right prompts, of none, or of another scene's."""
    prompts = {"right": right, "none": [""] * len(right), "wrong": right[1:] + right[:1]}
    return chunk.model.conditioning(prompts[which])


def scene_prompt(chunk: Chunk, which: str) -> list:
    return prompted(chunk, [one.prompt for one in chunk.scenes], "right" if which == ONE else which)


def reference_prompt(chunk: Chunk, which: str) -> list | None:
    """For the light references: prompts of their own, or none of their own."""
    return None if which == ONE else prompted(chunk, [one.exemplar_prompt for one in chunk.scenes], which)


def module_run(
    chunk: Chunk, module: object, which: str, steps: int, num_seeds: int, with_reference: bool = True
) -> dict:
    """The LATENT of Harmonize Sampler with the module."""
    given = {"subject_matte": chunk.matte, "mask": chunk.mask, "latent": chunk.latent, "strength": 1.0}
    if with_reference:
        given["reference_latent"] = chunk.reference
    positive, negative, *_ = call(
        "PhDApplyModule", module=module, positive=scene_prompt(chunk, which), negative=chunk.negative, **given
    )
    return harmonized(
        chunk, 0, False, positive=positive, negative=negative, steps=steps, num_seeds=num_seeds, cfg=1.0,
        inner_steps=0, denoise=1.0, anchor_strength=0.0,
    )[0]  # fmt: skip


def ran(chunk: Chunk, module: object, which: str, calls: int, with_reference: bool) -> dict[str, np.ndarray]:
    """Images [N,S,S,3] by row, for one prompt and number of calls."""
    steps, num_seeds, strength = SETTINGS[calls]
    latent = module_run(chunk, module, which, steps, num_seeds, with_reference)
    name = "module_reference" if with_reference else "module_stitch"
    images = {name: stitched(chunk, latent, relight_strength=strength)}
    if not with_reference:
        first = latent["sampled_seeds"].scene[0] if num_seeds > 1 else latent["samples"]
        images["module"] = chunk.model.decoded({"samples": first})
    return images


def both(chunk: Chunk, module: object, which: str, calls: int) -> np.ndarray:
    """Images [N,S,S,3] of Stitch for two runs, with the module and without."""
    steps, num_seeds, steps_without, seeds_without, strength = BOTH[calls]
    without, *_ = harmonized(
        chunk, 0, True, positive=scene_prompt(chunk, which), steps=steps_without,
        reference_positive=reference_prompt(chunk, which), num_seeds=seeds_without, cfg=1.0, inner_steps=0,
        denoise=OUR_DENOISE,
    )  # fmt: skip
    own = module_run(chunk, module, which, steps, num_seeds)
    return stitched(chunk, own, latent_2=without, relight_strength=strength)


def methods() -> list[Method]:
    """The module's own pixels and what Stitch reads off them, without a reference and with the scenes' prompts."""
    settings = f"module={weights_hash([DEMO_WEIGHTS / 'module.safetensors'])} {SETTINGS[MAIN_CALLS]}"

    def method(name: str, label: str) -> Method:
        def run(chunk: Chunk, seed: int) -> np.ndarray:
            del seed
            (module,) = call("PhDLoadModule", module="demo model's")
            return ran(chunk, module, "right", MAIN_CALLS, False)[name]

        return Method(name, label, MAIN_CALLS, settings, run)

    return [method("module", "the module, own pixels"), method("module_stitch", "the module, Stitch")]


def figures_of(plan: Plan, levels: tuple[int, ...]) -> dict[tuple[str, str, int], list[dict]]:
    """The scores of all scenes of their own color, by row, prompt and calls; the paste is ("paste", "right", 0)."""
    model, (module,) = DemoModel(), call("PhDLoadModule", module="demo model's")
    found: dict[tuple[str, str, int], list[dict]] = {}
    numbers = [number for number in plan.numbers if stratum_of(number) != "same color"]
    for start in range(0, len(numbers), CHUNK):
        chunk = Chunk([scene(number, plan.split) for number in numbers[start : start + CHUNK]], model)
        truth = model.encoded(chunk.stacked("truth"))
        images = {("paste", "right", 0): chunk.composites}
        images |= {("truth", "right", 0): model.decoded(truth), ("truth_stitch", "right", 0): stitched(chunk, truth)}
        for calls in levels:
            for which in PROMPTS if calls == MAIN_CALLS else PROMPTS[:1]:
                for known in (False, True):
                    done = ran(chunk, module, which, calls, known)
                    images |= {(name, which, calls): drawn for name, drawn in done.items()}
        images["with_reference", "right", BESIDE] = with_reference(**WITH_REFERENCE[BESIDE])(chunk, 0)
        for calls in BOTH:
            for which in (*PROMPTS, ONE) if calls == MAIN_BOTH else PROMPTS[:1]:
                images["both", which, calls] = both(chunk, module, which, calls)
        for key, drawn in images.items():
            pairs = zip(drawn, chunk.scenes, strict=True)
            found.setdefault(key, []).extend(score(np.asarray(image, np.float32), given) for image, given in pairs)
    return found


def mean(rows: list[dict], name: str) -> float:
    return float(np.nanmean([row[name] for row in rows]))


def section_of(found: dict[tuple[str, str, int], list[dict]]) -> Section:
    """The table: errors as shares of the paste's, and how often the light came out worse than the paste's."""
    paste = found["paste", "right", 0]
    own = np.array([row["fmse"] for row in paste])
    section = Section(f"The learned module, {len(paste)} scenes of their own color; errors / the paste's")
    shares, worse = {}, {}
    for key, rows in found.items():
        shares[key] = mean(rows, "fmse") / own.mean()
        worse[key] = float(np.mean([row["fmse"] for row in rows] > own))
        edge, ring, ring_edge = (mean(rows, name) / mean(paste, name) for name in ("boundary", "ring", "ring_edge"))
        text = (
            f"{shares[key]:.3f}, worse {worse[key]:4.0%}, edge {edge:.2f}, ring {ring:.2f}, its edges {ring_edge:.2f}, "
            f"shadow {mean(rows, 'shadow_iou'):.2f}; at 256²: MSE {mean(rows, 'mse_255'):.1f}, "
            f"fMSE {mean(rows, 'fmse_255'):.1f}, PSNR {mean(rows, 'psnr'):.2f}"
        )
        section.row(f"{key[0]}, {key[1]} prompt, {key[2]} calls", text)
    right, wrong, none = (("module_reference", which, MAIN_CALLS) for which in ("right", "wrong", "none"))
    joined = {which: shares["both", which, MAIN_BOTH] for which in (*PROMPTS, ONE)}
    drawn = found["module", "right", MAIN_CALLS]
    section.figures = {
        "own_color.module": shares["module", "right", MAIN_CALLS],
        "own_color.module_stitch": shares["module_stitch", "right", MAIN_CALLS],
        "own_color.module_reference": shares[right],
        "own_color.module_reference_worse": worse[right],
        "own_color.module_both": joined["right"],
        "own_color.module_both_worse": worse["both", "right", MAIN_BOTH],
        "own_color.module_both_one_prompt": joined[ONE],
        "own_color.module_both_wrong_prompt": joined["wrong"] / joined["right"],
        "own_color.module_both_no_prompt": joined["none"] / joined["right"],
        "own_color.module_wrong_prompt": shares[wrong] / shares[right],
        "own_color.module_no_prompt": shares[none] / shares[right],
        "own_color.module_shadow_iou": mean(drawn, "shadow_iou"),
        "own_color.truth_shadow_iou": mean(found["truth", "right", 0], "shadow_iou"),
        "own_color.module_edge": mean(found[right], "boundary") / mean(paste, "boundary"),
    }
    return section


@torch.inference_mode()
def measure(plan: Plan, quick: bool) -> int:
    """Prints the table and the line of JSON; the exit status is 0 where all bounds hold."""
    section = section_of(figures_of(plan, QUICK if quick else tuple(SETTINGS)))
    show(section, WANTED)
    print(json.dumps({name: shortened(value) for name, value in section.figures.items()}))
    return exit_status(WANTED, section.figures)
