"""ComfyUI's interrupt, heard during long work on pixels."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from comfy.model_management import throw_exception_if_processing_interrupted

from ..phd_ops.interrupt import checking

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def interruptible(execute: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A node's `execute` that an interrupt ends within a second, whatever the size of its images."""

    @functools.wraps(execute)
    def checked(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        with checking(throw_exception_if_processing_interrupted):
            return execute(*arguments, **named)

    return checked
