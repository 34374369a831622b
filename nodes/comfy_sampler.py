"""The masked loops of `phd_ops` as one of ComfyUI's own samplers, for any guider: every sampler node runs this."""

import functools
from dataclasses import dataclass

import comfy.model_base
import comfy.model_management
import comfy.model_sampling
import comfy.samplers
import torch
from tqdm.auto import tqdm

from ..phd_ops.latents import masked_langevin, repaint
from ..phd_ops.latents.noise import item_seed
from ..phd_ops.latents.soft_mask import soft_mask_schedule
from ..phd_ops.latents.solvers import STEPPERS, Mask, free_at, levels
from .ui import send_text, warn

LANGEVIN, SOFT_MASK, REPAINT, PLAIN = "masked Langevin", "soft mask", "RePaint", "plain"
# Noise inside the loop must not repeat the initial noise, which ComfyUI draws from the bare seed.
INNER_SEED = 0x9E3779B9
SEEDS = 2**64


@dataclass(frozen=True)
class Settings:
    """What the nodes' widgets say. inner_steps may be a fraction, see `allocate`. seeds: one an item; without them,
    those that belong to the run's seed. harmonizes: whether light is to be found rather than an image drawn."""

    method: str
    sampler_name: str
    inner_steps: float
    step_size: float
    lambda_strength: float
    jump_length: int
    jump_count: int
    seeds: tuple[int, ...] = ()
    harmonizes: bool = False

    @property
    def band(self) -> tuple[float, float]:
        return masked_langevin.HARMONIZE_BAND if self.harmonizes else masked_langevin.BAND


@dataclass(frozen=True)
class Plan:
    """A run as it will be: the method after all, what may change when, the model calls, what is not as asked.

    PLAIN is ComfyUI's own sampler `stepper` with the noise mask `mask`; only that knows how often it calls the model.
    """

    method: str
    stepper: str
    mask: Mask | None
    flow: bool
    calls: int
    told: str
    notes: tuple[str, ...] = ()


def is_flow(model_sampling) -> bool:
    """Whether a model mixes signal and noise as rectified flow does, or only adds noise."""
    return isinstance(model_sampling, comfy.model_sampling.CONST)


def redraws_known(model: comfy.model_base.BaseModel) -> bool:
    """Whether a model noises its known region as the formulas say. Some video models hand it over clean instead."""
    return type(model).scale_latent_inpaint is comfy.model_base.BaseModel.scale_latent_inpaint


def changing_mask(guider, sigmas: torch.Tensor, mask: torch.Tensor | None, model_options: dict, method: str) -> Mask:
    """The mask, or at which level of noise which part of it may change: the method's thresholds, and a function on
    the model, such as ComfyUI's own DifferentialDiffusion sets."""
    if mask is None:
        return sigmas.new_ones(1, 1)
    asked = model_options.get("denoise_mask_function")
    clock = guider.inner_model.model_sampling
    if method == SOFT_MASK:
        base = soft_mask_schedule(mask, sigmas.cpu(), clock.timestep, torch.as_tensor(clock.sigma_min).cpu())
    else:
        base = mask > 0
    if asked is None:
        return base

    def at(sigma: torch.Tensor) -> torch.Tensor:
        level = sigma.to(mask) * mask.new_ones(len(mask))
        # What such a function blends is never blended here: the greater part decides.
        chosen = asked(level, mask, extra_options={"model": guider, "sigmas": sigmas}) >= 0.5
        return chosen & (base(sigma) if callable(base) else base)

    return at


def plan_run(guider, sigmas: torch.Tensor, mask: torch.Tensor | None, model_options: dict, settings: Settings) -> Plan:
    method, stepper = settings.method, settings.sampler_name
    flow = is_flow(guider.inner_model.model_sampling)
    if mask is not None and not redraws_known(guider.inner_model):
        note = f"This model takes its known region without noise; {method} runs as plain sampling with {stepper}."
        return Plan(PLAIN, stepper, mask, flow, 0, "", (note,))
    changing = changing_mask(guider, sigmas, mask, model_options, method)
    if len(sigmas) > 1 and all(bool(free_at(changing, sigma).all()) for sigma, _ in levels(sigmas)):
        told = f"All may change: {method} is plain sampling with {stepper}."
        return Plan(PLAIN, stepper, None, flow, 0, told)
    notes = ()
    if stepper not in STEPPERS:
        notes = (f"{method} has no {stepper}; it steps with euler. It has {', '.join(STEPPERS)}.",)
        stepper = "euler"
    if method == REPAINT:
        calls = repaint.count_calls(sigmas, changing, settings.jump_length, settings.jump_count)
    else:
        calls = masked_langevin.count_calls(sigmas, changing, settings.inner_steps, flow, settings.band)
    return Plan(method, stepper, changing, flow, calls, f"{method}: {calls} model calls.", notes)


