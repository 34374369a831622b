"""`bench inpaint --workflow`: scores API workflows, and so any pack's sampler node, on backgrounds with a hole.

They run in this process, or on a ComfyUI server that has the packs in question. The titles of their nodes select the
inputs, see README.md.
"""

import json
from pathlib import Path

import numpy as np

from benchmarks.common import titled_workflow, widget_grid
from benchmarks.common.table import Section, shortened, show
from benchmarks.common.titled_workflow import WorkflowInputError, titled
from benchmarks.common.workflow_runners import Headless, OnServer, of_side
from benchmarks.inpaint import scores
from benchmarks.inpaint.backgrounds import SIDE, hole_of
from benchmarks.inpaint.scores import Square
from phd_ops.pixels.color import linear_to_srgb
from relit_scenes.draw import draw_background
from relit_scenes.layers import render_layers

# The titles of the nodes that get the image with its hole, the hole, and what the image shows.
IMAGE, MASK, PROMPT = "image", "mask", "prompt"
# The hole's color: a start must hold no trace of the truth.
EMPTY = 0.5


def background(number: int, split: str, side: int) -> tuple[np.ndarray, Square, str]:
    """A background [side,side,3] rounded to 8 bits, its hole, and its prompt."""
    shot, hole = draw_background(number, split), hole_of(number)
    truth = linear_to_srgb(render_layers(shot, side).empty)
    scaled = Square(*(value * side // SIDE for value in hole))
    return np.round(truth * 255) / np.float32(255), scaled, shot.prompt


def scored(workflow: dict, count: int, split: str, side: int, runner: Headless | OnServer) -> dict[str, float]:
    """Means over `count` backgrounds; `texture` is relative to the truth's."""
    found, fine, calls = [], [], []
    for number in range(count):
        truth, hole, prompt = background(number, split, side)
        image, mask = truth.copy(), np.zeros(truth.shape[:2], np.float32)
        image[hole.within()], mask[hole.within()] = EMPTY, 1
        given = titled_workflow.bound(workflow, {IMAGE: image, MASK: mask}, {PROMPT: prompt}, number, runner.keep)
        made, made_calls = runner.run(given)
        found.append(scores.score(of_side(made, side), truth, hole))
        fine.append(scores.fine_energy(truth, hole))
        calls.append(made_calls)
    l1, own, edge = (np.array(column) for column in zip(*found, strict=True))
    texture = scores.texture_strength(own, np.array(fine))
    return {"l1": float(l1.mean()), "texture": texture, "edge": float(edge.mean()), "calls": float(np.mean(calls))}


def as_text(score: dict[str, float]) -> str:
    # A server does not report its model calls.
    calls = f"{score['calls']:6.1f} calls" if score["calls"] else " " * 12
    return f"{calls}  {score['l1']:6.2f} / {score['texture']:4.2f} / {score['edge']:5.2f}"


def best_of(grid: list[dict], workflow: dict, count: int, side: int, runner: Headless | OnServer) -> dict:
    """The values of a grid with the least error on the validation split; prints all of them."""
    section, errors = Section(f"Grid, {count} backgrounds of the validation split: l1 / texture / edge"), []
    for values in grid:
        score = scored(widget_grid.changed(workflow, values), count, "validation", side, runner)
        errors.append(score["l1"])
        section.row(widget_grid.as_text(values), f"  {as_text(score)}")
    best = grid[int(np.argmin(errors))]
    section.row("chosen", f"  {widget_grid.as_text(best)}")
    show(section, {})
    return best


def measure(
    files: list[Path], grid: list[str], count: int, split: str, side: int, address: str | None, folder: Path
) -> None:
    """Prints the scores of each workflow, and a line of JSON. Raises WorkflowInputError.

    Args:
        grid: values of widgets to choose from, see `widget_grid.grid`; for the first workflow.
        address: of a server; None runs the workflows in this process.
        folder: contains ComfyUI's input folder.
    """
    runner = OnServer(address, folder) if address else Headless(folder)
    workflows = {file: titled_workflow.read(file) for file in files}
    for file, workflow in workflows.items():
        if not {IMAGE, MASK} <= set(titled(workflow)):
            raise WorkflowInputError(f"--workflow: {file} takes no hole; title its Load Image nodes Image and Mask.")
        runner.check(workflow)
    trials = widget_grid.grid(grid, workflows[files[0]])
    parts: dict = {"n": count, "side": side, "split": split, "workflows": {}}
    if grid:
        best = best_of(trials, workflows[files[0]], count, side, runner)
        workflows[files[0]] = widget_grid.changed(workflows[files[0]], best)
        parts["grid"] = {f"{title}.{widget}": value for (title, widget), value in best.items()}
    section = Section(f"{count} backgrounds of the {split} split, {side} pixels: l1 / texture / edge")
    for file, workflow in workflows.items():
        score = scored(workflow, count, split, side, runner)
        section.row(file.name, as_text(score))
        parts["workflows"][file.name] = {name: shortened(value) for name, value in score.items() if value}
    show(section, {})
    print(json.dumps(parts))
