"""Checks of inputs that ComfyUI does not make itself."""

import numbers
from collections.abc import Sequence

import numpy as np
from comfy_api.latest import io

from ..phd_ops.quote import quoted
from ..phd_ops.sentence import sentence


def check_choice(name: str, value: str, options: Sequence[str]) -> None:
    """Refuses a value that a combo does not offer, which ComfyUI 0.3.64 lets pass. `name` is the widget's."""
    if value not in options:
        raise ValueError(
            sentence(
                "{name} is {value}; it must be one of: {options}.",
                name=name,
                value=quoted(value),
                options=", ".join(options),
            )
        )


def check_socket(name: str, value: object, kind: type | tuple[type, ...], wanted: str) -> None:
    """Refuses what is not of a socket's type: null or a number written into a prompt, which ComfyUI lets pass.

    `name` is the input's, `wanted` what belongs there, such as "an IMAGE".
    """
    if not isinstance(value, kind):
        raise ValueError(
            sentence("{name} is {value}; connect {wanted} to it.", name=name, value=quoted(value), wanted=wanted)
        )


def check_conditioning(name: str, value: object) -> None:
    """Refuses what is no CONDITIONING: a list of pairs of a tensor and a dict. `name` is the input's."""
    is_one = isinstance(value, list) and all(
        isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[1], dict) for pair in value
    )
    if not is_one:
        raise ValueError(
            sentence(
                "{name} is {value}; connect a prompt, such as from CLIP Text Encode, to it.",
                name=name,
                value=quoted(value),
            )
        )


def check_prompt(name: str, value: object) -> None:
    """Refuses what is no CONDITIONING, and an empty one. `name` is the input's."""
    check_conditioning(name, value)
    if not value:
        raise ValueError(sentence("{name} is empty: connect a prompt, such as from CLIP Text Encode.", name=name))


def check_widget(given: io.Input, value: object) -> None:
    """Refuses a number, text or truth value that is of another type than the widget's, or out of its range."""
    fits, wanted = True, ""
    if isinstance(given, (io.Int.Input, io.Float.Input)):
        whole = isinstance(given, io.Int.Input)
        # A NaN compares as false.
        fits = isinstance(value, numbers.Integral if whole else numbers.Real) and given.min <= value <= given.max
        low, high = given.min, given.max
        wanted = (
            sentence("a whole number from {low} to {high}", low=low, high=high)
            if whole
            else sentence("a number from {low} to {high}", low=low, high=high)
        )
    elif isinstance(given, io.Boolean.Input):
        fits, wanted = isinstance(value, (bool, np.bool_)), sentence("true or false")
    elif isinstance(given, io.String.Input):
        fits, wanted = isinstance(value, str), sentence("text")
    if not fits:
        raise ValueError(
            sentence("{name} is {value}; it must be {wanted}.", name=given.id, value=quoted(value), wanted=wanted)
        )
