"""A subject's video with alpha of its own: it is read from every format, and is the subject's matte without a mask."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_batch_clips import TensorLike, noise, prompt

from devtools.videos import write_video
from phd_batch import clips
from phd_batch.plan import Files
from phd_batch.video import read_frames
from phd_ops.pixels.keyframes import keyframes_of_part

HEIGHT, WIDTH = 37, 41
# File, codec, pixel format, and how far off alpha may be, in 8-bit levels.
FORMATS = [
    ("prores.mov", "prores_ks", "yuva444p10le", 0.5),
    ("vp9.webm", "libvpx-vp9", "yuva420p", 3),
    ("vp9.mkv", "libvpx-vp9", "yuva420p", 3),
    ("vp8.webm", "libvpx", "yuva420p", 3),
    ("png.mov", "png", "rgba", 0),
    ("deep_png.mov", "png", "rgba64be", 0.05),
    ("animation.mov", "qtrle", "argb", 0),
    ("ffv1.mkv", "ffv1", "bgra", 0),
    ("ffv1_10.mkv", "ffv1", "yuva444p10le", 0.5),
    ("ffv1_12.mkv", "ffv1", "yuva444p12le", 0.1),
]


def cutouts(count, height=HEIGHT, width=WIDTH):
    """RGBA of one color. From left to right alpha goes from 0 to 1, which it reaches before the edges."""
    frames = np.empty((count, height, width, 4), np.uint8)
    frames[..., :3] = 200, 100, 50
    frames[..., 3] = np.clip(np.linspace(-64, 319, width), 0, 255).round()
    return frames


def boxes(count, size=(30, 40)):
    """RGBA of a box that moves, which shows its frame's number."""
    frames = np.zeros((count, *size, 4), np.uint8)
    for number in range(count):
        frames[number, ..., :3] = number
        frames[number, 5 + number % 7 : 20, 3 + number % 11 : 25 + number % 5, 3] = 255
    return frames


def as_video(mattes):
    return np.repeat(mattes[..., None], 3, axis=3)


def placed(mask=None, **more):
    """Places the video 1 in the video 0. mask: "inverted", Invert Mask after Load Image; "video"; or None for none."""
    inputs = {"background": ["0", 0], "subject": ["1", 0], "size": 0.5, "rotation": 10.0} | more
    given = prompt("a.mkv", "s.mkv") | {"paste": {"class_type": "PhDPasteBlend", "inputs": inputs}}
    if mask == "inverted":
        given["2"] = {"class_type": "InvertMask", "inputs": {"mask": ["1", 1]}}
    if mask == "video":
        given["2"] = {"class_type": "LoadImageMask", "inputs": {"image": "m.mkv", "channel": "red"}}
    if mask:
        inputs["subject_mask"] = ["2", 0]
    return given


def run_parts(given, folder):
    """Of each part the placer's inputs, and what the stand-ins of Load Image and of the cut-out give to it."""
    found = []

    def run(part):
        clips.TAKEN["save"] = TensorLike(clips.GIVEN["0"][..., :3])
        inputs = part["paste"]["inputs"]
        kind = part[inputs["subject"][0]]["class_type"]
        made = {"PhDBatchFrames": clips.GivenFrames, "PhDBatchCutouts": clips.GivenCutouts}[kind]().give("1", 0)
        found.append((inputs, made[0].numpy().copy()))
        return SimpleNamespace(model_calls={}, outputs={})

    clips.run_clip(given, folder, folder / "out", 8, run, lambda *_: None)
    return found


@pytest.mark.parametrize(("name", "codec", "pixel_format", "apart"), FORMATS)
def test_alpha_is_read_from_every_format_that_has_it(name, codec, pixel_format, apart, tmp_path):
    frames = cutouts(3)
    found = list(read_frames(write_video(tmp_path / name, frames, codec=codec, pixel_format=pixel_format)))
    alpha = np.stack([frame.as_float()[..., 3] for frame in found])
    assert len(found) == 3 and found[2].time == pytest.approx(2 / 25)
    assert np.abs(alpha * 255 - frames[..., 3]).max() <= apart + 1e-4
    if apart < 1 and "png" not in name:
        # Also where alpha has 10 or 12 bits.
        assert set(np.unique(alpha[..., [0, -1]])) == {0, 1}


def test_alpha_without_loss_keeps_every_bit(tmp_path):
    rng = np.random.default_rng(2)
    for dtype, pixel_format in ((np.uint8, "bgra"), (np.uint16, "gbrap16le")):
        frames = rng.integers(0, np.iinfo(dtype).max + 1, (2, HEIGHT, WIDTH, 4), dtype)
        file = write_video(tmp_path / "a.mkv", frames, pixel_format=pixel_format)
        assert np.array_equal([frame.pixels for frame in read_frames(file)], frames)


