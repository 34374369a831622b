"""Can the light be read off a scene? `python -m relit_scenes.readable` fits a small network to find out.

It sees clean backgrounds only, as 8-bit images, and says the light's mean log gain and its slope; it learns from the
training split and is asked about the test split, whose backgrounds it never saw. Where it fails, no sampler can win.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from phd_ops.pixels.color import srgb_to_linear
from relit_scenes import scenes
from relit_scenes.scenes import SRGB

SIDE, GRID = 128, 8
# R² that a component must reach over all kinds of background.
WANTED = 0.85
# Components of the mean log gain (red, green, blue), then the slope.
COMPONENTS = {
    "brightness": (1 / 3, 1 / 3, 1 / 3),
    "warm against cold": (0.5, 0.0, -0.5),
    "green against magenta": (-0.5, 1.0, -0.5),
}
SLOPES = ("slope across", "slope down")
CHANNELS = ("red", "green", "blue")
SLOPE = slice(3, 5)


@dataclass(frozen=True)
class Views:
    """Backgrounds and the lights on them.

    Attributes:
        features: float32 [N,F].
        mean: float32 [N,3], the mean log gain of each channel.
        slope: float32 [N,2].
        kinds: [N].
    """

    features: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    kinds: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        """float32 [N,5], the components and the slope."""
        return np.column_stack([self.mean @ np.float32(list(COMPONENTS.values())).T, self.slope])


def features_of(image: np.ndarray) -> np.ndarray:
    """Of a uint8 image: log colors, on a coarse grid and on the whole, and how rough its rows are."""
    linear = srgb_to_linear(image.astype(np.float32) / 255)
    log = np.log(linear + 0.002)
    colors = cv2.resize(log, (GRID, GRID), interpolation=cv2.INTER_AREA)
    luma = log.mean(axis=2)
    rough = []
    for sigma in (0.8, 2.0, 5.0):
        fine = luma - cv2.GaussianBlur(luma, (0, 0), sigma)
        across, down = np.abs(np.diff(fine, axis=1)).mean(1)[:-1], np.abs(np.diff(fine, axis=0)).mean(1)
        rough += [np.abs(fine).mean(1)[:-1], across, down, np.abs(fine**3).mean(1)[:-1] ** (1 / 3)]
    rough = np.stack(rough).astype(np.float32)
    rough = np.log(cv2.resize(rough, (GRID * 2, len(rough)), interpolation=cv2.INTER_AREA) + 1e-3)
    return np.concatenate([colors.ravel(), rough.ravel(), np.log(linear.mean((0, 1)) + 0.002)]).astype(np.float32)


def views(split: str, count: int, first: int = 0, photographs: float | None = None) -> Views:
    """Backgrounds of a split, without subjects; `photographs` is their share, the renderer's own by default."""
    rows = []
    for seed in range(first, first + count):
        shot = scenes.draw_empty(seed, split, photographs)
        empty = scenes.layers(shot, SIDE).empty
        image = SRGB[(empty * 65535 + 0.5).astype(np.uint16)]
        rows.append((features_of(image), shot.light.mean, shot.light.gradient, shot.background.kind))
    features, mean, slope, kinds = zip(*rows, strict=True)
    return Views(np.stack(features), np.float32(mean), np.float32(slope), np.array(kinds))


def reader(train: Views, epochs: int, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """A network of two hidden layers, fitted by AdamW to standardized features and targets: features to [N,5]."""
    torch.manual_seed(seed)
    x, y = torch.from_numpy(train.features), torch.from_numpy(train.wanted)
    inputs, outputs = Standard(x), Standard(y)
    width = 192
    network = nn.Sequential(
        nn.Linear(x.shape[1], width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, width), nn.GELU(),
        nn.Linear(width, y.shape[1]),
    )  # fmt: skip
    x, y = inputs(x), outputs(y)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    batch = 128
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(x), generator=generator)
        for at in range(0, len(x) - batch + 1, batch):
            rows = order[at : at + batch]
            loss = (
                (network(x[rows] + 0.03 * torch.randn(batch, x.shape[1], generator=generator)) - y[rows])
                .square()
                .mean()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()

    def read(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return outputs.undo(network(inputs(torch.from_numpy(features)))).numpy()

    return read


class Standard:
    """Mean 0 and deviation 1, by what was seen first."""

    def __init__(self, values: torch.Tensor):
        self.mean, self.deviation = values.mean(0), values.std(0) + 1e-6

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        return (values - self.mean) / self.deviation

    def undo(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.deviation + self.mean


def measure(train: int = 6000, test: int = 600, epochs: int = 60) -> dict[str, float]:
    """Fits, asks, prints a table by kind of background, and gives the figures for the line of JSON."""
    read = reader(views("train", train), epochs)
    asked = views("test", test)
    said, true = read(asked.features), asked.wanted
    # From the components back to the channels.
    back = np.linalg.inv(np.float32(list(COMPONENTS.values()))).T
    said, true = (np.column_stack([both, both[:, :3] @ back]) for both in (said, true))
    names = [*COMPONENTS, *SLOPES, *CHANNELS]
    told = [*names, "slope"]
    print(f"\nLight read off {test} clean backgrounds of the test split, by a network fitted to {train} others: R²")
    print(f"  {'':<12}{'n':>5}" + "".join(f"{name:>{len(name) + 3}}" for name in told))
    figures = {}
    for kind in ("all", *sorted(set(asked.kinds))):
        rows = np.full(test, True) if kind == "all" else asked.kinds == kind
        missed = np.square((said - true)[rows]).mean(0)
        # Against the variance over all kinds: a kind's own is a matter of chance where it is rare.
        found = dict(zip(names, 1 - missed / true.var(0), strict=True))
        found["slope"] = 1 - missed[SLOPE].sum() / true.var(0)[SLOPE].sum()
        print(f"  {kind:<12}{rows.sum():>5}" + "".join(f"{found[name]:>{len(name) + 3}.3f}" for name in told))
        figures |= {f"r2.{kind}.{name}": round(float(value), 4) for name, value in found.items()}
    rms = np.sqrt(np.square(said - true).mean(0))
    print(f"  {'deviation left':<17}" + "".join(f"{d:>{len(n) + 3}.3f}" for n, d in zip(names, rms, strict=True)))
    print(f"  {'deviation':<17}" + "".join(f"{d:>{len(n) + 3}.3f}" for n, d in zip(names, true.std(0), strict=True)))
    return figures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=6000, help="backgrounds to learn from")
    parser.add_argument("--test", type=int, default=600, help="backgrounds to be asked about")
    options = parser.parse_args(arguments)
    figures = measure(options.train, options.test)
    print(json.dumps(figures))
    return 0 if all(figures[f"r2.all.{name}"] >= WANTED for name in (*COMPONENTS, *CHANNELS, "slope")) else 1


if __name__ == "__main__":
    raise SystemExit(main())
