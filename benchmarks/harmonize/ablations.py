"""What each part of harmonizing contributes: the same scenes with one thing changed at a time."""

import itertools
from collections.abc import Callable, Iterator
from unittest import mock

import cv2
import numpy as np
import torch

from benchmarks.common.table import Section
from benchmarks.harmonize.methods import Case, harmonize, ours, own_pixels, stitch, with_reference
from benchmarks.harmonize.scenes import SIDE
from benchmarks.harmonize.score import RING, Made, around, as_text, made, score
from devtools.comfyui import load_pack

COARSE = 4
# Settings that inpaint the ring from pure noise, before anything is harmonized.
INPAINT = {
    "node": "PhDMaskedInpaintSampler",
    "seed": 5,
    "steps": 15,
    "cfg": 1.0,
    "sampler_name": "euler",
    "scheduler": "simple",
    "denoise": 1.0,
    "method": "masked Langevin",
    "inner_steps": 3,
    "step_size": 1.0,
    "lambda_strength": 5.0,
}
# How much too bright the ring starts.
WRONG_LIGHT = 1.0


def dilated(subject: torch.Tensor, cells: int) -> torch.Tensor:
    """A mask grown by `cells`, or shrunk where negative, bool [576]; neighbors share an edge."""
    grid = subject.view(SIDE, SIDE).numpy().astype(np.uint8)
    change = cv2.dilate if cells > 0 else cv2.erode
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return torch.from_numpy(change(grid, cross, iterations=abs(cells)) > 0).flatten()


