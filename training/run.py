"""Trains the demo model, stage by stage; every stage of README.md can be stopped and resumed.

    python3 dev.py train codec        # the autoencoder
    python3 dev.py train diffusion    # UNet (and text encoder), from the published weights on
    python3 dev.py train classifier   # recognizes the object in an image, for the benchmark
    python3 dev.py train module       # the learned module, beside the frozen UNet
    python3 dev.py train rivals       # two harmonizers of other papers, for the benchmark
    python3 dev.py train evaluate     # measures the published weights and those in training on test scenes
    python3 dev.py train export       # writes fp16 weights and their hashes to demo/weights

Work in progress is stored in `.cache/demo`, with a log `<stage>.log` for each stage.
"""

import argparse
from pathlib import Path

from training.classifier import train_classifier
from training.codec import train_codec
from training.diffusion import train_diffusion
from training.evaluate import evaluate
from training.export import export
from training.image_folder import FolderError
from training.module import train_demo_module
from training.module_for_checkpoint import Request, train_on_folder
from training.rival_networks import NETWORKS
from training.rivals import STEPS as RIVAL_STEPS
from training.rivals import train_rivals
from training.stage import WORK

STAGES = ("codec", "diffusion", "classifier", "module", "rivals", "evaluate", "export")
# Optimizer steps of a stage, if --steps does not say otherwise.
STEPS = {"codec": 1500, "diffusion": 8000, "classifier": 6000, "module": 40000, "rivals": RIVAL_STEPS}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="dev.py train", description="Train one stage of the demo model.")
    parser.add_argument("stage", choices=STAGES)
    defaults = ", ".join(f"{stage}: {steps}" for stage, steps in STEPS.items())
    parser.add_argument("--steps", type=int, help=f"optimizer steps ({defaults})")
    parser.add_argument("--fresh", action="store_true", help="diffusion, module: not from the published weights on")
    parser.add_argument(
        "--only", choices=["published", "training", *NETWORKS], help="evaluate, rivals: one of the two alone"
    )
    parser.add_argument("--count", type=int, default=48, help="evaluate: number of scenes")
    add_module_options(parser)
    options = parser.parse_args(arguments)
    WORK.mkdir(parents=True, exist_ok=True)
    steps = options.steps or STEPS.get(options.stage)
    if options.stage == "codec":
        train_codec(steps)
    elif options.stage == "diffusion":
        train_diffusion(steps, options.fresh)
    elif options.stage == "classifier":
        train_classifier(steps)
    elif options.stage == "rivals":
        if options.only and options.only not in NETWORKS:
            parser.error(f"--only for rivals is one of {', '.join(NETWORKS)}.")
        train_rivals(steps, options.only)
    elif options.stage == "evaluate":
        if options.only in NETWORKS:
            parser.error("--only for evaluate is published or training.")
        evaluate([options.only] if options.only else ["published", "training"], options.count)
    elif options.stage == "module":
        train_module(parser, options)
    else:
        export()


def add_module_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("module for a checkpoint; without --base for the demo model")
    group.add_argument("--base", type=Path, help="checkpoint of SD 1.5 or SDXL, with CLIP and VAE")
    group.add_argument("--images", "--pictures", type=Path, help="folder of images, with their captions as .txt files")
    group.add_argument("--masks", type=Path, help="folder of masks (white = subject) with the images' names")
    group.add_argument("--segmenter", type=Path, help="instead of --masks: a salient-object model (.onnx)")
    group.add_argument("--out", type=Path, help="the module, .safetensors; its training files go next to it")
    group.add_argument("--side", type=int, default=Request.side, help="side of the training images in pixels")
    group.add_argument("--batch", type=int, default=Request.count, help="images in a step")
    group.add_argument("--dry-run", action="store_true", help="measure a few steps: parameters, memory, time")


def train_module(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """The module's stage; what is wrong with files and folders is one sentence."""
    try:
        if options.base is None:
            train_demo_module(options.steps or STEPS["module"], options.fresh)
            return
        if options.images is None or options.out is None:
            parser.error("--base needs --images and --out.")
        given = {name: getattr(options, name) for name in ("base", "images", "out", "masks", "segmenter", "side")}
        steps = options.steps or Request.steps
        train_on_folder(Request(**given, steps=steps, count=options.batch, dry_run=options.dry_run))
    except (FolderError, ValueError, FloatingPointError) as error:
        parser.exit(2, f"{error}\n")
    except OSError as error:
        parser.exit(2, f"{error.filename or 'A file'}: {error.strerror}. The last saved checkpoint is still good.\n")
