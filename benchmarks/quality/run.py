"""`python3 dev.py bench quality`: harmonizing with the demo model on RelitScenes, whose right answer is known.

All methods run at equal model calls on the same scenes: the pack's, ComfyUI's own sampling, other inpainting loops, and
blends without a model. Reported are means with paired bootstrap intervals, by stratum, and what the demo model itself
can do. An interrupted run continues where it stopped. Settings were chosen on the validation split (`--validation`).
Tables, plots and images go to benchmarks/quality/results.

    python3 dev.py bench quality                            # 200 scenes, 2 seeds, 10 / 36 / 60 / 120 calls: hours
    python3 dev.py bench quality --quick                    # 24 scenes, 1 seed, 10 and 36 calls: minutes
    python3 dev.py bench quality --workflow my_api.json     # a workflow of your own on the same scenes
    python3 dev.py bench quality --module                   # the learned module, at 1 to 32 calls: minutes
    python3 dev.py bench quality --photographs              # real photographs, at 36 calls: minutes
    python3 dev.py bench quality --votes FOLDER             # a page on which people compare the images blindly
"""

import argparse
import sys
from pathlib import Path

from benchmarks.common.comfyui import silent, start_comfyui, temporary_folders
from benchmarks.common.table import exit_status
from benchmarks.quality.plan import LEAST_SCENES, LEVELS, QUICK_LEVELS, RESULTS, SCENES, SEEDS, Plan, is_whole
from devtools.paths import DEMO_WEIGHTS, ROOT

# The demo model's files.
PARTS = ("codec", "text", "unet")

WANTED = {
    "with_reference_vs_best_rival": ("<=", 0.5),
    "with_reference_vs_paste": ("<=", 0.4),
    "with_reference_identity": (">=", 0.95),
    "with_reference_calls": ("<=", 36),
    "with_reference_ring_vs_paste": ("<=", 1),
    "harmonize_defaults_ratio": ("<=", 1.1),
    "outside_equal": ("==", True),
    "vae_psnr": (">=", 26),
    "prompt_accuracy": (">=", 0.6),
    "text_gap": (">=", 0.01),
    "hole_vs_mean": ("<", 1),
    "hole_vs_telea": ("<", 1),
}


class WeightsError(ValueError):
    """The demo model is missing or damaged; the message names the file."""


def check_weights() -> None:
    from devtools.comfyui import load_pack

    for part in (*PARTS, "classifier"):
        try:
            load_pack().nodes.demo_weights.read_weights(part)
        except (OSError, ValueError) as error:
            raise WeightsError(str(error)) from None


def levels_of(text: str) -> tuple[int, ...]:
    known = {str(level): level for level in LEVELS}
    try:
        return tuple(sorted({known[level.strip()] for level in text.split(",")}))
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(known)}") from None


def side_of(text: str) -> int:
    if not text.isdecimal() or int(text) % 8 or not 64 <= int(text) <= 2048:
        raise argparse.ArgumentTypeError(f"{text!r} is not a multiple of 8 between 64 and 2048")
    return int(text)


def scenes_of(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_SCENES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of at least {LEAST_SCENES}, one scene of each stratum"
        )
    return int(text)


def first_of(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py bench quality", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="24 scenes, 1 seed, 10 and 36 calls")
    parser.add_argument("--validation", action="store_true", help="use the split on which settings are chosen")
    parser.add_argument("--levels", type=levels_of, help="model calls, such as 10,36 (of 10, 36, 60 and 120)")
    parser.add_argument("--scenes", type=scenes_of, help="number of scenes (200, quick: 24)")
    parser.add_argument(
        "--first-scene",
        type=first_of,
        default=0,
        metavar="N",
        help="number of the first scene: other scenes than the published ones, which begin with 0",
    )
    parser.add_argument("--seeds", type=int, choices=range(1, SEEDS + 1), help="1 takes half the time (2, quick: 1)")
    parser.add_argument("--workflow", type=Path, help="API workflow to be scored on the scenes")
    parser.add_argument("--module", action="store_true", help="measure the learned module alone")
    parser.add_argument("--photographs", action="store_true", help="measure on real photographs alone")
    parser.add_argument("--server", help="a running ComfyUI for --workflow, such as http://127.0.0.1:8188")
    parser.add_argument(
        "--grid",
        action="append",
        default=[],
        metavar="TITLE.WIDGET=VALUE,…",
        help="values to try for a widget of --workflow; the best on validation scenes is measured",
    )
    parser.add_argument("--side", type=side_of, default=128, help="image size in pixels for --workflow (128)")
    parser.add_argument("--votes", type=Path, metavar="FOLDER", help="write a page for blind comparisons by people")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for results (a whole run: benchmarks/quality/results, others: output/bench_quality)",
    )
    options = parser.parse_args(arguments)
    for name in ("grid", "server"):
        if getattr(options, name) and not options.workflow:
            parser.error(f"--{name} needs --workflow, the API workflow to be run.")
    return options


def planned(options: argparse.Namespace) -> Plan:
    quick, split = options.quick, "validation" if options.validation else "test"
    count, seeds = options.scenes or (24 if quick else SCENES), options.seeds or (1 if quick else SEEDS)
    published = is_whole(count, split, options.first_scene) and not options.workflow
    folder = options.out or (RESULTS if published else ROOT / "output" / "bench_quality")
    return Plan(count, seeds, options.levels or (QUICK_LEVELS if quick else LEVELS), split, folder, options.first_scene)


def main(arguments: list[str]) -> int:
    options = parsed(arguments)
    start_comfyui("--use-pytorch-cross-attention")
    import torch

    from benchmarks.quality import module, module_sheet, on_photographs, votes, workflow
    from benchmarks.quality.measure import measure
    from benchmarks.quality.report import report
    from benchmarks.quality.store import Store, weights_hash
    from relit_scenes import subjects
    from relit_scenes.materials import ImagesMissingError

    plan = planned(options)
    store = Store(plan.rows)
    with temporary_folders() as folder, silent(), torch.inference_mode():
        try:
            subjects.sprite_archive()
            if options.workflow:
                return workflow.measure(
                    plan, store, options.workflow, options.grid, options.side, options.server, folder
                )
            check_weights()
            if options.module:
                if plan.published:
                    print(f"Wrote {module_sheet.save(ROOT / 'docs' / 'module.jpg')}")
                return module.measure(plan, options.quick)
        except (ImagesMissingError, workflow.WorkflowInputError, WeightsError) as error:
            print(error, file=sys.stderr)
            return 2
        weights = weights_hash([DEMO_WEIGHTS / f"{part}.safetensors" for part in PARTS])
        if options.photographs:
            return on_photographs.measure(plan, weights)
        results = measure(plan, store, weights)
        if options.votes:
            for file in votes.write_page(options.votes, plan, results, weights):
                print(f"Wrote {file}")
        figures = report(plan, results, weights, options.quick, WANTED)
    return exit_status(WANTED, figures)
