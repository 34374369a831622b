"""`python3 dev.py demo`: the example workflow on two images, through ComfyUI's own graph executor."""

import argparse
import json
import logging
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from devtools import comfyui
from devtools import package_images as images
from devtools.contact_sheet import contact_sheet
from devtools.executor import Execution, WorkflowError, run_workflow, set_directories
from devtools.paths import ROOT

WORKFLOW = ROOT / "example_workflows" / "api" / "phd_demo.json"
LEAST_SIDE = 32
CHECKPOINT_TYPES = (".safetensors", ".ckpt", ".pt", ".pth")


class InputError(Exception):
    """An argument that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Demo:
    """What a run of the demo gave.

    Attributes:
        titles: node id -> the node's title, for all nodes that ran.
        run: the execution.
        tiles: (label, uint8 [H,W,3]) of each step, in order.
        final: uint8 [H,W,3].
        untouched: share of the image's pixels outside the composite mask.
        kept: whether all of those equal the background's.
    """

    titles: dict[str, str]
    run: Execution
    tiles: list[tuple[str, np.ndarray]]
    final: np.ndarray
    untouched: float
    kept: bool


def open_image(argument: str, path: str) -> Image.Image:
    """Reads an image that the user named; InputError says which argument is at fault and what would do."""
    file = Path(path).expanduser()
    accepted = "an image file (PNG, JPEG, WebP …) is needed"
    if file.is_dir():
        raise InputError(f"{argument}: {path} is a folder; {accepted}.")
    if not file.is_file():
        raise InputError(f"{argument}: there is no file {path}; {accepted}.")
    try:
        with Image.open(file) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{argument}: {path} is not an image that can be read; {accepted}.") from None
    if min(image.size) < LEAST_SIDE:
        told = f"{image.width}×{image.height} pixels"
        raise InputError(f"{argument}: {path} is {told}; at least {LEAST_SIDE}×{LEAST_SIDE} are needed.")
    return image


def alpha_of(image: Image.Image) -> Image.Image | None:
    """An image's own transparency as a mask (white = opaque), or None where it has none."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return alpha if alpha.getextrema()[0] < 255 else None


def read_inputs(options: argparse.Namespace) -> tuple[Image.Image, Image.Image, Image.Image | None]:
    """Exemplar, background, and the subject's mask where one was given or the exemplar has alpha."""
    exemplar = open_image("--exemplar", options.exemplar or images.photograph_path("astronaut"))
    background = open_image("--background", options.background or images.photograph_path("rocket"))
    mask = alpha_of(exemplar)
    if options.mask:
        mask = open_image("--mask", options.mask)
        if mask.size != exemplar.size:
            raise InputError(
                f"--mask: {options.mask} is {mask.width}×{mask.height} pixels; "
                f"it must have the exemplar's size, {exemplar.width}×{exemplar.height}."
            )
        mask = alpha_of(mask) or mask.convert("L")
    if mask is not None and mask.getextrema()[1] == 0:
        told = "--mask: the mask is black" if options.mask else "--exemplar: the image is wholly transparent"
        raise InputError(f"{told}, so there is no subject; white (or opaque) must mark it.")
    return exemplar.convert("RGB"), background.convert("RGB"), mask


def check_arguments(options: argparse.Namespace) -> None:
    if options.checkpoint:
        file = Path(options.checkpoint).expanduser()
        if not file.is_file() or file.suffix.lower() not in CHECKPOINT_TYPES:
            what = "a folder" if file.is_dir() else "no checkpoint file" if file.exists() else "missing"
            raise InputError(
                f"--checkpoint: {options.checkpoint} is {what}; a ComfyUI checkpoint is needed "
                f"({', '.join(CHECKPOINT_TYPES)})."
            )
    out = Path(options.out).expanduser()
    if out.exists() and not out.is_dir():
        raise InputError(f"--out: {options.out} is a file; a folder is needed.")
    parent = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"--out: {options.out} cannot be written; name another folder.")


def node_titled(workflow: dict, title: str) -> str:
    return next(node_id for node_id, node in workflow.items() if node["_meta"]["title"] == title)


def bind(workflow: dict, options: argparse.Namespace, has_mask: bool) -> None:
    """Puts the user's choices into the workflow, by the nodes' titles."""
    import folder_paths

    def inputs(title: str) -> dict:
        return workflow[node_titled(workflow, title)]["inputs"]

    paste = inputs("Paste & Blend")
    if options.exemplar:
        # The example's points and place are made for its own image.
        inputs("Load Segmenter")["model"] = "u2netp.onnx"
        inputs("Segment").update(box="", positive_points="", negative_points="")
        paste.update(x=0.5, y=0.6, size=0.6)
    if has_mask:
        segment, loader = node_titled(workflow, "Segment"), node_titled(workflow, "Load Segmenter")
        del workflow[loader]
        load = {"image": "phd_mask.png", "channel": "red"}
        workflow[segment] = {"class_type": "LoadImageMask", "inputs": load, "_meta": {"title": "Segment"}}
    if options.prompt is not None or options.exemplar or options.background:
        inputs("Prompt")["text"] = options.prompt or ""
    if options.seed is not None:
        inputs("Masked Inpaint Sampler")["seed"] = options.seed
        inputs("Harmonize Sampler")["seed"] = options.seed + 1
    folder_paths.add_model_folder_path("segmentation", str(images.package_file("rembg", "u2netp.onnx").parent))
    if options.checkpoint:
        file = Path(options.checkpoint).expanduser().resolve()
        folder_paths.add_model_folder_path("checkpoints", str(file.parent), is_default=True)
        loader = workflow[node_titled(workflow, "Load Demo Model")]
        loader.update(class_type="CheckpointLoaderSimple", inputs={"ckpt_name": file.name})
        loader["_meta"] = {"title": "Load Checkpoint"}
        inputs("Crop Around Subject")["side"] = 512


