"""Noised latents in one notation for every model family: x = a(sigma) * x0 + sigma * n.

Variance-exploding samplers (eps and v prediction in ComfyUI's form): a = 1. Rectified flow: a = 1 - sigma.
The argument `flow` selects the family; everything else follows from the model's estimate of x0.
"""

from typing import TypeVar

import torch

Sigma = TypeVar("Sigma", float, torch.Tensor)

# Below this factor of the clean latent (flow models start at 0) an estimate cannot be compared with known values.
LEAST_SIGNAL = 1e-3


def append_dims(items: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[B] -> [B,1,...], to broadcast with `like`."""
    return items.view(-1, *[1] * (like.ndim - 1))


def signal(sigma: Sigma, flow: bool) -> Sigma:
    """a(sigma), the factor of the clean latent."""
    return 1 - sigma if flow else sigma * 0 + 1


def add_noise(clean: torch.Tensor, noise: torch.Tensor, sigma: Sigma, flow: bool) -> torch.Tensor:
    """A clean latent at noise level sigma."""
    return signal(sigma, flow) * clean + sigma * noise


def renoise(x: torch.Tensor, sigma: Sigma, to: Sigma, noise: torch.Tensor, flow: bool) -> torch.Tensor:
    """Raises the noise level from `sigma` to `to`, keeping the marginal: c x + sqrt(to^2 - (c sigma)^2) n."""
    if to == sigma:
        return x
    c = signal(to, flow) / signal(sigma, flow)
    # Between almost equal levels the difference can round to less than 0.
    return c * x + max(to**2 - (c * sigma) ** 2, 0) ** 0.5 * noise


def opposite_pairs(noise: torch.Tensor, runs: int) -> torch.Tensor:
    """Replaces the noise of every second run by the negative of the run before it.

    What is odd in the noise then cancels in the mean of the two (antithetic variates, Hammersley and Morton 1956).
    Each of them is standard normal as before.

    Args:
        noise: [runs × N,...], all items of a run one after another.
    """
    noise = noise.unflatten(0, (runs, -1)).clone()
    noise[1::2] = -noise[: runs - 1 : 2]
    return noise.flatten(0, 1)


def item_noise(like: torch.Tensor, generators: list[torch.Generator], drawn: list[bool] | None = None) -> torch.Tensor:
    """Standard normal noise of `like`'s shape, each item from its own CPU generator.

    An item therefore does not depend on its batch. Items that are not `drawn` are 0, and their generators stay as they
    are.
    """
    drawn = [True] * len(generators) if drawn is None else drawn
    items = [
        torch.randn(like.shape[1:], generator=generator) if draws else torch.zeros(like.shape[1:])
        for generator, draws in zip(generators, drawn, strict=True)
    ]
    return torch.stack(items).to(like)


def as_flow_input(x: torch.Tensor, sigma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The input of an eps-prediction network as a rectified flow takes it, and the flow's level t.

    Both networks see x0 + sigma n, each at its own scale: (x0 + sigma n) / sqrt(1 + sigma^2) for eps prediction,
    (1 - t) x0 + t n with t = sigma / (1 + sigma) for the flow.

    Args:
        x: [B,...], the input of the eps-prediction network.
        sigma: [B], the noise level of each item, above 0.
    Returns:
        The flow's input, of x's shape and type, and t, [B] in 0..1.
    """
    scale = (1 + sigma**2).sqrt() / (1 + sigma)
    return x * append_dims(scale.to(x), x), sigma / (1 + sigma)


def noise_from_velocity(x: torch.Tensor, velocity: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The noise n in x = (1 - t) x0 + t n by a rectified flow's velocity u = n - x0: n = x + (1 - t) u.

    Args:
        x, velocity: [B,...], the flow's input and output.
        t: [B], the level of each item in 0..1.
    """
    return x + append_dims((1 - t).to(x), x) * velocity
