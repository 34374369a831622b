"""The four color transfers with which HCOCO's composites were made (Cong et al., "DoveNet", CVPR 2020).

They cross two pairs of kinds: by statistics or by distributions, in axes without or with correlation. Each takes the
subject's colors [N,3] and a reference's [M,3], sRGB in 0..1, and returns the subject's colors with the reference's
statistics, float32 [N,3] in 0..1.
"""

from collections.abc import Callable

import numpy as np

# RGB to LMS, and log LMS to lαβ (Reinhard, Ashikhmin, Gooch and Shirley 2001).
LMS = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
LAB = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])
# ITU-R BT.601, as iHarmony4 and JPEG use it; without its offset, which cancels.
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
# The logarithm's least argument: one of 8-bit levels.
DARK = 1 / 255
# Rotations of the iterative transfer; its authors' results settle within 10 to 20.
ROTATIONS = 20


def clipped(colors: np.ndarray) -> np.ndarray:
    return colors.clip(0, 1).astype(np.float32)


def reinhard(subject: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean and deviation of each axis of lαβ (Reinhard et al. 2001)."""
    ours, theirs = (np.log10(np.maximum(colors @ LMS.T, DARK)) @ LAB.T for colors in (subject, reference))
    moved = (ours - ours.mean(0)) * theirs.std(0) / np.maximum(ours.std(0), 1e-6) + theirs.mean(0)
    return clipped(10 ** (moved @ np.linalg.inv(LAB).T) @ np.linalg.inv(LMS).T)


def xiao(subject: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Mean and covariance of RGB (Xiao and Ma 2006).

    An axis of a covariance has no sign: each of the reference's points to the same side as the subject's.
    """
    axes, lengths = [], []
    for colors in (subject, reference):
        variances, vectors = np.linalg.eigh(np.cov(colors.T))
        axes.append(vectors)
        lengths.append(np.sqrt(np.maximum(variances, 1e-8)))
    ours, theirs = axes
    theirs = theirs * np.where((ours * theirs).sum(0) < 0, -1, 1)
    matrix = theirs @ np.diag(lengths[1] / lengths[0]) @ ours.T
    return clipped((subject - subject.mean(0)) @ matrix.T + reference.mean(0))


def matched(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values [N] with the cumulative histogram of others [M]; equal values stay equal."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - 0.5 * counts) / len(values)
    places = (np.arange(len(wanted)) + 0.5) / len(wanted)
    return np.interp(middle, places, np.sort(wanted))[inverse]


def fecker(subject: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The cumulative histogram of each channel of YCbCr (Fecker, Barkowsky and Kaup 2008)."""
    ours, theirs = subject @ YCBCR.T, reference @ YCBCR.T
    moved = np.stack([matched(*channels) for channels in zip(ours.T, theirs.T, strict=True)], 1)
    return clipped(moved @ np.linalg.inv(YCBCR).T)


def pitie(subject: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The distribution of RGB, by histograms along rotated axes (Pitié, Kokaram and Dahyot 2007)."""
    rng, moved = np.random.default_rng(0), subject.astype(np.float64)
    for step in range(ROTATIONS):
        rotation = np.eye(3) if step == 0 else np.linalg.qr(rng.standard_normal((3, 3)))[0]
        ours, theirs = moved @ rotation, reference @ rotation
        ours = np.stack([matched(*channels) for channels in zip(ours.T, theirs.T, strict=True)], 1)
        moved = ours @ rotation.T
    return clipped(moved)


TRANSFERS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "Reinhard": reinhard,
    "Xiao": xiao,
    "Fecker": fecker,
    "Pitié": pitie,
}
