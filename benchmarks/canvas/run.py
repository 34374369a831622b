"""`python3 dev.py bench canvas`: what dragging a subject over a 4K scene costs in the browser, in both renderers.

Headless Chromium draws without a graphics card, so frames are compared within one run: dragging our subject beside
dragging a core node, on the same graph. `--quick` drags less, over a small scene, in the classic renderer alone.
"""

import argparse
import contextlib
import functools
import gzip
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.canvas import page, wrong_wires
from benchmarks.common import docs, table
from benchmarks.common.images import texture
from benchmarks.common.table import Section, rounded, show
from devtools.browser import Browser, browsing
from devtools.comfyui_page import RENDERERS, open_comfyui, paste_nodes, use_renderer
from devtools.paths import ROOT
from devtools.processes import MissingError
from devtools.server import Server, as_png, serving
from phd_ops.pixels.geometry import Size

SCRIPTS = ROOT / "web" / "js"

# The bounds of the figures; those that are not times decide the exit status.
WANTED = {
    "fps_ratio": (">=", 0.9),
    "handler_p95_ms": ("<=", 4),
    "longest_task_ms": ("<=", 50),
    "gzip_kb": ("<=", 60),
    "load_ms": ("<=", 100),
    "requests_while_dragging": ("==", 0),
    "rows_PhDSegment": ("<=", 5),
    "rows_PhDPasteBlend": ("<=", 8),
    "rows_PhDMaskedInpaintSampler": ("<=", 6),
    "rows_PhDHarmonizeSampler": ("<=", 6),
    "rows_PhDStitch": ("<=", 4),
    "rows_PhDInsertSubject": ("<=", 8),
    "undo_alive": ("==", 1),
    "wrong_wires_refused": ("==", 10),
}
TIMES = ("fps_ratio", "handler_p95_ms", "longest_task_ms", "load_ms")
# How often each node is dragged; `--quick` drags once.
ROUNDS = 3

holds = functools.partial(table.holds, WANTED)


def scene(width: int, height: int) -> np.ndarray:
    """uint8 [H,W,3], with detail everywhere."""
    return (texture(Size(width, height), 4) * 255).astype(np.uint8)


def subject(side: int) -> np.ndarray:
    """uint8 [side,side,4]: a star of many soft points on nothing."""
    v, u = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    radius = side * (0.32 + 0.12 * np.cos(9 * np.arctan2(v, u)))
    alpha = np.clip((radius - np.hypot(u, v)) / 3, 0, 1)
    return np.dstack([scene(side, side), (alpha * 255).astype(np.uint8)])


def percentile(times: list[float], share: float) -> float:
    return float(np.percentile(times, share)) if times else 0.0


def frames_a_second(frames: list[float]) -> float:
    return 1000 * (len(frames) - 1) / (frames[-1] - frames[0])


def module_address(server: Server) -> str:
    (script,) = (path for path in server.get("/extensions").json() if path.endswith("/js/phd.js"))
    return server.address + script.removesuffix("phd.js")


def measure_code() -> Section:
    files = sorted(path for path in SCRIPTS.iterdir() if path.is_file())
    packed = {path.name: len(gzip.compress(path.read_bytes())) / 1000 for path in files}
    section = Section("The pack's code in the browser, unminified")
    section.row("files", f"{len(files):9d}")
    section.row("plain", f"{sum(path.stat().st_size for path in files) / 1000:9.1f} kB")
    section.row("gzip", f"{sum(packed.values()):9.1f} kB")
    section.figures["gzip_kb"] = sum(packed.values())
    rest = [path for folder in SCRIPTS.iterdir() if folder.is_dir() for path in folder.iterdir()]
    late = sum(len(gzip.compress(path.read_bytes())) / 1000 for path in rest)
    section.row("gzip, loaded where a node has a clip", f"{late:9.1f} kB")
    return section


def measure_loading(browser: Browser, server: Server, loads: int) -> Section:
    section, taken = Section("From the first request for our code to its last byte, while ComfyUI loads its own"), []
    for _ in range(loads):
        open_comfyui(browser, server)
        start, end, count = browser.script(page.LOADED, module_address(server))
        taken.append(end - start)
        section.row(f"{count} files", f"{end - start:9.1f} ms")
    # The first load, for which a new browser has nothing in its cache.
    section.figures["load_ms"] = taken[0]
    return section


def measure_dragging(
    browser: Browser, name: str, size: tuple[int, int], moves: int, rounds: int, folder: Path
) -> Section:
    """`rounds` times `moves` of the pointer on a core node and on our subject, with a scene of `size`."""
    page.build(browser, "bench_scene.png", "bench_subject.png", f"{size[0]}×{size[1]}")
    ours, core = [], []
    # Alternately, so that a busy machine slows both.
    for _ in range(rounds):
        for runs, what in ((core, "core"), (ours, "subject")):
            runs.append(page.drag(browser, browser.script(page.PLACES, *size)[what], moves))
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(browser.screenshot()).save(folder / f"bench_canvas_{name}.png")
    rates = {
        who: statistics.median(frames_a_second(run["frames"]) for run in runs)
        for who, runs in (("core", core), ("ours", ours))
    }
    handler = [time for run in ours for time in run["handler"]]
    frames = [time for run in ours for time in run["frame"]]
    if len(frames) < rounds * moves / 8:
        raise RuntimeError(f"Only {len(frames)} frames of the editor were seen: the subject was not dragged.")
    requests = sum((run["requests"] for run in ours), [])
    section = Section(f"Dragging over a scene of {size[0]}×{size[1]}, {name}, {rounds}× {moves} moves")
    section.row("a core node", f"{rates['core']:9.1f} frames/s")
    section.row("our subject", f"{rates['ours']:9.1f} frames/s")
    section.row("our listener, 95 % below", f"{percentile(handler, 95):9.2f} ms")
    section.row("our frame (numbers and image), 95 % below", f"{percentile(frames, 95):9.2f} ms")
    section.row("our longest task", f"{max(handler + frames):9.2f} ms")
    section.row("longest task of the whole page: core node, subject", "{:9.0f}, {:.0f} ms".format(
        *(max((time for run in runs for time in run["long"]), default=0) for runs in (core, ours))))  # fmt: skip
    section.row("requests while dragging", f"{len(requests):9d}")
    section.figures |= {
        f"fps_ratio_{name}": rates["ours"] / rates["core"],
        # What one move of the pointer costs: the listener, and the frame that it asks for.
        f"handler_p95_ms_{name}": percentile(handler, 95) + percentile(frames, 95),
        f"longest_task_ms_{name}": max(handler + frames),
        f"requests_while_dragging_{name}": len(requests),
    }
    return section