def test_ten_bits_of_alpha_are_read_to_their_last_bit(tmp_path):
    levels = np.arange(1024)
    frames = np.full((1, 32, 32, 4), 32768, np.uint16)
    frames[0, ..., 3] = (levels << 6 | levels >> 4).reshape(32, 32)
    (frame,) = read_frames(write_video(tmp_path / "a.mkv", frames, pixel_format="gbrap10le"))
    assert np.abs(frame.as_float()[..., 3].ravel() - levels / 1023).max() < 1e-5


def test_load_image_gives_colors_and_the_opposite_of_alpha_as_it_does_for_stills():
    clips.GIVEN["x"] = cutouts(2).astype(np.float32) / 255
    try:
        images, masks = clips.GivenFrames().give("x", 0)
        assert images.shape == (2, HEIGHT, WIDTH, 3) and images.is_contiguous()
        assert torch.equal(masks, 1 - torch.from_numpy(clips.GIVEN["x"][..., 3]))
    finally:
        clips.GIVEN.clear()


@pytest.mark.parametrize("mask", [None, "inverted"])
def test_without_a_mask_the_alpha_of_the_subjects_video_is_its_matte_and_it_is_a_cutout(mask, tmp_path):
    write_video(tmp_path / "a.mkv", np.repeat(noise(1, 60, 80), 21, axis=0))
    frames, text = boxes(12), "0: x 0.2, size 0.4, ease\n20: x 0.8, y 0.3, size 0.7, flip"
    write_video(tmp_path / "s.mkv", frames)
    write_video(tmp_path / "m.mkv", as_video(frames[..., 3]))
    found, start = run_parts(placed(mask, keyframes=text), tmp_path), 0
    assert len(found) > 2
    for (inputs, given), (by_mask, colors) in zip(
        found, run_parts(placed("video", keyframes=text), tmp_path), strict=True
    ):
        # It lies where a video of the same masks has it.
        assert "subject_mask" not in inputs and inputs["keyframes"] == by_mask["keyframes"]
        shown = np.rint(given[..., 0, 0, 0] * 255).astype(int)
        assert np.array_equal(given, frames[shown] / np.float32(255)) and np.array_equal(given[..., :3], colors)
        start = shown[-1]
    # A shorter one holds its last frame.
    assert start == 11


def test_a_mask_that_is_given_wins_over_alpha_and_its_last_frame_is_held(tmp_path):
    write_video(tmp_path / "a.mkv", np.repeat(noise(1, 60, 80), 12, axis=0))
    frames = boxes(12)
    write_video(tmp_path / "s.mkv", frames)
    # Two frames of masks for twelve of the subject.
    write_video(tmp_path / "m.mkv", as_video(frames[3:5, ..., 3]))
    with_alpha = run_parts(placed("video"), tmp_path)
    write_video(tmp_path / "s.mkv", frames[..., :3])
    without = run_parts(placed("video"), tmp_path)
    for (inputs, given), (others, same) in zip(with_alpha, without, strict=True):
        assert inputs == others and inputs["subject_mask"] == ["2", 0] and inputs["subject"] == ["1", 0]
        assert given.shape[-1] == 3 and np.array_equal(given, same)


def test_frames_whose_alpha_is_empty_do_not_count_for_the_subjects_box(tmp_path):
    write_video(tmp_path / "a.mkv", np.repeat(noise(1, 60, 80), 8, axis=0))
    frames = boxes(8)
    frames[[0, 4, 5], ..., 3] = 0
    write_video(tmp_path / "s.mkv", frames)
    write_video(tmp_path / "m.mkv", as_video(frames[..., 3]))
    ((inputs, given),), ((by_mask, _),) = run_parts(placed(), tmp_path), run_parts(placed("video"), tmp_path)
    assert inputs["keyframes"] == by_mask["keyframes"] and np.array_equal(given[..., 3], frames[..., 3] / 255)


@pytest.mark.parametrize(("level", "moved"), [(0, False), (255, True)])
def test_alpha_that_is_the_same_everywhere_is_an_empty_or_a_full_mask_as_of_a_still(level, moved, tmp_path):
    write_video(tmp_path / "a.mkv", np.repeat(noise(1, 60, 80), 8, axis=0))
    frames = boxes(8)
    frames[..., 3] = level
    write_video(tmp_path / "s.mkv", frames)
    ((inputs, given),) = run_parts(placed(keyframes="0: x 0.5"), tmp_path)
    # Without a subject the keyframes stay as they are; and a full one is placed by its whole frame.
    kept = keyframes_of_part("0: x 0.5", 0, 8)
    assert (given[..., 3] == level / 255).all() and (inputs["keyframes"] != kept) == moved
    write_video(tmp_path / "m.mkv", as_video(frames[..., 3]))
    ((by_mask, _),) = run_parts(placed("video", keyframes="0: x 0.5"), tmp_path)
    assert inputs["keyframes"] == by_mask["keyframes"]


