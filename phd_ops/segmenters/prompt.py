"""What is asked of a segmenter. Each takes of it what it understands."""

from dataclasses import dataclass, field

import numpy as np

# The class name that leaves the choice to the network.
AUTO = "auto"


def no_points() -> np.ndarray:
    return np.zeros((0, 2))


@dataclass(frozen=True, eq=False)
class Prompt:
    """Where and what the subject is.

    Attributes:
        box: x, y, width, height in pixels of the image.
        positive, negative: [N,2], (x, y) in pixels, on the subject and on the background.
        rough: float32 [H,W], a mask that is about right; 1 = subject.
        class_name: what the subject is, for networks that know classes; AUTO for the largest there is.
        candidate: "best" or "largest", for networks that propose several masks.
    """

    box: tuple[float, float, float, float] | None = None
    positive: np.ndarray = field(default_factory=no_points)
    negative: np.ndarray = field(default_factory=no_points)
    rough: np.ndarray | None = None
    class_name: str = AUTO
    candidate: str = "best"

    @property
    def empty(self) -> bool:
        """Whether it does not say where the subject is; negative points alone do not."""
        return self.box is None and self.rough is None and len(self.positive) == 0
