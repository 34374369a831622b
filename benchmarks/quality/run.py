"""`python3 dev.py bench quality`: harmonizing on RelitScenes, where the right answer is known, with the demo model.

All methods run at equal model calls on the same scenes: the pack's, ComfyUI's own sampling, other loops and blends
without a model. Means with paired bootstrap intervals, by stratum; then what the demo model itself can do. A stopped
run goes on where it was. Settings were chosen on the validation split, which `--validation` runs in place of the
test's. Tables, plots and images go to benchmarks/quality/results.

    python3 dev.py bench quality                            # 200 scenes, 2 seeds, 10 / 36 / 60 / 120 calls: hours
    python3 dev.py bench quality --quick                    # 24 scenes, 1 seed, 10 and 36 calls: minutes
    python3 dev.py bench quality --workflow my_api.json     # a workflow of your own on the same scenes
"""

import argparse
import functools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import table
from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import Section, shortened, show, verdict
from devtools.paths import ROOT

RESULTS = Path(__file__).resolve().parent / "results"
NUMBERS = ROOT / "docs" / "benchmarks.md"
# Between them that page has the table of a full run.
MARKS = ("<!-- python3 dev.py bench quality -->", "<!-- end of bench quality -->")
# At this many calls methods are compared with each other.
MAIN = 36
LEVELS = (10, 36, 60, 120)
QUICK_LEVELS = LEVELS[:2]
# One of each stratum; of a whole run.
LEAST_SCENES, SCENES, SEEDS = 8, 200, 2
# The demo model's files.
PARTS = ("codec", "text", "unet")
OURS = ("ours", "with_reference", "with_reference_eps", "langevin", "ksampler_relight")

WANTED = {
    "with_reference_vs_best_rival": ("<=", 0.5),
    "with_reference_vs_paste": ("<=", 0.35),
    "with_reference_identity": (">=", 0.95),
    "with_reference_calls": ("<=", 36),
    "outside_equal": ("==", True),
    "vae_psnr": (">=", 26),
    "prompt_accuracy": (">=", 0.6),
    "text_gap": (">=", 0.01),
    "hole_vs_mean": ("<", 1),
    "hole_vs_telea": ("<", 1),
}

holds = functools.partial(table.holds, WANTED)


@dataclass(frozen=True)
class Plan:
    """How much is run: of which split, and where its results lie."""

    count: int
    seeds: int
    levels: tuple[int, ...]
    split: str
    folder: Path

    @property
    def published(self) -> bool:
        """Whether the table in docs/benchmarks.md comes from it."""
        whole = (self.count, self.split) == (SCENES, "test")
        return whole and MAIN in self.levels and self.folder == RESULTS

    @property
    def rows(self) -> Path:
        return self.folder / "quality_scenes.csv"


def measure_method(plan: Plan, store, run, method, chunks) -> None:
    """Runs a method on the scenes that are still missing, and keeps each chunk's rows."""
    from benchmarks.quality.scenes import CHUNK, stratum_of
    from benchmarks.quality.score import score

    missing = store.missing(run, plan.count)
    for start in range(0, plan.count, CHUNK):
        numbers = [number for number in range(start, min(start + CHUNK, plan.count)) if number in missing]
        if not numbers:
            continue
        chunk = chunks(tuple(numbers))
        began = time.perf_counter()
        images = method.run(chunk, run.seed)
        seconds = (time.perf_counter() - began) / len(chunk)
        rows = {}
        for number, image, scene in zip(numbers, images, chunk.scenes, strict=True):
            told = {"stratum": stratum_of(number), "calls": method.calls, "seconds": round(seconds, 4)}
            rows[number] = told | {name: float(f"{value:.6g}") for name, value in score(image, scene).items()}
        keep_images(plan, run, numbers, images)
        store.add(run, rows)


def keep_images(plan: Plan, run, numbers: list[int], images) -> None:
    """The first scene of each stratum, to be looked at."""
    from benchmarks.quality.sheet import SHOWN, image_file, write

    for number, image in zip(numbers, images, strict=True):
        if number < SHOWN and run.seed == 0:
            write(image_file(plan.folder, run, number), image)


