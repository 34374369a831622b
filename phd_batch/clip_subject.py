"""A subject that is a video, beside the background's.

Paste & Blend places the box that the subject has in all of its frames, and a part has only some of them. So the box of
the whole clip is found first, and each part is given the placements that put its own box where the whole one goes.
"""

from collections.abc import Container, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phd_batch.graph import is_link, title, unrepeated
from phd_batch.video import Frame, read_frames

PLACER = "PhDPasteBlend"
# The widgets of Paste & Blend that place a subject. ComfyUI does not run a prompt without one of them.
PLACED = ("x", "y", "size", "rotation", "flip")
CHANNELS = ("red", "green", "blue", "alpha")


class SubjectError(ValueError):
    """A subject's video cannot be placed; the message is what the user reads."""


@dataclass(frozen=True)
class ClipSubject:
    """A subject whose masks are a video, or the alpha of one.

    Attributes:
        node: the node that places it.
        background, masks: the nodes that load these videos; subject: that which loads the subject's own, if it is one.
        channel: of the masks, one of CHANNELS.
        box: of the subject in all frames, (x, y, width, height); None where all masks are empty.
    """

    node: str
    background: str
    masks: str
    subject: str | None
    channel: str
    box: tuple[int, int, int, int] | None

    @property
    def is_cutout(self) -> bool:
        """Whether the alpha of the subject's own video is its matte."""
        return self.channel == "alpha" and self.subject == self.masks

    def keyframes(self, inputs: dict, frames: Sequence[Any], start: int) -> str | None:
        """Keyframes for the frames of a part, from `start` on; None where the part has no subject.

        Args:
            inputs: of the node that places it, for the whole clip.
            frames: see `clips.Frames`.
        Raises:
            SubjectError: the masks are not of the subject's size.
        """
        from phd_ops.pixels.geometry import Box, Placement, joined_box, mapped
        from phd_ops.pixels.keyframes import keyed_values, read_keyframes
        from phd_ops.pixels.paste import exemplar_matrix

        if self.subject is not None:
            subject, masks = (size_of(frames[0].of[node]) for node in (self.subject, self.masks))
            if subject != masks:
                raise SubjectError(
                    f"the subject's video is {subject.width}×{subject.height}, but its mask's is "
                    f"{masks.width}×{masks.height}; give both the same size."
                )
        own = joined_box([box_of(frame.of[self.masks], self.channel) for frame in frames])
        if own is None or self.box is None:
            return None
        whole, scene = Box(*self.box), size_of(frames[0].of[self.background])
        middle, share = Box(*own).corners.mean(axis=0, keepdims=True), max(own.size) / max(whole.size)
        keyed = keyed_values(read_keyframes(inputs.get("keyframes") or ""), len(frames), start)
        lines = []
        for number in range(len(frames)):
            values = {name: inputs[name] for name in PLACED if name in inputs}
            values |= {name: column[number].item() for name, column in keyed.items()}
            placement = Placement(**values)
            x, y = mapped(exemplar_matrix(whole, placement, scene), middle)[0] / scene
            _, _, size, rotation, flip = astuple(placement)
            lines.append(f"{number}: x {x}, y {y}, size {size * share}, rotation {rotation}, flip {flip}".lower())
        return "\n".join(lines)


def size_of(frame: Frame) -> Any:
    from phd_ops.pixels.geometry import Size

    return Size.of(frame.pixels)


def box_of(frame: Frame, channel: str) -> Any:
    """The box of the subject in a frame of its masks, as Paste & Blend finds it; None for an empty mask.

    Raises SubjectError where the frame does not have the channel.
    """
    import torch

    from phd_ops.pixels.masks import stabilize, zero_black
    from phd_ops.pixels.paste import subject_box

    number = CHANNELS.index(channel)
    if number >= frame.pixels.shape[2]:
        raise SubjectError("the video has no alpha that shows the subject; give its mask, or take a video with alpha.")
    mask = np.ascontiguousarray(frame.as_float()[..., number])
    return subject_box(stabilize(zero_black(torch.from_numpy(mask)[None])[0].numpy()))


def mask_of(workflow: dict, placer: dict, loaders: Container[str]) -> tuple[str, str] | None:
    """The node that loads the masks of a subject, and their channel; None where they come from elsewhere.

    Without a mask, the alpha of the subject's own file is it. Load Image gives the opposite of alpha, so Invert Mask
    after it gives alpha.

    loaders: the nodes that load images, or those that load videos.
    """
    subject, mask = (unrepeated(workflow, placer["inputs"].get(name)) for name in ("subject", "subject_mask"))
    channel = "alpha"
    if not is_link(mask):
        source = subject if is_link(subject) and subject[1] == 0 else None
    elif workflow[mask[0]]["class_type"] == "InvertMask":
        inverted = workflow[mask[0]]["inputs"].get("mask")
        source = inverted if is_link(inverted) and inverted[1] == 1 else None
    else:
        source = mask if mask[1] == 0 else None
        channel = workflow[mask[0]]["inputs"].get("channel", "red")
    return (source[0], channel) if source and source[0] in loaders else None


def subject_fault(workflow: dict, placer: dict, loaders: Container[str]) -> str:
    """Why a video cannot be the subject of `placer`, or its mask; "" where it can. loaders: see `mask_of`."""
    if placer["class_type"] != PLACER:
        return "the subject of Insert Subject cannot be a video; take Paste & Blend with its other nodes, or an image"
    if mask_of(workflow, placer, loaders) is None:
        return (
            "a subject that is a video needs its mask as a video too, from a Load Image (as Mask), or alpha of its own "
            "and no subject_mask"
        )
    if "track" in placer["inputs"]:
        return "the subject cannot be a video where a track is connected; write keyframes"
    return ""


def clip_subjects(prompt: dict, videos: dict[str, Path]) -> tuple[list[ClipSubject], set[str]]:
    """The subjects of a prompt whose masks are videos, or the alpha of one; and the nodes that load a subject's videos,
    which may be shorter or longer than the clip. Raises SubjectError.

    Args:
        prompt: see `clips.with_frames`.
        videos: by the nodes that load them.
    """
    subjects, held = [], set()
    for node_id, node in prompt.items():
        if node["class_type"] != PLACER:
            continue
        inputs = node["inputs"]
        links = {name: inputs.get(name) for name in ("background", "subject")}
        loaded = {name: link[0] for name, link in links.items() if is_link(link) and link[0] in videos}
        masks, channel = mask_of(prompt, node, videos) or (None, "")
        own = {loaded.get("subject"), masks} - {loaded.get("background"), None}
        if not own:
            continue
        if "background" not in loaded:
            raise SubjectError(
                f"{title(node)}: a subject that is a video needs a background that is one, straight from its loader."
            )
        linked = [name for name in (*PLACED, "keyframes") if is_link(inputs.get(name))]
        if linked:
            raise SubjectError(f"{title(node)}: {linked[0]} is linked; for a subject that is a video write it there.")
        held |= own
        if masks is not None:
            box = whole_box(videos[loaded["background"]], videos[masks], channel)
            subject = ClipSubject(node_id, loaded["background"], masks, loaded.get("subject"), channel, box)
            subjects.append(subject)
    return subjects, held


def whole_box(background: Path, masks: Path, channel: str) -> tuple[int, int, int, int] | None:
    """The box of a subject in all frames of a clip. What its masks have beyond the clip's end is not used."""
    whole = None
    for _, mask in zip(read_frames(background), read_frames(masks), strict=False):
        box = box_of(mask, channel)
        whole = whole if box is None else box if whole is None else whole.joined(box)
    return whole
