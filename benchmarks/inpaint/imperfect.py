"""How the loops do on models that err: the exact process of `processes.py` with errors that real networks have.

Every kind of error has a strength. The estimate errs; the truth, against which the samples are scored, does not. For
guidance the estimates with and without the prompt are both exact, and the truth is the prompt's posterior: what a loop
adds to guidance at every call, it is charged with.

The others treat every masked value alike, however many there are. Ours judges the network by all of an item, so that it
runs twice: on items as small as a thumbnail's latent, and on all curves as one item, as large as that of an image.
"""

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_patcher
import torch

from benchmarks.common.oracle import Network, oracle
from benchmarks.common.table import Section
from benchmarks.inpaint.exact import Method, methods, run
from benchmarks.inpaint.processes import (
    CHAINS,
    DOUBLE,
    HOLE,
    LENGTH,
    Gaussian,
    Mixture,
    as_latent,
    conditional,
    curve_config,
    drawn,
    kernel,
    process,
    root,
    wasserstein,
)

WANTED = {"imperfect_worst_ratio": ("<=", 1.0)}
OURS = ("ours_60", "ours_60_large")
# Loops with the same limit of model calls.
RIVALS = (
    "plain_60", "ancestral_60", "langevin_60", "repaint_60", "repaint10_60", "lanpaint_tuned_60", "lanpaint1_60",
    "lanpaint2_60",
)  # fmt: skip
# (estimate, x, sigma) -> the estimate with an error, for a variance-exploding x.
Error = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


@functools.cache
def smooth_field() -> torch.Tensor:
    """A smooth random curve of deviation 1, [64]."""
    return root(kernel(10, 1.0)) @ drawn(LENGTH, seed=3)


@functools.cache
def weights() -> torch.Tensor:
    """Those of a random layer, [64,64], that keeps a curve's strength."""
    return drawn(LENGTH, LENGTH, seed=5) / LENGTH**0.5


def gain(strength: float) -> Error:
    """Estimates too strong, or, below 1, too weak."""
    return lambda estimate, x, sigma: strength * estimate


def bias(strength: float) -> Error:
    """The same smooth offset at every level."""
    return lambda estimate, x, sigma: estimate + strength * smooth_field()


def growing(strength: float) -> Error:
    """A smooth offset that grows with sigma."""
    return lambda estimate, x, sigma: estimate + strength * sigma / (1 + sigma) * smooth_field()


def layer(strength: float) -> Error:
    """A wrong but smooth function of x, as a network has learned it."""
    return lambda estimate, x, sigma: estimate + strength * torch.tanh(x / (1 + sigma**2) ** 0.5 @ weights())


def fresh_noise(strength: float) -> Error:
    """Another error at every call."""
    generator = torch.Generator().manual_seed(11)
    return lambda estimate, x, sigma: (
        estimate + strength * torch.randn(estimate.shape, dtype=DOUBLE, generator=generator)
    )


def rounded(step: float) -> Error:
    """The network's output, the noise, in steps of about an 8-bit format's."""
    return lambda estimate, x, sigma: x - sigma * (((x - estimate) / sigma / step).round() * step)


class Erring:
    """A process whose estimate errs; truth and scores are the exact process's."""

    def __init__(self, exact: Gaussian, error: Error):
        self.exact, self.error, self.curves, self.chains = exact, error, exact.curves, exact.chains
        self.score = exact.score

    def estimate(self, x: torch.Tensor, a: float, sigma: float) -> torch.Tensor:
        return self.error(self.exact.estimate(x, a, sigma), x / a, sigma / a)


class Distilled(Gaussian):
    """A network distilled to one step: its estimate is the end of the path that an exact network would take."""

    def estimate(self, x: torch.Tensor, a: float, sigma: float) -> torch.Tensor:
        variances = self.values
        gain = self.vectors * (variances / (a * a * variances + sigma * sigma)).sqrt()
        return x @ (gain @ self.vectors.T)