def runs_of(plan: Plan, weights: str, method, level: int) -> list:
    from benchmarks.quality.store import Run

    # What draws nothing at random gives every seed the same.
    seeds = plan.seeds if method.calls else 1
    return [Run(weights, plan.split, method.name, level, method.told, seed) for seed in range(seeds)]


def measure(plan: Plan, store, weights: str) -> dict[int, list]:
    """Runs what is missing; results by level."""
    from benchmarks.quality.methods import methods
    from benchmarks.quality.scenes import Chunk, Model, scene
    from benchmarks.quality.table import gathered

    model, scenes = Model(), functools.cache(lambda number: scene(number, plan.split))
    chunks = functools.lru_cache(1)(lambda numbers: Chunk([scenes(number) for number in numbers], model))
    every, results = methods(plan.levels), {}
    for level, listed in every.items():
        for method in listed:
            for run in runs_of(plan, weights, method, level):
                measure_method(plan, store, run, method, chunks)
            done = gathered(store, runs_of(plan, weights, method, level), method.label, plan.count)
            results.setdefault(level, []).append(done)
            print(f"{level or 'no':>4} calls  {method.label:<72} fMSE {done.mean('fmse'):.4f}", flush=True)
    return results


def table(title: str, results: list, strata: tuple[str, ...]) -> None:
    from benchmarks.quality.table import line

    chosen = [result.of(strata) for result in results]
    paste = next(result for result in chosen if result.name == "paste")
    section = Section(f"{title}, {len(paste.stratum)} scenes")
    for result in sorted(chosen, key=lambda result: result.mean("fmse")):
        section.row(f"{result.name}", line(result, paste))
    show(section, {})


def compared(results: dict[int, list]) -> list:
    """All methods at the main level, and those without a model."""
    return [*results[0], *results[main_level(results)]]


def main_level(results: dict[int, list]) -> int:
    return MAIN if MAIN in results else max(results)


def figures_of(results: dict[int, list]) -> dict:
    """The figures of WANTED that come from harmonizing, with their intervals."""
    from benchmarks.quality.table import OWN, ratio_interval

    own = {result.name: result.of(OWN) for result in compared(results)}
    ours = own["with_reference"]
    few = [result.of(OWN) for level, listed in results.items() if level <= MAIN for result in listed]
    rival = min((result for result in few if result.name not in OURS), key=lambda result: result.mean("fmse"))
    figures = {"best_rival": rival.name}
    for name, other in (("best_rival", rival), ("paste", own["paste"])):
        figures[f"with_reference_vs_{name}"] = ours.mean("fmse") / other.mean("fmse")
        ends = ratio_interval(ours.values["fmse"], other.values["fmse"])
        figures[f"with_reference_vs_{name}_ci"] = [shortened(end) for end in ends]
    stitched = [result for listed in results.values() for result in listed if result.name in ("ours", "with_reference")]
    return figures | {
        "with_reference_identity": ours.mean("identity"),
        "with_reference_calls": ours.calls,
        "outside_equal": all(result.mean("outside_equal") == 1 for result in stitched),
    }


def line_of_json(results: dict[int, list], figures: dict, plan: Plan) -> str:
    from benchmarks.quality.table import GROUPS, STRATA, as_json

    told = {"n": plan.count, "seeds": plan.seeds}
    for group, strata in GROUPS.items():
        told[group] = {result.name: as_json(result.of(strata)) for result in compared(results)}
    told["strata"] = {
        stratum: {result.name: as_json(result.of((stratum,))) for result in compared(results)} for stratum in STRATA
    }
    told["levels"] = {
        level: {result.name: shortened(result.mean("fmse")) for result in listed} for level, listed in results.items()
    }
    kept = {name: value if isinstance(value, str | list) else shortened(value) for name, value in figures.items()}
    return json.dumps(told | kept)


