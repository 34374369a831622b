"""`python3 dev.py bench inpaint`: how near masked sampling comes to the truth and what it costs, beside other loops.

Everything runs through ComfyUI's own sampling code. The error is exact, because the model is: relative W2, seam energy
and variance against the true posterior, means over the seeds. `--quick` measures less of the same and leaves the demo
model out. Plots and images go to output/bench_inpaint.png.
"""

import argparse
import functools
import json
import sys
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common import table
from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import Section, exit_status, shortened, show, verdict
from devtools.paths import OUTPUT

# Bounds on the figures; all but the times decide the exit status. The first three are of `ours_60`.
WANTED = {
    "relw2": ("<=", 0.33),
    "seam": ("<=", 1.35),
    "variance": ("within", (0.90, 1.05)),
    "family_gap": ("<=", 0.02),
    "plain_bit_identical": ("==", True),
    "memory_latents": ("<=", 10),
    "overhead_per_call": ("<=", 1.015),
}
TIMES = ("overhead_per_call",)
# Backgrounds for the demo model, and seeds for each, of a whole run.
SCENES, SEEDS = 64, 2
QUALITIES = ("relw2", "seam", "variance")
# A goal beyond the bound on relw2: half of LanPaint's error at half its calls.
GOAL = 0.19
# Methods that run on the mixture.
MIXTURE = tuple(
    f"{who}_60"
    for who in ("ours", "plain", "langevin", "repaint", "lanpaint_tuned", "lanpaint1", "lanpaint2", "former")
)

# Names of --grid without a workflow.
GRIDS = ("curves", "demo")
# Of the backgrounds, in pixels.
LEAST_SIDE = 64

holds = functools.partial(table.holds, WANTED)


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    start_comfyui()
    if options.workflow:
        return measure_workflows(options)
    if options.grid:
        from benchmarks.inpaint import grid

        with silent():
            for name in options.grid:
                grid.main(name)
        return 0
    from benchmarks.inpaint import sheet

    with silent():
        figures, scores = measure_exact(options.quick)
        figures |= measure_cost(options.quick)
        demo, images, bounds, imperfect = {}, [], WANTED, {}
        if not options.quick:
            imperfect, imperfect_figures = measure_imperfect()
            demo, images, demo_figures = measure_demo(options.scenes, options.seeds)
            figures, bounds = figures | imperfect_figures | demo_figures, all_bounds()
        path = sheet.save(options.out, scores, images)
    print(f"\nImages: {path}")
    line = line_of_json(figures, scores, imperfect, demo)
    if (options.quick, options.scenes, options.seeds) == (False, SCENES, SEEDS):
        from benchmarks.inpaint.imperfect import KINDS

        page.publish("inpaint", json.loads(line) | {"labels": {name: kind.label for name, kind in KINDS.items()}})
    print(line)
    return exit_status(bounds, figures, TIMES)


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argument_parser()
    options = parser.parse_args(arguments)
    if not options.workflow and (unknown := set(options.grid) - {*GRIDS}):
        parser.error(f"--grid {unknown.pop()!r}: without --workflow it is one of {', '.join(GRIDS)}.")
    if options.server and not options.workflow:
        parser.error("--server needs --workflow, the API workflow to be run there.")
    if options.side % 8 or options.side < LEAST_SIDE:
        parser.error(f"--side {options.side}: it is a multiple of 8, and at least {LEAST_SIDE}.")
    if options.scenes < 1:
        parser.error(f"--scenes {options.scenes}: at least 1 is needed.")
    return options


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench inpaint", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less of everything, and no demo model")
    parser.add_argument("--scenes", type=int, default=SCENES, help="backgrounds for the demo model, in multiples of 16")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds for each of these backgrounds")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="curves | demo | TITLE.WIDGET=VALUE,…",
        help="only the trials behind the rivals' settings; with --workflow, values to try for a widget of its first",
    )
    parser.add_argument("--workflow", type=Path, nargs="+", help="API workflows to be scored instead, on --scenes")
    parser.add_argument("--server", help="a running ComfyUI for --workflow, such as http://127.0.0.1:8188")
    parser.add_argument("--side", type=int, default=128, help="image size in pixels for --workflow (128)")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder for the images")
    return parser


def measure_workflows(options: argparse.Namespace) -> int:
    """Scores the given workflows; the exit status."""
    from benchmarks.common.titled_workflow import WorkflowInputError
    from benchmarks.inpaint import demo, workflow

    with temporary_folders() as folder, silent():
        try:
            workflow.measure(
                options.workflow, options.grid, options.scenes, demo.SPLIT, options.side, options.server, folder
            )
        except WorkflowInputError as error:
            print(error, file=sys.stderr)
            return 2
    return 0


