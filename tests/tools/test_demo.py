"""The demo's own promises: one sentence for bad input, nothing half-written, both images for good input."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.run import InputError, argument_parser, check_arguments, main, read_inputs
from devtools.contact_sheet import contact_sheet

ROOT = Path(__file__).resolve().parents[2]


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


def bad_arguments(folder: Path, image) -> dict[str, tuple[list[str], str]]:
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
        "checkpoint that is an image": (["--checkpoint", good], "is no checkpoint file"),
        "out is a file": (["--out", good], "is a file; a folder is needed"),
        "out lies in a file": (["--out", f"{good}/deep/down"], "cannot be written; name another folder"),
    }


BAD = [
    "missing file", "folder", "text named png", "one pixel", "mask of another size", "black mask",
    "missing checkpoint", "checkpoint that is an image", "out is a file", "out lies in a file",
]  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_argument_gives_one_sentence_and_exit_code_2(case, tmp_path, image, capsys):
    arguments, sentence = bad_arguments(tmp_path, image)[case]
    out = tmp_path / "out"
    if "--out" not in arguments:
        arguments = [*arguments, "--out", str(out)]
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1 and "Traceback" not in told
    assert not out.exists()


def test_every_bad_argument_of_the_table_is_tried(tmp_path, image):
    assert list(bad_arguments(tmp_path, image)) == BAD


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_gray_and_transparent_images_are_taken(mode, image):
    options = argument_parser().parse_args(
        ["--exemplar", make_image("e.png", mode=mode), "--background", make_image("b.png")]
    )
    exemplar, background, mask = read_inputs(options)
    assert exemplar.mode == background.mode == "RGB"
    assert (mask is not None) == mode.endswith("A")


def test_a_mask_with_alpha_is_read_from_its_alpha(image):
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


def run_demo(*arguments: str) -> subprocess.CompletedProcess:
    """In a process of its own: the demo points ComfyUI's folders elsewhere."""
    program = "import sys; from demo.run import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_demo_writes_both_images_and_keeps_its_promise(tmp_path):
    result = run_demo("--out", str(tmp_path / "out"))
    assert result.returncode == 0, result.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["phd_demo.png", "phd_demo_steps.png"]
    assert "all of it equals the background" in result.stdout
    assert "Masked Inpaint Sampler" in result.stdout


def test_demo_without_a_subject_says_so_and_writes_nothing(tmp_path, image):
    flat = make_image("flat.png", (96, 96), value=128)
    result = run_demo("--exemplar", flat, "--background", make_image("b.png", (96, 96)), "--out", str(tmp_path / "out"))
    assert result.returncode == 2, result.stderr
    assert "no subject was found" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_demo_with_a_file_that_is_no_checkpoint_says_so(tmp_path):
    (tmp_path / "model.safetensors").write_text("not a checkpoint")
    result = run_demo("--checkpoint", str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "out"))
    assert result.returncode == 2, result.stderr
    assert "is no checkpoint that ComfyUI can load" in result.stderr and "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
