"""Masked sampling that lets the known and the unknown part agree, training-free, for any denoiser.

Plain replacement sampling never lets the known part react, and leaves a seam that more steps do not heal. Here both
parts move, and a model call serves both:

- The known part. A denoiser sees one noise level. If the known part's latent is such that the estimate there is what
  is known, then (for Gaussian data: exactly) the estimate of the rest is the one given clean known values. So the
  noise n on the known part is kept as state and follows what every call leaves to explain:
  n += a (known - estimate) / sigma - leak n. The leak keeps n near natural noise; its fixed point leans against the
  estimate with strength lambda = 1 / leak, as the guided ("BiG") score of LanPaint does (arXiv 2502.03491).
- The free part. Inner steps draw it anew about the estimate, x = a estimate + sigma z: Langevin steps of full length.
  A frozen estimate loses variance; extrapolating it over the calls (Adams-Bashforth) gives it back.
- Inner steps pay where noise and signal are of like strength, so that is where they go.

For harmonizing, what counts is the mean of what might be there, not one draw of it. There each draw of noise can be the
last one's opposite (`alternate`): what it does to coarse structure the next step takes back, so that light settles at
its mean, while every latent still is the estimate and noise of the right strength.
"""

from collections.abc import Callable

import torch

from .noise import add_noise, item_noise, signal
from .solvers import (
    Mask,
    any_free,
    check_finite,
    each,
    euler,
    euler_ancestral,
    extrapolated,
    finite_items,
    free_at,
    levels,
    model_call,
)

# Below this share of signal (flow models start at none) there is nothing to correct against.
LEAST_SIGNAL = 1e-3
# sigma / a, for data of deviation 1: where inner steps go, fewer of them below the knee. Further down, where an
# estimate's own error is not small against the noise, repeated steps would gather it up.
BAND, KNEE = (0.2, 3.0), 2.0
# For harmonizing: the light and color of a whole subject only move where noise is stronger still, and its fine
# structure need not be drawn well.
HARMONIZE_BAND = (0.5, 10.0)
# The least leak of the known part's noise: with less of it, it leaves what noise looks like.
LEAST_LEAK = 0.02
# Share of the change of the estimate from call to call that is added to it.
EXTRAPOLATION = 0.5
# No estimate is let grow beyond so many times the strength of what is known (or of data of deviation 1), nor the known
# part's noise beyond so many times natural noise. Data may be stronger than what is known of it: then an estimate may
# still grow so many times within a level (with less, its chance ups would be cut and its downs not), and so many times
# that since the inner steps began.
RUNAWAY = 2.0


def allocate(sigmas: torch.Tensor, inner_steps: float, flow: bool, band: tuple[float, float] = BAND) -> list[int]:
    """Model calls for every level: one, and `inner_steps` for each but the last, gathered in a band of sigma / a."""
    pairs = list(levels(sigmas))
    ratios = [float(sigma / max(signal(sigma, flow), LEAST_SIGNAL)) for sigma, _ in pairs]
    able = [i for i, (sigma, following) in enumerate(pairs) if following > 0 and signal(sigma, flow) > LEAST_SIGNAL]
    chosen = [i for i in able if band[0] <= ratios[i] <= band[1]] or able
    weights = [min(1.0, ratios[i] / KNEE) for i in chosen]
    calls, passed, given = [1] * len(pairs), 0.0, 0
    for i, weight in zip(chosen, weights, strict=True):
        passed += weight
        more = round(inner_steps * (len(pairs) - 1) * passed / sum(weights)) - given
        calls[i] += more
        given += more
    return calls


def to_heal(free: torch.Tensor, sigma: torch.Tensor, following: torch.Tensor, flow: bool) -> torch.Tensor:
    """Which items of a batch take inner steps at a level, as bool [B] or [1].

    Those that hold a known and a free part; none at the last level, whose estimate is the answer, nor where a flow
    model's latent is all noise.
    """
    parts = free.flatten(1)
    if following == 0 or signal(sigma, flow) <= LEAST_SIGNAL:
        return torch.zeros_like(parts[:, 0])
    return parts.any(1) & ~parts.all(1)


