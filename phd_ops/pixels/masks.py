"""Masks: 1 (white) is the named thing, and all bands around an edge come from one signed distance.

Masks are numpy float32 [H,W] in 0..1 unless a docstring says otherwise; `as_mask` takes those of torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..interrupt import bands, by_bands, each, waiting
from ..sentence import sentence
from .geometry import Size, bounding_box
from .resample import blur, quick_resize

# Below this a matte counts as nothing: the smallest step of an 8-bit mask.
LEAST_ALPHA = 1 / 255
# Up to this a value counts as nearly empty, and from 1 minus this on as nearly opaque.
TOLERANCE = 0.02
# The former, with what rounding to 8 or 11 bits (float16) may add.
FAINT = TOLERANCE + 2**-17
# Black is looked at in cells of this many pixels a side, as a latent's are; this many of them are needed, and this
# share of all.
SPECKLED_CELL, LEAST_BLACK_CELLS, LEAST_BLACK = 8, 16, 0.25
# A feather inside a mask is no wider than this share of the mask's local radius: a disc then loses 1/24 to it, and a
# band half of that.
FEATHER_SHARE = 1 / 24
# Local radii are measured in these steps, from the least one for which such a feather is wider than half a pixel; and
# in large images on a grid of at most this many pixels.
THICKNESS_LEAST, THICKNESS_RATIO, THICKNESS_STEP = 12.0, 2**0.5, 4


def as_mask(mask: torch.Tensor) -> torch.Tensor:
    """Any mask that ComfyUI nodes give, as float32 [B,H,W] in 0..1 on the CPU.

    Takes [H,W], [B,H,W], [B,1,H,W] or [B,H,W,1], of any float or integer type, from any device. NaN counts as 0; an
    integer mask with values above 1 is one of 8 bits. Raises ValueError for other shapes.
    """
    if mask.ndim == 2:
        mask = mask[None]
    elif mask.ndim == 4 and mask.shape[1] == 1:
        mask = mask[:, 0]
    elif mask.ndim == 4 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    if mask.ndim != 3 or 0 in mask.shape:
        shape = tuple(mask.shape)
        raise ValueError(
            sentence(
                "A mask must be [H,W], [B,H,W] or [B,1,H,W] with at least one pixel; this one is {shape}.", shape=shape
            )
        )
    eight_bits = not mask.is_floating_point() and mask.dtype != torch.bool and bool(mask.max() > 1)
    mask = mask.detach().cpu().float()
    mask = mask / 255 if eight_bits else mask
    low, high = waiting(torch.aminmax, mask)
    # A NaN compares as false. What is in range is not copied.
    return mask if low >= 0 and high <= 1 else torch.nan_to_num(mask, nan=0.0).clamp(0, 1)


def zero_black(masks: torch.Tensor) -> torch.Tensor:
    """Masks [B,...] whose black is slightly above 0, as lossy files have it, with a black of 0; others as they are.
    Of any float type, from any device.

    Black counts as raised if most pixels below 0.5 are faint but not 0, or if faint specks are strewn all over it. Of a
    soft edge, only the outermost part is faint, so soft edges, strengths and single faint specks on a true black keep
    their values. Each item is judged by itself.
    """
    off = list(each(has_faint_black, list(masks.cpu().float())))
    if not any(off):
        return masks
    black = torch.nn.functional.threshold(masks, FAINT, 0.0)
    return black if all(off) else torch.stack([(black if faint else masks)[n] for n, faint in enumerate(off)])


def has_faint_black(mask: torch.Tensor) -> bool:
    """Whether most of what is below .5 in a mask is nearly empty, but not empty; or most of its black is speckled.

    mask: float32 [...,H,W] on the CPU.
    """
    least, below = np.nextafter(np.float32(0), np.float32(1)), np.nextafter(np.float32(0.5), np.float32(0))
    pixels = mask.reshape(-1, mask.shape[-1]).numpy()

    def count(low: float, high: float, enough: float = math.inf) -> int:
        counted = 0
        for rows in bands(*pixels.shape):
            counted += cv2.countNonZero(cv2.inRange(pixels[rows], low, high))
            if counted >= enough:
                break
        return counted

    faint = count(float(least), float(np.float32(FAINT)))
    return faint > 0 and (count(0.0, float(below), enough=2 * faint) < 2 * faint or has_specks_all_over(mask))


def has_specks_all_over(mask: torch.Tensor) -> bool:
    """Whether most of the black in a mask [...,H,W] has faint specks in every few pixels, as noise has.

    Where a soft edge ends there are faint pixels beside black ones too, but only along a line.
    """
    height, width = (math.ceil(side / SPECKLED_CELL) for side in mask.shape[-2:])
    needed = max(LEAST_BLACK_CELLS, LEAST_BLACK * height * width * math.prod(mask.shape[:-2]))
    planes = mask.reshape(-1, 1, *mask.shape[-2:])
    if 2 * sum(faint_cells(plane) for plane in planes[:, 0].numpy()) <= needed:
        # No more cells are speckled.
        return False
    highest = waiting(torch.nn.functional.max_pool2d, planes, SPECKLED_CELL, ceil_mode=True)
    lowest = -waiting(torch.nn.functional.max_pool2d, waiting(torch.neg, planes), SPECKLED_CELL, ceil_mode=True)
    black = highest <= FAINT
    cells = int(black.sum())
    speckled = int((black & (highest > 0) & (lowest == 0)).sum())
    return cells >= needed and 2 * speckled > cells


def faint_cells(mask: np.ndarray) -> int:
    """How many cells of a mask [H,W] hold a pixel that is faint, but not 0."""
    (height, width), least = mask.shape, float(np.nextafter(np.float32(0), np.float32(1)))
    beyond = -height % SPECKLED_CELL, -width % SPECKLED_CELL
    faint = waiting(cv2.inRange, mask, least, float(np.float32(FAINT)))
    faint = cv2.copyMakeBorder(faint, 0, beyond[0], 0, beyond[1], cv2.BORDER_CONSTANT)
    size = (width + beyond[1]) // SPECKLED_CELL, (height + beyond[0]) // SPECKLED_CELL
    return cv2.countNonZero(waiting(cv2.resize, faint, size, interpolation=cv2.INTER_AREA))


def looks_inverted(mask: np.ndarray) -> bool:
    """Whether a subject's mask covers most of its image's border, but not of the middle. The placement editor computes
    the same.
    """
    (height, width), edges = mask.shape, (mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1])
    middle = mask[math.ceil(height / 3) : math.ceil(2 * height / 3), math.ceil(width / 3) : math.ceil(2 * width / 3)]
    covered = sum(np.count_nonzero(edge > 0.5) for edge in edges)
    return 2 * covered > sum(edge.size for edge in edges) and 2 * np.count_nonzero(middle > 0.5) < middle.size


def resize_mask(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resizes a mask, antialiased where it shrinks and linearly where it grows; itself at the same size."""
    return quick_resize(mask, Size(width, height))


