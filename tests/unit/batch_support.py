"""A small workflow, its schema, and images, for the tests of phd_batch that run nothing."""

import csv
from pathlib import Path

from PIL import Image

INFO = {
    "LoadImage": {
        "input": {"required": {"image": [["x.png"], {"image_upload": True}]}},
        "output": ["IMAGE", "MASK"],
        "output_name": ["IMAGE", "MASK"],
    },
    "CLIPTextEncode": {"input": {"required": {"text": ["STRING", {}], "clip": ["CLIP"]}}, "output": ["CONDITIONING"]},
    "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": [["a.safetensors", "b.safetensors"]]}}},
    "KSampler": {
        "input": {
            "required": {
                "seed": ["INT", {"min": 0, "max": 2**64 - 1}],
                "cfg": ["FLOAT", {"min": 0.0, "max": 100.0}],
                "sampler_name": [["euler", "ddim"]],
                "positive": ["CONDITIONING"],
                "tiled": ["BOOLEAN", {"default": False}],
                "api_key": ["STRING", {}],
            }
        },
        "output": ["IMAGE", "MASK", "STRING"],
        "output_name": ["image", "mask", "report"],
    },
    "SaveImage": {"input": {"required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {}]}}, "output_node": True},
    "PreviewImage": {"input": {"required": {"images": ["IMAGE"]}}, "output_node": True},
}


def node(kind: str, title: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": title}}


def workflow() -> dict:
    sampled = {"seed": 1, "cfg": 2.0, "sampler_name": "euler", "positive": ["3", 0], "tiled": False, "api_key": "k"}
    return {
        "1": node("LoadImage", "Exemplar", image="x.png"),
        "2": node("LoadImage", "Background", image="x.png"),
        "3": node("CLIPTextEncode", "Prompt", text="a cat", clip=["4", 1]),
        "4": node("CheckpointLoaderSimple", "Checkpoint", ckpt_name="a.safetensors"),
        "5": node("KSampler", "Sampler", **sampled),
        "6": node("SaveImage", "Save", images=["5", 0], filename_prefix="x"),
    }


def images(folder: Path, *names: str) -> None:
    """Images that differ from each other."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 7, 9)).save(folder / name, "PNG")


def table(file: Path, columns: list[str], *rows: list) -> str:
    with file.open("w", encoding="utf-8", newline="") as content:
        csv.writer(content).writerows([columns, *rows])
    return str(file)
