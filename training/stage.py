"""What every stage of training shares: its folder, its log, saving, and the learning-rate schedule."""

import math
import os
from pathlib import Path

import torch

from devtools.paths import CACHE

WORK = CACHE / "demo"


class Log:
    """Prints a line and appends it to the stage's log file."""

    def __init__(self, stage: str, folder: Path = WORK):
        self.file = folder / f"{stage}.log"

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        with self.file.open("a") as file:
            file.write(line + "\n")


def save_atomically(state: dict, path: Path) -> None:
    """Saves so that an interruption, or a loss of power, leaves the previous file intact."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def cosine(step: int, steps: int, warmup: int = 200) -> float:
    """Learning-rate factor: linear warm-up, then a cosine down to 2 %."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup) / max(1, steps - warmup))))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
