"""Runs a job whose images are videos: in parts, from file to file, so that a clip of any length takes the same memory.

The frames of a part take the place of the images that the workflow loads, and what it saves is written into a video.
"""

import contextlib
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phd_batch.clip_parts import Join, Part, parts
from phd_batch.clip_subject import ClipSubject, SubjectError, clip_subjects, mask_of, subject_fault
from phd_batch.graph import is_link, title, unrepeated
from phd_batch.video import ENDING, Frame, VideoWriter, count_frames, is_video, rate_of, read_frames, shape_lost

# The nodes that load an image, and what takes their place.
LOADERS = {"LoadImage": "PhDBatchFrames", "LoadImageMask": "PhDBatchMasks"}
SAVER, TAKER = "SaveImage", "PhDBatchTaken"
# Gives a subject's frames with their alpha, which Load Image leaves out.
CUTTER = "PhDBatchCutouts"
# Video models take 8n + 1 frames, or 4n + 1, which these are too.
STRIDE = 8
NO_ALPHA = "Load Image (as Mask) does not read the alpha of a video; set channel to red"
# Nodes that place a subject, and the inputs that are it.
PLACERS, SUBJECT = ("PhDPasteBlend", "PhDInsertSubject"), ("subject", "subject_mask")
MOST_WARNINGS = 20
# Rates of frames that differ by a smaller share are the same: 30 and 29.97.
SAME_RATE = 0.005

# Between a run and its nodes, by the ids of those whose place they take: the frames of the part, float32
# [B,H,W,3 or 4], and the images that came of it, tensors [B,H,W,C]. One clip is run at a time in a process.
GIVEN: dict[str, np.ndarray] = {}
TAKEN: dict[str, Any] = {}
RUNS = itertools.count()

# Called with how many frames are done, and of how many.
OnFrames = Callable[[int, int], None]


class ClipError(Exception):
    """The clips of a job cannot be run; the message is what the user reads."""


class GivenFrames:
    """Stands in for Load Image: gives the frames of the part, and the opposite of their alpha."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE", "MASK"), "give", "PhD"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"node": ("STRING", {}), "part": ("INT", {})}}

    def give(self, node: str, part: int) -> tuple:
        import torch

        frames = torch.from_numpy(GIVEN[node])
        if frames.shape[-1] == 4:
            return frames[..., :3].contiguous(), 1 - frames[..., 3]
        # As Load Image's masks of images without transparency.
        return frames, torch.zeros(len(frames), 64, 64)


class GivenCutouts:
    """Gives the frames of the part with their alpha, whose black is at 0 as that of Paste & Blend's masks."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "give", "PhD"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"node": ("STRING", {}), "part": ("INT", {})}}

    def give(self, node: str, part: int) -> tuple:
        import torch

        from phd_ops.pixels.masks import zero_black

        frames = torch.from_numpy(GIVEN[node])
        alpha = zero_black(frames[..., 3].contiguous())
        return (torch.cat([frames[..., :3], alpha[..., None]], dim=-1),)


class GivenMasks:
    """Stands in for Load Image (as Mask)."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MASK",), "give", "PhD"

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"node": ("STRING", {}), "part": ("INT", {}), "channel": ("STRING", {})}}

    def give(self, node: str, part: int, channel: str) -> tuple:
        import torch

        number = ("red", "green", "blue").index(channel)
        return (torch.from_numpy(np.ascontiguousarray(GIVEN[node][..., number])),)


class TakenImages:
    """Stands in for Save Image: keeps the part's images for the run."""

    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "take", "PhD", True

    @classmethod
    def INPUT_TYPES(cls):  # noqa: N802
        return {"required": {"images": ("IMAGE",), "node": ("STRING", {})}}

    def take(self, images: Any, node: str) -> dict:
        TAKEN[node] = images
        return {}


