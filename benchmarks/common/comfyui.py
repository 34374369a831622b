"""ComfyUI for the benchmarks: start it, give it temporary folders, keep it quiet, and call one of its nodes."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

from devtools import comfyui, executor
from devtools.comfyui import activate, device_arguments, get_comfyui, register_pack


def start_comfyui(*arguments: str) -> dict[str, type]:
    """Makes ComfyUI importable, registers core's extra nodes and the pack's, and returns the pack's nodes by id.

    arguments: for ComfyUI's command line, besides those that name the device.
    """
    activate(get_comfyui(), (*device_arguments(), *arguments))
    executor.load_core_extras()
    return register_pack()


@contextlib.contextmanager
def temporary_folders() -> Iterator[Path]:
    """ComfyUI's input, output and temp folders, inside a folder that is deleted at the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        executor.set_directories(folder / "input", folder / "output", folder / "temp")
        yield folder


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Turns off ComfyUI's progress bars and its log below warnings: a benchmark makes hundreds of runs."""
    import comfy.utils

    logger, shown = logging.getLogger(), comfy.utils.PROGRESS_BAR_ENABLED
    level = logger.level
    logger.setLevel(logging.WARNING)
    comfy.utils.set_progress_bar_enabled(False)
    try:
        yield
    finally:
        logger.setLevel(level)
        comfy.utils.set_progress_bar_enabled(shown)


def call(node_id: str, **inputs) -> tuple:
    """Runs one node of ComfyUI or of the pack, and returns its outputs. Handles the V1 and the V3 node API."""
    import nodes

    node = nodes.NODE_CLASS_MAPPINGS[node_id]
    if hasattr(node, "GET_SCHEMA"):
        return node.execute(**inputs).result
    return getattr(node(), node.FUNCTION)(**inputs)


def widget_defaults(node_id: str) -> dict:
    """The widgets of one of the pack's nodes with their default values, as a user finds them."""
    import nodes

    return comfyui.widget_defaults(nodes.NODE_CLASS_MAPPINGS[node_id])