class Prompted:
    """Curves of the mixture's processes, each with a prompt that names its process; without a prompt: the mixture."""

    def __init__(self, curves: int, chains: int):
        self.mixture, self.chains = Mixture(4, 8), chains
        self.named = torch.multinomial(
            self.mixture.odds, curves, True, generator=torch.Generator().manual_seed(11)
        ).tolist()
        steps = drawn(curves, LENGTH, seed=1)
        means, covs = self.mixture.means, self.mixture.covs
        self.curves = torch.stack([means[k] + root(covs[k]) @ step for k, step in zip(self.named, steps, strict=True)])
        self.posteriors = [
            conditional(curve[None], means[k], covs[k]) for curve, k in zip(self.curves, self.named, strict=True)
        ]

    def estimates(self, x: torch.Tensor, a: float, sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
        """With the prompt and without, of x [curves,chains,64]."""
        shares, parts = self.mixture.components(x, a, sigma)
        without = sum(shares[..., k, None] * part for k, part in enumerate(parts))
        return torch.stack([parts[k][i] for i, k in enumerate(self.named)]), without

    def score(self, x: torch.Tensor) -> dict[str, float]:
        """Those of `Gaussian` but for the seam, of samples [curves,chains,64]."""
        distances, variances = [], []
        for samples, (mean, left) in zip(x[..., HOLE], self.posteriors, strict=True):
            about = samples - samples.mean(0)
            sampled = about.T @ about / (self.chains - 1)
            offset = (samples.mean(0) - mean[0]).square().sum() - sampled.trace() / self.chains
            distances.append(wasserstein(offset, left, sampled) / left.trace())
            variances.append(sampled.trace() / left.trace())
        return {
            "relw2": float(torch.stack(distances).mean().sqrt()),
            "variance": float(torch.stack(variances).mean()),
        }


class PromptedNetwork(Network):
    """The positive prompt's context is 1, the negative's 0."""

    def estimate(self, x: torch.Tensor, a: float, sigma: float, prompt: torch.Tensor | None) -> torch.Tensor:
        channels = x.shape[1]
        items = self.process.curves.shape[0] * self.process.chains // channels
        parts = [
            self.process.estimates(part.reshape(-1, self.process.chains, LENGTH), a, sigma)[int(text.max() < 0.5)]
            for part, text in zip(x.split(items), prompt.split(items), strict=True)
        ]
        return torch.cat([as_latent(part, channels) for part in parts])


@dataclass(frozen=True)
class Kind:
    """A kind of error: its label, what makes the process, and cfg."""

    label: str
    process: Callable[[int, int], Erring | Distilled | Prompted]
    cfg: float = 1.0


def erring(error: Callable[[float], Error], strength: float) -> Callable[[int, int], Erring]:
    return lambda curves, chains: Erring(process("curves", curves, chains), error(strength))


def distilled(curves: int, chains: int) -> Distilled:
    return Distilled(process("curves", curves, chains).curves, chains)


KINDS = {
    "gain_1.02": Kind("2 % too strong", erring(gain, 1.02)),
    "gain_1.05": Kind("5 % too strong", erring(gain, 1.05)),
    "gain_1.10": Kind("10 % too strong", erring(gain, 1.10)),
    "gain_0.95": Kind("5 % too weak", erring(gain, 0.95)),
    "bias_0.02": Kind("smooth offset of 0.02", erring(bias, 0.02)),
    "bias_0.05": Kind("smooth offset of 0.05", erring(bias, 0.05)),
    "growing_0.1": Kind("offset that grows with sigma to 0.1", erring(growing, 0.1)),
    "layer_0.05": Kind("a wrong layer, 0.05", erring(layer, 0.05)),
    "layer_0.15": Kind("a wrong layer, 0.15", erring(layer, 0.15)),
    "noise_0.05": Kind("noise of its own at every call, 0.05", erring(fresh_noise, 0.05)),
    "noise_0.2": Kind("noise of its own at every call, 0.2", erring(fresh_noise, 0.2)),
    "rounded": Kind("8-bit-like output", erring(rounded, 0.1)),
    "distilled": Kind("distilled to one step", distilled),
    "cfg1": Kind("prompt, cfg 1", Prompted, 1.0),
    "cfg4": Kind("prompt, cfg 4", Prompted, 4.0),
    "cfg7": Kind("prompt, cfg 7", Prompted, 7.0),
}


def curve_model(process: Erring | Distilled | Prompted, channels: int) -> comfy.model_patcher.ModelPatcher:
    network = PromptedNetwork if isinstance(process, Prompted) else Network
    return oracle("EPS", process, network=network, config=curve_config(channels))


def sample(kind: Kind, method: Method, curves: int, chains: int, seed: int, channels: int) -> dict[str, float]:
    """Scores of a whole run through ComfyUI, and its model calls. channels: of an item."""
    of_kind = kind.process(curves, chains)
    positive, negative = ([[torch.full((1, 1, 1), value), {}]] for value in (1.0, 0.0))
    samples, calls = run(
        curve_model(of_kind, channels), of_kind, method, seed,
        prompts=(positive, negative), cfg=kind.cfg, channels=channels,
    )  # fmt: skip
    return {**of_kind.score(samples), "calls": calls}


def scored(
    kind: Kind, method: Method, curves: int, chains: int, seeds: tuple[int, ...], channels: int = CHAINS
) -> dict[str, float]:
    """Means over the seeds."""
    scores = [sample(kind, method, curves, chains, seed, channels) for seed in seeds]
    return {name: statistics.mean(score[name] for score in scores) for name in ("relw2", "variance", "calls")}


def measure(curves: int, chains: int, seeds: tuple[int, ...]) -> tuple[Section, dict[str, dict]]:
    """The table, and the scores of every method by kind."""
    hole, channels = HOLE.stop - HOLE.start, curves * chains
    section = Section(
        f"Models that err, {curves} curves, {chains} chains each, {len(seeds)} seeds: relW2 / variance; items of "
        f"{hole * CHAINS} masked values, ours_60_large of {hole * channels}"
    )
    found = {}
    for name, kind in KINDS.items():
        of = functools.partial(scored, kind, curves=curves, chains=chains, seeds=seeds)
        found[name] = {loop: of(methods()[loop]) for loop in ("ours_60", *RIVALS)}
        found[name]["ours_60_large"] = of(methods()["ours_60"], channels=channels)
        best = min(RIVALS, key=lambda loop: found[name][loop]["relw2"])
        columns = [as_text(loop, found[name][loop]) for loop in (*OURS, best, "plain_60")]
        ratios = " / ".join(f"{ratio(found[name], loop):.2f}" for loop in OURS)
        section.row(f"{name}  {kind.label}", "  |  ".join(columns) + f"  ratios {ratios}")
    ratios = [ratio(scores, loop) for scores in found.values() for loop in OURS]
    section.figures["imperfect_worst_ratio"] = max(ratios)
    return section, found


def as_text(loop: str, score: dict[str, float]) -> str:
    return f"{loop} {score['relw2']:.3f} / {score['variance']:.2f}"


def ratio(scores: dict[str, dict], ours: str) -> float:
    """Ours over the best of the others."""
    return scores[ours]["relw2"] / min(scores[loop]["relw2"] for loop in RIVALS)
