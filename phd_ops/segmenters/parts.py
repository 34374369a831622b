"""The connected parts of a mask: which of them a prompt points at, and each as a mask of its own."""

import cv2
import numpy as np

from ..interrupt import bands, by_bands, picked, waiting
from ..pixels.masks import above, keep_components, largest_component
from .prompt import Prompt

# At most this many parts of one mask become masks of their own.
MOST_PARTS = 32


def prompted_parts(mask: np.ndarray, prompt: Prompt) -> np.ndarray:
    """The mask, float32 [H,W], with only those connected parts that a prompt points at.

    Each positive point chooses the part nearest to it. Without points, the box or else the rough mask chooses the part
    with most pixels inside it; none is chosen where it holds no part. An empty prompt chooses the largest part.
    """
    inside = by_bands(lambda band: (band > 0.5).astype(np.uint8), mask)
    count, labels = waiting(cv2.connectedComponents, inside, connectivity=8)
    if count < 3 or prompt.empty:
        return largest_component(mask)
    if len(prompt.positive):
        rows, columns = waiting(np.nonzero, labels)
        nearest = [waiting(nearest_place, rows, columns, point) for point in prompt.positive]
        chosen = {int(labels[rows[index], columns[index]]) for index in nearest}
    else:
        region = np.zeros(mask.shape, bool)
        if prompt.box is not None:
            x, y, w, h = (round(value) for value in prompt.box)
            region[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = True
        elif prompt.rough is not None:
            region = above(prompt.rough, 0.5)
        counts = np.bincount(picked(np.asarray(labels, np.int32), region), minlength=count)
        counts[0] = 0
        if not counts.any():
            return np.zeros(mask.shape, np.float32)
        chosen = {int(counts.argmax())}
    wanted = np.isin(np.arange(1, count), list(chosen))
    return keep_components(mask, lambda areas: wanted)


def nearest_place(rows: np.ndarray, columns: np.ndarray, point: np.ndarray) -> int:
    """The index of the pixel, of those in these rows and columns [N], that is nearest to a point (x, y)."""
    x, y = point
    return int((np.square(columns + 0.5 - x) + np.square(rows + 0.5 - y)).argmin())


def parts_of(mask: np.ndarray) -> list[np.ndarray]:
    """Every connected part of a mask, float32 [H,W], as a mask of its own: the largest first, at most MOST_PARTS.

    Soft pixels (0.5 and below) go with the nearest part.
    """
    inside = by_bands(lambda band: (band > 0.5).astype(np.uint8), mask)
    count, labels, statistics, _ = waiting(cv2.connectedComponentsWithStats, inside, connectivity=8)
    if count < 3:
        return [mask] if count == 2 else []
    # For each pixel the label of the nearest pixel inside, which belongs to a part.
    outside = by_bands(lambda band: 1 - band, inside)
    _, nearest = waiting(cv2.distanceTransformWithLabels, outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels, nearest = np.asarray(labels, np.int32), np.asarray(nearest, np.int32)
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    for rows in bands(*mask.shape):
        owner[nearest[rows][inside[rows] == 1]] = labels[rows][inside[rows] == 1]
    owned = by_bands(lambda band: owner[band], nearest)
    order = 1 + np.argsort(-statistics[1:, cv2.CC_STAT_AREA], kind="stable")[:MOST_PARTS]
    return [
        by_bands(lambda own, values, part=part: np.where(own == part, values, np.float32(0)), owned, mask)
        for part in order
    ]
