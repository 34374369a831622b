"""The sheet of `bench harmonize`: each method's error in both strata, and its images of the same scenes."""

import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common.drawing import BACK, DIM, GRID, words
from benchmarks.harmonize.methods import Case
from benchmarks.harmonize.scenes import squared_error
from benchmarks.harmonize.score import SHOWN, Made

NAMES = {
    "ours": "ours, single", "with_reference": "ours, with reference", "langevin": "Langevin, no relight",
    "paste": "paste", "feather": "feather", "reinhard": "Reinhard", "poisson": "Poisson",
    "membrane": "reference membrane", "sdedit": "SDEdit", "ksampler": "KSampler + mask",
    "ksampler_relight": "KSampler, our relight", "best_possible": "best possible",
}  # fmt: skip
STRATA = {"own_color": ("own color", (255, 170, 60)), "same_color": ("background's color", (110, 190, 255))}
TILE, LABEL, GAP, COLUMNS = 176, 24, 8, 8
# The axis of the dots, in fMSE.
LEAST, MOST = 0.005, 2.0
# The scenes have little contrast; the sheet shows them with more, about middle gray.
GRAY, CONTRAST = 0.46, 1.6


def dots(scores: dict[str, dict[str, dict]], width: int) -> Image.Image:
    """A row for each method, the best first, with a dot for its fMSE in each stratum."""
    row, top, left = 30, 90, 210
    names = sorted(NAMES, key=lambda name: scores["own_color"][name]["fmse"])
    sheet = Image.new("RGB", (width, top + row * len(names) + 40), BACK)
    draw = ImageDraw.Draw(sheet)
    words(draw, (GAP, 12), "Squared error of the subject's log light (fMSE); left is better", size=20)
    for index, (title, color) in enumerate(STRATA.values()):
        x = left + 260 * index
        draw.ellipse([x, 50, x + 12, 62], color)
        words(draw, (x + 20, 56), title, color, anchor="lm")

    def across(value: float) -> float:
        share = math.log(value / LEAST) / math.log(MOST / LEAST)
        return left + min(max(share, 0), 1) * (width - left - 330)

    for tick in (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2):
        draw.line([(across(tick), top), (across(tick), top + row * len(names))], GRID)
        words(draw, (across(tick), top + row * len(names) + 8), f"{tick:g}", DIM, anchor="ma")
    for index, name in enumerate(names):
        y = top + row * (index + 0.5)
        words(draw, (left - 14, y), NAMES[name], anchor="rm")
        # One a little above the other, so that equal errors show as two dots.
        for (stratum, (_, color)), up in zip(STRATA.items(), (4, -4), strict=True):
            x, level = across(scores[stratum][name]["fmse"]), y - up
            draw.ellipse([x - 6, level - 6, x + 6, level + 6], color)
        both = " and ".join(f"{scores[stratum][name]['fmse']:.3f}" for stratum in STRATA)
        own = scores["own_color"][name]
        words(draw, (width - 310, y), f"{both}, {own['calls']} calls, identity {own['identity']:.2f}", DIM, anchor="lm")
    return sheet


def tiles(case: Case, results: dict[str, Made], index: int) -> list[tuple[str, np.ndarray]]:
    """A scene's inputs, its truth, and each method's image with its error."""
    scenes = case.scenes
    given = {"background": scenes.background, "composite": scenes.composite, "reference": scenes.reference}
    images = [(name, case.decoded(light[index])) for name, light in (given | {"truth": scenes.truth}).items()]
    for name, label in NAMES.items():
        if name != "paste":
            error = squared_error(results[name].light, scenes)[index]
            images.append((f"{label} {error:.3f}", results[name].shown[index]))
    return images


def rows_of_tiles(title: str, images: list[tuple[str, np.ndarray]], width: int) -> Image.Image:
    high, top = TILE + LABEL + GAP, 40
    sheet = Image.new("RGB", (width, top + high * -(-len(images) // COLUMNS)), BACK)
    draw = ImageDraw.Draw(sheet)
    words(draw, (GAP, 10), title, DIM, 18)
    for index, (label, image) in enumerate(images):
        left, upper = GAP + index % COLUMNS * (TILE + GAP), top + index // COLUMNS * high
        words(draw, (left, upper + 4), label, size=13)
        shown = (GRAY + CONTRAST * (image - GRAY)).clip(0, 1)
        tile = Image.fromarray((shown * 255).round().astype(np.uint8))
        sheet.paste(tile.resize((TILE, TILE), Image.Resampling.BOX), (left, upper + LABEL))
    return sheet


def save(folder: Path, cases: dict[str, Case], results: dict[str, dict[str, Made]], scores: dict) -> Path:
    width = GAP + COLUMNS * (TILE + GAP)
    parts = [dots(scores, width)]
    for stratum, case in cases.items():
        for index in range(min(SHOWN, len(case))):
            title = (
                f"{STRATA[stratum][0]}, scene {index + 1}; the number is this scene's fMSE; contrast {CONTRAST} times"
            )
            parts.append(rows_of_tiles(title, tiles(case, results[stratum], index), width))
    sheet = Image.new("RGB", (width, sum(part.height for part in parts)), BACK)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench_harmonize.png"
    sheet.save(path)
    return path
