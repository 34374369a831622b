"""Means with paired bootstrap intervals, as rows of the table, as Markdown and as JSON."""

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.common.subject_scores import FIGURES
from benchmarks.common.table import shortened
from benchmarks.quality.store import Run, Store
from relit_scenes.descriptions import STRATA

# The stratum whose subjects have the background's color, and all others.
SAME, OWN = "same color", tuple(stratum for stratum in STRATA if stratum != "same color")
GROUPS = {"own_color": OWN, "same_color": (SAME,)}
RESAMPLES = 4000
IN_JSON = ("fmse", "identity", "boundary", "ring", "seam", "shadow_iou")


@dataclass(frozen=True)
class Result:
    """A method's figures. Arrays are [scenes], means over the seeds; `settings` as in its runs."""

    name: str
    label: str
    settings: str
    level: int
    calls: int
    stratum: np.ndarray
    values: dict[str, np.ndarray]

    def of(self, strata: Iterable[str]) -> "Result":
        """The same method on these strata alone."""
        chosen = np.isin(self.stratum, list(strata))
        values = {name: array[chosen] for name, array in self.values.items()}
        return Result(self.name, self.label, self.settings, self.level, self.calls, self.stratum[chosen], values)

    def mean(self, figure: str) -> float:
        """Over the scenes where it is known; NaN if it is known for none."""
        values = self.values[figure]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def gathered(store: Store, runs: list[Run], label: str, numbers: Sequence[int]) -> Result | None:
    """The result of a method's runs, one for each seed; None while a scene is missing."""
    if any(store.missing(run, numbers) for run in runs):
        return None
    rows = [[store.rows[run][number] for number in numbers] for run in runs]
    values = {name: np.array([[row[name] for row in one] for one in rows]) for name in ("seconds", *FIGURES)}
    with np.errstate(invalid="ignore"):
        known = {name: over_seeds(array) for name, array in values.items()}
    stratum = np.array([row["stratum"] for row in rows[0]])
    return Result(runs[0].method, label, runs[0].settings, runs[0].level, rows[0][0]["calls"], stratum, known)


def over_seeds(array: np.ndarray) -> np.ndarray:
    """Mean over seeds, [seeds,scenes] to [scenes]; NaN only where it is NaN for every seed."""
    known = np.isfinite(array)
    return np.where(known.any(0), np.where(known, array, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


@functools.cache
def resamples(count: int) -> np.ndarray:
    """Scene numbers [RESAMPLES,count]; the same for all methods, so that comparisons are paired."""
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    means = values[resamples(len(values))].mean(1)
    return tuple(float(end) for end in np.percentile(means, (2.5, 97.5)))


def ratio_interval(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the ratio of two means on the same scenes."""
    drawn = resamples(len(ours))
    ratios = ours[drawn].mean(1) / theirs[drawn].mean(1)
    return tuple(float(end) for end in np.percentile(ratios, (2.5, 97.5)))


def better(ours: Result, theirs: Result) -> float:
    """The share of scenes on which ours has the smaller fMSE."""
    return float((ours.values["fmse"] < theirs.values["fmse"]).mean())


def line(result: Result, paste: Result) -> str:
    """A method's row of the printed table."""
    low, high = interval(result.values["fmse"])
    parts = [
        f"{result.calls:4d} calls  fMSE {result.mean('fmse'):.4f} [{low:.4f}, {high:.4f}]",
        f"ΔE {result.mean('de00'):5.2f}",
        f"light {result.mean('light'):.3f}",
        f"identity {result.mean('identity'):.3f}",
        f"edge {result.mean('boundary'):.2f}",
        f"ring {result.mean('ring'):.4f}",
        f"seam {result.mean('seam'):.6f}",
        f"shadow {result.mean('shadow_iou'):.2f}",
        f"outside {'equal' if result.mean('outside_equal') == 1 else 'differs'}",
        f"{1000 * result.mean('seconds'):6.0f} ms",
        f"better than paste {100 * better(result, paste):3.0f} %",
    ]
    return "  ".join(parts)


def as_json(result: Result) -> dict:
    means = {name: result.mean(name) for name in IN_JSON}
    # JSON has no word for a mean that is not known.
    figures = {name: None if math.isnan(mean) else shortened(mean) for name, mean in means.items()}
    return {**figures, "fmse_ci": [shortened(end) for end in interval(result.values["fmse"])], "calls": result.calls}


def markdown(compared: list[Result], plan) -> str:
    """The table of docs/benchmarks.md: methods, sorted by their fMSE on the own-color strata."""
    count = int(np.isin(compared[0].stratum, OWN).sum())
    lines = [
        f"| {count} scenes of the {plan.split} split, {plan.seeds} seed{'s' if plan.seeds > 1 else ''} "
        "| calls | fMSE [95 %] | ΔE00 | light | identity | edge | ring | better than the paste |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    own = [result.of(OWN) for result in compared]
    paste = next(result for result in own if result.name == "paste")
    for result in sorted(own, key=lambda result: result.mean("fmse")):
        low, high = interval(result.values["fmse"])
        strong = "**" if result.name in ("ours", "with_reference") else ""
        lines.append(
            f"| {strong}{result.label.split(':')[0]}{strong} | {result.calls} "
            f"| {result.mean('fmse'):.4f} [{low:.4f}, {high:.4f}] | {result.mean('de00'):.1f} "
            f"| {result.mean('light'):.3f} | {result.mean('identity'):.2f} | {result.mean('boundary'):.2f} "
            f"| {result.mean('ring'):.4f} | {100 * better(result, paste):.0f} % |"
        )
    return "\n".join(lines) + "\n"
