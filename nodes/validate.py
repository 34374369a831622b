"""Checks of widget values that ComfyUI does not make itself."""

import math


def check_choice(name: str, value: str, options: list[str]) -> None:
    """Refuses a value that a combo does not offer; ComfyUI 0.3.64 does not check that itself."""
    if value not in options:
        raise ValueError(f"{name} is {value!r}; it must be one of: {', '.join(options)}.")


def check_numbers(**values: float) -> None:
    """Refuses NaN in a widget, which ComfyUI's check of the widget's range lets pass. Names are the widgets'."""
    for name, value in values.items():
        if math.isnan(value):
            raise ValueError(f"{name} is {value}; it must be a number.")
