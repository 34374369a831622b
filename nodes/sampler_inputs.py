"""The inputs that the sampler nodes share, and their presets."""

import comfy.sample
import comfy.samplers
import comfy.utils
from comfy_api.latest import io

from ..phd_ops.latents.solvers import STEPPERS
from .comfy_sampler import LANGEVIN, PLAIN, REPAINT, SOFT_MASK
from .compat import newer

METHODS = [LANGEVIN, SOFT_MASK, REPAINT, PLAIN]


CUSTOM = "custom"


# steps and inner steps.
INPAINT_PRESETS = {"fast": (10, 2), "balanced": (15, 3), "best": (20, 5)}


HARMONIZE_PRESETS = {"fast": (4, 2), "balanced": (5, 3), "best": (6, 6)}


# At cfg 1, where distilled and guidance-embedded models run, a preset takes no more inner steps than this.
GENTLE_INNER_STEPS = 2


def apply_preset(presets: dict, preset: str, cfg: float, steps: int, inner_steps: int) -> tuple[int, int]:
    """steps and inner_steps as a preset wants them."""
    if preset == CUSTOM:
        return steps, inner_steps
    steps, inner_steps = presets[preset]
    return steps, min(inner_steps, GENTLE_INNER_STEPS) if cfg == 1 else inner_steps


def model_inputs(mask_tooltip: str) -> list:
    """The sockets that both samplers share."""
    return [
        io.Model.Input("model", tooltip="Any image model: SD 1.5, SDXL, SD 3, Flux and others. It stays frozen."),
        io.Conditioning.Input("positive", tooltip="What the whole scene shows, the subject and its color included."),
        io.Conditioning.Input("negative", tooltip="What it must not look like, such as: cut-out, sticker, halo."),
        io.Latent.Input("latent", tooltip="The encoded composite."),
        io.Mask.Input("mask", optional=True, tooltip=mask_tooltip),
    ]


def schedule_inputs(
    steps: int, cfg: float, denoise: float, inner_steps: int, step_size: float, presets: dict, sampler_name: str
) -> list:
    """The widgets that both samplers share, each with its own defaults."""
    rare = newer(io.Float.Input, advanced=True)
    return [
        io.Int.Input(
            "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True, tooltip="Seed of all noise."
        ),
        io.Int.Input("steps", default=steps, min=1, max=1000, tooltip="Outer denoising steps."),
        io.Float.Input("cfg", default=cfg, min=0.0, max=100.0, step=0.1, tooltip="How strongly the prompt guides."),
        io.Combo.Input(
            "sampler_name",
            options=comfy.samplers.KSampler.SAMPLERS,
            default=sampler_name,
            tooltip=f"Base sampler. The masked methods have {', '.join(STEPPERS)}; plain, and no mask, take all.",
            **rare,
        ),
        io.Combo.Input(
            "scheduler", options=comfy.samplers.KSampler.SCHEDULERS, default="simple", tooltip="Noise schedule.", **rare
        ),
        io.Float.Input(
            "denoise",
            default=denoise,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Share of the noise schedule that is run: 1 starts from pure noise.",
        ),
        io.Combo.Input(
            "method",
            options=METHODS,
            default=LANGEVIN,
            tooltip="Masked Langevin lets known and new parts agree (no seam); soft mask does so with a soft mask "
            "as strength; RePaint jumps back and forth; plain is KSampler with a noise mask.",
        ),
        *inner_inputs(inner_steps, step_size),
        io.Combo.Input(
            "preset",
            options=[CUSTOM, *presets],
            default=CUSTOM,
            optional=True,
            tooltip=f"Sets steps, inner steps and jump count: {preset_costs(presets)}. At cfg 1 (distilled models) "
            f"there are at most {GENTLE_INNER_STEPS} inner steps.",
        ),
        *jump_inputs(optional=True),
    ]


def preset_costs(presets: dict) -> str:
    """Such as "fast 8 × 3 (29 model calls)"."""
    told = [f"{name} {n} × {k} ({n + (n - 1) * k} model calls)" for name, (n, k) in presets.items()]
    return ", ".join(told)


def inner_inputs(inner_steps: int, step_size: float) -> list:
    rare = newer(io.Float.Input, advanced=True)
    return [
        io.Int.Input(
            "inner_steps",
            default=inner_steps,
            min=0,
            max=100,
            tooltip="Langevin steps a step, made where they pay. Model calls: steps + (steps - 1) × inner steps.",
        ),
        io.Float.Input(
            "step_size",
            default=step_size,
            min=0.01,
            max=5.0,
            step=0.05,
            tooltip="Share of the noise that an inner step draws anew; 1 and above: all of it.",
            **rare,
        ),
        io.Float.Input(
            "lambda_strength",
            default=5.0,
            min=0.0,
            max=50.0,
            step=0.5,
            tooltip="Lambda: how far the known part leans while sampling for both parts to agree; 0: not at all.",
            **rare,
        ),
    ]


def jump_inputs(optional: bool) -> list:
    rare = newer(io.Float.Input, advanced=True)
    return [
        io.Int.Input(
            "jump_length",
            default=1,
            min=1,
            max=100,
            optional=optional,
            tooltip="RePaint only: how many steps are taken back at a time.",
            **rare,
        ),
        io.Int.Input(
            "jump_count",
            default=5,
            min=1,
            max=100,
            optional=optional,
            tooltip="RePaint only: how often each stretch is run; the model calls grow by this factor.",
            **rare,
        ),
    ]
