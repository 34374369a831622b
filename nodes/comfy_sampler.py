"""The masked samplers of `phd_ops` as a SAMPLER of ComfyUI, for any guider: every sampler node runs this."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import comfy.model_base
import comfy.model_sampling
import comfy.samplers
import torch
from tqdm.auto import tqdm

from ..phd_ops.latents.inner_steps import BAND, HARMONIZE_BAND
from ..phd_ops.latents.masked_langevin import MaskedLangevin
from ..phd_ops.latents.masked_latent import Mask, MaskedLatent
from ..phd_ops.latents.repaint import RePaint
from ..phd_ops.latents.seeds import item_seed, loop_generator
from ..phd_ops.latents.soft_mask import soft_mask_schedule
from ..phd_ops.latents.solvers import EULER, SOLVERS
from ..phd_ops.pixels.masks import zero_black
from ..phd_ops.sentence import sentence
from .guidance import guided_model, is_standard
from .step_caches import step_caches
from .ui import tell, warn

LANGEVIN, SOFT_MASK, REPAINT, PLAIN = "masked Langevin", "soft mask", "RePaint", "plain"
# The methods that have a loop of their own.
MASKED_METHODS = [LANGEVIN, SOFT_MASK, REPAINT]
NAMES = ", ".join(SOLVERS)


@dataclass(frozen=True)
class LoopWidgets:
    """The widgets that every sampler node has, and the defaults of those that are optional.

    inner_steps may be a fraction, which `MaskedLangevin` spreads over the levels.
    """

    method: str
    sampler_name: str
    inner_steps: float
    step_size: float
    lambda_strength: float
    jump_length: int = RePaint.jump_length
    jump_count: int = RePaint.jump_count

    def settings(self, seeds: tuple[int, ...] = (), harmonizes: bool = False) -> "Settings":
        """What the sampler runs with; harmonizes: the mean light is wanted, not one sample."""
        solver = self.sampler_name if self.sampler_name in SOLVERS else EULER
        if self.method == REPAINT:
            loop = RePaint(solver, self.jump_length, self.jump_count)
        else:
            band = HARMONIZE_BAND if harmonizes else BAND
            loop = MaskedLangevin(solver, self.inner_steps, self.step_size, self.lambda_strength, band, harmonizes)
        return Settings(self.method, self.sampler_name, loop, seeds)


@dataclass(frozen=True)
class Settings:
    """What a MaskedSampler runs with.

    Attributes:
        method: one of MASKED_METHODS.
        sampler_name: ComfyUI's sampler, where that runs in place of the loop.
        loop: the loop and its settings.
        seeds: one per item; empty: they follow from the run's seed.
    """

    method: str
    sampler_name: str
    loop: MaskedLangevin | RePaint
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How a run goes, and what to tell the user.

    Attributes:
        message: what runs.
        warnings: what differs from what was asked, a sentence each.
        loop: the loop and its settings.
        masked: the loop's masked region; None: ComfyUI's own sampler runs instead.
        flow: the model family.
        calls: the loop's model calls; only ComfyUI knows those of its sampler.
        noise_mask: the noise mask of ComfyUI's own sampler.
    """

    message: str
    warnings: tuple[str, ...] = ()
    loop: MaskedLangevin | RePaint | None = None
    masked: Mask | None = None
    flow: bool = False
    calls: int = 0
    noise_mask: torch.Tensor | None = None

    def announce(self) -> None:
        if self.message:
            tell(self.message)
        for warning in self.warnings:
            warn(warning)


def is_flow(model_sampling: Any) -> bool:
    """Whether a model mixes signal and noise as rectified flow does, or only adds noise."""
    return isinstance(model_sampling, comfy.model_sampling.CONST)


def noises_known(model: comfy.model_base.BaseModel) -> bool:
    """Whether a model takes its known region with noise, as the loops do. Some video models take it clean."""
    return type(model).scale_latent_inpaint is comfy.model_base.BaseModel.scale_latent_inpaint


def is_graded(method: str, model_options: dict[str, Any]) -> bool:
    """Whether a mask's values between 0 and 1 are strengths: by the method, or by a function on the model such as
    ComfyUI's DifferentialDiffusion sets."""
    return method == SOFT_MASK or "denoise_mask_function" in model_options


