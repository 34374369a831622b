"""Checks of inputs that ComfyUI does not make itself."""

import numbers
from collections.abc import Sequence

import numpy as np
from comfy_api.latest import io

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


def check_widget(given: io.Input, value: object) -> None:
    """Refuses a number, text or truth value that is of another type than the widget's, or out of its range."""
    fits, wanted = True, ""
    if isinstance(given, (io.Int.Input, io.Float.Input)):
        kind, name = (numbers.Integral, "whole number") if isinstance(given, io.Int.Input) else (numbers.Real, "number")
        # A NaN compares as false.
        fits = isinstance(value, kind) and given.min <= value <= given.max
        wanted = f"a {name} from {given.min} to {given.max}"
    elif isinstance(given, io.Boolean.Input):
        fits, wanted = isinstance(value, (bool, np.bool_)), "true or false"
    elif isinstance(given, io.String.Input):
        fits, wanted = isinstance(value, str), "text"
    if not fits:
        raise ValueError(f"{given.id} is {quoted(value)}; it must be {wanted}.")
