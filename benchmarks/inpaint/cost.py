"""What masked sampling costs beside core KSampler, in time and memory; and that `plain` is bit-equal to KSampler."""

import statistics
import time

import torch

from benchmarks.common.oracle import FAMILIES
from benchmarks.common.table import Section
from benchmarks.inpaint import memory
from benchmarks.inpaint.workload import core, instant, latent, ours, unet


def per_call(model, side: int, steps: int, inner_steps: int, repeats: int) -> tuple[float, float, float]:
    """Milliseconds per model call of KSampler and of ours, run in turns, and the median of their differences."""
    calls, given = steps + (steps - 1) * inner_steps, latent(side)
    runs = {"core": lambda: core(model, given, calls), "ours": lambda: ours(model, given, steps, inner_steps)}
    taken = {name: [] for name in runs}
    for turn in range(repeats + 1):
        # Each goes first in half of the turns.
        for name in sorted(runs, reverse=turn % 2 == 0):
            start = time.perf_counter()
            runs[name]()
            taken[name].append(1000 * (time.perf_counter() - start) / calls)
    theirs, own = taken["core"][1:], taken["ours"][1:]
    apart = statistics.median(b - a for a, b in zip(theirs, own, strict=True))
    return statistics.median(theirs), statistics.median(own), apart


def measure_overhead(quick: bool) -> Section:
    """Time per model call beyond KSampler's: on a UNet, and with a network that takes no time."""
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
    """Whether `plain` with euler and a binary mask is bit-equal to KSampler, on a tiny UNet of every family."""
    section, given = Section("plain is core KSampler"), latent(16)
    same = []
    for family in FAMILIES:
        model = unet(family, 32)
        same.append(torch.equal(ours(model, given, 6, 3, "plain"), core(model, given, 6)))
        section.row(f"{family}, euler, binary mask", "bit-equal" if same[-1] else "DIFFERS")
    section.figures["plain_bit_identical"] = all(same)
    return section


def measure_memory(quick: bool) -> Section:
    """Peak memory beyond KSampler's: in a process of its own, or quickly in this one."""
    # Tensors above 32 MB are given back when they are freed; smaller ones glibc may keep.
    side = 1472 if quick else 2048
    figures = memory.peaks(side) if quick else memory.measure(side)
    section = Section(f"Peak memory in latents of 4 × {side}²")
    for who, latents in figures.items():
        section.row(who, f"{latents:9.2f}")
    section.figures["memory_latents"] = figures["ours"] - figures["core"]
    return section
