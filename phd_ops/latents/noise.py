"""One notation for every model family: x = a(sigma) * x0 + sigma * n.

Variance-exploding samplers (eps and v prediction in ComfyUI's form): a = 1. Rectified flow: a = 1 - sigma.
`flow` says which; everything else follows from the model's estimate of x0 alone.
"""

import torch


def signal(sigma: torch.Tensor | float, flow: bool) -> torch.Tensor | float:
    """a(sigma), the factor of the clean latent."""
    return 1 - sigma if flow else sigma * 0 + 1


def add_noise(clean: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor | float, flow: bool) -> torch.Tensor:
    """A clean latent brought to noise level sigma."""
    return signal(sigma, flow) * clean + sigma * noise


def renoise(
    x: torch.Tensor, sigma: torch.Tensor | float, to: torch.Tensor | float, noise: torch.Tensor, flow: bool
) -> torch.Tensor:
    """Jumps up from noise level `sigma` to a higher one, keeping the marginal: c x + sqrt(to^2 - (c sigma)^2) n."""
    if to == sigma:
        return x
    c = signal(to, flow) / signal(sigma, flow)
    # Between all but equal levels the difference may round to less than nothing.
    return c * x + max(to**2 - (c * sigma) ** 2, 0) ** 0.5 * noise


def ve_sigma(sigma: float, flow: bool) -> float:
    """The same noise-to-signal ratio in variance-exploding terms, sigma / a."""
    return sigma / (1 - sigma) if flow else sigma


def model_sigma(ve: float, flow: bool) -> float:
    """Inverse of `ve_sigma`."""
    return ve / (1 + ve) if flow else ve


def item_seed(seed: int, place: int) -> int:
    """The seed of an item by its place in a batch. The first item has the seed itself; the others are splitmix64's
    sequence, for with seed + place the next seed would bring the same images again, one place further."""
    if place == 0:
        return seed
    z = (seed + place * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return z ^ z >> 31


def opposite_pairs(noise: torch.Tensor, runs: int) -> torch.Tensor:
    """Noise of several runs over the same items, [runs × N,...]; every second run gets that of the run before, turned
    around. What is odd in the noise then cancels in the mean of the two (antithetic variates, Hammersley and Morton
    1956), and each of them is standard normal as before.
    """
    noise = noise.unflatten(0, (runs, -1)).clone()
    noise[1::2] = -noise[: runs - 1 : 2]
    return noise.flatten(0, 1)


def item_noise(like: torch.Tensor, generators: list[torch.Generator], wanted: list[bool] | None = None) -> torch.Tensor:
    """Standard normal noise, item by item from its own CPU generator: an item does not depend on its batch.

    An item that is not `wanted` gets zeros, and its generator stays where it is.
    """
    wanted = [True] * len(generators) if wanted is None else wanted
    items = [
        torch.randn(like.shape[1:], generator=generator) if draws else torch.zeros(like.shape[1:])
        for generator, draws in zip(generators, wanted, strict=True)
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
    return x * scale.to(x).view(-1, *[1] * (x.ndim - 1)), sigma / (1 + sigma)


def noise_from_velocity(x: torch.Tensor, velocity: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The noise n in x = (1 - t) x0 + t n by a rectified flow's velocity u = n - x0: n = x + (1 - t) u.

    Args:
        x, velocity: [B,...], the flow's input and output.
        t: [B], the level of each item in 0..1.
    """
    return x + (1 - t).to(x).view(-1, *[1] * (x.ndim - 1)) * velocity
