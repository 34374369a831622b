"""`dev.py demo`: one sentence for bad input, nothing half-written, both images for good input."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo import run
from demo.run import InputError, argument_parser, check_arguments, main, read_inputs
from devtools import comfyui as devtools_comfyui
from devtools.contact_sheet import contact_sheet
from devtools.executor import set_directories


@pytest.fixture
def make_image(tmp_path):
    """Writes an image of random pixels and gives its path."""

    def write(name: str, size=(64, 48), mode="RGB", value=None) -> str:
        shape = (size[1], size[0], len(Image.new(mode, (1, 1)).getbands()))
        pixels = np.random.default_rng(0).integers(0, 256, shape) if value is None else np.full(shape, value)
        Image.fromarray(pixels.astype(np.uint8).squeeze() if shape[2] == 1 else pixels.astype(np.uint8)).save(
            tmp_path / name
        )
        return str(tmp_path / name)

    return write


def bad_arguments(folder: Path, make_image) -> dict[str, tuple[list[str], str]]:
    (folder / "text.png").write_text("not an image")
    (folder / "text.safetensors").write_text("not a checkpoint")
    good = make_image("good.png")
    return {
        "missing file": (["--exemplar", str(folder / "none.png")], "--exemplar: there is no file"),
        "folder": (["--background", str(folder)], "is a folder; an image file"),
        "text named png": (["--exemplar", str(folder / "text.png")], "is not an image that can be read"),
        "one pixel": (["--background", make_image("dot.png", (1, 1))], "is 1×1 pixels; at least 32×32"),
        "mask of another size": (
            ["--exemplar", good, "--mask", make_image("mask.png", (32, 32), "L")],
            "is 32×32 pixels; it must have the exemplar's size, 64×48",
        ),
        "black mask": (["--exemplar", good, "--mask", make_image("black.png", mode="L", value=0)], "the mask is black"),
        "missing checkpoint": (["--checkpoint", str(folder / "none.safetensors")], "is missing; a ComfyUI checkpoint"),
        "checkpoint that is an image": (["--checkpoint", good], "is not a checkpoint file"),
        "out is a file": (["--out", good], "is a file; a folder is needed"),
        "out lies in a file": (["--out", f"{good}/deep/down"], "cannot be written; name another folder"),
    }


BAD = [
    "missing file", "folder", "text named png", "one pixel", "mask of another size", "black mask",
    "missing checkpoint", "checkpoint that is an image", "out is a file", "out lies in a file",
]  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_argument_gives_one_sentence_and_exit_code_2(case, tmp_path, make_image, capsys):
    arguments, sentence = bad_arguments(tmp_path, make_image)[case]
    out = tmp_path / "out"
    if "--out" not in arguments:
        arguments = [*arguments, "--out", str(out)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not out.exists()


def test_every_bad_argument_of_the_table_is_tried(tmp_path, make_image):
    assert list(bad_arguments(tmp_path, make_image)) == BAD


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_gray_and_transparent_images_are_taken(mode, make_image):
    options = argument_parser().parse_args(
        ["--exemplar", make_image("e.png", mode=mode), "--background", make_image("b.png")]
    )
    exemplar, background, mask = read_inputs(options)
    assert exemplar.mode == background.mode == "RGB"
    assert (mask is not None) == mode.endswith("A")


@pytest.mark.parametrize("name", ["e.jpg", "e.webp", "e.png"])
def test_images_are_turned_as_load_image_turns_them(name, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[:120] = 255
    Image.fromarray(pixels).save(tmp_path / name, exif=exif)
    image = run.open_image("--exemplar", str(tmp_path / name))
    assert image.size == (240, 320)
    # The upper half of the file is the right half of the image.
    right, left = np.asarray(image)[:, 125:], np.asarray(image)[:, :115]
    assert right.mean() > 250 and left.mean() < 5


def test_16_bits_of_gray_keep_their_levels(tmp_path):
    levels = np.linspace(0, 65535, 320 * 240).astype(np.uint16).reshape(240, 320)
    Image.fromarray(levels).save(tmp_path / "gray.png")
    image = run.open_image("--exemplar", str(tmp_path / "gray.png"))
    assert image.convert("RGB").size == (320, 240)
    assert np.asarray(image.convert("RGB")).mean() / 255 == pytest.approx(0.5, abs=0.002)
    assert np.abs(np.asarray(image) / 255 - levels / 65535).max() < 0.002


@pytest.mark.parametrize("most", [1, 255])
def test_floats_are_read_as_shares_or_levels(tmp_path, most):
    levels = np.linspace(0, most, 320 * 240, dtype=np.float32).reshape(240, 320)
    Image.fromarray(levels).save(tmp_path / "gray.tif")
    image = run.open_image("--exemplar", str(tmp_path / "gray.tif"))
    assert np.asarray(image.convert("RGB")).mean() / 255 == pytest.approx(0.5, abs=0.01)


def test_a_mask_with_alpha_is_read_from_its_alpha(make_image):
    arguments = ["--exemplar", make_image("e.png"), "--mask", make_image("m.png", mode="RGBA")]
    mask = read_inputs(argument_parser().parse_args(arguments))[2]
    assert mask.mode == "L" and mask.size == (64, 48)


def test_check_arguments_accepts_a_checkpoint_file_by_its_type(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    check_arguments(argument_parser().parse_args(["--checkpoint", str(tmp_path / "model.safetensors")]))
    with pytest.raises(InputError, match="is a folder"):
        check_arguments(argument_parser().parse_args(["--checkpoint", str(tmp_path)]))


def test_contact_sheet_holds_every_tile():
    tiles = [(str(index), np.full((20, 30, 3), 40 * index + 55, np.uint8)) for index in range(5)]
    sheet = np.asarray(contact_sheet(tiles, columns=2, side=60))
    assert all((sheet == 40 * index + 55).all(axis=-1).sum() > 1000 for index in range(5))


@pytest.fixture
def demo_here(pack, monkeypatch):
    """Lets the demo run in this process, and undoes what it sets in ComfyUI."""
    import folder_paths

    paths = folder_paths.folder_names_and_paths
    own = {name: (list(places), kinds) for name, (places, kinds) in paths.items()}
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", own)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    # The session has started ComfyUI already.
    monkeypatch.setattr(devtools_comfyui, "activate", lambda *_: None)
    places = [getattr(folder_paths, f"get_{name}_directory")() for name in ("input", "output", "temp")]
    level = logging.getLogger().level
    yield
    set_directories(*map(Path, places))
    logging.getLogger().setLevel(level)


@pytest.fixture
def short_workflow(tmp_path, monkeypatch):
    """The same graph with few steps."""
    workflow = json.loads(run.WORKFLOW.read_text(encoding="utf-8"))
    for node in workflow.values():
        for name, value in (("preset", "custom"), ("steps", 2), ("inner_steps", 1), ("side", 128)):
            if name in node["inputs"]:
                node["inputs"][name] = value
    file = tmp_path / "workflow.json"
    file.write_text(json.dumps(workflow), encoding="utf-8")
    monkeypatch.setattr(run, "WORKFLOW", file)


def test_demo_writes_both_images_and_keeps_its_promise(tmp_path, demo_here, short_workflow, capsys):
    out = tmp_path / "out"
    assert main(["--out", str(out)]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["phd_demo.png", "phd_demo_steps.png"]
    printed = capsys.readouterr().out
    assert "of the image is outside the composite mask, bit-identical to the background" in printed
    assert "Masked Inpaint Sampler" in printed


def test_demo_without_a_subject_gives_a_message_and_writes_nothing(
    tmp_path, make_image, demo_here, short_workflow, capsys
):
    flat, out = make_image("flat.png", (96, 96), value=128), tmp_path / "out"
    assert main(["--exemplar", flat, "--background", make_image("b.png", (96, 96)), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "no subject was found" in error and "Traceback" not in error
    assert not out.exists()


def test_demo_with_a_file_that_is_no_checkpoint_gives_a_message(tmp_path, demo_here, capsys):
    (tmp_path / "model.safetensors").write_text("not a checkpoint")
    out = tmp_path / "out"
    assert main(["--checkpoint", str(tmp_path / "model.safetensors"), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "is not a checkpoint that ComfyUI can load" in error and "Traceback" not in error
    assert not out.exists()


@pytest.fixture
def example():
    return json.loads(run.WORKFLOW.read_text(encoding="utf-8"))


def bound(workflow, *arguments, has_mask=False):
    """The example workflow with the user's arguments in it: title -> node."""
    run.bind(workflow, argument_parser().parse_args(arguments), has_mask)
    return {node["_meta"]["title"]: node for node in workflow.values()}


