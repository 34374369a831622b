"""`python3 dev.py bench paste`: how exact and how fast paste, blend, crop and stitch are, beside other tools.

Times are medians of repeated runs, taken in turns (ours, theirs, ours, theirs …), so that a busy machine slows both.
`--quick` measures the same at small sizes, where times mean nothing. The contact sheet goes to output/bench_paste.png.
"""

import argparse
import functools
import json
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common import table
from benchmarks.common.comfyui import start_comfyui, temporary_folders
from benchmarks.common.table import exit_status, rounded, show
from benchmarks.paste import exact, sheet, speed
from benchmarks.paste.sizes import QUICK, Sizes
from devtools.paths import OUTPUT

# Bounds on the figures; all but the times decide the exit status.
WANTED = {
    "grow64_speedup_vs_core": (">=", 20),
    "paste_vs_cv2": ("<=", 2.5),
    "fringe_levels": ("<", 0.5),
    "affine_residual_levels": ("<", 0.1),
    "grow_px_error_max": ("<=", 0.5),
    "outside_equal": ("==", True),
    "identity_equal": ("==", True),
    "peak_memory_ratio": ("<=", 3),
}
TIMES = ("grow64_speedup_vs_core", "paste_vs_cv2")

MEASURES = (
    speed.measure_grow, speed.measure_paste, speed.measure_others, speed.measure_canvases, speed.measure_memory,
    exact.measure_growth_error, exact.measure_fringe, exact.measure_tone, exact.measure_outside,
    exact.measure_identity,
)  # fmt: skip

holds = functools.partial(table.holds, WANTED)


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    start_comfyui()
    with temporary_folders():
        figures = measure(QUICK if options.quick else Sizes())
    print(f"\nImages: {sheet.save(options.out, exact.tiles())}")
    line = rounded(figures)
    if not options.quick:
        page.publish("paste", line)
    print(json.dumps(line))
    return exit_status(WANTED, figures, TIMES)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench paste", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: everything but the times still counts")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder for the contact sheet")
    return parser


def measure(sizes: Sizes) -> dict[str, float | bool]:
    """Prints a table for each of MEASURES; all their figures."""
    figures = {}
    for measure_one in MEASURES:
        section = measure_one(sizes)
        show(section, WANTED)
        figures |= section.figures
    return figures
