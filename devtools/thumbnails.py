"""The images in ComfyUI's list of templates: what each of them makes, with the demo model where it needs a file."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from devtools.comfyui import register_pack
from devtools.executor import run_workflow, set_directories
from devtools.templates import with_demo_model
from devtools.workflows import WORKFLOWS

QUALITY = 88


def write_thumbnails() -> Iterator[Path]:
    """Runs every template, and yields the path of its image when it is written."""
    register_pack()
    with tempfile.TemporaryDirectory() as folder:
        set_directories(*(Path(folder) / name for name in ("input", "output", "temp")))
        for file in sorted((WORKFLOWS / "api").glob("*.json")):
            workflow = with_demo_model(json.loads(file.read_text(encoding="utf-8")))
            (save,) = (node for node in workflow.values() if node["class_type"] == "SaveImage")
            source, slot = save["inputs"]["images"]
            made = run_workflow(workflow).results[source][slot][0].numpy()
            path = WORKFLOWS / f"{file.stem}.jpg"
            Image.fromarray(np.uint8(np.round(255 * made))).save(path, quality=QUALITY)
            yield path
