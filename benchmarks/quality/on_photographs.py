"""`bench quality --photographs`: harmonizing real photographs whose subject got other colors, or another light
(`photographs.py`).

The demo model and the trained rivals know rendered scenes only, and no light makes the other colors. All rows that the
figures are made of are kept in the folder of results, so a stopped run goes on.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.common.bootstrap import ratio_interval
from benchmarks.common.demo_model import DemoModel
from benchmarks.common.drawing import BACK, words
from benchmarks.common.subject_scores import score
from benchmarks.common.table import Section, shortened, show
from benchmarks.quality import module, trained_rivals
from benchmarks.quality.methods import CLASSICAL, Method, sampled
from benchmarks.quality.photographs import (
    KINDS,
    PHOTOGRAPHS,
    PLACES,
    TRANSFERS,
    Case,
    recolored_cases,
    recolored_stratum,
    relit_cases,
    relit_stratum,
)
from benchmarks.quality.plan import MAIN_LEVEL, RESULTS, Plan
from benchmarks.quality.scenes import CHUNK, Chunk
from benchmarks.quality.sheet import write
from benchmarks.quality.store import MethodRun, Store
from benchmarks.quality.table import UNITS, Result, gathered, line_of_units, worse

# The methods that need neither a second image nor what lies behind the subject.
WITHOUT_MODEL = ("paste", "reinhard", "reinhard_scene", "poisson")
WITH_MODEL = ("ours", "ksampler_relight", "ksampler")
# Every so many-th case is on the sheet.
SHOWN_EVERY = 13
TILE, LABEL = 128, 18


@dataclass(frozen=True)
class Composites:
    """Composites of one kind.

    Attributes:
        split: their name in the rows and files.
        title: in the printed table.
        cases: by number; raises FileNotFoundError where the photographs cannot be had.
        stratum_of: a number's kind, place and what was done to the subject.
        changes: what is done to subjects, where figures are told apart by it.
    """

    split: str
    title: str
    cases: Callable[[], dict[int, Case]]
    stratum_of: Callable[[int], tuple[str, str, str]]
    changes: tuple[str, ...]


RECOLORED = Composites("photographs", "as HCOCO's", recolored_cases, recolored_stratum, tuple(TRANSFERS))
RELIT = Composites("photographs_relit", "in a known light", relit_cases, relit_stratum, ())


def methods(store: Store, composites: Composites, weights: str) -> list[Method]:
    listed = [method for method in CLASSICAL if method.name in WITHOUT_MODEL]
    listed += [method for method in sampled(MAIN_LEVEL) if method.name in WITH_MODEL]
    listed += module.methods()
    return listed + trained_rivals.methods(store, composites.split, [*composites.cases()], weights)


def measure_method(
    store: Store, composites: Composites, run: MethodRun, method: Method, folder: Path, model: DemoModel
) -> None:
    """Runs a method on the missing cases, and stores each chunk's rows."""
    cases = composites.cases()
    missing = store.missing(run, cases)
    for start in range(0, len(missing), CHUNK):
        numbers = missing[start : start + CHUNK]
        chunk = Chunk([cases[number] for number in numbers], model)
        began = time.perf_counter()
        images = method.run(chunk, run.seed)
        seconds = round((time.perf_counter() - began) / len(chunk), 4)
        rows = {}
        for number, image in zip(numbers, images, strict=True):
            row = {"stratum": ", ".join(composites.stratum_of(number)), "calls": method.calls, "seconds": seconds}
            rows[number] = row | {name: float(f"{value:.6g}") for name, value in score(image, cases[number]).items()}
            if number % SHOWN_EVERY == 0:
                write(image_file(folder, composites.split, run.method, number), image)
        store.add(run, rows)


def image_file(folder: Path, split: str, method: str, number: int) -> Path:
    return folder / "images" / f"{split}_{number}_{method}.png"


def groups(composites: Composites) -> dict[str, np.ndarray]:
    """Which cases belong to each group, bool [cases]: all, by kind, by place, by change."""
    parts = np.array([composites.stratum_of(number) for number in composites.cases()])
    found = {"all": np.ones(len(parts), bool)}
    for column, names in enumerate((KINDS, PLACES, composites.changes)):
        found |= {name: parts[:, column] == name for name in names}
    return found


