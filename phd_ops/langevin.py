"""Masked sampling that lets the known and the unknown part agree, training-free, for any denoiser.

Plain replacement sampling never lets the known part react, and leaves a seam that more steps do not heal. Here, at
every noise level, a few Langevin steps move both parts: the unknown towards the denoiser's estimate, the known
towards its own value while leaning against the estimate (guided, "BiG" score of LanPaint, arXiv 2502.03491). The
integrator is an exact Ornstein-Uhlenbeck step with the estimate frozen, split and corrected so that an inner step
still costs one model call.
"""

from collections.abc import Callable

import torch

from .noise import add_noise, signal

# Below this share of signal (flow models start at none) there is nothing to correct against.
LEAST_SIGNAL = 1e-3


def takes_inner_steps(sigma: torch.Tensor, following: torch.Tensor, flow: bool) -> bool:
    """Not at the last level, whose estimate is the answer, nor where a flow model's latent is all noise."""
    return bool(signal(sigma, flow) > LEAST_SIGNAL and following > 0)


def count_calls(sigmas: torch.Tensor, inner_steps: int, flow: bool) -> int:
    """Model calls of `sample_masked_langevin` over a schedule."""
    levels = zip(sigmas[:-1], sigmas[1:], strict=True)
    return sum(1 + inner_steps * takes_inner_steps(sigma, following, flow) for sigma, following in levels)


def step_noise(like: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
    """Standard normal noise, item by item from its own CPU generator: an item does not depend on its batch."""
    items = [torch.randn(like.shape[1:], generator=generator, dtype=torch.float32) for generator in generators]
    return torch.stack(items).to(like)


@torch.no_grad()
def sample_masked_langevin(
    denoise: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    known: torch.Tensor,
    mask: torch.Tensor,
    noise: torch.Tensor,
    generators: list[torch.Generator],
    *,
    flow: bool,
    inner_steps: int = 5,
    step_size: float = 1.0,
    guidance: float = 5.0,
    callback: Callable[[int, torch.Tensor, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Samples the masked part of a latent, given the rest.

    Args:
        denoise: (x, sigma) -> estimate of the clean latent. sigma is a 0-d tensor.
        x: noisy start [B,C,...], at level sigmas[0].
        sigmas: falling noise levels; the last is 0.
        known: clean latent, of x's shape.
        mask: of a shape that broadcasts to x; above 0 = may change. Never blended: independent noises mixed half
            and half lose a third of their strength.
        noise: what the known part is noised with, the same at every level, of x's shape.
        generators: one CPU generator an item, for the inner steps' noise.
        flow: the family, see `noise.py`.
        inner_steps: Langevin steps at every level but the last. 0 is plain replacement sampling.
        step_size: relaxation of one inner step; 1 replaces 63 % of what the estimate disagrees with.
        guidance: lambda, how firmly the known part holds its value while the two parts are brought to agree.
        callback: (call index, estimate, x), after every model call.
    Returns:
        clean latent; equal to `known` wherever the mask is 0.
    """
    free = mask > 0
    holds = 1 + guidance
    rate = torch.where(free, 1.0, holds).to(x)
    calls = 0

    def estimate(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        denoised = denoise(x, sigma)
        if callback is not None:
            callback(calls, denoised, x)
        calls += 1
        return denoised

    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        a = signal(sigma, flow)
        x = torch.where(free, x, add_noise(known, noise, sigma, flow))
        if takes_inner_steps(sigma, following, flow):
            drift = None

            def pull(x: torch.Tensor, sigma=sigma, a=a) -> torch.Tensor:
                """What the linear part does not say: C in dx = (C - rate x) dt + noise."""
                denoised = estimate(x, sigma)
                target = torch.where(free, denoised, holds * known - guidance * denoised)
                return a * target - x + rate * x

            def relax(x: torch.Tensor, drift: torch.Tensor, h: float, sigma=sigma) -> torch.Tensor:
                """Exact step of length h with the drift frozen."""
                decay = torch.exp(-rate * h)
                spread = sigma * torch.sqrt((1 - decay * decay) / rate)
                return decay * x + (1 - decay) / rate * drift + spread * step_noise(x, generators)

            for _ in range(inner_steps):
                if drift is None:
                    drift = pull(x)
                    x = relax(x, drift, step_size)
                else:
                    x = relax(x, drift, step_size / 2)
                    corrected = pull(x)
                    x = x + (corrected - drift) * step_size
                    x = relax(x, drift, step_size / 2)
                    drift = corrected
        denoised = torch.where(free, estimate(x, sigma), known)
        # Euler on the probability-flow ODE; the same formula for both families, in k-diffusion's order of operations.
        x = x + (x - denoised) / sigma * (following - sigma)
    return torch.where(free, x, known)
