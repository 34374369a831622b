"""The ledger at a million rows: how long a start takes, how many changes a second, how much memory.

`python -m benchmarks.batch.ledger ROWS` prints one line of JSON; it runs in a process of its own, for its memory.
"""

import heapq
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.batch import workload
from benchmarks.common.table import Section
from devtools.paths import ROOT
from phd_batch.bindings import bind
from phd_batch.jobs import read_jobs
from phd_batch.ledger import Ledger
from phd_batch.plan import Bound, plan

WORKERS = 64
# Of a job on one GPU, in seconds: a short one.
JOB_SECONDS = 5.0
INFO = {
    "LoadImage": {"input": {"required": {"image": [[], {"image_upload": True}]}}},
    "ImageBlend": {"input": {"required": {"blend_factor": ["FLOAT", {"min": 0, "max": 1}]}}},
    "SaveImage": {"input": {}, "output_node": True},
}


def planned(folder: Path, rows: int) -> float:
    """Plans so many rows; the seconds that it took."""
    workload.prepare(
        folder, workload.LIGHT, [{"exemplar": f"e{i}.png", "background": f"b{i}.png"} for i in range(40)], 16
    )
    with (folder / "jobs.csv").open("w") as file:
        file.write("exemplar,background,Blend.blend_factor\n")
        file.writelines(f"e{i % 40}.png,b{i % 37}.png,{i / rows:.9f}\n" for i in range(rows))
    start = time.perf_counter()
    jobs = read_jobs([str(folder / "jobs.csv")], None)
    targets, _ = bind(jobs.columns, workload.LIGHT, INFO)
    ledger = Ledger(folder / "ledger.sqlite")
    plan(jobs, Bound(workload.LIGHT, jobs.columns, targets, {}), ledger, {"jobs_digest": jobs.digest})
    ledger.close()
    return time.perf_counter() - start


def restarted(folder: Path) -> tuple[Ledger, float]:
    """The ledger opened again, and the seconds until its first job, the table's digest included."""
    start = time.perf_counter()
    jobs = read_jobs([str(folder / "jobs.csv")], None)
    ledger = Ledger(folder / "ledger.sqlite")
    assert ledger.facts()["jobs_digest"] == jobs.digest and ledger.knows_all()
    ledger.enter()
    ledger.tend(3)
    ledger.counts()
    assert ledger.claim("first", -1) is not None
    return ledger, time.perf_counter() - start


def simulated(ledger: Ledger, jobs: int) -> tuple[float, float]:
    """Seconds that the ledger took for jobs of 64 workers, and what these worked, on a simulated clock."""
    drawn, clock, spent, workers = random.Random(0), 0.0, 0.0, []
    for number in range(WORKERS):
        heapq.heappush(workers, (0.0, number, None))
    result = {"files": ["images/000001_aaaaaaaa.png"], "identity": 0.9, "seconds": 5.0, "seed": 1}
    for _ in range(jobs):
        clock, number, claim = heapq.heappop(workers)
        start = time.perf_counter()
        if claim is not None:
            assert ledger.owns(claim) and ledger.done(claim, result)
        claim = ledger.claim(f"worker {number}", claim.near if claim else -1)
        spent += time.perf_counter() - start
        if claim is None:
            break
        heapq.heappush(workers, (clock + JOB_SECONDS * drawn.uniform(0.5, 1.5), number, claim))
    return spent, clock


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        plan_seconds = planned(Path(name), rows)
        ledger, restart = restarted(Path(name))
        spent, clock = simulated(ledger, rows)
        start = time.perf_counter()
        ledger.counts()
        count_seconds = time.perf_counter() - start
        size = (Path(name) / "ledger.sqlite").stat().st_size
    figures = {
        "ledger_rows": rows,
        "ledger_plan_s": plan_seconds,
        "ledger_restart_s": restart,
        "ledger_changes_per_s": 2 * rows / spent,
        "ledger_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "ledger_size_mb": size / 2**20,
        "ledger_count_ms": 1000 * count_seconds,
        # Of one second of the cluster, in which one process has the ledger.
        "ledger_share": spent / clock,
    }
    print(json.dumps(figures))


def measure(rows: int) -> Section:
    command = [sys.executable, "-m", "benchmarks.batch.ledger", str(rows)]
    printed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    section = Section(f"The ledger with {rows} rows, and {WORKERS} simulated workers with jobs of {JOB_SECONDS:g} s")
    section.figures |= json.loads(printed.splitlines()[-1])
    for name, value in section.figures.items():
        section.row(name, f"{value:.4g}")
    return section


if __name__ == "__main__":
    main(int(sys.argv[1]))
