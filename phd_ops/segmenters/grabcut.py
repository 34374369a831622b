"""GrabCut (Rother 2004, OpenCV's implementation): a subject from a box or points, with no weights at all."""

import cv2
import numpy as np

ITERATIONS = 5
# GrabCut's cost grows with the pixels and its colour models do not need them all.
WORKING_SIDE = 640


def grabcut(
    image: np.ndarray,
    box: tuple[float, float, float, float] | None = None,
    positive: np.ndarray | None = None,
    negative: np.ndarray | None = None,
) -> np.ndarray:
    """The subject inside a box, or around points.

    Args:
        image: float [H,W,3] in 0..1, RGB.
        box: x, y, width, height in pixels. Everything outside is background.
        positive, negative: [N,2] pixel coordinates (x, y) on the subject, on the background.
    Returns:
        float32 [H,W], 0 or 1 before it is scaled back to the picture's size. All 0 where nothing is found.
    """
    height, width = image.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = (np.clip(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 0, 1) * 255).astype(np.uint8)
    small = np.ascontiguousarray(small[..., ::-1])
    labels = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    if box is not None:
        x, y, w, h = (value * scale for value in box)
        labels[:] = cv2.GC_BGD
        labels[max(0, round(y)) : max(0, round(y + h)), max(0, round(x)) : max(0, round(x + w))] = cv2.GC_PR_FGD
    radius = max(2, round(0.02 * max(size)))
    for points, sure, likely in ((positive, cv2.GC_FGD, cv2.GC_PR_FGD), (negative, cv2.GC_BGD, cv2.GC_PR_BGD)):
        for x, y in np.reshape(points if points is not None else [], (-1, 2)) * scale:
            centre = (int(x), int(y))
            if box is None:
                # Without a box a point vouches for its wider surround too, else the colour models see too little.
                near = cv2.circle(np.zeros_like(labels), centre, 6 * radius, 1, -1)
                labels[(near == 1) & (labels != cv2.GC_FGD) & (labels != cv2.GC_BGD)] = likely
            cv2.circle(labels, centre, radius, int(sure), -1)
    subject = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if min(small.shape[:2]) < 3 or not subject.any() or subject.all():
        # Nothing to tell apart: GrabCut needs samples of both.
        return np.full((height, width), float(subject.all() and subject.size > 0), np.float32)
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)
