"""The methods that `bench quality` compares at equal model calls: the pack's harmonizing, ComfyUI's own sampling, other
inpainting loops, and blends without a model. A method maps a chunk of scenes and a seed to images [N,S,S,3] in 0..1.

Steps, inner steps, seeds and denoise of all methods, rivals included, were chosen on the validation split.
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
from benchmarks.common.demo_model import DemoModel
from benchmarks.common.rival_blends import feathered, ring_matched, scene_matched, seamless
from benchmarks.quality.scenes import Chunk
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.relight import DARK

# The default of all methods. With cfg above 1 a step takes two model calls.
CFG = 1.0
# With few steps it spends more of them on strong noise than "simple" does; every method did better with it.
SCHEDULER = "beta"
# In pixels, for images of 128 × 128: the ring's width, and the blur of the soft mask.
RING, SOFT = 12, 4.0


@dataclass(frozen=True)
class Method:
    """A method at one level of model calls.

    Attributes:
        name: in the JSON line.
        label: in the printed table.
        calls: model calls for each scene, at most the level.
        settings: everything that its result depends on besides the model, as text.
    """

    name: str
    label: str
    calls: int
    settings: str
    run: Callable[[Chunk, int], np.ndarray]


def blended(blend: Callable) -> Callable[[Chunk, int], np.ndarray]:
    """A method from a blend of background, composite and matte."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        del seed
        images = zip(chunk.backgrounds, chunk.composites, chunk.matte.numpy(), strict=True)
        return np.stack([blend(*given) for given in images]).astype(np.float32)

    return run


def ring_ratio(chunk: Chunk, seed: int) -> np.ndarray:
    """Relights the subject by the ratio of the two surroundings in each channel, without a model."""
    del seed
    lit = []
    for scene in chunk.scenes:
        near = cv2.dilate(np.uint8(scene.matte > 0), np.ones((2 * RING + 1,) * 2, np.uint8)) > (scene.matte > 0)
        here, there = (
            np.log(srgb_to_linear(part)[near] + DARK).mean(0) for part in (scene.background, scene.reference)
        )
        relit = linear_to_srgb(np.clip(srgb_to_linear(scene.composite) * np.exp(here - there), 0, 1))
        lit.append(np.where(scene.matte[..., None] > 0, relit, scene.background))
    return np.stack(lit).astype(np.float32)


CLASSICAL = (
    Method("paste", "paste", 0, "1", lambda chunk, _: chunk.composites),
    Method("feather", "feather", 0, "1", blended(feathered)),
    Method("reinhard", "Reinhard, ring, Lab", 0, "1", blended(ring_matched)),
    Method("reinhard_scene", "Reinhard, whole scene, Lab", 0, "1", blended(scene_matched)),
    Method("poisson", "Poisson, cv2.seamlessClone", 0, "1", blended(seamless)),
    Method("membrane", "ratio of the two surrounds, no model", 0, "1", ring_ratio),
)


def harmonized(chunk: Chunk, seed: int, reference: bool, **settings) -> tuple:
    """Outputs of PhDHarmonizeSampler, with its defaults for all settings that are not given."""
    inputs = {"model": chunk.model.model, "positive": chunk.positive, "negative": chunk.negative}
    inputs |= {"latent": chunk.latent, "mask": chunk.mask, "subject_matte": chunk.matte}
    if reference:
        inputs |= {"reference_latent": chunk.reference, "reference_positive": chunk.reference_positive}
    inputs |= {**widget_defaults("PhDHarmonizeSampler"), "preset": "custom", "cfg": CFG, "scheduler": SCHEDULER}
    return call("PhDHarmonizeSampler", **{**inputs, "seed": seed, **settings})


def stitched(chunk: Chunk, latent: dict, reference: dict | None = None, **settings) -> np.ndarray:
    """The images of PhDStitch for a sampled latent, with its defaults but for `detail` 1 and the given settings."""
    inputs = {"background": chunk.backgrounds, "composite": chunk.composites}
    # A latent of several seeds brings those of its reference along.
    if reference is not None and "sampled_seeds" not in latent:
        inputs["sampled_reference"] = chunk.model.decoded(reference)
    inputs = {name: torch.from_numpy(images) for name, images in inputs.items()}
    inputs |= {
        "latent": latent,
        "vae": chunk.model.vae,
        "subject_matte": chunk.matte,
        "harmonize_mask": chunk.mask,
        **widget_defaults("PhDStitch"),
        "detail": 1.0,
    }
    return call("PhDStitch", **{**inputs, **settings})[0].numpy()


