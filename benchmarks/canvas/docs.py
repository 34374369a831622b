"""The tables of docs/benchmarks.md, of the figures of the last whole run."""

from benchmarks.common.docs import stored
from benchmarks.common.markdown import markdown, results

RENDERERS = {"classic": "classic renderer", "nodes2": "Nodes 2.0"}
NODES = {
    "PhDSegment": "Segment",
    "PhDPasteBlend": "Paste & Blend",
    "PhDMaskedInpaintSampler": "Masked Inpaint Sampler",
    "PhDHarmonizeSampler": "Harmonize Sampler",
    "PhDStitch": "Stitch",
}


def tables() -> dict[str, str]:
    figures = stored("canvas")
    return {"bench canvas, dragging": dragging(figures), "bench canvas, code": code(figures)}


def dragging(figures: dict) -> str:
    def row(label: str, name: str, form: str) -> list[str]:
        return [label, *(form.format(figures[f"{name}_{renderer}"]) for renderer in RENDERERS)]

    alive = ["yes" if figures[f"undo_alive_{renderer}"] else "NO" for renderer in RENDERERS]
    return markdown(
        ("", *RENDERERS.values()),
        [
            row("frames a second, against dragging a core node on the same graph", "fps_ratio", "{:.2f} ×"),
            row("our code for a move of the pointer (95 %)", "handler_p95_ms", "{:.1f} ms"),
            row("requests to the server", "requests_while_dragging", "{}"),
            *(row(f"rows of widgets on a new {title}", f"rows_{node}", "{}") for node, title in NODES.items()),
            ["both editors work after an undo", *alive],
        ],
    )


def code(figures: dict) -> str:
    return results(
        {
            "code that loads with the page (gzip)": f"{figures['gzip_kb']:.1f} kB",
            "its longest run while dragging, in either renderer": f"{figures['longest_task_ms']:.1f} ms",
            "loading it at first": f"{figures['load_ms']:.0f} ms",
            "of ten kinds of wrong wires, refused in a sentence of the node": f"{figures['wrong_wires_refused']}",
        }
    )
