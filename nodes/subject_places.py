"""Where PhDPasteBlend places each subject: by its widgets, at random, by a list of placements, or in a clip."""

from dataclasses import dataclass

from ..phd_ops.pixels.geometry import Placement, Size, random_placement
from ..phd_ops.sentence import sentence
from .clip_placement import ClipPlacement
from .images import item
from .validate import check_socket

# In a list of placements, the line of a subject that has none.
NOT_PLACED = "-"


@dataclass(frozen=True)
class RandomPlacement:
    """What random placement draws from; see the tooltips."""

    seed: int
    size_range: tuple[float, float]
    visible: float


@dataclass(frozen=True)
class SubjectPlaces:
    """Where each subject goes.

    Attributes:
        start: what the widgets say.
        drawn: random placement; None if placement is manual.
        lines: one for each subject, or one for all; NOT_PLACED where the widgets decide.
        clip: the places in the frames of a clip, which then decide alone.
    """

    start: Placement
    drawn: RandomPlacement | None
    lines: list[str]
    clip: ClipPlacement | None = None

    def place(self, number: int, subject: Size, scene: Size) -> Placement | None:
        """The placement of subject `number` of the batch, whose box has the size `subject`; None for nowhere."""
        if self.clip is not None:
            return self.clip.place(number, subject, scene)
        line = item(self.lines, number)
        if line != NOT_PLACED:
            try:
                return Placement.from_text(line)
            except ValueError as error:
                raise ValueError(
                    sentence("placements, line {number}: {error}", number=number + 1, error=error)
                ) from None
        if self.drawn is None:
            return self.start
        seed, sizes, visible = self.drawn.seed + number, self.drawn.size_range, self.drawn.visible
        return random_placement(seed, subject, scene, sizes, self.start.rotation, self.start.flip, visible)

    def least_visible(self, number: int) -> float:
        """The share of its box that subject `number` should show: random placement promises one."""
        return self.drawn.visible if self.drawn and item(self.lines, number) == NOT_PLACED else 0.0


def placement_lines(text: str | None) -> list[str]:
    """One line for each subject; a single NOT_PLACED where nothing was given."""
    if text is not None:
        check_socket("placements", text, str, sentence("a text, such as placements_used of a Paste & Blend,"))
    return [line.strip() or NOT_PLACED for line in (text or "").strip().splitlines()] or [NOT_PLACED]
