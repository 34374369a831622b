"""A window for each frame of a clip, of one size, that follows what may change."""

from collections.abc import Sequence

import numpy as np

from .crop_window import LEAST_CONTEXT, CropWindow, WorkingSize, crop_window, placed, shaped
from .geometry import Box, Size
from .track import in_between, smoothed

# Of the windows' path, see `track.smoothed`: it need not follow the subject closely, and must not jitter.
STIFFNESS = 100.0
# The path stays at a whole pixel until it is so far from it: rounded alone, it would jitter between two.
HELD = 0.75
# A box is out of line if its longer side is so many times the median of those just before it, and of those after it.
OUT_OF_LINE, NEIGHBORS = 2.0, 5


def out_of_line(changes: Sequence[Box | None]) -> list[int]:
    """The frames whose boxes are far larger than those of the frames before and after them, as where a mask failed.

    What grows is not, nor what stays large.
    """
    found = [(frame, max(box.size)) for frame, box in enumerate(changes) if box is not None]
    sides = [side for _, side in found]
    if len(sides) <= NEIGHBORS:
        return []

    def is_out(at: int) -> bool:
        around = sides[max(0, at - NEIGHBORS) : at], sides[at + 1 : at + 1 + NEIGHBORS]
        return all(sides[at] > OUT_OF_LINE * np.median(beside) for beside in around if beside)

    return [frame for at, (frame, _) in enumerate(found) if is_out(at)]


def moving_window(
    changes: Sequence[Box | None],
    scene: Size,
    size: WorkingSize,
    context: float = 1.6,
    keeps: Sequence[Box | None] = (None,),
) -> CropWindow:
    """A window that moves smoothly, in whole pixels. It is large enough for every frame's context.

    Args:
        changes: what the window must contain in each frame, inside the scene; None in a frame with nothing.
        keeps: other boxes that it must contain in each frame; one for all frames, or one for each.
    """
    keeps = [*keeps] * len(changes) if len(keeps) == 1 else keeps
    pairs = list(zip(changes, keeps, strict=True))
    own = [crop_window(box, scene, size, context, keep).box for box, keep in pairs if box is not None]
    if not own:
        return crop_window(Box(0, 0, *scene), scene, size, context)
    needed = [None if box is None else box.grown(LEAST_CONTEXT).inside(scene) for box in changes]
    needed = [one and (one if keep is None else one.joined(keep)) for one, keep in zip(needed, keeps, strict=True)]
    around, least = largest(own), largest([one for one in needed if one is not None])
    window = shaped(placed(around, own[0], scene), placed(least, own[0], scene), scene, size).size
    across, down = (
        positions([None if one is None else (one[axis], one[2 + axis]) for one in needed], window[axis], scene[axis])
        for axis in (0, 1)
    )
    boxes = tuple(Box(int(x), int(y), *window) for x, y in zip(across, down, strict=True))
    return CropWindow(boxes[0], size.target(window), scene, boxes=boxes)


def largest(boxes: Sequence[Box]) -> Size:
    """The least size into which each of them fits."""
    return Size(max(box.width for box in boxes), max(box.height for box in boxes))


def positions(needed: Sequence[tuple[int, int] | None], length: int, scene: int) -> np.ndarray:
    """The starts of a window of one `length` in each frame, along one axis: int [N].

    Args:
        needed: start and length of what the window must contain; None for nothing.
        scene: the scene's length. A window that is longer lies about its middle.
    """
    count = len(needed)
    if length >= scene:
        return np.full(count, (scene - length) // 2)
    known = np.array([one is not None for one in needed])
    starts, lengths = np.array([one or (0, 0) for one in needed]).T
    low = np.where(known, np.maximum(starts + lengths - length, 0), 0)
    high = np.where(known, np.minimum(starts, scene - length), scene - length)
    wanted = in_between((starts + (lengths - length) / 2)[:, None], known)
    # At a cut what may change is at once somewhere else.
    cuts = np.flatnonzero(np.abs(np.diff(wanted[:, 0])) > length / 2) + 1
    path = np.concatenate([smoothed(part, STIFFNESS) for part in np.split(wanted, cuts)])[:, 0]
    return in_steps(np.clip(path, low, high), low, high)


def in_steps(path: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """A path [N] in whole pixels within its bounds, which are whole; it stays where it is while that is near enough."""
    steps, held = np.empty(len(path), int), round(path[0])
    for frame, wanted in enumerate(path):
        if abs(wanted - held) > HELD:
            held = round(wanted)
        held = steps[frame] = min(max(held, low[frame]), high[frame])
    return steps
