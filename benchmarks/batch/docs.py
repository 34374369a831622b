"""The table of docs/benchmarks.md, of the figures of the last run of each part."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import results


def tables() -> dict[str, str]:
    parts = stored("batch")
    rows = timing(parts["timing"]) | chaos(parts["chaos"]) | ledger(parts["ledger"])
    return {"bench batch": results(rows)}


def timing(figures: dict) -> dict[str, str]:
    names = ("overhead_per_job_ms", "overhead_server_ms", "ray_overhead_ms")
    overhead = ", ".join(f"{figures[name]:.1f}" for name in names)
    return {
        "a job beyond its graph: a process of this machine, a ComfyUI server, Ray": f"{overhead} ms",
        "jobs sorted by their images against shuffled, six exemplars that GrabCut cuts out": (
            f"{figures['cache_gain']:.1f} × as many a second"
        ),
        "two workers with one thread each against one": f"{figures['speedup_2_workers']:.2f} ×",
    }


def chaos(figures: dict) -> dict[str, str]:
    workers, drivers, full = (figures[f"processes_killed_{kind}"] for kind in ("worker", "driver", "disk"))
    phases = {
        "processes": f"2 drivers at once, {workers} workers and {drivers} drivers killed, the disk full {times(full)}",
        "server": f"a ComfyUI server killed {times(figures['server_killed_server'])}",
        "ray": f"Ray actors killed {times(figures['ray_killed_actor'])}",
    }
    return {
        f"{figures['jobs']} jobs with {label}": ", ".join(
            f"{figures[f'{phase}_{name}']} {name}" for name in ("lost", "doubled", "corrupt")
        )
        for phase, label in phases.items()
    }


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def ledger(figures: dict) -> dict[str, str]:
    return {
        f"{figures['ledger_rows']:,} rows: a start until its first job": f"{figures['ledger_restart_s']:.1f} s",
        "the same, memory of the process that planned them": f"{figures['ledger_memory_mb']:.0f} MB",
        "the same, claims and ends of jobs": f"{figures['ledger_changes_per_s']:,.0f} a second",
    }
