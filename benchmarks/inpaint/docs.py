"""The tables of docs/benchmarks.md, of the figures of the last whole run in results/figures.json."""

import json
from collections.abc import Iterable
from pathlib import Path

from benchmarks.common.markdown import markdown

FIGURES = Path(__file__).resolve().parent / "results" / "figures.json"
# Row -> loops with at most 60 and 120 model calls.
LOOPS = {
    "ours, `fast`": ("ours_fast",),
    "ours, `balanced`": ("ours_60",),
    "ours, `best`": ("ours_120",),
    "core KSampler with a noise mask": ("plain_60", "plain_120"),
    "plain Langevin": ("langevin_60", "langevin_120"),
    "RePaint, r = 5": ("repaint_60", "repaint_120"),
    "LanPaint's rule, tuned": ("lanpaint_tuned_60", "lanpaint_tuned_120"),
    "LanPaint's rule, 2.0, defaults": ("lanpaint1_60", "lanpaint1_120"),
    "LanPaint's rule, 2.1, defaults": ("lanpaint2_60", "lanpaint2_120"),
}
NETWORKS = {"demo_plain": "plain model", "demo": "inpainting model"}
DEMO_LOOPS = {
    "ours": "ours", "lanpaint_tuned": "LanPaint's rule, tuned", "repaint": "RePaint, tuned", "core": "core KSampler",
}  # fmt: skip


def tables(file: Path = FIGURES) -> dict[str, str]:
    figures = json.loads(file.read_text(encoding="utf-8"))
    return {
        "bench inpaint, exact": exact(figures),
        "bench inpaint, models that err": erring(figures),
        "bench inpaint, demo model": demo(figures),
    }


def write(line: str, labels: dict[str, str], file: Path = FIGURES) -> None:
    """Keeps a run's line of JSON. labels: of the kinds of errors."""
    file.write_text(json.dumps({**json.loads(line), "labels": labels}, indent=1) + "\n", encoding="utf-8")


def exact(figures: dict) -> str:
    columns = ("loop", "model calls", "rel. W2", "seam", "variance", "rel. W2, 24 curves")
    rows = []
    for label, loops in LOOPS.items():
        one, many = ([figures[setting][loop] for loop in loops] for setting in ("methods", "curves"))
        cells = [short(one, "relw2", 3), short(one, "seam", 2), short(one, "variance", 2), short(many, "relw2", 3)]
        rows.append([label, " / ".join(str(round(row["calls"])) for row in one), *cells])
    return markdown(columns, rows)


def short(rows: Iterable[dict], name: str, digits: int) -> str:
    """Figures side by side, without the zero before the point."""
    return " / ".join(f"{row[name]:.{digits}f}".removeprefix("0") for row in rows)


def erring(figures: dict) -> str:
    rows = []
    for kind, loops in figures["imperfect"].items():
        others = {loop: row["relw2"] for loop, row in loops.items() if loop != "ours_60"}
        ours, best, core = loops["ours_60"]["relw2"], min(others.values()), loops["plain_60"]["relw2"]
        rows.append([figures["labels"][kind], *least_in_bold([ours, best, core], 3)])
    return markdown(("error", "ours", "best of the others", "core KSampler"), rows)


def least_in_bold(values: list[float], digits: int) -> list[str]:
    texts = [f"{value:.{digits}f}" for value in values]
    return [f"**{text}**" if value == min(values) else text for value, text in zip(values, texts, strict=True)]


def demo(figures: dict) -> str:
    """Error / texture / edge on the demo model; the least error is bold."""
    rows = []
    for network, name in NETWORKS.items():
        for cfg, by_calls in figures[network].items():
            for calls, loops in by_calls.items():
                errors = least_in_bold([loops[loop]["l1"] for loop in DEMO_LOOPS], 2)
                cells = [
                    f"{error} / {loops[loop]['texture']:.2f} / {loops[loop]['edge']:.2f}"
                    for error, loop in zip(errors, DEMO_LOOPS, strict=True)
                ]
                rows.append([name, cfg.removeprefix("cfg"), calls, *cells])
    return markdown(("network", "cfg", "at most calls", *DEMO_LOOPS.values()), rows)
