"""Trains the demo model, stage by stage; every stage of README.md can be stopped and resumed.

    python3 dev.py train codec        # the autoencoder
    python3 dev.py train diffusion    # UNet (and text encoder), from the published weights on
    python3 dev.py train classifier   # recognizes the object in an image, for the benchmark
    python3 dev.py train evaluate     # measures the published weights and those in training on test scenes
    python3 dev.py train export       # writes fp16 weights and their hashes to demo/weights

Work in progress is stored in `.cache/demo`, with a log `<stage>.log` for each stage.
"""

import argparse

from training.classifier import train_classifier
from training.codec import train_codec
from training.diffusion import train_diffusion
from training.evaluate import evaluate
from training.export import export
from training.stage import WORK


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="dev.py train", description="Train one stage of the demo model.")
    parser.add_argument("stage", choices=["codec", "diffusion", "classifier", "evaluate", "export"])
    parser.add_argument("--steps", type=int, help="optimizer steps (codec: 1500, diffusion: 8000, classifier: 6000)")
    parser.add_argument("--fresh", action="store_true", help="diffusion: start from random weights")
    parser.add_argument("--only", choices=["published", "training"], help="evaluate: one of the two alone")
    parser.add_argument("--count", type=int, default=48, help="evaluate: number of scenes")
    options = parser.parse_args(arguments)
    WORK.mkdir(parents=True, exist_ok=True)
    if options.stage == "codec":
        train_codec(options.steps or 1500)
    elif options.stage == "diffusion":
        train_diffusion(options.steps or 8000, options.fresh)
    elif options.stage == "classifier":
        train_classifier(options.steps or 6000)
    elif options.stage == "evaluate":
        evaluate([options.only] if options.only else ["published", "training"], options.count)
    else:
        export()