def measure_exact(quick: bool) -> tuple[dict, dict[str, dict]]:
    """Prints the tables of the exact models; the figures that have bounds, and all scores by setting."""
    from benchmarks.inpaint import exact
    from benchmarks.inpaint.processes import Setting

    # An item's seed is the run's plus its place in the batch; the seeds of two runs must not overlap.
    seeds = (1,) if quick else (1, 1001, 2001)
    chains, curves, each = (1024, 4, 32) if quick else (4000, 24, 96)
    settings = {
        "proto": (Setting("proto", 1, chains, seeds), f"One curve, {chains} chains"),
        "curves": (Setting("curves", curves, each, seeds), f"{curves} curves of the same process, {each} chains each"),
        # Of a few curves of the mixture, chance decides which loop is nearer.
        "mixture": (Setting("mixture", 24, each, seeds), "A mixture of four normal processes"),
    }
    scores = {}
    for name, (setting, title) in settings.items():
        section, scores[name] = exact.measure(setting, title, MIXTURE if name == "mixture" else None)
        show(section, WANTED)
        for line in exact.better(scores[name]):
            print(f"  ! {line}")
        if name == "proto" or (name == "curves" and not quick):
            judge(scores[name]["ours_60"])
    section, gap = exact.family_gap(Setting("proto", 1, 1024, seeds[:1]))
    section.figures["family_gap"] = gap
    show(section, WANTED)
    return {quality: scores["proto"]["ours_60"][quality] for quality in QUALITIES} | section.figures, scores


def judge(score: dict[str, float]) -> None:
    print("\n".join(verdict(WANTED, quality, score[quality]) for quality in QUALITIES))
    result = "reached" if score["relw2"] <= GOAL else "not reached"
    print(f"  → goal: relw2 {shortened(score['relw2'])} <= {GOAL}: {result}", flush=True)


def measure_cost(quick: bool) -> dict:
    """Prints the tables of time and memory; their figures."""
    from benchmarks.inpaint import cost

    figures = {}
    for measure in (cost.measure_identity, cost.measure_overhead, cost.measure_memory):
        section = measure(quick)
        show(section, WANTED)
        figures |= section.figures
    return figures


def all_bounds() -> dict:
    """The bounds of a run with models that err and the demo model."""
    from benchmarks.inpaint import demo, imperfect

    return WANTED | imperfect.WANTED | demo.WANTED


def measure_imperfect() -> tuple[dict, dict[str, float]]:
    """Prints the table of models that err; its scores, and the figure that has a bound."""
    from benchmarks.inpaint import imperfect

    section, scores = imperfect.measure(24, 32, tuple(range(1, 8000, 1000)))
    show(section, imperfect.WANTED)
    return scores, section.figures


def measure_demo(scenes: int, seeds: int) -> tuple[dict, list, dict[str, float]]:
    """Prints the tables of the demo model; its scores, images for the sheet, and the figures that have bounds."""
    from benchmarks.inpaint import demo

    print(f"\nDemo model: {scenes} backgrounds of the {demo.SPLIT} split, {seeds} seeds; 95 % intervals")
    found, scores = {}, {}
    for cell in demo.cells():
        section, found[cell] = demo.measure(cell, scenes, seeds)
        show(section, demo.WANTED)
        by_cfg = scores.setdefault(cell.network.name, {})
        by_cfg.setdefault(f"cfg{cell.cfg:g}", {})[str(cell.calls)] = found[cell]
    summary = Section("Demo model: the worst of all cells", figures=demo.bounded(found))
    show(summary, demo.WANTED)
    images = [image for cfg in demo.CFGS[:2] for image in demo.sheet_images(demo.Network(plain=True), cfg)]
    return scores, images, summary.figures


def line_of_json(figures: dict, scores: dict[str, dict], imperfect: dict[str, dict], demo: dict) -> str:
    def rounded(rows: dict[str, dict]) -> dict[str, dict]:
        return {name: {key: shortened(value) for key, value in row.items()} for name, row in rows.items()}

    line = {"methods": rounded(scores["proto"])} | {name: shortened(value) for name, value in figures.items()}
    line |= {name: rounded(scores[name]) for name in ("curves", "mixture")}
    if imperfect:
        line["imperfect"] = {kind: rounded(loops) for kind, loops in imperfect.items()}
    for network, by_cfg in demo.items():
        line[network] = {
            cfg: {calls: rounded(rows) for calls, rows in by_calls.items()} for cfg, by_calls in by_cfg.items()
        }
    return json.dumps(line)
