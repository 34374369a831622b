"""Checks of widget values that ComfyUI does not make itself."""

import math
from collections.abc import Sequence

from ..phd_ops.quote import quoted


def check_choice(name: str, value: str, options: Sequence[str]) -> None:
    """Refuses a value that a combo does not offer, which ComfyUI 0.3.64 lets pass. `name` is the widget's."""
    if value not in options:
        raise ValueError(f"{name} is {quoted(value)}; it must be one of: {', '.join(options)}.")


def check_socket(name: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Refuses what is not of a socket's type: null or a number written into a prompt, which ComfyUI lets pass.

    `name` is the input's, `wanted` what belongs there, such as "an IMAGE".
    """
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {quoted(value)}; connect {wanted} to it.")


def check_conditioning(name: str, value: object) -> None:
    """Refuses what is no CONDITIONING: a list of pairs of a tensor and a dict. `name` is the input's."""
    is_one = isinstance(value, list) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[1], dict) for pair in value
    )
    if not is_one:
        raise ValueError(f"{name} is {quoted(value)}; connect a prompt, such as from CLIP Text Encode, to it.")


def check_numbers(**values: float) -> None:
    """Refuses NaN in a widget, which ComfyUI's check of the widget's range lets pass. Names are the widgets'."""
    for name, value in values.items():
        if math.isnan(value):
            raise ValueError(f"{name} is {value}; it must be a number.")
