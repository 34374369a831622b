"""Shared by the tests of the benchmarks: a quick run of one, and whether the sprites are available."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from relit_scenes import subjects
from relit_scenes.materials import ImagesMissingError


def ran(main: Callable[[list[str]], int], folder: Path, *arguments: str) -> tuple[int, list[str], Path]:
    """Runs a benchmark with --quick; its exit status, its printed lines, and the folder with its images."""
    with pytest.MonkeyPatch.context() as patch:
        # The test session has its own ComfyUI folders.
        patch.setattr("devtools.executor.set_directories", lambda *folders: None)
        patch.setattr("benchmarks.common.docs.store", store_nothing)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = main(["--quick", *arguments, "--out", str(folder)])
    return status, printed.getvalue().splitlines(), folder


def store_nothing(*_: object) -> None:
    raise AssertionError("A quick run must not replace the figures of a whole one.")


def has_sprites() -> bool:
    try:
        subjects.sprite_archive()
    except ImagesMissingError:
        return False
    return True
