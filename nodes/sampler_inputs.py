"""The inputs that the sampler nodes share, and their presets."""

from collections.abc import Mapping
from dataclasses import dataclass

import comfy.samplers
from comfy_api.latest import io

from ..phd_ops.latents.masked_langevin import MaskedLangevin
from ..phd_ops.latents.seeds import SEEDS
from .comfy_sampler import LANGEVIN, MASKED_METHODS, NAMES, PLAIN, LoopWidgets
from .validate import check_choice

METHODS = [*MASKED_METHODS, PLAIN]
# The second one is what a new node has; a prompt over the API that names none gives its own steps.
CUSTOM, BALANCED = "custom", "balanced"
# Steps and inner steps, by the preset's name.
Presets = Mapping[str, tuple[int, int]]
INPAINT_PRESETS: Presets = {"fast": (10, 2), "balanced": (19, 2), "best": (20, 5)}
HARMONIZE_PRESETS: Presets = {"fast": (4, 2), "balanced": (5, 3), "best": (6, 6)}


@dataclass(frozen=True, kw_only=True)
class SamplerWidgets(LoopWidgets):
    """The widgets of both samplers, and the defaults of those that are optional."""

    seed: int
    steps: int
    cfg: float
    scheduler: str
    denoise: float
    preset: str = CUSTOM

    def check(self, presets: Presets) -> None:
        """Raises ValueError for what ComfyUI does not check itself."""
        check_choice("sampler_name", self.sampler_name, comfy.samplers.KSampler.SAMPLERS)
        check_choice("scheduler", self.scheduler, comfy.samplers.KSampler.SCHEDULERS)
        check_choice("method", self.method, METHODS)
        check_choice("preset", self.preset, [CUSTOM, *presets])


def apply_preset(presets: Presets, preset: str, steps: int, inner_steps: float) -> tuple[int, float]:
    """Steps and inner steps after a preset."""
    return (steps, inner_steps) if preset == CUSTOM else presets[preset]


def within(calls: int, levels: int) -> tuple[float, int]:
    """Inner steps per level, and RePaint's jump count, that make at most this many model calls. Some schedulers return
    more levels than they were asked for."""
    return max(0, calls - levels) / max(1, levels - 1), max(1, calls // levels)


def sampler_sockets(mask_tooltip: str) -> list[io.Input]:
    """The sockets that both samplers share."""
    return [
        io.Model.Input("model", tooltip="Any image model: SD 1.5, SDXL, SD 3, Flux and others. It is not changed."),
        io.Conditioning.Input("positive", tooltip="Describes the whole scene, including the subject and its color."),
        io.Conditioning.Input("negative", tooltip="What to avoid, such as: cut-out, sticker, halo."),
        io.Latent.Input("latent", tooltip="The encoded composite."),
        io.Mask.Input("mask", optional=True, tooltip=mask_tooltip),
    ]


def schedule_inputs(*, denoise: float, presets: Presets, sampler_name: str) -> list[io.Input]:
    """The widgets that both samplers share, each with its own defaults. Steps are those of the default preset."""
    steps, inner_steps = presets[BALANCED]
    return [
        io.Int.Input(
            "seed", default=0, min=0, max=SEEDS - 1, control_after_generate=True, tooltip="Seed of all noise."
        ),
        io.Int.Input("steps", default=steps, min=1, max=1000, tooltip="Denoising steps."),
        io.Float.Input(
            "cfg", default=4.0, min=0.0, max=100.0, step=0.1, tooltip="How closely the image follows the prompt."
        ),
        io.Combo.Input(
            "sampler_name",
            options=comfy.samplers.KSampler.SAMPLERS,
            default=sampler_name,
            tooltip=f"Base sampler. The masked methods support {NAMES}; plain and unmasked runs support all.",
        ),
        io.Combo.Input(
            "scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="simple", tooltip="Noise schedule."
        ),
        io.Float.Input(
            "denoise",
            default=denoise,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Share of the noise schedule that is run. 1 starts from pure noise.",
        ),
        io.Combo.Input(
            "method",
            options=METHODS,
            default=LANGEVIN,
            tooltip="masked Langevin: known and new regions agree, without a seam. soft mask: the same, with the "
            "mask's gray values as strengths. RePaint: jumps back and forth. plain: KSampler with a noise mask.",
        ),
        *inner_inputs(inner_steps),
        io.Combo.Input(
            "preset",
            options=[CUSTOM, *presets],
            default=BALANCED,
            optional=True,
            tooltip=f"Sets steps, inner steps and jump count: {preset_costs(presets)}.",
        ),
        *jump_inputs(optional=True),
    ]


def preset_costs(presets: Presets) -> str:
    """Such as "fast 8 × 3 (29 model calls)"."""
    return ", ".join(f"{name} {n} × {k} ({n + (n - 1) * k} model calls)" for name, (n, k) in presets.items())


def inner_inputs(inner_steps: int) -> list[io.Input]:
    return [
        io.Int.Input(
            "inner_steps",
            default=inner_steps,
            min=0,
            max=100,
            tooltip="Langevin steps per step, made at the noise levels where they help most. Model calls: "
            "steps + (steps - 1) × inner_steps.",
        ),
        io.Float.Input(
            "step_size",
            default=MaskedLangevin.step_size,
            min=0.01,
            max=5.0,
            step=0.05,
            tooltip="Share of the noise that each inner step replaces. 1 and above: all of it.",
        ),
        io.Float.Input(
            "lambda_strength",
            default=MaskedLangevin.lambda_strength,
            min=0.0,
            max=50.0,
            step=0.5,
            tooltip="Lambda: how strongly masked and known regions are made to agree. 0 = off.",
        ),
    ]


def jump_inputs(optional: bool) -> list[io.Input]:
    return [
        io.Int.Input(
            "jump_length",
            default=LoopWidgets.jump_length,
            min=1,
            max=100,
            optional=optional,
            tooltip="RePaint only: how many steps each jump goes back.",
        ),
        io.Int.Input(
            "jump_count",
            default=LoopWidgets.jump_count,
            min=1,
            max=100,
            optional=optional,
            tooltip="RePaint only: how many times each stretch is run. Model calls grow by this factor.",
        ),
    ]
