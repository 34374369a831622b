"""A video runs through Paste & Blend, Crop and Stitch in parts as it does at once."""

import json
from pathlib import Path

import folder_paths
import numpy as np
import pytest
import torch
from node_support import ROOT, run_node
from PIL import Image
from test_clips import scene

from devtools.executor import new_executor, run_workflow
from devtools.videos import write_video
from phd_batch import clips
from phd_batch.video import read_frames

FRAMES, WIDTH, HEIGHT = 60, 96, 80
KEYFRAMES = "0: x 0.3, y 0.5, size 0.4, ease\n59: x 0.7, size 0.5, ease"


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


def workflow():
    """The shipped one for clips. Its "model" mixes the window with gray, which changes the light on the subject."""
    shipped = json.loads((ROOT / "example_workflows/api/Subject through a clip.json").read_text(encoding="utf-8"))
    repeated, paste, crop, stitch = (shipped[name] for name in ("5", "6", "7", "12"))
    repeated["inputs"]["image"] = ["1", 0]
    paste["inputs"] |= {"subject": ["2", 0], "subject_mask": ["3", 0], "keyframes": KEYFRAMES, "ring": 6}
    crop["inputs"] |= {"side": 64, "multiple": 8}
    stitch["inputs"]["sampled"] = ["blend", 0]
    for inputs, name in ((crop["inputs"], "model"), (crop["inputs"], "vae"), (stitch["inputs"], "latent")):
        del inputs[name]
    return {
        "1": node("LoadImage", image="part_background.mkv"),
        "2": node("LoadImage", image="part_subject.png"),
        "3": node("InvertMask", mask=["2", 1]),
        "5": repeated,
        "6": paste,
        "7": crop,
        "gray": node("EmptyImage", width=64, height=64, batch_size=1, color=0x303030),
        "blend": node("ImageBlend", image1=["7", 1], image2=["gray", 0], blend_factor=0.3, blend_mode="normal"),
        "12": stitch,
        "13": node("SaveImage", images=["12", 0], filename_prefix="x"),
        "mask": node("MaskToImage", mask=["12", 1]),
        "14": node("SaveImage", images=["mask", 0], filename_prefix="x"),
    }


@pytest.fixture(scope="module")
def ran(tmp_path_factory, comfyui, pack):
    """Background, results and masks, uint8 [T,H,W,3], at once and in parts of 8."""
    clips.add_nodes()
    inputs, out = Path(folder_paths.get_input_directory()), tmp_path_factory.mktemp("clips")
    wide = (255 * scene(3, (WIDTH + FRAMES, HEIGHT))).round().astype(np.uint8)
    background = np.stack([wide[:, n : n + WIDTH] for n in range(FRAMES)])
    write_video(inputs / "part_background.mkv", background)
    cutout = (255 * np.dstack([scene(4, (32, 32)), np.ones((32, 32))])).round().astype(np.uint8)
    cutout[:6, :, 3] = 0
    Image.fromarray(cutout).save(inputs / "part_subject.png")
    found = {}
    for chunk in (FRAMES, 8):
        lengths = []

        def run(prompt, lengths=lengths):
            lengths.append(len(clips.GIVEN["1"]))
            return run_workflow(prompt)

        result = clips.run_clip(workflow(), inputs, out / str(chunk), chunk, run, lambda *_: None)
        videos = (np.stack([f.pixels for f in read_frames(result.files[name])]) for name in ("13", "14"))
        found[chunk] = *videos, lengths, result
    return background, found


def test_parts_give_what_the_whole_clip_gives(ran):
    _, found = ran
    (whole, *_), (parts, _, lengths, result) = found[FRAMES], found[8]
    assert max(lengths) == 8 and len(parts) == FRAMES == len(result.report)
    apart = np.abs(whole.astype(int) - parts)
    # In levels. Each part has windows of its own size, so the light is not read from the same pixels.
    assert apart.mean() < 0.05 and apart.max() <= 3


def test_outside_the_mask_every_pixel_is_the_decoded_frames(ran):
    background, found = ran
    for images, masks, *_ in found.values():
        outside = masks.max(axis=3) == 0
        assert 0.5 < outside.mean() < 1 and np.array_equal(images[outside], background[outside])
        assert not np.array_equal(images, background)


def test_clips_that_follow_one_another_do_not_get_each_others_frames(tmp_path, ran):
    executor, inputs = new_executor(), Path(folder_paths.get_input_directory())
    for number in range(2):
        frames = np.full((6, 16, 16, 3), 40 * number, np.uint8)
        write_video(inputs / f"clip_{number}.mkv", frames)
        given = {
            "1": node("LoadImage", image=f"clip_{number}.mkv"),
            "2": node("ImageInvert", image=["1", 0]),
            "3": node("SaveImage", images=["2", 0], filename_prefix="x"),
        }
        result = clips.run_clip(
            given, inputs, tmp_path, 49, lambda prompt: run_workflow(prompt, executor=executor), lambda *_: None
        )
        found = np.stack([frame.pixels for frame in read_frames(result.files["3"])])
        assert np.array_equal(found, 255 - frames)