def announce(plan: Plan) -> None:
    if plan.notes:
        warn("\n".join(filter(None, [*plan.notes, plan.told])))
    else:
        send_text(plan.told)


def check_whole(model, method: str) -> None:
    """A sampler that wraps another may hand a function on in the model's place, which does not know the latent."""
    if not all(hasattr(model, name) for name in ("inner_model", "latent_image", "noise")):
        raise ValueError(
            f"{method} was given a model without its latent_image and noise by the sampler that is wrapped around it, "
            "such as a detail sampler: connect Masked Langevin to the sampling node directly."
        )


def sample_masked(
    model, x, sigmas, extra_args=None, callback=None, disable=None, *, settings: Settings, plan: Plan | None = None
):
    """`sample_masked_langevin` or `sample_repaint` as a sampling function of ComfyUI's KSAMPLER.

    ComfyUI's own replacement in the model is given no mask: the loop does its own, and needs the estimate of the whole
    image. Without a `plan`, as when another sampler wraps this one, it is made here.
    """
    check_whole(model, settings.method)
    if plan is None:
        given = extra_args.get("denoise_mask"), extra_args.get("model_options", {})
        plan = plan_run(model.inner_model, sigmas, *given, settings)
    announce(plan)
    if plan.method == PLAIN:
        sampler = comfy.samplers.sampler_object(plan.stepper)
        given = {"extra_args": {**extra_args, "denoise_mask": plan.mask}, "callback": callback, "disable": disable}
        return sampler.sampler_function(model, x, sigmas, **given, **sampler.extra_options)

    def estimate(x, sigma, **extra):
        comfy.model_management.throw_exception_if_processing_interrupted()
        return model(x, sigma, **extra)

    def unstable(step_size: float | None) -> None:
        if step_size is None:
            warn("The model's estimate was not finite (NaN); the one before it served in its place.")
        else:
            told = f"The model's estimate was not finite at step_size {step_size:g}"
            warn(f"{told}; from there on it is halved. Lower it.")

    def report(call: dict) -> None:
        bar.update()
        if callback is not None:
            callback(call)

    first = extra_args.get("seed") or 0
    seeds = settings.seeds or [item_seed(first, place) for place in range(len(x))]
    given = {
        "extra_args": {**extra_args, "denoise_mask": None},
        "callback": report,
        "known": model.latent_image,
        "mask": plan.mask,
        "generators": [torch.Generator().manual_seed((seed + INNER_SEED) % SEEDS) for seed in seeds],
        "flow": plan.flow,
        "stepper": plan.stepper,
    }
    with tqdm(total=plan.calls, disable=disable) as bar:
        if plan.method == REPAINT:
            jumps = {"jump_length": settings.jump_length, "jump_count": settings.jump_count}
            return repaint.sample_repaint(estimate, x, sigmas, **given, **jumps)
        return masked_langevin.sample_masked_langevin(
            estimate,
            x,
            sigmas,
            **given,
            noise=model.noise,
            inner_steps=settings.inner_steps,
            step_size=settings.step_size,
            lambda_strength=settings.lambda_strength,
            band=settings.band,
            alternate=settings.harmonizes,
            unstable=unstable,
        )


def check_positive(guider) -> None:
    """Without a prompt ComfyUI runs no model at all, and takes the estimate to be 0."""
    plain = getattr(type(guider), "predict_noise", None) is comfy.samplers.CFGGuider.predict_noise
    conds = getattr(guider, "conds", {})
    if (plain or "positive" in conds) and not conds.get("positive"):
        raise ValueError("positive is empty: connect a prompt, such as from CLIP Text Encode, to it.")


class MaskedSampler(comfy.samplers.KSAMPLER):
    """A SAMPLER. What it adds to ComfyUI's is that progress runs over all model calls, not over the schedule."""

    def __init__(self, settings: Settings):
        super().__init__(sample_masked, {"settings": settings})

    def sample(
        self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None, *rest, **more
    ):
        check_positive(model_wrap)
        settings = self.extra_options["settings"]
        plan = plan_run(model_wrap, sigmas, denoise_mask, extra_args["model_options"], settings)
        if plan.method == PLAIN:
            announce(plan)
            sampler, told = comfy.samplers.sampler_object(plan.stepper), callback
        else:
            sampler = comfy.samplers.KSAMPLER(functools.partial(sample_masked, plan=plan), self.extra_options)
            told = callback and (lambda call, x0, x, _: callback(call, x0, x, plan.calls))
        return sampler.sample(
            model_wrap,
            sigmas,
            extra_args,
            told,
            noise,
            latent_image,
            plan.mask if plan.method == PLAIN else denoise_mask,
            *rest,
            **more,
        )
