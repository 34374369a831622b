"""A ComfyUI model as `phd_ops.latents.guidance` takes it: its estimates with guidance and without, by public hooks."""

import math
from typing import Any

import comfy.model_management
import comfy.samplers
import torch

from ..phd_ops.latents.guidance import GuidedModel, Prediction, as_guided

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

    def denoise(x: torch.Tensor, sigma: torch.Tensor, **changed: Any) -> torch.Tensor:
        comfy.model_management.throw_exception_if_processing_interrupted()
        return model(x, sigma, **{**arguments, "model_options": {**options, **changed}, "denoise_mask": None})

    plain = as_guided(denoise)
    if not is_standard(guider) or BATCH in options:
        return plain
    adds = adds_guidance(guider)

    def predict(x: torch.Tensor, sigma: torch.Tensor, guided: bool) -> Prediction:
        region = covered(guider.conds["positive"], x, sigma)
        if region is None and not adds:
            return plain.guided(x, sigma)
        batch = Batch(guider, alone=adds and not guided, partial=region is not None)
        combined: list[torch.Tensor] = []

        def keep(call: dict[str, Any]) -> torch.Tensor:
            combined.append(call["denoised"])
            return call["denoised"]

        further = [keep, *options.get(AFTER_CFG, [])]
        denoised = denoise(x, sigma, **{BATCH: batch.run, AFTER_CFG: further})
        if batch.positive is None or not combined:
            # A cache gave an old estimate, of other noise: the known region must not be corrected by it.
            return Prediction(denoised, denoised, torch.zeros_like(x, dtype=torch.bool))
        # What other functions add to the combined estimate, such as an identity anchor, is no guidance.
        unguided = denoised - (combined[-1] - batch.positive) if adds and guided else denoised
        if region is None:
            return Prediction(denoised, unguided)
        others = covered(guider.conds.get("negative") or [], x, sigma)
        unguided = unguided if batch.negative is None else torch.where(region, unguided, batch.negative)
        return Prediction(denoised, unguided, torch.ones_like(region) if others is None else region | others)

    return GuidedModel(lambda x, sigma: predict(x, sigma, True), lambda x, sigma: predict(x, sigma, False))


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

    def run(self, call: dict[str, Any]) -> list[torch.Tensor]:
        # A patch of the model may need the negative's run.
        needed = self.partial or call["model_options"].get("disable_cfg1_optimization")
        negative = None if self.alone and not needed else self.conds.get("negative")
        conds = [self.conds["positive"], negative]
        given = call["input"], call["sigma"], call["model_options"]
        found = comfy.samplers.calc_cond_batch(call["model"], conds, *given)
        self.positive, self.negative = found[0], found[1] if negative else None
        return [found[0], found[0]] if self.alone else found


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
