"""What the tests of the masked samplers share: a Gaussian process whose posterior is known, and small denoisers.

The process's denoiser is exact, so that every error is the sampler's own. A single curve would say little (a sampler's
W2 is between .2 and .9 with the curve), so 24 are drawn, each an item of the batch, with 96 chains in the channels.
"""

import functools

import torch

from phd_ops.latents.masked_langevin import MaskedLangevin
from phd_ops.latents.masked_latent import MaskedLatent
from phd_ops.latents.noise import add_noise, append_dims, signal
from phd_ops.latents.repaint import RePaint

DTYPE = torch.float64
LENGTH, CURVES, CHAINS = 64, 24, 96
MASKED = slice(20, 44)


def ve_sigma(sigma, flow):
    """The same noise-to-signal ratio in variance-exploding terms, sigma / a."""
    return sigma / (1 - sigma) if flow else sigma


def model_sigma(ve, flow):
    """Inverse of `ve_sigma`."""
    return ve / (1 + ve) if flow else ve


def karras(steps, low=0.02, high=30.0, rho=7):
    ramp = torch.linspace(0, 1, steps, dtype=DTYPE)
    sigmas = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return torch.cat([sigmas, torch.zeros(1, dtype=DTYPE)])


@functools.cache
def process():
    """Covariance of a smooth curve with fine texture, its eigendecomposition, curves [CURVES,1,LENGTH], the mask."""
    place = torch.arange(LENGTH, dtype=DTYPE)
    apart = place[:, None] - place

    def rbf(length, deviation):
        return deviation**2 * torch.exp(-0.5 * (apart / length) ** 2)

    covariance = rbf(10, 0.8) + rbf(1.5, 0.4) + 1e-4 * torch.eye(LENGTH, dtype=DTYPE)
    values, vectors = torch.linalg.eigh(covariance)
    normal = torch.randn(CURVES, 1, LENGTH, dtype=DTYPE, generator=torch.Generator().manual_seed(0))
    known = normal * values.sqrt() @ vectors.T
    mask = torch.zeros(1, 1, LENGTH, dtype=DTYPE)
    mask[..., MASKED] = 1
    return covariance, values, vectors, known, mask


@functools.cache
def posterior():
    """Means [CURVES,1,MASKED] and the covariance they share."""
    covariance, _, _, known, mask = process()
    masked = mask.flatten() > 0
    gain = covariance[masked][:, ~masked] @ torch.linalg.inv(covariance[~masked][:, ~masked])
    return known[..., ~masked] @ gain.T, covariance[masked][:, masked] - gain @ covariance[~masked][:, masked]


def oracle(flow):
    """E[x0 | x], exact."""
    _, values, vectors, _, _ = process()

    def denoise(x, sigma):
        sigma = sigma.view(-1, 1, 1)
        a = signal(sigma, flow)
        return (x @ vectors * (a * values / (a**2 * values + sigma**2))) @ vectors.T

    return denoise


def normal(seed):
    return torch.randn(CURVES, CHAINS, LENGTH, dtype=DTYPE, generator=torch.Generator().manual_seed(seed))


def sample(
    sigmas,
    flow=False,
    denoise=None,
    mask=None,
    method=MaskedLangevin,
    generators=None,
    callback=None,
    on_unstable=None,
    **settings,
):
    """A run on the process, by either method with these settings."""
    _, _, _, curves, masked = process()
    noise, known = normal(1), curves.expand(CURVES, CHAINS, LENGTH)
    generators = item_generators(range(CURVES)) if generators is None else generators
    latent = MaskedLatent(known, masked if mask is None else mask, noise, generators, flow)
    x = add_noise(known, noise, sigmas[0], flow)
    return method(**settings).sample(denoise or oracle(flow), x, sigmas, latent, callback, on_unstable)


repaint = functools.partial(sample, method=RePaint)


def item_generators(seeds):
    return [torch.Generator().manual_seed(100 + seed) for seed in seeds]


def moments(x):
    """Squared error of the mean (without its own sampling error), and the covariance about each curve's mean."""
    x = x[..., MASKED]
    about = (x - x.mean(1, keepdim=True)).flatten(0, 1)
    covariance = about.T @ about / (CURVES * (CHAINS - 1))
    error = (x.mean(1, keepdim=True) - posterior()[0]).square().sum(-1).mean() - covariance.trace() / CHAINS
    return error, covariance


def wasserstein(x):
    """Distance of the samples from the posterior, as Gaussians, relative to the posterior's deviation."""
    truth = posterior()[1]
    error, covariance = moments(x)
    values, vectors = torch.linalg.eigh(truth)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
    squared = error + truth.trace() + covariance.trace() - 2 * cross
    return (squared.clamp(min=0) / truth.trace()).sqrt().item()


def mean_error(x):
    return (moments(x)[0].clamp(min=0) / posterior()[1].trace()).sqrt().item()


def variance_ratio(x):
    return (moments(x)[1].trace() / posterior()[1].trace()).item()


def squared_jumps(x):
    """Across the mask's two edges."""
    return (x[..., MASKED.start] - x[..., MASKED.start - 1]).square() + (
        x[..., MASKED.stop] - x[..., MASKED.stop - 1]
    ).square()


def seam(x):
    """Squared jump across the mask's edges over that of true samples."""
    mean, covariance = posterior()
    truth = process()[3].clone()
    truth[..., MASKED] = mean
    return (squared_jumps(x).mean() / (squared_jumps(truth).mean() + covariance[0, 0] + covariance[-1, -1])).item()


def schedule(flow, steps):
    """One and the same ladder of noise-to-signal ratios for both families."""
    return torch.tensor([model_sigma(sigma, flow) for sigma in karras(steps).tolist()], dtype=DTYPE)


def neighbors(x, sigma):
    """A denoiser that mixes only within an item, in operations that do not know the batch."""
    sigma = append_dims(sigma, x)
    return 0.5 * x / (1 + sigma) + 0.25 * (torch.roll(x, 1, -1) + torch.roll(x, -1, -1)) / (1 + sigma)


def block(shape=(4, 6, 6)):
    mask = torch.zeros(1, 1, *shape[1:])
    mask[..., 2:5] = 1
    return mask


def run_items(
    items,
    shape=(4, 6, 6),
    mask=None,
    method=MaskedLangevin,
    sigmas=(3.0, 1.0, 0.3, 0.0),
    denoise=neighbors,
    on_unstable=None,
    **settings,
):
    """A run of small latents; items are named by their seeds."""

    def draw(salt):
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed + salt)) for seed in items])

    known, noise, sigmas = draw(100), draw(200), torch.tensor(sigmas)
    if method is MaskedLangevin:
        settings = {"inner_steps": 3} | settings
    latent = MaskedLatent(known, block(shape) if mask is None else mask, noise, item_generators(items), False)
    x = add_noise(known, noise, sigmas[0], False)
    return method(**settings).sample(denoise, x, sigmas, latent, on_unstable=on_unstable)


def ladder(steps):
    return karras(steps) if steps > 1 else torch.tensor([1.0, 0.0])[-1 - steps :]


def counted(run=sample, **options):
    """How often a run calls its model; its callback must get every call."""
    seen, reported = [], []

    def denoise(x, sigma):
        assert sigma.shape == (len(x),)
        seen.append(sigma)
        return x / (1 + sigma.view(-1, 1, 1) ** 2)

    run(denoise=denoise, callback=reported.append, **options)
    assert [call["i"] for call in reported] == list(range(len(seen)))
    return len(seen)
