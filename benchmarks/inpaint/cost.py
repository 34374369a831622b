"""What masked sampling costs beside core KSampler, in time and memory; and that `plain` is core KSampler to the bit."""

import functools
import statistics
import time

import comfy.model_base
import comfy.supported_models
import torch

from benchmarks.common.oracle import FAMILIES
from benchmarks.common.table import Section
from benchmarks.inpaint import memory
from devtools.comfyui import load_pack
from devtools.tiny_networks import patcher

WORDS = 128
# About 16 million weights at 96 channels.
UNET = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "num_res_blocks": [2, 2, 1], "channel_mult": [1, 2, 2],
    "transformer_depth": [0, 0, 0, 1, 1], "transformer_depth_output": [0, 0, 0, 0, 0, 1, 1, 1],
    "transformer_depth_middle": 1, "context_dim": WORDS, "use_spatial_transformer": True,
    "use_linear_in_transformer": True, "legacy": False, "adm_in_channels": None, "num_heads": 4,
    "use_temporal_attention": False, "dtype": torch.float32,
}  # fmt: skip


class Instant(torch.nn.Module):
    """A network that answers at once: what is left of a run's time and memory is the sampler's own."""

    dtype = torch.float32

    def forward(self, x: torch.Tensor, *_, **__) -> torch.Tensor:
        return torch.zeros_like(x)


@functools.cache
def unet(family: str, channels: int) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's own UNet."""
    config = comfy.supported_models.SD15({**UNET, "model_channels": channels})
    model = comfy.model_base.BaseModel(config, getattr(comfy.model_base.ModelType, family), device="cpu")
    return patcher(model)


def instant() -> comfy.model_patcher.ModelPatcher:
    config = comfy.supported_models.SD15({**UNET, "disable_unet_model_creation": True})
    model = comfy.model_base.BaseModel(config, comfy.model_base.ModelType.EPS, device="cpu")
    model.diffusion_model = Instant()
    return patcher(model)


def prompt() -> list:
    return [[torch.randn(1, 77, WORDS, generator=torch.Generator().manual_seed(1)), {}]]


def latent(side: int) -> dict:
    """A latent whose middle is to be inpainted."""
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 1
    samples = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(7))
    return {"samples": samples, "noise_mask": mask}


def ours(model, given: dict, steps: int, inner_steps: int, method: str = "masked Langevin") -> torch.Tensor:
    """PhDMaskedInpaintSampler."""
    settings = {"cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    loop = {"method": method, "inner_steps": inner_steps, "step_size": 1.0, "lambda_strength": 5.0}
    node = load_pack().nodes.inpaint_sampler.PhDMaskedInpaintSampler
    (result,) = node.execute(model, prompt(), prompt(), given, seed=3, steps=steps, **settings, **loop).args
    return result["samples"]


def core(model, given: dict, steps: int) -> torch.Tensor:
    """KSampler."""
    import nodes

    (result,) = nodes.common_ksampler(model, 3, steps, 1.0, "euler", "normal", prompt(), prompt(), given)
    return result["samples"]


def per_call(model, side: int, steps: int, inner_steps: int, repeats: int) -> tuple[float, float, float]:
    """Milliseconds of a model call, KSampler's and ours, and the median of their differences, run by run in turns."""
    calls, given = steps + (steps - 1) * inner_steps, latent(side)
    runs = {"core": lambda: core(model, given, calls), "ours": lambda: ours(model, given, steps, inner_steps)}
    taken = {name: [] for name in runs}
    for turn in range(repeats + 1):
        # Each goes first as often as the other.
        for name in sorted(runs, reverse=turn % 2 == 0):
            start = time.perf_counter()
            runs[name]()
            taken[name].append(1000 * (time.perf_counter() - start) / calls)
    theirs, own = taken["core"][1:], taken["ours"][1:]
    apart = statistics.median(b - a for a, b in zip(theirs, own, strict=True))
    return statistics.median(theirs), statistics.median(own), apart


def measure_overhead(quick: bool) -> Section:
    """Time beyond KSampler's per model call: on a UNet, and the loop's own time by a network that takes none."""
    channels, side, repeats = (32, 16, 1) if quick else (96, 32, 4)
    network = unet("EPS", channels)
    weights = sum(weight.numel() for weight in network.model.diffusion_model.parameters())
    section = Section(f"Time per model call, UNet of {weights / 1e6:.1f} million weights, latent {side}²")
    theirs, own, _ = per_call(network, side, 4, 3, repeats)
    section.row("core KSampler, euler", f"{theirs:9.2f} ms")
    section.row("ours, masked Langevin", f"{own:9.2f} ms  {own / theirs:.4f} ×  (as noisy as the machine)")
    none, some, extra = per_call(instant(), side, 15, 3, 3 if quick else 15)
    section.row("the same with a network that takes no time", f"{none:9.3f} ms and {some:.3f} ms: {extra:.3f} ms more")
    section.figures["overhead_measured"] = own / theirs
    section.figures["overhead_per_call"] = 1 + extra / theirs
    return section


def measure_identity(quick: bool) -> Section:
    """`plain`, euler and a binary mask against KSampler with SetLatentNoiseMask, on a tiny UNet of every family."""
    section, given = Section("plain is core KSampler"), latent(16)
    same = []
    for family in FAMILIES:
        model = unet(family, 32)
        same.append(torch.equal(ours(model, given, 6, 3, "plain"), core(model, given, 6)))
        section.row(f"{family}, euler, binary mask", "equal to the bit" if same[-1] else "DIFFERS")
    section.figures["plain_bit_identical"] = all(same)
    return section


def measure_memory(quick: bool) -> Section:
    """Peak memory beyond KSampler's: in a process of its own, or quickly in this one."""
    # Tensors above 32 MB are given back when they are freed; smaller ones glibc may keep.
    side = 1472 if quick else 2048
    figures = memory.memory(side) if quick else memory.measure(side)
    section = Section(f"Peak memory in latents of 4 × {side}²")
    for who, latents in figures.items():
        section.row(who, f"{latents:9.2f}")
    section.figures["memory_latents"] = figures["ours"] - figures["core"]
    return section
