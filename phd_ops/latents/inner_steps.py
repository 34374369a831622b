"""How many inner steps are made at each noise level, and for which items of a batch."""

import torch

from .masked_latent import any_known, any_masked
from .noise import LEAST_SIGNAL, signal
from .solvers import levels

# Bands of sigma / a, for data of deviation 1: inner steps go where noise and signal are of similar strength. How far
# down a network's own error lets them go, `contraction.py` finds out during the run.
BAND = (0.1, 3.0)
# For harmonizing: the light and color of a whole subject change only at stronger noise, and its fine structure need
# not be sampled well.
HARMONIZE_BAND = (0.5, 10.0)


def allocate(sigmas: torch.Tensor, inner_steps: float, flow: bool, band: tuple[float, float] = BAND) -> list[int]:
    """Model calls for every level: one, plus `inner_steps` for each but the last, gathered in a band of sigma / a."""
    pairs = list(levels(sigmas))
    ratios = [float(sigma / max(signal(sigma, flow), LEAST_SIGNAL)) for sigma, _ in pairs]
    able = [i for i, (sigma, sigma_next) in enumerate(pairs) if can_take_inner_steps(sigma, sigma_next, flow)]
    chosen = [i for i in able if band[0] <= ratios[i] <= band[1]] or able
    calls, given = [1] * len(pairs), 0
    for place, i in enumerate(chosen, start=1):
        more = round(inner_steps * (len(pairs) - 1) * place / len(chosen)) - given
        calls[i] += more
        given += more
    return calls


def can_take_inner_steps(sigma: torch.Tensor, sigma_next: torch.Tensor, flow: bool) -> bool:
    """False at the last level, whose estimate is the result, and where a flow model's latent is all noise."""
    return bool(sigma_next > 0 and signal(sigma, flow) > LEAST_SIGNAL)


def items_with_inner_steps(
    masked: torch.Tensor, sigma: torch.Tensor, sigma_next: torch.Tensor, flow: bool
) -> torch.Tensor:
    """Which items take inner steps at a level, as bool [B] or [1]: those with both a known and a masked region."""
    if not can_take_inner_steps(sigma, sigma_next, flow):
        return torch.zeros_like(masked.flatten(1)[:, 0])
    return any_masked(masked) & any_known(masked)
