"""Between ComfyUI's tensors and the arrays of `phd_ops`: pictures, masks, batches, and what a node shows on itself."""

import cv2
import numpy as np
import torch
from comfy_api.latest import io, ui

from ..phd_ops.geometry import Size
from ..phd_ops.masks import as_mask, resize_mask
from .messages import tell

# A picture on a node is never larger than this, so that showing a large scene costs no more than a small one.
PREVIEW_SIDE = 1024


def pixels(size: Size) -> str:
    return f"{size.width}×{size.height} pixels"


def as_pictures(image: torch.Tensor, name: str) -> np.ndarray:
    """An IMAGE as float32 [B,H,W,C] in 0..1, C 3 or 4; grey becomes RGB. `name` is the input's, for messages."""
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or 0 in image.shape or image.shape[-1] not in (1, 3, 4):
        shape = tuple(image.shape)
        raise ValueError(f"{name} must be a picture [B,H,W,C] with 1, 3 or 4 channels; this one is {shape}.")
    image = image.detach().cpu().float()
    low, high = torch.aminmax(image)
    # A NaN compares as false. What is in range is not copied.
    if not (low >= 0 and high <= 1):
        image = torch.nan_to_num(image, nan=0.0, posinf=1.0, neginf=0.0).clamp(0, 1)
    pictures = image.numpy()
    return np.repeat(pictures, 3, axis=-1) if pictures.shape[-1] == 1 else pictures


def named_mask(mask: torch.Tensor, name: str) -> torch.Tensor:
    """A MASK as `as_mask` gives it; its errors say which input they mean."""
    try:
        return as_mask(mask)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def as_masks(mask: torch.Tensor, like: np.ndarray, name: str, told: list[str]) -> np.ndarray:
    """A MASK as float32 [B,h,w], brought to the size of `like` ([B,h,w,C]); what was done is added to `told`."""
    masks, size = named_mask(mask, name).numpy(), Size.of(like[0])
    if Size.of(masks[0]) == size:
        return masks
    told.append(f"{name} is {pixels(Size.of(masks[0]))} and was resized to its picture's {pixels(size)}.")
    return np.stack([resize_mask(item, *size) for item in masks])


def common_batch(**batches: np.ndarray) -> int:
    """The batch size that all inputs share when those of one item serve every item. Names are the inputs'."""
    sizes = {name: len(batch) for name, batch in batches.items()}
    count = max(sizes.values())
    if any(size not in (1, count) for size in sizes.values()):
        told = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ValueError(f"Batches must be of one size, or of size 1: {told}.")
    return count


def item(batch: np.ndarray, index: int) -> np.ndarray:
    return batch[index if len(batch) > 1 else 0]


def as_tensor(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.stack(arrays), dtype=np.float32))


def preview(picture: np.ndarray) -> np.ndarray:
    """An array [H,W] or [H,W,C], its longer side no more than PREVIEW_SIDE."""
    height, width = picture.shape[:2]
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    size = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else picture


def outlined(picture: np.ndarray, *masks: np.ndarray) -> np.ndarray:
    """A picture or a mask for a node to show, with the edges of masks on it: the first white, the second orange."""
    reduced = preview(picture)
    reduced = np.repeat(reduced[..., None], 3, axis=-1) if reduced.ndim == 2 else reduced
    drawn = np.ascontiguousarray(reduced * 255 + 0.5, dtype=np.uint8)
    size = Size.of(drawn)
    thick = max(1, round(max(size) / 400))
    for mask, colour in zip(masks, ((255, 255, 255), (255, 140, 0)), strict=False):
        inside = (resize_mask(mask, *size) > 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, contours, -1, colour, thick)
    return drawn.astype(np.float32) / 255


def stored(cls: type[io.ComfyNode], picture: np.ndarray) -> dict:
    """A picture [H,W,3] or [H,W,4] for the browser: the name under which the server gives it, at preview size."""
    return dict(ui.PreviewImage(as_tensor([preview(picture)]), cls=cls).as_dict()["images"][0])


def shown(cls: type[io.ComfyNode], pictures: list[np.ndarray], *messages: str) -> dict:
    """What a node shows on itself: pictures, and sentences for whoever reads or calls over the API."""
    result = dict(ui.PreviewImage(as_tensor(pictures), cls=cls).as_dict())
    messages = tuple(dict.fromkeys(messages))
    if messages:
        result["text"] = messages
        tell("\n".join(messages))
    return result
