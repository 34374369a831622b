"""A subject's place in each frame of a clip, for PhDPasteBlend: keyframes, and a track of boxes or masks."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ..phd_ops.pixels.geometry import Placement, Size, bounding_box
from ..phd_ops.pixels.keyframes import Keyframe, keyed_values, read_keyframes
from ..phd_ops.pixels.track import Track, track
from ..phd_ops.quote import quoted
from ..phd_ops.sentence import sentence
from .images import common_batch, named_mask, pixels
from .prompt_inputs import as_boxes
from .ui import Message
from .validate import check_socket


@dataclass(frozen=True, eq=False)
class ClipPlacement:
    """A subject's place in each frame.

    Attributes:
        frames: how many there are.
        start: what the widgets say.
        keyed: what keyframes say of each frame, [frames], by the names of Placement's values. They go first.
        track: where something was found in each frame: the subject gets its place and size.
    """

    frames: int
    start: Placement
    keyed: dict[str, np.ndarray] = field(default_factory=dict)
    track: Track | None = None

    def place(self, frame: int, subject: Size, scene: Size) -> Placement | None:
        """The placement of a subject's box; None in a frame in which nothing was found."""
        found = self.start if self.track is None else self.track.place(frame, subject, scene)
        if found is None:
            return None
        if self.track is not None:
            found = replace(found, rotation=self.start.rotation, flip=self.start.flip)
        return replace(found, **{name: rounded(values[frame].item()) for name, values in self.keyed.items()})


def rounded(value: float | bool) -> float | bool:
    """To six places, which people can read: at most a hundredth of a pixel of any scene."""
    return round(value, 6) if isinstance(value, float) else value


def read_clip(
    keyframes: str, tracked: Any, batches: dict[str, Any], start: Placement
) -> tuple[ClipPlacement | None, list[Message]]:
    """The places in a clip; None where neither keyframes nor a track are given. And messages.

    Args:
        tracked: masks, or boxes, of the frames.
        batches: the inputs of scenes and subjects by their names: "background" and "subject" say how long the clip is.
    """
    keyed = read_keyframes(keyframes)
    if not keyed and tracked is None:
        return None, []
    scene = Size.of(batches["background"][0])
    boxes = None if tracked is None else tracked_boxes(tracked, scene)
    own = common_batch(**{name: batches[name] for name in ("subject", "subject_mask")})
    frames = len(batches["background"])
    if frames == 1:
        frames = max(own, 1 if boxes is None else len(boxes))
    if boxes is not None and len(boxes) not in (1, frames):
        raise ValueError(
            sentence(
                "track has {own} frames, but the clip has {frames}: connect the boxes or masks of that clip.",
                own=len(boxes),
                frames=frames,
            )
        )
    found = None if boxes is None else track(np.repeat(boxes, frames // len(boxes), axis=0), scene)
    values, messages = keyed_values(keyed, frames), lengths(keyed, frames, own)
    if boxes is not None and len(boxes) < frames and not {"x", "y"} & values.keys():
        messages.append(held_still(frames))
    return ClipPlacement(frames, start, values, found), messages


def held_still(frames: int) -> Message:
    """What to say of a track of one place for a clip of several frames, such as Segment's subject_box."""
    text = sentence(
        "track has one place for all {frames} frames, so the subject stays there: to move it, connect a box or a mask "
        "for each frame, such as subject_mask of Segment.",
        frames=frames,
    )
    return Message(text, warning=True)


def lengths(keyframes: list[Keyframe], frames: int, own: int) -> list[Message]:
    """What to say of a subject's clip of `own` frames, and of keyframes, that are not within a clip's `frames`."""
    messages = []
    if own not in (1, frames):
        held = sentence(
            "The subject's clip has {own} frames, and the clip {frames}: its last frame is held.",
            own=own,
            frames=frames,
        )
        cut = sentence(
            "The subject's clip has {own} frames, and the clip {frames}: the rest of it is not used.",
            own=own,
            frames=frames,
        )
        messages.append(Message(held if own < frames else cut))
    late = [one.frame for one in keyframes if one.frame >= frames]
    if late:
        text = sentence(
            "The keyframe at {frame} lies beyond the clip, whose last frame is {last}: the subject moves toward it.",
            frame=late[0],
            last=frames - 1,
        )
        messages.append(Message(text))
    return messages


def tracked_boxes(tracked: Any, scene: Size) -> np.ndarray:
    """Boxes of other nodes, or around masks, float64 [N,4] (x, y, width, height) in pixels of the scene.

    Rows of NaN where there is none. Raises ValueError.
    """
    if isinstance(tracked, torch.Tensor):
        masks = named_mask(tracked, "track").numpy()
        own = Size.of(masks[0])
        if own != scene:
            raise ValueError(
                sentence(
                    "track is {own}, but background is {scene}: connect masks of the same clip.",
                    own=pixels(own),
                    scene=pixels(scene),
                )
            )
        boxes = [bounding_box(mask, 0.5) for mask in masks]
    else:
        check_socket("track", tracked, (dict, list, tuple), sentence("a MASK, or boxes,"))
        boxes = [box_of_frame(one) for one in ([tracked] if isinstance(tracked, dict) else tracked)]
    if not boxes:
        raise no_track(tracked)
    return np.array([[np.nan] * 4 if box is None else box for box in boxes], float)


def box_of_frame(of_frame: Any) -> np.ndarray | None:
    """The first box of a frame, (x, y, width, height): what detectors give first they are surest of. None for none."""
    if isinstance(of_frame, (list, tuple)):
        of_frame = of_frame[0] if of_frame else None
    # Segment gives a box of zeros where it found nothing.
    if of_frame is None or (isinstance(of_frame, dict) and not any(of_frame.values())):
        return None
    try:
        return as_boxes([of_frame], 1)[0][0]
    except ValueError:
        raise no_track(of_frame) from None


def no_track(value: Any) -> ValueError:
    """The error of a value that is no box of a track, and of no value at all."""
    return ValueError(
        sentence(
            "track is {value}; connect a mask for each frame, or a box with x, y, width and height.",
            value=quoted(value),
        )
    )


def moves(placed: list[Placement | None]) -> list[Message]:
    """What to say of the placements in a clip's frames."""
    found = [one for one in placed if one is not None]
    if len(found) < 2:
        return []
    first, last = ({name: f"{getattr(one, name):.3g}" for name in ("x", "y", "size")} for one in (found[0], found[-1]))
    text = sentence(
        "Placed in {frames} frames: from x {x}, y {y}, size {size} to x {to_x}, y {to_y}, size {to_size}.",
        frames=len(found),
        **first,
        **{f"to_{name}": value for name, value in last.items()},
    )
    return [Message(text)]
