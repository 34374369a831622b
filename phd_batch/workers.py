"""Worker processes of this machine, each with a ComfyUI of its own, and the driver's side of them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from devtools.paths import ROOT
from phd_batch.faults import Failed, NoSpace, Refused, WorkerLost
from phd_batch.outcome import Outcome, Task, Where, is_refusal, reported

# A question before the first job is asked so often, if the process is killed each time.
MOST_KILLS = 5
# What a worker process is started with; its number and its folder are added.
COMMAND = (sys.executable, "-m", "phd_batch.headless")
# How a line begins that tells how far a clip is.
FRAMES = b'{"frames"'


class LocalWorker:
    """A worker process. It is started by the first request, and again after it ended."""

    # For this many seconds it is started again and again.
    patience = 30.0

    def __init__(self, number: int, folder: Path, workers: int = 1):
        self.name = f"worker {number + 1}"
        self.number, self.workers = number, workers
        self.folder = folder / str(number)
        self.process: subprocess.Popen | None = None
        self.status = 0
        self.frames: tuple[int, int] | None = None

    def start(self) -> None:
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = dict(os.environ)
        if self.workers > 1:
            # Each has its share of the cores.
            threads = str(max(1, (os.cpu_count() or 1) // self.workers))
            environment = {"OMP_NUM_THREADS": threads, "OPENCV_FOR_THREADS_NUM": threads, **environment}
        command = [*COMMAND, str(self.number), str(self.folder)]
        # A session of its own: Ctrl-C is for the driver alone, which lets the workers finish.
        apart: dict[str, Any] = {"start_new_session": True}
        if os.name == "nt":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT, env=environment, **apart
            )

    def ask(self, request: dict) -> dict:
        """The answer to a request. Raises WorkerLost where the process ended before it gave one."""
        if self.process is None:
            self.start()
        process = self.process
        assert process is not None and process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            while (line := process.stdout.readline()).startswith(FRAMES):
                self.frames = tuple(json.loads(line)["frames"])
        except (OSError, ValueError):
            line = b""
        self.frames = None
        if not line.endswith(b"\n"):
            self.status = process.wait()
            self.close()
            raise WorkerLost(f"{self.name} ended with status {self.status}{self.last_words()}")
        return json.loads(line)

    def ask_again(self, request: dict, kills: int = MOST_KILLS) -> dict:
        """As `ask`, but a process that was killed is started again."""
        try:
            return self.ask(request)
        except WorkerLost:
            if self.status >= 0 or not kills:
                raise
            return self.ask_again(request, kills - 1)

    def last_words(self) -> str:
        """The last line of the process's log."""
        with contextlib.suppress(OSError):
            lines = (self.folder / "log.txt").read_text("utf-8", "replace").strip().splitlines()
            return f": {lines[-1].strip()[:300]}" if lines else "."
        return "."

    def where(self, kinds: Iterable[str] = ()) -> Where:
        """ComfyUI's nodes and the versions, whatever the kinds of nodes."""
        return Where(**self.ask_again({}))

    def model_version(self, name: str) -> str:
        return self.ask_again({"model": name})["version"]

    def run(self, task: Task) -> Outcome:
        """Raises Refused, Failed, NoSpace or WorkerLost."""
        return read_answer(self.ask({"prompt": task.prompt, "files": task.files, "chunk": task.chunk}))

    def close(self) -> None:
        if self.process is None:
            return
        process, self.process = self.process, None
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def clear(self) -> None:
        """Removes the worker's files."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read_answer(found: dict) -> Outcome:
    """The outcome in a headless run's answer. Raises Refused, Failed or NoSpace for an error."""
    if "error" in found:
        if "No space left on device" in found["error"]:
            raise NoSpace(found["error"])
        raise (Refused if is_refusal(found["node"], found["type"]) else Failed)(found["error"])
    outputs = found["outputs"]
    return Outcome(
        images=[(node, number, Path(file)) for node, number, file in found["images"]],
        report=reported(outputs, "phd_report"),
        warnings=reported(outputs, "phd_warnings"),
        seconds=found["seconds"],
        calls=found["calls"],
    )