def runs_plain(
    method: str, mask: torch.Tensor | None, model: comfy.model_base.BaseModel, model_options: dict[str, Any]
) -> bool:
    """Whether ComfyUI's own sampler runs: for `plain`, with nothing known, and with a model that takes the known
    region clean. No other code decides this."""
    if method == PLAIN or mask is None or not noises_known(model):
        return True
    return bool((mask >= 1 if is_graded(method, model_options) else mask > 0).all())


def plan_run(
    guider: Any, sigmas: torch.Tensor, mask: torch.Tensor | None, model_options: dict[str, Any], settings: Settings
) -> Plan:
    method, name = settings.method, settings.sampler_name
    mask = None if mask is None else zero_black(mask)
    if mask is None or runs_plain(method, mask, guider.inner_model, model_options):
        return plan_plain(guider.inner_model, mask, model_options, settings)
    flow = is_flow(guider.inner_model.model_sampling)
    masked = masked_region(guider, sigmas, mask, model_options, method)
    loop, warnings = settings.loop, []
    if name not in SOLVERS:
        warnings.append(
            sentence(
                "{method} does not support {name} and uses euler. It supports {supported}.",
                method=method,
                name=name,
                supported=NAMES,
            )
        )
    if isinstance(loop, MaskedLangevin) and step_caches(guider.model_patcher):
        # Both would work with estimates of other noise, and be wrong.
        loop = dataclasses.replace(loop, inner_steps=0, lambda_strength=0.0)
        warnings.append(
            sentence(
                "The model's step cache (EasyCache or LazyCache) repeats old estimates, so that inner "
                "steps are left out and the known region is not corrected. Remove the cache from the model "
                "to get both."
            )
        )
    calls = loop.count_calls(sigmas, masked, flow)
    return Plan(
        sentence("{method}: {calls} model calls.", method=method, calls=calls),
        tuple(warnings),
        loop,
        masked,
        flow,
        calls,
    )


def plan_plain(
    model: comfy.model_base.BaseModel, mask: torch.Tensor | None, model_options: dict[str, Any], settings: Settings
) -> Plan:
    """The plan where ComfyUI's own sampler runs."""
    plain = sentence(
        "{method} runs as plain sampling with {sampler_name}.",
        method=settings.method,
        sampler_name=settings.sampler_name,
    )
    if mask is not None and not noises_known(model):
        without_noise = sentence("This model takes its known region without noise, so {plain}", plain=plain)
        return Plan("", (without_noise,), noise_mask=mask)
    # A function on the model may still hold some of the mask back.
    noise_mask = mask if "denoise_mask_function" in model_options else None
    return Plan(sentence("The whole latent may change, so {plain}", plain=plain), noise_mask=noise_mask)


def masked_region(
    guider: Any, sigmas: torch.Tensor, mask: torch.Tensor, model_options: dict[str, Any], method: str
) -> Mask:
    """The masked region, by noise level where the method or a function on the model makes it depend on that."""
    function = model_options.get("denoise_mask_function")
    sampling = guider.inner_model.model_sampling
    if method == SOFT_MASK:
        region = soft_mask_schedule(mask, sigmas.cpu(), sampling.timestep, torch.as_tensor(sampling.sigma_min).cpu())
    else:
        region = mask > 0
    if function is None:
        return region

    def masked_at(sigma: torch.Tensor) -> torch.Tensor:
        level = sigma.to(mask) * mask.new_ones(len(mask))
        # A function may return values between 0 and 1; they are never blended, but rounded.
        chosen = function(level, mask, extra_options={"model": guider, "sigmas": sigmas}) >= 0.5
        return chosen & (region(sigma) if callable(region) else region)

    return masked_at


def check_model(model: Any, method: str) -> None:
    """A sampler that wraps another may pass a function in place of the model, which does not have the latent."""
    if not all(hasattr(model, name) for name in ("inner_model", "latent_image", "noise")):
        raise ValueError(
            sentence(
                "{method} needs the model's latent_image and noise, which the sampler around it (such as "
                "a detail sampler) hides: connect Masked Langevin to the sampling node directly.",
                method=method,
            )
        )


