"""The files of `bench quality`: plots of error by model calls and by stratum, a contact sheet, the CSV of all means."""

import csv
import hashlib
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common.bootstrap import interval, ratio_interval
from benchmarks.common.drawing import BACK, words
from benchmarks.common.subject_scores import FIGURES
from benchmarks.quality.plan import Plan
from benchmarks.quality.scenes import scene, stratum_of
from benchmarks.quality.store import MethodRun
from benchmarks.quality.table import OWN, STRATA, Result, parts_of, worse

matplotlib.use("agg")
import matplotlib.pyplot as plt

# The first scene of each stratum.
SHOWN = len(STRATA)
TILE, LABEL, GAP = 128, 22, 6
GIVEN = ("background", "exemplar", "composite")
# Columns of the contact sheet, at the main level of model calls.
COLUMNS = (
    "with_reference", "ours", "single_defaults", "langevin", "ksampler", "ksampler_relight", "repaint", "pctnet",
    "harmonizer", "poisson", "reinhard",
)  # fmt: skip
COLORS = {"with_reference": "#ff9d2e", "ours": "#ffd27a", "with_reference_eps": "#c76a00", "paste": "#9a9aa2",
          "with_reference_defaults": "#7a3b00", "single_defaults": "#b08a4a", "pctnet": "#3b6fd4",
          "harmonizer": "#2f9e6e"}  # fmt: skip
SUMMARY = (*(name for name in FIGURES if name != "foreground"), "seconds")


def image_file(folder: Path, run: MethodRun, number: int) -> Path:
    """Where a run's image of a scene is kept."""
    settings = hashlib.sha256(run.settings.encode()).hexdigest()[:6]
    return folder / "images" / f"{run.split}_{number}_{run.method}_{run.level}_{run.weights}_{settings}.png"


