"""`python3 dev.py bench segment`: how well subjects are found, how true the edges are, and what a prompt costs.

Every backend runs through PhDSegment, as shipped, on RelitScenes held out from all training, whose mattes are exact,
and on photographs with masks drawn by hand. `--models FOLDER` judges further files in the same table. `--quick`
measures few and small ones, where times mean nothing; the images go to output/bench_segment.png.
"""

import argparse
import functools
import json
from pathlib import Path

from benchmarks.common import table
from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import shortened, show
from devtools.paths import ROOT

# What the figures must be; those that are not times decide the exit status.
WANTED = {
    "quokka_iou": (">=", 0.94),
    "deeplab_iou": (">=", 0.80),
    "edge_gain": (">=", 0.25),
    "reprompt_speedup": (">=", 20),
}
TIMES = ("reprompt_speedup",)
SIDE = 300


holds = functools.partial(table.holds, WANTED)


def rounded(value):
    """Figures as the line of JSON shows them, in tables within tables too."""
    return {name: rounded(item) for name, item in value.items()} if isinstance(value, dict) else shortened(value)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="dev.py bench segment", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few and small images")
    parser.add_argument("--models", type=Path, help="folder with further model files to judge")
    parser.add_argument("--out", type=Path, default=ROOT / "output", help="folder for the images")
    options = parser.parse_args(arguments)
    node = start_comfyui()["PhDSegment"]
    from benchmarks.segment import sam, scores
    from devtools.contact_sheet import contact_sheet

    with temporary_folders(), silent():
        sections, figures, tiles = scores.measure(node, options.quick, options.models)
        for section in sections:
            show(section, WANTED)
        section, cost = sam.measure(options.quick)
        show(section, WANTED)
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "bench_segment.png"
    contact_sheet(tiles, columns=scores.SHOWN + 2, side=SIDE).save(path)
    print(f"\nImages: {path}")
    figures |= cost
    print(json.dumps(rounded(figures)))
    return 0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1
