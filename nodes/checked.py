"""What every node does before and during its work: its widgets' values are checked, and an interrupt is heard."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from comfy.model_management import throw_exception_if_processing_interrupted
from comfy_api.latest import io

from ..phd_ops.interrupt import checking
from .validate import check_widget

Execute = TypeVar("Execute", bound=Callable[..., Any])


def checked(execute: Execute) -> Execute:
    """A node's `execute` that refuses values that do not belong on its widgets, and that an interrupt ends.

    ComfyUI checks what is written on a widget, but for NaN. What is linked to it may be of any type and out of range.
    """
    may_be_none = {name for name, one in inspect.signature(execute).parameters.items() if one.default is None}

    @functools.wraps(execute)
    def run(cls: type[io.ComfyNode], *arguments: Any, **inputs: Any) -> Any:
        for given in cls.define_schema().inputs:
            value = inputs.get(given.id)
            if given.id in inputs and not (value is None and given.id in may_be_none):
                check_widget(given, value)
        with checking(throw_exception_if_processing_interrupted):
            return execute(cls, *arguments, **inputs)

    return run  # type: ignore[return-value]
