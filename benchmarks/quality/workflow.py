"""`bench quality --workflow`: scores any API workflow on the same scenes. The titles of its nodes select their inputs.

Images and masks go into Load Image and Load Image (as Mask) nodes, prompts into any node with a text. A node titled
Paste & Blend gets the placement, and every seed is set. The node titled Result saves, shows or makes the image that is
scored.
"""

import functools
import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.common import titled_workflow, widget_grid
from benchmarks.common.images import in_eight_bits
from benchmarks.common.subject_scores import score
from benchmarks.common.table import Section, show
from benchmarks.common.titled_workflow import WorkflowInputError, put, read, titled
from benchmarks.common.workflow_runners import Headless, OnServer, of_side
from benchmarks.quality.scenes import scene, stratum_of
from benchmarks.quality.store import MethodRun, Store, weights_hash
from benchmarks.quality.table import GROUPS, STRATA, Result, as_json, gathered, line, units_as_json
from devtools.paths import DEMO_WEIGHTS
from relit_scenes.render import Scene

# Title of a node -> attribute of the scene.
IMAGES = {"background": "background", "exemplar": "exemplar", "composite": "composite", "reference": "reference"}
MASKS = {
    "subject mask": "matte", "exemplar mask": "exemplar_matte", "inpaint mask": "inpaint_mask",
    "harmonize mask": "harmonize_mask",
}  # fmt: skip
PROMPTS = {"prompt": "prompt", "exemplar prompt": "exemplar_prompt"}
PASTE = "paste & blend"
# Scenes of the validation split on which the best of a grid is chosen: three of each stratum.
GRID_SCENES = 24


def check(workflow: dict, file: Path) -> None:
    """Raises WorkflowInputError where no node takes the scene."""
    titles = titled(workflow)
    if "composite" not in titles and not {"background", "exemplar"} <= set(titles):
        known = ", ".join(name.title() for name in (*IMAGES, *MASKS, *PROMPTS, PASTE))
        raise WorkflowInputError(
            f"--workflow: {file} takes no scene; title its Load Image nodes Composite, or Background and Exemplar "
            f"(known titles: {known})."
        )


def as_stored(given: Scene) -> Scene:
    """The scene with its images as in their PNG files."""
    return replace(given, **{name: in_eight_bits(getattr(given, name)) for name in IMAGES.values()})


def bound(workflow: dict, given: Scene, seed: int, keep: Callable[[bytes], str]) -> dict:
    """A copy of the workflow with a scene's images, masks, prompts and placement, and the seed."""
    images = {title: getattr(given, name) for title, name in {**IMAGES, **MASKS}.items()}
    prompts = {title: getattr(given, name) for title, name in PROMPTS.items()}
    workflow = titled_workflow.bound(workflow, images, prompts, seed, keep)
    if PASTE in titled(workflow):
        place = given.placement
        for key, value in (("x", place.x), ("y", place.y), ("size", place.size)):
            put(workflow[titled(workflow)[PASTE]], (key,), value, PASTE)
    return workflow


def run_missing(
    workflow: dict, run: MethodRun, store: Store, numbers: Iterable[int], runner: Headless | OnServer, render: Callable
) -> None:
    """Scores a workflow on the missing scenes, and stores each row."""
    missing = store.missing(run, numbers)
    for done, number in enumerate(missing):
        given = render(number)
        began = time.perf_counter()
        image, calls = runner.run(bound(workflow, given, run.seed, runner.keep))
        seconds = time.perf_counter() - began
        row = {"stratum": stratum_of(number), "calls": calls, "seconds": round(seconds, 4)}
        store.add(run, {number: row | score(of_side(image, len(given.truth)), given)})
        print(f"seed {run.seed}, scene {done + 1} of {len(missing)}: {seconds:.1f} s, {calls} model calls", flush=True)


def paste(numbers: Iterable[int], render: Callable) -> Result:
    """The result of the composites as they are."""
    rows = [score(render(number).composite, render(number)) for number in numbers]
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    stratum = np.array([stratum_of(number) for number in numbers])
    return Result("paste", "paste", "", 0, 0, stratum, values | {"seconds": np.full(len(rows), math.nan)})


def best_of(
    grid: list[dict], workflow: dict, run: MethodRun, store: Store, runner: Headless | OnServer, side: int
) -> dict:
    """The values of a grid that come closest to the truth on the validation split; prints all of them.

    Args:
        run: the trials' rows have its weights.
    """
    render = functools.lru_cache(1)(lambda number: as_stored(scene(number, "validation", side)))
    section, errors = Section(f"Grid, {GRID_SCENES} scenes of the validation split: fMSE"), []
    for values in grid:
        text = widget_grid.as_text(values)
        trial = replace(run, split="validation", settings=f"{run.settings} {text}", seed=0)
        run_missing(widget_grid.changed(workflow, values), trial, store, range(GRID_SCENES), runner, render)
        errors.append(gathered(store, [trial], text, range(GRID_SCENES)).mean("fmse"))
        section.row(text, f"  {errors[-1]:.5f}")
    best = grid[int(np.argmin(errors))]
    section.row("chosen", f"  {widget_grid.as_text(best)}")
    show(section, {})
    return best


def measure(plan, store: Store, file: Path, grid: list[str], side: int, address: str | None, folder: Path) -> int:
    """Scores a workflow and returns the exit status.

    Args:
        grid: values of widgets to choose from, see `widget_grid.grid`.
        address: of a server; None runs the workflow in this process.
        folder: contains ComfyUI's input folder.
    """
    workflow = read(file)
    check(workflow, file)
    trials = widget_grid.grid(grid, workflow)
    runner = OnServer(address, folder) if address else Headless(folder)
    runner.check(workflow)
    # The workflow may load the demo model.
    weights = sorted(DEMO_WEIGHTS.glob("*.safetensors"))
    hashed = f"{weights_hash([file, *weights])}@{side}@{address or 'headless'}"
    first, best = MethodRun(hashed, plan.split, "workflow", 0, file.name, 0), {}
    if grid:
        best = best_of(trials, workflow, first, store, runner, side)
        workflow = widget_grid.changed(workflow, best)
        first = replace(first, settings=f"{file.name} {widget_grid.as_text(best)}")
    runs = [replace(first, seed=seed) for seed in range(plan.seeds)]
    render = functools.lru_cache(1)(lambda number: as_stored(scene(number, plan.split, side)))
    for run in runs:
        run_missing(workflow, run, store, plan.numbers, runner, render)
    results = [gathered(store, runs, file.name, plan.numbers), paste(plan.numbers, render)]
    parts = {"n": plan.count, "seeds": plan.seeds, "side": side}
    if grid:
        parts["grid"] = {f"{title}.{widget}": value for (title, widget), value in best.items()}
    for group, strata in {**GROUPS, **{stratum: (stratum,) for stratum in STRATA}}.items():
        chosen = [result.of(strata) for result in results]
        section = Section(f"{group.replace('_', ' ')}, {len(chosen[0].stratum)} scenes")
        for result in chosen:
            section.row(result.name, line(result, chosen[-1]))
        show(section, {})
        where = parts if group in GROUPS else parts.setdefault("strata", {})
        where[group] = {result.name: as_json(result, chosen[-1]) for result in chosen}
    parts["iharmony_units"] = units_as_json(results)
    print(json.dumps(parts))
    return 0