def count_calls(
    sigmas: torch.Tensor, mask: Mask, inner_steps: float, flow: bool, band: tuple[float, float] = BAND
) -> int:
    """Model calls of `sample_masked_langevin`: none at a level at which nothing is free, one where nothing is known."""
    calls = 0
    for (sigma, following), planned in zip(levels(sigmas), allocate(sigmas, inner_steps, flow, band), strict=True):
        free = free_at(mask, sigma)
        if free.any():
            calls += planned if to_heal(free, sigma, following, flow).any() else 1
    return calls


def strength(x: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Root mean square of each item over a part of it, [B,1,...]."""
    part = part.expand_as(x)
    # In half precision an image's sum of squares overflows.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    squares = torch.where(part, wide, 0).square().flatten(1).sum(1)
    return each((squares / part.flatten(1).sum(1).clamp(min=1)).sqrt(), x)


def bounded(x: torch.Tensor, most: torch.Tensor | float, part: torch.Tensor) -> torch.Tensor:
    """x, made weaker where it has run away over a part of it: guidance can make an estimate grow with every call."""
    # NaN: the strength of both is beyond all numbers.
    return x * (most / strength(x, part)).nan_to_num(0).clamp(max=1).to(x)


def leant(
    n: torch.Tensor,
    known: torch.Tensor,
    denoised: torch.Tensor,
    held: torch.Tensor,
    sigma: torch.Tensor,
    flow: bool,
    lambda_strength: float,
    trust: torch.Tensor,
) -> torch.Tensor:
    """The known part's noise after a call, where it is `held`; elsewhere nothing says what it should explain."""
    a = signal(sigma, flow)
    ratio = sigma / a
    leak = min(1.0, float(LEAST_LEAK + ratio / (1 + ratio) / lambda_strength))
    lean = trust * (a * (known - denoised) / sigma - leak * n)
    return torch.where(held, bounded(n + lean, RUNAWAY, held), n)


def redrawn(
    x: torch.Tensor, center: torch.Tensor, sigma: torch.Tensor, kept: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """x about `center`, with a share `kept` of its noise and the rest drawn anew."""
    return center + kept * (x - center) + (1 - kept * kept) ** 0.5 * sigma * noise


@torch.no_grad()
def sample_masked_langevin(
    model: Callable[..., torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    extra_args: dict | None = None,
    callback: Callable[[dict], None] | None = None,
    disable: bool | None = None,
    *,
    known: torch.Tensor,
    mask: Mask,
    noise: torch.Tensor,
    generators: list[torch.Generator],
    flow: bool,
    stepper: str = "euler",
    inner_steps: float = 2,
    step_size: float = 1.0,
    lambda_strength: float = 5.0,
    band: tuple[float, float] = BAND,
    alternate: bool = False,
    unstable: Callable[[float | None], None] | None = None,
) -> torch.Tensor:
    """Samples the masked part of a latent, given the rest. A k-diffusion sampling function.

    Args:
        model: (x [B,C,...], sigma [B], **extra_args) -> estimate of the clean latent.
        x: noisy start [B,C,...], at level sigmas[0].
        sigmas: falling noise levels [N+1], the last usually 0.
        callback: gets {"x", "i", "sigma", "sigma_hat", "denoised"} after every model call; i counts the calls.
        disable: k-diffusion's switch for its progress bar. There is none here.
        known: clean latent, of x's shape.
        mask: [B,...] or [1,...], broadcasts to x; above 0 = may change. Or sigma -> mask, asked at every level.
        noise: what the known part is noised with at first, of x's shape.
        generators: one CPU generator an item, for all noise drawn here.
        flow: the family, see `noise.py`.
        stepper: from level to level, one of `sampling.STEPPERS`. At levels with inner steps dpmpp_2m goes by the calls
            before, at others by the level before.
        inner_steps: additional calls for every level but the last, on average, so that it may be a fraction;
            `allocate` says where they are made. 0 is plain replacement sampling.
        step_size: share of the noise that an inner step draws anew; 1 and above: all.
        lambda_strength: lambda, how far the known part leans for the two parts to agree; 0: not at all.
        band: of sigma / a, where inner steps are made; HARMONIZE_BAND for harmonizing.
        alternate: inner steps draw no new noise but turn `noise` around each time, which x must have begun with;
            `step_size` then has no say.
        unstable: called once, with the step size (None: before any inner step), if an estimate came out infinite or
            NaN. The one before it then serves that item in its place, and the item's following steps are half as
            long. The number of calls stays. A first estimate that is not finite is an error.
    Returns:
        latent at level sigmas[-1]: at level 0 equal to `known` wherever nothing might change.
    """
    if len(sigmas) < 2:
        return x
    call, trust, n = model_call(model, extra_args, callback), each(x.new_ones(len(x)), x), noise
    previous = history = seen = before = told = None
    drawn = noise
    began = torch.zeros_like(trust)
    # Whether an inner step was made, and whether an item had an estimate to fall back on.
    made, warned, sound = False, False, torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for (sigma, following), planned in zip(levels(sigmas), allocate(sigmas, inner_steps, flow, band), strict=True):
        free = free_at(mask, sigma)
        if not free.any():
            x = add_noise(known, n, following, flow)
            history = before = None
            continue
        a = signal(sigma, flow)
        changes = any_free(free).expand(len(x))
        heals = to_heal(free, sigma, following, flow).expand(len(x)) & (inner_steps > 0)
        moves, wanted = each(heals, x), heals.tolist()
        planned = planned if any(wanted) else 1
        for left in reversed(range(planned)):
            x = torch.where(free, x, add_noise(known, n, sigma, flow))
            denoised = call(x, sigma, free, known)
            bad = changes & ~finite_items(denoised)
            if bad.any():
                check_finite(denoised, bad & ~sound)
                usual = known if before is None else torch.where(told, before, known)
                denoised = torch.where(denoised.isfinite(), denoised, usual)
                trust = torch.where(each(bad, x), trust / 2, trust)
                if not warned and unstable is not None:
                    unstable(step_size if made else None)
                warned, usual = True, None
            sound = sound | changes
            estimate = denoised
            if any(wanted) and lambda_strength > 0:
                n = leant(n, known, denoised, moves & ~free, sigma, flow, lambda_strength, trust)
            if planned > 1:
                if left == planned - 1:
                    first = strength(denoised, free)
                    began = torch.where(moves & (began == 0), first, began)
                    most = torch.minimum(RUNAWAY * first, RUNAWAY**2 * began).maximum(first)
                    most = most.maximum(RUNAWAY * strength(known, ~free).clamp(min=1))
                if before is not None and (left or stepper == "dpmpp_2m"):
                    # The step to the next level is shorter than one that draws all noise anew.
                    share = trust * (EXTRAPOLATION if left else EXTRAPOLATION / 2)
                    estimate = torch.where(told, denoised + share * (denoised - before), denoised)
                estimate = bounded(estimate, most, free)
            # An item of which nothing was free has not been asked.
            before, told = denoised if a > LEAST_SIGNAL else None, each(changes, x)
            if left:
                kept, made = 1 - trust * min(1.0, step_size), True
                if alternate:
                    # Turned around as a whole: a mixture with what it was would be too weak.
                    drawn = torch.where(moves, -drawn, drawn)
                    x = torch.where(moves, a * estimate + sigma * drawn, x)
                else:
                    new = item_noise(x, generators, wanted)
                    x = torch.where(moves, redrawn(x, a * estimate, sigma, kept, new), x)
                # What is held here is held while the model runs.
                del denoised, estimate
        target = denoised
        if stepper == "dpmpp_2m":
            if history is not None:
                # An estimate of another division into known and free says nothing of this path.
                steady = each((free == seen).flatten(1).all(1), x)
                second = extrapolated(denoised, history, previous, sigma, following, flow)
                target = torch.where(steady, second, denoised)
                del second
            if planned > 1:
                target = torch.where(moves, estimate, target)
            previous, history, seen = sigma, denoised, free
        target = torch.where(free, target, known)
        if stepper == "euler_ancestral":
            x = euler_ancestral(x, target, sigma, following, item_noise(x, generators, changes.tolist()), flow)
        else:
            x = euler(x, target, sigma, following)
            if alternate and planned > 1:
                # The step down would keep the noise that the estimate just answered to.
                drawn = torch.where(moves, -drawn, drawn)
                x = torch.where(moves, add_noise(target, drawn, following, flow), x)
        # What only becomes free later starts from here.
        x = torch.where(free, x, add_noise(known, n, following, flow))
        del denoised, estimate, target
    # A schedule that stops early leaves the known part as it began, for whatever goes on from there.
    return torch.where(free, x, add_noise(known, noise, sigmas[-1].cpu(), flow))