def write(file: Path, image: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((image * 255 + 0.5).clip(0, 255).astype(np.uint8)).save(file)


def by_calls(results: dict[int, list[Result]], file: Path) -> Path:
    """fMSE over model calls: a line for each sampler, a horizontal line for each method without a model."""
    figure, axes = plt.subplots(figsize=(9, 5.5), layout="constrained")
    levels = [level for level in results if level]
    for name in dict.fromkeys(result.name for level in levels for result in results[level]):
        chosen = [result.of(OWN) for level in levels for result in results[level] if result.name == name]
        means = np.array([result.mean("fmse") for result in chosen])
        ends = np.array([interval(result.values["fmse"]) for result in chosen])
        own = name in COLORS
        axes.errorbar(
            levels, means, np.abs(ends.T - means), label=name, marker="o", capsize=3, color=COLORS.get(name),
            linewidth=2.5 if own else 1.2, alpha=1 if own else 0.7,
        )  # fmt: skip
    for result in results[0]:
        mean = result.of(OWN).mean("fmse")
        if result.calls:
            axes.plot(result.calls, mean, marker="D", linestyle="", label=result.name, color=COLORS[result.name])
            continue
        axes.axhline(mean, linestyle=":", linewidth=1, color=COLORS.get(result.name, "#bbbbc4"))
        axes.annotate(result.name, (levels[-1], mean), fontsize=8, va="bottom", ha="right")
    axes.set(
        xscale="log", yscale="log", xticks=levels, xlabel="model calls a scene", ylabel="fMSE of the subject (sRGB)"
    )
    axes.set_xticklabels(levels)
    axes.minorticks_off()
    axes.set_title("Own color: lower is nearer to the truth; bars are 95 % bootstrap intervals")
    axes.legend(fontsize=8, ncols=2)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def by_stratum(compared: list[Result], file: Path) -> Path:
    """fMSE relative to the paste's, for every stratum."""
    paste = next(result for result in compared if result.name == "paste")
    names = ("with_reference", "ours", "ksampler_relight", "pctnet", "harmonizer", "poisson", "reinhard", "membrane")
    shown = [result for name in names for result in compared if result.name == name]
    figure, axes = plt.subplots(figsize=(11, 4.5), layout="constrained")
    for index, result in enumerate(shown):
        ratios = [result.of((stratum,)).mean("fmse") / paste.of((stratum,)).mean("fmse") for stratum in STRATA]
        places = np.arange(len(STRATA)) + (index - (len(shown) - 1) / 2) * 0.1
        axes.bar(places, ratios, 0.1, label=result.name, color=COLORS.get(result.name))
    axes.axhline(1, color=COLORS["paste"])
    axes.set(yscale="log", ylabel="fMSE relative to the paste's", xticks=range(len(STRATA)))
    axes.set_xticklabels(STRATA)
    axes.legend(fontsize=8, ncols=3)
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def sheet(plan: Plan, compared: list[Result], weights: str, file: Path) -> Path:
    """A row for each stratum: the given images, each method's image with its fMSE, the truth."""
    listed = {result.name: result for result in compared}
    columns = [*GIVEN, *(name for name in COLUMNS if name in listed), "truth"]
    wide, high = GAP + len(columns) * (TILE + GAP), 2 * LABEL + TILE + GAP
    image = Image.new("RGB", (wide, SHOWN * high + GAP), BACK)
    draw = ImageDraw.Draw(image)
    for row, number in enumerate(plan.numbers[:SHOWN]):
        given, top = scene(number, plan.split), row * high
        words(draw, (GAP, top + 4), f"{stratum_of(number)}: {given.prompt}", size=14)
        for column, name in enumerate(columns):
            left, label = GAP + column * (TILE + GAP), name
            if name in listed:
                result = listed[name]
                run = MethodRun(weights, plan.split, name, result.level, result.settings, 0)
                file_of = image_file(plan.folder, run, number)
                if not file_of.is_file():
                    continue  # the image was deleted; its row still counts
                tile = Image.open(file_of).convert("RGB")
                label = f"{name} {np.square(np.asarray(tile) / 255 - given.truth)[given.true_matte > 0.5].mean():.3f}"
            else:
                tile = Image.fromarray((getattr(given, name) * 255 + 0.5).astype(np.uint8))
            words(draw, (left, top + LABEL + 4), label, size=11)
            image.paste(tile, (left, top + 2 * LABEL))
    image.save(file, quality=90)
    return file


def summary(plan: Plan, results: dict[int, list[Result]], file: Path) -> Path:
    """Means of all figures by group and method, as CSV: `docs.py` makes the tables of docs/benchmarks.md of them."""
    paste = next(result for result in results[0] if result.name == "paste")
    pastes, intervals = parts_of(paste), ("fmse_low", "fmse_high", "of_paste", "of_paste_low", "of_paste_high")
    with file.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(
            ["group", "method", "label", "level", "calls", "scenes", "seeds", *intervals, "worse", *SUMMARY]
        )
        for group in pastes:
            theirs = pastes[group].values["fmse"]
            for level, listed in results.items() if len(theirs) else ():
                for result in (parts_of(whole)[group] for whole in listed):
                    own = result.values["fmse"]
                    columns = [group, result.name, result.label, level, result.calls, len(own), plan.seeds]
                    ratios = [own.mean() / theirs.mean(), *ratio_interval(own, theirs)]
                    figures = [*interval(own), *ratios, worse(result, pastes[group])]
                    figures += [result.mean(name) for name in SUMMARY]
                    writer.writerow([*columns, *(f"{figure:.5g}" for figure in figures)])
    return file


def save(plan: Plan, results: dict[int, list[Result]], compared: list[Result], weights: str) -> list[Path]:
    folder = plan.folder
    folder.mkdir(parents=True, exist_ok=True)
    return [
        summary(plan, results, folder / "quality.csv"),
        by_calls(results, folder / "quality_calls.png"),
        by_stratum(compared, folder / "quality_strata.png"),
        sheet(plan, compared, weights, folder / "quality_scenes.jpg"),
    ]
