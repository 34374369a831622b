"""`python3 dev.py bench finish`: any model's image brought back in place, by Stitch and by other methods.

Each scene's truth is what a perfect model would return. It is damaged as users of edit models report it, and every
method makes a finished image of it. Errors are shares of the plain paste's. Bounds hold for scenes of 1024²; those of
512² and 2048² are measured too, and `--quick` runs few small ones. A contact sheet goes to output/bench_finish.png.
"""

import argparse
import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import docs as page
from benchmarks.common import table
from benchmarks.common.images import eight_bits
from benchmarks.common.memory import in_fresh_process
from benchmarks.common.subject_scores import score
from benchmarks.common.table import exit_status, rounded
from benchmarks.finish.damages import KINDS, changed_outside
from benchmarks.finish.methods import RIVALS, kept_changes, ours, stitch_before
from devtools.contact_sheet import contact_sheet
from devtools.paths import OUTPUT
from phd_ops.pixels.finish import AUTO, EVERYTHING
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene

# Scenes by their side.
SCENES = {1024: 24, 512: 16, 2048: 2}
QUICK = {256: 3}
QUICK_KINDS = ("none", "shift6_tint", "kontext_crop", "shadow_outside", "pose")
WANTED = {
    "kinds.shift6_tint.ours.fmse_ratio": ("<=", 0.08),
    "kinds.shift6_tint.ours.edge": ("<=", 0.15),
    "kinds.shift6_tint.ours.worse": ("==", 0),
    "kinds.shift6_tint.ours.identity": (">=", 0.985),
    "kinds.zoom2.ours.edge": ("<=", 0.15),
    "kinds.kontext_crop.ours.edge": ("<=", 0.20),
    "kinds.tint_field.ours.fmse_ratio": ("<=", 0.10),
    "none_equal": ("==", True),
    "outside_equal": ("==", True),
    "changes_kept": (">=", 0.9),
    "changes_touched": ("<=", 0.02),
    "pose_noticed": (">=", 0.9),
    "pose_falsely": ("<=", 0.02),
    "residual_median": ("<=", 0.1),
    "residual_95": ("<=", 0.5),
    "seconds_2048": ("<=", 1.5),
    "memory_2048": ("<=", 6),
}
TIMES = ("seconds_2048", "memory_2048")
FIGURES = ("fmse", "identity", "boundary", "ring", "ring_edge", "outside_equal", "mse_255", "fmse_255", "psnr")
# Figures that only one kind of damage has, and those of all kinds together.
EXTRAS = {
    "none": ("none_equal",),
    "shadow_outside": ("changes_kept", "changes_touched"),
    "pose": ("pose_noticed", "pose_auto_error"),
}
TOGETHER = ("residual_median", "residual_95", "pose_falsely", "outside_equal")
SHOWN = ("mask", "sift", "stitch_before", "ours")

holds = functools.partial(table.holds, WANTED)


@dataclass(frozen=True)
class Row:
    """A method on all scenes of one kind of damage: means over the scenes, see `subject_scores`.

    Attributes:
        fmse_ratio: as a share of the paste's.
        worse: the share of scenes in which it is worse than the paste.
        edge: squared error of the gradients along the edge, as a share of the true ones.
        ring_edge: the same in the ground around the subject.
        mse_255, fmse_255, psnr: in the units of iHarmony4's benchmark.
    """

    fmse_ratio: float
    identity: float
    edge: float
    ring: float
    ring_edge: float
    mse_255: float
    fmse_255: float
    psnr: float
    worse: float
    outside_equal: bool
    seconds: float

    @property
    def text(self) -> str:
        outside = "equal" if self.outside_equal else "changed"
        return (
            f"fMSE {self.fmse_ratio:6.3f} × paste  identity {self.identity:.3f}  edge {self.edge:6.3f}  "
            f"ring {self.ring:.4f} / {self.ring_edge:.3f}  worse {self.worse:4.0%}  outside {outside:<8}"
            f"at 256²: MSE {self.mse_255:6.1f} fMSE {self.fmse_255:7.1f} PSNR {self.psnr:5.2f}{self.seconds:6.2f} s"
        )


