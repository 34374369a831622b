"""Sentences for whoever looks at a node, in the browser and in the log."""

import logging
import sys

import cv2
import numpy as np
from comfy_api.latest import io, ui
from comfy_execution.utils import get_executing_context

from ..phd_ops.pixels.geometry import Size
from ..phd_ops.pixels.masks import resize_mask
from .images import as_tensor


def tell(text: str) -> None:
    """Writes text onto the running node in the browser. Without a server (headless runs) there is no one to tell."""
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    if server is not None and context is not None:
        server.send_progress_text(text, context.node_id, server.client_id)


def warn(text: str) -> None:
    """Says what went otherwise than asked, on the node and in the log."""
    logging.getLogger(__name__).warning(text)
    tell(text)


# An image on a node is never larger than this, so that showing a large scene costs no more than a small one.
PREVIEW_SIDE = 1024


def preview(image: np.ndarray) -> np.ndarray:
    """An array [H,W] or [H,W,C], its longer side no more than PREVIEW_SIDE."""
    height, width = image.shape[:2]
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    size = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image


def outlined(image: np.ndarray, *masks: np.ndarray) -> np.ndarray:
    """An image or a mask for a node to show, with the edges of masks on it: the first white, the second orange."""
    reduced = preview(image)
    reduced = np.repeat(reduced[..., None], 3, axis=-1) if reduced.ndim == 2 else reduced
    drawn = np.ascontiguousarray(reduced * 255 + 0.5, dtype=np.uint8)
    size = Size.of(drawn)
    thick = max(1, round(max(size) / 400))
    for mask, color in zip(masks, ((255, 255, 255), (255, 140, 0)), strict=False):
        inside = (resize_mask(mask, *size) > 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, contours, -1, color, thick)
    return drawn.astype(np.float32) / 255


def stored(cls: type[io.ComfyNode], image: np.ndarray) -> dict:
    """An image [H,W,3] or [H,W,4] for the browser: the name under which the server gives it, at preview size."""
    return dict(ui.PreviewImage(as_tensor([preview(image)]), cls=cls).as_dict()["images"][0])


def shown(cls: type[io.ComfyNode], images: list[np.ndarray], *messages: str) -> dict:
    """What a node shows on itself: images, and sentences for whoever reads or calls over the API."""
    result = dict(ui.PreviewImage(as_tensor(images), cls=cls).as_dict())
    messages = tuple(dict.fromkeys(messages))
    if messages:
        result["text"] = messages
        tell("\n".join(messages))
    return result
