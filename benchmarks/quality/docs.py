"""The tables of docs/benchmarks.md, of the stored figures in results/."""

import csv
import json
from pathlib import Path

from benchmarks.common.markdown import markdown
from benchmarks.quality.consistency import FIGURES as CHANGES
from benchmarks.quality.plan import MAIN_LEVEL, RESULTS
from benchmarks.quality.table import FOREGROUND
from relit_scenes.descriptions import STRATA

STRONG = ("ours", "with_reference", "module", "module_stitch")


def tables(folder: Path = RESULTS, level: int = MAIN_LEVEL) -> dict[str, str]:
    """Tables by name. level: of model calls."""
    rows = [row for row in read(folder / "quality.csv") if int(row["level"]) in (0, level)]
    found = {
        "bench quality, own color": own_color([row for row in rows if row["group"] == "own_color"]),
        "bench quality, iHarmony4's units": units(rows),
        "bench quality, iHarmony4's units by stratum": by_stratum(rows),
        "bench quality, without truth": without_truth(read(folder / "consistency.csv")),
    }
    # Only a run of the published scenes has photographs.
    for name, title in {"photographs": "photographs", "photographs_relit": "photographs in a known light"}.items():
        file = folder / f"{name}.json"
        if file.is_file():
            found[f"bench quality, {title}"] = on_photographs(json.loads(file.read_text()))
    return found


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def name_of(row: dict[str, str]) -> str:
    """A method as the tables name it: without its settings, ours in bold."""
    name = row["label"].split(":")[0]
    return f"**{name}**" if row["method"] in STRONG else name


def scenes_of(row: dict[str, str]) -> str:
    seeds = int(row["seeds"])
    return f"{row['scenes']} scenes of the test split, {seeds} seed{'s' if seeds > 1 else ''}"


def number(row: dict[str, str], name: str, digits: int) -> str:
    return f"{float(row[name]):.{digits}f}"


def share(row: dict) -> str:
    """The share of scenes worse than the paste."""
    return f"{100 * float(row['worse']):.0f} %"


def own_color(rows: list[dict[str, str]]) -> str:
    """The main table: methods sorted by their error, subjects of their own color."""
    columns = (
        "calls", "fMSE [95 %]", "of the paste's [95 %]", "worse than the paste", "ΔE00", "light", "identity", "edge",
        "ring", "ring's edges",
    )  # fmt: skip
    lines = []
    for row in sorted(rows, key=lambda row: float(row["fmse"])):
        error = f"{number(row, 'fmse', 4)} [{number(row, 'fmse_low', 4)}, {number(row, 'fmse_high', 4)}]"
        ratio = f"{number(row, 'of_paste', 2)} [{number(row, 'of_paste_low', 2)}, {number(row, 'of_paste_high', 2)}]"
        figures = [("de00", 1), ("light", 3), ("identity", 2), ("boundary", 2), ("ring", 4), ("ring_edge", 3)]
        lines.append(
            [name_of(row), row["calls"], error, ratio, share(row)] + [number(row, *figure) for figure in figures]
        )
    return markdown((scenes_of(rows[0]), *columns), lines)


def by_group(rows: list[dict[str, str]]) -> dict[str, dict[str, dict[str, str]]]:
    """Rows by method and group; methods are sorted by their fMSE on all scenes."""
    whole = sorted((row for row in rows if row["group"] == "all"), key=lambda row: float(row["fmse_255"]))
    return {one["method"]: {row["group"]: row for row in rows if row["method"] == one["method"]} for one in whole}


def units(rows: list[dict[str, str]]) -> str:
    """All scenes in iHarmony4's units, and by the subject's share of the image."""
    methods = by_group(rows)
    sizes = {name: next(iter(methods.values())).get(name) for name in FOREGROUND}
    heads = [f"{name}: {row['scenes'] if row else 'no'} scenes" for name, row in sizes.items()]
    columns = ("MSE", "fMSE", "PSNR", "worse than the paste", *(f"MSE / fMSE, {head}" for head in heads))
    lines = []
    for groups in methods.values():
        row = groups["all"]
        parts = [groups.get(name) for name in FOREGROUND]
        cells = [f"{number(part, 'mse_255', 1)} / {number(part, 'fmse_255', 0)}" if part else "" for part in parts]
        figures = [number(row, "mse_255", 1), number(row, "fmse_255", 1), number(row, "psnr", 2)]
        lines.append([name_of(row), *figures, share(row), *cells])
    title = scenes_of(next(row for row in rows if row["group"] == "all"))
    return markdown((title, *columns), lines)


def by_stratum(rows: list[dict[str, str]]) -> str:
    """fMSE in iHarmony4's units and the share worse than the paste, by stratum."""
    lines = []
    for groups in by_group(rows).values():
        strata = [groups[stratum] for stratum in STRATA]
        lines.append([name_of(groups["all"])])
        lines[-1] += [f"{number(row, 'fmse_255', 0)}, {share(row)}" for row in strata]
    return markdown(("fMSE, worse than the paste", *STRATA), lines)


def without_truth(rows: list[dict[str, str]]) -> str:
    """What can be said without a truth: how far results are from adding up, and how much small changes change them."""
    columns = ("calls", "light", "matte ± 1 pixel", "another seed", "moved by (5, 3) pixels")
    first, *rest = CHANGES
    lines = [
        [name_of(row), row["calls"], number(row, first, 3), *(number(row, name, 2) for name in rest)]
        for row in sorted(rows, key=lambda row: float(row[first]))
    ]
    return markdown((f"{rows[0]['scenes']} scenes of the test split, 1 seed", *columns), lines)


def on_photographs(figures: dict) -> str:
    """iHarmony4's figures of all composites, and the fMSE as a share of the paste's by what a photograph shows."""
    groups = {name: group for name, group in figures.items() if isinstance(group, dict) and group["n"]}
    whole = {name: row for name, row in groups.pop("all").items() if name != "n"}
    columns = ("calls", "MSE", "fMSE", "PSNR", "of the paste's fMSE [95 %]", "worse than the paste")
    lines = []
    for name, row in sorted(whole.items(), key=lambda item: item[1]["fmse"]):
        label = row["label"].split(":")[0]
        low, high = row["of_paste_ci"]
        cells = [f"{row['mse']:.0f}", f"{row['fmse']:.0f}", f"{row['psnr']:.1f}"]
        cells += [f"{row['of_paste']:.2f} [{low:.2f}, {high:.2f}]", share(row)]
        shares = [f"{group[name]['of_paste']:.2f}" for group in groups.values()]
        lines.append([f"**{label}**" if name in STRONG else label, str(row["calls"]), *cells, *shares])
    title = f"{figures['all']['n']} composites of {figures['photographs']} photographs"
    return markdown((title, *columns, *(f"{name} ({group['n']})" for name, group in groups.items())), lines)
