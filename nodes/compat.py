"""Differences between ComfyUI versions, in one place. The pack supports 0.3.64 and later."""

import inspect
import math


def newer(constructor, **words) -> dict:
    """Those of `words` that this ComfyUI's constructor knows: later schema words must not break older versions."""
    return {word: value for word, value in words.items() if word in inspect.signature(constructor).parameters}


def check_choice(name: str, value: str, options: list[str]) -> None:
    """Refuses a value that a combo does not offer; ComfyUI 0.3.64 does not check that itself."""
    if value not in options:
        raise ValueError(f"{name} is {value!r}; it must be one of: {', '.join(options)}.")


def check_numbers(**values: float) -> None:
    """Refuses NaN in a widget, which ComfyUI's check of the widget's range lets pass. Names are the widgets'."""
    for name, value in values.items():
        if math.isnan(value):
            raise ValueError(f"{name} is {value}; it must be a number.")
