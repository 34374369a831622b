"""Packages that only some segmenters need, imported when such a segmenter is loaded."""

import importlib
from types import ModuleType

from ..sentence import sentence


def import_optional(module: str, package: str) -> ModuleType:
    """An optional package's module.

    Raises ValueError where it is missing or fails to import. The message is what follows a file's name and a
    colon.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ValueError(
            sentence(
                "it needs the package {package}, which is not installed; install it into ComfyUI's Python.",
                package=package,
            )
        ) from None
    # A package whose own dependencies do not fit fails with whatever its authors chose to raise.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            sentence(
                "it needs the package {package}, which cannot be imported ({reason}); install it into "
                "ComfyUI's Python.",
                package=package,
                reason=reason,
            )
        ) from None
