"""Ways to blend a placed subject into its scene: alpha, multi-band, Poisson; and a match of its colors beforehand.

Images are float32 [h,w,3] in 0..1, alphas float32 [h,w]. Wherever alpha is 0 the scene keeps its bits.
"""

import math

import cv2
import numpy as np

from ..interrupt import bands, by_bands, copy, waiting
from .color import threefold
from .geometry import Box, Size, bounding_box
from .masks import above
from .masks import ring as ring_around
from .resample import reduce
from .tiles import OPAQUE, SOFT, tiles

# The most pixels that a Poisson equation is solved for: about a second's work.
MOST_SOLVED = 2**21


def alpha_over(scene: np.ndarray, colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """alpha * colors + (1 - alpha) * scene, [h,w,3]: in this form both ends are exact."""
    out = np.empty_like(colors)
    for kind, box in tiles(alpha):
        at = box.slices
        if kind == OPAQUE:
            np.minimum(colors[at], 1, out=out[at])
            continue
        out[at] = scene[at]
        if kind == SOFT:
            mix(out[at], colors[at], alpha[at])
    return out


def mix(scene: np.ndarray, colors: np.ndarray, alpha: np.ndarray) -> None:
    """`alpha_over` in place, for a part of an image that stays in the processor's cache."""
    over = threefold(alpha)
    rest = 1 - over
    over *= colors
    rest *= scene
    over += rest
    np.minimum(over, 1, out=scene)


def pyramid(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """The Laplacian pyramid (Burt & Adelson 1983): `levels` bands, finest first, then the rest."""
    found = []
    for _ in range(levels):
        smaller = waiting(cv2.pyrDown, image)
        band = waiting(cv2.pyrUp, smaller, dstsize=Size.of(image))
        for rows in bands(*image.shape[:2]):
            np.subtract(image[rows], band[rows], out=band[rows])
        found.append(band)
        image = smaller
    return [*found, image]


def multiband(scene: np.ndarray, colors: np.ndarray, matte: np.ndarray, support: np.ndarray, reach: int) -> np.ndarray:
    """Blends coarse structure over a wide seam and fine structure over a narrow one (Burt & Adelson 1983).

    Args:
        matte: the subject's own, not softened.
        support: above 0 where the result may differ from the scene.
        reach: the support's width outside the matte in whole pixels. n bands spread over 3 * 2^n - 2 of them; as many
            bands are used as fit.
    """
    levels = min(int(math.log2((reach + 2) / 3)), int(math.log2(min(matte.shape))))
    if levels == 0:
        return alpha_over(scene, colors, support)
    weight = matte[..., None]
    blended = []
    for ours, theirs in zip(pyramid(colors, levels), pyramid(scene, levels), strict=True):
        for rows in bands(*theirs.shape[:2]):
            theirs[rows] += weight[rows] * (ours[rows] - theirs[rows])
        blended.append(theirs)
        weight = waiting(cv2.pyrDown, weight)[..., None]
    joined = blended.pop()
    for band in reversed(blended):
        joined = waiting(cv2.pyrUp, joined, dstsize=Size.of(band))
        for rows in bands(*band.shape[:2]):
            joined[rows] += band[rows]
    for rows in bands(*scene.shape[:2]):
        joined[rows] = np.where(support[rows][..., None] > 0, np.clip(joined[rows], 0, 1), scene[rows])
    return joined


def poisson(scene: np.ndarray, colors: np.ndarray, alpha: np.ndarray, mixed: bool = False) -> np.ndarray:
    """Gives the subject the scene's colors at its edge and keeps its gradients (Perez 2003, `cv2.seamlessClone`).

    OpenCV solves in 8 bits; only the change that it makes is used, so the subject's own pixels stay float. The change
    is smooth: for a large subject it is computed at about two megapixels.

    Args:
        mixed: the scene's gradients show through where they are stronger.
    """
    inside = above(alpha, 0.5)
    box = bounding_box(inside)
    # The outermost pixels are the scene's, and OpenCV fails if there are no others.
    if box is None or min(box.size) < 3:
        return alpha_over(scene, colors, alpha)
    size = Size.of(colors)
    # Mirrored at the canvas's edge, up to three times as wide and as high, see below.
    width, height = (2 * box.width + size.width, 2 * box.height + size.height)
    coarser = max(1.0, math.sqrt(width * height / MOST_SOLVED))
    if coarser > 1:
        less = Size(*(max(3, round(side / coarser)) for side in size))
        mask = by_bands(lambda band: band.astype(np.float32), inside)
        ours, theirs, mask = (reduce(image, less) for image in (colors, scene, mask))
        change = waiting(cloning_change, theirs, ours, mask > 0.5, mixed)
        change = waiting(cv2.resize, change, size, interpolation=cv2.INTER_LINEAR)
    else:
        change = waiting(cloning_change, scene, colors, inside, mixed)
    for rows in bands(*alpha.shape):
        change[rows] = np.clip(colors[rows] + change[rows], 0, 1)
    return alpha_over(scene, change, alpha)


def cloning_change(scene: np.ndarray, colors: np.ndarray, inside: np.ndarray, mixed: bool) -> np.ndarray:
    """What `cv2.seamlessClone` adds to a subject's colors, float32 [h,w,3]."""
    # The solver needs pixels around its mask. Where the canvas cuts the subject off there is no edge to take colors
    # from: there the image is continued by its mirror image, which constrains nothing.
    height, width = inside.shape
    edges = ((inside[0], height), (inside[-1], height), (inside[:, 0], width), (inside[:, -1], width))
    top, bottom, left, right = (length if edge.any() else 4 for edge, length in edges)
    ours, theirs, mask = (
        cv2.copyMakeBorder(np.round(image * 255).astype(np.uint8), top, bottom, left, right, cv2.BORDER_REFLECT)
        for image in (colors, scene, inside.astype(np.float32))
    )
    # OpenCV solves nothing on the frame.
    mask[[0, -1]], mask[:, [0, -1]] = 0, 0
    box = cv2.boundingRect(mask)
    flags = cv2.MIXED_CLONE if mixed else cv2.NORMAL_CLONE
    center = box[0] + box[2] // 2, box[1] + box[3] // 2
    cloned = cv2.seamlessClone(ours, theirs, mask, center, flags)
    change = (cloned.astype(np.float32) - ours)[top : top + height, left : left + width] / 255
    if mixed:
        return change
    # The change is a smooth membrane; anything rough in it comes from the 8 bits.
    weight = inside.astype(np.float32)
    smooth = cv2.GaussianBlur(change * weight[..., None], (0, 0), 1)
    smooth /= np.maximum(cv2.GaussianBlur(weight, (0, 0), 1), 1e-6)[..., None]
    return np.where(inside[..., None], smooth, change)


def match_colors(
    colors: np.ndarray, alpha: np.ndarray, scene: np.ndarray, region: Box, ring: int, strength: float
) -> np.ndarray:
    """Moves the subject's color statistics toward those of the scene around it (Reinhard 2001, in CIE Lab).

    Mean and deviation come from selected pixels only: the subject's opaque ones, and a ring of the scene around it.

    Args:
        colors, alpha: the subject, in `region` of the scene.
        scene: the whole scene [H,W,3].
        ring: the ring's width in pixels; at least 8 are used.
        strength: 0 leaves the colors as they are, 1 gives them the ring's mean and deviation.
    Returns:
        float32 [h,w,3]; the colors unchanged if there is no subject or no ring.
    """
    ring = max(ring, 8)
    wider = region.grown(ring).inside(Size.of(scene))
    inside = np.zeros(wider.size[::-1], np.float32)
    copy(above(alpha, 0), inside[region.moved(-wider.x, -wider.y).slices])
    around, subject = above(ring_around(inside, ring), 0), above(alpha, 0.5)
    if strength == 0 or not subject.any() or not around.any():
        return colors
    lab = waiting(cv2.cvtColor, colors, cv2.COLOR_RGB2Lab)
    surround = waiting(cv2.cvtColor, waiting(np.ascontiguousarray, scene[wider.slices]), cv2.COLOR_RGB2Lab)
    our_mean, our_std = waiting(mean_and_deviation, lab, subject)
    their_mean, their_std = waiting(mean_and_deviation, surround, around)
    # A flat subject has no contrast to stretch, and its noise must not be stretched into one.
    contrast = np.clip((their_std + 1) / (our_std + 1), 1 / 3, 3)
    for rows in bands(*alpha.shape):
        matched = (lab[rows] - our_mean) * contrast + their_mean
        matched = np.clip(cv2.cvtColor(matched.astype(np.float32), cv2.COLOR_Lab2RGB), 0, 1)
        lab[rows] = colors[rows] + np.float32(strength) * (matched - colors[rows])
    return lab


def mean_and_deviation(colors: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each channel's mean and deviation, [3], over the chosen pixels (bool [H,W]) of an image [H,W,3]."""
    values = colors[chosen]
    return values.mean(0), values.std(0)
