"""Motion between two images from points that were found in both: the simplest model that explains them.

Points are float64 [N,2], (x, y). A model maps `moved` points onto `still` ones by an affine matrix [2,3].
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..sentence import sentence
from .geometry import Box, Size, mapped

# Models by their number of parameters, the simplest first.
MODELS = {sentence("shift"): 2, sentence("zoom and rotation"): 4, sentence("affine"): 6}
# Points that agree lie within this many pixels of one another; this many of them are needed.
AGREEMENT, LEAST_POINTS = 1.0, 12
# In pixels: what a more complex model explains beyond a simpler one must exceed this, or this share of the residual.
WORTH, WORTH_SHARE = 0.03, 0.03
# In pixels: beyond this uncertainty at the corners of an image, a model is not used.
MOST_UNCERTAIN = 0.5
# Cross-validation leaves out a part of the image at a time: cells of a grid, dealt out in turns.
FOLDS, FOLD_CELLS = 5, 8


@dataclass(frozen=True, eq=False)
class Motion:
    """A fitted motion.

    Attributes:
        model: a key of MODELS.
        matrix: float64 [2,3], moved points onto still ones.
        error: root mean square of the cross-validated distances, in pixels.
    """

    model: str
    matrix: np.ndarray
    error: float


def design(model: str, points: np.ndarray) -> np.ndarray:
    """The linear system of a model, float64 [2N,P]: rows of x, then rows of y; times parameters = displacement."""
    x, y = points.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    across, down = [one, zero], [zero, one]
    if model == "zoom and rotation":
        across, down = [*across, x, -y], [*down, y, x]
    elif model == "affine":
        across, down = [*across, x, y, zero, zero], [*down, zero, zero, x, y]
    return np.concatenate([np.stack(across, 1), np.stack(down, 1)])


def matrix_of(model: str, parameters: np.ndarray, center: np.ndarray, scale: float) -> np.ndarray:
    """The affine matrix of a model's parameters, which were fitted in normalized coordinates."""
    linear = np.zeros((2, 2))
    if model == "zoom and rotation":
        a, b = parameters[2:]
        linear = np.array([[a, -b], [b, a]])
    elif model == "affine":
        linear = parameters[2:].reshape(2, 2)
    linear = linear / scale
    return np.column_stack([np.eye(2) + linear, parameters[:2] - linear @ center])


def fit(
    model: str, moved: np.ndarray, still: np.ndarray, corners: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """Robust least squares (Tukey's biweight): the matrix, and its uncertainty at `corners` in pixels."""
    center = moved.mean(0)
    scale = max(float(np.abs(moved - center).max()), 1.0)
    system, due = design(model, (moved - center) / scale), (still - moved).T.ravel()
    weight = np.ones(len(moved))
    for _ in range(6):
        weighted = system * np.concatenate([weight, weight])[:, None]
        parameters = np.linalg.lstsq(weighted.T @ system, weighted.T @ due, rcond=None)[0]
        distance = np.hypot(*(due - system @ parameters).reshape(2, -1))
        # Distances of normal errors have a median of 1.18 deviations.
        spread = max(float(np.median(distance)) / 1.18, 1e-3)
        weight = np.clip(1 - (distance / (4.685 * spread)) ** 2, 0, None) ** 2
    matrix = matrix_of(model, parameters, center, scale)
    if corners is None:
        return matrix, 0.0
    # What the corners follow from the points, times the points' own errors.
    inverse = np.linalg.pinv((system * np.concatenate([weight, weight])[:, None]).T @ system)
    reach = design(model, (corners - center) / scale)
    variance = np.einsum("np,pq,nq->n", reach, inverse, reach).max()
    return matrix, spread * float(np.sqrt(variance))


def distances(matrix: np.ndarray, moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """How far each moved point lies from its still one after the motion, [N]."""
    return np.hypot(*(mapped(matrix, moved) - still).T)


def folds(points: np.ndarray, size: Size) -> np.ndarray:
    """The fold of each point, by the part of the image that it lies in, [N]."""
    columns, rows = (points / np.array(size) * FOLD_CELLS).astype(int).T
    return (columns + 2 * rows) % FOLDS


def cross_validated(model: str, moved: np.ndarray, still: np.ndarray, fold: np.ndarray) -> float:
    """Root mean square distance of points to a model that was fitted without those near them."""
    squares = 0.0
    for number in range(FOLDS):
        left_out = fold == number
        if not left_out.any():
            continue
        if (~left_out).sum() < LEAST_POINTS // 2:
            return float("inf")
        matrix, _ = fit(model, moved[~left_out], still[~left_out])
        squares += float((distances(matrix, moved[left_out], still[left_out]) ** 2).sum())
    return float(np.sqrt(squares / len(moved)))


def agreeing(moved: np.ndarray, still: np.ndarray) -> np.ndarray:
    """The points that one affine motion explains, bool [N]; few or none where there is no such motion (USAC)."""
    if len(moved) < LEAST_POINTS:
        return np.zeros(len(moved), bool)
    _, found = cv2.estimateAffine2D(moved, still, method=cv2.RANSAC, ransacReprojThreshold=AGREEMENT, maxIters=4000)
    return np.zeros(len(moved), bool) if found is None else found.ravel() > 0


def rough_motion(moved: np.ndarray, still: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray] | None:
    """A zoom with rotation, or a shift where the points lie too close together for that, without validation: its matrix
    and the points that agree [N]; None where too few do."""
    agreed = agreeing(moved, still)
    if agreed.sum() < LEAST_POINTS:
        return None
    near, to, corners = moved[agreed], still[agreed], Box(0, 0, *size).corners
    matrix, uncertain = fit("zoom and rotation", near, to, corners)
    return (matrix if uncertain <= MOST_UNCERTAIN else fit("shift", near, to)[0]), agreed


def find_motion(moved: np.ndarray, still: np.ndarray, size: Size) -> Motion | None:
    """The simplest motion that explains most points about as well as any; None where too few agree.

    Args:
        size: of the image that the still points lie in.
    """
    agreed = agreeing(moved, still)
    if agreed.sum() < LEAST_POINTS:
        return None
    near, to, corners = moved[agreed], still[agreed], Box(0, 0, *size).corners
    fold = folds(to, size)
    chosen: Motion | None = None
    for model in MODELS:
        matrix, uncertain = fit(model, near, to, corners)
        if chosen is not None and uncertain > MOST_UNCERTAIN:
            continue
        error = cross_validated(model, near, to, fold)
        if chosen is None or not is_as_good(chosen.error, error):
            chosen = Motion(model, matrix, error)
    return chosen


def is_as_good(error: float, other: float, worth: float = WORTH) -> bool:
    """Whether a simpler model's error is hardly larger than a more complex one's."""
    return error <= max(np.hypot(other, worth), (1 + WORTH_SHARE) * other)
