"""`python3 dev.py bench harmonize`: how near harmonized subjects come to the truth, beside what other tools make.

Everything runs through ComfyUI's own sampling code and the pack's nodes, on scenes whose truth is known and a model
that is exact for them. Two strata: subjects of a color of their own, which the prompt names, and subjects of the
background's material, where Poisson blending is strong. Settings were chosen on the validation scenes, which
`--validation` runs instead of the test scenes; `--quick` takes fewer. Images go to output/bench_harmonize.png.
"""

import argparse
import functools
from pathlib import Path

from benchmarks.common import table
from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import exit_status
from devtools.paths import OUTPUT

# Bounds on the figures; all but the times decide the exit status.
WANTED = {
    "ours_fmse": ("<=", 0.05),
    "ours_identity": (">=", 0.985),
    "ours_calls": ("<=", 36),
    "with_reference_fmse": ("<=", 0.040),
    "with_reference_identity": (">=", 0.985),
    "with_reference_calls": ("<=", 36),
    "wrong_prompt_fmse": ("<=", 0.040),
    "no_prompt_fmse": ("<=", 0.15),
    "same_color_ours_vs_poisson": ("<=", 1.2),
    "same_color_with_reference_vs_poisson": ("<=", 1.2),
    "worse_than_paste": ("<=", 0.02),
    "outside_equal": ("==", True),
    "smoother_linear_error": ("<=", 1e-5),
    "smoother_1024_s": ("<=", 0.35),
    "smoother_4k_ratio": ("<=", 16),
}
TIMES = ("smoother_1024_s", "smoother_4k_ratio")

holds = functools.partial(table.holds, WANTED)


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    start_comfyui()
    from benchmarks.harmonize import report
    from benchmarks.harmonize.methods import TEST, VALIDATION

    with temporary_folders(), silent():
        figures = report.measure(options.quick, VALIDATION if options.validation else TEST, options.out, WANTED)
    return exit_status(WANTED, figures, TIMES)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench harmonize", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few scenes and small images")
    parser.add_argument("--validation", action="store_true", help="the scenes that settings are chosen on")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder for the images")
    return parser
