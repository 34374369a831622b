"""Differences between ComfyUI versions, in one place. The pack supports 0.3.64 and later."""

import inspect
from collections.abc import Callable
from typing import Any


def newer(constructor: Callable[..., Any], **words: Any) -> dict[str, Any]:
    """Those of `words` that this ComfyUI's constructor accepts: newer schema words must not break older versions."""
    return {word: value for word, value in words.items() if word in inspect.signature(constructor).parameters}