def single(relight_strength: float = 1.0, **settings) -> Callable[[Chunk, int], np.ndarray]:
    def run(chunk: Chunk, seed: int) -> np.ndarray:
        latent, *_ = harmonized(chunk, seed, False, **settings)
        return stitched(chunk, latent, relight_strength=relight_strength)

    return run


def with_reference(relight_strength: float = 1.0, **settings) -> Callable[[Chunk, int], np.ndarray]:
    def run(chunk: Chunk, seed: int) -> np.ndarray:
        latent, reference, _ = harmonized(chunk, seed, True, **settings)
        return stitched(chunk, latent, reference, relight_strength=relight_strength)

    return run


def at_defaults(reference: bool) -> Callable[[Chunk, int], np.ndarray]:
    """Harmonize Sampler and Stitch as a user finds them in the menu."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        sampler, stitch = harmonize_defaults(), widget_defaults("PhDStitch")
        latent, sampled, _ = harmonized(chunk, seed, reference, **sampler)
        return stitched(chunk, latent, sampled if reference else None, **stitch)

    return run


def harmonize_defaults() -> dict:
    """All widgets of Harmonize Sampler but the seed."""
    return {name: value for name, value in widget_defaults("PhDHarmonizeSampler").items() if name != "seed"}


def at_node_defaults() -> list[Method]:
    """The pack's methods with nothing set. Their model calls follow from the defaults, so they belong to no level."""
    sampler = harmonize_defaults()
    settings = " ".join(f"{key}={value}" for key, value in {**sampler, **widget_defaults("PhDStitch")}.items())
    # The widgets have the steps of the default preset.
    calls = (sampler["steps"] + (sampler["steps"] - 1) * sampler["inner_steps"]) * (2 if sampler["cfg"] > 1 else 1)
    return [
        Method("single_defaults", "ours, single, node defaults", calls, settings, at_defaults(False)),
        Method("with_reference_defaults", "ours, with reference, node defaults", 2 * calls, settings,
               at_defaults(True)),
    ]  # fmt: skip


@functools.cache
def noise_model() -> DemoModel:
    return DemoModel("noise")


def noise_predicting(**settings) -> Callable[[Chunk, int], np.ndarray]:
    """`with_reference` by the same weights as a noise-predicting (eps) network with Stable Diffusion's noise levels."""
    run = with_reference(**settings)
    return lambda chunk, seed: run(Chunk(chunk.scenes, noise_model()), seed)


def langevin(steps: int, **settings) -> Callable[[Chunk, int], np.ndarray]:
    """The masked Langevin loop alone: the decoded latent, without the shape anchor and without Stitch."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        latent, *_ = harmonized(chunk, seed, False, steps=steps, anchor_strength=0.0, **settings)
        return chunk.model.decoded(latent)

    return run


def kept(chunk: Chunk) -> dict:
    """The composite's latent with its noise mask."""
    return call("SetLatentNoiseMask", samples=chunk.latent, mask=chunk.mask)[0]


def ksampled(chunk: Chunk, seed: int, latent: dict, steps: int, denoise: float, model=None) -> dict:
    (done,) = call(
        "KSampler", model=model or chunk.model.model, seed=seed, steps=steps, cfg=CFG, sampler_name="euler",
        scheduler=SCHEDULER, positive=chunk.positive, negative=chunk.negative, latent_image=latent, denoise=denoise,
    )  # fmt: skip
    return done


def ksampler(steps: int, denoise: float, masked: bool = True, relit: bool = False) -> Callable:
    """ComfyUI's KSampler, on the mask or on the whole image (SDEdit); `relit`: followed by our Stitch."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        done = ksampled(chunk, seed, kept(chunk) if masked else chunk.latent, steps, denoise)
        return stitched(chunk, done) if relit else chunk.model.decoded(done)

    return run


def core_differential(steps: int, denoise: float) -> Callable:
    """Core's Differential Diffusion, with the blurred mask of subject and ring as change map."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        soft = np.stack([cv2.GaussianBlur(mask, (0, 0), SOFT) for mask in chunk.mask.numpy()])
        (latent,) = call("SetLatentNoiseMask", samples=chunk.latent, mask=torch.from_numpy(soft))
        (model,) = call("DifferentialDiffusion", model=chunk.model.model)
        return chunk.model.decoded(ksampled(chunk, seed, latent, steps, denoise, model))

    return run


