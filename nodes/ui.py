"""What a node shows in the browser: preview images, messages and warnings.

Messages are values. Helpers return them, and the node hands them all to `show` at its end. Only code that runs inside
a sampler, which cannot return anything to the node's `ui`, calls `warn`.
"""

import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from comfy_api.latest import io, ui
from comfy_execution.utils import get_executing_context

from ..phd_ops.pixels.geometry import Size
from ..phd_ops.pixels.masks import resize_mask

# The longer side of a preview, in pixels: showing a large scene costs no more than showing a small one.
PREVIEW_SIDE = 1024
# The key of warnings in a node's `ui`, and the name of the websocket event that carries those of a running sampler.
WARNINGS = "phd_warnings"
WHITE, ORANGE = (255, 255, 255), (255, 140, 0)


@dataclass(frozen=True)
class Message:
    """A sentence for the user. A warning is also logged, and the browser makes a toast of it."""

    text: str
    warning: bool = False


def running_node() -> tuple[Any, str] | None:
    """The server and the id of the running node; None without a server (headless) or outside a node."""
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    return None if server is None or context is None else (server, context.node_id)


def send_text(text: str) -> None:
    """Writes text onto the running node in the browser. Headless, it does nothing."""
    running = running_node()
    if running is not None:
        server, node_id = running
        server.send_progress_text(text, node_id, server.client_id)


def warn(text: str) -> None:
    """Warns from inside a running sampler: in the log, on the node, and as a toast in the browser that started the run.

    Sends the websocket event "phd_warnings": {"node": id, "warnings": [text]}. Everywhere else return a Message.
    """
    logging.getLogger(__name__).warning(text)
    send_text(text)
    running = running_node()
    # Without a client id the event would reach every open browser.
    if running is not None and running[0].client_id is not None:
        server, node_id = running
        server.send_sync(WARNINGS, {"node": node_id, "warnings": [text]}, server.client_id)


def show(cls: type[io.ComfyNode], images: Sequence[np.ndarray], messages: Iterable[Message]) -> dict[str, Any]:
    """The `ui` of a node's output: preview images, and what there is to say.

    Args:
        images: float32 [H,W,C] in 0..1, all of one shape.
        messages: in order; repeated ones are shown once. They are also written onto the node.
    Returns:
        "images"; "text", every message's text; "phd_warnings", the texts of the warnings. Both lists are there even
        when empty: where a node runs once for each item of a list, ComfyUI merges by the first run's keys.
    """
    messages = list(dict.fromkeys(messages))
    texts = [message.text for message in messages]
    warnings = [message.text for message in messages if message.warning]
    for warning in warnings:
        logging.getLogger(__name__).warning(warning)
    if texts:
        send_text("\n".join(texts))
    return {**stored(cls, images), "text": texts, WARNINGS: warnings}


def store_preview(cls: type[io.ComfyNode], image: np.ndarray) -> dict[str, Any]:
    """Stores an image [H,W,3] or [H,W,4] at preview size; returns the name under which the server gives it."""
    return dict(stored(cls, [preview(image)])["images"][0])


def stored(cls: type[io.ComfyNode], images: Sequence[np.ndarray]) -> dict[str, Any]:
    """Stores images for the browser; returns ComfyUI's "images" entry of a node's `ui`."""
    batch = torch.from_numpy(np.ascontiguousarray(np.stack(images), dtype=np.float32))
    return dict(ui.PreviewImage(batch, cls=cls).as_dict())


def preview(image: np.ndarray) -> np.ndarray:
    """Reduces an image [H,W] or [H,W,C] so that its longer side is at most PREVIEW_SIDE."""
    height, width = image.shape[:2]
    scale = min(1.0, PREVIEW_SIDE / max(height, width))
    size = Size(max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image


def outlined(image: np.ndarray, *masks: np.ndarray) -> np.ndarray:
    """The preview of an image or mask with the outlines of up to two masks: the first white, the second orange."""
    reduced = preview(image)
    reduced = np.repeat(reduced[..., None], 3, axis=-1) if reduced.ndim == 2 else reduced
    reduced = np.clip(np.nan_to_num(reduced, nan=0.0), 0, 1)
    drawn = np.ascontiguousarray(reduced * 255 + 0.5, dtype=np.uint8)
    size = Size.of(drawn)
    thickness = max(1, round(max(size) / 400))
    for mask, color in zip(masks, (WHITE, ORANGE), strict=False):
        inside = (resize_mask(mask, *size) > 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, contours, -1, color, thickness)
    return drawn.astype(np.float32) / 255
