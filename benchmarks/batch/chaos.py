"""A batch whose workers, drivers, servers and Ray workers are killed, and whose disk is full once."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.batch import workload
from benchmarks.common.table import Section
from devtools.paths import ROOT

# A driver whose disk is full at its fifth image.
FULL = """
import errno, os, sys
from phd_batch import run
replace, calls = os.replace, []
def full_once(*names):
    calls.append(names)
    if len(calls) == 5:
        raise OSError(errno.ENOSPC, "No space left on device")
    replace(*names)
os.replace = full_once
sys.exit(run.main(sys.argv[1:]))
"""
# In seconds, for a whole phase.
PATIENCE = 1800


class Phase:
    """One batch in a folder of its own, driven by processes that may be killed."""

    def __init__(self, folder: Path, name: str, *arguments: str):
        self.folder, self.name, self.arguments = folder, name, arguments
        self.out, self.log = folder / name, folder / f"{name}.jsonl"
        self.drivers: list[subprocess.Popen] = []
        self.kills: Counter[str] = Counter()

    def start(self, program: tuple[str, ...] = ("-m", "phd_batch")) -> None:
        command = [
            sys.executable,
            *program,
            str(self.folder / "jobs.jsonl"),
            "--workflow",
            str(self.folder / "workflow.json"),
        ]
        command += ["--out", str(self.out), "--events", "jsonl", *self.arguments]
        with self.log.open("ab") as events, (self.folder / f"{self.name}.txt").open("ab") as errors:
            self.drivers.append(subprocess.Popen(command, cwd=ROOT, stdout=events, stderr=errors))

    def done(self) -> int:
        """How many jobs the ledger has as done."""
        with contextlib.suppress(sqlite3.OperationalError):
            file = self.out / "ledger.sqlite"
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as ledger:
                return ledger.execute("SELECT count(*) FROM jobs WHERE state = 2").fetchone()[0]
        return 0

    def kill_driver(self, number: int) -> None:
        self.drivers[number].kill()
        self.drivers.pop(number).wait()
        self.kills["driver"] += 1
        self.start()

    def kill_worker(self, drawn: random.Random) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            parents = [psutil.Process(driver.pid) for driver in self.drivers if driver.poll() is None]
            workers = [
                child for parent in parents for child in parent.children() if "phd_batch.headless" in child.cmdline()
            ]
            if workers:
                drawn.choice(workers).kill()
                self.kills["worker"] += 1

    def finish(self, events: dict[int, Callable[[], None]]) -> None:
        """Waits for the end; calls each event when so many jobs are done. Drivers that ended too early start again."""
        left, deadline = sorted(events), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            count = self.done()
            while left and count >= left[0]:
                events[left.pop(0)]()
            ended = [driver for driver in self.drivers if driver.poll() is not None]
            if len(ended) == len(self.drivers) and any(driver.returncode == 0 for driver in ended):
                return
            for driver in ended:
                if driver.returncode != 0:
                    self.drivers.remove(driver)
                    self.start()
            time.sleep(0.05)
        raise TimeoutError(f"The phase {self.name} did not end within {PATIENCE} s.")

    def end(self) -> None:
        for driver in self.drivers:
            if driver.poll() is None:
                driver.send_signal(signal.SIGINT)
                driver.wait(60)

    def events(self) -> Iterator[dict]:
        """What the drivers printed. A process that was killed may have left half a line."""
        for line in self.log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def images(self) -> dict[int, np.ndarray | None]:
        """The pixels of every done row; None where the image cannot be read."""
        with contextlib.closing(sqlite3.connect(self.out / "ledger.sqlite")) as ledger:
            rows = ledger.execute("SELECT row, json_extract(result, '$.files[0]') FROM jobs WHERE state = 2").fetchall()
        return {row: pixels(self.out / file) for row, file in rows}


def pixels(file: Path) -> np.ndarray | None:
    try:
        with Image.open(file) as image:
            return np.asarray(image)
    except OSError:
        return None


def measure(folder: Path, count: int, with_servers: bool) -> Section:
    """Runs all phases of `count` jobs each."""
    workload.prepare(folder, workload.LIGHT, workload.light_rows(count), 192)
    calm = Phase(folder, "undisturbed")
    calm.start()
    calm.finish({})
    expected = calm.images()
    section = Section(f"{count} jobs in each of these, against an undisturbed run")
    section.figures |= {"jobs": count, "lost": 0, "doubled": 0, "corrupt": 0}
    judge(section, calm, expected, count)
    judge(section, killed_processes(folder, count), expected, count)
    if with_servers:
        for phase in killed_servers(folder, count):
            judge(section, phase, expected, count)
        if phase := killed_ray_workers(folder, count):
            judge(section, phase, expected, count)
    return section


def judge(section: Section, phase: Phase, expected: dict, count: int) -> None:
    images, events = phase.images(), list(phase.events())
    done = Counter(event["row"] for event in events if event["event"] == "done")
    phase.kills["disk"] = sum(event["event"] == "no_space" for event in events)
    lost, doubled = count - len(images), sum(times > 1 for times in done.values())
    corrupt = sum(found is None or not np.array_equal(found, expected[row]) for row, found in images.items())
    # A file that no row names would be a result of nothing.
    corrupt += len(list((phase.out / "images").iterdir())) - len(images)
    for name, value in (("lost", lost), ("doubled", doubled), ("corrupt", corrupt)):
        section.figures[name] += value
        section.figures[f"{phase.name}_{name}"] = value
    section.figures |= {f"{phase.name}_killed_{kind}": number for kind, number in phase.kills.items()}
    kills = ", ".join(f"{number} × {kind}" for kind, number in phase.kills.items() if number) or "nothing"
    section.row(phase.name, f"killed: {kills}; lost {lost}, doubled {doubled}, corrupt {corrupt}")


def killed_processes(folder: Path, count: int) -> Phase:
    """Two drivers at once: a worker is killed every ten jobs, a driver five times, and one driver's disk is full."""
    phase, drawn = Phase(folder, "processes"), random.Random(0)
    phase.start(("-c", FULL))
    phase.start()
    events: dict[int, Callable[[], None]] = {done: (lambda: phase.kill_worker(drawn)) for done in range(10, count, 10)}
    for number in range(5):
        events[5 + (number + 1) * count // 7] = lambda: phase.kill_driver(drawn.randrange(len(phase.drivers)))
    phase.finish(events)
    phase.end()
    return phase


def killed_servers(folder: Path, count: int) -> Iterator[Phase]:
    """A ComfyUI server that is killed twice and started again at the same address."""
    from devtools.processes import MissingError, free_port

    port = free_port()
    try:
        servers = [start_server(folder / "server 0", port)]
    except MissingError as error:
        print(f"\nServers are left out: they {error}.")
        return
    phase = Phase(folder, "server", "--server", f"http://127.0.0.1:{port}")

    def kill() -> None:
        servers[-1].kill()
        servers[-1].wait()
        phase.kills["server"] += 1
        servers.append(start_server(folder / f"server {len(servers)}", port))

    try:
        wait_for(port)
        phase.start()
        phase.finish({count // 3: kill, 2 * count // 3: kill})
    finally:
        servers[-1].kill()
        servers[-1].wait()
    yield phase


def start_server(folder: Path, port: int) -> subprocess.Popen:
    """ComfyUI with the pack, in a folder of its own; it is not waited for. Raises MissingError without one."""
    from devtools.comfyui import find_comfyui
    from devtools.processes import MissingError
    from devtools.server import has_server, server_command

    comfyui = find_comfyui()
    if comfyui is None or not has_server(comfyui):
        raise MissingError("need a full ComfyUI; COMFYUI_PATH may name one")
    arguments = ["--port", str(port), "--database-url", "sqlite:///:memory:", "--use-pytorch-cross-attention"]
    for name in ("input", "output", "temp", "user"):
        (folder / name).mkdir(parents=True)
        arguments += [f"--{name}-directory", str(folder / name)]
    with (folder / "log.txt").open("wb") as log:
        command = server_command(comfyui, arguments, on_cpu=True)
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)


def wait_for(port: int) -> None:
    import requests

    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.RequestException):
            requests.get(f"http://127.0.0.1:{port}/queue", timeout=5)
            return
        time.sleep(0.2)
    raise TimeoutError("ComfyUI's server did not start.")


def killed_ray_workers(folder: Path, count: int) -> Phase | None:
    """Two Ray actors, of which one is killed twice. None where Ray is not installed."""
    import importlib.util

    if importlib.util.find_spec("ray") is None:
        print("\nRay is left out: it is not installed.")
        return None
    phase = Phase(folder, "ray", "--ray", "--workers", "2")

    def kill() -> None:
        actors = [process for process in psutil.process_iter() if is_actor(process, phase)]
        if actors:
            os.kill(actors[0].pid, signal.SIGKILL)
            phase.kills["actor"] += 1

    phase.start()
    phase.finish({count // 3: kill, 2 * count // 3: kill})
    return phase


def is_actor(process: psutil.Process, phase: Phase) -> bool:
    """Whether a process is a Ray actor of this phase's driver."""
    with contextlib.suppress(psutil.Error):
        if not process.name().startswith("ray::Remote"):
            return False
        drivers = {driver.pid for driver in phase.drivers}
        return any(parent.pid in drivers for parent in process.parents())
    return False
