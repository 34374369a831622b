"""Light over time: what was read from each frame of a shot, fused so that it changes smoothly.

A model that works on frames one by one gives each a slightly different light, which flickers. Light itself is still or
drifts slowly. So a line is fitted around every frame, from the frames near it, each by the inverse of its variance
(local-linear regression, Fan and Gijbels 1996): a steady drift is kept exactly, up to the first and the last frame.
How many frames it is fitted to is what predicts left-out frames best. A frame that lies far off its neighbors' line
gets no weight (Tukey's biweight). Where light changes at once, as when a lamp is turned on, no line goes across.

Readings are float [T,P]: T frames with P values each, such as logarithms of gains in places of the subject.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Deviations of the window in frames that are tried.
WIDTHS = (1.0, 2.0, 4.0, 8.0, 16.0)
# A wider window is taken where it predicts left-out frames no worse than this, as a share of the best one's error.
WORSE = 1.05
# Rounds of weights, and beyond how many usual errors a frame gets none.
ROUNDS, OUTLYING = 3, 4.685
# No usual error is less: it could not be seen.
INVISIBLE = 1e-4
# Keeps a line's slope at 0 where one frame alone has weight, in squared deviations of the window.
RIDGE = 1e-6
# Frames whose weights in a window sum up to less are out of reach; and where a frame's own share in its line is larger,
# no other one is in reach.
LEAST_WEIGHT, MOST_OWN = 1e-6, 0.999
# Light before and after a step is the median of at most and at least so many frames: a few bad ones are none.
MOST_BESIDE, LEAST_BESIDE = 7, 4
# A step is so many times as large as chance makes it. From one frame to the next comes at least this share of it, and
# no more than its inverse (a bad frame is off by more); and so many times as much as light usually changes.
LEAST_STEP, AT_ONCE, UNUSUAL = 3.0, 0.5, 2.0
# The variance of a median over that of a mean.
OF_MEDIANS = math.pi / 2


def fit_lines(values: np.ndarray, weight: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """A weighted line around every frame, within a Gaussian window.

    Args:
        values: [T,P], finite.
        weight: [T], 0..1.
        sigma: of the window, in frames.
    Returns:
        The lines' heights [T,P], and the share that each frame's own values have in it, [T]; NaN where no frame with
        weight is in reach.
    """
    from scipy.ndimage import correlate1d

    reach = min(len(values) - 1, math.ceil(4 * sigma))
    offsets = np.arange(-reach, reach + 1)
    window = np.exp(-0.5 * (offsets / sigma) ** 2)

    def moment(values: np.ndarray, power: int) -> np.ndarray:
        return correlate1d(values, window * offsets**power, axis=0, mode="constant")

    s0, s1, s2 = (moment(weight, power) for power in range(3))
    s0 = np.where(s0 > LEAST_WEIGHT, s0, np.nan)
    # Where a single frame has weight there is no slope.
    s2 = s2 + RIDGE * sigma**2 * s0
    determinant, weighted = s0 * s2 - s1 * s1, weight[:, None] * values
    heights = (s2 / determinant)[:, None] * moment(weighted, 0)
    heights -= (s1 / determinant)[:, None] * moment(weighted, 1)
    return heights, weight * s2 / determinant


def steadied(values: np.ndarray, variance: np.ndarray, share: np.ndarray | None = None) -> np.ndarray:
    """The readings of one shot as they are most likely: smooth in time.

    Args:
        values: [T,P]; those of a frame whose variance is infinite count for nothing, and are found from the others.
        variance: the mean square error of each frame's readings, [T]; some are finite.
        share: [T,P] in 0..1, how much each value counts where frames are compared. All of it by default.
    Returns:
        float64 [T,P].
    """
    values = np.where(np.isfinite(variance)[:, None], values, 0.0).astype(np.float64)
    return smoothed(values, find_windows(values, variance, share))


@dataclass(frozen=True, eq=False)
class TimeWindow:
    """How lines are fitted to some frames, between two steps of light.

    Attributes:
        frames: which.
        weight: of each, 0..1.
        width: of the window, in frames.
    """

    frames: slice
    weight: np.ndarray
    width: float


def find_windows(values: np.ndarray, variance: np.ndarray, share: np.ndarray | None = None) -> list[TimeWindow]:
    """How the readings of one shot are fitted; see `steadied`. Values of frames that are not known are 0."""
    known = np.isfinite(variance)
    share = np.ones(values.shape) if share is None else np.where(known[:, None], share, 0.0) + 1e-12
    found = find_steps(values[known], share[known].mean(axis=0))
    parts = [slice(*ends) for ends in itertools.pairwise([0, *np.flatnonzero(known)[found], len(values)])]
    return [TimeWindow(part, *weights_of_part(values[part], variance[part], share[part])) for part in parts]


def smoothed(values: np.ndarray, windows: Sequence[TimeWindow]) -> np.ndarray:
    """The lines that are fitted to readings [T,P], at each frame."""
    heights = (fit_lines(values[one.frames], one.weight, one.width)[0] for one in windows)
    return np.concatenate([carried_on(found) for found in heights])


def find_steps(values: np.ndarray, share: np.ndarray) -> list[int]:
    """The frames from which on light is at once another than before, in order.

    A step is what is left of the change from the frames before to those after it, when the drift that goes on further
    away is taken off. What chance makes is known by how much light differs from one frame to the next.

    Args:
        values: [T,P]; share: [P], how much each value counts.
    """
    count, scale = len(values), np.sqrt(share / share.sum())
    scaled = values * scale
    changes = np.linalg.norm(np.diff(scaled, axis=0), axis=1)
    if count < 2 * LEAST_BESIDE:
        return []
    # A quarter of the changes may come from steps and bad frames.
    usual = max(float(np.quantile(changes, 0.75)), INVISIBLE)
    at_once = np.zeros(count)
    for frame in range(LEAST_BESIDE, count - LEAST_BESIDE + 1):
        step, deviation = step_at(scaled, frame)
        size = np.linalg.norm(step)
        if size > LEAST_STEP * deviation * usual / math.sqrt(2):
            sudden = float((scaled[frame] - scaled[frame - 1]) @ step) / size
            is_step = max(AT_ONCE * size, UNUSUAL * usual) < sudden < size / AT_ONCE
            at_once[frame] = sudden if is_step else 0.0
    found = []
    while at_once.any():
        found.append(int(at_once.argmax()))
        at_once[max(0, found[-1] - MOST_BESIDE + 1) : found[-1] + MOST_BESIDE] = 0
    return sorted(found)


def step_at(values: np.ndarray, frame: int) -> tuple[np.ndarray, float]:
    """The step of values [T,P] at a frame, [P], and its deviation where that of a frame is 1."""
    ends = np.clip([frame + n * MOST_BESIDE for n in range(-2, 3)], 0, len(values))
    parts = [values[first:last] for first, last in itertools.pairwise(ends)]
    weights = np.array([0.0, -1.0, 1.0, 0.0])
    # The drift on each side that is long enough, or its mean.
    drifts = [place for place, far in ((0, 0), (2, 3)) if len(parts[far]) >= LEAST_BESIDE]
    for place in drifts:
        weights[place : place + 2] += np.array([1.0, -1.0]) / len(drifts)
    used = [(weight, part) for weight, part in zip(weights, parts, strict=True) if weight]
    step = sum(weight * np.median(part, axis=0) for weight, part in used)
    return np.asarray(step), math.sqrt(OF_MEDIANS * sum(weight**2 / len(part) for weight, part in used))


def weights_of_part(values: np.ndarray, variance: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, float]:
    """The weight of each frame, and the width of the window, of a part without a step."""
    known = np.isfinite(variance)
    given = np.where(known, 1 / np.where(known, variance, 1.0), 0.0)
    given /= given.max()
    weight, width = given, float(len(values))
    for _ in range(ROUNDS if known.sum() > 2 else 0):
        errors = [left_out_errors(values, weight, share, sigma) for sigma in WIDTHS]
        usual = [usual_error(one[known]) for one in errors]
        chosen = max(n for n, error in enumerate(usual) if error <= WORSE * min(usual))
        width, times = WIDTHS[chosen], errors[chosen] / (OUTLYING * max(usual[chosen], INVISIBLE))
        # What cannot be compared with others is taken as it is.
        weight = given * np.where(np.isnan(times), 1.0, np.maximum(1 - times**2, 0) ** 2)
    return weight, width


def carried_on(heights: np.ndarray) -> np.ndarray:
    """Heights [T,P] with those of the nearest frame where there are none."""
    found, frames = np.flatnonzero(~np.isnan(heights[:, 0])), np.arange(len(heights))
    after = np.searchsorted(found, frames)
    before, after = found[np.maximum(after - 1, 0)], found[np.minimum(after, len(found) - 1)]
    return heights[np.where(np.abs(frames - before) < np.abs(after - frames), before, after)]


def left_out_errors(values: np.ndarray, weight: np.ndarray, share: np.ndarray, sigma: float) -> np.ndarray:
    """How far each frame lies off the line of a window that is fitted without it: root mean square, [T]; NaN where no
    other frame is in reach."""
    heights, own = fit_lines(values, weight, sigma)
    apart = np.subtract(values, heights, out=heights)
    apart /= np.where(own < MOST_OWN, 1 - own, np.nan)[:, None]
    return np.sqrt(np.einsum("tp,tp,tp->t", share, apart, apart) / share.sum(axis=1))


def usual_error(errors: np.ndarray) -> float:
    """The median of those that are known; infinite where few are."""
    found = errors[~np.isnan(errors)]
    return float(np.median(found)) if 2 * len(found) >= len(errors) else math.inf


def flicker(log_gains: np.ndarray) -> float:
    """How much light flickers over the frames of a shot: the mean absolute second difference of its log gain [T,P].

    It is 0 for light that is still or drifts evenly; 0 for fewer than three frames.
    """
    if len(log_gains) < 3:
        return 0.0
    return float(np.abs(np.diff(log_gains, 2, axis=0)).mean())
