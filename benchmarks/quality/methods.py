"""What `bench quality` compares, at equal model calls: the pack's harmonizing, ComfyUI's own sampling, others' loops,
and blends without a model. Every method takes a chunk of scenes and a seed, and gives images [N,S,S,3] in 0..1.

Steps, inner steps, seeds and denoise of all were chosen on the validation split (`--validation`), ours as the rivals'.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import comfy.samplers
import cv2
import numpy as np
import torch

from benchmarks.common import rival_loops
from benchmarks.common.comfyui import call, widget_defaults
from benchmarks.common.rival_blends import feathered, ring_matched, scene_matched, seamless
from benchmarks.quality.scenes import Chunk, Model
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear

# Where a method's settings name no other. Guidance asks the model twice a step: those are two calls.
CFG = 1.0
# Of few steps it spends more on strong noise than "simple" does, which was better for ours and for the rivals.
SCHEDULER = "beta"
# In pixels, at 128 a side.
RING, SOFT = 12, 4.0


@dataclass(frozen=True)
class Method:
    """name: as the line of JSON has it. calls: of the model, for each scene; no more than the level it stands in.
    told: all that its result depends on, besides the model, in words that change when it does."""

    name: str
    label: str
    calls: int
    told: str
    run: Callable[[Chunk, int], np.ndarray]


def each(blend: Callable) -> Callable[[Chunk, int], np.ndarray]:
    """A blend of background, composite and matte, scene by scene."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        del seed
        images = zip(chunk.backgrounds, chunk.composites, chunk.matte.numpy(), strict=True)
        return np.stack([blend(*given) for given in images]).astype(np.float32)

    return run


def ring_ratio(chunk: Chunk, seed: int) -> np.ndarray:
    """What the scene is brighter than the exemplar around the subject, by channel: relight without a model."""
    del seed
    lit = []
    for scene in chunk.scenes:
        near = cv2.dilate(np.uint8(scene.matte > 0), np.ones((2 * RING + 1,) * 2, np.uint8)) > (scene.matte > 0)
        here, there = (
            np.log(srgb_to_linear(part)[near] + 0.002).mean(0) for part in (scene.background, scene.reference)
        )
        relit = linear_to_srgb(np.clip(srgb_to_linear(scene.composite) * np.exp(here - there), 0, 1))
        lit.append(np.where(scene.matte[..., None] > 0, relit, scene.background))
    return np.stack(lit).astype(np.float32)


CLASSICAL = (
    Method("paste", "paste", 0, "1", lambda chunk, _: chunk.composites),
    Method("feather", "feather", 0, "1", each(feathered)),
    Method("reinhard", "Reinhard, ring, Lab", 0, "1", each(ring_matched)),
    Method("reinhard_scene", "Reinhard, whole scene, Lab", 0, "1", each(scene_matched)),
    Method("poisson", "Poisson, cv2.seamlessClone", 0, "1", each(seamless)),
    Method("membrane", "ratio of the two surrounds, no model", 0, "1", ring_ratio),
)


def harmonized(chunk: Chunk, seed: int, reference: bool, **settings) -> tuple:
    """The pack's sampler with its own defaults but for what is given."""
    inputs = {"model": chunk.model.model, "positive": chunk.positive, "negative": chunk.negative}
    inputs |= {"latent": chunk.latent, "mask": chunk.mask, "subject_mask": chunk.matte}
    if reference:
        inputs |= {"reference": chunk.reference, "reference_positive": chunk.reference_positive}
    return call(
        "PhDHarmonizeSampler",
        **inputs,
        **{**widget_defaults("PhDHarmonizeSampler"), "cfg": CFG, "scheduler": SCHEDULER, "seed": seed, **settings},
    )


def stitched(
    chunk: Chunk, latent: dict, reference: dict | None = None, num_seeds: int = 1, relight_strength: float = 1.0
) -> np.ndarray:
    """What the pack's Stitch makes of a latent."""
    inputs = {"background": chunk.backgrounds, "composite": chunk.composites, "sampled": chunk.model.decoded(latent)}
    if reference is not None:
        inputs["sampled_reference"] = chunk.model.decoded(reference)
    inputs = {name: torch.from_numpy(images) for name, images in inputs.items()}
    inputs |= {
        "subject_mask": chunk.matte,
        "harmonize_mask": chunk.mask,
        "detail": 1.0,
        "num_seeds": num_seeds,
        "relight_strength": relight_strength,
    }
    return call("PhDStitch", **inputs)[0].numpy()


