"""`python3 dev.py demo`: the example workflow on two images, run by ComfyUI's own graph executor."""

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
from PIL import Image, ImageOps, UnidentifiedImageError

from devtools import comfyui
from devtools import package_images as images
from devtools.contact_sheet import contact_sheet
from devtools.executor import Execution, Progress, WorkflowError, run_workflow, set_directories
from devtools.paths import ROOT

WORKFLOW = ROOT / "demo" / "workflow.json"
# Smaller images are refused.
MIN_SIDE = 32
# The samplers whose results are shown besides the nodes' own, by the labels of their tiles.
STEPS = {"inpainted (crop)": "Masked Inpaint Sampler", "harmonized (crop)": "Harmonize Sampler"}
CHECKPOINT_TYPES = (".safetensors", ".ckpt", ".pt", ".pth")


class InputError(Exception):
    """An argument that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True)
class Demo:
    """The result of a run.

    Attributes:
        titles: node id -> title.
        run: the execution.
        tiles: (label, uint8 [H,W,3]) of each step, in order.
        final: the final image, uint8 [H,W,3].
        untouched: the share of pixels outside the composite mask.
        kept: whether all of those are bit-identical to the background's.
    """

    titles: dict[str, str]
    run: Execution
    tiles: list[tuple[str, np.ndarray]]
    final: np.ndarray
    untouched: float
    kept: bool


def open_image(argument: str, path: str) -> Image.Image:
    """Reads the image that an argument names, upright and in 8 bits. Raises InputError with one sentence."""
    file = Path(path).expanduser()
    accepted = "an image file (PNG, JPEG, WebP …) is needed"
    if file.is_dir():
        raise InputError(f"{argument}: {path} is a folder; {accepted}.")
    if not file.is_file():
        raise InputError(f"{argument}: there is no file {path}; {accepted}.")
    try:
        with Image.open(file) as image:
            # As Load Image does.
            image = in_eight_bits(ImageOps.exif_transpose(image))
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise InputError(f"{argument}: {path} is not an image that can be read; {accepted}.") from None
    if min(image.size) < MIN_SIDE:
        size = f"{image.width}×{image.height} pixels"
        raise InputError(f"{argument}: {path} is {size}; at least {MIN_SIDE}×{MIN_SIDE} are needed.")
    return image


def in_eight_bits(image: Image.Image) -> Image.Image:
    """An image with 16 bits of gray in 8, which Pillow would make nearly all white, or with floats in 0..1, black."""
    if not image.mode.startswith(("I", "F")):
        return image
    levels = np.nan_to_num(np.asarray(image).astype(np.float64))
    if image.mode.startswith("I"):
        levels /= 257
    elif levels.max() <= 1:
        levels *= 255
    return Image.fromarray((levels.clip(0, 255) + 0.5).astype(np.uint8))


def alpha_of(image: Image.Image) -> Image.Image | None:
    """An image's alpha channel as a mask (white = opaque), or None where the image is opaque."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return alpha if alpha.getextrema()[0] < 255 else None


def read_inputs(options: argparse.Namespace) -> tuple[Image.Image, Image.Image, Image.Image | None]:
    """The exemplar, the background, and the subject's mask if one is given or the exemplar has transparency."""
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
        fault = "--mask: the mask is black" if options.mask else "--exemplar: the image is fully transparent"
        raise InputError(f"{fault}, so there is no subject; white (or opaque) pixels must mark it.")
    return exemplar.convert("RGB"), background.convert("RGB"), mask


def check_arguments(options: argparse.Namespace) -> None:
    """Raises InputError for a --checkpoint or --out that cannot be used."""
    if options.checkpoint:
        file = Path(options.checkpoint).expanduser()
        if not file.is_file() or file.suffix.lower() not in CHECKPOINT_TYPES:
            what = "a folder" if file.is_dir() else "not a checkpoint file" if file.exists() else "missing"
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
    """The id of the node with a title."""
    return next(node_id for node_id, node in workflow.items() if node["_meta"]["title"] == title)


