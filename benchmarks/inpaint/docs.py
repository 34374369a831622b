"""The tables of docs/benchmarks.md, of the figures of the last whole run in results/figures.json."""

from collections.abc import Iterable

from benchmarks.common.docs import stored
from benchmarks.common.markdown import least_in_bold, markdown, short

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


def tables() -> dict[str, str]:
    figures = stored("inpaint")
    return {
        "bench inpaint, exact": exact(figures),
        "bench inpaint, models that err": erring(figures),
        "bench inpaint, demo model": demo(figures),
    }


def exact(figures: dict) -> str:
    columns = ("loop", "model calls", "rel. W2", "seam", "variance", "rel. W2, 24 curves")
    rows = []
    for label, loops in LOOPS.items():
        one, many = ([figures[setting][loop] for loop in loops] for setting in ("methods", "curves"))
        cells = [beside(one, "relw2", 3), beside(one, "seam", 2), beside(one, "variance", 2), beside(many, "relw2", 3)]
        rows.append([label, " / ".join(str(round(row["calls"])) for row in one), *cells])
    return markdown(columns, rows)


def beside(rows: Iterable[dict], name: str, digits: int) -> str:
    """Figures side by side."""
    return " / ".join(short(row[name], digits) for row in rows)


def erring(figures: dict) -> str:
    rows = []
    for kind, loops in figures["imperfect"].items():
        others = [row["relw2"] for loop, row in loops.items() if not loop.startswith("ours")]
        small, large, core = (loops[loop]["relw2"] for loop in ("ours_60", "ours_60_large", "plain_60"))
        rows.append([figures["labels"][kind], *least([small, large, min(others), core], 3)])
    columns = ("ours, 768 masked values", "ours, 18,432 masked values", "best of the others", "core KSampler")
    return markdown(("error", *columns), rows)


def least(values: list[float], digits: int) -> list[str]:
    return least_in_bold(values, [f"{value:.{digits}f}" for value in values])


def demo(figures: dict) -> str:
    """Error / texture / edge on the demo model; the least error is bold."""
    rows = []
    for network, name in NETWORKS.items():
        for cfg, by_calls in figures[network].items():
            for calls, loops in by_calls.items():
                errors = least([loops[loop]["l1"] for loop in DEMO_LOOPS], 2)
                cells = [
                    f"{error} / {loops[loop]['texture']:.2f} / {loops[loop]['edge']:.2f}"
                    for error, loop in zip(errors, DEMO_LOOPS, strict=True)
                ]
                rows.append([name, cfg.removeprefix("cfg"), calls, *cells])
    return markdown(("network", "cfg", "at most calls", *DEMO_LOOPS.values()), rows)