def test_without_arguments_the_workflow_stays_as_it_is(example, demo_here):
    assert bound(json.loads(json.dumps(example))) == {node["_meta"]["title"]: node for node in example.values()}


def test_an_exemplar_of_one_s_own_gets_the_nodes_defaults(example, pack, demo_here):
    nodes = bound(example, "--exemplar", "mine.png", "--seed", "5")
    defaults = {item.id: item.default for item in pack["PhDPasteBlend"].GET_SCHEMA().inputs if hasattr(item, "default")}
    paste = nodes["Paste & Blend"]["inputs"]
    assert [paste[name] for name in ("x", "y", "size")] == [defaults[name] for name in ("x", "y", "size")]
    # All else of the example stays.
    assert paste["feather"] == 1.2 != defaults["feather"]
    assert nodes["Load Segmenter"]["inputs"]["model"] == "u2netp.onnx"
    assert {nodes["Segment"]["inputs"][name] for name in ("box", "positive_points", "negative_points")} == {""}
    assert nodes["Prompt"]["inputs"]["text"] == ""
    assert [nodes[f"{name} Sampler"]["inputs"]["seed"] for name in ("Masked Inpaint", "Harmonize")] == [5, 6]


def test_a_mask_and_a_checkpoint_take_the_place_of_their_nodes(example, pack, tmp_path, demo_here):
    nodes = bound(example, "--checkpoint", str(tmp_path / "sd.safetensors"), "--prompt", "a cup", has_mask=True)
    assert "Load Segmenter" not in nodes and nodes["Segment"]["class_type"] == "LoadImageMask"
    loader = nodes["Load Checkpoint"]
    assert loader["class_type"] == "CheckpointLoaderSimple" and loader["inputs"] == {"ckpt_name": "sd.safetensors"}
    # The window is of the model's size, and what suits the demo model alone is undone.
    crop = nodes["Crop Around Subject"]["inputs"]
    assert example[crop["model"][0]] is loader and crop["model"][1] == 0 and crop["side"] == 0
    harmonizing = ("preset", "steps", "inner_steps", "num_seeds", "cfg", "scheduler", "denoise", "anchor_strength")
    undone = {"Harmonize Sampler": harmonizing}
    undone |= {"Crop Around Subject": ("context",), "Masked Inpaint Sampler": ("cfg", "scheduler")}
    for title, names in undone.items():
        schema = pack[nodes[title]["class_type"]].GET_SCHEMA()
        defaults = {item.id: item.default for item in schema.inputs if hasattr(item, "default")}
        assert [nodes[title]["inputs"][name] for name in names] == [defaults[name] for name in names]
    assert nodes["Prompt"]["inputs"]["text"] == "a cup"
