"""Masks: one convention (1 = the thing the name says), one signed distance from which all bands come.

Arrays here are numpy float32 [H,W] unless a docstring says otherwise; `as_mask` is the door from torch.
"""

import cv2
import numpy as np
import torch


def as_mask(mask: torch.Tensor) -> torch.Tensor:
    """Any mask that ComfyUI nodes hand out, as float32 [B,H,W] in 0..1 on the CPU.

    Takes [H,W], [B,H,W], [B,1,H,W] or [B,H,W,1], of any float or integer type; NaN counts as 0.
    Raises ValueError for other shapes.
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
    return torch.nan_to_num(mask.detach().cpu().float(), nan=0.0).clamp(0, 1)


def resize_mask(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """To another size, antialiased."""
    if mask.shape == (height, width):
        return mask
    shrinks = width * height < mask.shape[0] * mask.shape[1]
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def signed_distance(mask: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Pixels to the mask's edge, positive inside, negative outside.

    The edge runs between pixels, so the first pixel inside is at +0.5 and the first outside at -0.5.
    A mask with nothing inside is -inf everywhere, one with nothing outside +inf.
    """
    inside = (mask > threshold).astype(np.uint8)
    if not inside.any():
        return np.full(mask.shape, -np.inf, np.float32)
    if inside.all():
        return np.full(mask.shape, np.inf, np.float32)
    to_outside = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    to_inside = cv2.distanceTransform(1 - inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(inside == 1, to_outside - 0.5, 0.5 - to_inside)


def grow(mask: np.ndarray, pixels: float) -> np.ndarray:
    """A binary mask whose edge lies `pixels` further out (further in where negative)."""
    if pixels == 0:
        return (mask > 0.5).astype(np.float32)
    return (signed_distance(mask) > -pixels).astype(np.float32)


def ring(mask: np.ndarray, width: float) -> np.ndarray:
    """The binary band of `width` pixels just outside a mask."""
    distance = signed_distance(mask)
    return ((distance < 0) & (distance > -width)).astype(np.float32)


def feather(mask: np.ndarray, sigma: float) -> np.ndarray:
    """A mask with its boundary softened by a Gaussian of `sigma` pixels; at the picture's border it does not fade."""
    if sigma <= 0:
        return mask
    return cv2.GaussianBlur(mask, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def ramp_inside(mask: np.ndarray, width: float) -> np.ndarray:
    """0 outside a mask, rising linearly to 1 at `width` pixels inside its edge: soft, and never outside the mask."""
    if width <= 0.5:
        return (mask > 0.5).astype(np.float32)
    return np.clip(signed_distance(mask) / width, 0, 1)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Outside regions that do not reach the picture's border become 1."""
    outside = (mask <= 0.5).astype(np.uint8)
    # A frame of outside pixels joins every region that touches the border.
    framed = cv2.copyMakeBorder(outside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    _, labels = cv2.connectedComponents(framed, connectivity=4)
    holes = (framed == 1) & (labels != labels[0, 0])
    return np.where(holes[1:-1, 1:-1], np.float32(1), mask)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The mask with all but its largest connected part set to 0. An empty mask stays empty."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8), connectivity=8)
    if count <= 2:
        return mask
    best = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax())
    # Soft edge pixels belong to the part they are nearest to.
    others = (labels != best) & (labels != 0)
    to_best = cv2.distanceTransform((labels != best).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    to_others = cv2.distanceTransform((~others).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(to_best < to_others, mask, np.float32(0))


def cover(mask: torch.Tensor, height: int, width: int, threshold: float = 1 / 255) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: 1 where any pixel of the cell is above `threshold`.

    "May change" must never be lost: one stale pixel left in the known part pins the wrong light, so no averaging
    and no rounding (measured: cover .09, nearest .64, bilinear .55 of the subject's squared error).
    Where the grid's cells do not fill the picture, the remainder is cropped on both sides, as ComfyUI's VAE does.
    """
    cell = mask.shape[-2] // height
    if cell > 0 and (mask.shape[-2] // cell, mask.shape[-1] // cell) == (height, width):
        top, left = mask.shape[-2] % cell // 2, mask.shape[-1] % cell // 2
        mask = mask[..., top : top + cell * height, left : left + cell * width]
    return (torch.nn.functional.adaptive_max_pool2d(mask[:, None], (height, width))[:, 0] > threshold).float()
