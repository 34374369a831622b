"""Videos are run in parts, from file to file: memory is that of a part, and the parts join without a jump."""

import tracemalloc
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from devtools.videos import write_video
from phd_batch import clips
from phd_batch.clip_parts import Join, parts, shared_frames
from phd_batch.video import VideoWriter, read_frames
from phd_ops.pixels.geometry import Placement, Size, joined_box
from phd_ops.pixels.keyframes import keyed_values, keyframes_of_part, read_keyframes
from phd_ops.pixels.paste import exemplar_matrix, subject_box


def noise(count, height=12, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)


def pixels(file):
    return np.stack([frame.pixels for frame in read_frames(file)])


@pytest.mark.parametrize("cuts", [(), (5,), (20, 23), (49,)])
@pytest.mark.parametrize("count", [1, 8, 9, 50, 60])
def test_parts_cover_a_clip_and_none_holds_a_cut(count, cuts):
    found = list(parts(range(count), 8, lambda before, after: after not in cuts))
    fresh = [frame for part in found for frame in part.frames[part.shared :]]
    assert fresh == list(range(count))
    for part in found:
        assert part.frames == list(range(part.start, part.start + len(part.frames)))
        assert not set(part.frames[1:]) & set(cuts)
    # A shorter part is a whole shot.
    ends = {0, *cuts, count}
    assert all(len(p.frames) == 8 or {p.start, p.start + len(p.frames)} <= ends for p in found)


@pytest.mark.parametrize("count", [5, 8, 13, 30])
def test_where_two_parts_agree_the_joined_clip_has_their_bits_and_else_it_fades(count):
    images = np.random.default_rng(1).random((count, 2, 3, 3), np.float32)
    join, joined, found = Join(8), [], list(parts(range(count), 8, lambda *_: True))
    for number, part in enumerate(found):
        # Every other part is brighter by 0.1 in one place.
        results = images[part.frames].copy()
        results[:, 0] += 0.1 * (number % 2)
        joined += join.add(results, part.shared)
    joined = np.stack([*joined, *join.end()])
    assert len(joined) == count and np.array_equal(joined[:, 1], images[:, 1])
    steps = np.abs(np.diff((joined - images)[:, 0].mean(axis=(1, 2))))
    # The frames' rounding on top.
    assert steps.max() <= 0.1 / (shared_frames(8) + 1) + 1e-6


def test_keyframes_of_a_part_place_every_frame_as_those_of_the_whole_clip_do():
    text = "3: x 0.1, size 0.5, ease\n20: x 0.9, flip\n40: x 0.2, y 0.7, rotation 0.00001, flip false"
    whole = keyed_values(read_keyframes(text), 60)
    for start, count in ((0, 8), (17, 9), (55, 5), (3, 1)):
        part = keyed_values(read_keyframes(keyframes_of_part(text, start, count)), count)
        assert set(part) == set(whole)
        for name, values in part.items():
            assert np.allclose(values, whole[name][start : start + count], rtol=0, atol=1e-12)
    assert keyframes_of_part("\n", 3, 4) == ""


