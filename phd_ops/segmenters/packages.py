"""Packages that only some segmenters need: imported where they are used."""

import importlib
from types import ModuleType


def needed(module: str, package: str) -> ModuleType:
    """An optional package's module.

    Where it is missing or does not import, raises ValueError with what goes after a file's name in a sentence.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        reason = "which is not installed"
    # Some packages fail in ways of their own when others that they ask for do not fit.
    except Exception as error:
        reason = f"which does not import ({' '.join(str(error).split())[:200]})"
    raise ValueError(f"needs the package {package}, {reason}; install it into ComfyUI's Python")
