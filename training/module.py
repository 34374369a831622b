"""Stage `module`: the learned module, trained beside a frozen base on pastes whose truth is known.

python3 dev.py train module                                              # for the demo model
python3 dev.py train module --base FILE --images FOLDER --out FILE     # for a checkpoint, see module_for_checkpoint.py
"""

import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from devtools.comfyui import load_pack
from devtools.paths import CACHE, DEMO_WEIGHTS
from training.data import SceneBatch
from training.diffusion import Training, autocast, training_loss
from training.module_base import Base, demo_base, is_large, recompute
from training.module_data import Latents, PasteMixture
from training.module_evaluate import PHOTOGRAPH_RUNS, PasteValidation
from training.photographs import Photographs
from training.stage import Log, cosine, set_rate

WORK = CACHE / "module"
RATE, WARMUP = 4e-4, 100
# Pastes in a step.
COUNT = 16
SAVE_EVERY, REPORT_EVERY = 50, 500
# The shares of right prompts, of none, and of another scene's. Light and color are to be taken from the paste, not from
# the prompt.
RIGHT, NONE = 0.34, 0.33
# Noise levels are drawn as sigmoid(normal * spread + shift) of the way to pure noise; this share is pure noise, from
# where one step reads the light.
LEVEL_SHIFT, LEVEL_SPREAD, PURE_NOISE = 1.2, 1.3, 0.5
# Light varies slowly over a subject: the mean errors over blocks of so many cells count, each with this weight.
BLOCK, BLOCK_WEIGHT = 4, 8.0
# The greatest weight of a squared error of the clean latent.
MOST_WEIGHT = 400.0
# What training holds of each parameter, in bytes: weight and bfloat16 copy, gradient, AdamW's moments, the average.
BYTES = 4 + 2 + 4 + 8 + 4


# Networks


def empty_network(base: Base) -> nn.Module:
    """A module whose weights take no memory yet."""
    with torch.device("meta"):
        network = load_pack().nodes.module_network
        return network.ModuleNetwork(base.model.latent_format.latent_channels, **base.unet_config)


def module_size(base: Base) -> int:
    """The number of the module's parameters."""
    return sum(value.numel() for value in empty_network(base).parameters())


def network_for(base: Base, weights: Path | None = None) -> nn.Module:
    """A module with the weights of a file; without one, a module that does nothing yet."""
    network = load_pack().nodes.module_network
    made = network.ModuleNetwork(base.model.latent_format.latent_channels, **base.unet_config)
    if is_large(base):
        recompute(made)
    if weights is None:
        network.copy_encoder(made, base.model.diffusion_model)
    else:
        made.load_state_dict(load_file(weights))
    return made.float().to(base.device).requires_grad_(True)


