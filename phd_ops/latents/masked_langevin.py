"""Masked Langevin: masked sampling in which the known and the masked region agree, training-free, for any denoiser.

Plain replacement sampling never lets the known region react and leaves a seam that more steps do not remove. Here both
regions change, and one model call is enough for both:

- Known region. A denoiser sees one noise level. If the known region's latent is such that the estimate there equals
  the known values, then (for Gaussian data: exactly) the estimate of the rest is the one given clean known values. So
  the noise n of the known region is kept as state. After each call it is corrected by the prediction error:
  n += a (known - estimate) / sigma - leak n. The leak keeps n near natural noise. The fixed point pushes against the
  estimate with strength lambda = 1 / leak, as the guided ("BiG") score of LanPaint does (arXiv 2502.03491).
- Masked region. Inner steps resample it around the estimate, x = a estimate + sigma z: Langevin steps of full length.
  A frozen estimate loses variance; extrapolating it over the calls (Adams-Bashforth) restores it.
- Inner steps are made where noise and signal are of similar strength (`inner_steps.py`), without guidance
  (`guidance.py`), and only as far down as the network's own errors allow (`contraction.py`). The calls that this saves
  are not made.

Harmonizing needs the mean of what could be there, not one sample. With `antithetic`, every inner step flips the sign of
the noise, so that its effect on coarse structure cancels and light settles at its mean, while every latent still is the
estimate plus noise of the right strength.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .contraction import LARGEST_RATIO, ContractionCheck, inverse_variance
from .guidance import GuidedModel, Model, Prediction
from .inner_steps import BAND, allocate, items_with_inner_steps
from .masked_latent import Mask, MaskedLatent, any_masked, masked_at
from .noise import LEAST_SIGNAL, add_noise, append_dims, item_noise, signal
from .solvers import (
    DPMPP_2M,
    EULER,
    EULER_ANCESTRAL,
    Callback,
    ModelCall,
    OnUnstable,
    check_finite,
    dpmpp_2m_estimate,
    euler,
    euler_ancestral,
    finite_items,
    levels,
)

# The least leak of the known region's noise: with less, it stops looking like noise.
LEAST_LEAK = 0.01
# Share of the estimate's change from call to call that is added to it.
EXTRAPOLATION = 0.5
# Limits on growth. The known region's noise: this many times natural noise. An estimate: this many times the strength
# of the known region (or of data of deviation 1), or, since the masked data may be stronger, this many times its own
# strength at the level's first call and the square of it since inner steps began. A lower limit within a level would
# clip random highs but not lows, and so bias the result.
RUNAWAY = 2.0
# What guidance may add to an estimate, as a share of its strength, as the norm threshold of adaptive projected guidance
# limits it (arXiv 2410.02416). At high noise levels, where the estimate is still weak, cfg would otherwise decide it.
GUIDANCE_LIMIT = 0.3


@dataclass(frozen=True)
class MaskedLangevin:
    """Settings of masked Langevin sampling.

    Attributes:
        solver: the step from level to level, one of `SOLVERS`. At levels with inner steps dpmpp_2m extrapolates over
            the calls, at others over the levels.
        inner_steps: additional model calls per level but the last, on average; may be a fraction. 0 is plain
            replacement sampling.
        step_size: the share of the noise that an inner step draws anew; 1 and above: all.
        lambda_strength: lambda, how strongly the regions are made to agree; 0: not at all.
        band: the range of sigma / a in which inner steps are made; `HARMONIZE_BAND` for harmonizing.
        antithetic: inner steps draw no noise but flip the sign of the initial noise. `step_size` then has no effect.
    """

    solver: str = EULER
    inner_steps: float = 2
    step_size: float = 1.0
    lambda_strength: float = 10.0
    band: tuple[float, float] = BAND
    antithetic: bool = False

    def count_calls(self, sigmas: torch.Tensor, mask: Mask, flow: bool) -> int:
        """Most model calls of `sample`: none at a level where nothing is masked, one where nothing is known."""
        return sum(level.calls for level in self.plan(sigmas, mask, flow) if level.items.any())

    def plan(self, sigmas: torch.Tensor, mask: Mask, flow: bool) -> Iterator["Level"]:
        """Every noise level in turn."""
        calls = allocate(sigmas, self.inner_steps, flow, self.band)
        for (sigma, sigma_next), planned in zip(levels(sigmas), calls, strict=True):
            masked = masked_at(mask, sigma)
            inner = items_with_inner_steps(masked, sigma, sigma_next, flow) & (self.inner_steps > 0)
            any_inner = bool(inner.any())
            yield Level(sigma, sigma_next, masked, any_masked(masked), inner, any_inner, planned if any_inner else 1)

    @torch.no_grad()
    def sample(
        self,
        model: Model | GuidedModel,
        x: torch.Tensor,
        sigmas: torch.Tensor,
        latent: MaskedLatent,
        callback: Callback | None = None,
        on_unstable: OnUnstable | None = None,
    ) -> torch.Tensor:
        """Samples the masked region of a latent, given the rest.

        Args:
            model: (x [B,C,...], sigma [B]) -> the estimate of the clean latent, or a GuidedModel.
            x: noisy start [B,C,...], at level sigmas[0].
            sigmas: falling noise levels [N+1], the last usually 0.
            latent: the known latent and the masked region.
            callback: called after every model call; its i counts calls that were saved too.
            on_unstable: called once if an estimate is infinite or NaN, with the step size (None: before any inner
                step). That item's previous estimate then replaces it, and the item's later corrections are half as
                long. The number of calls stays. A first estimate that is not finite raises ValueError.
        Returns:
            The latent at level sigmas[-1]; at level 0 equal to `latent.known` wherever nothing was masked.
        """
        if len(sigmas) < 2:
            return x
        run = Run(self, latent, ModelCall(model, callback), x, on_unstable)
        for level in self.plan(sigmas, latent.mask, latent.flow):
            if level.items.any():
                run.sample_level(level)
            else:
                run.skip_level(level)
        return run.finish(sigmas[-1].cpu())


class Level(NamedTuple):
    """One noise level of a run.

    Attributes:
        masked: the masked region, bool, broadcasts to the latent.
        items: which items have any, bool [B] or [1].
        inner: the items whose known region is corrected, and which may take inner steps, bool [B] or [1].
        any_inner: whether there are any.
        calls: model calls at this level.
    """

    sigma: torch.Tensor
    sigma_next: torch.Tensor
    masked: torch.Tensor
    items: torch.Tensor
    inner: torch.Tensor
    any_inner: bool
    calls: int


class Items(NamedTuple):
    """Some items of a batch, as bool [B] and as a list, since reading a tensor from a GPU waits for all of its work."""

    each: torch.Tensor
    listed: list[bool]


class Estimates(NamedTuple):
    """The guided estimate of a model call, and the one to step with: extrapolated over the calls, and limited in
    strength."""

    denoised: torch.Tensor
    extrapolated: torch.Tensor


class Previous(NamedTuple):
    """The unguided estimate of the call before, and for which items it was made, bool [B,1,...]."""

    unguided: torch.Tensor
    items: torch.Tensor


class Multistep(NamedTuple):
    """What DPM-Solver++(2M) needs of the level before."""

    sigma: torch.Tensor
    denoised: torch.Tensor
    masked: torch.Tensor


class Run:
    """One run of `MaskedLangevin`, with the state that passes from call to call.

    While the model runs, no tensor of the latent's size is held but x, the noises and the previous estimates: every
    other one belongs to a method that has returned.
    """

    def __init__(
        self,
        settings: MaskedLangevin,
        latent: MaskedLatent,
        call: ModelCall,
        x: torch.Tensor,
        on_unstable: OnUnstable | None,
    ) -> None:
        self.settings, self.latent, self.call, self.on_unstable = settings, latent, call, on_unstable
        self.x, self.known_noise, self.masked_noise = x, latent.noise, latent.noise
        # Per item [B,1,...]: the weight of corrections; the estimate's strength when inner steps began (0: not yet).
        self.weight = append_dims(x.new_ones(len(x)), x)
        self.initial_strength = torch.zeros_like(self.weight)
        self.strength_limit = self.initial_strength
        self.has_estimate = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        self.contraction = ContractionCheck(x)
        self.previous: Previous | None = None
        self.multistep: Multistep | None = None
        # The items that made an inner step at this level, bool [B]; None: none did.
        self.moved: torch.Tensor | None = None
        self.unstable = torch.zeros_like(self.has_estimate)
        self.masked = append_dims(self.unstable, x)
        self.made_inner_step = self.was_unstable = False

    def sample_level(self, level: Level) -> None:
        """Inner steps at a level, then the step to the next."""
        self.contraction.begin_level((level.masked != self.masked).flatten(1).any(1))
        self.moved = None
        saved = self.inner_steps(level) if level.calls > 1 else 0
        self.call.place += saved
        self.outer_step(level, self.estimate(level, level.items, 0))
        self.masked = level.masked

    def inner_steps(self, level: Level) -> int:
        """The inner steps at a level; returns how many of its calls were saved."""
        items = self.passing(level)
        for remaining in reversed(range(1, level.calls)):
            if not any(items.listed):
                return remaining
            items = self.inner_step(level, items, remaining)
        return 0

    def passing(self, level: Level) -> Items:
        """The items that take an inner step at a level."""
        each = level.inner & self.contraction.passed
        return Items(each, each.tolist())

    def skip_level(self, level: Level) -> None:
        """Where nothing is masked, the known latent goes to the next level without a model call."""
        self.x = self.latent.known_at(level.sigma_next, self.known_noise)
        self.previous = self.multistep = None
        self.masked = level.masked

    def finish(self, sigma: torch.Tensor) -> torch.Tensor:
        """The result. After a schedule that stops early the known region has its initial noise, for what comes next."""
        return torch.where(self.masked, self.x, self.latent.known_at(sigma, self.latent.noise))

    def estimate(self, level: Level, items: torch.Tensor, remaining: int, complete: bool = True) -> Estimates:
        """Calls the model and updates the known region's noise.

        Args:
            items: for which the call is made, bool [B] or [1].
            remaining: the calls left at this level. Those before the last are for inner steps, without guidance.
            complete: the items are all for which the level has calls; others keep their previous estimate.
        """
        self.x = torch.where(level.masked, self.x, self.latent.known_at(level.sigma, self.known_noise))
        prediction = self.call(self.x, level.sigma, level.masked, self.latent.known, guided=not remaining)
        prediction = self.replace_unstable(items, prediction)
        if self.settings.inner_steps > 0 and prediction.denoised is not prediction.unguided:
            prediction = limit_guidance(prediction, level.masked)
        if level.any_inner and self.settings.lambda_strength > 0:
            self.correct_known_noise(level, items, prediction)
        extrapolated = prediction.denoised
        if remaining or self.moved is not None:
            extrapolated = self.extrapolate(level, items, prediction, remaining)
        made, usable = append_dims(items, self.x), signal(level.sigma, self.latent.flow) > LEAST_SIGNAL
        latest = Previous(prediction.unguided, made)
        if not complete and self.previous is not None:
            kept = torch.where(made, prediction.unguided, self.previous.unguided)
            latest = Previous(kept, made | self.previous.items)
        self.previous = latest if usable else None
        return Estimates(prediction.denoised, extrapolated)

    def replace_unstable(self, items: torch.Tensor, prediction: Prediction) -> Prediction:
        """Replaces what is not finite by the estimate before it, or by the known latent."""
        denoised, unguided, covered = prediction
        unstable = self.unstable = items & ~(finite_items(denoised) & finite_items(unguided))
        if unstable.any():
            check_finite(denoised, unstable & ~self.has_estimate)
            check_finite(unguided, unstable & ~self.has_estimate)
            fallback = self.latent.known
            if self.previous is not None:
                fallback = torch.where(self.previous.items, self.previous.unguided, fallback)
            denoised = torch.where(denoised.isfinite(), denoised, fallback)
            unguided = torch.where(unguided.isfinite(), unguided, fallback)
            self.weight = torch.where(append_dims(unstable, self.x), self.weight / 2, self.weight)
            if not self.was_unstable and self.on_unstable is not None:
                self.on_unstable(self.settings.step_size if self.made_inner_step else None)
            self.was_unstable = True
        self.has_estimate = self.has_estimate | items
        return Prediction(denoised, unguided, covered)

    def correct_known_noise(self, level: Level, items: torch.Tensor, prediction: Prediction) -> None:
        """Corrects the known region's noise by the prediction error, for the items with inner steps."""
        sigma, flow = level.sigma, self.latent.flow
        leak = noise_leak(sigma, flow, self.settings.lambda_strength)
        guided = guided_noise(self.known_noise, self.latent.known, prediction.unguided, sigma, flow, leak, self.weight)
        held = append_dims(level.inner & items, self.x) & ~level.masked
        if prediction.covered is not None:
            held = held & prediction.covered
        self.known_noise = torch.where(held, bounded(guided, RUNAWAY, held), self.known_noise)

    def check_contraction(self, level: Level, items: Items, unguided: torch.Tensor) -> Items:
        """The items that go on: the inner steps of those in which the network's errors would grow end.

        When harmonizing all go on: scene and reference must take the same steps, for their errors to cancel.
        """
        ratio = level.sigma / signal(level.sigma, self.latent.flow)
        if self.settings.antithetic or ratio > LARGEST_RATIO:
            return items
        figure = inverse_variance(self.x, unguided, level.sigma, level.masked, self.latent.flow)
        values = level.masked.flatten(1).sum(1) * (self.x[0].numel() // level.masked[0].numel())
        self.contraction.observe(figure, items.each & ~self.unstable, values, float(ratio))
        return self.passing(level)

    def extrapolate(self, level: Level, items: torch.Tensor, prediction: Prediction, remaining: int) -> torch.Tensor:
        """The estimate extrapolated over the calls, and limited in strength."""
        if remaining == level.calls - 1:
            self.limit_strength(level, items, prediction.unguided)
        estimate = prediction.unguided if remaining else prediction.denoised
        if self.previous is not None and (remaining or self.settings.solver == DPMPP_2M):
            # The step to the next level is shorter than one that draws all noise anew.
            share = self.weight * (EXTRAPOLATION if remaining else EXTRAPOLATION / 2)
            estimate = torch.where(
                self.previous.items, estimate + share * (prediction.unguided - self.previous.unguided), estimate
            )
        return bounded(estimate, self.strength_limit, level.masked)

    def limit_strength(self, level: Level, items: torch.Tensor, unguided: torch.Tensor) -> None:
        """Sets how strong estimates may become at this level, from its first; see `RUNAWAY`."""
        first, made = strength(unguided, level.masked), append_dims(items, self.x)
        self.initial_strength = torch.where(made & (self.initial_strength == 0), first, self.initial_strength)
        limit = torch.minimum(RUNAWAY * first, RUNAWAY**2 * self.initial_strength).maximum(first)
        known = strength(self.latent.known, ~level.masked).clamp(min=1)
        self.strength_limit = torch.where(made, limit.maximum(RUNAWAY * known), self.strength_limit)

    def inner_step(self, level: Level, items: Items, remaining: int) -> Items:
        """A model call, and a resampling of what still passes after it. Returns that."""
        estimate = self.estimate(level, items.each, remaining, complete=all(items.listed)).extrapolated
        if self.previous is not None and remaining < level.calls - 1:
            items = self.check_contraction(level, items, self.previous.unguided)
        self.resample(level, items, estimate)
        return items

    def resample(self, level: Level, items: Items, estimate: torch.Tensor) -> None:
        """Resamples the masked region of some items at the same level, around an estimate."""
        self.made_inner_step, moves = True, append_dims(items.each, self.x)
        self.moved = items.each if self.moved is None else self.moved | items.each
        mean = signal(level.sigma, self.latent.flow) * estimate
        if self.settings.antithetic:
            # Flipped as a whole: a mixture with the noise before would be too weak.
            self.masked_noise = torch.where(moves, -self.masked_noise, self.masked_noise)
            moved = mean + level.sigma * self.masked_noise
        else:
            kept = 1 - self.weight * min(1.0, self.settings.step_size)
            noise = item_noise(self.x, self.latent.generators, items.listed)
            moved = langevin_step(self.x, mean, level.sigma, kept, noise)
        self.x = torch.where(moves, moved, self.x)

    def outer_step(self, level: Level, estimates: Estimates) -> None:
        """The step to the next level."""
        sigma, sigma_next, flow = level.sigma, level.sigma_next, self.latent.flow
        target = torch.where(level.masked, self.target(level, estimates), self.latent.known)
        if self.settings.solver == EULER_ANCESTRAL:
            drawn = level.items.expand(len(self.x)).tolist()
            self.x = euler_ancestral(
                self.x, target, sigma, sigma_next, item_noise(self.x, self.latent.generators, drawn), flow
            )
        else:
            self.x = euler(self.x, target, sigma, sigma_next)
            if self.settings.antithetic and self.moved is not None:
                # An Euler step would keep the noise that the estimate has just responded to.
                moves = append_dims(self.moved, self.x)
                self.masked_noise = torch.where(moves, -self.masked_noise, self.masked_noise)
                self.x = torch.where(moves, add_noise(target, self.masked_noise, sigma_next, flow), self.x)
        # A region that is masked only later starts from here.
        self.x = torch.where(level.masked, self.x, self.latent.known_at(sigma_next, self.known_noise))

    def target(self, level: Level, estimates: Estimates) -> torch.Tensor:
        """The estimate that the outer step goes to."""
        denoised, last = estimates.denoised, self.multistep
        if self.settings.solver != DPMPP_2M:
            return denoised
        target, self.multistep = denoised, Multistep(level.sigma, denoised, level.masked)
        if last is not None:
            # Only for items whose masked region is the same: otherwise the estimate before belongs to another path.
            same = append_dims((level.masked == last.masked).flatten(1).all(1), self.x)
            flow = self.latent.flow
            second = dpmpp_2m_estimate(denoised, last.denoised, last.sigma, level.sigma, level.sigma_next, flow)
            target = torch.where(same, second, denoised)
        if self.moved is not None:
            target = torch.where(append_dims(self.moved, self.x), estimates.extrapolated, target)
        return target


def noise_leak(sigma: torch.Tensor, flow: bool, lambda_strength: float) -> float:
    """The leak of the known region's noise at a level: noise's share of the mixture over lambda, plus a minimum."""
    ratio = sigma / signal(sigma, flow)
    return min(1.0, float(LEAST_LEAK + ratio / (1 + ratio) / lambda_strength))


def guided_noise(
    n: torch.Tensor,
    known: torch.Tensor,
    denoised: torch.Tensor,
    sigma: torch.Tensor,
    flow: bool,
    leak: float,
    weight: torch.Tensor,
) -> torch.Tensor:
    """The known region's noise, corrected by the prediction error: n + w (a (known - estimate) / sigma - leak n)."""
    a = signal(sigma, flow)
    return n + weight * (a * (known - denoised) / sigma - leak * n)


def langevin_step(
    x: torch.Tensor, mean: torch.Tensor, sigma: torch.Tensor, kept: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """x around `mean`, with a share `kept` of its noise and the rest drawn anew."""
    return mean + kept * (x - mean) + (1 - kept * kept) ** 0.5 * sigma * noise


def limit_guidance(prediction: Prediction, masked: torch.Tensor) -> Prediction:
    """Limits what guidance adds over the masked region to a share of the estimate; see `GUIDANCE_LIMIT`."""
    unguided = prediction.unguided
    added = bounded(prediction.denoised - unguided, GUIDANCE_LIMIT * strength(unguided, masked), masked)
    return prediction._replace(denoised=unguided + added)


def strength(x: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Root mean square of each item over a region (bool), [B,1,...]."""
    region = region.expand_as(x)
    # In half precision an image's sum of squares overflows.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    squares = torch.where(region, wide, 0).square().flatten(1).sum(1)
    return append_dims((squares / region.flatten(1).sum(1).clamp(min=1)).sqrt(), x)


def bounded(x: torch.Tensor, limit: torch.Tensor | float, region: torch.Tensor) -> torch.Tensor:
    """x, scaled down to a strength of `limit` over a region; guidance can make an estimate grow with every call."""
    # inf/inf: limit and RMS both overflowed; scale to 0.
    return x * (limit / strength(x, region)).nan_to_num(0).clamp(max=1).to(x)
