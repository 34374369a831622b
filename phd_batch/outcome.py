"""What a run of a job gave, wherever it ran."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from phd_batch.clip_parts import CHUNK

# Errors with which the pack's nodes refuse an input; running again gives the same.
REFUSALS = ("ValueError", "FileNotFoundError")


@dataclass(frozen=True)
class Task:
    """A job as a worker gets it.

    Attributes:
        prompt: in the API format. Its images are named as in `files`.
        files: name under ComfyUI's input folder -> the file.
        name: a UUID, the same each time that this prompt is tried for the same reason.
        again: whether it may have been begun before, by a driver that is gone.
        chunk: how many frames of a clip are run at once.
    """

    prompt: dict
    files: dict[str, str]
    name: str = ""
    again: bool = False
    chunk: int = CHUNK


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Attributes:
        images: (node id, number from 0, content or the file where it lies).
        report: of each image, see Stitch's help page.
        seconds: of the graph alone.
        calls: of the diffusion model; None where that cannot be known.
    """

    images: list[tuple[str, int, bytes | Path]]
    report: list[dict] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    calls: int | None = None


@dataclass(frozen=True)
class Where:
    """What runs the jobs.

    Attributes:
        info: as a server's /object_info.
        versions: of ComfyUI and the pack; workers that differ do not share a batch.
        gpus: how many GPUs the machine has.
        kinds: the node types that the versions are of, besides the pack's.
    """

    info: dict
    versions: dict
    gpus: int = 0
    kinds: frozenset[str] = frozenset()


class Worker(Protocol):
    """What runs jobs, one at a time: a process, a server, an actor of a cluster.

    Attributes:
        name: shown to people; no secret is in it.
        patience: for so many seconds it is waited for when it is gone.
        frames: how many frames of the clip that it works on are done, of how many; None where it tells nothing.
    """

    name: str
    patience: float
    frames: tuple[int, int] | None

    def where(self, kinds: Iterable[str] = ()) -> Where:
        """What it runs on. kinds: the node types that count for the version. Raises WorkerLost or Failed."""
        ...

    def model_version(self, name: str) -> str:
        """Of a model file, by its name; "" where that cannot be known."""
        ...

    def run(self, task: Task) -> Outcome:
        """Raises Refused, Failed, NoSpace or WorkerLost."""
        ...

    def close(self) -> None: ...


def saved_images(outputs: dict[str, dict]) -> list[tuple[str, int, dict]]:
    """(node id, number, file as ComfyUI names it) of every image in a run's outputs that was saved, or else shown."""
    found = [(node, i, file) for node, shown in outputs.items() for i, file in enumerate(shown.get("images", ()))]
    return [each for each in found if each[2].get("type") == "output"] or found


def reported(outputs: dict[str, dict], name: str) -> list[Any]:
    """What the nodes left under a name, in one list."""
    return [each for shown in outputs.values() for each in shown.get(name, ())]


def is_refusal(node_type: str | None, error_type: str) -> bool:
    """Whether an error of a node is about its input: ComfyUI refused the prompt, or the pack named what is wrong."""
    return not error_type or (error_type in REFUSALS and (node_type or "").startswith("PhD"))