def warn_unstable(step_size: float | None) -> None:
    if step_size is None:
        warn(sentence("The model's estimate was not finite (NaN); the previous estimate was used in its place."))
    else:
        warn(
            sentence(
                "The model's estimate was not finite at step_size {step_size:g}. It is halved from here on; lower it.",
                step_size=step_size,
            )
        )


def sample_masked(
    model: Any,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict[str, Any],
    callback: Callable[[dict], None] | None = None,
    disable: bool | None = None,
    *,
    settings: Settings,
    plan: Plan | None = None,
) -> torch.Tensor:
    """A loop as a k-diffusion sampling function, for ComfyUI's KSAMPLER.

    ComfyUI's own replacement of the known region gets no mask: the loop makes its own, and needs the estimate of the
    whole latent. Without a `plan`, as when another sampler wraps this one, it is made here.
    """
    check_model(model, settings.method)
    if plan is None:
        options = extra_args.get("model_options", {})
        plan = plan_run(model.inner_model, sigmas, extra_args.get("denoise_mask"), options, settings)
    plan.announce()
    if plan.masked is None or plan.loop is None:
        sampler = comfy.samplers.sampler_object(settings.sampler_name)
        given = {"extra_args": {**extra_args, "denoise_mask": plan.noise_mask}, **sampler.extra_options}
        return sampler.sampler_function(model, x, sigmas, callback=callback, disable=disable, **given)

    made = 0

    def report(call: dict) -> None:
        nonlocal made
        made += 1
        progress.update(call["i"] + 1 - progress.n)
        if callback is not None:
            callback(call)

    seeds = settings.seeds or [item_seed(extra_args.get("seed") or 0, place) for place in range(len(x))]
    latent = MaskedLatent(model.latent_image, plan.masked, model.noise, list(map(loop_generator, seeds)), plan.flow)
    with tqdm(total=plan.calls, disable=disable) as progress:
        x = plan.loop.sample(guided_model(model, extra_args), x, sigmas, latent, report, warn_unstable)
    saved = plan.calls - made
    if saved > 0:
        tell(
            sentence(
                "{saved} model calls were saved: more inner steps would only have added to the model's own errors.",
                saved=saved,
            )
        )
    return x


def check_positive(guider: Any) -> None:
    """Without a prompt ComfyUI does not run the model at all, and takes its estimate to be 0."""
    conds = getattr(guider, "conds", {})
    if (is_standard(guider) or "positive" in conds) and not conds.get("positive"):
        raise ValueError(sentence("{name} is empty: connect a prompt, such as from CLIP Text Encode.", name="positive"))


class MaskedSampler(comfy.samplers.KSAMPLER):
    """A SAMPLER. It adds to ComfyUI's that progress runs over all model calls, not over the schedule."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(sample_masked, {"settings": settings})

    def sample(
        self,
        model_wrap: Any,
        sigmas: torch.Tensor,
        extra_args: dict[str, Any],
        callback: Callable | None,
        noise: torch.Tensor,
        latent_image: torch.Tensor | None = None,
        denoise_mask: torch.Tensor | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> torch.Tensor:
        check_positive(model_wrap)
        settings = self.extra_options["settings"]
        plan = plan_run(model_wrap, sigmas, denoise_mask, extra_args["model_options"], settings)
        if plan.masked is None:
            plan.announce()
            sampler, denoise_mask = comfy.samplers.sampler_object(settings.sampler_name), plan.noise_mask
        else:
            sampler = comfy.samplers.KSAMPLER(functools.partial(sample_masked, plan=plan), self.extra_options)
            callback = callback and over_calls(callback, plan.calls)
            # The loops compute in the latent's type, and 16 bits do not hold what they divide by.
            noise, latent_image = noise.float(), None if latent_image is None else latent_image.float()
        return sampler.sample(
            model_wrap, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *args, **kwargs
        )


def over_calls(callback: Callable, calls: int) -> Callable:
    """A callback whose total is the number of model calls."""
    return lambda call, x0, x, _: callback(call, x0, x, calls)
