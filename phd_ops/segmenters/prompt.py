"""What a user asks of a segmenter: box, points, rough mask, class name. Each segmenter uses what it understands."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from ..pixels.geometry import Size
from ..sentence import sentence

# The class name that leaves the choice to the network.
AUTO = "auto"
# Which of several proposed masks is taken, the default first.
CANDIDATES = ["best", "largest"]


def no_points() -> np.ndarray:
    return np.zeros((0, 2))


@dataclass(frozen=True, eq=False)
class Prompt:
    """Where the subject is, and what it is.

    Attributes:
        box: x, y, width, height in pixels of the image.
        positive, negative: [N,2], (x, y) in pixels, on the subject and on the background.
        rough: float32 [H,W], an approximate mask; 1 = subject.
        class_name: what the subject is, for networks with classes; AUTO for the most frequent class.
        candidate: one of CANDIDATES, for networks that propose several masks.
    """

    box: tuple[float, float, float, float] | None = None
    positive: np.ndarray = field(default_factory=no_points)
    negative: np.ndarray = field(default_factory=no_points)
    rough: np.ndarray | None = None
    class_name: str = AUTO
    candidate: str = CANDIDATES[0]

    @property
    def empty(self) -> bool:
        """Whether it leaves open where the subject is. Negative points alone do not locate it."""
        return self.box is None and self.rough is None and len(self.positive) == 0


def one_per_box(prompt: Prompt, boxes: np.ndarray) -> list[Prompt]:
    """One prompt for each box.

    Args:
        prompt: points, rough mask and class name; its own box is ignored.
        boxes: float [N,4], each x, y, width, height in pixels.
    Returns:
        N prompts, each with the points inside its box; for one box or none, a single prompt with all points.
    """
    if len(boxes) == 0:
        return [dataclasses.replace(prompt, box=None)]
    if len(boxes) == 1:
        return [dataclasses.replace(prompt, box=tuple(boxes[0]))]

    def points_in(box: np.ndarray, points: np.ndarray) -> np.ndarray:
        return points[((points >= box[:2]) & (points < box[:2] + box[2:])).all(1)]

    return [
        dataclasses.replace(
            prompt, box=tuple(box), positive=points_in(box, prompt.positive), negative=points_in(box, prompt.negative)
        )
        for box in boxes
    ]


def clip_to_image(prompt: Prompt, size: Size) -> tuple[Prompt | None, list[str]]:
    """A prompt without the points that lie outside the image, and a sentence about each thing that lies outside.

    The prompt is None where nothing of it lies in the image; a prompt that was empty stays as it is.
    """
    sides, messages = {"width": size.width, "height": size.height}, []

    def inside(name: str, points: np.ndarray) -> np.ndarray:
        kept = points[((points >= 0) & (points < size)).all(1)]
        if len(kept) < len(points):
            left = len(points) - len(kept)
            messages.append(
                sentence(
                    "{name}: {left} of {count} lie outside the image of {width}×{height} pixels and are left out.",
                    name=name,
                    left=left,
                    count=len(points),
                    **sides,
                )
            )
        return kept

    positive, negative = inside("positive_points", prompt.positive), inside("negative_points", prompt.negative)
    clipped = dataclasses.replace(prompt, positive=positive, negative=negative)
    if prompt.box is not None:
        x, y, width, height = prompt.box
        if not (x < size.width and y < size.height and x + width > 0 and y + height > 0):
            messages.append(sentence("box: it lies outside the image of {width}×{height} pixels.", **sides))
            return None, messages
    return (None if clipped.empty and not prompt.empty else clipped), messages
