"""What a node shows in the browser and leaves in the history of a run: preview images, messages and warnings.

Messages are values. Helpers return them, and the node hands them all to `show` or `show_text` at its end. Only code
that runs inside a sampler, which cannot return anything to the node's `ui`, calls `tell` and `warn`; the node that
samples gathers what they say with `gathered`.

None of the pack's nodes is an output node: ComfyUI would run it also where the rest of a prompt is invalid, and call
that a success. A node needs no such flag for its `ui`: ComfyUI sends it to the page ("executed") and keeps it in
/history for every node that ran. Of a node whose result is cached, 0.3.64 keeps it in /history but sends nothing;
newer versions do both, given HAS_UI.
"""

import contextlib
import contextvars
import logging
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import folder_paths
import numpy as np
from comfy_api import feature_flags
from comfy_api.latest import io
from comfy_execution.utils import get_executing_context

from ..phd_ops.pixels.geometry import Size
from ..phd_ops.pixels.masks import resize_mask
from ..phd_ops.pixels.resample import reduce
from ..phd_ops.sentence import sentence
from .compat import newer

# Schema words of a node that returns `ui`: newer versions of ComfyUI then give it again when the node is cached.
HAS_UI = newer(io.Schema, has_intermediate_output=True)
# The longer side of a preview, in pixels: showing a large scene costs no more than showing a small one.
PREVIEW_SIDE = 1024
# Of JPEG and WebP, in percent.
PREVIEW_QUALITY = 85
# The key of warnings in a node's `ui`, and the name of the websocket event that carries those of a running sampler.
WARNINGS = "phd_warnings"
WHITE, ORANGE = (255, 255, 255), (255, 140, 0)


@dataclass(frozen=True)
class Message:
    """A sentence for the user. A warning is also logged, and the browser makes a toast of it."""

    text: str
    warning: bool = False


def by_image(messages: Sequence[Sequence[Message]]) -> list[Message]:
    """The messages about each image of a batch in one list. Those that are not about all images name theirs."""
    numbers: dict[Message, list[int]] = {}
    for number, own in enumerate(messages, 1):
        for message in dict.fromkeys(own):
            numbers.setdefault(message, []).append(number)
    return [
        message if len(of) == len(messages) else replace(message, text=about_images(of, message.text))
        for message, of in numbers.items()
    ]


