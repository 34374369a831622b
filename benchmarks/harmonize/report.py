"""The tables and figures of `bench harmonize`: both strata, other prompts, ablations, and the smoother."""

import json
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common.table import Bounds, Section, shortened, show, verdict
from benchmarks.harmonize import ablations, methods, rivals, sheet, smoother
from benchmarks.harmonize.methods import Case
from benchmarks.harmonize.score import Made, as_text, made, score

# Goals beyond the bounds: name, figure, value.
GOALS = (
    ("the better of both at 36 calls", "best_fmse", 0.03),
    ("without a prompt, from more noise and without the anchor", "no_prompt_high_fmse", 0.08),
)
OWN = ("ours", "with_reference")
# Not a rival: it is given the subject's texture and albedo.
FLOOR = "best_possible"
PROMPTS = {"right": "right prompt", "wrong": "wrong prompt", "none": "no prompt"}
JSON_KEYS = ("fmse", "identity", "edge", "ring", "calls", "worse")
TITLES = {"own_color": "Own color, which the prompt names", "same_color": "The background's color"}

# Scores of a method by figure; of methods by name; of strata and prompts by name.
Row = dict[str, float]
Rows = dict[str, Row]
Parts = dict[str, Rows]


def measure(quick: bool, seed: int, folder: Path, wanted: Bounds) -> dict[str, float | bool]:
    """Prints all tables, draws the sheet into `folder`, prints the line of JSON; the figures. A whole run is stored."""
    count, fewer, cell = (8, 4, 4) if quick else (128, 24, methods.CELL)
    cases = {name: methods.case(count, seed, name == "same_color", cell) for name in TITLES}
    scores, chosen = {}, {}
    for name, case in cases.items():
        scores[name], chosen[name] = measure_stratum(case, TITLES[name], quick)
    prompt_scores, prompt_results = measure_prompts(cases["own_color"])
    scores |= prompt_scores
    section, ablation_scores = ablations.measure(cases["own_color"].first(fewer), chosen["own_color"])
    show(section, wanted)
    figures = figures_of(scores, [*prompt_results, *(result for part in chosen.values() for result in part.values())])
    judge(figures, wanted)
    for section in (smoother.measure_exactness(), smoother.measure_time(quick)):
        show(section, wanted)
        figures |= section.figures
    print(f"\nImages: {sheet.save(folder, cases, chosen, scores)}")
    line = json_figures(figures, scores, ablation_scores, count)
    if not quick and seed == methods.TEST:
        page.publish("harmonize", line)
    print(json.dumps(line))
    return figures


def measure_stratum(case: Case, title: str, quick: bool) -> tuple[Rows, dict[str, Made]]:
    """Prints a stratum's table; scores and results by method."""
    results = own_results(case, "right") | rivals.classical(case) | rivals.generative(case, quick)
    scores, chosen, rows = best_variants(results, case)
    section = Section(f"{title}, {len(case)} scenes")
    for label, row in rows:
        section.row(label, as_text(row))
    show(section, {})
    for line in beaten(scores):
        print(f"  ! {line}")
    return scores, chosen


def own_results(case: Case, prompt: str) -> dict[str, list[Made]]:
    """Relight without and with reference, under a prompt."""
    single, both = methods.ours(case, prompt), methods.with_reference(case, prompt)
    results = {}
    for name, label, done in (("ours", "ours, single", single), ("with_reference", "ours, with reference", both)):
        images, equal = methods.stitch(case, done.scene, done.reference)
        results[name] = [made(f"{label}, {PROMPTS[prompt]}", images, done.calls, equal)]
    if prompt == "right":
        bare = methods.ours(case, prompt, anchor_strength=0.0)
        results["langevin"] = [made("masked Langevin, no relight", methods.own_pixels(case, bare), bare.calls)]
    return results


def best_variants(results: dict[str, list[Made]], case: Case) -> tuple[Rows, dict[str, Made], list[tuple[str, Row]]]:
    """Each method's best variant by fMSE, as scores and as results; and the score of every variant for the table."""
    scores, chosen, rows = {}, {}, []
    for name, variants in results.items():
        ranked = [(score(variant, case), variant) for variant in variants]
        rows += [(variant.label, row) for row, variant in ranked]
        scores[name], chosen[name] = min(ranked, key=lambda pair: pair[0]["fmse"])
    return scores, chosen, rows


def beaten(scores: Rows) -> list[str]:
    """A line for each rival that comes nearer to the truth than one of ours."""
    return [
        f"{name} beats {own}: fMSE {row['fmse']:.4f} against {scores[own]['fmse']:.4f}"
        for name, row in scores.items()
        for own in OWN
        if name not in (*OWN, FLOOR) and row["fmse"] < scores[own]["fmse"]
    ]


def measure_prompts(case: Case) -> tuple[Parts, list[Made]]:
    """Prints the table of ours where the prompt names another color, and without a prompt; scores and results."""
    section, scores, results = Section(f"Own color, other prompts, {len(case)} scenes"), {}, []
    for prompt in ("wrong", "none"):
        key = PROMPTS[prompt].replace(" ", "_")
        scores[key], chosen, rows = best_variants(own_results(case, prompt), case)
        results += chosen.values()
        for label, row in rows:
            section.row(label, as_text(row))
    high = methods.with_reference(case, "none", denoise=methods.HIGH, anchor_strength=0.0)
    images, equal = methods.stitch(case, high.scene, high.reference)
    label = f"ours, with reference, no prompt, denoise {methods.HIGH:g}, no anchor"
    results.append(made(label, images, high.calls, equal))
    scores["no_prompt"]["with_reference_high"] = score(results[-1], case)
    section.row(label, as_text(scores["no_prompt"]["with_reference_high"]))
    show(section, {})
    return scores, results


def figures_of(scores: Parts, results: list[Made]) -> dict[str, float | bool]:
    own, same = scores["own_color"], scores["same_color"]
    figures = {f"{name}_{key}": own[name][key] for name in OWN for key in JSON_KEYS}
    figures["best_fmse"] = min(own[name]["fmse"] for name in OWN)
    figures["wrong_prompt_fmse"] = scores["wrong_prompt"]["with_reference"]["fmse"]
    figures["no_prompt_fmse"] = scores["no_prompt"]["with_reference"]["fmse"]
    figures["no_prompt_high_fmse"] = scores["no_prompt"]["with_reference_high"]["fmse"]
    for name in OWN:
        figures[f"same_color_{name}_vs_poisson"] = same[name]["fmse"] / same["poisson"]["fmse"]
    figures["worse_than_paste"] = own["with_reference"]["worse"]
    stitched = [result.outside_equal for result in results if result.outside_equal is not None]
    return figures | {"outside_equal": bool(stitched) and all(stitched)}


def judge(figures: dict[str, float | bool], wanted: Bounds) -> None:
    print("\nBounds and goals")
    print("\n".join(verdict(wanted, name, figures[name]) for name in wanted if name in figures))
    for label, name, value in GOALS:
        result = "reached" if figures[name] <= value else "not reached"
        print(f"  → goal: {label}, fMSE {shortened(figures[name])} <= {value}: {result}", flush=True)


def json_figures(figures: dict[str, float | bool], scores: Parts, ablation_scores: Rows, scenes: int) -> dict:
    def short(row: Row) -> Row:
        return {key: shortened(row[key]) for key in JSON_KEYS}

    line = {part: {name: short(row) for name, row in rows.items()} for part, rows in scores.items()}
    line |= {name: shortened(value) for name, value in figures.items()}
    return line | {"ablations": {name: short(row) for name, row in ablation_scores.items()}, "scenes": scenes}
