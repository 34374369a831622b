"""A composite's way through the pack's nodes: harmonized as a latent, decoded, stitched.

A case is a stratum of the scenes with its model and its images; every method of the benchmark takes a case.
"""

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.common.comfyui import call, widget_defaults
from benchmarks.harmonize.oracle import as_latent, as_light, conditioning, harmonizing_oracle
from benchmarks.harmonize.scenes import RIGHT, SIDE, Denoiser, Scenes, draw_scenes, make_image
from devtools.model_calls import count_model_calls

# Width of a cell in pixels.
CELL = 8
# Seeds of the scenes that settings are chosen on, and of those that are reported.
VALIDATION, TEST = 4, 3
# Images stitched as one batch. Two batches run in parallel; all at once would take a gigabyte.
CHUNK = 16

# Denoise for scenes without a prompt, whose light changes at high noise only: the start has 8 times as much noise
# as signal.
HIGH = 0.9


@functools.cache
def defaults() -> dict:
    """The widgets of Harmonize Sampler as a user finds them, but cfg 1: an exact model needs no guidance."""
    return {**widget_defaults("PhDHarmonizeSampler"), "preset": "custom", "cfg": 1.0, "seed": 5}


@dataclass(frozen=True)
class Case:
    """A stratum of the scenes, the width of their cells in pixels, and the model that is exact for them."""

    scenes: Scenes
    cell: int = CELL

    @cached_property
    def model(self):
        return harmonizing_oracle(Denoiser(self.scenes.subject, self.scenes.same_color))

    @cached_property
    def composites(self) -> np.ndarray:
        return self.decoded(self.scenes.composite)

    @cached_property
    def backgrounds(self) -> np.ndarray:
        return self.decoded(self.scenes.background)

    @cached_property
    def matte(self) -> np.ndarray:
        """The subject in pixels, float32 [H,W]."""
        return self.pixels(self.scenes.subject)

    def decoded(self, light: torch.Tensor) -> np.ndarray:
        """The images that VAE Decode would give for log light [...,576], float32 [...,H,W,3]."""
        return make_image(light, self.cell)

    def pixels(self, cells: torch.Tensor) -> np.ndarray:
        """bool [576] as a mask in pixels, float32 [H,W]."""
        return cells.view(SIDE, SIDE).float().numpy().repeat(self.cell, axis=0).repeat(self.cell, axis=1)

    def __len__(self) -> int:
        return len(self.scenes.named)

    def first(self, count: int) -> "Case":
        """A case with its first scenes only, and the same model."""
        parts = {name: value for name, value in vars(self.scenes).items() if name not in ("subject", "same_color")}
        fewer = Case(
            Scenes(self.scenes.subject, *(part[:count] for part in parts.values()), self.scenes.same_color), self.cell
        )
        fewer.__dict__["model"] = self.model
        return fewer


def case(count: int, seed: int = TEST, same_color: bool = False, cell: int = CELL) -> Case:
    return Case(draw_scenes(count, seed, same_color=same_color), cell)


@dataclass(frozen=True)
class Harmonized:
    """Log light after the sampler, [N,576], and the model calls a scene took, those for its reference included.

    With several seeds it is [S*N,576]: all scenes with the first seed, then all with the next.
    """

    scene: torch.Tensor
    reference: torch.Tensor | None
    calls: int


def harmonize(
    case: Case,
    prompt: str = RIGHT,
    *,
    composite: torch.Tensor | None = None,
    reference: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    node: str = "PhDHarmonizeSampler",
    **settings,
) -> Harmonized:
    """Runs PhDHarmonizeSampler, or another sampler node, on all scenes at once.

    composite, reference: log light. mask: bool [576].
    """
    prompts = conditioning(case.scenes, prompt)
    inputs = {
        "model": case.model,
        "positive": prompts,
        "negative": prompts,
        "latent": as_latent(case.scenes.composite if composite is None else composite),
        "mask": torch.from_numpy(case.pixels(case.scenes.subject if mask is None else mask))[None],
    }
    if node == "PhDHarmonizeSampler":
        inputs["subject_matte"] = torch.from_numpy(case.matte)[None]
    if reference is not None:
        inputs["reference_latent"] = as_latent(reference)
    with count_model_calls() as count:
        latents = call(node, **inputs, **settings)
    seeds = latents[0].get("sampled_seeds")
    runs = [latent["samples"] for latent in latents[:2]] if seeds is None else [seeds.scene, seeds.reference]
    return Harmonized(as_light(runs[0]), None if reference is None else as_light(runs[1]), count.items // len(case))


def stitch(
    case: Case,
    scene: torch.Tensor,
    reference: torch.Tensor | None = None,
    *,
    composite: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
    **settings,
) -> tuple[np.ndarray, bool]:
    """Runs PhDStitch on decoded latents; the images, and whether they equal the backgrounds outside of its mask.

    scene, reference: log light as in `Harmonized`. composite: log light. mask: what may change, bool [576].
    """
    composites = case.composites if composite is None else case.decoded(composite)
    change, seeds = case.pixels(case.scenes.subject if mask is None else mask), len(scene) // len(case)
    if seeds > 1:
        settings["num_seeds"] = seeds

    def sampled(light: torch.Tensor, part: slice) -> np.ndarray:
        return case.decoded(light.view(seeds, len(case), -1)[:, part].flatten(0, 1))

    def stitch_part(part: slice) -> tuple[np.ndarray, bool]:
        inputs = {"background": case.backgrounds[part], "composite": composites[part]}
        inputs |= {"sampled": sampled(scene, part), "subject_matte": case.matte[None], "harmonize_mask": change[None]}
        if reference is not None:
            inputs["sampled_reference"] = sampled(reference, part)
        tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
        image, used, *_ = call("PhDStitch", **tensors, **{"detail": 1.0, **settings})
        background = tensors["background"]
        return image.numpy(), torch.equal(torch.where(used[..., None] > 0, background, image), background)

    parts = [slice(start, start + CHUNK) for start in range(0, len(case), CHUNK)]
    with ThreadPoolExecutor(2) as pool:
        images, equal = zip(*pool.map(stitch_part, parts), strict=True)
    return np.concatenate(images), all(equal)


def ours(case: Case, prompt: str = RIGHT, **changes) -> Harmonized:
    """Relight without a reference."""
    return harmonize(case, prompt, **{**defaults(), **changes})


def with_reference(case: Case, prompt: str = RIGHT, reference: torch.Tensor | None = None, **changes) -> Harmonized:
    """Relight with the reference harmonized beside the scene, at twice the model calls."""
    return ours(case, prompt, reference=case.scenes.reference if reference is None else reference, **changes)


def own_pixels(case: Case, done: Harmonized) -> np.ndarray:
    """The images of the first seed, as they decode."""
    return case.decoded(done.scene[: len(case)])
