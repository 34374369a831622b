"""Workers on a Ray cluster, each an actor with a ComfyUI of its own or with a server to drive.

Ray places the actors, starts them again elsewhere when their process or node is lost, and moves files and images
through its object store. What is relied on: an actor with max_restarts=-1 comes back while the cluster has room for
it; a call that was running when it was lost ends in an error (max_task_retries=0), so that only the ledger decides what
runs again; one call at a time runs in an actor. The ledger stays with the driver.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from devtools.paths import ROOT
from phd_batch.faults import Failed, NoSpace, Refused, UsageError, WorkerLost
from phd_batch.outcome import Outcome, Task, Where
from phd_batch.server import ServerWorker
from phd_batch.workers import read_answer

# What a node needs of the repository.
LEFT_OUT = [".git", ".venv", ".cache", "output", "tests", "docs", "training", "benchmarks", "web", "locales"]
# So many input files stay in the object store and on a node's disk; jobs of one image follow each other.
MOST_FILES = 256
ERRORS = {kind.__name__: kind for kind in (Refused, Failed, NoSpace, WorkerLost)}


class Remote:
    """The actor's side: answers as a worker, wherever it lies.

    server: the URL of one to drive; None for a ComfyUI in this process.
    """

    def __init__(self, server: str | None):
        from phd_batch.headless import Headless

        self.folder = Path(tempfile.mkdtemp(prefix="phd_batch_"))
        self.received: list[str] = []
        self.server = ServerWorker(server) if server else None
        # Ray shows each actor its own GPU only.
        self.headless = None if server else Headless(0, self.folder)

    def where(self, kinds: list[str]) -> dict:
        if self.server is None:
            return self.headless.info()  # type: ignore[union-attr]
        try:
            found = self.server.where(kinds)
        except (WorkerLost, Failed) as error:
            return {"raised": type(error).__name__, "error": str(error)}
        return {"info": found.info, "versions": found.versions, "kinds": found.kinds}

    def model_version(self, name: str) -> str:
        return (self.server or self.headless).model_version(name)  # type: ignore[union-attr]

    def process(self) -> int:
        """The process that the actor is now."""
        return os.getpid()

    def run(self, task: Task, *contents: bytes) -> dict | Outcome:
        """An outcome whose images are bytes; or {"raised", "error"}. Contents: of the task's files."""
        try:
            pairs = zip(task.files, contents, strict=True)
            files = {name: str(self.stored(name, content)) for name, content in pairs}
            if self.server is not None:
                return self.server.run(replace(task, files=files))
            from phd_batch.headless import answer

            found = read_answer(answer(self.headless, {"prompt": task.prompt, "files": files}))  # type: ignore[arg-type]
            images: list[tuple[str, int, bytes | Path]] = []
            for node, number, file in found.images:
                assert isinstance(file, Path)
                images.append((node, number, file.read_bytes()))
                file.unlink()
            return Outcome(images, found.report, found.warnings, found.seconds, found.calls)
        except (Refused, Failed, NoSpace, WorkerLost) as error:
            return {"raised": type(error).__name__, "error": str(error)}

    def stored(self, name: str, content: bytes) -> Path:
        file = self.folder / "received" / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            self.received.append(name)
            for old in self.received[:-MOST_FILES]:
                for folder in (self.folder / "received", self.folder / "input"):
                    (folder / old).unlink(missing_ok=True)
            del self.received[:-MOST_FILES]
        return file


class RayWorker:
    """The driver's side of an actor."""

    # A cluster may need that long to replace a node.
    patience = 600.0
    # Clips are not run there.
    frames: tuple[int, int] | None = None

    def __init__(self, number: int, server: str | None, gpus: float, files: dict[str, Any]):
        import ray

        self.ray, self.files = ray, files
        self.name = f"ray {number + 1}" if server is None else ServerWorker(server).name
        options = {"num_cpus": 0 if server else 1, "num_gpus": 0 if server else gpus, "max_restarts": -1}
        self.actor = ray.remote(Remote).options(**options).remote(server)

    def ask(self, call: Any) -> Any:
        """What an actor's call gives. Raises WorkerLost where the actor, its node or the cluster is gone."""
        from ray.exceptions import RayError, RayTaskError

        try:
            found = self.ray.get(call)
        except RayTaskError as error:
            raise Failed(f"{self.name}: {str(error).strip().splitlines()[-1]}") from None
        except RayError as error:
            raise WorkerLost(f"{self.name} was lost ({type(error).__name__}).") from None
        if isinstance(found, dict) and "raised" in found:
            raise ERRORS[found["raised"]](found["error"])
        return found

    def where(self, kinds: Iterable[str] = ()) -> Where:
        return Where(**self.ask(self.actor.where.remote(sorted(kinds))))

    def model_version(self, name: str) -> str:
        return self.ask(self.actor.model_version.remote(name))

    def process(self) -> int:
        return self.ask(self.actor.process.remote())

    def run(self, task: Task) -> Outcome:
        """Raises Refused, Failed, NoSpace or WorkerLost."""
        stored = [self.stored(name, file) for name, file in task.files.items()]
        return self.ask(self.actor.run.remote(task, *stored))

    def stored(self, name: str, file: str) -> Any:
        """A file in the object store: once, however many actors read it."""
        found = self.files.get(name) or self.ray.put(Path(file).read_bytes())
        self.files[name] = found
        for old in list(self.files)[:-MOST_FILES]:
            self.files.pop(old, None)
        return found

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.ray.kill(self.actor)


def start_ray(address: str, workers: int | None) -> Any:
    """Joins a cluster, or starts one on this machine for an empty address. Raises UsageError where that fails."""
    # Nothing is reported to anyone.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise UsageError("--ray needs a package: pip install 'ray[default]'.") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address:
        runtime: dict[str, Any] = {"working_dir": str(ROOT), "excludes": LEFT_OUT}
    else:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        runtime = {"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}}
        quiet |= {"include_dashboard": False, "num_cpus": max(workers or 1, os.cpu_count() or 1)}
    try:
        # Without an address Ray would join a cluster that happens to run here, with the resources that it has.
        ray.init(address=address or "local", runtime_env=runtime, **quiet)
    except Exception as error:
        token = " Where the cluster asks for a token, set RAY_AUTH_MODE=token." if address else ""
        raise UsageError(f"--ray: no cluster answers at {address or 'this machine'} ({error}).{token}") from None
    return ray


def stop_ray() -> None:
    """Leaves the cluster; one that was started for this batch ends."""
    if ray := sys.modules.get("ray"):
        ray.shutdown()


def ray_workers(ray: Any, servers: list[str], workers: int | None) -> list[RayWorker]:
    """An actor for each server; or else one for each GPU of the cluster, or as many as are asked for."""
    files: dict[str, Any] = {}
    if servers:
        return [RayWorker(number, server, 0, files) for number, server in enumerate(servers)]
    gpus = int(ray.cluster_resources().get("GPU", 0))
    return [RayWorker(number, None, 1 if gpus else 0, files) for number in range(workers or gpus or 1)]
