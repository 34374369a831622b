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
"""

from collections.abc import Callable

import torch

from .noise import add_noise, item_noise, signal
from .sampling import Mask, euler, euler_ancestral, extrapolated, free_at, levels, model_call

# Below this share of signal (flow models start at none) there is nothing to correct against.
LEAST_SIGNAL = 1e-3
# sigma / a, for data of deviation 1: where inner steps go, fewer of them below the knee. Further down, where an
# estimate's own error is not small against the noise, repeated steps would gather it up.
BAND, KNEE = (0.25, 3.0), 2.0
# The least leak of the known part's noise: with less of it, it leaves what noise looks like.
LEAST_LEAK = 0.02
# Share of the change of the estimate from call to call that is added to it.
EXTRAPOLATION = 0.5
# No estimate is let grow beyond this many times the strength of what is known (or of data of deviation 1), nor the
# known part's noise beyond this many times natural noise.
RUNAWAY = 2.0


def allocate(sigmas: torch.Tensor, inner_steps: int, flow: bool) -> list[int]:
    """Model calls for every level: one, and `inner_steps` for each but the last, gathered where they pay."""
    pairs = list(levels(sigmas))
    ratios = [float(sigma / max(signal(sigma, flow), LEAST_SIGNAL)) for sigma, _ in pairs]
    able = [i for i, (sigma, following) in enumerate(pairs) if following > 0 and signal(sigma, flow) > LEAST_SIGNAL]
    chosen = [i for i in able if BAND[0] <= ratios[i] <= BAND[1]] or able
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


def each(items: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[B] -> [B,1,...], to go with `like`."""
    return items.view(-1, *[1] * (like.ndim - 1))


def count_calls(sigmas: torch.Tensor, mask: Mask, inner_steps: int, flow: bool) -> int:
    """Model calls of `sample_masked_langevin`: none at a level at which nothing is free, one where nothing is known."""
    calls = 0
    for (sigma, following), planned in zip(levels(sigmas), allocate(sigmas, inner_steps, flow), strict=True):
        free = free_at(mask, sigma)
        if free.any():
            calls += planned if to_heal(free, sigma, following, flow).any() else 1
    return calls


def strength(x: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
    """Root mean square of each item over a part of it, [B,1,...]."""
    part = part.expand_as(x)
    squares = torch.where(part, x, 0).square().flatten(1).sum(1)
    return each((squares / part.flatten(1).sum(1).clamp(min=1)).sqrt(), x)


def bounded(x: torch.Tensor, most: torch.Tensor | float, part: torch.Tensor) -> torch.Tensor:
    """x, made weaker where it has run away over a part of it: guidance can make an estimate grow with every call."""
    return x * (most / strength(x, part)).clamp(max=1)


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
    inner_steps: int = 2,
    step_size: float = 1.0,
    guidance: float = 5.0,
    unstable: Callable[[float], None] | None = None,
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
        stepper: from level to level, one of `sampling.STEPPERS`. After inner steps dpmpp_2m goes by the calls before,
            not by the level before.
        inner_steps: additional calls for every level but the last; `allocate` says where they are made. 0 is plain
            replacement sampling.
        step_size: share of the noise that an inner step draws anew; 1 and above: all.
        guidance: lambda, how far the known part leans for the two parts to agree; 0: not at all.
        unstable: called once, with the step size, if an estimate came out infinite or NaN. The one before it then
            serves in its place, and the following steps are half as long. The number of calls stays.
    Returns:
        latent at level sigmas[-1]: at level 0 equal to `known` wherever nothing might change.
    """
    if len(sigmas) < 2:
        return x
    call = model_call(model, extra_args, callback)
    trust, n = 1.0, noise
    previous = history = seen = before = told = None
    for (sigma, following), planned in zip(levels(sigmas), allocate(sigmas, inner_steps, flow), strict=True):
        free = free_at(mask, sigma)
        if not free.any():
            x = add_noise(known, n, following, flow)
            history = before = None
            continue
        a = signal(sigma, flow)
        heals = to_heal(free, sigma, following, flow).expand(len(x)) & (inner_steps > 0)
        moves, wanted = each(heals, x), heals.tolist()
        most = RUNAWAY * strength(known, ~free).clamp(min=1)
        changes = free.flatten(1).any(1).expand(len(x))
        for left in reversed(range(planned if any(wanted) else 1)):
            x = torch.where(free, x, add_noise(known, n, sigma, flow))
            denoised = call(x, sigma, free, known)
            if not denoised.isfinite().all():
                denoised = torch.where(denoised.isfinite(), denoised, known if before is None else before)
                if trust == 1 and unstable is not None:
                    unstable(step_size)
                trust /= 2
            estimate = denoised
            if any(wanted):
                if guidance > 0:
                    ratio = sigma / a
                    leak = min(1.0, float(LEAST_LEAK + ratio / (1 + ratio) / guidance))
                    lean = trust * (a * (known - denoised) / sigma - leak * n)
                    n = torch.where(moves, bounded(n + lean, RUNAWAY, ~free), n)
                if before is not None:
                    # The step to the next level is shorter than one that draws all noise anew.
                    share = trust * (EXTRAPOLATION if left else EXTRAPOLATION / 2)
                    estimate = torch.where(told, denoised + share * (denoised - before), denoised)
                estimate = bounded(estimate, most, free)
            # An item of which nothing was free has not been asked.
            before, told = denoised if a > LEAST_SIGNAL else None, each(changes, x)
            if left:
                kept = 1 - trust * min(1.0, step_size)
                fresh = (1 - kept * kept) ** 0.5 * item_noise(x, generators, wanted)
                moved = a * estimate + kept * (x - a * estimate) + sigma * fresh
                x = torch.where(moves, moved, x)
        target = denoised
        if stepper == "dpmpp_2m" and history is not None:
            # An estimate of another division into known and free says nothing of this path.
            steady = each((free == seen).flatten(1).all(1), x)
            target = torch.where(steady, extrapolated(denoised, history, previous, sigma, following, flow), denoised)
        if stepper == "dpmpp_2m":
            target = torch.where(moves, estimate, target)
        target = torch.where(free, target, known)
        if stepper == "euler_ancestral":
            x = euler_ancestral(x, target, sigma, following, item_noise(x, generators, changes.tolist()), flow)
        else:
            x = euler(x, target, sigma, following)
        # What only becomes free later starts from here.
        x = torch.where(free, x, add_noise(known, n, following, flow))
        previous, history, seen = sigma, denoised, free
    # A schedule that stops early leaves the known part as it began, for whatever goes on from there.
    return torch.where(free, x, add_noise(known, noise, sigmas[-1].cpu(), flow))