def test_a_subject_that_is_a_video_lies_in_parts_where_it_lies_at_once(tmp_path, ran):
    inputs, count = Path(folder_paths.get_input_directory()), 20
    background, numbers = ran[0][:count], np.arange(count + 3)
    write_video(inputs / "subject_background.mkv", background)
    images = np.stack([(255 * scene(4 + number % 3, (40, 30))).round().astype(np.uint8) for number in numbers])
    masks = np.zeros_like(images)
    for number in numbers:
        # Its outline changes, and so does its box from part to part.
        masks[number, 4 : 12 + number % 15, 5 + number % 4 : 15 + number] = 255
    write_video(inputs / "subject_itself.mkv", images)
    write_video(inputs / "subject_masks.mkv", masks)
    paste = workflow()["6"]["inputs"] | {"background": ["1", 0], "subject": ["2", 0], "subject_mask": ["3", 0]}
    given = {
        "1": node("LoadImage", image="subject_background.mkv"),
        "2": node("LoadImage", image="subject_itself.mkv"),
        "3": node("LoadImageMask", image="subject_masks.mkv", channel="red"),
        "6": node("PhDPasteBlend", **paste),
        "13": node("SaveImage", images=["6", 1], filename_prefix="x"),
    }
    found = []
    for chunk in (count, 8):
        result = clips.run_clip(given, inputs, tmp_path / str(chunk), chunk, run_workflow, lambda *_: None)
        found.append(np.stack([frame.pixels for frame in read_frames(result.files["13"])]).astype(int))
    whole, parts = found
    assert len(whole) == count and (whole != background).any(axis=(1, 2, 3)).all()
    # In levels. Placements are rounded to a millionth.
    assert np.abs(whole - parts).max() <= 1


def soft_discs(count):
    """RGBA of a soft disc that moves, black where nothing shows: some frames show nothing, one has no edge."""
    rows, columns = np.mgrid[:31, :41]
    frames = np.zeros((count, 31, 41, 4), np.uint8)
    for number, frame in enumerate(frames):
        alpha = np.clip((12 - np.hypot(rows - 15, columns - 14 - number / 2)) / 4, 0, 1)
        alpha = {0: 0 * alpha, 9: 0 * alpha, 10: 0 * alpha, 15: 0 * alpha + 1}.get(number, alpha)
        frame[..., 3] = (255 * alpha).round()
        frame[..., :3] = (frame[..., 3:] > 0) * (255 * scene(4, (41, 31))).round()
    return frames


@pytest.mark.parametrize("masked", [False, True])
def test_a_video_with_alpha_is_pasted_as_a_cutout_or_by_the_mask_that_is_given(masked, tmp_path, ran):
    inputs, count = Path(folder_paths.get_input_directory()), 20
    background, cutouts = ran[0][:count], soft_discs(count)
    masks = np.repeat(np.roll(cutouts[..., 3:], 5, axis=2), 3, axis=3)
    write_video(inputs / "subject_background.mkv", background)
    write_video(inputs / "subject_itself.mov", cutouts, codec="qtrle", pixel_format="argb")
    write_video(inputs / "subject_masks.mkv", masks)
    paste = workflow()["6"]["inputs"] | {"background": ["1", 0], "subject": ["2", 0], "subject_mask": ["3", 0]}
    alpha, mask = node("InvertMask", mask=["2", 1]), node("LoadImageMask", image="subject_masks.mkv", channel="red")
    given = {
        "1": node("LoadImage", image="subject_background.mkv"),
        "2": node("LoadImage", image="subject_itself.mov"),
        "3": mask if masked else alpha,
        "6": node("PhDPasteBlend", **paste),
        "13": node("SaveImage", images=["6", 1], filename_prefix="x"),
    }
    result = clips.run_clip(given, inputs, tmp_path, 8, run_workflow, lambda *_: None)
    found = np.stack([frame.pixels for frame in read_frames(result.files["13"])]).astype(int)
    scenes, subjects = (torch.from_numpy(frames.astype(np.float32) / 255) for frames in (background, cutouts))
    own = {"subject": subjects[..., :3], "subject_mask": torch.from_numpy(masks[..., 0] / np.float32(255))}
    widgets = {name: value for name, value in paste.items() if not isinstance(value, list)}
    at_once = run_node("PhDPasteBlend", background=scenes, **(own if masked else {"subject": subjects}), **widgets)
    expected = (at_once.values[1].numpy() * 255).round()
    # In levels. Placements are rounded to a millionth.
    assert np.abs(found - expected).max() <= 1
    shown = (found != background).any(axis=(1, 2, 3))
    assert [number for number in range(count) if not shown[number]] == [0, 9, 10]


def test_a_video_whose_alpha_is_empty_leaves_every_frame_as_it_is(tmp_path, ran):
    inputs, background = Path(folder_paths.get_input_directory()), ran[0][:9]
    write_video(inputs / "subject_background.mkv", background)
    write_video(inputs / "subject_itself.webm", 0 * soft_discs(9), codec="libvpx-vp9", pixel_format="yuva420p")
    paste = workflow()["6"]["inputs"] | {"background": ["1", 0], "subject": ["2", 0]}
    del paste["subject_mask"]
    given = {
        "1": node("LoadImage", image="subject_background.mkv"),
        "2": node("LoadImage", image="subject_itself.webm"),
        "6": node("PhDPasteBlend", **paste),
        "13": node("SaveImage", images=["6", 1], filename_prefix="x"),
    }
    result = clips.run_clip(given, inputs, tmp_path, 8, run_workflow, lambda *_: None)
    found = np.stack([frame.pixels for frame in read_frames(result.files["13"])])
    assert np.array_equal(found, background) and any("is empty" in warning for warning in result.warnings)
