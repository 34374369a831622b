"""RePaint (arXiv 2201.09865) in sigma space, for every family: resampling by jumps back up the noise levels.

Written from the paper: the known region is noised afresh at every level, and every stretch of `jump_length` steps is
run `jump_count` times. In between, added noise returns the latent to the level at which the stretch began. The last
stretch is run once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from .guidance import GuidedModel, Model
from .masked_latent import Mask, MaskedLatent, any_known, any_masked, masked_at
from .noise import append_dims, item_noise, renoise
from .solvers import (
    EULER_ANCESTRAL,
    Callback,
    ModelCall,
    OnUnstable,
    check_finite,
    euler,
    euler_ancestral,
    levels,
)


@dataclass(frozen=True)
class RePaint:
    """Settings of RePaint.

    Attributes:
        solver: euler_ancestral, as in the paper; all others step with euler, since a jump leaves no history.
        jump_length: steps of a stretch, the paper's j.
        jump_count: how often a stretch is run, the paper's r. 1 is replacement sampling with fresh noise.
    """

    solver: str = EULER_ANCESTRAL
    jump_length: int = 1
    jump_count: int = 5

    def stretches(self, steps: int) -> Iterator[tuple[int, int, bool]]:
        """(first step, step after the last, whether it is a repeat, after a jump back) of every stretch in turn."""
        for first in range(0, steps, self.jump_length):
            last = min(first + self.jump_length, steps)
            for turn in range(self.jump_count if last < steps else 1):
                yield first, last, turn > 0

    def count_calls(self, sigmas: torch.Tensor, mask: Mask, flow: bool) -> int:
        """Model calls of `sample`. They are the same for every family."""
        if len(sigmas) < 2:
            return 0
        repeated = items_to_repeat(mask, sigmas)
        masked = [any_masked(masked_at(mask, sigma)) for sigma, _ in levels(sigmas)]
        return sum(
            bool((items & repeated if repeat else items).any())
            for first, last, repeat in self.stretches(len(masked))
            for items in masked[first:last]
        )

    @torch.no_grad()
    def sample(
        self,
        model: Model | GuidedModel,
        x: torch.Tensor,
        sigmas: torch.Tensor,
        latent: MaskedLatent,
        callback: Callback | None = None,
        on_unstable: OnUnstable | None = None,
    ) -> torch.Tensor:
        """Samples the masked region of a latent, given the rest.

        Args as of `MaskedLangevin.sample`. Every estimate that is not finite raises ValueError, so that `on_unstable`
        is never called.
        """
        if len(sigmas) < 2:
            return x
        run, pairs = Run(self, latent, ModelCall(model, callback), x), list(levels(sigmas))
        repeated = items_to_repeat(latent.mask, sigmas).expand(len(x))
        for first, last, repeat in self.stretches(len(pairs)):
            items = repeated if repeat else torch.ones_like(repeated)
            if not items.any():
                continue
            if repeat:
                run.jump_back(pairs[last - 1][1], pairs[first][0], items)
            for sigma, sigma_next in pairs[first:last]:
                run.step(sigma, sigma_next, items)
        return run.x


def items_to_repeat(mask: Mask, sigmas: torch.Tensor) -> torch.Tensor:
    """Which items are resampled, as bool [B] or [1]: those with a known region from the first level on."""
    return any_known(masked_at(mask, sigmas[0].cpu()))


class Run:
    """One run of `RePaint`. Items that do not take part in a repeat keep their latent."""

    def __init__(self, settings: RePaint, latent: MaskedLatent, call: ModelCall, x: torch.Tensor) -> None:
        self.latent, self.call, self.x = latent, call, x
        self.ancestral = settings.solver == EULER_ANCESTRAL

    def noise(self, items: torch.Tensor) -> torch.Tensor:
        return item_noise(self.x, self.latent.generators, items.tolist())

    def jump_back(self, sigma: torch.Tensor, to: torch.Tensor, items: torch.Tensor) -> None:
        """Brings items (bool [B]) from level `sigma` up to a higher one."""
        jumped = renoise(self.x, sigma, to, self.noise(items), self.latent.flow)
        self.x = torch.where(append_dims(items, self.x), jumped, self.x)

    def step(self, sigma: torch.Tensor, sigma_next: torch.Tensor, items: torch.Tensor) -> None:
        """One step of items (bool [B]) to the next level, the known region with fresh noise at both."""
        masked, known = self.latent.masked_at(sigma), self.latent.known
        asked, held = any_masked(masked) & items, any_known(masked) & items
        kept = masked | ~append_dims(items, self.x)
        # After a jump, a mask that widens from level to level is narrow again.
        self.x = torch.where(kept, self.x, self.latent.known_at(sigma, self.noise(held)))
        fresh = self.noise((held | asked if self.ancestral else held) & (sigma_next > 0))
        if asked.any():
            denoised = self.call(self.x, sigma, masked, known).denoised
            check_finite(denoised, asked)
            denoised = torch.where(masked, denoised, known)
            if self.ancestral:
                stepped = euler_ancestral(self.x, denoised, sigma, sigma_next, fresh, self.latent.flow)
            else:
                stepped = euler(self.x, denoised, sigma, sigma_next)
            self.x = torch.where(append_dims(items, self.x) & masked, stepped, self.x)
        self.x = torch.where(kept, self.x, self.latent.known_at(sigma_next, fresh))
