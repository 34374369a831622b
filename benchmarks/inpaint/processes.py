"""Random curves with a hole, whose true inpainting is known in closed form, so that a sampler's error can be measured.

Latents are [items,channels,1,64]: curves of 64 points whose middle 24 are to be inpainted. Every channel is a chain of
its own: one sample of a curve.
"""

import functools
from dataclasses import dataclass
from typing import Protocol

import comfy.model_patcher
import numpy as np
import torch

from benchmarks.common.oracle import OracleConfig, OracleFormat, oracle

LENGTH, HOLE = 64, slice(20, 44)
# Channels of an item, unless there are others.
CHAINS = 32
# A masked point and the known one beside it, at both ends of the hole.
SEAMS = ((20, 19), (43, 44))
DOUBLE = torch.float64


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def hole_mask() -> torch.Tensor:
    """bool [64], True in the hole."""
    mask = torch.zeros(LENGTH, dtype=torch.bool)
    mask[HOLE] = True
    return mask


def kernel(length: float, deviation: float) -> torch.Tensor:
    """Squared-exponential covariance, [64,64]."""
    apart = torch.arange(LENGTH, dtype=DOUBLE)[:, None] - torch.arange(LENGTH, dtype=DOUBLE)
    return deviation**2 * torch.exp(-0.5 * (apart / length) ** 2)


def covariance(coarse: float = 0.8, fine: float = 0.4) -> torch.Tensor:
    """Covariance of smooth curves with some texture, [64,64]."""
    return kernel(10, coarse) + kernel(1.5, fine) + 1e-4 * torch.eye(LENGTH, dtype=DOUBLE)


def root(matrix: torch.Tensor) -> torch.Tensor:
    """R with R R^T = matrix. The matrix may be singular."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp(min=0).sqrt()


def conditional(given: torch.Tensor, mean: torch.Tensor, cov: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean [curves,24] and covariance [24,24] of the hole, given the curves [curves,64] outside of it."""
    masked = hole_mask()
    gain = torch.linalg.solve(cov[~masked][:, ~masked], cov[~masked][:, masked]).T
    left = cov[masked][:, masked] - gain @ cov[~masked][:, masked]
    return mean[masked] + (given - mean)[:, ~masked] @ gain.T, (left + left.T) / 2


def wasserstein(offset: torch.Tensor, truth: torch.Tensor, sampled: torch.Tensor) -> torch.Tensor:
    """Squared 2-Wasserstein distance of two normal distributions whose means are `offset` (squared) apart."""
    half = root(truth)
    common = torch.linalg.eigvalsh(half.T @ sampled @ half).clamp(min=0).sqrt().sum()
    return (offset + truth.trace() + sampled.trace() - 2 * common).clamp(min=0)


class Gaussian:
    """A normal process: its estimate is linear, and its posterior is normal.

    curves: [curves,64], known outside of the hole; each is inpainted by `chains` chains.
    """

    def __init__(self, curves: torch.Tensor, chains: int):
        self.cov, self.curves, self.chains = covariance(), curves, chains
        self.values, self.vectors = torch.linalg.eigh(self.cov)
        self.values = self.values.clamp(min=1e-9)
        self.mean, self.left = conditional(curves, torch.zeros(LENGTH, dtype=DOUBLE), self.cov)

    def estimate(self, x: torch.Tensor, a: float, sigma: float) -> torch.Tensor:
        """E[x0 | a x0 + sigma n = x], along the last axis."""
        gain = self.vectors * (a * self.values / (a * a * self.values + sigma * sigma))
        return x @ (gain @ self.vectors.T)

    def truth(self, seed: int = 9) -> torch.Tensor:
        """Samples of the true posterior, [curves,chains,64]."""
        x = self.curves[:, None].repeat(1, self.chains, 1)
        hole = drawn(len(self.curves), self.chains, len(self.left), seed=seed)
        x[..., HOLE] = self.mean[:, None] + hole @ root(self.left).T
        return x

    def score(self, x: torch.Tensor) -> dict[str, float]:
        """Scores of samples [curves,chains,64].

        relw2: Wasserstein-2 distance from the true posterior over the posterior's deviation. seam: energy of the steps
        at the hole's ends over the true energy. variance: over the true variance.
        """
        hole, trace = x[..., HOLE], self.left.trace()
        about = (hole - hole.mean(1, keepdim=True)).flatten(0, 1)
        sampled = about.T @ about / (len(x) * (self.chains - 1))
        # Even exact samples have a mean that is off, because they are finitely many.
        offset = (hole.mean(1) - self.mean).square().sum(-1).mean() - sampled.trace() / self.chains
        jumps = sum((x[..., masked] - x[..., known]).square().mean() for masked, known in SEAMS)
        full = self.curves.clone()
        full[:, HOLE] = self.mean
        due = sum(
            (full[:, masked] - full[:, known]).square().mean() + self.left[masked - HOLE.start, masked - HOLE.start]
            for masked, known in SEAMS
        )
        return {
            "relw2": float((wasserstein(offset, self.left, sampled) / trace).sqrt()),
            "seam": float(jumps / due),
            "variance": float(sampled.trace() / trace),
        }


