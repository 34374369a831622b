"""What can be wrong with a batch, and with a job."""

from collections.abc import Iterable
from dataclasses import dataclass

# More rows than a person reads.
MOST_SHOWN = 50


class UsageError(Exception):
    """The batch cannot be run as it was given; the message is what the user reads. Nothing was written."""


class Refused(Exception):  # noqa: N818
    """The job's input is wrong: trying again gives the same."""


class Failed(Exception):  # noqa: N818
    """The job failed, and may succeed another time."""


class WorkerLost(Exception):  # noqa: N818
    """The worker or server ended, or does not answer. The job is not to blame."""


class NoSpace(Exception):  # noqa: N818
    """There is no space left for the result."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong before anything runs.

    Attributes:
        row: of the table of jobs, from 1; None where it is not about a row.
        column: its name; "" where it is not about a column.
    """

    row: int | None
    column: str
    message: str


class Faults(UsageError):  # noqa: N818
    """Everything that is wrong, as one table."""

    def __init__(self, faults: Iterable[Fault], more: int = 0):
        self.faults = list(faults)
        super().__init__(table(self.faults, more))


def table(faults: list[Fault], more: int = 0) -> str:
    """The faults as lines with row and column; more: how many others were found."""
    shown = faults[:MOST_SHOWN]
    cells = [(str(fault.row or ""), fault.column, fault.message) for fault in shown]
    widths = [max(len(name), *(len(cell[i]) for cell in cells)) for i, name in enumerate(("row", "column"))]
    lines = [f"{row:>{widths[0]}}  {column:<{widths[1]}}  {text}" for row, column, text in cells]
    count = len(faults) + more
    if count > len(shown):
        lines.append(f"… and {count - len(shown)} more.")
    head = f"{'row':>{widths[0]}}  {'column':<{widths[1]}}  what is wrong"
    return "\n".join(["Nothing was run, because of this:", head, *lines])
