"""Where something is in each frame of a clip, from boxes that another tool found: gaps closed, and smoothed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .geometry import Placement, Size

# What a smoothing spline's curvature may cost, over its distance to the data, in frames to the fourth power: 100 takes
# out what comes and goes within 20 frames.
STIFFNESSES = 10.0 ** np.arange(-2, 5)
# So few frames do not tell how much a track jitters.
LEAST_FRAMES = 12
# A gap of at most this many frames is one in which the tracker failed. In a longer one, there was nothing.
MOST_GAP = 12
# From one frame to the next the center moves by less than this share of the longer side, but at a cut.
CUT = 1.0


@dataclass(frozen=True, eq=False)
class Track:
    """A smoothed track, in pixels of the frames.

    Attributes:
        centers: float64 [N,2], (x, y).
        sides: float64 [N,2], width and height, also of the part beyond the frame's border.
        seen: bool [N]; where it is false, nothing is there.
    """

    centers: np.ndarray
    sides: np.ndarray
    seen: np.ndarray

    def place(self, frame: int, subject: Size, scene: Size) -> Placement | None:
        """The placement of a subject with the center and the area of the box; None where nothing is there."""
        if not self.seen[frame]:
            return None
        scale = np.sqrt(self.sides[frame].prod() / (subject.width * subject.height))
        x, y = self.centers[frame] / scene
        size = scale * max(subject) / min(scene)
        # Six places are a thousandth of a pixel, and can be read.
        x, y, size = (round(float(value), 6) for value in (x, y, size))
        return Placement(x, y, size)


def track(boxes: np.ndarray, scene: Size) -> Track:
    """The track of boxes, float64 [N,4] (x, y, width, height); rows of NaN where there is none."""
    found = np.asarray(np.isfinite(boxes).all(axis=1))
    if not found.any():
        return Track(boxes[:, :2], boxes[:, 2:], found)
    centers, sides = whole_boxes(boxes, found, scene)
    # The longest of neighboring frames' sides says how far is far.
    step = np.abs(np.diff(centers, axis=0)).max(axis=1) / np.maximum(sides[:-1], sides[1:]).max(axis=1)
    seen = without_gaps(found)
    parts = np.split(np.arange(len(boxes)), np.flatnonzero((seen[1:] != seen[:-1]) | (step > CUT)) + 1)
    for part in parts:
        centers[part], sides[part] = smoothed(centers[part]), np.maximum(smoothed(sides[part]), 1.0)
    return Track(centers, sides, seen)


def whole_boxes(boxes: np.ndarray, found: np.ndarray, scene: Size) -> tuple[np.ndarray, np.ndarray]:
    """Centers and sides of boxes, each float64 [N,2], at all frames, and with what the frame's border cuts off.

    A box at the border shows a part of what is there. It is as large as those nearest in time that show all of it.
    """
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    cut_low, cut_high = low <= 0, high >= np.array(scene)
    whole = found & ~(cut_low | cut_high).any(axis=1)
    sides = in_between(boxes[:, 2:], whole if whole.any() else found)
    sides = np.where(found[:, None], np.maximum(sides, boxes[:, 2:]), sides)
    one_end = cut_low != cut_high
    centers = np.where(one_end & cut_low, high - sides / 2, np.where(one_end, low + sides / 2, (low + high) / 2))
    return in_between(centers, found), sides


def in_between(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values [N,2] with those that are not known [N] taken from the line between the nearest known ones."""
    at = np.arange(len(values))
    return np.stack([np.interp(at, at[known], column[known]) for column in values.T], axis=1)


def without_gaps(found: np.ndarray) -> np.ndarray:
    """Bool [N]: true also in the gaps of at most MOST_GAP frames between two that are."""
    at = np.flatnonzero(found)
    seen = found.copy()
    for before, after in zip(at[:-1], at[1:], strict=True):
        if after - before - 1 <= MOST_GAP:
            seen[before:after] = True
    return seen


def smoothed(values: np.ndarray, stiffness: float | None = None) -> np.ndarray:
    """Values [N,2] over time on a smoothing spline, which leaves even motion as it is; fewer than 5 stay.

    By default it is as stiff as the values want: with the best stiffness, the spline through every other frame predicts
    the frames in between.
    """
    if len(values) < 5:
        return values
    at = np.arange(len(values), dtype=float)
    if stiffness is None:
        stiffness = float(min(STIFFNESSES, key=lambda one: prediction_error(values, one)))
    return spline(at, values, stiffness)(at)


def spline(at: np.ndarray, values: np.ndarray, stiffness: float) -> Callable[[np.ndarray], np.ndarray]:
    """The smoothing spline of values [N,2] at `at` [N], as a function of times [M], giving [M,2]."""
    from scipy.interpolate import make_smoothing_spline

    columns = [make_smoothing_spline(at, column, lam=stiffness) for column in values.T]
    return lambda times: np.stack([column(times) for column in columns], axis=1)


def prediction_error(values: np.ndarray, stiffness: float) -> float:
    """The squared error of values [N,2] predicted from every other one, but of those at both ends; 0 for few values."""
    if len(values) < LEAST_FRAMES:
        return 0.0
    at, error = np.arange(len(values), dtype=float), 0.0
    for half in (0, 1):
        # Half as many frames hold the curve half as firmly.
        found = spline(at[half::2], values[half::2], stiffness / 2)
        left_out = slice(3 - half, -2, 2)
        error += float(np.square(found(at[left_out]) - values[left_out]).sum())
    return error