def above(mask: np.ndarray, threshold: float) -> np.ndarray:
    """Where a mask is above a threshold, bool [H,W]."""
    return by_bands(lambda band: band > threshold, mask)


def distance_to(inside: np.ndarray) -> np.ndarray:
    """Distance in pixels from each pixel to the nearest one inside, between centers; `inside` is bool, not empty.

    OpenCV 5 rounds its roots differently from call to call. Squared distances are whole numbers, so they are rounded
    and the root is taken again: the result is the same for every call, up to about 1,000 pixels.
    """
    outside = by_bands(lambda band: 1 - band.astype(np.uint8), inside)
    distance = waiting(cv2.distanceTransform, outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    for rows in bands(*distance.shape):
        band = distance[rows]
        np.multiply(band, band, out=band)
        np.rint(band, out=band)
        np.sqrt(band, out=band)
    return distance


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance in pixels to the mask's edge, positive inside, negative outside.

    The edge runs between pixels, so the first pixel inside is at +0.5 and the first outside at -0.5.
    An empty mask is -inf everywhere, a full one +inf.
    """
    inside = above(mask, 0.5)
    if not inside.any():
        return waiting(np.full, mask.shape, -np.inf, np.float32)
    if inside.all():
        return waiting(np.full, mask.shape, np.inf, np.float32)
    # Of the two distances one is 0 everywhere.
    distance = distance_to(by_bands(np.logical_not, inside))
    other = distance_to(inside)
    for rows in bands(*distance.shape):
        distance[rows] -= other[rows]
        distance[rows] += np.where(inside[rows], np.float32(-0.5), np.float32(0.5))
    return distance


def depth_inside(mask: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """`signed_distance` inside a mask, in half the time; outside, -0.5. A full mask is +inf everywhere."""
    outside = by_bands(np.logical_not, above(mask, threshold))
    if not outside.any():
        return waiting(np.full, mask.shape, np.inf, np.float32)
    distance = distance_to(outside)
    for rows in bands(*distance.shape):
        distance[rows] -= np.float32(0.5)
    return distance


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """The mask, binary, with its edge moved out by `pixels` (in, if negative)."""
    inside = above(mask, 0.5)
    grown, box = by_bands(lambda band: band.astype(np.float32), inside), bounding_box(inside)
    if pixels == 0 or box is None or inside.all():
        return grown
    # Only one side's distance is needed, and only where it can matter.
    reach = box.grown(math.ceil(max(pixels, 0)) + 1).inside(Size.of(mask)).slices
    distance = distance_to(inside[reach] if pixels > 0 else by_bands(np.logical_not, inside[reach]))
    for rows in bands(*distance.shape):
        depth = distance[rows] - 0.5
        grown[reach][rows] = depth < pixels if pixels > 0 else depth > -pixels
    return grown


def beyond(mask: np.ndarray, pixels: float) -> np.ndarray:
    """What lies at least `pixels` outside a mask's edge, bool [H,W]."""
    inside, far = above(mask, 0.5), np.ones(mask.shape, bool)
    box = bounding_box(inside)
    if box is not None:
        # Only one side's distance is needed, unlike for `signed_distance`, and only where it can matter.
        near = box.grown(math.ceil(pixels) + 1).inside(Size.of(mask)).slices
        far[near] = by_bands(lambda band: band - 0.5 >= pixels, distance_to(inside[near]))
    return far


def ring(mask: np.ndarray, width: float) -> np.ndarray:
    """The binary band of `width` pixels just outside a mask."""
    return by_bands(np.subtract, grow(mask, width), grow(mask, 0))


def feather(mask: np.ndarray, sigma: float) -> np.ndarray:
    """Softens a mask's boundary with a Gaussian of `sigma` pixels; at the image's border it does not fade."""
    if sigma <= 0:
        return mask
    soft = blur(mask, sigma)
    for rows in bands(*soft.shape):
        # The kernel's weights sum to 1 only up to the last bit.
        np.minimum(soft[rows], 1, out=soft[rows])
    return soft


def ramp(depth: np.ndarray, width: float) -> np.ndarray:
    """A linear feather inside a mask: 0 at its edge, rising to 1 at `width` pixels inside it.

    Args:
        depth: the mask's `signed_distance`.
    """
    if width <= 0.5:
        return by_bands(lambda band: (band > 0).astype(np.float32), depth)
    return by_bands(lambda band: np.clip(band / np.float32(width), 0, 1), depth)


def narrow_ramp(depth: np.ndarray, width: float, step: int = 1) -> np.ndarray:
    """A linear feather inside a mask, no wider than a small share of the mask's own width there.

    However small or thin a part of the mask is, its feather takes less than 5 % of it.

    Args:
        depth: the mask's `signed_distance`.
        width: of the feather in pixels, at most; it is reached where the mask is at least 48 times as wide.
        step: of the grid that the mask's width is measured on, see `thickness_step`.
    """

    def feathered(band: np.ndarray, radius: np.ndarray) -> np.ndarray:
        widths = np.minimum(np.float32(width), radius * np.float32(FEATHER_SHARE))
        return np.clip(band / np.maximum(widths, 0.5), 0, 1, dtype=np.float32)

    return by_bands(feathered, depth, local_radius(depth, width / FEATHER_SHARE, step))


def thickness_step(size: Size) -> int:
    """The step in pixels of the grid that widths of a mask of this size are measured on."""
    return max(1, min(THICKNESS_STEP, max(size) // 256))


def local_radius(depth: np.ndarray, most: float, step: int = 1) -> np.ndarray:
    """Radius in pixels of the largest disc that fits into a mask and covers a pixel, float32 [H,W].

    This is local thickness (Hildebrand and Ruegsegger 1997), rounded down to one of a few radii of up to `most`; below
    the least of them it is 0.

    Args:
        depth: the mask's `signed_distance`.
        step: of the grid on which radii are measured.
    """
    coarse, radius = depth[::step, ::step], THICKNESS_LEAST
    largest = np.zeros(coarse.shape, np.float32)
    # A pixel in a corner of the grid may be cut off from the disc that covers it by the rounding of both.
    slack = 1.0 if step == 1 else 1.5 * step
    while radius < most * THICKNESS_RATIO:
        here = min(radius, most)
        centers = by_bands(lambda band, here=here: band >= here, coarse)
        if not centers.any():
            break
        distance = distance_to(centers)
        for rows in bands(*coarse.shape):
            largest[rows][distance[rows] * step < here + slack] = here
        radius *= THICKNESS_RATIO
    largest = waiting(cv2.resize, largest, depth.shape[::-1], interpolation=cv2.INTER_NEAREST)
    return by_bands(lambda radius, band: radius * (band > 0), largest, depth)


def stabilize(mask: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Makes nearly opaque pixels opaque and nearly empty ones empty; soft edges stay as they are.

    Segmenters and resizing leave cores of .98, through which the old background would shine.
    """
    # Masks may have been rounded to 11 bits (float16): a core of .98 must count as opaque all the same.
    most, least = 1 - tolerance - 2**-11, tolerance + 2**-17

    def stable(band: np.ndarray) -> np.ndarray:
        return np.where(band >= most, np.float32(1), np.where(band <= least, np.float32(0), band))

    return by_bands(stable, mask)


def fill_holes(mask: np.ndarray, most: float = math.inf) -> np.ndarray:
    """Sets holes to 1: regions outside the mask, of at most `most` pixels, that do not reach the image's border."""
    outside = by_bands(lambda band: (band <= 0.5).astype(np.uint8), mask)
    # A frame of outside pixels joins every region that touches the border.
    framed = waiting(cv2.copyMakeBorder, outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels, statistics, _ = waiting(cv2.connectedComponentsWithStats, framed, connectivity=4)
    hole = statistics[:, cv2.CC_STAT_AREA] <= most
    # The mask itself, and what lies around it.
    hole[[0, labels[0, 0]]] = False
    return by_bands(lambda band, label: np.where(hole[label], np.float32(1), band), mask, labels[1:-1, 1:-1])


def keep_components(mask: np.ndarray, wanted: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Keeps some of a mask's connected parts and sets the others to 0.

    Args:
        wanted: from the parts' areas in pixels [N] to bool [N].
    """
    inside = by_bands(lambda band: (band > 0.5).astype(np.uint8), mask)
    count, labels, statistics, _ = waiting(cv2.connectedComponentsWithStats, inside, connectivity=8)
    kept = np.zeros(count, bool)
    kept[1:] = wanted(statistics[1:, cv2.CC_STAT_AREA])
    if kept[1:].all():
        return mask
    if not kept.any():
        return np.zeros(mask.shape, mask.dtype)
    # Soft edge pixels belong to the part they are nearest to.
    labels = np.asarray(labels, np.int32)
    in_kept = by_bands(lambda band: kept[band], labels)
    if not by_bands(lambda label, band: (label == 0) & (band > 0), labels, mask).any():
        return by_bands(lambda own, band: np.where(own, band, np.float32(0)), in_kept, mask)
    to_kept = distance_to(in_kept)
    to_others = distance_to(by_bands(lambda own, band: ~own & (band != 0), in_kept, labels))
    return by_bands(lambda near, far, band: np.where(near < far, band, np.float32(0)), to_kept, to_others, mask)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The mask with all but its largest connected part set to 0. An empty mask stays empty."""
    return keep_components(mask, lambda areas: np.arange(len(areas)) == (areas.argmax() if len(areas) else 0))


def drop_specks(mask: np.ndarray, area: float) -> np.ndarray:
    """The mask without connected parts of fewer than `area` pixels."""
    return keep_components(mask, lambda areas: areas >= area)


@dataclass(frozen=True)
class MaskEdit:
    """What is done to a mask, in this order.

    Attributes:
        invert: 1 becomes 0.
        specks: connected parts of fewer pixels are removed.
        fill: holes are filled.
        grow: pixels by which the edge moves out, or in if negative; the edge is then hard.
        softness: sigma in pixels of the Gaussian that softens the edge.
    """

    invert: bool = False
    specks: int = 0
    fill: bool = False
    grow: int = 0
    softness: float = 0.0


def edited(mask: np.ndarray, edit: MaskEdit) -> np.ndarray:
    """A mask [H,W] after an edit. What is nearly opaque or nearly empty becomes so, see `stabilize`."""
    made = stabilize(1 - mask if edit.invert else mask)
    if edit.specks:
        made = drop_specks(made, edit.specks)
    if edit.fill:
        made = fill_holes(made)
    if edit.grow:
        made = grow(made, edit.grow)
    return feather(made, edit.softness)