def by_sampler(sampler: Callable, steps: int, denoise: float) -> Callable:
    """A loop as a SAMPLER in core's SamplerCustom."""

    def run(chunk: Chunk, seed: int) -> np.ndarray:
        model = chunk.model.model
        sigmas = comfy.samplers.KSampler(model, steps, model.load_device, "euler", SCHEDULER, denoise).sigmas
        done, _ = call(
            "SamplerCustom", model=model, add_noise=True, noise_seed=seed, cfg=CFG, positive=chunk.positive,
            negative=chunk.negative, sampler=sampler(), sigmas=sigmas, latent_image=kept(chunk),
        )  # fmt: skip
        return chunk.model.decoded(done)

    return run


def lanpaint(inner: int, length: float) -> Callable:
    # Its lambda is left at 5: the demo model does not see what that strength changes, so other values give the same.
    return lambda: rival_loops.sampler(rival_loops.lanpaint, inner=inner, step=length, pinned=False)


def repaint(jumps: int) -> Callable:
    def sampler():
        return call("PhDMaskedLangevin", method="RePaint", sampler_name="euler_ancestral", inner_steps=0, step_size=1.0,
                    lambda_strength=5.0, jump_length=1, jump_count=jumps)[0]  # fmt: skip

    return sampler


# Settings of ours by level.
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
# Of 0.3, 0.5 and 0.75 the least was best for every rival.
OUR_DENOISE, RIVAL_DENOISE = 0.75, 0.3
# By level: outer steps and inner steps; outer steps and jumps.
LANPAINT = {10: (5, 1), 36: (18, 1), 60: (30, 1), 120: (60, 1)}
# Of 0.1, 0.2 (the default) and 1 the shortest was best, and so were few inner steps; tried at 10 and 36 calls.
LANPAINT_LENGTH = 0.1
REPAINT = {10: (5, 2), 36: (8, 5), 60: (12, 5), 120: (24, 5)}


def sampled(level: int) -> list[Method]:
    """All methods that run the model, with at most `level` calls."""
    found = []

    def add(name: str, label: str, calls: int, run: Callable, **settings) -> None:
        text = " ".join(f"{key}={value}" for key, value in settings.items())
        common = f"scheduler={SCHEDULER}" + ("" if "cfg" in settings else f" cfg={CFG}")
        found.append(Method(name, f"{label}: {text}", calls, f"{text} {common}", run(**settings)))

    for name, label, run, table, times in (
        ("ours", "ours, single", single, SINGLE, 1),
        ("with_reference", "ours, with reference", with_reference, WITH_REFERENCE, 2),
        ("with_reference_eps", "ours, with reference, eps", noise_predicting, WITH_REFERENCE, 2),
    ):
        chosen = table[level]
        calls = times * chosen["num_seeds"] * chosen["steps"] * (2 if chosen["cfg"] > 1 else 1)
        add(name, label, calls, run, **chosen, inner_steps=0, denoise=OUR_DENOISE)
    add("langevin", "masked Langevin, no relight", level, langevin, steps=level, inner_steps=0, denoise=OUR_DENOISE)
    add("sdedit", "SDEdit", level, ksampler, steps=level, denoise=RIVAL_DENOISE, masked=False)
    add("ksampler", "KSampler + mask", level, ksampler, steps=level, denoise=RIVAL_DENOISE)
    add("ksampler_relight", "KSampler + mask, our Stitch", level, ksampler,
        steps=level, denoise=OUR_DENOISE, relit=True)  # fmt: skip
    add("core_differential", "Differential Diffusion", level, core_differential,
        steps=level, denoise=RIVAL_DENOISE)  # fmt: skip
    outer, jumps = REPAINT[level]
    add("repaint", "RePaint", (outer - 1) * jumps + 1,
        lambda steps, jumps, denoise: by_sampler(repaint(jumps), steps, denoise),
        steps=outer, jumps=jumps, denoise=RIVAL_DENOISE)  # fmt: skip
    outer, inner = LANPAINT[level]
    add("lanpaint", "LanPaint's rule", outer + (outer - 1) * inner,
        lambda steps, inner, length, denoise: by_sampler(lanpaint(inner, length), steps, denoise),
        steps=outer, inner=inner, length=LANPAINT_LENGTH, denoise=RIVAL_DENOISE)  # fmt: skip
    return found


def methods(levels: tuple[int, ...]) -> dict[int, list[Method]]:
    """All methods by level; level 0 has those whose model calls are given: none, or what the nodes' defaults make."""
    return {0: [*CLASSICAL, *at_node_defaults()], **{level: sampled(level) for level in levels}}
