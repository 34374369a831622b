"""The images in ComfyUI's list of templates: what each of them makes, with the demo model where it needs a file.

The README's first image and the banner show what the first template makes.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from devtools.comfyui import register_pack
from devtools.executor import run_workflow, set_directories
from devtools.paths import ROOT
from devtools.templates import with_demo_model
from devtools.workflows import WORKFLOWS

QUALITY = 88
DOCS = ROOT / "docs"
README_TEMPLATE = "Insert a subject (CPU demo)"
# In pixels: the space between images, that of a label, and the banner's images.
GAP, LABEL = 8, 34
BANNER_HEIGHT, BANNER_WIDTHS, BANNER_LEFTS = 540, (300, 472, 472), (120, 285, 285)


def as_image(images: torch.Tensor) -> Image.Image:
    """The first of an IMAGE."""
    return Image.fromarray(np.uint8(np.round(255 * images[0].numpy())))


def side_by_side(images: list[Image.Image], labels: tuple[str, ...] = ()) -> Image.Image:
    """Images of one height in a row, each below its label."""
    top = LABEL if labels else 0
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    row = Image.new("RGB", (width, images[0].height + top), (24, 24, 28))
    draw, font, left = ImageDraw.Draw(row), ImageFont.load_default(size=20), 0
    for number, image in enumerate(images):
        if labels:
            draw.text((left + 6, 4), labels[number], fill=(235, 235, 235), font=font)
        row.paste(image, (left, top))
        left += image.width + GAP
    return row


def write_readme_images(results: dict) -> Iterator[Path]:
    """From what the nodes of README_TEMPLATE returned, by their ids: before and after; and the banner."""
    background, subject = (as_image(images) for images in results["1"][:2])
    after, _, before, _ = results["3"]
    after, before = as_image(after), as_image(before)
    path = DOCS / "before_after.jpg"
    side_by_side([before, after], ("before: pasted", "after: harmonized and stitched")).save(path, quality=QUALITY)
    yield path
    panels = []
    for image, width, left in zip((subject, background, after), BANNER_WIDTHS, BANNER_LEFTS, strict=True):
        scaled = image.resize(
            (round(image.width * BANNER_HEIGHT / image.height), BANNER_HEIGHT), Image.Resampling.LANCZOS
        )
        panels.append(scaled.crop((left, 0, left + width, BANNER_HEIGHT)))
    path = DOCS / "banner.jpg"
    side_by_side(panels).save(path, quality=QUALITY)
    yield path


def write_thumbnails() -> Iterator[Path]:
    """Runs every template, and yields the path of its image when it is written."""
    register_pack()
    with tempfile.TemporaryDirectory() as folder:
        set_directories(*(Path(folder) / name for name in ("input", "output", "temp")))
        for file in sorted((WORKFLOWS / "api").glob("*.json")):
            workflow = with_demo_model(json.loads(file.read_text(encoding="utf-8")))
            (save,) = (node for node in workflow.values() if node["class_type"] == "SaveImage")
            source, slot = save["inputs"]["images"]
            results = run_workflow(workflow).results
            path = WORKFLOWS / f"{file.stem}.jpg"
            as_image(results[source][slot]).save(path, quality=QUALITY)
            yield path
            if file.stem == README_TEMPLATE:
                yield from write_readme_images(results)
