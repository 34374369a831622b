"""What is lost where the light reference is sampled in a few frames of a shot: the demo model on RelitScenes clips."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.common.comfyui import call, silent, widget_defaults
from benchmarks.common.demo_model import DemoModel
from benchmarks.common.table import Section
from benchmarks.video.clips import Frame, frames_of
from benchmarks.video.steady import Lit, lit, looks_of, mean, readings_of
from phd_ops.pixels.shots import reference_frames

# Of Harmonize Sampler: those of `bench quality` at 10 calls with a reference.
SETTINGS = {
    "preset": "custom",
    "steps": 5,
    "inner_steps": 0,
    "cfg": 1.0,
    "scheduler": "beta",
    "denoise": 0.75,
    "seed": 0,
}
# Which frames have a reference, as figures and rows name it.
WAYS = {"none": "no reference", "each": "a reference in each frame", "shared": "references of five frames"}


def stacked(frames: Sequence[Frame], name: str) -> np.ndarray:
    return np.stack([getattr(frame, name) for frame in frames])


def harmonized(model: DemoModel, frames: Sequence[Frame]) -> tuple[np.ndarray, np.ndarray]:
    """What the demo model makes of the composites and of the references, [T,S,S,3]."""
    scene, exemplar = frames[0].prompts
    latent, reference, _ = call(
        "PhDHarmonizeSampler",
        **{**widget_defaults("PhDHarmonizeSampler"), **SETTINGS},
        model=model.model,
        positive=model.conditioning([scene]),
        negative=model.conditioning([""]),
        reference_positive=model.conditioning([exemplar]),
        latent=model.encoded(stacked(frames, "composite")),
        reference_latent=model.encoded(stacked(frames, "reference")),
        mask=torch.from_numpy(stacked(frames, "change")),
        subject_matte=torch.from_numpy(stacked(frames, "matte")),
    )
    return model.decoded(latent), model.decoded(reference)


def lit_by_model(model: DemoModel, frames: Sequence[Frame]) -> dict[str, Lit]:
    """The clip with the light that the demo model gives it, for each of WAYS."""
    results, references = harmonized(model, frames)
    frames = [replace(frame, sampled=result) for frame, result in zip(frames, results, strict=True)]
    every = dict(enumerate(references))
    chosen = {"none": (), "each": every, "shared": reference_frames(looks_of(frames))}
    return {
        way: lit(frames, readings_of(frames, {number: every[number] for number in numbers}))
        for way, numbers in chosen.items()
    }


def measure_shared_reference(clips: int, frames: int, side: int) -> Section:
    section = Section(f"The light reference in {clips} clips of {frames} frames of {side}², by the demo model")
    found, figures = {way: [] for way in WAYS}, section.figures
    with silent(), torch.inference_mode():
        model = DemoModel()
        for seed in range(clips):
            for way, own in lit_by_model(model, list(frames_of(seed, frames, side))).items():
                found[way].append(own)
    for way, clips_of in found.items():
        error, image = mean(one.error for one in clips_of), mean(one.image_error for one in clips_of)
        section.row(WAYS[way], f"error of log gain {error:.4f}   squared error {image:.2e}")
        figures |= {f"reference_light_error_{way}": error, f"reference_image_error_{way}": image}
    for name in ("light", "image"):
        of = f"reference_{name}_error"
        figures[f"shared_{of}_ratio"] = figures[f"{of}_shared"] / figures[f"{of}_each"]
    return section
