"""`python3 dev.py bench soak`: whether anything that users and other nodes send makes the pack fail, in long use.

Nodes are called with random inputs, many of them broken; a real server gets broken prompts, interrupts and kills, and
runs a small graph over and over. Every finding is printed with its seed: `--replay SEED` makes that call again.
"""

import argparse
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import Section, exit_status, rounded, show
from benchmarks.soak.calls import call_nodes
from devtools.processes import MissingError

# Bounds on the figures; all but the times decide the exit status.
WANTED = {
    "crashes": ("==", 0),
    "unnamed_refusals": ("<=", 0.001),
    "server_deaths": ("==", 0),
    "unequal_reruns": ("==", 0),
    "rss_slope_mb_per_100": ("<=", 1.0),
    "interrupt_p95_s": ("<=", 1.0),
}
TIMES = ("interrupt_p95_s",)
# What a few runs say nothing of: memory settles only after some hundred.
FEWEST_RUNS = 300


@dataclass(frozen=True)
class Amounts:
    """How much of everything: calls of nodes, runs of the small graph, broken prompts, the side in pixels of the images
    on which nodes are interrupted, how often each of these is, and killed servers."""

    calls: int = 10_000
    runs: int = 1000
    broken: int = 200
    side: int = 2048
    interrupts: int = 4
    kills: int = 1


QUICK = Amounts(calls=250, runs=20, broken=10, side=512, interrupts=1, kills=0)


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    if options.replay is not None:
        return replay(options.replay)
    amounts, seconds = QUICK if options.quick else Amounts(), float("inf")
    if options.side:
        amounts = replace(amounts, side=options.side)
    if options.hours:
        # Half of the time for calls, and half for runs.
        amounts, seconds = replace(amounts, calls=10**9, runs=10**9), 1800 * options.hours
    parts = {
        "calls": measure_calls(options.seed, amounts.calls, seconds),
        f"interrupts, {amounts.side}": measure_interrupts(amounts),
        "server": measure_server(amounts, options.seed, seconds),
    }
    whole = not (options.quick or options.hours or options.seed)
    figures: dict[str, float] = {}
    for part, found in parts.items():
        found = rounded(found)
        # With --quick, nodes are still interrupted on images of the side that was asked for.
        if found and (whole or (options.side and part.startswith("interrupts"))):
            page.publish("soak", found, part)
        figures |= {name: figures.get(name, 0) + value for name, value in found.items()}
    print(json.dumps(figures))
    left_out = [name for name in WANTED if name not in figures]
    few = ["rss_slope_mb_per_100"] if figures.get("runs", 0) < FEWEST_RUNS else []
    return exit_status(WANTED, figures, [*TIMES, *few, *left_out])


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, within a minute")
    parser.add_argument("--hours", type=float, metavar="H", help="as many calls and runs as fit into this many hours")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first call and the first broken prompt")
    parser.add_argument("--side", type=int, help="of the images in the interrupt part, in pixels; a multiple of 64")
    parser.add_argument("--replay", type=int, metavar="SEED", help="make one call of a node again and show its inputs")
    return parser


def measure_calls(seed: int, count: int, seconds: float) -> dict[str, float]:
    """Prints what calls of nodes with random inputs led to; their figures."""
    made, findings = call_nodes(seed, count, seconds)
    kinds = Counter(finding.kind for finding in findings)
    section = Section(f"{made} calls of nodes with random inputs")
    section.figures |= {
        "calls": made,
        "crashes": kinds["crash"] + kinds["dead process"],
        "unnamed_refusals": kinds["unnamed refusal"] / max(1, made),
        "unequal_reruns": kinds["unequal rerun"],
    }
    for name, value in section.figures.items():
        section.row(name, f"{value:g}")
    show(section, WANTED)
    return section.figures


def measure_interrupts(amounts: Amounts) -> dict[str, float]:
    """Prints how soon nodes hear an interrupt; the worst of them."""
    nodes = start_comfyui()
    from benchmarks.soak.interrupts import measure

    with temporary_folders(), silent():
        section = measure(amounts.side, amounts.interrupts, nodes)
    show(section, WANTED)
    return section.figures


def measure_server(amounts: Amounts, seed: int, seconds: float) -> dict[str, float]:
    """Prints what a server did; its figures, none where there is no full ComfyUI."""
    from benchmarks.soak import server as servers
    from devtools.server import serving

    log = servers.Log()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "first").mkdir()
        try:
            with serving(folder / "first") as server:
                servers.upload(server, servers.SIDE)
                sections = [servers.soak(server, folder / "first", amounts.runs, seconds, log)]
                sections.append(servers.break_prompts(server, amounts.broken, seed, log))
                sections.append(servers.interrupt(server, 3 * amounts.interrupts, log))
            if amounts.kills:
                sections.append(servers.kill(folder, amounts.kills, log))
            if log.runs >= FEWEST_RUNS:
                # A server of its own, so that both are as old; what goes wrong there is not the pack's.
                (folder / "core").mkdir()
                with serving(folder / "core") as server:
                    servers.upload(server, servers.SIDE)
                    core = servers.core_prompt
                    sections.append(servers.soak(server, folder / "core", log.runs, seconds, servers.Log(), core))
        except MissingError as error:
            print(f"\nThe part on a server is left out: it {error}.")
            return {}
    for section in sections:
        show(section, WANTED)
        figures |= section.figures
    crashes = sum(finding.kind in ("crash", "failed run") for finding in log.findings)
    counts = {"runs": log.runs, "server_deaths": log.deaths, "crashes": crashes, "unequal_reruns": log.unequal}
    return figures | counts


def replay(seed: int) -> int:
    """Makes the call of a seed again, and shows its inputs and what came of it."""
    made, findings = call_nodes(seed, 1)
    nodes = start_comfyui()
    from benchmarks.soak.inputs import described, draw

    drawn = draw(seed, nodes)
    print(f"{drawn.node}:")
    for name, value in drawn.inputs.items():
        print(f"  {name:<20}{described(value)}{' (linked)' if name in drawn.linked else ''}")
    print("\n".join(map(str, findings)) or f"{made} call: nothing was found.")
    return 1 if findings else 0
