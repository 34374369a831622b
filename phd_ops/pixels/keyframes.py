"""Keyframes: a subject's place at some frames of a clip, written as text, and the path through them.

A line is a keyframe, such as `24: x 0.7, y 0.6, size 0.5, rotation 10, flip, ease`. The first frame is 0.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..quote import quoted
from ..sentence import sentence
from .geometry import Placement

NUMBERS = ("x", "y", "size", "rotation")
EXAMPLE = "24: x 0.7, y 0.6, size 0.5, rotation 10, flip, ease"
LINE = re.compile(r"\s*(\d{1,9})\s*:\s*(.*?)[\s,]*")
WORD = re.compile(r"(?:(x|y|size|rotation)[\s=]*([-+\d.][-+\d.e]*)|(flip)(?:[\s=]+(true|false))?|(ease))(?:$|[\s,]+)")


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A line of keyframes.

    Attributes:
        values: those that the line names, by their names in Placement. A value moves between the keyframes that name
            it; others leave it alone.
        eases: whether the subject slows down to rest there, and starts slowly from there.
    """

    frame: int
    values: dict[str, float | bool]
    eases: bool = False


def read_keyframes(text: str) -> list[Keyframe]:
    """The keyframes of a text, one a line, in the order of their frames.

    Raises:
        ValueError: names the line that is no keyframe, or that has the frame of an earlier one.
    """
    lines: dict[int, int] = {}
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = read_keyframe(line)
        except ValueError as error:
            raise ValueError(sentence("keyframes, line {number}: {error}", number=number, error=error)) from None
        if one.frame in lines:
            raise ValueError(
                sentence(
                    "keyframes, line {number}: frame {frame} is in line {earlier} already, so keep one of the two.",
                    number=number,
                    frame=one.frame,
                    earlier=lines[one.frame],
                )
            )
        lines[one.frame] = number
        found.append(one)
    return sorted(found, key=lambda keyframe: keyframe.frame)


def read_keyframe(line: str) -> Keyframe:
    """The keyframe of a line: a frame, a colon, and words or a placement as JSON. Raises ValueError."""
    match = LINE.fullmatch(line)
    read = as_words(match[2]) if match else None
    if match is None or read is None or not any(read):
        raise ValueError(
            sentence("{value} is not a keyframe; one looks like this: {example}.", value=quoted(line), example=EXAMPLE)
        )
    values, eases = read
    Placement(**values)  # type: ignore[arg-type]  # refuses what no placement has
    return Keyframe(int(match[1]), values, eases)


def as_words(text: str) -> tuple[dict[str, float | bool], bool] | None:
    """The values in a keyframe's text, and whether it eases; None where it cannot be read."""
    if text.startswith("{"):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return (values, False) if set(values) <= {*NUMBERS, "flip"} else None
    values, eases, end = {}, False, 0
    while end < len(text):
        found = WORD.match(text, end)
        if found is None or (found[1] or found[3]) in values:
            return None
        end = found.end()
        if found[1]:
            try:
                values[found[1]] = float(found[2])
            except ValueError:
                return None
        elif found[3]:
            values["flip"] = found[4] != "false"
        eases = eases or found[5] is not None
    return values, eases


def keyed_values(keyframes: Sequence[Keyframe], count: int, start: int = 0) -> dict[str, np.ndarray]:
    """The values that keyframes name, for each of `count` frames from `start` on: float64 [count], and bool [count] for
    flip.

    Before the first keyframe of a value and after its last one it stays.
    """
    frames, found = np.arange(start, start + count), {}
    for name in NUMBERS:
        keyed = [(one.frame, one.values[name], one.eases) for one in keyframes if name in one.values]
        if keyed:
            at, values, eases = map(np.array, zip(*keyed, strict=True))
            found[name] = curve(at, values, eases, frames)
    keyed = [(one.frame, one.values["flip"]) for one in keyframes if "flip" in one.values]
    if keyed:
        at, values = map(np.array, zip(*keyed, strict=True))
        found["flip"] = values[np.maximum(np.searchsorted(at, frames, side="right") - 1, 0)]
    return found


def keyframes_of_part(text: str, start: int, count: int) -> str:
    """The keyframes of a part of a clip, a line for each of its `count` frames: the first one, 0, is `start` of the
    clip. Raises ValueError."""
    values = keyed_values(read_keyframes(text), count, start)
    lines = ([f"{name} {column[frame].item()}".lower() for name, column in values.items()] for frame in range(count))
    return "\n".join(f"{frame}: {', '.join(line)}" for frame, line in enumerate(lines) if line)


def curve(at: np.ndarray, values: np.ndarray, eases: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The smooth curve through values [K] at frames `at` [K], ascending, at other frames [N]; float64 [N].

    Piecewise cubic with the slopes of Fritsch and Butland (1984): it never leaves the range of the two values that it
    runs between. Where `eases` [K] is true, its slope is 0.
    """
    if len(at) == 1:
        return np.full(len(frames), values[0], float)
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    slopes = np.where(eases, 0.0, PchipInterpolator(at, values).derivative()(at))
    return CubicHermiteSpline(at, values, slopes)(np.clip(frames, at[0], at[-1]))
