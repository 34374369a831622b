"""The connected parts of a mask: which of them a prompt points at, and each as a mask of its own."""

import cv2
import numpy as np

from ..interrupt import by_bands, check, waiting
from ..pixels.masks import keep_components, largest_component
from .prompt import Prompt

# At most this many parts of one mask become masks of their own.
MOST_PARTS = 32


def prompted_parts(mask: np.ndarray, prompt: Prompt) -> np.ndarray:
    """The mask, float32 [H,W], with only those connected parts that a prompt points at.

    Each positive point chooses the part nearest to it. Without points, the box or else the rough mask chooses the part
    with most pixels inside it; none is chosen where it holds no part. An empty prompt chooses the largest part.
    """
    count, labels = waiting(cv2.connectedComponents, (mask > 0.5).astype(np.uint8), connectivity=8)
    if count < 3 or prompt.empty:
        return largest_component(mask)
    if len(prompt.positive):
        rows, columns = np.nonzero(labels)
        places, parts = np.stack([columns, rows], axis=1) + 0.5, labels[rows, columns]
        chosen = {int(parts[np.square(places - point).sum(1).argmin()]) for point in prompt.positive}
    else:
        region = np.zeros(mask.shape, bool)
        if prompt.box is not None:
            x, y, w, h = (round(value) for value in prompt.box)
            region[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = True
        elif prompt.rough is not None:
            region = prompt.rough > 0.5
        counts = np.bincount(labels[region], minlength=count)
        counts[0] = 0
        if not counts.any():
            return np.zeros_like(mask)
        chosen = {int(counts.argmax())}
    wanted = np.isin(np.arange(1, count), list(chosen))
    return keep_components(mask, lambda areas: wanted)


def parts_of(mask: np.ndarray) -> list[np.ndarray]:
    """Every connected part of a mask, float32 [H,W], as a mask of its own: the largest first, at most MOST_PARTS.

    Soft pixels (0.5 and below) go with the nearest part.
    """
    inside = (mask > 0.5).astype(np.uint8)
    count, labels, statistics, _ = waiting(cv2.connectedComponentsWithStats, inside, connectivity=8)
    if count < 3:
        return [mask] if count == 2 else []
    # For each pixel the label of the nearest pixel inside, which belongs to a part.
    _, nearest = waiting(cv2.distanceTransformWithLabels, 1 - inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    check()
    labels, nearest = np.asarray(labels, np.int32), np.asarray(nearest, np.int32)
    owner = np.zeros(int(nearest.max()) + 1, np.int32)
    owner[nearest[inside == 1]] = labels[inside == 1]
    owned = owner[nearest]
    order = 1 + np.argsort(-statistics[1:, cv2.CC_STAT_AREA], kind="stable")[:MOST_PARTS]
    return [
        by_bands(lambda own, values, part=part: np.where(own == part, values, np.float32(0)), owned, mask)
        for part in order
    ]
