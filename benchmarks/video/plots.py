"""The picture of `bench video`: light over time in three clips, and a tracker's path and the pack's."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

from benchmarks.video.clips import frames_of
from benchmarks.video.path import Tracked, tracked_path
from benchmarks.video.steady import LAMP, Lit, lit, lit_in_parts, readings_of

matplotlib.use("agg")
import matplotlib.pyplot as plt

COLORS = {"true": "#111111", "each frame by itself": "#e07b39", "steady": "#1f6fb2", "in parts": "#2a9d5c"}
NAME = "bench_video.png"


@dataclass(frozen=True)
class Curve:
    """A clip's mean log gain on the subject in each frame, [T], by what it is of."""

    title: str
    lines: dict[str, np.ndarray]


def mean_light(gains: np.ndarray, found: Lit) -> np.ndarray:
    return gains[:, found.inside].mean(axis=(1, 2))


def curves(frames: int, side: int, chunk: int) -> list[Curve]:
    """Of one RelitScenes clip, of the same with a lamp, and of a longer one that is worked on in parts."""
    found = []
    for title, count, lamp, parts in (
        ("Light that drifts", frames, 0.0, 0),
        (f"A lamp of {LAMP} stops", frames, LAMP, 0),
        (f"In parts of {chunk} frames", 2 * frames, 0.0, chunk),
    ):
        clip = list(frames_of(0, count, side, lamp=lamp))
        alone = lit(clip, [None] * count)
        steady = lit_in_parts(clip, parts) if parts else lit(clip, readings_of(clip))
        lines = {
            "true": alone.true,
            "each frame by itself": alone.given,
            "in parts" if parts else "steady": steady.given,
        }
        found.append(Curve(title, {name: mean_light(gains, alone) for name, gains in lines.items()}))
    return found


def save(folder: Path, frames: int, side: int, chunk: int) -> Path:
    figure, axes = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for curve, ax in zip(curves(frames, side, chunk), axes.flat, strict=False):
        for name, values in curve.lines.items():
            ax.plot(values, color=COLORS[name], label=name, linewidth=1 if name.startswith("each") else 2)
        ax.set(title=curve.title, xlabel="frame", ylabel="log gain on the subject")
        ax.legend(frameon=False)
    draw_path(axes.flat[3], tracked_path())
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / NAME
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return file


def draw_path(ax, path: Tracked) -> None:
    """How far a subject lies off its path in each frame, to the right: a tracker's boxes, and smoothed."""
    for name, label, color in (("found", "a tracker's boxes", COLORS["each frame by itself"]),
                               ("smooth", "the same, smoothed", COLORS["steady"])):  # fmt: skip
        ax.plot((getattr(path, name) - path.wanted)[:, 0], color=color, label=label)
    ax.axhline(0, color=COLORS["true"], linewidth=1)
    ax.set(title="A tracked subject's place", xlabel="frame", ylabel="pixels to the right of its path")
    ax.legend(frameon=False)
