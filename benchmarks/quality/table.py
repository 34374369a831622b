"""Means with paired bootstrap intervals, as rows of the table, as Markdown and as JSON."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.common.bootstrap import interval
from benchmarks.common.table import shortened
from benchmarks.quality.store import MethodRun, Store
from relit_scenes.descriptions import STRATA

# The stratum whose subjects have the background's color, and all others.
SAME, OWN = "same color", tuple(stratum for stratum in STRATA if stratum != "same color")
GROUPS = {"own_color": OWN, "same_color": (SAME,)}
IN_JSON = ("fmse", "identity", "boundary", "ring", "ring_edge", "seam", "shadow_iou")
# The subject's share of the image, by which iHarmony4's papers sort scenes.
FOREGROUND = {"0-5 %": (0.0, 0.05), "5-15 %": (0.05, 0.15), "15-100 %": (0.15, 1.01)}
# Names in iHarmony4's papers -> ours.
UNITS = {"mse": "mse_255", "fmse": "fmse_255", "psnr": "psnr"}


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
        return self.where(np.isin(self.stratum, list(strata)))

    def sized(self, least: float, most: float) -> "Result":
        """The same method where the subject's share of the image lies in [least, most)."""
        share = self.values["foreground"]
        return self.where((share >= least) & (share < most))

    def where(self, chosen: np.ndarray) -> "Result":
        """The same method on some scenes, bool [scenes]."""
        values = {name: array[chosen] for name, array in self.values.items()}
        return Result(self.name, self.label, self.settings, self.level, self.calls, self.stratum[chosen], values)

    def mean(self, figure: str) -> float:
        """Over the scenes where it is known; NaN if it is known for none."""
        values = self.values[figure]
        return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def parts_of(result: Result) -> dict[str, Result]:
    """The method on all scenes, and on each part of them that has figures of its own; some may have no scene."""
    strata = {"all": STRATA, **GROUPS, **{stratum: (stratum,) for stratum in STRATA}}
    found = {name: result.of(listed) for name, listed in strata.items()}
    return found | {name: result.sized(*ends) for name, ends in FOREGROUND.items()}


def gathered(store: Store, runs: list[MethodRun], label: str, numbers: Sequence[int]) -> Result | None:
    """The result of a method's runs, one for each seed; None while a scene is missing."""
    if any(store.missing(run, numbers) for run in runs):
        return None
    rows = [[store.rows[run][number] for number in numbers] for run in runs]
    values = {name: np.array([[row[name] for row in one] for one in rows]) for name in ("seconds", *store.figures)}
    with np.errstate(invalid="ignore"):
        means = {name: over_seeds(array) for name, array in values.items()}
    stratum = np.array([row["stratum"] for row in rows[0]])
    return Result(runs[0].method, label, runs[0].settings, runs[0].level, rows[0][0]["calls"], stratum, means)


def over_seeds(array: np.ndarray) -> np.ndarray:
    """Mean over seeds, [seeds,scenes] to [scenes]; NaN only where it is NaN for every seed."""
    known = np.isfinite(array)
    return np.where(known.any(0), np.where(known, array, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)


def worse(result: Result, paste: Result, figure: str = "fmse") -> float:
    """The share of scenes on which a method's error is larger than the paste's."""
    return float((result.values[figure] > paste.values[figure]).mean())


def line(result: Result, paste: Result) -> str:
    """A method's row of the printed table."""
    low, high = interval(result.values["fmse"])
    parts = [
        f"{result.calls:4d} calls  fMSE {result.mean('fmse'):.4f} [{low:.4f}, {high:.4f}]",
        f"worse than paste {100 * worse(result, paste):3.0f} %",
        f"ΔE {result.mean('de00'):5.2f}",
        f"light {result.mean('light'):.3f}",
        f"identity {result.mean('identity'):.3f}",
        f"edge {result.mean('boundary'):.2f}",
        f"ring {result.mean('ring'):.4f}, its edges {result.mean('ring_edge'):.3f}",
        f"seam {result.mean('seam'):.6f}",
        f"shadow {result.mean('shadow_iou'):.2f}",
        f"outside {'equal' if result.mean('outside_equal') == 1 else 'differs'}",
        f"{1000 * result.mean('seconds'):6.0f} ms",
    ]
    return "  ".join(parts)


def line_of_units(result: Result, paste: Result) -> str:
    """A method's row in iHarmony4's units."""
    parts = [
        f"MSE {result.mean('mse_255'):7.1f}  fMSE {result.mean('fmse_255'):7.1f}",
        f"PSNR {result.mean('psnr'):5.2f}  worse than paste {100 * worse(result, paste, 'fmse_255'):3.0f} %",
    ]
    for name, ends in FOREGROUND.items():
        part = result.sized(*ends)
        parts.append(f"fMSE at {name} {part.mean('fmse_255'):7.1f}" if len(part.stratum) else f"none at {name}")
    return "  ".join(parts)


def as_json(result: Result, paste: Result) -> dict:
    means = {name: result.mean(name) for name in IN_JSON}
    ends = [shortened(end) for end in interval(result.values["fmse"])]
    return {**without_nan(means), "worse": shortened(worse(result, paste)), "fmse_ci": ends, "calls": result.calls}


def without_nan(means: dict[str, float]) -> dict[str, float | None]:
    """JSON has no word for a mean that is not known."""
    return {name: None if math.isnan(mean) else shortened(mean) for name, mean in means.items()}


def units_as_json(results: list[Result]) -> dict:
    """iHarmony4's figures of all scenes, by stratum and by the subject's share of the image. One result is the
    paste's."""
    paste = next(result for result in results if result.name == "paste")
    parts: dict[str, dict] = {name: {"n": len(part.stratum)} for name, part in parts_of(paste).items()}
    for result in results:
        for name, part in parts_of(result).items():
            if parts[name]["n"]:
                means = {figure: part.mean(column) for figure, column in UNITS.items()}
                share = worse(part, parts_of(paste)[name], "fmse_255")
                parts[name][result.name] = {**without_nan(means), "worse": shortened(share)}
    return {
        "all": parts["all"],
        "strata": {name: parts[name] for name in STRATA},
        "foreground": {name: parts[name] for name in FOREGROUND},
    }