def measure_rows(browser: Browser, name: str) -> Section:
    section = Section(f"Rows of widgets on a new node, {name}")
    for node in (figure.removeprefix("rows_") for figure in WANTED if figure.startswith("rows_")):
        rows = browser.script(page.ROWS, node, RENDERERS[name])
        section.row(node, f"{rows:9d}")
        section.figures[f"rows_{node}_{name}"] = rows
    return section


def measure_undo(browser: Browser, name: str) -> Section:
    """A drag, an undo, and a drag again, in both editors."""
    section = Section(f"Editors that work after an undo, {name}")
    paste = paste_nodes("bench_scene.png", "bench_subject.png", width=620)
    alive = {
        "Paste & Blend": page.works_after_undo(browser, paste, "paste", "x"),
        "Segment": page.works_after_undo(browser, page.PICKER, "segment", "box"),
    }
    for editor, works in alive.items():
        section.row(editor, "      yes" if works else "       no")
    section.figures[f"undo_alive_{name}"] = int(all(alive.values()))
    return section


def measure_wrong_wires(server: Server) -> Section:
    """Whether each kind of wrong wire is refused in a sentence, on the server."""
    section = Section("Wrong wires, and the sentence that refuses each")
    said = wrong_wires.refusals(server)
    for kind, message in said.items():
        section.row(kind, message or "not refused")
    section.figures["wrong_wires_refused"] = sum(bool(message) for message in said.values())
    return section


def worst(figures: dict) -> Section:
    """The figures of the worse of the two renderers."""
    section = Section("Both renderers: the worse of the two")
    for name, pick in (("fps_ratio", min), ("handler_p95_ms", max), ("longest_task_ms", max)):
        section.figures[name] = pick(value for key, value in figures.items() if key.startswith(f"{name}_"))
    for name in (name for name in WANTED if name.startswith("rows_")):
        section.figures[name] = max(value for key, value in figures.items() if key.startswith(f"{name}_"))
    section.figures["undo_alive"] = min(value for key, value in figures.items() if key.startswith("undo_alive_"))
    name = "requests_while_dragging"
    section.figures[name] = sum(value for key, value in figures.items() if key.startswith(f"{name}_"))
    return section


def measure_page(browser: Browser, server: Server, options: argparse.Namespace) -> Iterator[Section]:
    """Loading and dragging, in the browser's window."""
    size, moves, rounds = ((960, 540), 30, 1) if options.quick else ((3840, 2160), 150, ROUNDS)
    server.upload("bench_scene.png", as_png(scene(*size)))
    server.upload("bench_subject.png", as_png(subject(size[1] // 2)))
    yield measure_loading(browser, server, 1 if options.quick else 3)
    browser.script(page.WATCH, module_address(server) + "editor_frame.mjs")
    for name in list(RENDERERS)[: 1 if options.quick else 2]:
        use_renderer(browser, name)
        yield measure_dragging(browser, name, size, moves, rounds, options.out)
        yield measure_rows(browser, name)
        yield measure_undo(browser, name)
    yield measure_wrong_wires(server)


@contextlib.contextmanager
def own_browser() -> Iterator[tuple[Browser, Server]]:
    """A browser and a server for this benchmark alone. Raises MissingError where one is not on this machine."""
    with (
        tempfile.TemporaryDirectory() as files,
        serving(Path(files)) as server,
        browsing(Path(files) / "chromium") as browser,
    ):
        yield browser, server


def main(arguments: list[str], running: tuple[Browser, Server] | None = None) -> int:
    """Measures in a browser and on a server that are `running`, else in its own."""
    parser = argparse.ArgumentParser(prog="dev.py bench canvas", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a small scene, one renderer: times mean little")
    parser.add_argument("--out", type=Path, default=ROOT / "output", help="folder for the screenshots")
    options = parser.parse_args(arguments)
    figures = {}

    def report(section: Section) -> None:
        show(section, WANTED)
        figures.update(section.figures)

    report(measure_code())
    try:
        with contextlib.nullcontext(running) if running else own_browser() as (browser, server):
            for section in measure_page(browser, server, options):
                report(section)
    except MissingError as missing:
        print(f"\nThe browser's part {missing}.", file=sys.stderr)
        return 2
    report(worst(figures))
    print(f"\nImages: {options.out}/bench_canvas_*.png")
    line = rounded(figures)
    if not options.quick:
        docs.publish("canvas", line)
    print(json.dumps(line))
    return 0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1
