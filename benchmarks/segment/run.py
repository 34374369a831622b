"""`python3 dev.py bench segment`: how well subjects are found, how true the edges are, and what a prompt costs.

Every segmenter runs through Segment as shipped: on RelitScenes held out from all training, whose mattes are exact, and
on photographs with masks drawn by hand. `--models FOLDER` adds further files to the table. `--quick` uses few and small
images, where times mean nothing. The images go to output/bench_segment.png.
"""

import argparse
import functools
import json
from pathlib import Path

from benchmarks.common import docs as page
from benchmarks.common import table
from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import exit_status, rounded, show
from devtools.contact_sheet import contact_sheet
from devtools.paths import OUTPUT

# Bounds on the figures; all but the times decide the exit status.
WANTED = {
    "quokka_iou": (">=", 0.94),
    "deeplab_iou": (">=", 0.80),
    "edge_gain": (">=", 0.25),
    "reprompt_speedup": (">=", 20),
}
TIMES = ("reprompt_speedup",)
# The side of an image on the sheet, in pixels.
SIDE = 300

holds = functools.partial(table.holds, WANTED)


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    node = start_comfyui()["PhDSegment"]
    from benchmarks.segment import sam, scores

    with temporary_folders(), silent():
        sections, figures, tiles = scores.measure(node, options.quick, options.models)
        for section in sections:
            show(section, WANTED)
        section, cost = sam.measure(options.quick)
        show(section, WANTED)
    figures |= cost
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "bench_segment.png"
    contact_sheet(tiles, columns=scores.COLUMNS, side=SIDE).save(path)
    print(f"\nImages: {path}")
    line = rounded(figures)
    if not options.quick and options.models is None:
        page.publish("segment", line)
    print(json.dumps(line))
    return exit_status(WANTED, figures, TIMES)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench segment", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and small images")
    parser.add_argument("--models", type=Path, help="folder with further model files to measure")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder for the images")
    return parser