def defaults(node: dict) -> dict:
    """The widgets of one of the pack's nodes in a workflow, with the values that a new node has."""
    import nodes

    inputs = nodes.NODE_CLASS_MAPPINGS[node["class_type"]].GET_SCHEMA().inputs
    return {item.id: item.default for item in inputs if item.id in node["inputs"] and hasattr(item, "default")}


def reset(node: dict, *widgets: str) -> None:
    """Sets widgets of one of the pack's nodes in a workflow back to their defaults."""
    values = defaults(node)
    node["inputs"].update({name: values[name] for name in widgets})


def bind(workflow: dict, options: argparse.Namespace, has_mask: bool) -> None:
    """Puts the user's choices into the workflow, whose nodes are found by their titles."""
    import folder_paths

    nodes = {node["_meta"]["title"]: node for node in workflow.values()}
    if options.exemplar:
        # The example's points and placement fit its own image only.
        nodes["Load Segmenter"]["inputs"]["model"] = "u2netp.onnx"
        reset(nodes["Segment"], "box", "positive_points", "negative_points")
        reset(nodes["Paste & Blend"], "x", "y", "size")
    if has_mask:
        del workflow[node_titled(workflow, "Load Segmenter")]
        load = {"image": "phd_mask.png", "channel": "red"}
        nodes["Segment"].update(class_type="LoadImageMask", inputs=load)
    if options.prompt is not None or options.exemplar or options.background:
        nodes["Prompt"]["inputs"]["text"] = options.prompt or ""
    if options.seed is not None:
        nodes["Masked Inpaint Sampler"]["inputs"]["seed"] = options.seed
        nodes["Harmonize Sampler"]["inputs"]["seed"] = options.seed + 1
    folder_paths.add_model_folder_path("segmentation", str(images.package_file("rembg", "u2netp.onnx").parent))
    if options.checkpoint:
        file = Path(options.checkpoint).expanduser().resolve()
        folder_paths.add_model_folder_path("checkpoints", str(file.parent), is_default=True)
        loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": file.name}}
        nodes["Load Demo Model"].update(loader, _meta={"title": "Load Checkpoint"})
        # What suits the demo model alone is undone.
        reset(nodes["Crop Around Subject"], "context")
        reset(nodes["Masked Inpaint Sampler"], "cfg", "scheduler")
        harmonizing = ("preset", "steps", "inner_steps", "num_seeds", "cfg", "scheduler", "denoise", "anchor_strength")
        reset(nodes["Harmonize Sampler"], *harmonizing)


def add_steps(workflow: dict) -> None:
    """Adds nodes that decode what each sampler made, for the sheet of steps."""
    vae = workflow[node_titled(workflow, "Stitch")]["inputs"]["vae"]
    for label, title in STEPS.items():
        inputs = {"samples": [node_titled(workflow, title), 0], "vae": vae}
        decode = {"class_type": "VAEDecode", "inputs": inputs, "_meta": {"title": label}}
        show = {"class_type": "PreviewImage", "inputs": {"images": [label, 0]}, "_meta": {"title": f"Preview {label}"}}
        workflow |= {label: decode, f"preview {label}": show}


