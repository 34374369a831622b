"""Stage `diffusion`: UNet and text encoder, trained as a rectified flow on what `data.py` mixes."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from demo.codec import PatchCodec
from training.candidate import candidate_of, masked_mean
from training.codec import current_codec
from training.data import SceneBatch, SceneMixture
from training.networks import encode_text, initial_networks, tokenize, unet_input, word_tokenizer
from training.stage import WORK, Log, cosine, save_atomically, set_rate
from training.validation import Validation

# The highest learning rate, from random weights and from trained ones.
FRESH_RATE, RATE = 6e-4, 4e-4
# Seven steps of eight have 32 scenes of 128 pixels, the eighth has 8 of 256 pixels.
SMALL, LARGE = (128, 32), (256, 8)
# How often the prompt is dropped, for classifier-free guidance.
PROMPT_DROPPED = 0.1
# Noise levels are drawn as sigmoid(normal + this): more above 0.5, where light and color are decided.
LEVEL_SHIFT = 0.8
# How much more the loss weighs a latent channel of mean color than one of detail: light is color, and few channels
# hold it.
COLOR_WEIGHT = 8.0
# How much more it weighs a cell of the subject: harmonizing changes the light there.
SUBJECT_WEIGHT = 5.0
# How much more it weighs the mean of the errors over a subject: light is common to all its cells, texture is not.
LIGHT_WEIGHT = 8.0
# The weight of a cell that the model sees without noise.
SEEN_WEIGHT = 0.1


@dataclass
class Training:
    """What a checkpoint holds. `average` is the moving average of the weights, changed in place."""

    modules: nn.ModuleDict
    average: dict[str, torch.Tensor]
    optimizer: torch.optim.Optimizer
    step: int = 0

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [parameter for parameter in self.modules.parameters() if parameter.requires_grad]

    def load(self, checkpoint: Path) -> None:
        state = torch.load(checkpoint, weights_only=True)
        self.modules.load_state_dict(state["modules"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average, self.step = state["average"], state["step"]

    def save(self, checkpoint: Path) -> None:
        state = {"modules": self.modules.state_dict(), "average": self.average}
        save_atomically({**state, "optimizer": self.optimizer.state_dict(), "step": self.step}, checkpoint)

    def update(self, loss: torch.Tensor) -> None:
        """One optimizer step, then the moving average."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        decay = min(0.999, (self.step + 1) / (self.step + 20))
        with torch.no_grad():
            for name, value in self.modules.state_dict().items():
                average = self.average[name]
                average.lerp_(value, 1 - decay) if average.is_floating_point() else average.copy_(value)
        self.step += 1


def started(tokenizer, fresh: bool) -> Training:
    """Training before its first step."""
    modules = initial_networks(tokenizer, fresh)
    modules["text"].requires_grad_(fresh)
    average = {name: value.detach().clone() for name, value in modules.state_dict().items()}
    learning = [parameter for parameter in modules.parameters() if parameter.requires_grad]
    rate = FRESH_RATE if fresh else RATE
    optimizer = torch.optim.AdamW(learning, lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)
    return Training(modules, average, optimizer)