def on_coarse_grid(subject: torch.Tensor, how: str) -> torch.Tensor:
    """The mask at a quarter of the resolution and back, downsampled in one of three ways."""
    blocks = subject.view(SIDE // COARSE, COARSE, SIDE // COARSE, COARSE).float()
    chosen = {
        "cover": blocks.amax((1, 3)) > 0,
        "mean > .5": blocks.mean((1, 3)) > 0.5,
        "nearest": blocks[:, COARSE // 2, :, COARSE // 2] > 0,
    }[how]
    return chosen.repeat_interleave(COARSE, 0).repeat_interleave(COARSE, 1).flatten()


def masks(subject: torch.Tensor) -> dict[str, tuple[str, torch.Tensor]]:
    """Wrong masks for the sampler, with their labels; Stitch still gets the exact matte."""
    coarse = {"cover": "cover", "mean": "mean > .5", "nearest": "nearest"}
    shapes = {"mask_dilated_1": 1, "mask_dilated_2": 2, "mask_eroded_1": -1}
    return {
        f"mask_coarse_{key}": (f"mask on {COARSE}×{COARSE} cells, {how}", on_coarse_grid(subject, how))
        for key, how in coarse.items()
    } | {
        key: (f"mask {'grown' if cells > 0 else 'shrunk'} by {abs(cells)}", dilated(subject, cells))
        for key, cells in shapes.items()
    }


def gaussian_smoother(weight: np.ndarray, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """A weighted blur instead of `Smoother`; it flattens light near the subject's edge."""

    def blur(fields: np.ndarray) -> np.ndarray:
        return np.dstack([cv2.GaussianBlur(field, (0, 0), sigma) for field in cv2.split(fields)])

    def smooth(values: np.ndarray) -> np.ndarray:
        weights = np.broadcast_to(weight.reshape(*values.shape[:2], -1), values.shape)
        return blur(weights * values) / np.maximum(blur(np.ascontiguousarray(weights)), 1e-6)

    return smooth


def single_runs(case: Case) -> Iterator[tuple[str, Made]]:
    def run(key: str, label: str, mask: torch.Tensor | None = None, **changes) -> tuple[str, Made]:
        done = ours(case, mask=mask, **changes)
        return key, made(label, stitch(case, done.scene, mask=mask)[0], done.calls)

    for key, (label, mask) in masks(case.scenes.subject).items():
        yield run(key, label, mask)
    # As many calls, all of them outer ones.
    yield run("no_inner_steps", "no inner steps", steps=17, inner_steps=0)
    yield run("no_guidance", "lambda_strength 0: the known region keeps its noise", lambda_strength=0.0)
    yield run("seeds_4", "the mean light of 4 seeds", num_seeds=4)
    bare = ours(case, anchor_strength=0.0)
    yield "no_relight", made("no relight, no anchor: the model's own pixels", own_pixels(case, bare), bare.calls)
    done = ours(case)
    with mock.patch.object(load_pack().phd_ops.pixels.relight, "Smoother", gaussian_smoother):
        yield "gaussian_smoother", made("Gaussian smoother (order 0)", stitch(case, done.scene)[0], done.calls)
    yield "anchor_alone", made("no relight, the anchor in the loop", own_pixels(case, done), done.calls)
    yield "no_anchor", made("no anchor in the loop", stitch(case, bare.scene)[0], bare.calls)


def reference_runs(case: Case) -> Iterator[tuple[str, Made]]:
    scenes = case.scenes
    around = scenes.reference.mean(1, keepdim=True).expand_as(scenes.reference)
    shifted = scenes.reference.view(-1, SIDE, SIDE).roll(1, dims=2).flatten(1)
    white = torch.full_like(scenes.reference, 2.0)
    for key, label, reference in (
        ("reference_shifted_1", "reference shifted by 1 cell", shifted),
        (
            "reference_studio",
            "studio reference, as bright as its scene",
            torch.where(scenes.subject, scenes.reference, around),
        ),
        ("reference_white_studio", "studio reference, white", torch.where(scenes.subject, scenes.reference, white)),
        ("reference_dark_studio", "studio reference, dark", torch.where(scenes.subject, scenes.reference, -white)),
    ):
        done = with_reference(case, reference=reference)
        yield key, made(label, stitch(case, done.scene, done.reference)[0], done.calls)
    done = with_reference(case, num_seeds=4)
    images, _ = stitch(case, done.scene, done.reference)
    yield "reference_seeds_4", made("the mean light of 4 seeds, each with reference", images, done.calls)
    done, other = with_reference(case), with_reference(case, seed=77)
    images, _ = stitch(case, done.scene, other.reference)
    yield "reference_other_noise", made("other noise in the reference", images, done.calls)


def order_runs(case: Case) -> Iterator[tuple[str, Made]]:
    """A ring around the subject has the wrong light. It is inpainted first and then kept or harmonized, or neither."""
    subject, stale = case.scenes.subject, case.scenes.composite.clone()
    ring = around(subject)
    both = subject | ring
    stale[:, ring] += WRONG_LIGHT
    first = harmonize(case, composite=stale, mask=ring, **INPAINT)
    for key, label, given, mask, earlier_calls in (
        ("order_literal", f"ring of {RING} inpainted, then the subject alone", first.scene, subject, first.calls),
        ("order_joint", f"ring of {RING} inpainted, then ring and subject", first.scene, both, first.calls),
        ("order_once", f"ring of {RING} and subject in one pass", stale, both, 0),
    ):
        done = ours(case, composite=given, mask=mask)
        images, _ = stitch(case, done.scene, composite=given, mask=mask, edge_fade=0)
        yield key, made(label, images, earlier_calls + done.calls)


def ring_runs(case: Case) -> Iterator[tuple[str, Made]]:
    """The model may change a ring around the subject too, which is right as it is."""
    both = case.scenes.subject | around(case.scenes.subject)
    done = with_reference(case, mask=both)
    for key, label, changes in (
        ("ring", f"ring of {RING} harmonized too", {}),
        ("ring_models", "the same, keep_surround 0: the model's pixels in the ring", {"keep_surround": 0.0}),
    ):
        yield key, made(label, stitch(case, done.scene, done.reference, mask=both, **changes)[0], done.calls)


def measure(case: Case, whole: dict[str, Made]) -> tuple[Section, dict[str, dict]]:
    """The table, and the figures by name. whole: results without a change, of these scenes and more."""
    section = Section(f"One thing changed at a time, own color, the first {len(case)} scenes")
    figures = {}

    def row(key: str, label: str, result: Made) -> None:
        figures[key] = score(result, case)
        section.row(label, as_text(figures[key]))

    row("ours", "single, unchanged", whole["ours"])
    for key, result in itertools.chain(single_runs(case), order_runs(case)):
        row(key, result.label, result)
    row("with_reference", "with reference, unchanged", whole["with_reference"])
    for key, result in itertools.chain(reference_runs(case), ring_runs(case)):
        row(key, result.label, result)
    return section, figures
