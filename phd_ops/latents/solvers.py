"""What the masked samplers share: the model call, the mask at a noise level, and the steps from level to level.

All in k-diffusion's style: sigma is a 0-d tensor, `denoised` the model's estimate of the clean latent.
"""

import itertools
from collections.abc import Callable, Iterator

import torch

from .noise import renoise, signal

Mask = torch.Tensor | Callable[[torch.Tensor], torch.Tensor]
STEPPERS = ["euler", "euler_ancestral", "dpmpp_2m"]


def levels(sigmas: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(sigma, following) of every step. On the CPU: reading a level on a GPU would wait for all of its work."""
    sigmas = sigmas.cpu()
    return zip(sigmas[:-1], sigmas[1:], strict=True)


def free_at(mask: Mask, sigma: torch.Tensor) -> torch.Tensor:
    """Where the latent may change at this level, as bool. Never blended: independent noises mixed half and half lose
    a third of their strength."""
    return (mask(sigma) if callable(mask) else mask) > 0


def any_free(free: torch.Tensor) -> torch.Tensor:
    """Which items may change anywhere, as bool [B] or [1]."""
    return free.flatten(1).any(1)


def each(items: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[B] -> [B,1,...], to go with `like`."""
    return items.view(-1, *[1] * (like.ndim - 1))


def finite_items(denoised: torch.Tensor) -> torch.Tensor:
    """Which items' estimates are finite, as bool [B]."""
    return denoised.isfinite().flatten(1).all(1)


def check_finite(denoised: torch.Tensor, asked: torch.Tensor) -> None:
    """Refuses an estimate that no run can go on with; only the items that were asked count."""
    if not (finite_items(denoised) | ~asked).all():
        raise ValueError(
            "The model's estimate is not finite (NaN): check that the model's file is whole, that it bears its "
            "precision (such as fp32 or bf16 instead of fp16), that latent and prompts hold no NaN, and cfg."
        )


def model_call(
    model: Callable[..., torch.Tensor], extra_args: dict | None, callback: Callable[[dict], None] | None
) -> Callable[..., torch.Tensor]:
    """(x, sigma, free, known) -> denoised for a whole batch at one level; the callback hears of every call."""
    extra_args = {} if extra_args is None else extra_args
    count = itertools.count()

    def call(x: torch.Tensor, sigma: torch.Tensor, free: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        denoised = model(x, sigma * x.new_ones([len(x)]), **extra_args)
        i = next(count)
        if callback is not None:
            shown = torch.where(free, denoised, known)
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": shown})
        return denoised

    return call


def euler(x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    """A step on the probability-flow ODE, one formula for both families; k-diffusion's order of operations."""
    return x + (x - denoised) / sigma * (following - sigma)


def euler_ancestral(
    x: torch.Tensor,
    denoised: torch.Tensor,
    sigma: torch.Tensor,
    following: torch.Tensor,
    noise: torch.Tensor,
    flow: bool,
) -> torch.Tensor:
    """Down to following^2 / sigma and up again with fresh noise: k-diffusion's ancestral step with eta 1, and the
    form of it for rectified flow, are this one formula."""
    down = following**2 / sigma
    return renoise(euler(x, denoised, sigma, down), down, following, noise, flow)


def half_log_snr(sigma: torch.Tensor, flow: bool) -> torch.Tensor:
    """log(a / sigma); infinite at both ends."""
    return torch.log(signal(sigma, flow) / sigma)


def extrapolated(
    denoised: torch.Tensor,
    before: torch.Tensor,
    previous: torch.Tensor,
    sigma: torch.Tensor,
    following: torch.Tensor,
    flow: bool,
) -> torch.Tensor:
    """The estimate with which an euler step becomes DPM-Solver++(2M) (arXiv 2211.01095), in half-logSNR.

    before: the estimate at level `previous`, the one before sigma. At either infinite end this is `denoised` itself.
    """
    last = half_log_snr(sigma, flow) - half_log_snr(previous, flow)
    step = half_log_snr(following, flow) - half_log_snr(sigma, flow)
    if not (0 < last < torch.inf and step < torch.inf):
        return denoised
    return denoised + step / (2 * last) * (denoised - before)
