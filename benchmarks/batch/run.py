"""`python3 dev.py bench batch`: what a batch adds to the time of its graphs, and whether kills lose or double a job."""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common.table import exit_status, rounded, show

# Bounds on the figures; all but the times decide the exit status.
WANTED = {
    "overhead_per_job_ms": ("<=", 30),
    "overhead_server_ms": ("<=", 80),
    "ray_overhead_ms": ("<=", 60),
    "speedup_2_workers": (">=", 1.7),
    "cache_gain": (">=", 1.3),
    "lost": ("==", 0),
    "doubled": ("==", 0),
    "corrupt": ("==", 0),
    "ledger_restart_s": ("<=", 5),
    "ledger_memory_mb": ("<=", 500),
    "ledger_changes_per_s": (">=", 2000),
}
TIMES = tuple(name for name in WANTED if name not in ("lost", "doubled", "corrupt", "ledger_memory_mb"))
# Parts, and the figures that they lack without a full ComfyUI and Ray.
PARTS = {"timing": ("overhead_server_ms", "ray_overhead_ms"), "ledger": (), "chaos": ("server_lost", "ray_lost")}


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    figures: dict[str, float] = {}
    for part in options.part or PARTS:
        section = measured(part, options.quick)
        show(section, WANTED)
        found = rounded(section.figures)
        if not options.quick and set(PARTS[part]) <= set(found):
            page.publish("batch", found, part)
        figures |= found
    print(json.dumps(figures))
    return exit_status(WANTED, figures, [*TIMES, *(name for name in WANTED if name not in figures)])


def measured(part: str, quick: bool):
    if part == "timing":
        from benchmarks.batch.timing import measure

        return measure(12 if quick else 40, 1 if quick else 3)
    if part == "ledger":
        from benchmarks.batch.ledger import measure

        return measure(20_000 if quick else 1_000_000)
    from benchmarks.batch.chaos import measure

    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder), 30 if quick else 200, not quick)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench batch", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer jobs, and only this machine's workers are killed")
    parser.add_argument("--part", choices=PARTS, action="append", help="run only this part; repeatable")
    return parser
