"""`python3 dev.py bench paste`: how exact and how fast paste, blend, crop and stitch are, beside others' tools.

Times are medians of repetitions that take turns (ours, theirs, ours, theirs …), so that a busy machine slows both.
`--quick` measures the same at small sizes, where times mean nothing; the contact sheet goes to output/bench_paste.png.
"""

import argparse
import functools
import json
import tempfile
from pathlib import Path

from benchmarks.common import table
from benchmarks.common.table import QUICK, Sizes, shortened, show
from benchmarks.paste import exact, sheet, speed
from devtools.paths import ROOT

# What the figures must be; those that are not times decide the exit status.
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
    parser = argparse.ArgumentParser(prog="dev.py bench paste", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: everything but the times still counts")
    parser.add_argument("--out", type=Path, default=ROOT / "output", help="folder for the contact sheet")
    options = parser.parse_args(arguments)
    from devtools.comfyui import activate, device_arguments, get_comfyui, register_pack
    from devtools.executor import load_core_extras, set_directories

    activate(get_comfyui(), device_arguments())
    load_core_extras()
    register_pack()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        set_directories(*(Path(folder) / name for name in ("input", "output", "temp")))
        for measure in MEASURES:
            section = measure(QUICK if options.quick else Sizes())
            show(section, WANTED)
            figures |= section.figures
    print(f"\nImages: {sheet.save(options.out, exact.tiles())}")
    print(json.dumps({name: shortened(value) for name, value in figures.items()}))
    return 0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1
