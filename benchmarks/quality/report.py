"""What `bench quality` reports: tables, figures with their bounds, the files of results/, the JSON line."""

import json

from benchmarks.common import docs as page
from benchmarks.common.bootstrap import ratio_interval
from benchmarks.common.table import Bounds, Section, shortened, show, verdict
from benchmarks.quality import consistency, docs, model, on_photographs, sheet, trained_rivals
from benchmarks.quality.methods import methods
from benchmarks.quality.plan import MAIN_LEVEL, Plan
from benchmarks.quality.table import (
    GROUPS,
    OWN,
    SAME,
    STRATA,
    Result,
    as_json,
    line,
    line_of_units,
    units_as_json,
)  # fmt: skip

# The pack's methods; all others are rivals.
OURS = (
    "ours", "with_reference", "with_reference_eps", "single_defaults", "with_reference_defaults", "langevin",
    "ksampler_relight",
)  # fmt: skip


def report(plan: Plan, results: dict[int, list[Result]], weights: str, quick: bool, wanted: Bounds) -> dict:
    """Prints everything, writes the files, and returns the figures."""
    level, shown = main_level(results), compared(results)
    print_table(f"Own color, {level} model calls", shown, OWN)
    print_table(f"The background's color, {level} model calls", shown, (SAME,))
    print_units(shown)
    own = {result.name: result.of(OWN) for result in shown}
    for result in own.values():
        if result.name not in OURS and result.mean("fmse") < own["with_reference"].mean("fmse"):
            print(f"  ! {result.name} beats with_reference: fMSE {result.mean('fmse'):.4f}")
    every = methods((consistency.LEVEL,))
    every[0] += trained_rivals.trained()
    changes = consistency.measure(plan, weights, [method for listed in every.values() for method in listed])
    show(consistency.section(changes), {})
    section = model.measure(quick)
    show(section, {})
    figures = figures_of(results, own) | section.figures
    print("\nBounds")
    print("\n".join(verdict(wanted, name, figures[name]) for name in wanted), flush=True)
    for file in (
        *sheet.save(plan, results, shown, weights),
        consistency.save(changes, plan.folder / "consistency.csv"),
    ):
        print(f"Wrote {file}")
    photographs = on_photographs.measured(plan, weights) if plan.published else None
    if plan.published:
        page.write(docs.tables())
    print(line_of_json(results, figures, changes, plan, photographs))
    return figures


def main_level(results: dict[int, list[Result]]) -> int:
    return MAIN_LEVEL if MAIN_LEVEL in results else max(results)


def compared(results: dict[int, list[Result]]) -> list[Result]:
    """The methods without a model, and all methods at the main level."""
    return [*results[0], *results[main_level(results)]]


def print_table(title: str, results: list[Result], strata: tuple[str, ...]) -> None:
    chosen = [result.of(strata) for result in results]
    paste = next(result for result in chosen if result.name == "paste")
    section = Section(f"{title}, {len(paste.stratum)} scenes")
    for result in sorted(chosen, key=lambda result: result.mean("fmse")):
        section.row(result.name, line(result, paste))
    show(section, {})


def print_units(results: list[Result]) -> None:
    paste = next(result for result in results if result.name == "paste")
    section = Section(f"iHarmony4's units, {len(paste.stratum)} scenes of all strata")
    for result in sorted(results, key=lambda result: result.mean("fmse_255")):
        section.row(result.name, line_of_units(result, paste))
    show(section, {})


def figures_of(results: dict[int, list[Result]], own: dict[str, Result]) -> dict:
    """The figures of harmonizing, ratios with their intervals; `own` is `compared` on the own-color strata, by name.

    The best rival is one that needs no training on these scenes; those that are trained have ratios of their own.
    """
    ours = own["with_reference"]
    few = [result.of(OWN) for level, listed in results.items() if level <= MAIN_LEVEL for result in listed]
    untrained = [result for result in few if result.name not in (*OURS, *trained_rivals.LABELS)]
    rival = min(untrained, key=lambda result: result.mean("fmse"))
    figures, trained = {"best_rival": rival.name}, [name for name in trained_rivals.LABELS if name in own]
    for name, other in (("best_rival", rival), *((name, own[name]) for name in ("paste", *trained))):
        figures[f"with_reference_vs_{name}"] = ours.mean("fmse") / other.mean("fmse")
        ends = ratio_interval(ours.values["fmse"], other.values["fmse"])
        figures[f"with_reference_vs_{name}_ci"] = [shortened(end) for end in ends]
    stitched = [result for listed in results.values() for result in listed if result.name in ("ours", "with_reference")]
    return figures | {
        "with_reference_identity": ours.mean("identity"),
        "with_reference_calls": ours.calls,
        "with_reference_ring_vs_paste": ours.mean("ring") / own["paste"].mean("ring"),
        "harmonize_defaults_ratio": own["with_reference_defaults"].mean("fmse") / ours.mean("fmse"),
        "outside_equal": all(result.mean("outside_equal") == 1 for result in stitched),
    }


def line_of_json(
    results: dict[int, list[Result]], figures: dict, changes: list[Result], plan: Plan, photographs: dict | None
) -> str:
    shown = compared(results)
    paste = next(result for result in shown if result.name == "paste")

    def of(strata: tuple[str, ...]) -> dict[str, dict]:
        return {result.name: as_json(result.of(strata), paste.of(strata)) for result in shown}

    parts = {"n": plan.count, "seeds": plan.seeds, **{group: of(strata) for group, strata in GROUPS.items()}}
    parts["strata"] = {stratum: of((stratum,)) for stratum in STRATA}
    parts["iharmony_units"] = units_as_json(shown)
    parts["consistency"] = consistency.as_json(changes)
    parts |= photographs or {}
    parts["levels"] = {
        level: {result.name: shortened(result.mean("fmse")) for result in listed} for level, listed in results.items()
    }
    kept = {name: value if isinstance(value, str | list) else shortened(value) for name, value in figures.items()}
    return json.dumps(parts | kept)