def as_json(composites: Composites, results: list[Result]) -> dict:
    """Figures in iHarmony4's units by group and method; a group without a case has n 0 alone."""
    paste, found = results[0], {}
    for group, chosen in groups(composites).items():
        found[group] = {"n": int(chosen.sum())}
        for result in results if chosen.any() else ():
            part, pasted = result.where(chosen), paste.where(chosen)
            figures = {name: shortened(part.mean(column)) for name, column in UNITS.items()}
            figures["of_paste"] = shortened(part.mean("fmse_255") / pasted.mean("fmse_255"))
            figures["worse"] = shortened(worse(part, pasted, "fmse_255"))
            figures["de00"] = shortened(part.mean("de00"))
            if group == "all":
                ends = ratio_interval(part.values["fmse_255"], pasted.values["fmse_255"])
                figures |= {"of_paste_ci": [shortened(end) for end in ends], "calls": part.calls, "label": part.label}
            found[group][result.name] = figures
    return {"photographs": len(PHOTOGRAPHS), **found}


def print_table(composites: Composites, results: list[Result], figures: dict) -> None:
    section = Section(f"{len(PHOTOGRAPHS)} photographs, {figures['all']['n']} composites {composites.title}")
    for result in sorted(results, key=lambda result: result.mean("fmse_255")):
        section.row(result.name, line_of_units(result, results[0]))
    show(section, {})
    section = Section("fMSE as a share of the paste's")
    for result in results[1:]:
        shares = [f"{name} {group[result.name]['of_paste']:.2f}" for name, group in listed(figures).items()]
        section.row(result.name, "  ".join(shares))
    section.row("composites", "  ".join(f"{name} {group['n']}" for name, group in listed(figures, 0).items()))
    show(section, {})


def listed(figures: dict, least: int = 1) -> dict[str, dict]:
    """The groups of at least so many cases."""
    return {name: group for name, group in figures.items() if isinstance(group, dict) and group["n"] >= least}


def sheet(folder: Path, composites: Composites, results: list[Result], file: Path) -> Path:
    """A row for each shown case: the photograph, the composite, each method's image with its fMSE."""
    names = [result.name for result in results if result.name != "paste"]
    cases = composites.cases()
    shown = [number for number in cases if number % SHOWN_EVERY == 0]
    image = Image.new("RGB", ((2 + len(names)) * TILE, len(shown) * (TILE + LABEL)), BACK)
    draw = ImageDraw.Draw(image)
    for row, number in enumerate(shown):
        given, top = cases[number], row * (TILE + LABEL)
        change = composites.stratum_of(number)[-1].replace("é", "e")  # a letter that the font lacks
        tiles = [("photograph", given.truth), (change, given.composite)]
        for name in names:
            kept = image_file(folder, composites.split, name, number)
            if kept.is_file():
                tiles.append((name, np.asarray(Image.open(kept).convert("RGB"), np.float32) / 255))
        for column, (name, tile) in enumerate(tiles):
            error = 65025 * np.square(tile - given.truth)[given.matte > 0].mean()
            image.paste(Image.fromarray(np.uint8(tile * 255 + 0.5)), (column * TILE, top + LABEL))
            words(draw, (column * TILE + 2, top + 2), f"{name} {error:.0f}" if column else name, size=11)
    image.save(file, quality=90)
    return file


@torch.inference_mode()
def measured(plan: Plan, weights: str) -> dict[str, dict] | None:
    """Measures what is missing, prints the tables, writes the files, and returns the figures by kind of composites.

    None where the photographs cannot be had.
    """
    try:
        recolored_cases()
    except FileNotFoundError as error:
        print(f"{error} The photographs are left out.", file=sys.stderr)
        return None
    store, model = Store(plan.folder / "photograph_scenes.csv"), DemoModel()
    return {composites.split: measured_on(composites, plan, weights, store, model) for composites in (RECOLORED, RELIT)}


def measured_on(composites: Composites, plan: Plan, weights: str, store: Store, model: DemoModel) -> dict:
    results = []
    for method in methods(store, composites, weights):
        run = MethodRun(weights, composites.split, method.name, MAIN_LEVEL if method.calls else 0, method.settings, 0)
        measure_method(store, composites, run, method, plan.folder, model)
        results.append(gathered(store, [run], method.label, [*composites.cases()]))
        print(f"{composites.split}  {method.label:<72} fMSE {results[-1].mean('fmse_255'):.0f}", flush=True)
    if plan.folder == RESULTS:
        trained_rivals.publish(store, composites.split, weights)
    figures = as_json(composites, results)
    print_table(composites, results, figures)
    (plan.folder / f"{composites.split}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"Wrote {sheet(plan.folder, composites, results, plan.folder / 'images' / f'{composites.split}.jpg')}")
    return figures


def measure(plan: Plan, weights: str) -> int:
    """The photographs alone. The exit status is 0 where they can be had."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    figures = measured(plan, weights)
    if figures is None:
        return 2
    print(json.dumps(figures))
    return 0
