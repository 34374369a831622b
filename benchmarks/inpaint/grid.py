"""`dev.py bench inpaint --grid`: the settings with which the rivals do best, on validation curves and backgrounds.

A rival's row in the tables has the best settings of these trials. They are chosen on other curves and backgrounds than
those that the tables are about. For LanPaint's first-order rule: the numbers of outer and inner steps, the length of an
inner step, lambda, and whether the length is pinned as in its v2.1. For RePaint: how often it jumps.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import comfy.samplers
import torch

from benchmarks.common.rival_loops import lanpaint_inner_steps
from benchmarks.inpaint import demo, exact
from benchmarks.inpaint.backgrounds import CHUNK, SCHEDULER, Network, load
from benchmarks.inpaint.demo import CFGS, Loop
from benchmarks.inpaint.processes import Setting, karras

# Model calls that a rival may make beside ours with 20 (or 28), 57 and 115.
LIMITS = {20: 20, 57: 60, 115: 120}
# Outer steps of the trials by count of calls; the inner steps are as many as the limit leaves.
STEPS = {20: (7, 5, 4, 3), 57: (20, 15, 10, 6, 5, 4), 115: (30, 20, 10, 8, 6, 4)}
# Up to 1 and 50, as its widgets allow.
LENGTHS, LAMBDAS = (0.1, 0.2, 0.5, 1.0), (5.0, 10.0, 20.0, 50.0)
JUMP_COUNTS = {20: (2, 3, 4, 5), 57: (2, 3, 5, 10), 115: (3, 5, 10, 20)}
SPLIT = "validation"


@dataclass(frozen=True)
class LanPaint:
    """A trial of LanPaint's rule."""

    steps: int
    step: float
    guide: float
    pinned: bool = False

    def loop(self, sigmas: torch.Tensor, flow: bool, limit: int) -> Loop:
        """With the most inner steps that stay within a limit of model calls."""
        inner = 1
        while self.steps + sum(lanpaint_inner_steps(sigmas, flow, inner + 1, self.pinned)) <= limit:
            inner += 1
        return demo.lanpaint(self.steps, inner, self.step, self.guide, self.pinned)


def every(count: int) -> Iterator[LanPaint]:
    return itertools.starmap(LanPaint, itertools.product(STEPS[count], LENGTHS, LAMBDAS, (False, True)))


def descent(count: int, error: Callable[[LanPaint], float]) -> LanPaint:
    """The best of trials that change one setting after another, each around the best so far."""
    tried: dict[LanPaint, float] = {}
    best = LanPaint({20: 5, 57: 10, 115: 20}[count], 1.0, 5.0)
    for name, values in (("step", LENGTHS), ("guide", LAMBDAS), ("steps", STEPS[count]), ("pinned", (True,))):
        for trial in (replace(best, **{name: value}) for value in values):
            if trial not in tried:
                tried[trial] = error(trial)
        best = min(tried, key=tried.get)
    return best


def on_curves(count: int) -> None:
    """Prints all trials on validation curves, best first, by relW2."""
    setting, rows = Setting(SPLIT, 24, 96, (1,)), []
    for trial in every(count):
        loop = trial.loop(karras(trial.steps, False), False, LIMITS[count])
        rows.append((exact.scored(loop, setting), loop.label))
    for jumps in JUMP_COUNTS[count]:
        method = exact.repaint(LIMITS[count] // jumps, jumps)
        rows.append((exact.scored(method, setting), method.label))
    print(f"\nValidation curves, at most {LIMITS[count]} calls")
    for score, label in sorted(rows, key=lambda row: row[0]["relw2"]):
        print(f"  {label:<44}{exact.as_text(score)}")


def on_backgrounds(network: Network, cfg: float, count: int) -> None:
    """Prints trials on validation backgrounds, and the best."""
    sampling = load(network).get_model_object("model_sampling")

    def error(loop: Loop) -> float:
        rows = demo.rows_of(loop, network, cfg, CHUNK, 1, SPLIT)
        print(f"  {loop.label:<44}{rows.calls:4d} calls  l1 {rows.l1.mean():6.2f}", flush=True)
        return float(rows.l1.mean())

    def loop_of(trial: LanPaint) -> Loop:
        return trial.loop(comfy.samplers.calculate_sigmas(sampling, SCHEDULER, trial.steps), True, LIMITS[count])

    print(f"\n{network.name}, cfg {cfg:g}, at most {LIMITS[count]} calls, {CHUNK} validation backgrounds")
    best = descent(count, lambda trial: error(loop_of(trial)))
    jumps = {r: error(demo.repaint_loop(LIMITS[count] // r, r)) for r in JUMP_COUNTS[count]}
    print(f"  → best: LanPaint {loop_of(best).label}; RePaint r = {min(jumps, key=jumps.get)}", flush=True)


def main(which: str) -> None:
    """Prints the trials on "curves" or on the "demo" model."""
    for count in LIMITS:
        if which == "curves":
            on_curves(count)
        else:
            for plain, cfg in itertools.product((False, True), CFGS):
                on_backgrounds(Network(plain, half=True), cfg, count)