def about_images(numbers: list[int], message: str) -> str:
    """A message that begins with the images that it is about, by their ascending numbers: "Images 1-4, 7: …"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    named = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    if len(numbers) == 1:
        return sentence("Image {number}: {message}", number=named, message=message)
    return sentence("Images {numbers}: {message}", numbers=named, message=message)


class Page(NamedTuple):
    """The browser page that started a run, and the node that is running."""

    server: Any
    client_id: str
    node_id: str


# What `tell` and `warn` said since `gathered` was entered; None outside.
_said: contextvars.ContextVar[list[Message] | None] = contextvars.ContextVar("_said", default=None)


def listening_page() -> Page | None:
    """The page that started this run; None where it is closed, and where there is none: over the API, or headless.

    ComfyUI's page says which features it knows as it connects. Programs that drive the API do not: some take our
    frames of text for images, and no one looks at a preview.
    """
    server = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
    context = get_executing_context()
    client_id, sockets = getattr(server, "client_id", None), getattr(server, "sockets_metadata", None)
    # What programs that run ComfyUI without its server put in its place may have any attributes, and no sockets.
    if context is None or not isinstance(client_id, str) or not isinstance(sockets, dict):
        return None
    known = feature_flags.supports_feature(sockets, client_id, "supports_preview_metadata")
    return Page(server, client_id, context.node_id) if known else None


def send_text(text: str) -> None:
    """Writes text onto the running node in the browser. Without a page it does nothing."""
    page = listening_page()
    if page is not None:
        page.server.send_progress_text(text, page.node_id, sid=page.client_id)


@contextlib.contextmanager
def gathered() -> Iterator[list[Message]]:
    """Gathers what `tell` and `warn` say inside, for the `ui` of the node that samples."""
    said: list[Message] = []
    token = _said.set(said)
    try:
        yield said
    finally:
        _said.reset(token)


def tell(text: str, *, warning: bool = False) -> None:
    """Says something from inside a running sampler: on the node at once, and to `gathered`."""
    said = _said.get()
    if said is None:
        send_text(text)
        return
    said.append(Message(text, warning))
    # A text replaces the one before it.
    send_text("\n".join(as_ui(said)["text"]))


def warn(text: str) -> None:
    """Warns from inside a running sampler: as `tell`, in the log, and as a toast in the browser that started the run.

    Sends the websocket event "phd_warnings": {"node": id, "warnings": [text]}. Everywhere else return a Message.
    """
    logging.getLogger(__name__).warning(text)
    tell(text, warning=True)
    page = listening_page()
    if page is not None:
        page.server.send_sync(WARNINGS, {"node": page.node_id, "warnings": [text]}, page.client_id)


def as_ui(messages: Iterable[Message]) -> dict[str, list[str]]:
    """Messages as a part of a node's `ui`: "text", every one's text, and "phd_warnings", those of the warnings.

    They are in order, and repeated ones are there once. Both lists are there even when empty: where a node runs once
    for each item of a list, ComfyUI merges by the first run's keys.
    """
    messages = list(dict.fromkeys(messages))
    return {
        "text": [message.text for message in messages],
        WARNINGS: [message.text for message in messages if message.warning],
    }


def show_text(messages: Iterable[Message]) -> dict[str, Any]:
    """The `ui` of a node that ends with messages, which are also written onto the node; warnings are logged."""
    said = as_ui(messages)
    for warning in said[WARNINGS]:
        logging.getLogger(__name__).warning(warning)
    if said["text"]:
        send_text("\n".join(said["text"]))
    return said


def show(previews: Iterable[np.ndarray], messages: Iterable[Message]) -> dict[str, Any]:
    """The `ui` of a node that ends with previews and messages, see `show_text`.

    Args:
        previews: uint8 [H,W,3] or [H,W,4]. Give a generator: without a page they are not even drawn.
    """
    return {"images": stored_for_page(previews), **show_text(messages)}


def stored_for_page(previews: Iterable[np.ndarray]) -> list[dict[str, str]]:
    """Stores previews, see `show`, and returns their names; none without a page that could show them."""
    return [] if listening_page() is None else [store_preview(image) for image in previews]


def store_preview(image: np.ndarray) -> dict[str, str]:
    """Stores a preview, uint8 [H,W,3] or [H,W,4]; returns the name under which ComfyUI's server gives it."""
    if image.shape[-1] == 4:
        ending, quality, order = ".webp", cv2.IMWRITE_WEBP_QUALITY, cv2.COLOR_RGBA2BGRA
    else:
        ending, quality, order = ".jpg", cv2.IMWRITE_JPEG_QUALITY, cv2.COLOR_RGB2BGR
    # Some builds of OpenCV have no WebP.
    ending, options = (ending, [quality, PREVIEW_QUALITY]) if cv2.haveImageWriter(ending) else (".png", [])
    _, encoded = cv2.imencode(ending, cv2.cvtColor(image, order), options)
    folder = Path(folder_paths.get_temp_directory())
    folder.mkdir(parents=True, exist_ok=True)
    name = f"phd_{uuid.uuid4().hex}{ending}"
    (folder / name).write_bytes(encoded.tobytes())
    return {"filename": name, "subfolder": "", "type": "temp"}


def preview(image: np.ndarray) -> np.ndarray:
    """An image [H,W] or [H,W,C] in 0..1 as uint8, reduced so that its longer side is at most PREVIEW_SIDE."""
    reduced = reduce(image, Size.of(image).reduced_to(PREVIEW_SIDE))
    return (np.clip(np.nan_to_num(reduced, nan=0.0), 0, 1) * 255 + 0.5).astype(np.uint8)


def outlined(image: np.ndarray, *masks: np.ndarray) -> np.ndarray:
    """The preview of an image or mask with the outlines of up to two masks: the first white, the second orange."""
    reduced = preview(image)
    drawn = np.ascontiguousarray(np.repeat(reduced[..., None], 3, axis=-1) if reduced.ndim == 2 else reduced)
    size = Size.of(drawn)
    thickness = max(1, round(max(size) / 400))
    for mask, color in zip(masks, (WHITE, ORANGE), strict=False):
        inside = (resize_mask(mask, *size) > 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(inside, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, contours, -1, color, thickness)
    return drawn