def train_diffusion(steps: int, fresh: bool = False) -> None:
    """Trains up to `steps` optimizer steps, from the last checkpoint or else from the published weights.

    fresh: without a checkpoint, starts from random weights. The text encoder is trained only then.
    """
    log, checkpoint = Log("diffusion"), WORK / "diffusion.pt"
    torch.manual_seed(0)
    mixture, codec, tokenizer = SceneMixture(WORK), current_codec(), word_tokenizer()
    training = started(tokenizer, fresh)
    if checkpoint.is_file():
        training.load(checkpoint)
    # The candidate shares the average's tensors, so it always has the present values.
    averaged, validation = candidate_of(codec, training.average), Validation(codec, mixture.demo)
    log(f"From step {training.step}, {steps} steps are planned. {validation.losses(averaged)}")
    channels, rate = channel_weights(codec), FRESH_RATE if fresh else RATE
    began, losses = time.time(), []
    while training.step < steps:
        step = training.step
        side, count = LARGE if step % 8 == 7 else SMALL
        batch = mixture.batch(step, count, side)
        set_rate(training.optimizer, rate * cosine(step, steps))
        error = velocity_error(training.modules, tokenizer, codec.encode(batch.images), batch, step)
        training.update(training_loss(error, channels, batch))
        losses.append(masked_mean(error.detach().square(), batch.hidden).item())
        last = training.step == steps
        if training.step % 100 == 0 or last:
            log(f"step {training.step} loss {np.mean(losses):.4f}, {time.time() - began:.0f} s")
            if not math.isfinite(losses[-1]):
                raise FloatingPointError("The loss is no longer finite; the last saved checkpoint is still good.")
            losses.clear()
            training.save(checkpoint)
        if training.step % 500 == 0 or last:
            log(f"  {validation.losses(averaged)}")
            log(f"  {validation.light(averaged)}")


def velocity_error(
    modules: nn.ModuleDict, tokenizer, clean: torch.Tensor, batch: SceneBatch, step: int
) -> torch.Tensor:
    """Predicted minus true velocity, [B,C,h,w], at random noise levels; the same for the same step.

    clean: [B,C,h,w], the latents of the batch's images.
    """
    generator = torch.Generator().manual_seed(step)
    prompts = [prompt if torch.rand(1, generator=generator) > PROMPT_DROPPED else "" for prompt in batch.prompts]
    sigma = torch.sigmoid(LEVEL_SHIFT + torch.randn(len(clean), generator=generator))
    noise = torch.randn(clean.shape, generator=generator)
    noisy = torch.lerp(clean, noise, sigma.view(-1, 1, 1, 1))
    with autocast(), sdpa_kernel(SDPBackend.MATH):  # for so few cells plain attention is faster
        context = encode_text(modules["text"].text_model, tokenize(tokenizer, prompts))
        velocity = modules["unet"](unet_input(noisy, clean, batch.hidden), sigma * 1000, context=context)
    return velocity.float() - (noise - clean)


def autocast(device: str = "cpu") -> torch.autocast:
    """bfloat16 where the device supports it; the weights stay float32."""
    return torch.autocast(device, torch.bfloat16, enabled=has_bfloat16(device))


def has_bfloat16(device: str) -> bool:
    """Whether the device computes in bfloat16."""
    on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)
    return torch.cuda.is_bf16_supported() if device == "cuda" else on_cpu()


def training_loss(error: torch.Tensor, channels: torch.Tensor, batch: SceneBatch) -> torch.Tensor:
    """Weighted mean square of the velocity's error [B,C,h,w], plus that of its mean over each hidden subject.

    channels: [C], see `channel_weights`.
    """
    cells = batch.hidden.clamp(min=SEEN_WEIGHT) * (1 + (SUBJECT_WEIGHT - 1) * batch.subject)
    subject = batch.hidden * batch.subject
    size = subject.sum((2, 3))
    mean = (error * subject).sum((2, 3)) / size.clamp(min=1)
    details = channels.view(1, -1, 1, 1) * cells * error.square()
    light = channels * SUBJECT_WEIGHT * LIGHT_WEIGHT * size * mean.square()
    return (details.sum() + light.sum()) / (cells.sum() * error.shape[1])


def channel_weights(codec: PatchCodec) -> torch.Tensor:
    """The loss's weight [C] of each latent channel, 1 on average; high for channels that hold a cell's mean color."""
    patterns = codec.analysis.flatten(2)
    color = patterns.mean(2).norm(dim=1) / patterns.square().mean(2).sum(1).sqrt()
    weights = 1 + (COLOR_WEIGHT - 1) * color
    return weights / weights.mean()