def single(
    steps: int, num_seeds: int = 1, relight_strength: float = 1.0, **settings
) -> Callable[[Chunk, int], np.ndarray]:
    def run(chunk: Chunk, seed: int) -> np.ndarray:
        latent, *_ = harmonized(chunk, seed, False, steps=steps, num_seeds=num_seeds, **settings)
        return stitched(chunk, latent, num_seeds=num_seeds, relight_strength=relight_strength)

    return run


def with_reference(
    steps: int, num_seeds: int = 1, relight_strength: float = 1.0, **settings
) -> Callable[[Chunk, int], np.ndarray]:
    def run(chunk: Chunk, seed: int) -> np.ndarray:
        latent, reference, _ = harmonized(chunk, seed, True, steps=steps, num_seeds=num_seeds, **settings)
        return stitched(chunk, latent, reference, num_seeds, relight_strength)

    return run


@functools.cache
def noise_model() -> Model:
    return Model("noise")


def noise_predicting(**settings) -> Callable[[Chunk, int], np.ndarray]:
    """The same by the same weights as a network that predicts noise, with Stable Diffusion's levels."""
    run = with_reference(**settings)
    return lambda chunk, seed: run(Chunk(chunk.scenes, noise_model()), seed)


def langevin(steps: int, **settings) -> Callable[[Chunk, int], np.ndarray]:
    """The loop alone: the model's own pixels, nothing held and nothing relit."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        latent, *_ = harmonized(chunk, seed, False, steps=steps, identity=0.0, **settings)
        return chunk.model.decoded(latent)

    return run


def kept(chunk: Chunk) -> dict:
    """The composite's latent with its mask, as core's SetLatentNoiseMask gives it."""
    return call("SetLatentNoiseMask", samples=chunk.latent, mask=chunk.mask)[0]


def ksampled(chunk: Chunk, seed: int, latent: dict, steps: int, denoise: float, model=None) -> dict:
    (done,) = call(
        "KSampler", model=model or chunk.model.model, seed=seed, steps=steps, cfg=CFG, sampler_name="euler",
        scheduler=SCHEDULER, positive=chunk.positive, negative=chunk.negative, latent_image=latent, denoise=denoise,
    )  # fmt: skip
    return done


def ksampler(steps: int, denoise: float, masked: bool = True, relit: bool = False) -> Callable:
    """ComfyUI's own, on the mask or (SDEdit) on the whole image; `relit`: with our Stitch behind it."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        done = ksampled(chunk, seed, kept(chunk) if masked else chunk.latent, steps, denoise)
        return stitched(chunk, done) if relit else chunk.model.decoded(done)

    return run


def core_differential(steps: int, denoise: float) -> Callable:
    """Core's Differential Diffusion: the blurred mask of subject and ring says how much may change."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        soft = np.stack([cv2.GaussianBlur(mask, (0, 0), SOFT) for mask in chunk.mask.numpy()])
        (latent,) = call("SetLatentNoiseMask", samples=chunk.latent, mask=torch.from_numpy(soft))
        (model,) = call("DifferentialDiffusion", model=chunk.model.model)
        return chunk.model.decoded(ksampled(chunk, seed, latent, steps, denoise, model))

    return run


def by_sampler(sampler: Callable, steps: int, denoise: float) -> Callable:
    """A loop as a SAMPLER, in core's SamplerCustom."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        model = chunk.model.model
        sigmas = comfy.samplers.KSampler(model, steps, model.load_device, "euler", SCHEDULER, denoise).sigmas
        done, _ = call(
            "SamplerCustom", model=model, add_noise=True, noise_seed=seed, cfg=CFG, positive=chunk.positive,
            negative=chunk.negative, sampler=sampler(), sigmas=sigmas, latent_image=kept(chunk),
        )  # fmt: skip
        return chunk.model.decoded(done)

    return run


def lanpaint(inner: int) -> Callable:
    return lambda: rival_loops.sampler(rival_loops.lanpaint, inner=inner, pinned=False)


