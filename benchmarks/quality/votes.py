"""`bench quality --votes FOLDER`: the methods' images as a page on which people compare them blindly."""

import tempfile
from pathlib import Path

from benchmarks.common.votes_page import write_votes_page
from benchmarks.quality.plan import Plan
from benchmarks.quality.report import compared
from benchmarks.quality.scenes import scene
from benchmarks.quality.sheet import COLUMNS, SHOWN, image_file, write
from benchmarks.quality.store import MethodRun
from benchmarks.quality.table import Result


def write_page(folder: Path, plan: Plan, results: dict[int, list[Result]], weights: str) -> list[Path]:
    """Of the methods on the contact sheet, the paste, and the scenes whose images are kept; the paths of its files."""
    numbers = plan.numbers[:SHOWN]
    images: dict[str, dict[str, Path]] = {}
    for result in compared(results):
        if result.name not in ("paste", *COLUMNS):
            continue
        run = MethodRun(weights, plan.split, result.name, result.level, result.settings, 0)
        files = {f"scene_{number}": image_file(plan.folder, run, number) for number in numbers}
        images[result.name] = {name: file for name, file in files.items() if file.is_file()}
    with tempfile.TemporaryDirectory() as temporary:
        subjects = {f"scene_{number}": Path(temporary) / f"{number}.png" for number in numbers}
        for number, file in zip(numbers, subjects.values(), strict=True):
            write(file, scene(number, plan.split).exemplar)
        return write_votes_page(folder, images, subjects)
