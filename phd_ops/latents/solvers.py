"""Steps from one noise level to the next, and the model call, shared by the masked samplers.

All in k-diffusion's style: sigma is a 0-d tensor, `denoised` is the model's estimate of the clean latent.
"""

from collections.abc import Callable, Iterator

import torch

from ..sentence import sentence
from .guidance import GuidedModel, Model, Prediction, as_guided
from .noise import renoise, signal

SOLVERS = EULER, EULER_ANCESTRAL, DPMPP_2M = "euler", "euler_ancestral", "dpmpp_2m"

# Gets {"x", "i", "sigma", "sigma_hat", "denoised"} after every model call; i counts the calls.
Callback = Callable[[dict], None]
# Called when an estimate is not finite, with the step size, or None before any inner step.
OnUnstable = Callable[[float | None], None]


def levels(sigmas: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(sigma, sigma_next) of every step. On the CPU, because reading a level from a GPU waits for all of its work."""
    sigmas = sigmas.cpu()
    return zip(sigmas[:-1], sigmas[1:], strict=True)


def finite_items(denoised: torch.Tensor) -> torch.Tensor:
    """Which items' estimates are finite, as bool [B]."""
    return denoised.isfinite().flatten(1).all(1)


def check_finite(denoised: torch.Tensor, items: torch.Tensor) -> None:
    """Raises ValueError if the estimate of any of `items` (bool [B]) is not finite."""
    if not (finite_items(denoised) | ~items).all():
        raise ValueError(
            sentence(
                "The model's estimate is not finite (NaN). Check that the model file is complete, that "
                "the model supports its precision (try fp32 or bf16 instead of fp16), that latent and "
                "prompts hold no NaN, and cfg."
            )
        )


class ModelCall:
    """Calls a model for a whole batch at one level and reports to the callback.

    Attributes:
        place: the number of the next call in the plan of a run. A run that saves calls raises it.
    """

    def __init__(self, model: Model | GuidedModel, callback: Callback | None) -> None:
        self.model, self.callback, self.place = as_guided(model), callback, 0

    def __call__(
        self, x: torch.Tensor, sigma: torch.Tensor, masked: torch.Tensor, known: torch.Tensor, guided: bool = True
    ) -> Prediction:
        predict = self.model.guided if guided else self.model.unguided
        prediction = predict(x, sigma * x.new_ones([len(x)]))
        if self.callback is not None:
            shown = torch.where(masked, prediction.denoised, known)
            self.callback({"x": x, "i": self.place, "sigma": sigma, "sigma_hat": sigma, "denoised": shown})
        self.place += 1
        return prediction


def euler(x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, sigma_next: torch.Tensor) -> torch.Tensor:
    """A step on the probability-flow ODE: one formula for both families, in k-diffusion's order of operations."""
    return x + (x - denoised) / sigma * (sigma_next - sigma)


def euler_ancestral(
    x: torch.Tensor,
    denoised: torch.Tensor,
    sigma: torch.Tensor,
    sigma_next: torch.Tensor,
    noise: torch.Tensor,
    flow: bool,
) -> torch.Tensor:
    """A step down to sigma_next^2 / sigma, then up to sigma_next with fresh noise.

    k-diffusion's ancestral step with eta 1 and its form for rectified flow are both this formula.
    """
    sigma_down = sigma_next**2 / sigma
    return renoise(euler(x, denoised, sigma, sigma_down), sigma_down, sigma_next, noise, flow)


def half_log_snr(sigma: torch.Tensor, flow: bool) -> torch.Tensor:
    """log(a / sigma); infinite at both ends."""
    return torch.log(signal(sigma, flow) / sigma)


def dpmpp_2m_estimate(
    denoised: torch.Tensor,
    denoised_previous: torch.Tensor,
    sigma_previous: torch.Tensor,
    sigma: torch.Tensor,
    sigma_next: torch.Tensor,
    flow: bool,
) -> torch.Tensor:
    """The estimate with which an Euler step becomes DPM-Solver++(2M) (arXiv 2211.01095), in half-logSNR.

    denoised_previous: the estimate at level `sigma_previous`. At either infinite end the result is `denoised` itself.
    """
    last = half_log_snr(sigma, flow) - half_log_snr(sigma_previous, flow)
    step = half_log_snr(sigma_next, flow) - half_log_snr(sigma, flow)
    if not (0 < last < torch.inf and step < torch.inf):
        return denoised
    return denoised + step / (2 * last) * (denoised - denoised_previous)
