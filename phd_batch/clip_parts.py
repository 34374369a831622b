"""A clip that is worked on in parts: which frames are run together, and how the results of two parts are joined.

A part lies within one shot. It begins some frames before the part before it ends; over these frames the one result
fades into the other, so that neither the light nor what the model drew jumps.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
# Frames in a part: video models want 4n + 1 or 8n + 1.
CHUNK = 49
# Two parts of a shot share this share of their frames, or more at the shot's end.
SHARED = 1 / 6


@dataclass(frozen=True, eq=False)
class Part(Generic[Item]):
    """Frames that are run together.

    Attributes:
        start: the first one's number in the clip.
        shared: how many of them the part before has too.
    """

    start: int
    frames: list[Item]
    shared: int


def shared_frames(chunk: int) -> int:
    """Over how many frames two parts of a shot fade."""
    return round(SHARED * chunk)


def parts(frames: Iterable[Item], chunk: int, goes_on: Callable[[Item, Item], bool]) -> Iterator[Part[Item]]:
    """The parts of a clip, of `chunk` frames each; fewer only where a shot has fewer.

    goes_on: whether a frame may follow another one in the same shot.
    """
    held: deque[Item] = deque(maxlen=chunk)
    number, fresh = -1, 0

    def part() -> Part[Item]:
        return Part(number + 1 - len(held), list(held), len(held) - fresh)

    for frame in frames:
        if held and not goes_on(held[-1], frame):
            if fresh:
                yield part()
            held.clear()
            fresh = 0
        held.append(frame)
        number, fresh = number + 1, fresh + 1
        if len(held) == chunk and fresh >= chunk - shared_frames(chunk):
            yield part()
            fresh = 0
    if fresh:
        yield part()


class Join:
    """Joins the results of the parts of a clip: results [H,W,C] go in part by part, and come out once each."""

    def __init__(self, chunk: int):
        self.most = shared_frames(chunk)
        self.pending: list[np.ndarray] = []

    def add(self, results: Iterable[np.ndarray], shared: int) -> Iterator[np.ndarray]:
        """Takes the results of a part; those that no later part changes, in their order."""
        results = list(results)
        if not shared:
            yield from self.end()
        fading, self.pending = self.pending, []
        new = results[shared - len(fading) :]
        for number, before in enumerate(fading):
            # Where both are the same, as outside the masks, the difference is exactly 0.
            new[number] = before + np.float32((number + 1) / (len(fading) + 1)) * (new[number] - before)
        kept = len(new) - min(self.most, len(new))
        yield from new[:kept]
        # Copies: what they are views of is the whole part.
        self.pending = [image.copy() for image in new[kept:]]

    def end(self) -> Iterator[np.ndarray]:
        """The rest."""
        yield from self.pending
        self.pending = []