def run(options: argparse.Namespace, on_progress=None) -> Demo:
    """Runs the demo and checks its promise. Raises InputError; writes nothing but temporary files."""
    check_arguments(options)
    exemplar, background, mask = read_inputs(options)
    comfyui.activate(comfyui.get_comfyui(), comfyui.device_arguments())
    logging.getLogger().setLevel(logging.ERROR)
    workflow = json.loads(WORKFLOW.read_text())
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / name for name in ("input", "output", "temp")]
        set_directories(*folders)
        exemplar.save(folders[0] / "phd_exemplar.png")
        background.save(folders[0] / "phd_background.png")
        if mask is not None:
            Image.merge("RGB", [mask] * 3).save(folders[0] / "phd_mask.png")
        comfyui.register_pack()
        bind(workflow, options, has_mask=mask is not None)
        titles = {node_id: node["_meta"]["title"] for node_id, node in workflow.items()}

        def progress(node_id: str, done: float, total: float) -> None:
            if on_progress is not None:
                on_progress(titles.get(node_id, node_id), done, total)

        try:
            result = run_workflow(workflow, on_progress=progress)
        except WorkflowError as error:
            if titles.get(error.node_id) == "Load Checkpoint":
                raise InputError(
                    f"--checkpoint: {options.checkpoint} is no checkpoint that ComfyUI can load ({error.message})."
                ) from None
            raise

    def shown(title: str, slot: int = 0) -> np.ndarray:
        image = result.results[node_titled(workflow, title)][slot][0].float().cpu().numpy()
        image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image[..., :3]
        return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)

    if not shown("Segment").any():
        raise InputError(f"--exemplar: no subject was found in {options.exemplar}; show it with --mask.")
    stitch = result.results[node_titled(workflow, "Stitch")]
    scene = result.results[node_titled(workflow, "Background")][0]
    outside, final = stitch[1] == 0, shown("Stitch")
    tiles = [
        ("exemplar", shown("Exemplar")),
        ("subject mask", shown("Segment")),
        ("paste", shown("Paste & Blend")),
        ("inpaint mask", shown("Paste & Blend", 3)),
        ("inpainted (crop)", shown("VAE Decode (inpainted)")),
        ("harmonized (crop)", shown("VAE Decode (harmonized)")),
        ("final", final),
        ("black = untouched", shown("Stitch", 1)),
    ]
    kept = bool((stitch[0][outside] == scene[outside]).all())
    kept = kept and np.array_equal(final[outside[0].numpy()], np.asarray(background)[outside[0].numpy()])
    return Demo(titles, result, tiles, final, float(outside.float().mean()), kept)


def save(demo: Demo, out: Path) -> list[Path]:
    """Writes both images, or neither. Raises InputError where the folder cannot be written."""
    files = {"phd_demo.png": Image.fromarray(demo.final), "phd_demo_steps.png": contact_sheet(demo.tiles)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out) as folder:
            for name, image in files.items():
                image.save(Path(folder) / name)
            for name in files:
                shutil.move(Path(folder) / name, out / name)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be written ({error.strerror}); name another folder.") from None
    return [out / name for name in files]


class ProgressBar:
    """One line that is drawn over and over on a terminal; nothing where the output is not one."""

    def __init__(self):
        self.live = sys.stdout.isatty()

    def __call__(self, title: str, done: float, total: float) -> None:
        if self.live:
            filled = round(24 * done / total) if total else 24
            print(
                f"\r\033[K{title:<26} [{'█' * filled}{'·' * (24 - filled)}] {done:.0f}/{total:.0f}", end="", flush=True
            )

    def clear(self) -> None:
        if self.live:
            print("\r\033[K", end="")


def print_table(demo: Demo) -> None:
    print(f"{'node':<28}{'seconds':>9}{'model calls':>13}")
    for node_id, seconds in demo.run.seconds.items():
        print(f"{demo.titles[node_id]:<28}{seconds:>9.2f}{demo.run.model_calls[node_id] or '':>13}")
    print(f"{'total':<28}{sum(demo.run.seconds.values()):>9.2f}{sum(demo.run.model_calls.values()):>13}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py demo", description="Paste, inpaint, harmonize: one image into another."
    )
    parser.add_argument("--exemplar", help="image that shows the subject; its alpha, if any, is the mask")
    parser.add_argument("--background", help="image that the subject goes into")
    parser.add_argument("--mask", help="image of the exemplar's size, white where the subject is")
    parser.add_argument("--prompt", help="what the finished scene shows, the subject included")
    parser.add_argument("--checkpoint", help="a ComfyUI checkpoint file to use in place of the demo model")
    parser.add_argument("--seed", type=int, help="seed of all noise")
    parser.add_argument("--out", default="output", help="folder for the images (default: output)")
    return parser


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    bar = ProgressBar()
    try:
        demo = run(options, bar)
    except (InputError, WorkflowError) as error:
        bar.clear()
        print(error, file=sys.stderr)
        return 2
    bar.clear()
    print_table(demo)
    if not demo.kept:
        print("Broken promise: pixels outside the composite mask differ from the background's.", file=sys.stderr)
        return 1
    try:
        files = save(demo, Path(options.out).expanduser())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{demo.untouched:.0%} of the image lies outside the composite mask; all of it equals the background.")
    print("Wrote", " and ".join(str(file) for file in files))
    return 0
