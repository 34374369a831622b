"""The table of docs/benchmarks.md, of the figures of each family's last whole run."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import markdown, percent, short


def tables() -> dict[str, str]:
    rows = []
    for family, methods in stored("kit").items():
        for method, figures in methods.items():
            low, high = (short(end, 2) for end in figures["fmse_vs_paste_ci"])
            label = "finished by the pack" if method == family else "as it comes"
            error = f"{short(figures['fmse_vs_paste'], 2)} [{low}, {high}]"
            rows.append([family, label, str(figures["n"]), error, percent(figures["worse"])])
    columns = ("family", "image", "scenes", "of the paste's error [95 %]", "worse than the paste")
    return {"bench kit": markdown(columns, rows)}
