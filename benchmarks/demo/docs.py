"""The table of docs/benchmarks.md, of the figures of the last run with the demo's own images."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import markdown, percent


def tables() -> dict[str, str]:
    figures = stored("demo")
    rows = [
        [title, f"{node['seconds']:.2f}", str(node["model_calls"] or "")] for title, node in figures["nodes"].items()
    ]
    outside = percent(figures["untouched_share"])
    rows += [
        ["**all nodes**", f"{figures['graph_seconds']:.2f}", str(figures["model_calls"])],
        ["the whole process, with its imports", f"{figures['seconds']:.2f}", ""],
        ["its peak memory", f"{figures['peak_memory_gb']:.2f} GB", ""],
        ["pixels outside the mask", f"{outside}, {'all equal' if figures['outside_equal'] else 'NOT ALL EQUAL'}", ""],
    ]
    return {"bench demo": markdown(("node", "seconds", "model calls"), rows)}
