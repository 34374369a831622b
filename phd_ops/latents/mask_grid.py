"""Pixel masks on the latent grid, and which latent cells have changed.

Masks of what may change are max-pooled, never averaged.
"""

import torch

from ..local_linear import window

# Latent cells whose difference, as a share of the latent's own deviation, is above CHANGED have visibly changed. The
# difference is averaged over CHANGED_SIGMA cells: texture averages out, a shadow does not.
CHANGED, CHANGED_SIGMA = 0.2, 1.5

# Images per latent frame after the first, which is one image: Wan and HunyuanVideo 4, Mochi 6, LTX-Video and Cosmos 8.
TEMPORAL_STRIDES = (4, 6, 8)


def on_grid(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The part of a pixel mask [B,H,W] that a latent grid of height × width cells covers.

    Where the grid's cells do not fill the image, the remainder is cropped on both sides, as ComfyUI's VAE does.
    """
    cell = mask.shape[-2] // height
    if cell > 0 and (mask.shape[-2] // cell, mask.shape[-1] // cell) == (height, width):
        top, left = mask.shape[-2] % cell // 2, mask.shape[-1] % cell // 2
        mask = mask[..., top : top + cell * height, left : left + cell * width]
    return mask


def greatest(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: each cell has the greatest value of its pixels."""
    return torch.nn.functional.adaptive_max_pool2d(on_grid(mask, height, width)[:, None], (height, width))[:, 0]


def share(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: each cell has the mean value of its pixels."""
    return torch.nn.functional.adaptive_avg_pool2d(on_grid(mask, height, width)[:, None], (height, width))[:, 0]


def cover(mask: torch.Tensor, height: int, width: int, threshold: float = 1 / 255) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid [B,height,width]: 1 where any pixel of the cell is above `threshold`.

    No averaging and no rounding: one old edge cell left in the known region drags the old lighting back. Measured, as a
    share of the subject's squared error: cover .09, nearest .64, bilinear .55.
    """
    return (greatest(mask, height, width) > threshold).float()


def changed_cells(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Which cells of a latent [B,C,h,w] or [B,C,T,h,w] have visibly changed, as float [B,h,w] or [BT,h,w]."""
    if before.ndim == 5:
        before, after = (x.movedim(2, 1).flatten(0, 1) for x in (before, after))
    before, after = before.float(), after.float()
    rows, columns = (window(cells, CHANGED_SIGMA, before) for cells in before.shape[-2:])
    # At the border the mean is over the cells inside.
    rows, columns = rows / rows.sum(1, keepdim=True), columns / columns.sum(0)
    deviation = before.std(dim=(-2, -1), keepdim=True, correction=0).clamp(min=1e-3)
    difference = rows @ ((after - before) / deviation) @ columns
    return (difference.square().mean(1).sqrt() > CHANGED).float()


def cover_softly(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """A pixel mask [B,H,W] on the latent grid: as `cover`, but each cell has the value of its strongest pixel."""
    return greatest(mask, height, width) * cover(mask, height, width)


def temporal_stride(images: int, frames: int) -> int | None:
    """How many images each of a video's latent frames but the first stands for, or None if no video VAE has it so."""
    strides = (stride for stride in TEMPORAL_STRIDES if frames > 1 and images == 1 + stride * (frames - 1))
    return next(strides, None)


def on_latent_frames(mask: torch.Tensor, frames: int, *, mean: bool = False) -> torch.Tensor:
    """Masks of a video's images [B,N,h,w] on its latent frames [B,frames,h,w].

    The first frame is the first image; each later one has the maximum of the images of its stride, or their mean.
    N must have a `temporal_stride`.
    """
    strides = mask[:, 1:].unflatten(1, (frames - 1, -1))
    return torch.cat([mask[:, :1], strides.mean(2) if mean else strides.amax(2)], dim=1)


def on_video_images(mask: torch.Tensor, images: int) -> torch.Tensor:
    """Masks of latent frames [frames,h,w] of one or several videos, all of one length, on their images [images,h,w];
    others, of any number, as they are.

    Each image has the mask of the latent frame that stands for it, see `on_latent_frames`. How many videos they are is
    not known: the fewest that fit.
    """
    for videos in range(1, len(mask) // 2 + 1):
        if len(mask) % videos or images % videos:
            continue
        stride = temporal_stride(images // videos, len(mask) // videos)
        if stride is not None:
            by_video = mask.unflatten(0, (videos, -1))
            return torch.cat([by_video[:, :1], by_video[:, 1:].repeat_interleave(stride, 1)], 1).flatten(0, 1)
    return mask