def add_nodes() -> None:
    """Adds the nodes of this file to ComfyUI's, in this process."""
    from nodes import NODE_CLASS_MAPPINGS  # type: ignore[attr-defined]  # of ComfyUI

    NODE_CLASS_MAPPINGS.update({"PhDBatchFrames": GivenFrames, "PhDBatchMasks": GivenMasks})
    NODE_CLASS_MAPPINGS.update({CUTTER: GivenCutouts, TAKER: TakenImages})


def loads_video(node: dict) -> bool:
    return node["class_type"] in LOADERS and is_video(node["inputs"].get("image"))


def video_fault(workflow: dict, node_id: str, chunk: int) -> str:
    """Why the image that a node loads cannot be a video; "" where it can, or the node itself takes videos.

    chunk: how many frames are run at once; 0 where the workers take no clips.
    """
    if workflow[node_id]["class_type"] not in LOADERS:
        return ""
    if not chunk:
        return "videos are run by processes of this machine alone; leave out --server and --ray"
    if all(node["class_type"] != SAVER for node in workflow.values()):
        return "the workflow has no Save Image, whose images make the video"
    if workflow[node_id]["inputs"].get("channel") == "alpha":
        return NO_ALPHA
    loaders = [other for other, node in workflow.items() if node["class_type"] in LOADERS]
    for node in workflow.values():
        if node["class_type"] in PLACERS:
            given = [unrepeated(workflow, node["inputs"].get(name)) for name in SUBJECT]
            if [node_id, 0] in given or mask_of(workflow, node, loaders) == (node_id, "alpha"):
                return subject_fault(workflow, node, loaders)
    return ""


def is_matte(workflow: dict, node_id: str) -> bool:
    """Whether the alpha of a video that a node loads is the matte of a subject."""
    placers = [node for node in workflow.values() if node["class_type"] in PLACERS]
    return any(mask_of(workflow, placer, (node_id,)) == (node_id, "alpha") for placer in placers)


@dataclass
class Result:
    """What a run of a clip gave.

    Attributes:
        files: the video of each node that saves.
        report: Stitch's, an entry for each frame.
    """

    files: dict[str, Path]
    report: list[Any] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)
    seconds: float = 0.0
    calls: int = 0

    def add(self, execution: Any, frames: int, shared: int) -> None:
        self.calls += sum(execution.model_calls.values())
        for shown in execution.outputs.values():
            entries = shown.get("phd_report", ())
            # Frames that were repeated stand at the end.
            self.report += entries[shared:frames] if len(entries) >= frames else entries
            self.warnings.update(dict.fromkeys(shown.get("phd_warnings", ())))


def run_clip(
    prompt: dict, folder: Path, out: Path, chunk: int, run: Callable[[dict], Any], on_frames: OnFrames
) -> Result:
    """Runs a prompt some of whose images are videos, part by part.

    Args:
        folder: of the files that it names.
        out: where the results are written.
        chunk: how many frames are run at once.
        run: runs a prompt, see `devtools.executor.run_workflow`.
    Raises:
        ClipError, OSError, ValueError.
    """
    videos = {node_id: folder / node["inputs"]["image"] for node_id, node in prompt.items() if loads_video(node)}
    images = [node_id for node_id in videos if prompt[node_id]["class_type"] == "LoadImage"]
    savers = [node_id for node_id, node in prompt.items() if node["class_type"] == SAVER]
    prompt = with_frames(prompt, videos)
    try:
        subjects, held = clip_subjects(prompt, videos)
    except SubjectError as error:
        raise ClipError(str(error)) from None
    prompt = with_cutouts(prompt, subjects)
    first = next(node_id for node_id in (*images, *videos) if node_id not in held)
    out.mkdir(parents=True, exist_ok=True)
    result = Result({node_id: out / f"{savers.index(node_id)}{ENDING}" for node_id in savers})
    found = [shape_lost(videos[first]), *(of_rates(videos[first], videos[node_id]) for node_id in sorted(held))]
    result.warnings.update(dict.fromkeys(filter(None, found)))
    total, padded, begun = count_frames(videos[first]) or 0, False, time.perf_counter()
    with contextlib.ExitStack() as writers:
        # A part's frames take gigabytes, also where the run fails.
        writers.callback(TAKEN.clear)
        writers.callback(GIVEN.clear)
        outputs = {
            node_id: Output(writers.enter_context(VideoWriter(file, videos[first])), first, chunk)
            for node_id, file in result.files.items()
        }
        for part in parts(together(videos, first, held), chunk, goes_on):
            length = len(part.frames)
            taken, execution = run_part(prompt, part, subjects, whole_length(length) if padded else length, run)
            if not padded and min(map(len, taken.values())) < length < whole_length(length):
                # The model takes fewer frames than these: it gets a few more, which are not used.
                padded = True
                taken, execution = run_part(prompt, part, subjects, whole_length(length), run)
            for node_id, images in taken.items():
                if len(images) < length:
                    raise ClipError(
                        f"{len(images)} images came back for {length} frames; save an output with an image per frame."
                    )
                outputs[node_id].add(images[:length], part)
            result.add(execution, length, part.shared)
            on_frames(part.start + length, max(total, part.start + length))
        for output in outputs.values():
            output.end()
    result.seconds = time.perf_counter() - begun
    return result


