"""Other loops for masked sampling, written from their published formulas, as samplers for ComfyUI's KSAMPLER.

They are here for comparison only; none is part of the pack. In all of them x = a x0 + sigma n, and D is the estimate of
x0.
"""

from collections.abc import Callable

import comfy.samplers
import torch

from phd_ops.latents.noise import LEAST_SIGNAL, add_noise, signal
from phd_ops.latents.solvers import euler, levels

Draw = Callable[[torch.Tensor], torch.Tensor]


def sampler(rule: Callable, **settings) -> comfy.samplers.KSAMPLER:
    return comfy.samplers.KSAMPLER(as_sampling_function, {"rule": rule, "settings": settings})


@torch.no_grad()
def as_sampling_function(model, x, sigmas, extra_args=None, callback=None, disable=None, *, rule, settings):
    """Runs a rule as a sampling function. Like ours, it gets the whole estimate and replaces known values itself."""
    options = {name: value for name, value in extra_args.items() if name != "denoise_mask"}
    flow = isinstance(model.inner_model.inner_model.model_sampling, comfy.model_sampling.CONST)
    generator = torch.Generator().manual_seed((extra_args["seed"] or 0) + 1000)

    def estimate(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return model.inner_model(x, sigma * x.new_ones(len(x)), **options)

    def fresh(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=generator).to(like)

    masked = extra_args["denoise_mask"] > 0
    x = rule(estimate, x, sigmas, model.latent_image, masked, model.noise, fresh, flow, **settings)
    return torch.where(masked, x, model.latent_image)


def langevin(estimate, x, sigmas, known, masked, noise, fresh: Draw, flow: bool, *, inner: int, step: float = 1.0):
    """Predictor and corrector: exact Ornstein-Uhlenbeck steps about a frozen D, fresh noise on the known region."""
    kept = float(torch.exp(torch.tensor(-step)))
    for sigma, sigma_next in levels(sigmas):
        a = signal(sigma, flow)
        x = torch.where(masked, x, add_noise(known, noise, sigma, flow))
        for _ in range(inner if sigma_next > 0 and a > LEAST_SIGNAL else 0):
            x = torch.where(masked, x, add_noise(known, fresh(x), sigma, flow))
            clean = a * estimate(x, sigma)
            x = torch.where(masked, clean + kept * (x - clean) + sigma * (1 - kept**2) ** 0.5 * fresh(x), x)
        x = euler(x, torch.where(masked, estimate(x, sigma), known), sigma, sigma_next)
    return x


class Corrected:
    """dx = (C(x) - rate x) dt + noise, by exact half steps with C frozen and a correction between them."""

    def __init__(self, pull: Callable, rate: torch.Tensor, strength: torch.Tensor | float, fresh: Draw):
        self.pull, self.rate, self.strength, self.fresh, self.frozen = pull, rate, strength, fresh, None

    def exact(self, x: torch.Tensor, h: float) -> torch.Tensor:
        decay = torch.exp(-self.rate * h)
        spread = self.strength * torch.sqrt((1 - decay * decay) / self.rate)
        return decay * x + (1 - decay) / self.rate * self.frozen + spread * self.fresh(x)

    def step(self, x: torch.Tensor, h: float) -> torch.Tensor:
        """One model call."""
        if self.frozen is None:
            self.frozen = self.pull(x)
            return self.exact(x, h)
        x = self.exact(x, h / 2)
        now = self.pull(x)
        # The correction already has the change of C, so the second half step keeps the old one.
        x = self.exact(x + (now - self.frozen) * h, h / 2)
        self.frozen = now
        return x


def former(
    estimate,
    x,
    sigmas,
    known,
    masked,
    noise,
    fresh: Draw,
    flow: bool,
    *,
    inner: int,
    step: float = 1.0,
    guide: float = 5,
):
    """The pack's earlier loop: LanPaint's guided score ("BiG") at steps of full relaxation."""
    rate = torch.where(masked, 1.0, 1.0 + guide)
    for sigma, sigma_next in levels(sigmas):
        a = signal(sigma, flow)
        x = torch.where(masked, x, add_noise(known, noise, sigma, flow))

        def pull(x: torch.Tensor, sigma=sigma, a=a) -> torch.Tensor:
            clean = estimate(x, sigma)
            return a * torch.where(masked, clean, (1 + guide) * known - guide * clean) - x + rate * x

        steps = Corrected(pull, rate, sigma, fresh)
        for _ in range(inner if sigma_next > 0 and a > LEAST_SIGNAL else 0):
            x = steps.step(x, step)
        x = euler(x, torch.where(masked, estimate(x, sigma), known), sigma, sigma_next)
    return x


def lanpaint(
    estimate,
    x,
    sigmas,
    known,
    masked,
    noise,
    fresh: Draw,
    flow: bool,
    *,
    inner: int,
    pinned: bool,
    step: float = 0.2,
    guide: float = 5,
):
    """LanPaint's first-order rule in its own, variance-preserving coordinates v = x / √(a² + sigma²), f = 1 - abar.

    v2.0: steps of `step` f. v2.1 (pinned): steps of `step`, and inner steps that fall to none with f. None at the last
    level.
    """
    counts = lanpaint_inner_steps(sigmas, flow, inner, pinned)
    for count, (sigma, sigma_next) in zip(counts, levels(sigmas), strict=True):
        a = signal(sigma, flow)
        scale = (a * a + sigma * sigma) ** 0.5
        f = (sigma / scale) ** 2
        rate = torch.where(masked, 1.0, 1.0 + guide) / f
        x = torch.where(masked, x, add_noise(known, noise, sigma, flow))

        def pull(v: torch.Tensor, sigma=sigma, scale=scale, f=f, rate=rate) -> torch.Tensor:
            clean = estimate(v * scale, sigma)
            target = torch.where(masked, clean, (1 + guide) * known - guide * clean)
            return ((1 - f).sqrt() * target - v) / f + rate * v

        steps, v = Corrected(pull, rate, 1.0, fresh), x / scale
        for _ in range(count):
            v = steps.step(v, step if pinned else step * float(f))
        x = v * scale
        x = euler(x, torch.where(masked, estimate(x, sigma), known), sigma, sigma_next)
    return x


def lanpaint_inner_steps(sigmas: torch.Tensor, flow: bool, inner: int, pinned: bool) -> list[int]:
    """Inner steps of LanPaint's rule at every level: none at the last, nor where a flow's latent is all noise."""
    counts = []
    for sigma, _ in levels(sigmas):
        a = signal(sigma, flow)
        f = float((sigma / (a * a + sigma * sigma) ** 0.5) ** 2)
        counts.append((round(inner * f) if pinned else inner) if a > LEAST_SIGNAL else 0)
    return [*counts[:-1], 0]
