"""A latent with a known and a masked region, as every masked sampler is given it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .noise import add_noise

# [B,...] or [1,...], broadcasts to the latent; above 0 = masked. Or sigma -> such a mask, called at every level.
Mask = torch.Tensor | Callable[[torch.Tensor], torch.Tensor]


def masked_at(mask: Mask, sigma: torch.Tensor) -> torch.Tensor:
    """The masked region at a noise level, as bool.

    It is never blended: a half-and-half mixture of independent noises has a third less strength.
    """
    return (mask(sigma) if callable(mask) else mask) > 0


def any_masked(masked: torch.Tensor) -> torch.Tensor:
    """Which items have a masked region, as bool [B] or [1]."""
    return masked.flatten(1).any(1)


def any_known(masked: torch.Tensor) -> torch.Tensor:
    """Which items have a known region, as bool [B] or [1]."""
    return ~masked.flatten(1).all(1)


@dataclass(frozen=True)
class MaskedLatent:
    """What is known of a latent, and which region of it is to be sampled.

    Attributes:
        known: the clean latent [B,C,...].
        mask: the masked region, constant or by noise level.
        noise: the known region's initial noise, of the same shape; the start x holds it too.
        generators: one CPU generator per item, for all noise drawn inside the loop.
        flow: the model family, see `noise.py`.
    """

    known: torch.Tensor
    mask: Mask
    noise: torch.Tensor
    generators: list[torch.Generator]
    flow: bool

    def masked_at(self, sigma: torch.Tensor) -> torch.Tensor:
        """The masked region at a noise level, as bool."""
        return masked_at(self.mask, sigma)

    def known_at(self, sigma: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """The known latent at a noise level."""
        return add_noise(self.known, noise, sigma, self.flow)
