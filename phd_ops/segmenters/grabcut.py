"""GrabCut (Rother 2004, OpenCV's implementation): a subject from a box, points or a rough mask, with no weights."""

import cv2
import numpy as np

from ..pixels.masks import distance_to, resize_mask

ITERATIONS = 5
# GrabCut's cost grows with the pixels and its color models do not need them all.
WORKING_SIDE = 640
# Of the image's longer side: how far off a rough mask may be, and what of an image counts as its frame.
DOUBT, FRAME = 0.04, 0.02


def grabcut(
    image: np.ndarray,
    box: tuple[float, float, float, float] | None = None,
    positive: np.ndarray | None = None,
    negative: np.ndarray | None = None,
    rough: np.ndarray | None = None,
) -> np.ndarray:
    """The subject inside a box, around points, or near a rough mask.

    Args:
        image: float [H,W,3] in 0..1, RGB.
        box: x, y, width, height in pixels. Everything outside is background; where nothing is outside, the image's
            frame is taken for background at first.
        positive, negative: [N,2] pixel coordinates (x, y) on the subject, on the background.
        rough: float [H,W], 1 = subject; well inside it is subject, well outside background.
    Returns:
        float32 [H,W], 0 or 1 before it is scaled back to the image's size. All 0 where nothing is found.
    """
    height, width = image.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = (np.clip(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 0, 1) * 255).astype(np.uint8)
    small = np.ascontiguousarray(small[..., ::-1])
    labels = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    if rough is not None:
        labels = labels_near(resize_mask(rough, *size) > 0.5, max(2.0, DOUBT * max(size)))
    if box is not None:
        x, y, w, h = (value * scale for value in box)
        within = np.zeros(labels.shape, bool)
        within[max(0, round(y)) : max(0, round(y + h)), max(0, round(x)) : max(0, round(x + w))] = True
        if rough is None:
            labels[within] = cv2.GC_PR_FGD
        labels[~within] = cv2.GC_BGD
        if within.all() and rough is None:
            frame = max(1, min(round(FRAME * max(size)), min(size) // 4))
            labels[:frame], labels[-frame:] = cv2.GC_PR_BGD, cv2.GC_PR_BGD
            labels[:, :frame], labels[:, -frame:] = cv2.GC_PR_BGD, cv2.GC_PR_BGD
    radius = max(2, round(0.02 * max(size)))
    for points, sure, likely in ((positive, cv2.GC_FGD, cv2.GC_PR_FGD), (negative, cv2.GC_BGD, cv2.GC_PR_BGD)):
        for x, y in np.reshape(points if points is not None else [], (-1, 2)) * scale:
            center = (int(x), int(y))
            if box is None and rough is None:
                # Without a box a point vouches for its wider surround too, else the color models see too little.
                near = cv2.circle(np.zeros_like(labels), center, 6 * radius, 1, -1)
                labels[(near == 1) & (labels != cv2.GC_FGD) & (labels != cv2.GC_BGD)] = likely
            cv2.circle(labels, center, radius, int(sure), -1)
    subject = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if min(small.shape[:2]) < 3 or not subject.any() or subject.all():
        # Nothing to tell apart: GrabCut needs samples of both.
        return np.full((height, width), float(subject.all() and subject.size > 0), np.float32)
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), ITERATIONS, cv2.GC_INIT_WITH_MASK)
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR)


def labels_near(inside: np.ndarray, doubt: float) -> np.ndarray:
    """GrabCut's labels from a rough mask, bool [h,w], whose edge may be `doubt` pixels off."""
    labels = np.where(inside, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    if inside.any() and not inside.all():
        depth = distance_to(~inside)
        # Of a thin mask at least the innermost pixels are sure.
        labels[depth > min(doubt, 0.7 * float(depth.max()))] = cv2.GC_FGD
        labels[distance_to(inside) > doubt] = cv2.GC_BGD
    return labels
