"""How an inpainted image compares with the true one, and how sure a difference between two loops is."""

from typing import NamedTuple

import cv2
import numpy as np

# Deviation in pixels of the Gaussian that takes fine structure out of an image.
COARSE = 1.5
# Fine structure is measured this many pixels inside the hole, where the hole's edge has no effect on it.
MARGIN = 4
LEVELS = 255


class Scores(NamedTuple):
    """Scores of one image.

    Attributes:
        l1: mean absolute difference in the hole, in levels of 255.
        fine: energy (mean square) of the fine structure inside the hole, in squared levels.
        edge: mean absolute difference between the steps at the hole's edge and the true ones, in levels.
    """

    l1: float
    fine: float
    edge: float


class Square(NamedTuple):
    """A square hole in pixels."""

    top: int
    left: int
    side: int

    def within(self, margin: int = 0) -> tuple[slice, slice]:
        """Rows and columns, without a margin inside the hole's edge."""
        ends = [(start + margin, start + self.side - margin) for start in (self.top, self.left)]
        return slice(*ends[0]), slice(*ends[1])


def fine_structure(image: np.ndarray) -> np.ndarray:
    """What a Gaussian of COARSE pixels takes out of an image [H,W,3]."""
    return image - cv2.GaussianBlur(image, (0, 0), COARSE)


def fine_energy(image: np.ndarray, hole: Square) -> float:
    """Mean square of the fine structure inside the hole, in squared levels."""
    return float(np.square(LEVELS * fine_structure(image)[hole.within(MARGIN)], dtype=np.float64).mean())


def edge_steps(image: np.ndarray, hole: Square) -> np.ndarray:
    """Differences [4 side,3] between every pixel at the hole's edge and the known one beside it."""
    rows, columns = hole.within()
    inside, outside = (rows.start, rows.stop - 1), (rows.start - 1, rows.stop)
    across = [image[here, columns] - image[there, columns] for here, there in zip(inside, outside, strict=True)]
    inside, outside = (columns.start, columns.stop - 1), (columns.start - 1, columns.stop)
    across += [image[rows, here] - image[rows, there] for here, there in zip(inside, outside, strict=True)]
    return np.concatenate(across)


def score(image: np.ndarray, truth: np.ndarray, hole: Square) -> Scores:
    """Of images [H,W,3] in 0..1; the hole must not touch their border."""
    apart = np.abs(image - truth)[hole.within()].mean(dtype=np.float64)
    steps = np.abs(edge_steps(image, hole) - edge_steps(truth, hole)).mean(dtype=np.float64)
    return Scores(LEVELS * float(apart), fine_energy(image, hole), LEVELS * float(steps))


def texture_strength(fine: np.ndarray, true_fine: np.ndarray) -> float:
    """Strength of the fine structure of some images relative to the true ones': the root of the ratio of energies."""
    return float(np.sqrt(np.mean(fine) / np.mean(true_fine)))


def paired_interval(ours: np.ndarray, theirs: np.ndarray, draws: int = 10_000) -> tuple[float, float, float]:
    """Mean of ours - theirs with its 95 % interval, by a bootstrap over scenes.

    Args:
        ours, theirs: [seeds,scenes], of the same scenes and seeds.
    """
    apart = (np.asarray(ours) - np.asarray(theirs)).mean(0)
    chosen = np.random.default_rng(0).integers(len(apart), size=(draws, len(apart)))
    low, high = np.percentile(apart[chosen].mean(1), (2.5, 97.5))
    return float(apart.mean()), float(low), float(high)
