"""Masks: one convention (1 = the thing the name says), one signed distance from which all bands come.

Arrays here are numpy float32 [H,W] unless a docstring says otherwise; `as_mask` is the door from torch.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
import torch

from .geometry import Size, bounding_box
from .resample import blur


def as_mask(mask: torch.Tensor) -> torch.Tensor:
    """Any mask that ComfyUI nodes hand out, as float32 [B,H,W] in 0..1 on the CPU.

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
        raise ValueError(f"A mask must be [H,W], [B,H,W] or [B,1,H,W] with at least one pixel; this one is {shape}.")
    eight_bits = not mask.is_floating_point() and mask.dtype != torch.bool and bool(mask.max() > 1)
    mask = mask.detach().cpu().float()
    mask = mask / 255 if eight_bits else mask
    low, high = torch.aminmax(mask)
    # A NaN compares as false. What is in range is not copied.
    return mask if low >= 0 and high <= 1 else torch.nan_to_num(mask, nan=0.0).clamp(0, 1)


def resize_mask(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """To another size, antialiased."""
    if mask.shape == (height, width):
        return mask
    shrinks = width * height < mask.shape[0] * mask.shape[1]
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def distance_to(inside: np.ndarray) -> np.ndarray:
    """Pixels from every pixel's center to that of the nearest one inside, 0 on it; `inside` is bool and not empty."""
    return cv2.distanceTransform(1 - inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def signed_distance(mask: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Pixels to the mask's edge, positive inside, negative outside.

    The edge runs between pixels, so the first pixel inside is at +0.5 and the first outside at -0.5.
    A mask with nothing inside is -inf everywhere, one with nothing outside +inf.
    """
    inside = mask > threshold
    if not inside.any():
        return np.full(mask.shape, -np.inf, np.float32)
    if inside.all():
        return np.full(mask.shape, np.inf, np.float32)
    # Of the two distances one is 0 everywhere.
    distance = distance_to(~inside)
    distance -= distance_to(inside)
    distance += np.where(inside, np.float32(-0.5), np.float32(0.5))
    return distance


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """A binary mask whose edge lies `pixels` further out (further in where negative)."""
    inside = mask > 0.5
    grown = inside.astype(np.float32)
    if pixels == 0 or inside.all() or not inside.any():
        return grown
    # Only one side's distance is needed, and only where it can matter.
    reach = bounding_box(inside).grown(math.ceil(max(pixels, 0)) + 1).inside(Size.of(mask)).slices
    if pixels > 0:
        grown[reach] = distance_to(inside[reach]) - 0.5 < pixels
    else:
        grown[reach] = distance_to(~inside[reach]) - 0.5 > -pixels
    return grown


class Bands(NamedTuple):
    """What lies where about a mask's edge, each binary [H,W]; core, seam and context make up the whole image."""

    core: np.ndarray  # at least `inner` pixels inside
    seam: np.ndarray  # between core and context, the edge in its middle
    ring: np.ndarray  # the seam's part outside the mask
    context: np.ndarray  # at least `outer` pixels outside


def bands(mask: np.ndarray, inner: float, outer: float) -> Bands:
    """Core, seam, ring and context of a mask, from one signed distance. `inner` and `outer` are pixels, 0 or more."""
    distance = signed_distance(mask)
    core, context, outside = distance >= inner, distance <= -outer, distance < 0
    return Bands(*(band.astype(np.float32) for band in (core, ~core & ~context, outside & ~context, context)))


def ring(mask: np.ndarray, width: float) -> np.ndarray:
    """The binary band of `width` pixels just outside a mask."""
    return grow(mask, width) - grow(mask, 0)


def feather(mask: np.ndarray, sigma: float) -> np.ndarray:
    """A mask with its boundary softened by a Gaussian of `sigma` pixels; at the image's border it does not fade."""
    if sigma <= 0:
        return mask
    soft = blur(mask, sigma)
    # The kernel's weights make up 1 but for the last bit.
    return np.minimum(soft, 1, out=soft)


def ramp(mask: np.ndarray, outside: float, inside: float) -> np.ndarray:
    """A linear feather: 0 at `outside` pixels outside the mask's edge, rising to 1 at `inside` pixels inside it."""
    if outside + inside <= 0.5:
        return (mask > 0.5).astype(np.float32)
    return np.clip((signed_distance(mask) + outside) / (outside + inside), 0, 1)


def stabilize(mask: np.ndarray, tolerance: float = 0.02) -> np.ndarray:
    """What is all but opaque becomes opaque, and what is all but empty becomes empty; soft edges stay as they are.

    Segmenters and resizing leave cores of .98, through which the old background would shine.
    """
    # The mask's own numbers are rounded, at most to 11 bits (float16): a core of .98 must not fall to the last of them.
    opaque, empty = mask >= 1 - tolerance - 2**-11, mask <= tolerance + 2**-17
    return np.where(opaque, np.float32(1), np.where(empty, np.float32(0), mask))


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Outside regions that do not reach the image's border become 1."""
    outside = (mask <= 0.5).astype(np.uint8)
    # A frame of outside pixels joins every region that touches the border.
    framed = cv2.copyMakeBorder(outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    holes = (framed == 1) & (labels != labels[0, 0])
    return np.where(holes[1:-1, 1:-1], np.float32(1), mask)


def keep_components(mask: np.ndarray, wanted) -> np.ndarray:
    """The mask without those connected parts that `wanted`, of the parts' areas in pixels, is false for."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8), connectivity=8)
    kept = np.zeros(count, bool)
    kept[1:] = wanted(statistics[1:, cv2.CC_STAT_AREA])
    if kept[1:].all():
        return mask
    if not kept.any():
        return np.zeros_like(mask)
    # Soft edge pixels belong to the part they are nearest to.
    nearer = distance_to(kept[labels]) < distance_to(~kept[labels] & (labels != 0))
    return np.where(nearer, mask, np.float32(0))


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The mask with all but its largest connected part set to 0. An empty mask stays empty."""
    return keep_components(mask, lambda areas: np.arange(len(areas)) == (areas.argmax() if len(areas) else 0))


def drop_specks(mask: np.ndarray, area: float) -> np.ndarray:
    """The mask without connected parts of fewer than `area` pixels."""
    return keep_components(mask, lambda areas: areas >= area)


# Below this a matte counts as nothing: the smallest step of an 8-bit mask.
LEAST_ALPHA = 1 / 255