def test_alpha_whose_black_is_slightly_above_zero_is_as_such_a_mask():
    frames = boxes(2).astype(np.float32) / 255
    clips.GIVEN["x"] = frames.copy()
    clips.GIVEN["x"][..., 3] = np.maximum(frames[..., 3], 1 / 255)
    try:
        (given,) = clips.GivenCutouts().give("x", 0)
        assert np.array_equal(given, frames)
    finally:
        clips.GIVEN.clear()


def test_a_background_with_alpha_is_run_as_one_without(tmp_path):
    frames = np.repeat(boxes(1, (12, 16)), 9, axis=0)
    write_video(tmp_path / "a.mkv", frames)

    def run(part):
        clips.TAKEN["save"] = TensorLike(clips.GivenFrames().give("0", 0)[0].numpy())
        return SimpleNamespace(model_calls={}, outputs={})

    found = clips.run_clip(prompt("a.mkv"), tmp_path, tmp_path / "out", 8, run, lambda *_: None)
    assert np.array_equal([frame.pixels for frame in read_frames(found.files["save"])], frames[..., :3])


def test_memory_does_not_grow_with_the_length_of_a_subject_with_alpha(tmp_path):
    peaks = []
    for count in (24, 96):
        write_video(tmp_path / "a.mkv", np.repeat(noise(1, 60, 80), count, axis=0))
        write_video(tmp_path / "s.mkv", np.repeat(boxes(1, (90, 120)), count, axis=0))
        tracemalloc.start()
        # What the parts are given is not kept here.
        clips.run_clip(placed(), tmp_path, tmp_path / "out", 8, nothing_kept, lambda *_: None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def nothing_kept(part):
    clips.TAKEN["save"] = TensorLike(clips.GIVEN["0"].copy())
    return SimpleNamespace(model_calls={}, outputs={})


@pytest.mark.parametrize("mask", [None, "inverted"])
def test_with_neither_mask_nor_alpha_what_is_missing_is_said(mask, tmp_path):
    write_video(tmp_path / "a.mkv", np.repeat(noise(1, 60, 80), 9, axis=0))
    write_video(tmp_path / "s.mkv", boxes(9)[..., :3])
    with pytest.raises(clips.ClipError, match="has no alpha that shows the subject"):
        run_parts(placed(mask), tmp_path)


def test_the_check_before_a_run_wants_alpha_only_where_it_is_the_matte(tmp_path):
    write_video(tmp_path / "s.mkv", boxes(2)[..., :3])
    write_video(tmp_path / "c.mkv", boxes(2))
    files = Files(tmp_path)
    # A video that needs none in one column may need it in another.
    assert files.staged("s.mkv") and files.staged("c.mkv", True) == files.staged("c.mkv")
    with pytest.raises(ValueError, match="s.mkv has no alpha.*column mask.*video with alpha"):
        files.staged("s.mkv", True)
    for mask in (None, "inverted"):
        assert clips.video_fault(placed(mask), "1", 8) == "" and clips.is_matte(placed(mask), "1")
        assert not clips.is_matte(placed(mask), "0")
    assert not clips.is_matte(placed("video"), "1")


def test_a_subject_that_is_repeated_to_stand_in_for_a_clip_is_checked_as_one_that_is_not(tmp_path):
    repeated = {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 17}}
    given = placed(subject=["r", 0]) | {"r": repeated}
    assert clips.video_fault(given, "1", 8) == "" and clips.is_matte(given, "1")
    given["paste"]["inputs"]["track"] = ["9", 0]
    assert "track is connected" in clips.video_fault(given, "1", 8)


def test_load_image_as_mask_does_not_read_a_videos_alpha(tmp_path):
    given = placed("video")
    given["2"]["inputs"]["channel"] = "alpha"
    assert "set channel to red" in clips.video_fault(given, "2", 8)
    with pytest.raises(clips.ClipError, match="set channel to red"):
        clips.run_clip(given, tmp_path, tmp_path / "out", 8, nothing_kept, lambda *_: None)


def test_a_mask_from_elsewhere_is_refused_also_where_the_subject_has_alpha():
    given = placed("video")
    given["2"] = {"class_type": "PhDSegment", "inputs": {}}
    assert "or alpha of its own and no subject_mask" in clips.video_fault(given, "1", 8)
    # As a mask, Load Image gives what is transparent.
    given["paste"]["inputs"]["subject_mask"] = ["1", 1]
    assert "or alpha of its own" in clips.video_fault(given, "1", 8)
