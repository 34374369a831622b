"""`python3 dev.py bench video`: clips through Paste, Crop and Stitch: speed, memory, and how steady the light is.

Times are medians of repeated runs, taken in turns. `--quick` measures the same on few small frames, where times mean
nothing.
"""

import argparse
import functools
import json
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common import table
from benchmarks.common.comfyui import start_comfyui, temporary_folders
from benchmarks.common.table import exit_status, rounded, show
from benchmarks.video import path, plots, shared_reference, speed, steady
from devtools.paths import OUTPUT
from phd_ops.pixels.geometry import Size

# Bounds on the figures; all but the times decide the exit status.
WANTED = {
    "seconds_per_frame": ("<=", 0.06),
    "paste_back_ratio": ("<=", 2),
    "stitch_4k_seconds": ("<=", 0.35),
    "memory_8192_gib": ("<=", 4),
    "memory_frames": ("<=", 3),
    "flicker_ratio": ("<=", 0.25),
    "light_error_ratio": ("<=", 1),
    "image_error_ratio": ("<=", 1),
    "lamp_error_ratio": ("<=", 1),
    "shared_reference_light_error_ratio": ("<=", 1.1),
    "cut_frames": ("==", 0),
    "parts_flicker_ratio": ("<=", 0.25),
    "parts_outside_equal": ("==", True),
    "outside_equal": ("==", True),
    "path_error_px": ("<=", 0.05),
}
TIMES = ("seconds_per_frame", "paste_back_ratio", "stitch_4k_seconds", "memory_8192_gib", "memory_frames")
# Frames of a clip, its side, and the frames of a part.
PLOTS, QUICK_PLOTS = (24, 256, 24), (10, 96, 12)

holds = functools.partial(table.holds, WANTED)


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    start_comfyui()
    figures = {}
    with temporary_folders():
        for section in quick() if options.quick else whole():
            show(section, WANTED)
            figures |= section.figures
        print(f"\nPlots: {plots.save(options.out, *QUICK_PLOTS if options.quick else PLOTS)}")
    line = rounded(figures)
    if not options.quick:
        page.publish("video", line)
    print(json.dumps(line))
    measured = {name: bound for name, bound in WANTED.items() if name in figures}
    return exit_status(measured, figures, TIMES)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench video", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few small frames: everything but the times still counts")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="for bench_video.png")
    return parser


def whole():
    yield speed.measure_speed(Size(1280, 720), frames=16, side=512, repeats=3)
    yield speed.measure_still(Size(3840, 2160), subject=512, side=512, repeats=3)
    yield speed.measure_memory(Size(480, 272), counts=(16, 256), large=8192)
    yield steady.measure_flicker(clips=8, frames=24, side=256)
    yield steady.measure_lamp(clips=4, frames=24, side=256)
    yield shared_reference.measure_shared_reference(clips=8, frames=24, side=128)
    yield steady.measure_cut(frames=8, side=256)
    yield steady.measure_parts(clips=2, frames=48, side=256, chunk=24)
    yield path.measure_path()


def quick():
    yield speed.measure_speed(Size(160, 120), frames=6, side=64, repeats=1)
    yield speed.measure_still(Size(320, 240), subject=80, side=64, repeats=1)
    yield steady.measure_flicker(clips=2, frames=10, side=128)
    yield steady.measure_lamp(clips=2, frames=12, side=128)
    yield shared_reference.measure_shared_reference(clips=1, frames=6, side=128)
    yield steady.measure_cut(frames=5, side=96)
    yield steady.measure_parts(clips=1, frames=18, side=96, chunk=12)
    yield path.measure_path(frames=13)
