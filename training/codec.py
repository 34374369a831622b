"""Stage `codec`: the demo model's autoencoder. Principal components are fitted, then the decoder is trained."""

import math
import time

import torch
import torch.nn.functional as F
from torch import nn

from demo.codec import PatchCodec
from devtools.comfyui import load_pack
from training.demo_scenes import SceneRenderer, rendered_scenes
from training.stage import WORK, Log, cosine, save_atomically, set_rate

SIDE = 128
RATE = 1e-3
# Noise on the latent while the decoder learns, so that it tolerates a sampler's errors.
LATENT_NOISE = 0.03


def gradients(image: torch.Tensor) -> torch.Tensor:
    """Horizontal and vertical differences of [B,C,H,W], flattened into one vector."""
    dx, dy = image[..., :, 1:] - image[..., :, :-1], image[..., 1:, :] - image[..., :-1, :]
    return torch.cat([dx.flatten(), dy.flatten()])


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """In dB, for images in [-1,1]; `a` is clipped first."""
    return -10 * math.log10((a.clamp(-1, 1) - b).square().mean().item() / 4)


def fitted_codec(renderer: SceneRenderer) -> PatchCodec:
    """The codec with its linear part fitted to scenes; the same on every call."""
    codec = PatchCodec()
    codec.fit(rendered_scenes(renderer, [1], 1500, SIDE)[0])
    return codec


def train_codec(steps: int) -> None:
    """Trains the decoder with L1 on pixels and on their gradients; the linear encoder stays as fitted."""
    log, checkpoint = Log("codec"), WORK / "codec.pt"
    torch.manual_seed(0)
    renderer = SceneRenderer()
    codec, start = fitted_codec(renderer), 0
    nn.init.zeros_(codec.smooth[-2].weight)
    nn.init.zeros_(codec.smooth[-2].bias)
    optimizer = torch.optim.AdamW(codec.parameters(), lr=RATE, weight_decay=1e-4)
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        codec.load_state_dict(state["codec"])
        optimizer.load_state_dict(state["optimizer"])
        start = state["step"]
    held_out, _ = rendered_scenes(renderer, [2], 64, SIDE)
    log(f"step {start} psnr {psnr(codec.decode(codec.encode(held_out)), held_out):.2f} dB on held-out scenes")
    began = time.time()
    for step in range(start, steps):
        set_rate(optimizer, RATE * cosine(step, steps))
        loss = codec_loss(codec, rendered_scenes(renderer, [3, step], 12, SIDE)[0])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0 or step + 1 == steps:
            with torch.no_grad():
                quality = psnr(codec.decode(codec.encode(held_out)), held_out)
            log(f"step {step + 1} loss {loss.item():.4f} psnr {quality:.2f} dB, {time.time() - began:.0f} s")
            state = {"codec": codec.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            save_atomically(state, checkpoint)


def codec_loss(codec: PatchCodec, images: torch.Tensor) -> torch.Tensor:
    """L1 on pixels plus L1 on gradients, for images [B,3,H,W] in [-1,1]."""
    latent = codec.encode(images)
    decoded = codec.decode(latent + LATENT_NOISE * torch.randn_like(latent))
    return F.l1_loss(decoded, images) + F.l1_loss(gradients(decoded), gradients(images))


def codec_of(state: dict[str, torch.Tensor]) -> PatchCodec:
    """A frozen codec with these weights."""
    codec = PatchCodec()
    codec.load_state_dict({name: value.float() for name, value in state.items()})
    return codec.requires_grad_(False)


def current_codec() -> PatchCodec:
    """The codec in training if there is one, else the published one; frozen."""
    checkpoint = WORK / "codec.pt"
    trained = torch.load(checkpoint, weights_only=True)["codec"] if checkpoint.is_file() else None
    return codec_of(trained or load_pack().nodes.demo_weights.read_weights("codec"))
