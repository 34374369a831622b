"""RePaint (arXiv 2201.09865) in sigma space, for every family: resampling by jumps back up the noise levels.

Written from the paper: the known part is noised afresh at every level, and every stretch of `jump_length` steps is
run `jump_count` times, noise being added in between that brings the latent back to where the stretch began. The last
stretch is run once.
"""

from collections.abc import Callable, Iterator

import torch

from .noise import add_noise, item_noise, renoise
from .solvers import Mask, any_free, check_finite, each, euler, euler_ancestral, free_at, levels, model_call


def stretches(steps: int, jump_length: int, jump_count: int) -> Iterator[tuple[int, int, bool]]:
    """(first step, step after the last, whether it is a repeat, after a jump back) of every stretch in turn."""
    for first in range(0, steps, jump_length):
        last = min(first + jump_length, steps)
        for turn in range(jump_count if last < steps else 1):
            yield first, last, turn > 0


def to_repeat(mask: Mask, sigmas: torch.Tensor) -> torch.Tensor:
    """Which items are resampled, as bool [B] or [1]: those of which something is known from the first level on."""
    return ~free_at(mask, sigmas[0].cpu()).flatten(1).all(1)


def count_calls(sigmas: torch.Tensor, mask: Mask, jump_length: int, jump_count: int) -> int:
    """Model calls of `sample_repaint`."""
    if len(sigmas) < 2:
        return 0
    again = to_repeat(mask, sigmas)
    changes = [any_free(free_at(mask, sigma)) for sigma, _ in levels(sigmas)]
    return sum(
        bool((items & again if repeat else items).any())
        for first, last, repeat in stretches(len(changes), jump_length, jump_count)
        for items in changes[first:last]
    )


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
    call, ancestral = model_call(model, extra_args, callback), stepper == "euler_ancestral"
    pairs, again = list(levels(sigmas)), to_repeat(mask, sigmas).expand(len(x))

    def noise_for(items: torch.Tensor) -> torch.Tensor:
        return item_noise(x, generators, items.tolist())

    for first, last, repeat in stretches(len(pairs), jump_length, jump_count):
        runs = again if repeat else torch.ones_like(again)
        if not runs.any():
            continue
        # An item that is not run again waits where it is.
        runs_here = each(runs, x)
        if repeat:
            back = renoise(x, pairs[last - 1][1], pairs[first][0], noise_for(runs), flow)
            x = torch.where(runs_here, back, x)
        for sigma, following in pairs[first:last]:
            free = free_at(mask, sigma)
            changes, holds = any_free(free) & runs, ~free.flatten(1).all(1) & runs
            # After a jump a mask that widens with time is narrow again.
            x = torch.where(free | ~runs_here, x, add_noise(known, noise_for(holds), sigma, flow))
            fresh = noise_for((holds | changes if ancestral else holds) & (following > 0))
            if changes.any():
                denoised = call(x, sigma, free, known)
                check_finite(denoised, changes)
                denoised = torch.where(free, denoised, known)
                if ancestral:
                    stepped = euler_ancestral(x, denoised, sigma, following, fresh, flow)
                else:
                    stepped = euler(x, denoised, sigma, following)
                x = torch.where(runs_here & free, stepped, x)
            x = torch.where(free | ~runs_here, x, add_noise(known, fresh, following, flow))
    return x