@pytest.mark.parametrize("pixel_format", ["bgr0", "yuv420p10le"])
def test_a_written_video_has_the_pixels_times_and_sound_of_its_source(pixel_format, tmp_path):
    source = write_video(tmp_path / "a.mkv", noise(6), sound=True)
    if pixel_format != "bgr0":
        with av.open(str(tmp_path / "deep.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.height, stream.width, stream.pix_fmt = 12, 16, pixel_format
            for frame in noise(6):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        source = tmp_path / "deep.mkv"
    given = list(read_frames(source))
    assert given[0].pixels.dtype == (np.uint8 if pixel_format == "bgr0" else np.uint16)
    with VideoWriter(tmp_path / "b.mkv", source) as writer:
        for frame in given:
            writer.write(frame)
    found = list(read_frames(tmp_path / "b.mkv"))
    assert np.array_equal([f.pixels for f in given], [f.pixels for f in found])
    assert [f.time for f in given] == [f.time for f in found]
    with av.open(str(source)) as one, av.open(str(tmp_path / "b.mkv")) as other:
        sounds = [
            [bytes(p) for p in c.demux(c.streams.audio) if p.size] if c.streams.audio else [] for c in (one, other)
        ]
        assert sounds[0] == sounds[1] and bool(sounds[0]) == (pixel_format == "bgr0")


@pytest.mark.parametrize("codec", ["pcm_mulaw", "adpcm_ima_qt", "pcm_s8"])
def test_sound_that_the_result_s_container_does_not_take_is_written_without_loss(codec, tmp_path):
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 12, 16, "yuvj420p"
        voice = container.add_stream(codec, rate=8000, layout="mono")
        for frame in noise(6):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
        tone = (9000 * np.sin(np.arange(8000 * 6 // 25) / 9)).astype(np.int16)[None]
        spoken = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        spoken.sample_rate, spoken.pts = 8000, 0
        container.mux(voice.encode(spoken))
        container.mux(voice.encode(None))
    with VideoWriter(tmp_path / "b.mkv", tmp_path / "a.mov") as writer:
        for frame in read_frames(tmp_path / "a.mov"):
            writer.write(frame)
    sounds = []
    for name in ("a.mov", "b.mkv"):
        with av.open(str(tmp_path / name)) as container:
            # To the samples' type of the one that has fewer bits.
            resampler = av.AudioResampler("s16")
            frames = [each for frame in container.decode(audio=0) for each in resampler.resample(frame)]
            sounds.append(np.concatenate([frame.to_ndarray()[0] for frame in frames]))
    assert len(sounds[0]) >= 8000 * 6 // 25 and np.array_equal(*sounds)


def test_a_result_of_hdr_says_so(tmp_path):
    hdr = {"color_primaries": 9, "color_trc": 18}
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 12, 16, "yuv420p10le"
        for name, value in hdr.items():
            setattr(stream.codec_context, name, value)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(1)[0], format="rgb24")))
        container.mux(stream.encode(None))
    with VideoWriter(tmp_path / "b.mkv", tmp_path / "a.mkv") as writer:
        for frame in read_frames(tmp_path / "a.mkv"):
            writer.write(frame)
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert {name: getattr(container.streams.video[0].codec_context, name) for name in hdr} == hdr


def test_pixels_that_are_not_square_are_reported(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 72, 80, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(8, 5)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(1, 72, 80)[0], format="rgb24")))
        container.mux(stream.encode(None))
    write_video(tmp_path / "b.mkv", noise(1))
    (warning,) = run_with(lambda given: given, prompt("a.mp4"), tmp_path).warnings
    assert "8:5" in warning and "-aspect 16:9" in warning
    assert not run_with(lambda given: given, prompt("b.mkv"), tmp_path).warnings


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("a.MTS", "libx264", "mpegts"),
        ("a.3gp", "libx264", "3gp"),
        ("a.wmv", "wmv2", "asf"),
        ("a.mxf", "mpeg2video", "mxf"),
    ],
)
def test_what_cameras_and_phones_write_is_a_video(name, codec, kind, tmp_path):
    with av.open(str(tmp_path / name), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for frame in np.repeat(noise(1, 48, 64) // 8, 5, axis=0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    found = run_with(lambda given: given, prompt(name), tmp_path)
    assert np.array_equal(pixels(found.files["save"]), pixels(tmp_path / name)) and len(found.report) == 5
    # Without its ending it would be taken for an image.
    assert clips.loads_video(prompt(name)["0"])


def test_a_clip_from_a_phone_is_upright(tmp_path):
    frames = noise(2)
    file = write_video(tmp_path / "turned.mp4", frames, rotated=90)
    assert np.array_equal(pixels(file), np.rot90(frames, 1, axes=(1, 2)))


def test_colors_of_ten_bits_are_right_at_odd_widths(tmp_path):
    frames = np.full((1, 37, 41, 3), (200, 100, 50), np.uint8)
    (frame,) = read_frames(write_video(tmp_path / "a.mkv", frames, pixel_format="yuv420p10le"))
    # Where the clip was written, the last columns of an odd width may have another color.
    assert np.abs(frame.as_float()[:, :-4, :3] * 255 - frames[0, :, :-4]).max() < 1.5


def prompt(*videos):
    """Loads videos; the first one is saved."""
    nodes = {str(n): {"class_type": "LoadImage", "inputs": {"image": name}} for n, name in enumerate(videos)}
    return nodes | {"save": {"class_type": "SaveImage", "inputs": {"images": ["0", 0], "filename_prefix": "x"}}}


def run_with(model, given, tmp_path, chunk=8, report=lambda *_: None):
    """Runs a prompt; model: gives the images of a part from its frames, in place of ComfyUI."""

    def run(part):
        clips.TAKEN["save"] = TensorLike(model(clips.GIVEN["0"]))
        return SimpleNamespace(model_calls={}, outputs={"save": {"phd_report": [{}] * len(clips.GIVEN["0"])}})

    return clips.run_clip(given, tmp_path, tmp_path / "out", chunk, run, report)


class TensorLike(np.ndarray):
    """An array with the methods of a tensor that are called."""

    def __new__(cls, array):
        return np.asarray(array).view(cls)

    def cpu(self):
        return self

    def numpy(self):
        return np.asarray(self)


def test_what_the_model_leaves_alone_is_the_decoded_frame_and_progress_counts_frames(tmp_path):
    frames, told = np.repeat(noise(1), 21, axis=0), []
    frames[:, 3] = np.arange(21)[:, None, None]
    write_video(tmp_path / "a.mkv", frames)
    found = run_with(lambda given: given, prompt("a.mkv"), tmp_path, report=lambda *each: told.append(each))
    assert np.array_equal(pixels(found.files["save"]), frames)
    assert told[-1] == (21, 21) and [done for done, _ in told] == sorted({done for done, _ in told})
    assert len(found.report) == 21


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path):
    peaks = []
    for count in (24, 96):
        write_video(tmp_path / "a.mkv", np.repeat(noise(1, 96, 128), count, axis=0))
        tracemalloc.start()
        run_with(lambda given: given.copy(), prompt("a.mkv"), tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def test_a_run_that_fails_keeps_no_frames(tmp_path):
    write_video(tmp_path / "a.mkv", noise(6))

    def model(given):
        raise ValueError("out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        run_with(model, prompt("a.mkv"), tmp_path)
    assert not clips.GIVEN and not clips.TAKEN


def test_a_video_model_gets_as_many_frames_as_it_takes_and_every_frame_comes_back(tmp_path):
    """It encodes a first frame and then four at a time, and leaves the rest out."""
    frames = np.repeat(noise(1), 7, axis=0)
    write_video(tmp_path / "a.mkv", frames)
    lengths = []

    def model(given):
        lengths.append(len(given))
        return given[: (len(given) - 1) // 4 * 4 + 1]

    found = run_with(model, prompt("a.mkv"), tmp_path, chunk=49)
    assert lengths == [7, 9] and len(found.report) == 7
    assert np.array_equal(pixels(found.files["save"]), frames)


@pytest.mark.parametrize(
    ("second", "words"),
    [(noise(5), "different numbers of frames"), (None, "1 images came back for 6 frames")],
)
def test_what_cannot_be_run_is_one_sentence(second, words, tmp_path):
    write_video(tmp_path / "a.mkv", np.repeat(noise(1), 6, axis=0))
    if second is not None:
        write_video(tmp_path / "b.mkv", second)
    names = ("a.mkv", "b.mkv") if second is not None else ("a.mkv",)
    with pytest.raises(clips.ClipError, match=words):
        run_with(lambda given: given if second is not None else given[:1], prompt(*names), tmp_path)


def test_a_still_that_was_repeated_for_a_clip_is_replaced_by_the_video(tmp_path):
    given = prompt("a.mkv")
    given["r"] = {"class_type": "RepeatImageBatch", "inputs": {"image": ["0", 0], "amount": 17}}
    given["save"]["inputs"]["images"] = ["r", 0]
    found = clips.with_frames(given, {"0": tmp_path / "a.mkv"})
    assert found["save"]["inputs"] == {"images": ["0", 0], "node": "save"}


def with_subject(**more):
    """Places a subject that is a video, with its masks, in a video."""
    inputs = {"background": ["0", 0], "subject": ["1", 0], "subject_mask": ["2", 0]}
    inputs |= {"x": 0.5, "y": 0.6, "size": 0.5, "rotation": 10.0, "flip": False}
    given = prompt("a.mkv", "s.mkv") | {"paste": {"class_type": "PhDPasteBlend", "inputs": inputs | more}}
    given["2"] = {"class_type": "LoadImageMask", "inputs": {"image": "m.mkv", "channel": "red"}}
    return given


def write_subject(folder, scenes, count, size=(30, 40)):
    """The videos of `with_subject`: the subject is a box that moves, and shows its frame's number."""
    write_video(folder / "a.mkv", np.repeat(noise(1, 60, 80), scenes, axis=0))
    subjects, masks = np.zeros((count, *size, 3), np.uint8), np.zeros((count, *size, 3), np.uint8)
    for number in range(count):
        subjects[number] = number
        masks[number, 5 + number % 7 : 20, 3 + number % 11 : 25 + number % 5] = 255
    write_video(folder / "s.mkv", subjects)
    write_video(folder / "m.mkv", masks)
    return masks[..., 0] / np.float32(255)


def run_parts(given, tmp_path):
    """The keyframes and the subjects' and masks' frames of each part, and its start."""
    found = []

    def run(part):
        clips.TAKEN["save"] = TensorLike(clips.GIVEN["0"])
        found.append((part["paste"]["inputs"].get("keyframes"), clips.GIVEN["1"].copy(), clips.GIVEN["2"][..., 0]))
        return SimpleNamespace(model_calls={}, outputs={})

    clips.run_clip(given, tmp_path, tmp_path / "out", 8, run, lambda *_: None)
    return found


@pytest.mark.parametrize("rate", [25, 24])
def test_a_subjects_video_of_another_rate_is_reported(rate, tmp_path):
    write_subject(tmp_path, 6, 6)
    for name in ("s", "m"):
        write_video(tmp_path / f"{name}.mkv", np.full((6, 30, 40, 3), 255, np.uint8), rate=rate)

    def run(part):
        clips.TAKEN["save"] = TensorLike(clips.GIVEN["0"])
        return SimpleNamespace(model_calls={}, outputs={})

    warnings = list(clips.run_clip(with_subject(), tmp_path, tmp_path / "out", 8, run, lambda *_: None).warnings)
    # The subject's video and that of its masks say the same.
    assert len(warnings) == (rate != 25) and all("24 frames a second" in text and "-r 25" in text for text in warnings)


@pytest.mark.parametrize("count", [21, 12, 40])
def test_a_subject_that_is_a_video_lies_in_every_part_where_the_whole_clip_has_it(count, tmp_path):
    masks = write_subject(tmp_path, 21, count)
    given = with_subject(keyframes="0: x 0.2, size 0.4, ease\n20: x 0.8, y 0.3, size 0.7, flip")
    # A shorter one holds its last frame, and of a longer one the rest is not used.
    shown = np.minimum(np.arange(21), count - 1)
    whole, scene = joined_box([subject_box(masks[frame]) for frame in shown]), Size(80, 60)
    values = keyed_values(read_keyframes(given["paste"]["inputs"]["keyframes"]), 21)
    starts = [part.start for part in parts(range(21), 8, lambda *_: True)]
    found = run_parts(given, tmp_path)
    assert len(found) == len(starts) > 2
    for start, (text, subjects, own) in zip(starts, found, strict=True):
        assert np.array_equal(np.rint(subjects[:, 0, 0, 0] * 255), shown[start : start + 8])
        box = joined_box([subject_box(mask) for mask in own])
        keyed = keyed_values(read_keyframes(text), 8)
        for frame in range(8):
            placed = Placement(**{name: column[frame].item() for name, column in keyed.items()})
            wanted = {name: column[start + frame].item() for name, column in values.items()}
            matrix = exemplar_matrix(whole, Placement(**{"rotation": 10.0, **wanted}), scene)
            assert np.allclose(exemplar_matrix(box, placed, scene), matrix, rtol=0, atol=1e-9)


def test_without_keyframes_a_subject_that_is_a_video_stays_where_the_widgets_have_it(tmp_path):
    masks = write_subject(tmp_path, 12, 12)
    whole, scene = joined_box([subject_box(mask) for mask in masks]), Size(80, 60)
    for text, _, own in run_parts(with_subject(x=0.3), tmp_path):
        box = joined_box([subject_box(mask) for mask in own])
        keyed = keyed_values(read_keyframes(text), 8)
        placed = Placement(**{name: column[3].item() for name, column in keyed.items()})
        wanted = exemplar_matrix(whole, Placement(0.3, 0.6, 0.5, 10.0), scene)
        assert np.allclose(exemplar_matrix(box, placed, scene), wanted, rtol=0, atol=1e-9)


def test_a_part_without_a_subject_keeps_its_keyframes(tmp_path):
    write_subject(tmp_path, 12, 12)
    write_video(tmp_path / "m.mkv", np.zeros((12, 30, 40, 3), np.uint8))
    found = run_parts(with_subject(keyframes="0: x 0.5"), tmp_path)
    assert found[0][0] == keyframes_of_part("0: x 0.5", 0, 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": ["7", 0]}, "x is linked"),
        ({"background": ["7", 0]}, "needs a background that is one"),
        ({"size": (20, 20)}, "20×20"),
    ],
)
def test_what_a_subject_that_is_a_video_cannot_have_is_one_sentence(change, words, tmp_path):
    size = change.pop("size", (30, 40))
    write_subject(tmp_path, 9, 9)
    if size != (30, 40):
        write_video(tmp_path / "m.mkv", np.full((9, *size, 3), 255, np.uint8))
    given = with_subject(**change) | {"7": {"class_type": "PrimitiveFloat", "inputs": {}}}
    with pytest.raises((clips.ClipError, ValueError), match=words):
        run_parts(given, tmp_path)


def test_which_subjects_can_be_videos_and_servers_run_none():
    given = with_subject()
    assert clips.video_fault(given, "1", 8) == clips.video_fault(given, "2", 8) == ""
    assert clips.video_fault(given, "0", 8) == ""
    assert "--server" in clips.video_fault(given, "1", 0)
    assert "track is connected" in clips.video_fault(with_subject(track=["9", 0]), "1", 8)
    given["2"]["class_type"] = "PhDSegment"
    assert "needs its mask as a video too" in clips.video_fault(given, "1", 8)
    given["paste"]["class_type"] = "PhDInsertSubject"
    assert "Insert Subject" in clips.video_fault(given, "1", 8)
    del given["save"]
    assert "Save Image" in clips.video_fault(given, "1", 8)
