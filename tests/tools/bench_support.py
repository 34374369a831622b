"""What the tests of benchmarks share: a run of one, and whether there are sprites."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from relit_scenes import subjects
from relit_scenes.materials import ImagesMissingError


def ran(main: Callable[[list[str]], int], folder: Path, *arguments: str) -> tuple[int, list[str], Path]:
    """Exit status, what was printed, and the folder with the images, of a quick run."""
    with pytest.MonkeyPatch.context() as patch:
        # The session has its own folders.
        patch.setattr("devtools.executor.set_directories", lambda *folders: None)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = main(["--quick", *arguments, "--out", str(folder)])
    return status, printed.getvalue().splitlines(), folder


def has_sprites() -> bool:
    try:
        subjects.sprite_archive()
    except ImagesMissingError:
        return False
    return True
