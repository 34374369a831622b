"""What a batch costs beside the graphs: overhead of a job, speed with two workers, and what the order of jobs saves."""

import contextlib
import io
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.batch import workload
from benchmarks.common.table import Section
from phd_batch import run
from phd_batch.drive import Events, Settings, drive


class Kept(Events):
    """Keeps the events instead of printing them."""

    def __init__(self):
        super().__init__(True)
        self.all: list[dict] = []

    def __call__(self, event, **fields):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            super().__call__(event, **fields)
        self.all.append(json.loads(printed.getvalue()))


@dataclass(frozen=True)
class Ran:
    """A batch that was run.

    Attributes:
        done: the events of the jobs' ends.
        seconds: of each of these jobs' graphs.
        cpu_ms: what this process computed for a job.
    """

    done: list[dict]
    seconds: list[float]
    cpu_ms: float


def run_batch(folder: Path, out: str, *arguments: str, shuffled: bool = False) -> Ran:
    """Runs a batch from this process.

    shuffled: the jobs run in a random order instead of the planned one.
    """
    command = [str(folder / "jobs.jsonl"), "--workflow", str(folder / "workflow.json"), "--out", str(folder / out)]
    options = run.argument_parser().parse_args([*command, *arguments])
    workflow = run.graph.read_workflow(folder / "workflow.json")
    jobs = run.read_jobs(options.jobs, None)
    ledger, _ = run.open_ledger(folder / out)
    work, events, runners = folder / out / run.WORK / ledger.id, Kept(), []
    work.mkdir(parents=True)
    try:
        runners = run.make_runners(options, work)
        batch = run.prepare(options, workflow, jobs, ledger, runners)
        if shuffled:
            rows = [row for (row,) in ledger.read("SELECT row FROM jobs")]
            random.Random(0).shuffle(rows)
            with ledger.changing():
                ledger.many(
                    "UPDATE jobs SET place = ?, near = ? WHERE row = ?", ((i, i, row) for i, row in enumerate(rows))
                )
        runners = run.more_runners(options, work, runners, batch.where)
        # The last worker would otherwise start while the first has done half of the jobs.
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda runner: runner.where(batch.where.kinds), runners))
        spent = time.process_time()
        with contextlib.redirect_stderr(io.StringIO()):
            drive(batch, runners, Settings(1), events)
        cpu_ms = 1000 * (time.process_time() - spent) / sum(ledger.counts().values())
        seconds = dict(ledger.read("SELECT row, json_extract(result, '$.seconds') FROM jobs WHERE state = 2"))
    finally:
        run.close_runners(runners)
        run.close_ledger(ledger, folder / out, False)
    done = [event for event in events.all if event["event"] == "done"]
    return Ran(done, [seconds[event["row"]] for event in done], cpu_ms)


def overhead_ms(ran: Ran) -> float:
    """Milliseconds of a job beyond its graph's, with one worker that is warm: the median."""
    spent = [after["time"] - before["time"] for before, after in zip(ran.done, ran.done[1:], strict=False)]
    return 1000 * statistics.median(whole - graph for whole, graph in zip(spent, ran.seconds[1:], strict=True))


def rate(done: list[dict]) -> float:
    """Jobs a second, from when every worker has loaded its models and ended its first job, to the last that ended."""
    first: dict[str, float] = {}
    for event in done:
        first.setdefault(event["worker"], event["time"])
    start = max(first.values())
    return sum(event["time"] > start for event in done) / (done[-1]["time"] - start)


def measure(count: int, repeats: int) -> Section:
    """Times of small batches on this machine. count: their jobs."""
    section = Section(f"Batches of {count} jobs on this machine")
    with tempfile.TemporaryDirectory() as name:
        light = workload.prepare(Path(name) / "light", workload.LIGHT, workload.light_rows(count))
        ran = run_batch(light, "headless")
        figure(section, "overhead_per_job_ms", overhead_ms(ran), "ms a job beyond the graph")
        figure(section, "driver_cpu_ms", ran.cpu_ms, "ms a job in the driver's process")
        for kind, value in on_servers(light).items():
            figure(section, kind, value, "ms a job beyond the graph")
        graph = workload.demo(2, 128)
        two = workload.prepare(Path(name) / "two", graph, workload.demo_rows(count, 1))
        with one_thread():
            speedup(section, two, repeats)
            cached = workload.prepare(Path(name) / "cached", workload.demo(1, 64), workload.demo_rows(count, 6), 512)
            cache_gain(section, cached, repeats)
    return section


def figure(section: Section, name: str, value: float, unit: str) -> None:
    section.figures[name] = value
    section.row(name, f"{value:.2f} {unit}")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Workers that are started inside compute with one thread each."""
    before = dict(os.environ)
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def speedup(section: Section, folder: Path, repeats: int) -> None:
    """The rate of two workers with one thread each, against one: the median of some pairs."""
    pairs = []
    for number in range(repeats):
        one, two = (rate(run_batch(folder, f"{count} {number}", "--workers", str(count)).done) for count in (1, 2))
        pairs.append((two / one, one, two))
    ratio, one, two = sorted(pairs)[len(pairs) // 2]
    figure(section, "speedup_2_workers", ratio, f"× ({one:.2f} and {two:.2f} jobs a second)")


def cache_gain(section: Section, folder: Path, repeats: int) -> None:
    """Seconds of a batch in a random order against those in its own: the median of some pairs."""
    pairs = []
    for number in range(repeats):
        ordered = run_batch(folder, f"sorted {number}")
        other = run_batch(folder, f"shuffled {number}", shuffled=True)
        pairs.append(rate(ordered.done) / rate(other.done))
    figure(section, "cache_gain", statistics.median(pairs), "× as many jobs a second as in a random order")


def on_servers(folder: Path) -> dict[str, float]:
    """The overhead of a job on a ComfyUI server, and on Ray, where there are."""
    import importlib.util

    from devtools.processes import MissingError
    from devtools.server import serving

    found = {}
    try:
        (folder / "server").mkdir()
        with serving(folder / "server") as server:
            found["overhead_server_ms"] = overhead_ms(run_batch(folder, "served", "--server", server.address))
    except MissingError as error:
        print(f"\nServers are left out: they {error}.")
    if importlib.util.find_spec("ray") is None:
        print("\nRay is left out: it is not installed.")
    else:
        found["ray_overhead_ms"] = overhead_ms(run_batch(folder, "ray", "--ray", "--workers", "1"))
    return found
