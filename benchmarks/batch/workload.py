"""The tables, images and workflows that the benchmark runs."""

import copy
import json
from pathlib import Path

import numpy as np
from PIL import Image

from devtools.paths import ROOT


def node(kind: str, title: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


# Core nodes alone, some 20 ms on 256 pixels.
LIGHT = {
    "1": node("LoadImage", "Exemplar", image="x.png"),
    "2": node("LoadImage", "Background", image="x.png"),
    "3": node("ImageBlend", "Blend", image1=["1", 0], image2=["2", 0], blend_factor=0.5, blend_mode="normal"),
    "4": node("ImageSharpen", "Sharpen", image=["3", 0], sharpen_radius=2, sigma=1.0, alpha=1.0),
    "5": node("SaveImage", "Save", images=["4", 0], filename_prefix="x"),
}


def demo(steps: int, side: int) -> dict:
    """The API demo made small: the whole way of the pack, with its demo model."""
    workflow = copy.deepcopy(json.loads((ROOT / "demo" / "workflow.json").read_text(encoding="utf-8")))
    for each in workflow.values():
        if "Sampler" in each["class_type"]:
            each["inputs"] |= {"preset": "custom", "steps": steps, "inner_steps": 0}
        elif each["class_type"] == "PhDSegment":
            each["inputs"] |= {"box": "20, 20, 216, 216", "positive_points": "", "negative_points": ""}
        elif each["class_type"] == "PhDCrop":
            each["inputs"] |= {"side": side}
    return workflow


def image(side: int, seed: int) -> np.ndarray:
    """A disc before a gradient with texture, uint8 [side,side,3]."""
    drawn = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    plain = np.stack([100 + 60 * x, 120 + 50 * y, 140 - 40 * x], axis=-1)
    disc = (x**2 + y**2 < 0.4)[..., None]
    found = np.where(disc, drawn.integers(0, 255, 3), plain) + drawn.integers(0, 20, (side, side, 1))
    return found.clip(0, 255).astype(np.uint8)


def prepare(folder: Path, workflow: dict, rows: list[dict], side: int = 256) -> Path:
    """Writes a table, its workflow and the images that it names; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {row[column] for row in rows for column in ("exemplar", "background") if column in row}
    for number, name in enumerate(sorted(names)):
        Image.fromarray(image(side, number)).save(folder / name)
    (folder / "workflow.json").write_text(json.dumps(workflow), encoding="utf-8")
    (folder / "jobs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def light_rows(count: int) -> list[dict]:
    """Rows of LIGHT: five exemplars, three backgrounds, each row another share."""
    return [
        {
            "exemplar": f"e{i % 5}.png",
            "background": f"b{i % 3}.png",
            "Blend.blend_factor": round((i + 1) / (count + 1), 6),
        }
        for i in range(count)
    ]


def demo_rows(count: int, exemplars: int) -> list[dict]:
    """Rows of the demo: the same exemplars again and again, each time at another place with another seed."""
    rows = []
    for i in range(count):
        place = {"x": round(0.2 + 0.6 * i / count, 4), "y": 0.6, "size": 0.5}
        rows.append({"exemplar": f"e{i % exemplars}.png", "background": "b.png", "seed": i, **place})
    return rows
