"""How well the demo model does on RelitScenes, whose truth is known: the light on a pasted subject, holes, and loss.

python3 dev.py train evaluate     # the published weights beside those in training, on scenes of the test split
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import comfy.utils
import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from demo.codec import PatchCodec, left_by_mask
from devtools.comfyui import load_pack
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.relight import MOST_GAIN, change_of_light, read_light, relight
from relit_scenes.draw import draw_background, draw_scene
from relit_scenes.layers import render_layers
from relit_scenes.render import Scene, render_scene
from relit_scenes.training_scenes import training_pair
from training.data import as_tensor

SIDE = 128
# PhDHarmonizeSampler's own settings, 2 × 17 model calls, and PhDMaskedInpaintSampler's.
COMMON = {
    "seed": 0,
    "cfg": 4.0,
    "scheduler": "simple",
    "method": "masked Langevin",
    "step_size": 1.0,
    "lambda_strength": 5.0,
}
HARMONIZE = {**COMMON, "steps": 5, "inner_steps": 3, "denoise": 0.75, "sampler_name": "dpmpp_2m"}
INPAINT = {**COMMON, "steps": 15, "inner_steps": 3, "denoise": 1.0, "sampler_name": "euler"}
LEVELS = (0.3, 0.5, 0.7, 0.9)


def pixels(images: list[np.ndarray]) -> torch.Tensor:
    """Float images in 0..1, to [B,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) * 2 - 1


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Of [B,C,h,w] where [B,1,h,w] is 1."""
    return (values * mask).sum() / (values.shape[1] * mask.sum())


class Candidate:
    """A UNet and a text encoder, as a MODEL and prompts for the pack's own nodes."""

    def __init__(self, modules: nn.ModuleDict, codec: PatchCodec, encode: Callable[[list[str]], torch.Tensor]):
        """`encode` gives the text encoder's [B,77,W]; the modules are used as they are, and as they will be."""
        pack = load_pack().nodes
        comfy.utils.PROGRESS_BAR_ENABLED = False
        base = pack.demo_model.build_model(torch.float32)
        base.diffusion_model = modules["unet"]
        patcher = pack.demo_model.comfy.model_patcher.ModelPatcher
        self.model = patcher(base.eval(), load_device=torch.device("cpu"), offload_device=torch.device("cpu"))
        self.unet, self.codec, self.encode, self.nodes = modules["unet"], codec, encode, pack

    def conditioning(self, prompts: list[str]) -> list:
        return [[self.encode(prompts), {}]]

    def decoded(self, latent: dict) -> np.ndarray:
        """float32 [B,H,W,3] in 0..1."""
        return ((self.codec.decode(latent["samples"].float()) + 1) / 2).clamp(0, 1).movedim(1, -1).numpy()

    def sampled(self, node, latents: torch.Tensor, prompts: list[str], mask, **settings) -> tuple:
        told, untold = self.conditioning(prompts), self.conditioning([""] * len(prompts))
        return node.execute(self.model, told, untold, {"samples": latents}, mask, **settings).result

    @torch.no_grad()
    def losses(self, clean: torch.Tensor, prompts: list[str], hidden: torch.Tensor | None = None) -> list[float]:
        """The velocity's mean squared error at each of LEVELS, for noise that stays the same; where `hidden`
        [B,1,h,w] is 1, and the rest is seen, or by default everywhere."""
        hidden = torch.ones_like(clean[:, :1]) if hidden is None else hidden
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        context, found = self.encode(prompts), []
        for sigma in LEVELS:
            level = torch.full((len(clean),), sigma * 1000)
            given = torch.cat([torch.lerp(clean, noise, sigma), left_by_mask(clean, hidden)], 1)
            velocity = self.unet(given, level, context=context)
            found.append(masked_mean((velocity - (noise - clean)).square(), hidden).item())
        return found

    @torch.no_grad()
    def harmonized(self, cases: list[Scene], prompts: list[str], others=None, **changes) -> tuple:
        """The scenes and their references after the sampler; `others` are the references' prompts, if not the same."""
        mask, subject = (
            torch.from_numpy(np.stack([getattr(case, name) for case in cases])) for name in ("harmonize_mask", "matte")
        )
        scene, reference = (
            self.codec.encode(pixels([getattr(case, name) for case in cases])) for name in ("composite", "reference")
        )
        settings = {**HARMONIZE, "subject_mask": subject, **changes}
        node = self.nodes.harmonize_sampler.PhDHarmonizeSampler
        if others is None:
            done = self.sampled(node, scene, prompts, mask, reference={"samples": reference}, **settings)
        else:
            # The same seed gives both the same noise.
            done = [self.sampled(node, *of, mask, **settings)[0] for of in ((scene, prompts), (reference, others))]
        return self.decoded(done[0]), self.decoded(done[1])

    @torch.no_grad()
    def inpainted(self, images: list[np.ndarray], holes: np.ndarray, prompts: list[str], **changes) -> np.ndarray:
        """Images with their holes [B,H,W] filled; what was in them is not shown to the codec."""
        emptied = [mean_filled(image, hole) for image, hole in zip(images, holes, strict=True)]
        node, latents = self.nodes.inpaint_sampler.PhDMaskedInpaintSampler, self.codec.encode(pixels(emptied))
        mask = torch.from_numpy(holes)
        return self.decoded(self.sampled(node, latents, prompts, mask, **{**INPAINT, **changes})[0])

    @torch.no_grad()
    def drawn(self, prompts: list[str], side: int = SIDE) -> np.ndarray:
        """From noise alone."""
        empty = torch.zeros(len(prompts), self.codec.analysis.shape[0], side // 8, side // 8)
        settings = {**INPAINT, "method": "plain", "steps": 20, "inner_steps": 0}
        return self.decoded(
            self.sampled(self.nodes.inpaint_sampler.PhDMaskedInpaintSampler, empty, prompts, None, **settings)[0]
        )


def mean_filled(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.where(hole[..., None] > 0, image[hole == 0].mean(0), image).astype(np.float32)


@cache
def cases_of(split: str, count: int, first: int = 0) -> list[Scene]:
    return [render_scene(draw_scene(seed, split), SIDE) for seed in range(first, first + count)]


@cache
def truths_of(split: str, count: int) -> tuple[torch.Tensor, list[str]]:
    """Finished scenes as a model learns from, [N,3,S,S] in [-1,1], and their prompts."""
    images, prompts = zip(*(training_pair(seed, SIDE, split) for seed in range(count)), strict=True)
    return as_tensor(list(images)), list(prompts)


def subject_error(image: np.ndarray, case: Scene) -> float:
    """fMSE: squared error over the subject, sRGB."""
    return float(np.square(image - case.truth)[case.true_matte > 0.5].mean())


def relit(case: Scene, change: np.ndarray) -> np.ndarray:
    """The composite under a light changed by so much, within what counts as light."""
    return relight(case.composite, np.exp(np.clip(change, -np.log(MOST_GAIN), np.log(MOST_GAIN))))


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
    """fMSE of the paste and of what is read in three ways: off the result, off the difference, as Stitch does both."""
    rows = []
    for case, result, reference in zip(cases, results, references, strict=True):
        result, reference = (np.ascontiguousarray(image) for image in (result, reference))
        composite, matte = case.composite, case.matte
        rows.append(
            {
                "paste": subject_error(composite, case),
                "model's own": subject_error(result, case),
                "single": subject_error(relit(case, change_of_light(result, composite, composite, matte)), case),
                "with_reference": subject_error(
                    relit(case, change_of_light(result, reference, composite, matte)), case
                ),
                "stitch": subject_error(stitched(case, result, reference), case),
            }
        )
    return Relit({name: np.array([row[name] for row in rows]) for name in rows[0]})


def ceiling(cases: list[Scene]) -> dict[str, float]:
    """fMSE of methods that need no model: the truth through the codec's own smoother, and none at all."""
    true = [relit(case, change_of_light(case.truth, case.composite, case.composite, case.matte)) for case in cases]
    ratio = [linear_to_srgb(srgb_to_linear(case.composite) * case.ratio) for case in cases]
    found = {"read off the truth": true, "true ratio": ratio}
    return {
        name: float(np.mean([subject_error(*pair) for pair in zip(images, cases, strict=True)]))
        for name, images in found.items()
    }


def wrong_prompts(cases: list[Scene]) -> list[str]:
    """Each scene's prompt is another's."""
    prompts = [case.prompt for case in cases]
    return prompts[1:] + prompts[:1]


def holes_of(count: int, side: int = 48) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Backgrounds of the test split, a square hole in each, and what they show."""
    images, prompts, holes = [], [], np.zeros((count, SIDE, SIDE), np.float32)
    for seed in range(count):
        shot = draw_background(seed, "test")
        images.append(linear_to_srgb(render_layers(shot, SIDE).empty))
        prompts.append(shot.prompt)
        top, left = np.random.default_rng(seed).integers(2, (SIDE - side) // 8 - 1, 2) * 8
        holes[seed, top : top + side, left : left + side] = 1
    return images, holes, prompts


def hole_errors(candidate: Candidate, count: int = 24) -> dict[str, float]:
    """Mean L1 inside the holes."""
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


def sheet(rows: list[np.ndarray]) -> Image.Image:
    """Images [N,H,W,3] in 0..1, a row each."""
    lines = [np.concatenate(list(row), axis=1) for row in rows]
    return Image.fromarray((np.concatenate(lines) * 255 + 0.5).clip(0, 255).astype(np.uint8))


# As many calls, all of them steps, at less lambda_strength: a weak network's errors do not add up.
BARE = {"steps": 17, "inner_steps": 0, "cfg": 2.0}
# Name in the table, the prompt, and what differs from HARMONIZE.
RUNS = (
    ("defaults", "right", {}),
    ("defaults", "wrong", {}),
    ("defaults", "none", {}),
    ("defaults", "each its own", {}),
    ("identity 0", "right", {"identity": 0.0}),
    ("denoise 0.6", "right", {"denoise": 0.6}),
    ("denoise 0.45", "right", {"denoise": 0.45}),
    *(("no inner steps", prompt, BARE) for prompt in ("right", "wrong", "none", "each its own")),
    ("no inner steps, denoise 0.6", "each its own", {**BARE, "denoise": 0.6}),
    ("cfg 1", "right", {"cfg": 1.0}),
    ("cfg 1", "none", {"cfg": 1.0}),
    ("cfg 1", "each its own", {"cfg": 1.0}),
)


def told_of(cases: list[Scene], prompt: str) -> tuple[list[str], list[str] | None]:
    """What scenes and references are told; None: the same."""
    right = [case.prompt for case in cases]
    return {
        "right": (right, None),
        "wrong": (wrong_prompts(cases), None),
        "none": ([""] * len(cases), None),
        "each its own": (right, [case.exemplar_prompt for case in cases]),
    }[prompt]


def report(candidate: Candidate, split: str, count: int, say: Callable[[str], None]) -> None:
    """Tables of all that is measured; every line goes to `say` as soon as it is known."""
    truths, prompts = truths_of(split, count)
    clean = candidate.codec.encode(truths)
    back = candidate.codec.decode(clean).clamp(-1, 1)
    say(f"codec {-10 * np.log10((back - truths).square().mean().item() / 4):.2f} dB on {count} truths")
    for name, told in (
        ("right prompt", prompts),
        ("no prompt", [""] * count),
        ("another's", prompts[1:] + prompts[:1]),
    ):
        losses = candidate.losses(clean, told)
        say(f"loss at sigma {' '.join(map(str, LEVELS))}, {name}: {' '.join(f'{loss:.4f}' for loss in losses)}")
    cases = cases_of(split, count)
    say(f"fMSE without a model: {', '.join(f'{name} {error:.4f}' for name, error in ceiling(cases).items())}")
    for name, prompt, changes in RUNS:
        mine, references = told_of(cases, prompt)
        errors = relit_errors(cases, *candidate.harmonized(cases, mine, references, **changes))
        say(f"fMSE, {name}, prompt {prompt}: {errors}")
    say(f"L1 in holes: {', '.join(f'{name} {error:.4f}' for name, error in hole_errors(candidate).items())}")


def stitched(case: Scene, result: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The composite, its subject in the light that was read."""
    light = read_light([result], [reference], case.composite, case.background, case.matte)
    return np.where(case.matte[..., None] > 0, relight(case.composite, light.gain), case.composite)


def contact_sheet(candidate: Candidate) -> Image.Image:
    """By row: six truths; the same prompts drawn from noise; composites, their harmonized images, relit, truths."""
    truths, prompts = truths_of("test", 12)
    cases = cases_of("test", 6)
    composites, true = (np.stack([getattr(case, name) for case in cases]) for name in ("composite", "truth"))
    results, references = candidate.harmonized(cases, [case.prompt for case in cases])
    drawn = candidate.drawn(prompts)
    shown = ((truths + 1) / 2).movedim(1, -1).numpy()
    lit = [stitched(*of) for of in zip(cases, results, references, strict=True)]
    images, holes, told = holes_of(6)
    emptied = np.stack([mean_filled(*pair) for pair in zip(images, holes, strict=True)])
    filled = candidate.inpainted(images, holes, told)
    return sheet(
        [
            shown[:6],
            drawn[:6],
            shown[6:],
            drawn[6:],
            composites,
            results,
            references,
            np.stack(lit),
            true,
            emptied,
            filled,
        ]
    )
