"""Stage `rivals`: two harmonizers of other papers, trained on the same split as the demo model, for `bench quality`.

python3 dev.py train rivals                    # both, one after the other
python3 dev.py train rivals --only pctnet      # or harmonizer

Everything lies in `.cache/rivals`: pastes, checkpoints, logs, curves, and the weights with the least error on the
validation split in fp16. They are not part of the pack.
"""

import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from devtools.paths import CACHE
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene
from relit_scenes.subjects import KINDS
from training.diffusion import Training, autocast
from training.evaluate import subject_error
from training.module_data import PasteStore, other_light, over
from training.rival_networks import NETWORKS, SIDE, harmonized, resized
from training.stage import Log, cosine, set_rate

WORK = CACHE / "rivals"
STEPS, COUNT, RATE = 5000, 16, 1e-3
# The pastes of the training split, and the share of them whose subject comes in one more light.
PASTES, OTHER_LIGHT = 24000, 0.3
# Both papers divide the error by the subject's size, but not by fewer pixels than these.
LEAST_PIXELS = 100.0
SAVE_EVERY, REPORT_EVERY = 50, 250
VALIDATION = 96
COLUMNS = ("step", "loss", "own_color", "same_color")


def weights_file(name: str) -> Path:
    """Where a rival's weights are, once it has been trained."""
    return WORK / f"{name}.safetensors"


def curve_file(name: str) -> Path:
    """Where a rival's losses and validation errors are, by step."""
    return WORK / f"{name}.csv"


def load(name: str) -> nn.Module:
    """A trained rival. Raises FileNotFoundError before it is trained."""
    network = NETWORKS[name]()
    network.load_state_dict(load_file(weights_file(name)))
    return network.eval()


def save(network: nn.Module, file: Path) -> None:
    """All floating-point tensors in fp16."""
    state = network.state_dict().items()
    save_file({key: value.half() if value.is_floating_point() else value for key, value in state}, file)


def batch_of(store: PasteStore, step: int, count: int = COUNT) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Truths and composites [B,3,S,S] and mattes [B,1,S,S] in 0..1, the same for the same step."""
    rng, rows = np.random.default_rng([13, step]), []
    for _ in range(count):
        paste = store.draw(rng, len(store.prompts))
        composite = paste.composite
        if rng.random() < OTHER_LIGHT:
            composite = over(paste.matte, other_light(rng, composite), composite)
        rows.append(np.dstack([paste.truth, composite, paste.matte]))
    images = torch.from_numpy(np.stack(rows)).movedim(-1, 1).float() / 255
    return images[:, :3], images[:, 3:6], images[:, 6:]


def subject_loss(result: torch.Tensor, truth: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """Squared error over the subject, divided by its size in pixels (at least LEAST_PIXELS), mean over the batch."""
    inside = (matte > 0).float()
    error = ((result - truth).square().mean(1, keepdim=True) * inside).sum((1, 2, 3))
    return (error / inside.sum((1, 2, 3)).clamp(min=LEAST_PIXELS)).mean()


def step_loss(network: nn.Module, truth: torch.Tensor, composite: torch.Tensor, matte: torch.Tensor) -> torch.Tensor:
    """The loss at half the resolution, which saves a third of the time."""
    with autocast():
        parameters = network(resized(composite), resized(matte))
    truth, composite, matte = (F.avg_pool2d(images, 2) for images in (truth, composite, matte))
    changed = network.applied(parameters, composite, matte)
    return subject_loss(composite + matte * (changed - composite), truth, matte)


# Validation


def validation_scenes(count: int = VALIDATION, kinds: tuple[str, ...] = KINDS) -> list[Scene]:
    """Scenes of the validation split, each stratum as often; see `draw_scene`."""
    strata = [STRATA[number % len(STRATA)] for number in range(count)]
    return [render_scene(draw_scene(number, "validation", each, kinds), SIDE) for number, each in enumerate(strata)]


def shares(network: nn.Module, scenes: list[Scene]) -> dict[str, float]:
    """The error as a share of the paste's, on the scenes of their own color and on the others."""
    found = {}
    for group, same in (("own_color", False), ("same_color", True)):
        chosen = [scene for scene in scenes if (scene.description.stratum == "same color") == same]
        ours = [subject_error(harmonized(network, scene.composite, scene.matte), scene) for scene in chosen]
        found[group] = float(np.mean(ours) / np.mean([subject_error(scene.composite, scene) for scene in chosen]))
    return found


# Training


def started(name: str) -> Training:
    torch.manual_seed(0)
    modules = nn.ModuleDict({"rival": NETWORKS[name]()})
    average = {key: value.detach().clone() for key, value in modules.state_dict().items()}
    return Training(modules, average, torch.optim.AdamW(modules.parameters(), lr=RATE, weight_decay=1e-4, fused=True))


def averaged(name: str, training: Training) -> nn.Module:
    """The network with the moving average of its weights: the tensors themselves, not copies."""
    network = NETWORKS[name]().requires_grad_(False).eval()
    weights = {key.removeprefix("rival."): value for key, value in training.average.items()}
    network.load_state_dict(weights, assign=True)
    return network


def steps_of(training: Training, store: PasteStore, steps: int) -> Iterator[float]:
    """Trains up to `steps` optimizer steps; yields each one's loss."""
    network = training.modules["rival"]
    while training.step < steps:
        set_rate(training.optimizer, RATE * cosine(training.step, steps))
        loss = step_loss(network.train(), *batch_of(store, training.step))
        training.update(loss)
        yield loss.item()


def read_curve(file: Path, last: float = math.inf) -> list[dict[str, float]]:
    """The rows of a curve up to the step `last`."""
    if not file.is_file():
        return []
    with file.open(newline="") as lines:
        rows = [{key: float(row[key]) for key in COLUMNS} for row in csv.DictReader(lines)]
    return [row for row in rows if row["step"] <= last]


def write_curve(file: Path, rows: list[dict[str, float]]) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        writer.writeheader()
        writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)


def train_rival(name: str, steps: int) -> None:
    """Trains one of NETWORKS from its last checkpoint on; keeps the weights that do best on the validation split."""
    log, checkpoint = Log(name, WORK), WORK / f"{name}.pt"
    store = PasteStore(WORK, SIDE, PASTES)
    store.grow(PASTES)
    training, scenes = started(name), validation_scenes()
    if checkpoint.is_file():
        training.load(checkpoint)
    curve, network = read_curve(curve_file(name), training.step), averaged(name, training)
    size = sum(parameter.numel() for parameter in network.parameters())
    log(f"{name}: {size / 1e6:.2f} million parameters. From step {training.step}, {steps} steps are planned.")
    began, losses = time.time(), []
    for loss in steps_of(training, store, steps):
        losses.append(loss)
        if training.step % REPORT_EVERY == 0 or training.step == steps:
            row = {"step": training.step, "loss": float(np.mean(losses)), **shares(network, scenes)}
            if row["own_color"] < min((old["own_color"] for old in curve), default=np.inf):
                save(network, weights_file(name))
            curve.append(row)
            write_curve(curve_file(name), curve)
            losses.clear()
            figures = "  ".join(f"{key} {value:.5g}" for key, value in row.items())
            log(f"{figures}, {time.time() - began:.0f} s")
        if training.step % SAVE_EVERY == 0 or training.step == steps:
            training.save(checkpoint)


def train_rivals(steps: int, only: str | None = None) -> None:
    WORK.mkdir(parents=True, exist_ok=True)
    for name in [only] if only else NETWORKS:
        train_rival(name, steps)