class Mixture:
    """A mixture of four normal processes: its estimate is not linear, and its posterior has several modes.

    The known part of a curve determines its component only partly.
    """

    def __init__(self, curves: int, chains: int):
        at = torch.arange(LENGTH, dtype=DOUBLE)
        bump = torch.exp(-0.5 * ((at - 32) / 9) ** 2)
        self.odds = torch.tensor([0.3, 0.3, 0.2, 0.2], dtype=DOUBLE)
        self.means = torch.stack([1.2 * bump, -1.2 * bump, 0 * at, 1.2 * torch.sin(at / 5)])
        one, other = covariance(0.4, 0.2), kernel(6, 0.5) + kernel(1, 0.3) + 1e-4 * torch.eye(LENGTH, dtype=DOUBLE)
        self.covs, self.chains = [one, one, other, one], chains
        self.eigen = [torch.linalg.eigh(cov) for cov in self.covs]
        chosen = torch.multinomial(self.odds, curves, True, generator=torch.Generator().manual_seed(0)).tolist()
        roots, steps = [root(cov) for cov in self.covs], drawn(curves, LENGTH, seed=1)
        self.curves = torch.stack([self.means[k] + roots[k] @ steps[i] for i, k in enumerate(chosen)])
        parts = [conditional(self.curves, mean, cov) for mean, cov in zip(self.means, self.covs, strict=True)]
        self.hole_means, self.hole_roots = [mean for mean, _ in parts], [root(left) for _, left in parts]
        around = ~hole_mask()
        likelihoods = [
            torch.distributions.MultivariateNormal(mean[around], cov[around][:, around]).log_prob(
                self.curves[:, around]
            )
            for mean, cov in zip(self.means, self.covs, strict=True)
        ]
        self.weights = (torch.stack(likelihoods, -1) + self.odds.log()).softmax(-1)
        self.expected = self.truth(77)

    def components(self, x: torch.Tensor, a: float, sigma: float) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Probability of each component given x, [...,4], and the estimate under each."""
        likelihoods, estimates = [], []
        for odds, mean, (values, vectors) in zip(self.odds, self.means, self.eigen, strict=True):
            spread = a * a * values.clamp(min=0) + sigma * sigma
            along = (x - a * mean) @ vectors
            likelihoods.append(odds.log() - 0.5 * spread.log().sum() - 0.5 * (along.square() / spread).sum(-1))
            estimates.append(mean + (along * (a * values / spread)) @ vectors.T)
        return torch.stack(likelihoods, -1).softmax(-1), estimates

    def estimate(self, x: torch.Tensor, a: float, sigma: float) -> torch.Tensor:
        shares, estimates = self.components(x, a, sigma)
        return sum(shares[..., k, None] * part for k, part in enumerate(estimates))

    def truth(self, seed: int = 9) -> torch.Tensor:
        x, generator = self.curves[:, None].repeat(1, self.chains, 1), torch.Generator().manual_seed(seed)
        steps = drawn(len(x), self.chains, HOLE.stop - HOLE.start, seed=seed)
        for i, weights in enumerate(self.weights):
            chosen = torch.multinomial(weights, self.chains, True, generator=generator)
            for k, (means, scale) in enumerate(zip(self.hole_means, self.hole_roots, strict=True)):
                x[i, chosen == k, HOLE] = means[i] + steps[i, chosen == k] @ scale.T
        return x

    def score(self, x: torch.Tensor) -> dict[str, float]:
        """Scores as those of `Gaussian`, against true samples; relw2 is sliced.

        weights: total variation between the true shares of the components and those of the samples.
        """
        ways = drawn(HOLE.stop - HOLE.start, 64, seed=5)
        ways = ways / ways.norm(dim=0)
        ours, theirs = x[..., HOLE], self.expected[..., HOLE]
        apart = ((ours @ ways).sort(1).values - (theirs @ ways).sort(1).values).square().mean()
        deviation = (theirs - theirs.mean(1, keepdim=True)).square().mean()
        shares = self.components(x, 1.0, 0.05)[0].mean(1)
        jumps, due = (
            sum((y[..., masked] - y[..., known]).square().mean() for masked, known in SEAMS) for y in (x, self.expected)
        )
        return {
            "relw2": float((apart / deviation).sqrt()),
            "seam": float(jumps / due),
            "variance": float((ours - ours.mean(1, keepdim=True)).square().mean() / deviation),
            "weights": float(0.5 * (shares - self.weights).abs().sum(-1).mean()),
        }


Process = Gaussian | Mixture


class Curves(Protocol):
    """Any process: its curves [curves,64], known outside of the hole, and how many chains inpaint each."""

    curves: torch.Tensor
    chains: int


@functools.cache
def process(name: str, curves: int, chains: int) -> Process:
    """proto: one curve. curves: that many of the same normal process. mixture: a mixture of four.

    validation: other curves of that normal process, to choose a loop's settings on.
    """
    if name == "mixture":
        return Mixture(curves, chains)
    if name == "proto":
        known = np.random.default_rng(0).multivariate_normal(np.zeros(LENGTH), covariance().numpy())[None]
        return Gaussian(torch.from_numpy(known), chains)
    return Gaussian(drawn(curves, LENGTH, seed=100 if name == "validation" else 0) @ root(covariance()).T, chains)


def as_latent(curves: torch.Tensor, channels: int = CHAINS) -> torch.Tensor:
    """[curves,chains,64] as latents [items,channels,1,64]."""
    return curves.reshape(-1, channels, 1, LENGTH)


def latent_mask() -> torch.Tensor:
    """[1,1,1,64], 1 in the hole."""
    return hole_mask().float().view(1, 1, 1, LENGTH)


def known_latent(process: Curves, channels: int = CHAINS) -> torch.Tensor:
    """The known curves of a process with zeros in the hole: a start must hold no trace of the truth."""
    known = process.curves[:, None].repeat(1, process.chains, 1)
    known[..., HOLE] = 0
    return as_latent(known, channels).float()


def curve_config(channels: int) -> type[OracleConfig]:
    class CurveFormat(OracleFormat):
        latent_channels = channels

    class CurveConfig(OracleConfig):
        latent_format = CurveFormat

    return CurveConfig


def curve_oracle(family: str, process: Process) -> comfy.model_patcher.ModelPatcher:
    """A MODEL that predicts a process of curves exactly."""
    return oracle(family, process, config=curve_config(CHAINS))


@dataclass(frozen=True)
class Setting:
    """A process, the number of its curves and of chains for each, and the seeds of the runs."""

    name: str
    curves: int
    chains: int
    seeds: tuple[int, ...]

    @property
    def process(self) -> Process:
        return process(self.name, self.curves, self.chains)

    def latent(self) -> torch.Tensor:
        return known_latent(self.process)


def karras(steps: int, flow: bool) -> torch.Tensor:
    """Levels from 30 to 0.02 and then 0 (Karras et al., rho 7); the same ratios of noise and signal for flow."""
    ramp = torch.linspace(30 ** (1 / 7), 0.02 ** (1 / 7), steps, dtype=DOUBLE) ** 7
    sigmas = ramp / (1 + ramp) if flow else ramp
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()
