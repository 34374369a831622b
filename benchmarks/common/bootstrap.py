"""Intervals by a bootstrap over the scenes of a benchmark."""

import functools

import numpy as np

RESAMPLES = 4000


@functools.cache
def resamples(count: int) -> np.ndarray:
    """Scene numbers [RESAMPLES,count]; the same for all methods, so that comparisons are paired."""
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean over the scenes, [N]."""
    means = values[resamples(len(values))].mean(1)
    return tuple(float(end) for end in np.percentile(means, (2.5, 97.5)))


def ratio_interval(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """95 % interval of the ratio of two means over the same scenes, each [N]."""
    drawn = resamples(len(ours))
    ratios = ours[drawn].mean(1) / theirs[drawn].mean(1)
    return tuple(float(end) for end in np.percentile(ratios, (2.5, 97.5)))
