"""A soft mask as a strength for every pixel, after Differential Diffusion (arXiv 2306.00950).

At every level the mask is binary: a pixel may change from the moment on at which the schedule still has as much to go
as the mask says. So no noise is ever blended, and no variance lost.
"""

from collections.abc import Callable

import torch


def threshold(
    sigma: torch.Tensor,
    sigmas: torch.Tensor,
    timestep: Callable[[torch.Tensor], torch.Tensor],
    sigma_min: torch.Tensor,
) -> torch.Tensor:
    """The share of a schedule that is still to go at level sigma: 1 at its first level, 0 at its end.

    timestep: the model's clock, sigma -> time. sigma_min: the model's least noise, from which on all is over.
    """
    begin, now, end = (timestep(level).float() for level in (sigmas[0], sigma, torch.maximum(sigmas[-1], sigma_min)))
    # A schedule of one step may begin at its end.
    return (now - end) / (begin - end).clamp(min=1e-6)


def soft_mask_schedule(
    mask: torch.Tensor,
    sigmas: torch.Tensor,
    timestep: Callable[[torch.Tensor], torch.Tensor],
    sigma_min: torch.Tensor,
) -> Callable[[torch.Tensor], torch.Tensor]:
    """sigma -> what may change, as bool. Where the mask is 1: always; where it is 0: never."""
    return lambda sigma: (mask > 0) & (mask >= threshold(sigma, sigmas, timestep, sigma_min).to(mask))
