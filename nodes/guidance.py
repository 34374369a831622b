"""A ComfyUI model as `phd_ops.latents.guidance` takes it: its estimates with guidance and without, by public hooks."""

import math
from typing import Any

import comfy.model_management
import comfy.samplers
import torch

from ..phd_ops.latents.guidance import GuidedModel, Prediction
from .step_caches import Estimate, WatchedModel

# ComfyUI's hook in whose place its batch of positive and negative is run.
BATCH = "sampler_calc_cond_batch_function"
# Its list of functions that get the combined estimate.
AFTER_CFG = "sampler_post_cfg_function"


def guided_model(model: Any, arguments: dict[str, Any]) -> GuidedModel:
    """The GuidedModel of a run.

    Other guiders than ComfyUI's own combine estimates in ways of their own: both estimates are then the guider's.

    Args:
        model: what ComfyUI's KSAMPLER passes to a sampling function.
        arguments: its further arguments.
    """
    guider, options = model.inner_model, arguments.get("model_options", {})
    watched = WatchedModel(guider.inner_model.diffusion_model, options)

    def denoise(x: torch.Tensor, sigma: torch.Tensor, prompted: bool = True, **changed: Any) -> Estimate:
        comfy.model_management.throw_exception_if_processing_interrupted()
        given = {**arguments, "denoise_mask": None}

        def run(options: dict[str, Any]) -> torch.Tensor:
            return model(x, sigma, **{**given, "model_options": {**options, **changed}})

        return watched.estimate(run) if prompted else Estimate(run(watched.options), True)

    def predict_plain(x: torch.Tensor, sigma: torch.Tensor) -> Prediction:
        denoised, made = denoise(x, sigma)
        return Prediction(denoised, denoised, None if made else nowhere(x))

    if not is_standard(guider) or BATCH in options:
        return GuidedModel(predict_plain, predict_plain)
    adds = adds_guidance(guider)

    def predict(x: torch.Tensor, sigma: torch.Tensor, guided: bool) -> Prediction:
        region, anywhere = covered_by_prompts(guider.conds, x, sigma)
        if region is None and not adds:
            return predict_plain(x, sigma)
        batch = Batch(guider, alone=adds and not guided, partial=region is not None)
        further = [batch.keep_combined, *options.get(AFTER_CFG, [])]
        prompted = anywhere is None or bool(anywhere.any())
        denoised, made = denoise(x, sigma, prompted, **{BATCH: batch.run, AFTER_CFG: further})
        positive, negative, combined = batch.take()
        if not made or positive is None or combined is None:
            # A cache gave an old estimate, of other noise: the known region must not be corrected by it.
            return Prediction(denoised, denoised, nowhere(x))
        # What other functions add to the combined estimate, such as an identity anchor, is no guidance.
        unguided = denoised - (combined - positive) if adds and guided else denoised
        if region is not None and negative is not None:
            unguided = torch.where(region, unguided, negative)
        return Prediction(denoised, unguided, anywhere)

    return GuidedModel(lambda x, sigma: predict(x, sigma, True), lambda x, sigma: predict(x, sigma, False))


def nowhere(x: torch.Tensor) -> torch.Tensor:
    """A region without any cell, as bool of x's shape."""
    return torch.zeros_like(x, dtype=torch.bool)


def is_standard(guider: Any) -> bool:
    """Whether a guider combines one positive and one negative prompt as ComfyUI's own does."""
    return getattr(type(guider), "predict_noise", None) is comfy.samplers.CFGGuider.predict_noise


def adds_guidance(guider: Any) -> bool:
    """Whether ComfyUI's own guider goes beyond the positive prompt's estimate. Below cfg 1 it goes back from it."""
    return guider.cfg > 1 and not math.isclose(guider.cfg, 1)


class Batch:
    """Stands in for ComfyUI's batch of positive and negative in one model call, and keeps their estimates.

    Args:
        alone: gives the positive's estimate for both, whose difference, and with it guidance, is then none.
        partial: the positive does not cover the image, so that the negative is needed in any case.
    """

    def __init__(self, guider: Any, alone: bool, partial: bool) -> None:
        self.conds, self.partial = guider.conds, partial
        self.alone = alone or math.isclose(guider.cfg, 1)
        self.positive: torch.Tensor | None = None
        self.negative: torch.Tensor | None = None
        self.combined: torch.Tensor | None = None

    def run(self, call: dict[str, Any]) -> list[torch.Tensor]:
        # A patch of the model may need the negative's run.
        needed = self.partial or call["model_options"].get("disable_cfg1_optimization")
        negative = None if self.alone and not needed else self.conds.get("negative")
        conds = [self.conds["positive"], negative]
        given = call["input"], call["sigma"], call["model_options"]
        found = comfy.samplers.calc_cond_batch(call["model"], conds, *given)
        self.positive, self.negative = found[0], found[1] if negative else None
        return [found[0], found[0]] if self.alone else found

    def keep_combined(self, call: dict[str, Any]) -> torch.Tensor:
        """One of ComfyUI's functions after cfg; changes nothing."""
        self.combined = call["denoised"]
        return call["denoised"]

    def take(self) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """The positive's, negative's and combined estimates of the last call, which are then no longer held."""
        taken = self.positive, self.negative, self.combined
        self.positive = self.negative = self.combined = None
        return taken


def covered_by_prompts(
    conds: dict[str, list[dict]], x: torch.Tensor, sigma: torch.Tensor
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Where the positive prompts make an estimate at a level, and where any prompts do, see `covered`."""
    region = covered(conds["positive"], x, sigma)
    others = None if region is None else covered(conds.get("negative") or [], x, sigma)
    return region, None if region is None or others is None else region | others


def covered(conds: list[dict], x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor | None:
    """Where any of some prompts makes an estimate at a level, as bool of x's shape; None: everywhere.

    Prompts may have masks, areas and a range of steps. Elsewhere ComfyUI's estimate is 0.
    """
    if any(not ({"mask", "area", "timestep_start", "timestep_end"} & cond.keys()) for cond in conds):
        return None
    found = torch.zeros_like(x, dtype=torch.bool)
    for cond in conds:
        part = comfy.samplers.get_area_and_mult(cond, x, sigma)
        if part is None:
            continue
        window, area = found, part.area or []
        for dim in range(len(area) // 2):
            window = window.narrow(dim + 2, area[len(area) // 2 + dim], area[dim])
        window |= part.mult > 0
    return None if found.all() else found