def main(arguments: list[str]) -> int:
    options = argument_parser().parse_args(arguments)
    sides = QUICK if options.quick else {side: SCENES[side] for side in options.sides}
    kinds = QUICK_KINDS if options.quick else options.kinds
    figures: dict[str, Any] = {}
    for side, count in sides.items():
        first = not figures
        scenes = [scene(number, side) for number in range(count)]
        found = measure(scenes, kinds, options.out if first else None)
        if not options.quick:
            for part, part_figures in parts_of(found, side, kinds).items():
                page.store("finish", part_figures, part)
        figures |= found if first else {f"sides.{side}.{name}": value for name, value in found.items()}
    if not options.quick:
        # In a process of its own, for its memory.
        found = in_fresh_process("benchmarks.finish.large")
        page.publish("finish", rounded(found), "registration of 2048²")
        seconds, images = found["seconds_2048"], found["memory_2048"]
        print(f"\nRegistration and color shift at 2048²: {seconds:.2f} s, memory of {images:.1f} images")
        figures |= found
    bounded = {name: bound for name, bound in WANTED.items() if name in figures}
    for name in bounded:
        print(table.verdict(WANTED, name, figures[name]))
    print(json.dumps(rounded(figures)))
    return exit_status(bounded, figures, TIMES)


def parts_of(figures: dict[str, Any], side: int, kinds: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The figures of scenes of a side as they are stored: a part for each kind of damage, which may be measured at
    different times; and what all kinds have together, if none was left out."""
    parts = {}
    for kind in kinds:
        names = {name: name.removeprefix(f"kinds.{kind}.") for name in figures if name.startswith(f"kinds.{kind}.")}
        names |= {name: name for name in EXTRAS.get(kind, ())}
        parts[f"{side}, {kind}"] = {"scenes": SCENES[side]} | {short: figures[name] for name, short in names.items()}
    if set(kinds) == set(KINDS):
        parts[f"{side}, all kinds"] = {name: value for name, value in figures.items() if name in TOGETHER}
    return rounded(parts)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench finish", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few scenes, small images, five kinds of damage")
    parser.add_argument("--sides", type=int, nargs="+", choices=SCENES, default=list(SCENES), help="sides in pixels")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="kinds of damage")
    parser.add_argument("--out", type=Path, default=OUTPUT, help="folder for the contact sheet")
    return parser


def scene(number: int, side: int) -> Scene:
    return render_scene(draw_scene(number, "test", STRATA[number % len(STRATA)]), side)


def measure(scenes: Sequence[Scene], kinds: Sequence[str], out: Path | None) -> dict[str, Any]:
    """Prints a table for each kind of damage; the figures of all by their names in the JSON."""
    pastes = [score(one.composite, one, ["fmse"]) for one in scenes]
    figures: dict[str, Any] = {}
    tiles, residuals, falsely = [], [], []
    for kind in kinds:
        returned = [KINDS[kind](one) for one in scenes]
        print(f"\n{kind}, {len(scenes)} scenes of {len(scenes[0].truth)}²")
        rows, images = {}, {}
        for name, rival in RIVALS.items():
            made, seconds = timed(rival, scenes, returned)
            rows[name], images[name] = row(made, seconds, scenes, pastes), made[0]
        done, seconds = timed(ours, scenes, returned)
        rows["ours"], images["ours"] = row([one.image for one in done], seconds, scenes, pastes), done[0].image
        for name, found in rows.items():
            print(f"  {name:<16}{found.text}", flush=True)
            figures |= {f"kinds.{kind}.{name}.{key}": value for key, value in vars(found).items()}
        print_losses(rows)
        tiles += [("scene", scenes[0].background), ("paste", scenes[0].composite), (f"{kind}: returned", returned[0])]
        tiles += [(name, images[name]) for name in SHOWN] + [("truth", scenes[0].truth)]
        # What is not matched counts as 1 pixel off.
        residuals += [float(np.nan_to_num(one.registration.residual, nan=1.0)) for one in done]
        if KINDS[kind].fits:
            falsely += [not one.finished.subject_fits for one in done]
        figures |= extras(kind, scenes, returned, images=[one.image for one in done])
    figures["residual_median"], figures["residual_95"] = (float(np.quantile(residuals, q)) for q in (0.5, 0.95))
    figures["pose_falsely"] = float(np.mean(falsely))
    figures["outside_equal"] = all(value for name, value in figures.items() if name.endswith("ours.outside_equal"))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        sheet = contact_sheet([(label, eight_bits(image)) for label, image in tiles], columns=8, side=256)
        sheet.save(out / "bench_finish.png")
    return figures


def timed(method: Callable, scenes: Sequence[Scene], returned: Sequence[np.ndarray]) -> tuple[list, float]:
    """What a method makes of each scene, and its seconds for one."""
    start = time.perf_counter()
    made = [method(*pair) for pair in zip(scenes, returned, strict=True)]
    return made, (time.perf_counter() - start) / len(scenes)


def row(
    images: Sequence[np.ndarray], seconds: float, scenes: Sequence[Scene], pastes: Sequence[dict[str, float]]
) -> Row:
    scores = [score(np.float32(image), one, FIGURES) for image, one in zip(images, scenes, strict=True)]

    def mean(figure: str) -> float:
        return float(np.nanmean([one[figure] for one in scores]))

    worse = float(np.mean([own["fmse"] > paste["fmse"] for own, paste in zip(scores, pastes, strict=True)]))
    ratio = mean("fmse") / float(np.mean([paste["fmse"] for paste in pastes]))
    equal = all(one["outside_equal"] for one in scores)
    means = {name: mean(name) for name in ("identity", "ring", "ring_edge", "mse_255", "fmse_255", "psnr")}
    return Row(fmse_ratio=ratio, edge=mean("boundary"), worse=worse, outside_equal=equal, seconds=seconds, **means)


def print_losses(rows: dict[str, Row]) -> None:
    """What ours loses against the field's own post-processing."""
    for name in ("mask", "sift"):
        for key, text in (("fmse_ratio", "fMSE"), ("edge", "edge")):
            ours, theirs = getattr(rows["ours"], key), getattr(rows[name], key)
            if ours > theirs:
                print(f"  LOSS: {text} {ours:.3f}, {name} has {theirs:.3f}")


def extras(
    kind: str, scenes: Sequence[Scene], returned: Sequence[np.ndarray], images: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Figures that only one kind of damage has; `images` are ours."""
    pairs = list(zip(scenes, returned, strict=True))
    if kind == "none":
        before = [stitch_before(*pair) for pair in pairs]
        return {"none_equal": all(map(np.array_equal, images, before))}
    if kind == "shadow_outside":
        kept = [kept_changes(one, image, changed_outside(image, one)) for one, image in pairs]
        figures = {name: float(np.mean([getattr(one, name) for one in kept])) for name in ("kept", "touched")}
        print(f"  changes outside the mask: kept {figures['kept']:.3f}, touched elsewhere {figures['touched']:.4f}")
        return {f"changes_{name}": value for name, value in figures.items()}
    if kind == "pose":
        done = [ours(*pair, EVERYTHING, AUTO).finished for pair in pairs]
        noticed = float(np.mean([not one.subject_fits for one in done]))
        errors = [
            float(np.abs(one.stitched.image - image)[one.changed > 0].mean())
            for one, (_, image) in zip(done, pairs, strict=True)
        ]
        print(f"  another pose noticed in {noticed:.0%}; then off the model's own pixels by {np.mean(errors):.3f}")
        return {"pose_noticed": noticed, "pose_auto_error": float(np.mean(errors))}
    return {}
