"""The tables of docs/benchmarks.md, of the figures of the last whole run of each part."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import markdown, results

# The side whose interrupts have a table; of the usual one only the worst is shown.
LARGE, USUAL = "interrupts, 8192", "interrupts, 2048"
WORKFLOWS = {"": "the small demo", "_core": "ComfyUI's own nodes on the same images and model"}


def tables() -> dict[str, str]:
    parts = stored("soak")
    return {
        "bench soak, faults": faults(parts["calls"], parts[USUAL], parts["server"]),
        "bench soak, memory": memory(parts["server"]),
        "bench soak, interrupts": interrupts(parts[LARGE]),
    }


def faults(calls: dict, interrupted: dict, server: dict) -> str:
    refused, failed, ran = (server[f"prompts_{end}"] for end in ("refused", "failed", "ran"))
    return results(
        {
            f"{calls['calls']:,} calls of nodes": f"{calls['crashes']} crashes, "
            f"{round(calls['unnamed_refusals'] * calls['calls'])} refusals without the input's name, "
            f"{calls['unequal_reruns']} unequal reruns",
            f"{server['runs']:,} runs of the small demo on a server": f"{server['unequal_reruns']} unequal reruns, "
            f"{server['crashes']} crashes, {server['server_deaths']} server deaths",
            f"{refused + failed + ran} broken prompts": f"{refused} refused, {failed} failed in a node, {ran} ran",
            "an interrupt of a node on images of 2048×2048 pixels, the worst node": (
                f"heard within {interrupted['interrupt_p95_s']:.2f} s at 95 % of moments"
            ),
            "an interrupt of a run on a server, images of 2048×2048 pixels": (
                f"ended within {server['server_interrupt_max_s']:.1f} s"
            ),
        }
    )


def memory(figures: dict) -> str:
    columns = ("workflow", "runs", "resident memory", "growth per 100 runs")
    rows = []
    for whose, label in WORKFLOWS.items():
        resident, growth = figures[f"rss{whose}_mb"], figures[f"rss_slope{whose}_mb_per_100"]
        rows.append([label, f"{figures[f'runs{whose}']:,}", f"{resident:.0f} MB", f"{growth:.2f} MB"])
    return markdown(columns, rows)


def interrupts(figures: dict) -> str:
    rows = []
    for node in (name.removesuffix(": run_s") for name in figures if name.endswith(": run_s")):
        run, p95, longest = (figures[f"{node}: {name}_s"] for name in ("run", "p95", "longest"))
        rows.append([node, f"{run:.0f} s", f"{p95:.2f} s", f"{longest:.2f} s"])
    rows.append(["any of them, interrupted in a run", "", "", f"{figures['interrupt_stopped_s']:.2f} s"])
    return markdown(("node", "run", "95 % of moments", "always"), rows)