def report(plan: Plan, results: dict[int, list], weights: str, quick: bool) -> dict:
    from benchmarks.quality import model, sheet
    from benchmarks.quality.table import OWN, SAME, markdown

    level = main_level(results)
    table(f"Own color, {level} model calls", compared(results), OWN)
    table(f"The background's color, {level} model calls", compared(results), (SAME,))
    figures = figures_of(results)
    own = {result.name: result.of(OWN) for result in compared(results)}
    for result in own.values():
        if result.name not in OURS and result.mean("fmse") < own["with_reference"].mean("fmse"):
            print(f"  ! {result.name} beats differential: fMSE {result.mean('fmse'):.4f}")
    section = model.measure(quick)
    show(section, {})
    figures |= section.figures
    print("\nWhat was asked for")
    print("\n".join(verdict(WANTED, name, figures[name]) for name in WANTED), flush=True)
    wrote = plan.folder / "quality.md"
    wrote.write_text(markdown(compared(results), plan), encoding="utf-8")
    if plan.published:
        put_between_marks(NUMBERS, wrote.read_text(encoding="utf-8"))
    for file in sheet.save(plan.folder, results, compared(results), plan.split, weights):
        print(f"Wrote {file}")
    print(line_of_json(results, figures, plan))
    return figures


def put_between_marks(page: Path, table: str) -> None:
    """A page without the marks stays as it is."""
    text = page.read_text(encoding="utf-8")
    if all(mark in text for mark in MARKS):
        before, after = text.split(MARKS[0])[0], text.split(MARKS[1])[1]
        page.write_text(f"{before}{MARKS[0]}\n{table}{MARKS[1]}{after}", encoding="utf-8")


class WeightsError(ValueError):
    """The demo model cannot be had; the message says which file is at fault."""


def check_weights() -> None:
    from devtools.comfyui import load_pack

    for part in (*PARTS, "classifier"):
        try:
            load_pack().nodes.demo_model.read_weights(part)
        except (OSError, ValueError) as error:
            raise WeightsError(str(error)) from None


def levels_of(text: str) -> tuple[int, ...]:
    known = {str(level): level for level in LEVELS}
    try:
        return tuple(sorted({known[level.strip()] for level in text.split(",")}))
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(known)}") from None


def side_of(text: str) -> int:
    if not text.isdecimal() or int(text) % 8 or not 64 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of 8 between 64 and 2048")
    return int(text)


def scenes_of(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_SCENES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {LEAST_SCENES} on, one scene of each stratum")
    return int(text)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="24 scenes, 1 seed, 10 and 36 calls")
    parser.add_argument("--validation", action="store_true", help="the scenes that settings are chosen on")
    parser.add_argument("--levels", type=levels_of, help="model calls, such as 10,36 (of 10, 36, 60 and 120)")
    parser.add_argument("--scenes", type=scenes_of, help="so many scenes (200, quick: 24)")
    parser.add_argument("--seeds", type=int, choices=range(1, SEEDS + 1), help="1 takes half the time (2, quick: 1)")
    parser.add_argument("--workflow", type=Path, help="API workflow to be scored on the scenes")
    parser.add_argument("--server", help="a running ComfyUI for --workflow, such as http://127.0.0.1:8188")
    parser.add_argument("--side", type=side_of, default=128, help="pixels a side for --workflow (128)")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for results (a whole run: benchmarks/quality/results, others: output/bench_quality)",
    )
    options = parser.parse_args(arguments)
    start_comfyui("--use-pytorch-cross-attention")
    import torch

    from benchmarks.quality import workflow
    from benchmarks.quality.store import Store, weights_hash
    from relit_scenes import subjects
    from relit_scenes.materials import ImagesMissingError

    quick, split = options.quick, "validation" if options.validation else "test"
    count, seeds = options.scenes or (24 if quick else SCENES), options.seeds or (1 if quick else SEEDS)
    # Only whole runs are published.
    whole = (count, split) == (SCENES, "test") and not options.workflow
    out = options.out or (RESULTS if whole else ROOT / "output" / "bench_quality")
    plan = Plan(count, seeds, options.levels or (QUICK_LEVELS if quick else LEVELS), split, out)
    store = Store(plan.rows)
    with temporary_folders() as folder, silent(), torch.inference_mode():
        try:
            subjects.sprite_archive()
            if options.workflow:
                return workflow.measure(plan, store, options.workflow, options.side, options.server, folder)
            check_weights()
        except (ImagesMissingError, workflow.WorkflowInputError, WeightsError) as error:
            print(error, file=sys.stderr)
            return 2
        weights = weights_hash([ROOT / "demo" / "weights" / f"{part}.safetensors" for part in PARTS])
        figures = report(plan, measure(plan, store, weights), weights, quick)
    return 0 if all(holds(name, figures[name]) for name in WANTED) else 1
