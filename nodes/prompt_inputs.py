"""Segment's prompt: the text of its widgets and the boxes of other nodes, as the prompts of `phd_ops`."""

import dataclasses
import json
import re
from typing import Any

import numpy as np
from comfy_api.latest import io

from ..phd_ops.pixels.geometry import Size
from ..phd_ops.quote import quoted
from ..phd_ops.segmenters.prompt import Prompt, one_per_box
from ..phd_ops.sentence import sentence
from .images import item, pixels
from .ui import Message, by_image

BoundingBox = io.Custom("BOUNDING_BOX")

# No image is this wide. Coordinates beyond it, NaN and infinity are mistakes.
MAX_COORDINATE = 1e6
BOX_KEYS = ("x", "y", "width", "height")


def parse_numbers(text: str, size: int, name: str) -> np.ndarray:
    """The groups of `size` numbers in a widget's text, as float64 [N,size].

    Accepts "x, y; x, y", "[[x, y], ...]" and '[{"x": 1, "y": 2}, ...]'. Raises ValueError that names the widget.
    """
    text = text.strip()
    try:
        if text.startswith("[") and "{" in text:
            numbers = [float(group[key]) for group in json.loads(text) for key in BOX_KEYS[:size]]
        elif re.fullmatch(r"[\d\s.,;eE+\-\[\]()]*", text):
            numbers = [float(number) for number in re.split(r"[\s,;\[\]()]+", text) if number]
        else:
            raise ValueError
        groups = np.array(numbers, np.float64).reshape(-1, size)
        if not (abs(groups) < MAX_COORDINATE).all():
            raise ValueError
        return groups
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        wanted = (
            sentence('pairs of numbers x, y, such as "120, 80; 200, 90"')
            if size == 2
            else sentence('four numbers x, y, width, height, such as "40, 30, 200, 260"')
        )
        raise ValueError(
            sentence("{name} is {value}; it must be {wanted}.", name=name, value=quoted(text), wanted=wanted)
        ) from None


def parse_box(text: str) -> np.ndarray:
    """The box in a widget's text, as float64 [1,4], or [0,4] where it is empty. Raises ValueError."""
    boxes = parse_numbers(text, 4, "box")
    if len(boxes) > 1 or (boxes[:, 2:] <= 0).any():
        raise ValueError(
            sentence(
                "box is {value}; it must be one box: x, y, width, height, the last two above 0.", value=quoted(text)
            )
        )
    return boxes


def as_boxes(boxes: Any, count: int) -> list[np.ndarray]:
    """A BOUNDING_BOX value of any node, as float64 [N,4] (x, y, width, height) for each of `count` images.

    Accepts one box, a list of boxes for every image, or a list of such lists, one for each image. Raises ValueError.
    """
    try:
        given = [boxes] if isinstance(boxes, dict) else list(boxes)
        per_image = given and all(isinstance(group, (list, tuple)) for group in given)
        groups = given if per_image else [given] * count
        if not all(isinstance(box, dict) for group in groups for box in group):
            raise TypeError
        arrays = [np.array([[float(box[key]) for key in BOX_KEYS] for box in group]).reshape(-1, 4) for group in groups]
        if not all((abs(array) < MAX_COORDINATE).all() and (array[:, 2:] > 0).all() for array in arrays):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        raise ValueError(
            sentence(
                "boxes is {value}; these must be boxes with x, y, width and height in pixels, width and "
                "height above 0.",
                value=quoted(boxes),
            )
        ) from None
    if len(arrays) not in (1, count):
        raise ValueError(
            sentence(
                "boxes has lists for {lists} images, and image has {count}; the numbers must be equal.",
                lists=len(arrays),
                count=count,
            )
        )
    return arrays if len(arrays) == count else arrays * count


def in_pixels(groups: np.ndarray, text: str, name: str, size: Size) -> tuple[np.ndarray, list[Message]]:
    """Points [N,2] or boxes [N,4] in pixels; and a message where they were written as fractions of the image.

    Fractions are numbers of 0 to 1 only, at least one of them with a decimal point. No subject is that close to the
    image's corner.

    Args:
        groups: as `parse_numbers` gives them.
        text: as they were written.
        name: the input's.
        size: of the image.
    """
    if not (groups.size and (groups >= 0).all() and (groups <= 1).all() and "." in text):
        return groups, []
    scaled = groups * np.resize(size, groups.shape[1])
    if groups.shape[1] == 2:
        # 1 is the last pixel.
        scaled = np.minimum(scaled, np.subtract(size, 1))
    message = sentence(
        "{name} has numbers of 0 to 1 only: they are taken as fractions of the image's {size}.",
        name=name,
        size=pixels(size),
    )
    return scaled, [Message(message)]


def linked_boxes(boxes: Any, count: int, size: Size) -> tuple[list[np.ndarray] | None, list[Message]]:
    """The boxes of another node in pixels, float [N,4] for each of `count` images of that size; and messages."""
    if boxes is None:
        return None, []
    text, arrays, messages = str(boxes), [], []
    for own in as_boxes(boxes, count):
        array, scaled = in_pixels(own, text, "boxes", size)
        arrays.append(array)
        messages += scaled
    return arrays, messages


def prompts_per_image(
    prompt: Prompt, boxes: list[np.ndarray] | None, rough: np.ndarray | None, count: int
) -> tuple[list[list[Prompt]], list[Message]]:
    """The prompts of each of `count` images, and messages. An image's prompts do not depend on the other images.

    An image has one prompt for each of its boxes, or a single one without boxes. It has none where another node
    was connected but detected nothing (no box, or an empty mask), and there are no points.

    Args:
        prompt: what all images share; with its box.
        boxes: of another node, float [N,4] for each image; None without one.
        rough: rough masks [B,H,W], one for each image or one for all.
    """
    prompts, messages = [], []
    for index in range(count):
        messages.append([])
        one = prompt if boxes is None else dataclasses.replace(prompt, box=None)
        own = np.zeros((0, 4)) if boxes is None else boxes[index]
        mask = None if rough is None else item(rough, index)
        pointed = one.box is not None or len(own) > 0 or len(one.positive) > 0
        if mask is not None and not (mask > 0.5).any():
            where = sentence("nothing is pointed at") if not pointed else sentence("the box and the points decide")
            messages[-1].append(
                Message(sentence("rough_mask is empty (nowhere above 0.5): {where}.", where=where), warning=True)
            )
            mask = None
        one = dataclasses.replace(one, rough=mask)
        nothing = not pointed and mask is None and (boxes is not None or rough is not None)
        prompts.append([] if nothing else [one] if boxes is None else one_per_box(one, own))
    return prompts, by_image(messages)
