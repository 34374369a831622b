"""Differences between ComfyUI versions, in one place. The pack supports 0.3.64 and later."""

import inspect


def newer(constructor, **words) -> dict:
    """Those of `words` that this ComfyUI's constructor knows: later schema words must not break older versions."""
    return {word: value for word, value in words.items() if word in inspect.signature(constructor).parameters}
