"""How far a pasted subject lies from where it should: on keyframes' path, and on that of a jittery track."""

from dataclasses import dataclass

import numpy as np

from benchmarks.common.table import Section
from phd_ops.pixels.crop_window import WorkingSize, crop_window
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.keyframes import keyed_values, read_keyframes
from phd_ops.pixels.moving_window import moving_window
from phd_ops.pixels.paste import Subject, place_subject
from phd_ops.pixels.track import track

SCENE, LARGE, FRAMES = Size(1280, 720), Size(1920, 1080), 49
# It rests at three places.
STOPS = [(0.2, 0.3, 0.2, 0.0), (0.6, 0.7, 0.35, 60.0), (0.8, 0.4, 0.25, 200.0)]
# In pixels: the jitter of each side of a tracker's boxes, and how large they are.
JITTER, TRACKED = 1.5, 180


def wanted_path(scene: Size, frames: int) -> np.ndarray:
    """Where the subject's center should be in each frame, by hand: half cosines' polynomial, 3 t² - 2 t³; [N,2]."""
    stops = np.array(STOPS)[:, :2] * scene
    t = np.arange(frames) / (frames - 1) * (len(stops) - 1)
    first = np.minimum(t.astype(int), len(stops) - 2)
    share = (t - first)[:, None]
    return stops[first] + (stops[first + 1] - stops[first]) * share**2 * (3 - 2 * share)


def pasted_center(subject: Subject, placement: Placement, scene: Size) -> np.ndarray:
    """The center of what is pasted, by its matte, in pixels of the scene: [2]."""
    placed = place_subject(scene, subject, placement, softness=1.5, extent=1.5)
    assert placed is not None  # It lies in the scene.
    y, x = np.mgrid[: placed.region.height, : placed.region.width] + 0.5
    weights = placed.alpha.astype(float)
    center = [np.average(x, weights=weights), np.average(y, weights=weights)]
    return np.array(center) + placed.region[:2]


def path_error(scene: Size = SCENE, frames: int = FRAMES) -> float:
    """The greatest distance in pixels of the pasted subject's center from keyframes' path, over a clip's frames."""
    step = (frames - 1) // (len(STOPS) - 1)
    text = "\n".join(
        f"{number * step}: x {x}, y {y}, size {size}, rotation {rotation}, ease"
        for number, (x, y, size, rotation) in enumerate(STOPS)
    )
    found = keyed_values(read_keyframes(text), frames)
    matte = np.zeros((96, 72), np.float32)
    matte[8:88, 8:64] = 1
    subject = Subject(np.full((96, 72, 3), 0.5, np.float32), matte)
    centers = [
        pasted_center(subject, Placement(**{name: float(values[frame]) for name, values in found.items()}), scene)
        for frame in range(frames)
    ]
    return float(np.hypot(*(centers - wanted_path(scene, frames)).T).max())


@dataclass(frozen=True)
class Tracked:
    """The centers of a subject in a clip's frames, [N,2] pixels: as they are, in a tracker's boxes, and smoothed."""

    wanted: np.ndarray
    found: np.ndarray
    smooth: np.ndarray


def tracked_path(frames: int = FRAMES) -> Tracked:
    wanted = wanted_path(SCENE, frames)
    noise = np.random.default_rng(0).normal(size=(frames, 2, 2)) * JITTER
    low, high = wanted - TRACKED / 2 + noise[:, 0], wanted + TRACKED / 2 + noise[:, 1]
    return Tracked(wanted, (low + high) / 2, track(np.column_stack([low, high - low]), SCENE).centers)


def tracked_errors(frames: int = FRAMES) -> dict[str, float]:
    """The mean distance in pixels of a jittery track's centers from the path, as found and as the pack smooths it; and
    the jitter of both: the mean second difference of what they are off."""
    path = tracked_path(frames)
    return {
        "found_error_px": float(np.hypot(*(path.found - path.wanted).T).mean()),
        "tracked_error_px": float(np.hypot(*(path.smooth - path.wanted).T).mean()),
        "found_jitter_px": jitter(path.found - path.wanted),
        "tracked_jitter_px": jitter(path.smooth - path.wanted),
    }


def jitter(path: np.ndarray) -> float:
    """The mean second difference of a path [N,2], in pixels."""
    return float(np.hypot(*np.diff(path, 2, axis=0).T).mean())


def masked_pixels(frames: int = FRAMES) -> dict[str, float]:
    """Pixels that may change, a frame: in the scene, in the model's image of one window for all frames, and in that of
    a window for each frame. A square crosses the scene."""
    scene, square = LARGE, 290
    x = np.linspace(20, scene.width - square - 20, frames).round().astype(int)
    y = np.linspace(40, scene.height - square - 40, frames).round().astype(int)
    boxes = [Box(int(left), int(top), square, square) for left, top in zip(x, y, strict=True)]
    size = WorkingSize(side=512)
    together = crop_window(boxes[0].joined(boxes[-1]), scene, size)
    apart = moving_window(boxes, scene, size)
    return {
        "scene": square**2,
        "one_window": square**2 * together.target.width * together.target.height / np.prod(together.box.size),
        "window_per_frame": square**2 * apart.target.width * apart.target.height / np.prod(apart.box.size),
    }


def measure_path(frames: int = FRAMES) -> Section:
    """Places over time: of keyframes, of a track, and of windows."""
    section = Section(f"A subject that moves through {frames} frames of {SCENE.width}×{SCENE.height}")
    section.figures = {"path_error_px": path_error(frames=frames), **tracked_errors(frames)}
    figures = section.figures
    section.row("pasted, from keyframes' path, at most", f"{figures['path_error_px']:9.4f} px")
    for name, label in (("found", "a tracker's boxes"), ("tracked", "the same, smoothed")):
        error, own_jitter = figures[f"{name}_error_px"], figures[f"{name}_jitter_px"]
        section.row(f"{label}, from the path", f"{error:9.3f} px, jitter {own_jitter:.3f} px")
    shown = masked_pixels(frames)
    section.row(f"may change, a frame of {LARGE.width}×{LARGE.height}", f"{shown['scene']:9.0f} pixels")
    section.row("the same in one window for all frames", f"{shown['one_window']:9.0f} pixels")
    section.row("in a window for each frame", f"{shown['window_per_frame']:9.0f} pixels")
    section.figures["window_gain"] = float(shown["window_per_frame"] / shown["one_window"])
    return section
