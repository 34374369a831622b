"""How near ours and other loops come to the true posterior, on models that predict exactly."""

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import comfy.model_patcher
import comfy.sample
import comfy.samplers
import torch

from benchmarks.common import rival_loops as rivals
from benchmarks.common.oracle import FAMILIES
from benchmarks.common.table import Section
from benchmarks.inpaint.processes import (
    CHAINS,
    LENGTH,
    Curves,
    Setting,
    curve_oracle,
    karras,
    known_latent,
    latent_mask,
)
from devtools.comfyui import load_pack
from devtools.model_calls import count_model_calls

QUALITIES = ("relw2", "seam", "variance")
PROMPT = [[torch.zeros(1, 1, 1), {}]]


@dataclass(frozen=True)
class Method:
    """A loop: its label, its outer steps, and a function that makes its SAMPLER."""

    label: str
    steps: int
    sampler: Callable


def masked(method: str, **changes) -> Callable:
    """The pack's own sampler with its nodes' defaults."""
    sampler = load_pack().nodes.comfy_sampler
    defaults = {"sampler_name": "euler", "inner_steps": 3, "step_size": 1.0, "lambda_strength": 10.0}
    settings = sampler.LoopWidgets(method=method, **(defaults | changes)).settings()
    return lambda: sampler.MaskedSampler(settings)


def core(name: str) -> Callable:
    return lambda: comfy.samplers.sampler_object(name)


def rival(rule: Callable, **settings) -> Callable:
    return lambda: rivals.sampler(rule, **settings)


def preset(name: str) -> Method:
    steps, inner = load_pack().nodes.sampler_inputs.INPAINT_PRESETS[name]
    return Method(f"ours, {name}: {steps} × {inner}", steps, masked("masked Langevin", inner_steps=inner))


def repaint(steps: int, count: int) -> Method:
    again = masked("RePaint", sampler_name="euler_ancestral", jump_count=count)
    return Method(f"RePaint, r = {count}, j = 1: {steps} steps", steps, again)


@functools.cache
def methods() -> dict[str, Method]:
    """All loops by their names in the line of JSON, which end in the most model calls that each may make."""
    one, two = {"inner": 5, "pinned": False}, {"inner": 5, "pinned": True}
    # The best of `grid.py` on validation curves.
    best = {"pinned": False, "step": 1.0, "guide": 50.0}
    return {
        "ours_fast": preset("fast"),
        "ours_60": preset("balanced"),
        "ours_120": preset("best"),
        "plain_60": Method("core KSampler, euler", 60, core("euler")),
        "plain_120": Method("core KSampler, euler", 120, core("euler")),
        "ancestral_60": Method("core KSampler, euler_ancestral", 60, core("euler_ancestral")),
        "langevin_60": Method("plain Langevin: 10 × 5", 10, rival(rivals.langevin, inner=5)),
        "langevin_120": Method("plain Langevin: 20 × 5", 20, rival(rivals.langevin, inner=5)),
        "repaint_60": repaint(12, 5),
        "repaint_120": repaint(24, 5),
        "repaint10_60": repaint(6, 10),
        "repaint10_120": repaint(12, 10),
        "lanpaint_tuned_60": Method("LanPaint, tuned: 5 × 13", 5, rival(rivals.lanpaint, inner=13, **best)),
        "lanpaint_tuned_120": Method("LanPaint, tuned: 8 × 16", 8, rival(rivals.lanpaint, inner=16, **best)),
        "lanpaint1_60": Method("LanPaint 2.0, defaults: 10 × 5", 10, rival(rivals.lanpaint, **one)),
        "lanpaint1_120": Method("LanPaint 2.0, defaults: 20 × 5", 20, rival(rivals.lanpaint, **one)),
        "lanpaint2_60": Method("LanPaint 2.1, defaults: 15 × 5 and less", 15, rival(rivals.lanpaint, **two)),
        "lanpaint2_120": Method("LanPaint 2.1, defaults: 30 × 5 and less", 30, rival(rivals.lanpaint, **two)),
        "former_60": Method("our earlier loop (BiG): 10 × 5", 10, rival(rivals.former, inner=5)),
        "former_120": Method("our earlier loop (BiG): 20 × 5", 20, rival(rivals.former, inner=5)),
    }


