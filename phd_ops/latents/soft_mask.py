"""A soft mask as a strength for every pixel, after Differential Diffusion (arXiv 2306.00950).

The mask is binary at every level. A pixel is masked from the level on at which the remaining share of the schedule is
no larger than the mask's value. So no noise is ever blended, and no variance is lost.
"""

from collections.abc import Callable

import torch

Timestep = Callable[[torch.Tensor], torch.Tensor]


def remaining_share(
    sigma: torch.Tensor, sigmas: torch.Tensor, timestep: Timestep, sigma_min: torch.Tensor
) -> torch.Tensor:
    """The share of a schedule that remains at level sigma: 1 at its first level, 0 at its end.

    timestep: sigma -> the model's time. sigma_min: the model's lowest noise level, where the schedule counts as ended.
    """
    begin, now, end = (timestep(level).float() for level in (sigmas[0], sigma, torch.maximum(sigmas[-1], sigma_min)))
    # A schedule of one step may begin at its end.
    return (now - end) / (begin - end).clamp(min=1e-6)


def soft_mask_schedule(
    mask: torch.Tensor, sigmas: torch.Tensor, timestep: Timestep, sigma_min: torch.Tensor
) -> Callable[[torch.Tensor], torch.Tensor]:
    """sigma -> the masked region, as bool. Where the mask is 1: always; where it is 0: never."""
    return lambda sigma: (mask > 0) & (mask >= remaining_share(sigma, sigmas, timestep, sigma_min).to(mask))