def run(options: argparse.Namespace, on_progress: Progress | None = None) -> Demo:
    """Runs the demo, and checks that untouched pixels stay as they were. Writes nothing but temporary files.

    Raises InputError for arguments that cannot be used, WorkflowError where a node fails. `on_progress` is called with
    the running node's title, the steps done and all of its steps.
    """
    check_arguments(options)
    exemplar, background, mask = read_inputs(options)
    comfyui.activate(comfyui.get_comfyui(), comfyui.device_arguments())
    logging.getLogger().setLevel(logging.ERROR)
    workflow = json.loads(WORKFLOW.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        inputs, *others = (Path(folder) / name for name in ("input", "output", "temp"))
        set_directories(inputs, *others)
        exemplar.save(inputs / "phd_exemplar.png")
        background.save(inputs / "phd_background.png")
        if mask is not None:
            Image.merge("RGB", [mask] * 3).save(inputs / "phd_mask.png")
        comfyui.register_pack()
        bind(workflow, options, has_mask=mask is not None)
        add_steps(workflow)
        execution = execute(workflow, options, on_progress)
    return collect(workflow, execution, options, np.asarray(background))


def execute(workflow: dict, options: argparse.Namespace, on_progress: Progress | None) -> Execution:
    """Runs the workflow. A checkpoint that ComfyUI cannot load is an InputError."""

    def progress(node_id: str, done: float, total: float) -> None:
        if on_progress is not None:
            on_progress(workflow[node_id]["_meta"]["title"] if node_id in workflow else node_id, done, total)

    try:
        return run_workflow(workflow, on_progress=progress)
    except WorkflowError as error:
        if error.node_id in workflow and workflow[error.node_id]["_meta"]["title"] == "Load Checkpoint":
            raise InputError(
                f"--checkpoint: {options.checkpoint} is not a checkpoint that ComfyUI can load ({error.message})."
            ) from None
        raise


def collect(workflow: dict, execution: Execution, options: argparse.Namespace, background: np.ndarray) -> Demo:
    """The images of all steps, and whether untouched pixels are the background's, uint8 [H,W,3]."""

    def image_of(title: str, slot: int = 0) -> np.ndarray:
        image = execution.results[node_titled(workflow, title)][slot][0].float().cpu().numpy()
        image = np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image[..., :3]
        return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)

    if not image_of("Segment").any():
        raise InputError(f"--exemplar: no subject was found in {options.exemplar}; mark it with --mask.")
    image, mask = execution.results[node_titled(workflow, "Stitch")][:2]
    scene = execution.results[node_titled(workflow, "Background")][0]
    outside, final = mask == 0, image_of("Stitch")
    tiles = [
        ("exemplar", image_of("Exemplar")),
        ("subject mask", image_of("Segment")),
        ("paste", image_of("Paste & Blend", 1)),
        ("inpaint mask", image_of("Paste & Blend", 4)),
        *((label, image_of(label)) for label in STEPS),
        ("final", final),
        ("black = untouched", image_of("Stitch", 1)),
    ]
    # In float, as the node gives it, and in 8 bits, as it is saved.
    kept = bool((image[outside] == scene[outside]).all())
    kept = kept and np.array_equal(final[outside[0].numpy()], background[outside[0].numpy()])
    titles = {node_id: node["_meta"]["title"] for node_id, node in workflow.items()}
    return Demo(titles, execution, tiles, final, float(outside.float().mean()), kept)


def save(demo: Demo, out: Path) -> list[Path]:
    """Writes both images or neither, and returns their paths. Raises InputError where the folder cannot be written."""
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
    """One line on a terminal, redrawn at each step. Where the output is not a terminal, nothing is drawn."""

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
    """Seconds and model calls of each node, in the order in which they ran."""
    print(f"{'node':<28}{'seconds':>9}{'model calls':>13}")
    for node_id, seconds in demo.run.seconds.items():
        print(f"{demo.titles[node_id]:<28}{seconds:>9.2f}{demo.run.model_calls[node_id] or '':>13}")
    print(f"{'total':<28}{sum(demo.run.seconds.values()):>9.2f}{sum(demo.run.model_calls.values()):>13}")


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py demo", description="Puts the subject of one image into another: paste, inpaint, harmonize."
    )
    parser.add_argument("--exemplar", help="image that shows the subject; its transparency, if any, is the mask")
    parser.add_argument("--background", help="image to put the subject into")
    parser.add_argument("--mask", help="image of the exemplar's size, white where the subject is")
    parser.add_argument("--prompt", help="what the finished image shows, including the subject")
    parser.add_argument("--checkpoint", help="a ComfyUI checkpoint file to use in place of the demo model")
    parser.add_argument("--seed", type=int, help="seed of the inpaint sampler; the harmonize sampler gets the next one")
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
        print("Error: pixels outside the composite mask differ from the background.", file=sys.stderr)
        return 1
    try:
        files = save(demo, Path(options.out).expanduser())
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{demo.untouched:.0%} of the image is outside the composite mask, bit-identical to the background.")
    print("Wrote", " and ".join(str(file) for file in files))
    return 0
