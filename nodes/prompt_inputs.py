"""Segment's prompt: the text of its widgets and the boxes of other nodes, as the prompts of `phd_ops`."""

import dataclasses
import json
import re
from typing import Any

import numpy as np

from ..phd_ops.pixels.geometry import Size
from ..phd_ops.quote import quoted
from ..phd_ops.segmenters.prompt import Prompt, one_per_box
from .images import item

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
        example = "120, 80; 200, 90" if size == 2 else "40, 30, 200, 260"
        what = "pairs of numbers x, y" if size == 2 else "four numbers x, y, width, height"
        raise ValueError(f'{name} is {quoted(text)}; it must be {what}, such as "{example}".') from None


def parse_box(text: str) -> np.ndarray:
    """The box in a widget's text, as float64 [1,4], or [0,4] where it is empty. Raises ValueError."""
    boxes = parse_numbers(text, 4, "box")
    if len(boxes) > 1 or (boxes[:, 2:] <= 0).any():
        raise ValueError(f"box is {quoted(text)}; it must be one box: x, y, width, height, the last two above 0.")
    return boxes


def as_boxes(boxes: Any, count: int) -> list[np.ndarray]:
    """A BOUNDING_BOX value of any node, as float64 [N,4] (x, y, width, height) for each of `count` images.

    Accepts one box, a list of boxes for every image, or a list of such lists, one for each image. Raises ValueError.
    """
    try:
        given = [boxes] if isinstance(boxes, dict) else list(boxes)
        per_image = given and all(isinstance(group, (list, tuple)) for group in given)
        groups = given if per_image else [given] * count
        arrays = [np.array([[float(box[key]) for key in BOX_KEYS] for box in group]).reshape(-1, 4) for group in groups]
        if not all((abs(array) < MAX_COORDINATE).all() and (array[:, 2:] > 0).all() for array in arrays):
            raise ValueError
    except (ValueError, KeyError, TypeError, IndexError, OverflowError):
        problem = "must be boxes with x, y, width and height in pixels, width and height above 0"
        raise ValueError(f"boxes is {quoted(boxes)}; these {problem}.") from None
    if len(arrays) not in (1, count):
        raise ValueError(f"boxes has lists for {len(arrays)} images, and image has {count}; the numbers must be equal.")
    return arrays if len(arrays) == count else arrays * count


def prompts_per_image(
    prompt: Prompt, boxes: list[np.ndarray], rough: np.ndarray | None, count: int
) -> list[list[Prompt]]:
    """The prompts of each of `count` images: one for each of its boxes, or a single one without boxes.

    Args:
        prompt: what all images share.
        boxes: float [N,4] for each image, or a list of one for all.
        rough: rough masks [B,H,W], one for each image or one for all.
    """
    boxes = boxes * count if len(boxes) == 1 else boxes
    boxed = any(len(own) for own in boxes)
    prompts = []
    for index, own in enumerate(boxes):
        one = prompt if rough is None else dataclasses.replace(prompt, rough=item(rough, index))
        # Where only other images have boxes, a detector found nothing in this one.
        nothing = boxed and len(own) == 0 and one.empty
        prompts.append([] if nothing else one_per_box(one, own))
    return prompts
