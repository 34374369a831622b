"""Packages that only some segmenters need, imported when such a segmenter is loaded."""

import importlib
from types import ModuleType


def import_optional(module: str, package: str) -> ModuleType:
    """An optional package's module.

    Raises ValueError where it is missing or fails to import. The message is the second half of a sentence that begins
    with a file's name.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        reason = "which is not installed"
    # A package whose own dependencies do not fit fails with whatever its authors chose to raise.
    except Exception as error:
        reason = f"which cannot be imported ({' '.join(str(error).split())[:200]})"
    raise ValueError(f"needs the package {package}, {reason}; install it into ComfyUI's Python")
