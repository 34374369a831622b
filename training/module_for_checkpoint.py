"""Trains a module for anyone's checkpoint on anyone's images.

    python3 dev.py train module --base FILE --images FOLDER --masks FOLDER --out FILE
    python3 dev.py train module --base FILE --images FOLDER --segmenter u2netp.onnx --out FILE
    python3 dev.py train module --base FILE --images FOLDER --masks FOLDER --out FILE --dry-run

A mask has its image's name; a caption is a text file beside its image, with the same name. All that resuming needs
lies in FILE.training: checkpoint, log, encoded images and a sheet to look at.
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import comfy.model_management
import numpy as np
import torch
from PIL import Image
from torch import nn

from phd_ops.segmenters.onnx_salient import SalientModel
from training.image_folder import FolderError, ImageFolder, listed
from training.module import BYTES, module_size, started, step_loss, train
from training.module_base import Base, checkpoint_base
from training.module_data import Latents
from training.stage import Log

# Steps of a dry run; the first one, which also warms up, does not count.
DRY_STEPS = 4
SHOWN = 4


@dataclass(frozen=True)
class Request:
    """What the command line asks for; `side` in pixels, `count` images in a step."""

    base: Path
    images: Path
    out: Path
    masks: Path | None = None
    segmenter: Path | None = None
    side: int = 512
    steps: int = 20000
    count: int = 4
    dry_run: bool = False


def train_on_folder(request: Request) -> None:
    """Trains, or with `dry_run` measures a few steps. Raises FolderError or ValueError with one sentence."""
    if (request.masks is None) == (request.segmenter is None):
        raise FolderError("Give either --masks, a folder, or --segmenter, a salient-object model (.onnx).")
    if not request.base.is_file():
        raise FolderError(f"--base is {request.base}, which is not a file.")
    found = listed(request.images, request.masks)
    segment = None if request.segmenter is None else SalientModel(str(request.segmenter)).predict
    base = checkpoint_base(request.base, {source.caption for source in found})
    check_memory(base)
    train_base(base, request, found, segment)


def check_memory(base: Base) -> None:
    """Raises ValueError where training would be killed for its memory. The base must be loaded."""
    size, free = module_size(base), comfy.model_management.get_free_memory(base.device)
    if size * BYTES > free:
        raise ValueError(
            f"The module of this base of {base.parameters / 1e6:.1f} million parameters has {size / 1e6:.1f} million. "
            f"Training it takes {size * BYTES / 2**30:.1f} GiB beside the base, and the activations, but "
            f"{free / 2**30:.1f} GiB are free: give a device with more memory, or a smaller base."
        )


def train_base(base: Base, request: Request, found: list, segment: Callable | None = None) -> None:
    folder = request.out.with_name(f"{request.out.name}.training")
    folder.mkdir(parents=True, exist_ok=True)
    log = Log("module", folder)
    if request.dry_run:
        # One step's images are enough.
        found = found[: request.count]
    images = ImageFolder(base, found, request.side, folder / "encoded", segment, log)
    if request.dry_run:
        log(measured(base, images.batch, request))
        return

    def report(module: nn.Module) -> None:
        sheet(base, module, images.batch(0, SHOWN)).save(folder / "sheet.png")

    train(base, images.batch, request.steps, folder=folder, out=request.out, log=log, count=request.count,
          report=report)  # fmt: skip


def measured(base: Base, batch: Callable[[int, int], Latents], request: Request) -> str:
    """Runs a few real steps; parameters, memory and time in words."""
    training, seconds = started(base), []
    for step in range(DRY_STEPS):
        began = time.perf_counter()
        training.update(step_loss(base, training.modules["module"], batch(step, request.count), step))
        seconds.append(time.perf_counter() - began)
    each = statistics.median(seconds[1:])
    if base.device.type == "cuda":
        memory = f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of the device"
    else:
        # In KiB, as Linux counts it.
        memory = f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB"
    size = sum(parameter.numel() for parameter in training.parameters)
    hours = each * request.steps / 3600
    return (
        f"base {base.parameters / 1e6:.1f} million parameters, module {size / 1e6:.1f} million; {request.count} "
        f"images of {request.side} pixels in a step: {each:.2f} s, {memory} at most; "
        f"{request.steps} steps take about {hours:.1f} hours."
    )


@torch.no_grad()
def sheet(base: Base, module: nn.Module, batch: Latents) -> Image.Image:
    """A column for each image: composite, what the base makes of it in one call with the module, and the truth."""
    conditions = {name: value.to(base.device) for name, value in base.prompts(batch.prompts).items()}
    composite, condition, hidden = (
        value.float().to(base.device) for value in (batch.composite, batch.condition, batch.hidden)
    )
    conditions |= base.visible(composite, hidden)
    sigma = base.levels(torch.ones(len(composite))).to(base.device)
    noise = torch.randn(composite.shape, generator=torch.Generator().manual_seed(0)).to(base.device)
    noisy = base.model.model_sampling.noise_scaling(sigma.view(-1, 1, 1, 1), noise, composite)
    control = module(None, condition, sigma, conditions["c_crossattn"], conditions.get("y"))
    drawn = base.model.apply_model(noisy, sigma, control=control, **conditions)
    drawn = torch.where(hidden > 0, drawn, composite)
    rows = [
        np.concatenate(list(((base.decode(latents) + 1) / 2).clamp(0, 1).movedim(1, -1).cpu().float().numpy()), axis=1)
        for latents in (composite, drawn, batch.truth.float().to(base.device))
    ]
    return Image.fromarray((np.concatenate(rows) * 255 + 0.5).astype(np.uint8))
