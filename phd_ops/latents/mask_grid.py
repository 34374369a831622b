"""Pixel masks on the latent grid: by max pooling where something may change, never by averaging."""

import torch

from ..local_linear import window

# Latent cells that differ by more than this share of the latent's own deviation have changed for all to see. Over so
# many cells what differs in texture alone averages out, while a shadow does not.
CHANGED, CHANGED_SIGMA = 0.2, 1.5


def on_grid(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The part of a pixel mask [B,H,W] that a latent grid of height×width cells covers.

    Where the grid's cells do not fill the image, the remainder is cropped on both sides, as ComfyUI's VAE does.
    """
    cell = mask.shape[-2] // height
    if cell > 0 and (mask.shape[-2] // cell, mask.shape[-1] // cell) == (height, width):
        top, left = mask.shape[-2] % cell // 2, mask.shape[-1] % cell // 2
        mask = mask[..., top : top + cell * height, left : left + cell * width]
    return mask


def pool(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: each cell has the greatest value of its pixels."""
    return torch.nn.functional.adaptive_max_pool2d(on_grid(mask, height, width)[:, None], (height, width))[:, 0]


def share(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: each cell has the mean value of its pixels."""
    return torch.nn.functional.adaptive_avg_pool2d(on_grid(mask, height, width)[:, None], (height, width))[:, 0]


def cover(mask: torch.Tensor, height: int, width: int, threshold: float = 1 / 255) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: 1 where any pixel of the cell is above `threshold`.

    "May change" must never be lost: one stale pixel left in the known part pins the wrong light, so no averaging
    and no rounding (measured: cover .09, nearest .64, bilinear .55 of the subject's squared error).
    """
    return (pool(mask, height, width) > threshold).float()


def changed_cells(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Which cells of a latent [B,C,h,w] or [B,C,T,h,w] show something else afterwards, as float [B,h,w] or [BT,h,w]."""
    if before.ndim == 5:
        before, after = (x.movedim(2, 1).flatten(0, 1) for x in (before, after))
    before, after = before.float(), after.float()
    rows, columns = (window(cells, CHANGED_SIGMA, before) for cells in before.shape[-2:])
    # At the border the mean is over the cells that there are.
    rows, columns = rows / rows.sum(1, keepdim=True), columns / columns.sum(0)
    deviation = before.std(dim=(-2, -1), keepdim=True, correction=0).clamp(min=1e-3)
    apart = rows @ ((after - before) / deviation) @ columns
    return (apart.square().mean(1).sqrt() > CHANGED).float()


def cover_softly(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid: as `masks.cover`, but each cell has its strongest pixel's strength."""
    return pool(mask, height, width) * cover(mask, height, width)
