"""What the benchmarks share: the table's sections and verdicts, how much is measured, and images to measure on."""

import operator
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np

from phd_ops.pixels.geometry import Size

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "within": lambda value, ends: ends[0] <= value <= ends[1],
}


@dataclass(frozen=True)
class Sizes:
    """How large and how often everything is measured."""

    scene: int = 2048
    subject: int = 1024
    memory: tuple[int, int] = (2048, 1024)
    batches: bool = True
    repeats: int = 7
    cases: int = 3
    growths: int = 36
    core_growths: tuple[int, ...] = (8, 64, 256)
    canvases: tuple[Size, ...] = (Size(1024, 1024), Size(2048, 2048), Size(3840, 2160))


QUICK = Sizes(256, 128, (1024, 512), False, 1, 1, 9, (8,), (Size(128, 128), Size(256, 256)))


@dataclass
class Section:
    """One part of the table: rows of who and what, and the figures for the line of JSON."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[str, float | bool] = field(default_factory=dict)

    def row(self, who: str, told: str) -> None:
        self.rows.append((who, told))

    def times(self, milliseconds: dict[str, float], base: str) -> None:
        """A row for each runner, with its time as a multiple of the base's."""
        for who, taken in milliseconds.items():
            self.row(who, f"{taken:9.2f} ms {taken / milliseconds[base]:9.2f} ×")


def holds(wanted: dict[str, tuple], name: str, value: float | bool) -> bool:
    """Whether a figure is what `wanted` asks of it: name -> (sign, bound)."""
    sign, bound = wanted[name]
    return bool(COMPARE[sign](value, bound))


def shortened(value: float | bool) -> float | bool:
    return value if isinstance(value, int) else float(f"{value:.4g}")


def verdict(wanted: dict[str, tuple], name: str, value: float | bool) -> str:
    told = "holds" if holds(wanted, name, value) else "DOES NOT HOLD"
    return f"  → {name} {shortened(value)}, wanted {' '.join(map(str, wanted[name]))}: {told}"


def show(section: Section, wanted: dict[str, tuple]) -> None:
    print(f"\n{section.title}")
    for who, told in section.rows:
        print(f"  {who:<52}{told}")
    for name, value in section.figures.items():
        if name in wanted:
            print(verdict(wanted, name, value), flush=True)


def race(repeats: int, runners: dict[str, Callable]) -> dict[str, float]:
    """Median milliseconds of each runner; they take turns, and each one's first run does not count."""
    taken = {name: [] for name in runners}
    for _ in range(repeats + 1):
        for name, run in runners.items():
            start = time.perf_counter()
            run()
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def levels(difference: np.ndarray) -> float:
    """The largest difference, in levels of 8 bits."""
    return float(np.abs(difference).max()) * 255


def texture(size: Size, seed: int) -> np.ndarray:
    """An image with large shapes and grain that neither black nor white clips."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((max(2, size.height // 64), max(2, size.width // 64), 3), np.float32)
    grain = rng.random((size.height, size.width, 3), np.float32)
    return np.clip(0.2 + 0.55 * cv2.resize(coarse, size) + 0.05 * grain, 0, 1)


def disc(side: int, radius: float, ramp: float) -> np.ndarray:
    """A round matte in the middle of a square, whose edge rises over `ramp` pixels."""
    v, u = np.mgrid[0:side, 0:side] + 0.5 - side / 2
    return np.clip((radius - np.hypot(u, v)) / ramp + 0.5, 0, 1).astype(np.float32)
