"""GrabCut (Rother 2004, OpenCV's implementation): a subject from a box, points or a rough mask, without weights."""

import cv2
import numpy as np

from ..interrupt import waiting
from ..pixels.geometry import Size
from ..pixels.masks import distance_to, resize_mask
from ..pixels.resample import reduce

ITERATIONS = 5
# Larger images are reduced to this side: the cost grows with the pixels, and the color models do not need them all.
WORKING_SIDE = 640
# Shares of the image's longer side: how far off a rough mask's edge may be, the width of the image's frame, and the
# radius of a point; and how many points of a kind have that radius.
ROUGH_MARGIN, FRAME, POINT, MOST_POINTS = 0.04, 0.02, 0.02, 32


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
        box: x, y, width, height in pixels. Everything outside is background. Where the box covers the whole image,
            the image's frame starts as background.
        positive, negative: [N,2] pixel coordinates (x, y) on the subject, on the background.
        rough: float [H,W], 1 = subject. Pixels well inside it are subject, those well outside background; GrabCut
            decides on those near its edge.
    Returns:
        float32 [H,W] in 0..1, soft only by the resizing of a large image's mask; 0 everywhere where nothing is found.
    """
    height, width = image.shape[:2]
    scale = min(1.0, WORKING_SIDE / max(height, width))
    size = Size(width, height).scaled(scale)
    small = (np.clip(reduce(image, size), 0, 1) * 255).astype(np.uint8)
    small = np.ascontiguousarray(small[..., ::-1])
    labels = first_labels(
        size,
        box=None if box is None else np.multiply(box, scale),
        inside=None if rough is None else resize_mask(rough, *size) > 0.5,
    )
    # Without a box a point also marks its wider surroundings; the color models need the samples.
    wide = box is None and rough is None
    mark_points(labels, positive, scale, cv2.GC_FGD, cv2.GC_PR_FGD if wide else None)
    mark_points(labels, negative, scale, cv2.GC_BGD, cv2.GC_PR_BGD if wide else None)
    subject = is_subject(labels)
    if min(size) < 3 or not subject.any() or subject.all():
        # GrabCut needs samples of both subject and background.
        return waiting(np.full, (height, width), float(subject.all() and subject.size > 0), np.float32)
    found = is_subject(waiting(iterate, small, labels)).astype(np.float32)
    return resize_mask(found, width, height)


def iterate(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """GrabCut's iterations on an image, uint8 [h,w,3]; returns the labels."""
    # Each thread has a generator of its own.
    cv2.setRNGSeed(0)
    # The rectangle is not used in this mode; the arrays are OpenCV's two color models.
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, (0, 0, 0, 0), *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return labels


def is_subject(labels: np.ndarray) -> np.ndarray:
    """Which of GrabCut's labels are subject, certain or probable."""
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def first_labels(size: Size, box: np.ndarray | None, inside: np.ndarray | None) -> np.ndarray:
    """GrabCut's first labels [h,w] from a box (x, y, width, height) and a rough mask, bool [h,w].

    Without either, every pixel is probably background.
    """
    labels = np.full((size.height, size.width), cv2.GC_PR_BGD, np.uint8)
    if inside is not None:
        labels = labels_near(inside, max(2.0, ROUGH_MARGIN * max(size)))
    if box is not None:
        x, y, w, h = box
        within = np.zeros(labels.shape, bool)
        within[max(0, round(y)) : max(0, round(y + h)), max(0, round(x)) : max(0, round(x + w))] = True
        if inside is None:
            labels[within] = cv2.GC_PR_FGD
        labels[~within] = cv2.GC_BGD
        if within.all() and inside is None:
            frame = max(1, min(round(FRAME * max(size)), min(size) // 4))
            labels[:frame], labels[-frame:] = cv2.GC_PR_BGD, cv2.GC_PR_BGD
            labels[:, :frame], labels[:, -frame:] = cv2.GC_PR_BGD, cv2.GC_PR_BGD
    return labels


def mark_points(labels: np.ndarray, points: np.ndarray | None, scale: float, label: int, around: int | None) -> None:
    """Draws a disc of `label` at each point, [N,2] before scaling, into GrabCut's labels.

    `around` is the label of uncertain pixels in the wider surroundings of the point; None leaves them as they are.
    More than MOST_POINTS mark no more pixels than these: so many large discs would reach beyond the subject.
    """
    points = np.reshape(points if points is not None else [], (-1, 2)) * scale
    radius = max(2.0, POINT * max(labels.shape)) / max(1, len(points) / MOST_POINTS) ** 0.5
    for x, y in points:
        center = (int(x), int(y))
        if around is not None:
            near = cv2.circle(np.zeros_like(labels), center, round(6 * radius), 1, -1)
            labels[(near == 1) & (labels != cv2.GC_FGD) & (labels != cv2.GC_BGD)] = around
        cv2.circle(labels, center, round(radius), int(label), -1)


def labels_near(inside: np.ndarray, margin: float) -> np.ndarray:
    """GrabCut's labels from a rough mask, bool [h,w], whose edge may be `margin` pixels off."""
    labels = np.where(inside, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    if inside.any() and not inside.all():
        depth = distance_to(~inside)
        # Of a thin mask at least the innermost pixels are certain.
        labels[depth > min(margin, 0.7 * float(depth.max()))] = cv2.GC_FGD
        labels[distance_to(inside) > margin] = cv2.GC_BGD
    return labels