def repaint(jumps: int) -> Callable:
    def sampler():
        return call("PhDMaskedLangevin", method="RePaint", sampler_name="euler_ancestral", inner_steps=0, step_size=1.0,
                    lambda_strength=5.0, jump_length=1, jump_count=jumps)[0]  # fmt: skip

    return sampler


# Settings of ours by level. Denoise is by method.
SINGLE = {
    10: {"steps": 5, "num_seeds": 2, "cfg": 1.0, "relight_strength": 1.4},
    36: {"steps": 4, "num_seeds": 4, "cfg": 2.0, "relight_strength": 1.2},
    60: {"steps": 5, "num_seeds": 6, "cfg": 2.0, "relight_strength": 1.2},
    120: {"steps": 5, "num_seeds": 12, "cfg": 2.0, "relight_strength": 1.2},
}
WITH_REFERENCE = {
    10: {"steps": 5, "num_seeds": 1, "cfg": 1.0, "relight_strength": 1.2},
    36: {"steps": 4, "num_seeds": 4, "cfg": 1.0, "relight_strength": 1.2},
    60: {"steps": 5, "num_seeds": 6, "cfg": 1.0, "relight_strength": 1.2},
    120: {"steps": 5, "num_seeds": 12, "cfg": 1.0, "relight_strength": 1.2},
}
DENOISE = {
    "ours": 0.75,
    "sdedit": 0.3,
    "ksampler": 0.3,
    "core_differential": 0.3,
    "repaint": 0.3,
    "lanpaint": 0.3,
}
# Outer and inner steps, outer steps and jumps.
LANPAINT = {10: (2, 8), 36: (6, 6), 60: (10, 5), 120: (20, 5)}
REPAINT = {10: (5, 2), 36: (8, 5), 60: (12, 5), 120: (24, 5)}


def sampled(level: int) -> list[Method]:
    """Every method that runs the model, with at most so many calls."""
    found = []

    def add(name: str, label: str, calls: int, run: Callable, **settings) -> None:
        told = " ".join(f"{key}={value}" for key, value in settings.items())
        common = f"scheduler={SCHEDULER}" + ("" if "cfg" in settings else f" cfg={CFG}")
        found.append(Method(name, f"{label}: {told}" if told else label, calls, f"{told} {common}", run(**settings)))

    near = DENOISE["ours"]
    for name, label, run, table, times in (
        ("ours", "ours, single", single, SINGLE, 1),
        ("with_reference", "ours, with reference", with_reference, WITH_REFERENCE, 2),
        ("with_reference_eps", "ours, with reference, eps", noise_predicting, WITH_REFERENCE, 2),
    ):
        chosen = table[level]
        calls = times * chosen["num_seeds"] * chosen["steps"] * (2 if chosen["cfg"] > 1 else 1)
        add(name, label, calls, run, **chosen, inner_steps=0, denoise=near)
    add("langevin", "masked Langevin, no relight", level, langevin, steps=level, inner_steps=0, denoise=near)
    add("sdedit", "SDEdit", level, ksampler, steps=level, denoise=DENOISE["sdedit"], masked=False)
    add("ksampler", "KSampler + mask", level, ksampler, steps=level, denoise=DENOISE["ksampler"])
    add("ksampler_relight", "KSampler + mask, our Stitch", level, ksampler,
        steps=level, denoise=near, relit=True)  # fmt: skip
    add("core_differential", "Differential Diffusion", level, core_differential,
        steps=level, denoise=DENOISE["core_differential"])  # fmt: skip
    outer, jumps = REPAINT[level]
    add("repaint", "RePaint", (outer - 1) * jumps + 1,
        lambda steps, jumps, denoise: by_sampler(repaint(jumps), steps, denoise),
        steps=outer, jumps=jumps, denoise=DENOISE["repaint"])  # fmt: skip
    outer, inner = LANPAINT[level]
    add("lanpaint", "LanPaint v1.x", outer + (outer - 1) * inner,
        lambda steps, inner, denoise: by_sampler(lanpaint(inner), steps, denoise),
        steps=outer, inner=inner, denoise=DENOISE["lanpaint"])  # fmt: skip
    return found


def methods(levels: tuple[int, ...]) -> dict[int, list[Method]]:
    """By level; 0 has those without a model."""
    return {0: [*CLASSICAL], **{level: sampled(level) for level in levels}}
