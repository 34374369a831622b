"""RePaint (arXiv 2201.09865) in sigma space, for every family: resampling by jumps back up the noise levels.

Written from the paper: the known part is noised afresh at every level, and every stretch of `jump_length` steps is
run `jump_count` times, noise being added in between that brings the latent back to where the stretch began. The last
stretch is run once.
"""

from collections.abc import Callable, Iterator

import torch

from .noise import add_noise, item_noise, renoise
from .sampling import Mask, euler, euler_ancestral, free_at, levels, model_call


def stretches(steps: int, jump_length: int, jump_count: int) -> Iterator[tuple[int, int]]:
    """(first step, step after the last) of every stretch in the order of running; a repeat follows a jump back."""
    for first in range(0, steps, jump_length):
        last = min(first + jump_length, steps)
        yield from [(first, last)] * (jump_count if last < steps else 1)


def nothing_known(mask: Mask, sigmas: torch.Tensor) -> bool:
    """Whether all may change from the first level on, so that there is nothing to resample for."""
    return bool(free_at(mask, sigmas[0].cpu()).all())


def count_calls(sigmas: torch.Tensor, mask: Mask, jump_length: int, jump_count: int) -> int:
    """Model calls of `sample_repaint`."""
    if len(sigmas) < 2:
        return 0
    called = [bool(free_at(mask, sigma).any()) for sigma, _ in levels(sigmas)]
    jump_count = 1 if nothing_known(mask, sigmas) else jump_count
    return sum(sum(called[first:last]) for first, last in stretches(len(called), jump_length, jump_count))


@torch.no_grad()
def sample_repaint(
    model: Callable[..., torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict | None = None,
    callback: Callable[[dict], None] | None = None,
    disable: bool | None = None,
    *,
    known: torch.Tensor,
    mask: Mask,
    generators: list[torch.Generator],
    flow: bool,
    stepper: str = "euler_ancestral",
    jump_length: int = 1,
    jump_count: int = 5,
) -> torch.Tensor:
    """Samples the masked part of a latent, given the rest. A k-diffusion sampling function.

    Args as of `langevin.sample_masked_langevin`, and:
        stepper: euler_ancestral, as in the paper; all others step with euler, for a jump leaves no history.
        jump_length: steps of a stretch, the paper's j.
        jump_count: how often a stretch is run, the paper's r. 1 is replacement sampling with fresh noise.
    """
    if len(sigmas) < 2:
        return x
    call = model_call(model, extra_args, callback)
    jump_count = 1 if nothing_known(mask, sigmas) else jump_count
    pairs, at = list(levels(sigmas)), 0
    for first, last in stretches(len(pairs), jump_length, jump_count):
        if first < at:
            x = renoise(x, pairs[at - 1][1], pairs[first][0], item_noise(x, generators), flow)
        for sigma, following in pairs[first:last]:
            free = free_at(mask, sigma)
            # After a jump a mask that widens with time is narrow again.
            x = torch.where(free, x, add_noise(known, item_noise(x, generators), sigma, flow))
            fresh = item_noise(x, generators)
            if free.any():
                denoised = torch.where(free, call(x, sigma, free, known), known)
                if stepper == "euler_ancestral":
                    x = euler_ancestral(x, denoised, sigma, following, fresh, flow)
                else:
                    x = euler(x, denoised, sigma, following)
            x = torch.where(free, x, add_noise(known, fresh, following, flow))
        at = last
    return x