def sample(method: Method, setting: Setting, seed: int, family: str = "EPS") -> tuple[torch.Tensor, int]:
    """A run on an exact model, see `run`."""
    return run(curve_oracle(family, setting.process), setting.process, method, seed, flow=family == "FLOW")


def run(
    model: comfy.model_patcher.ModelPatcher,
    process: Curves,
    method: Method,
    seed: int,
    *,
    flow: bool = False,
    prompts: tuple[list, list] = (PROMPT, PROMPT),
    cfg: float = 1.0,
    channels: int = CHAINS,
) -> tuple[torch.Tensor, int]:
    """Samples [curves,chains,64] of a whole run through ComfyUI, and its model calls.

    prompts: positive, negative. channels: of an item.
    """
    latent = known_latent(process, channels)
    noise = comfy.sample.prepare_noise(latent, seed)
    with count_model_calls() as count:
        samples = comfy.sample.sample_custom(
            model, noise, cfg, method.sampler(), karras(method.steps, flow), *prompts, latent,
            noise_mask=latent_mask(), disable_pbar=True, seed=seed,
        )  # fmt: skip
    return samples.double().view(-1, process.chains, LENGTH), count.calls


def scored(method: Method, setting: Setting, family: str = "EPS") -> dict[str, float]:
    """Means over the seeds, the spread of relw2 between them, and the model calls."""
    runs = [sample(method, setting, seed, family) for seed in setting.seeds]
    scores = [setting.process.score(samples) for samples, _ in runs]
    means = {name: statistics.mean(score[name] for score in scores) for name in scores[0]}
    errors = [score["relw2"] for score in scores]
    return {**means, "spread": max(errors) - min(errors), "calls": runs[0][1]}


def as_text(score: dict[str, float]) -> str:
    weights = f"  weights {score['weights']:.3f}" if "weights" in score else ""
    return (
        f"{score['calls']:4d} calls  relW2 {score['relw2']:.3f} ±{score['spread'] / 2:.3f}"
        f"  seam {score['seam']:5.2f}  variance {score['variance']:.2f}{weights}"
    )


def measure(setting: Setting, title: str, names: tuple[str, ...] | None = None) -> tuple[Section, dict[str, dict]]:
    """The table of a setting, and the scores of every method by name."""
    section = Section(f"{title}, {len(setting.seeds)} seeds")
    exact = setting.process.score(setting.process.truth())
    section.row("true samples, as many", as_text({**exact, "spread": 0.0, "calls": 0}))
    scores = {}
    for name, method in methods().items():
        if names is None or name in names:
            scores[name] = scored(method, setting)
            section.row(f"{name}  {method.label}", as_text(scores[name]))
    return section, scores


def better(scores: dict[str, dict]) -> list[str]:
    """A line for each score in which a rival with the same limit of model calls is nearer to the truth than ours."""
    lines, ours = [], {name: score for name, score in scores.items() if name.startswith("ours_")}
    for name, score in scores.items():
        if name in ours:
            continue
        for own, mine in ours.items():
            if name.rsplit("_", 1)[-1] != own.rsplit("_", 1)[-1]:
                continue
            for quality in ("relw2", "seam", "variance", "weights"):
                if quality in score and distance(quality, score) < distance(quality, mine):
                    lines.append(f"{name} beats {own} in {quality}: {score[quality]:.3f} against {mine[quality]:.3f}")
    return lines


def distance(quality: str, score: dict[str, float]) -> float:
    """Distance of a score from the truth: from 0 for errors, from 1 for ratios."""
    return abs(score[quality] - 1) if quality in ("seam", "variance") else score[quality]


def family_gap(setting: Setting) -> tuple[Section, float]:
    """The largest relative difference between the model families, with the same noise."""
    section = Section("The three families, same noise: ours_60")
    scores = {family: scored(methods()["ours_60"], setting, family) for family in FAMILIES}
    for family, score in scores.items():
        section.row(family, as_text(score))
    gap = max(
        max(values) / min(values) - 1 for values in ([s[quality] for s in scores.values()] for quality in QUALITIES)
    )
    section.row("largest relative difference", f"{gap:.2e}")
    return section, gap
