"""A model with classifier-free guidance, as the masked loops call it: with guidance, or without.

A step to the next noise level goes to the guided estimate, as in plain sampling. Inner steps stay at one level and draw
new noise around the estimate every time, so that guidance would be added again and again: high frequencies and colors
blow up. They use the estimate of the positive prompt alone. So does the comparison with the known region, which the
prompt describes but which guidance would exaggerate. That guidance serves some steps and harms others is known from
its limited interval (arXiv 2404.07724); that a predictor may be guided and its corrector not, from arXiv 2408.09000.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch


class Prediction(NamedTuple):
    """Estimates of the clean latent [B,C,...] from one model call.

    Attributes:
        denoised: with guidance.
        unguided: without; the same tensor where there is no guidance.
        covered: where some prompt made an estimate, as bool that broadcasts; None: everywhere. Elsewhere ComfyUI's
            estimate is 0, which says nothing about the known region.
    """

    denoised: torch.Tensor
    unguided: torch.Tensor
    covered: torch.Tensor | None = None


# (x [B,C,...], sigma [B]) -> the estimate of the clean latent.
Model = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class GuidedModel(NamedTuple):
    """A model as two functions of x [B,C,...] and sigma [B].

    Attributes:
        guided: for steps to the next level. Its Prediction holds both estimates.
        unguided: for inner steps. Both estimates are the unguided one, and guidance need not be computed.
    """

    guided: Callable[[torch.Tensor, torch.Tensor], Prediction]
    unguided: Callable[[torch.Tensor, torch.Tensor], Prediction]


def as_guided(model: Model | GuidedModel) -> GuidedModel:
    """A model without guidance in the form of one with."""
    if isinstance(model, GuidedModel):
        return model

    def predict(x: torch.Tensor, sigma: torch.Tensor) -> Prediction:
        denoised = model(x, sigma)
        return Prediction(denoised, denoised)

    return GuidedModel(predict, predict)