def of_rates(clip: Path, subject: Path) -> str:
    """What to say of a subject's video with another number of frames a second than the clip's; "" for the same."""
    wanted, own = rate_of(clip), rate_of(subject)
    if not wanted or not own or abs(wanted / own - 1) < SAME_RATE:
        return ""
    return (
        f"The subject's video has {float(own):g} frames a second, and the clip {float(wanted):g}: each frame of the "
        f"one goes into a frame of the other, so that the subject moves at {float(wanted / own):.3g} times its speed. "
        f"Convert its video and that of its masks before, with ffmpeg's -r {float(wanted):g}."
    )


def whole_length(frames: int) -> int:
    return -(-(frames - 1) // STRIDE) * STRIDE + 1


def run_part(
    prompt: dict, part: Part["Frames"], subjects: list[ClipSubject], length: int, run: Callable[[dict], Any]
) -> tuple[dict[str, Any], Any]:
    """The images of each node that saves, and the execution. length: how many frames are given; the last one is
    repeated."""
    frames = part.frames + part.frames[-1:] * (length - len(part.frames))
    for node_id in part.frames[0].of:
        GIVEN[node_id] = np.stack([frame.of[node_id].as_float() for frame in frames])
    TAKEN.clear()
    placed = {one.node: one.keyframes(prompt[one.node]["inputs"], frames, part.start) for one in subjects}
    execution = run(of_part(prompt, part.start, length, placed))
    return dict(TAKEN), execution


def with_frames(prompt: dict, videos: dict[str, Path]) -> dict:
    """The prompt with the frames of a part in place of what it loads, and taken instead of saved."""
    found = {}
    for node_id, node in prompt.items():
        inputs = dict(node["inputs"])
        if node_id in videos:
            inputs = {"node": node_id, "part": 0, **({"channel": inputs["channel"]} if "channel" in inputs else {})}
            if inputs.get("channel") == "alpha":
                raise ClipError(f"{title(node)}: {NO_ALPHA}.")
            node = {**node, "class_type": LOADERS[node["class_type"]]}
        elif node["class_type"] == SAVER:
            inputs = {"images": inputs["images"], "node": node_id}
            node = {**node, "class_type": TAKER}
        for name, value in inputs.items():
            source = unrepeated(prompt, value)
            inputs[name] = source if is_link(source) and source[0] in videos else value
        found[node_id] = {**node, "inputs": inputs}
    return found


def with_cutouts(prompt: dict, subjects: list[ClipSubject]) -> dict:
    """The prompt with cut-outs in place of subjects whose own alpha is their matte."""
    found = dict(prompt)
    for one in subjects:
        if one.is_cutout:
            cutter = f"{one.subject} cutout"
            found[cutter] = {"class_type": CUTTER, "inputs": {"node": one.subject, "part": 0}}
            inputs = {name: value for name, value in prompt[one.node]["inputs"].items() if name != "subject_mask"}
            found[one.node] = {**prompt[one.node], "inputs": inputs | {"subject": [cutter, 0]}}
    return found


def of_part(prompt: dict, start: int, length: int, placed: dict[str, str | None]) -> dict:
    """The prompt of the frames from `start` on, with the part of the keyframes that is theirs.

    placed: keyframes of the part for nodes whose subject is a video, by their ids.
    """
    from phd_ops.pixels.keyframes import keyframes_of_part

    found = {}
    for node_id, node in prompt.items():
        inputs = dict(node["inputs"])
        if node["class_type"] in (*LOADERS.values(), CUTTER):
            # Another one at each run, or ComfyUI would take what it has in its cache.
            inputs["part"] = next(RUNS)
        if node["class_type"] in PLACERS and (keyframes := inputs.get("keyframes")):
            if is_link(keyframes):
                raise ClipError(f"{title(node)}: keyframes is linked; for a video they must be written in the node.")
            inputs["keyframes"] = keyframes_of_part(keyframes, start, length)
        inputs |= {"keyframes": text} if (text := placed.get(node_id)) else {}
        found[node_id] = {**node, "inputs": inputs}
    return found


@dataclass(frozen=True, eq=False)
class Frames:
    """The frames of all videos of a job at one time.

    Attributes:
        of: by the node that loads the video.
        look: of the first video's frame, for finding cuts.
    """

    of: dict[str, Frame]
    look: Any


def together(videos: dict[str, Path], first: str, held: set[str]) -> Iterator[Frames]:
    """The frames of several videos side by side. Raises ClipError where one is shorter, or a frame has another size.

    held: those of a subject: their last frame is held where they are shorter, and the rest is not used.
    """
    from phd_ops.pixels.shots import SCENE_SIDE, Look, small

    readers = {node_id: read_frames(file) for node_id, file in videos.items()}
    shapes: dict[str, tuple] = {}
    last: dict[str, Frame] = {}
    while True:
        frames = {node_id: frame for node_id, reader in readers.items() if (frame := next(reader, None)) is not None}
        if not set(frames) - held:
            return
        last |= {node_id: frame for node_id, frame in frames.items() if node_id in held}
        frames |= last
        if len(frames) < len(videos):
            raise ClipError("the videos have different numbers of frames; cut them to the same length.")
        for node_id, frame in frames.items():
            if shapes.setdefault(node_id, frame.pixels.shape) != frame.pixels.shape:
                raise ClipError("the frames of a video have different sizes.")
        yield Frames(frames, Look(small(frames[first].as_float()[..., :3], SCENE_SIDE)))


def goes_on(before: Frames, after: Frames) -> bool:
    from phd_ops.pixels import shots

    return shots.goes_on(before.look, after.look)


class Output:
    """What one node that saves writes into a video, at the times and with the depth of the frames that `of` loads."""

    def __init__(self, writer: VideoWriter, of: str, chunk: int):
        self.writer, self.of, self.join = writer, of, Join(chunk)
        self.sources: deque[Frame] = deque()

    def add(self, images: Any, part: Part[Frames]) -> None:
        self.sources += [frame.of[self.of] for frame in part.frames[part.shared :]]
        self.write(self.join.add([image[..., :3].cpu().numpy() for image in images], part.shared))

    def end(self) -> None:
        self.write(self.join.end())

    def write(self, images: Iterator[np.ndarray]) -> None:
        for image in images:
            source = self.sources.popleft()
            most = np.iinfo(source.pixels.dtype).max
            pixels = np.rint(np.clip(image, 0, 1) * np.float32(most)).astype(source.pixels.dtype)
            self.writer.write(Frame(pixels, source.time))
