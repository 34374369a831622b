"""API workflows as a benchmark runs them: the titles of their nodes select inputs and the result.

Images and masks go into Load Image and Load Image (as Mask) nodes, prompts into any node with a text, and every seed is
set. The image of the node titled Result is what counts. `workflow_runners` has what runs them.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from devtools.server import as_png

RESULT = "result"
TEXTS, SEEDS = ("text", "prompt", "value"), ("seed", "noise_seed")


class WorkflowInputError(ValueError):
    """A workflow, a grid or a server that cannot be used; the message is one sentence for the user."""


def read(file: Path) -> dict:
    """A workflow in API format. Raises WorkflowInputError where the file holds none with a node titled Result."""
    try:
        workflow = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise WorkflowInputError(f"--workflow: {file} is not a readable JSON file.") from None
    nodes = workflow.values() if isinstance(workflow, dict) else ()
    if not nodes or not all(isinstance(node, dict) and "class_type" in node for node in nodes):
        problem = "is not in ComfyUI's API format; export it with Workflow, Export (API)"
        raise WorkflowInputError(f"--workflow: {file} {problem}.")
    if RESULT not in titled(workflow):
        raise WorkflowInputError(
            f"--workflow: no node of {file} is titled Result; title the node whose image is to be scored."
        )
    return workflow


def title_of(node: dict) -> str:
    """In lower case."""
    return node.get("_meta", {}).get("title", "").strip().lower()


def titled(workflow: dict) -> dict[str, str]:
    """Lower-case title -> node id."""
    return {title_of(node): name for name, node in workflow.items()}


def put(node: dict, names: tuple[str, ...], value, title: str) -> None:
    """Sets the first of these inputs that a node has."""
    for name in names:
        if name in node["inputs"]:
            node["inputs"][name] = value
            return
    raise WorkflowInputError(f"--workflow: the node titled {title.title()} has no input {' or '.join(names)}.")


def bound(
    workflow: dict, images: dict[str, np.ndarray], prompts: dict[str, str], seed: int, keep: Callable[[bytes], str]
) -> dict:
    """A copy of the workflow with its titled inputs and all seeds set.

    Args:
        images: by lower-case title, float32 [H,W,3] or [H,W] in 0..1.
        prompts: by lower-case title.
        keep: stores a PNG file and returns its name in ComfyUI's input folder.
    """
    workflow = copy.deepcopy(workflow)
    for title, name in titled(workflow).items():
        if title in images:
            array = images[title]
            array = array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2)
            put(workflow[name], ("image",), keep(as_png((array * 255 + 0.5).astype(np.uint8))), title)
        elif title in prompts:
            put(workflow[name], TEXTS, prompts[title], title)
    for node in workflow.values():
        for key in SEEDS:
            if isinstance(node["inputs"].get(key), int):
                node["inputs"][key] = seed
    return workflow