def started(base: Base, weights: Path | None = None, rate: float = RATE) -> Training:
    """Training before its first step, from the weights of a file or else from a copy of the base's encoder."""
    modules = nn.ModuleDict({"module": network_for(base, weights)})
    average = {name: value.detach().clone() for name, value in modules.state_dict().items()}
    optimizer = torch.optim.AdamW(modules.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    return Training(modules, average, optimizer)


def averaged_network(training: Training, base: Base) -> nn.Module:
    """The module with the moving average of its weights: the tensors themselves, not copies."""
    network = empty_network(base).requires_grad_(False)
    weights = {name.removeprefix("module."): value for name, value in training.average.items()}
    network.load_state_dict(weights, assign=True)
    return network


def save_module(training: Training, base: Base, file: Path) -> None:
    """The averaged weights in fp16, with what a loader has to know of the base; atomically."""
    weights = {name.removeprefix("module."): value.half().contiguous() for name, value in training.average.items()}
    partial = file.with_suffix(".partial")
    save_file(weights, partial, load_pack().nodes.module_network.metadata(base.model))
    with partial.open("rb") as written:
        os.fsync(written.fileno())
    partial.replace(file)


# One step


def given_prompts(prompts: list[str], generator: torch.Generator) -> list[str]:
    """Some of the right prompts, some empty ones, and the next scene's for the rest."""
    others = prompts[1:] + prompts[:1]
    kinds = torch.rand(len(prompts), generator=generator).tolist()
    return [
        right if kind < RIGHT else "" if kind < RIGHT + NONE else other
        for kind, right, other in zip(kinds, prompts, others, strict=True)
    ]


def noise_levels(count: int, generator: torch.Generator) -> torch.Tensor:
    """[count] in 0..1: shares of the way to pure noise."""
    levels = torch.sigmoid(LEVEL_SHIFT + LEVEL_SPREAD * torch.randn(count, generator=generator))
    return torch.where(torch.rand(count, generator=generator) < PURE_NOISE, 1.0, levels)


def error_weight(base: Base, sigma: torch.Tensor) -> torch.Tensor:
    """What a squared error of the clean latent counts: that of the velocity, of a flow or as Salimans and Ho define it.

    For noise that is added to the whole signal, 1 + 1 / sigma²; for a flow 1 / sigma².
    """
    return (sigma**-2 + (0.0 if base.is_flow else 1.0)).clamp(max=MOST_WEIGHT)


def step_loss(base: Base, module: nn.Module, batch: Latents, step: int) -> torch.Tensor:
    """The loss of one step, at random noise levels; the same for the same step."""
    generator, device = torch.Generator().manual_seed(step), base.device
    prompts = given_prompts(batch.prompts, generator)
    truth, composite, subject, hidden, condition = (
        value.float().to(device)
        for value in (batch.truth, batch.composite, batch.subject, batch.hidden, batch.condition)
    )
    sigma = base.levels(noise_levels(len(truth), generator)).to(device)
    noise = torch.randn(truth.shape, generator=generator).to(device)
    with torch.no_grad():
        conditions = {name: value.to(device) for name, value in base.prompts(prompts).items()}
        conditions |= base.visible(composite, hidden)
        noisy = base.model.model_sampling.noise_scaling(sigma.view(-1, 1, 1, 1), noise, truth)

    # For few cells plain attention is faster.
    attention = nullcontext() if is_large(base) else sdpa_kernel(SDPBackend.MATH)
    with autocast(device.type), attention:
        control = module(None, condition, sigma, conditions["c_crossattn"], conditions.get("y"))
        found = base.model.apply_model(noisy, sigma, control=control, **conditions)
    error = (found.float() - truth) * error_weight(base, sigma).sqrt().view(-1, 1, 1, 1)
    channels = base.channels.to(device)
    details = training_loss(error, channels, SceneBatch(truth, subject, hidden, prompts))
    return details + block_loss(error, channels, hidden * subject)


def block_loss(error: torch.Tensor, channels: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
    """Weighted mean square of the errors' means over blocks of the hidden subject.

    error: [B,C,h,w]. channels: [C], the loss's weights. subject: [B,1,h,w], its share of each cell.
    """
    pooled, size = (F.avg_pool2d(one, BLOCK, ceil_mode=True) for one in (error * subject, subject))
    squares = channels.view(1, -1, 1, 1) * pooled.square() / size.clamp(min=1 / BLOCK**2)
    return BLOCK_WEIGHT * squares.sum() / (subject.sum().clamp(min=1) / BLOCK**2 * error.shape[1])


# All of them


def train(
    base: Base,
    batch: Callable[[int, int], Latents],
    steps: int,
    *,
    folder: Path,
    out: Path,
    log: Callable[[str], None],
    count: int = COUNT,
    weights: Path | None = None,
    report: Callable[[nn.Module], None] = lambda module: None,
) -> None:
    """Trains up to `steps` optimizer steps, from the last checkpoint in `folder` on.

    Args:
        batch: the batch of a step, of so many pastes.
        folder: of `module.pt`, all that resuming needs.
        out: the weights' file, written together with the checkpoint.
        weights: where there is no checkpoint yet, training starts from those of this file.
        report: is called now and then with the averaged module.

    Raises:
        FloatingPointError: the loss is no longer finite; the last checkpoint is kept.
        ValueError: the checkpoint belongs to another base.
    """
    saved = folder / "module.pt"
    training = resumed(base, saved, weights)
    size = sum(parameter.numel() for parameter in training.parameters)
    log(f"{size / 1e6:.2f} million parameters. From step {training.step}, {steps} steps are planned.")
    began, losses = time.time(), []
    while training.step < steps:
        set_rate(training.optimizer, RATE * cosine(training.step, steps, WARMUP))
        loss = step_loss(base, training.modules["module"], batch(training.step, count), training.step)
        if not loss.isfinite():
            raise FloatingPointError("The loss is no longer finite; the last saved checkpoint is still good.")
        training.update(loss)
        losses.append(loss.item())
        last = training.step == steps
        if training.step % SAVE_EVERY == 0 or last:
            log(f"step {training.step} loss {np.mean(losses):.4f}, {time.time() - began:.0f} s")
            losses.clear()
            training.save(saved)
            save_module(training, base, out)
        if training.step % REPORT_EVERY == 0 or last:
            report(averaged_network(training, base))


def resumed(base: Base, file: Path, weights: Path | None = None) -> Training:
    """Training at its last checkpoint, or at its start where there is none, see `started`."""
    training = started(base, weights)
    if file.is_file():
        try:
            training.load(file)
        except RuntimeError:
            raise ValueError(f"{file} belongs to another base: give another --out, or delete it.") from None
    return training


def train_demo_module(steps: int, fresh: bool = False) -> None:
    """Trains the demo model's module, from the published weights on; everything lies in `.cache/module`.

    fresh: starts from a copy of the demo model's encoder instead.
    """
    WORK.mkdir(parents=True, exist_ok=True)
    log = Log("module", WORK)
    base = demo_base()
    photographs = Photographs.loaded(WORK, log)
    mixture = PasteMixture(base, WORK, None if photographs is None else photographs.paste)
    validation = PasteValidation(base)
    relit = None if photographs is None else PasteValidation(base, photographs.relit())

    def report(module: nn.Module) -> None:
        log(f"  {validation.report(module)}")
        if relit is not None:
            log(f"  photographs: {relit.report(module, PHOTOGRAPH_RUNS)}")
        validation.sheet(module).save(WORK / "sheet.png")

    weights = None if fresh else DEMO_WEIGHTS / "module.safetensors"
    out = WORK / "module.safetensors"
    train(base, mixture.batch, steps, folder=WORK, out=out, log=log, weights=weights, report=report)
