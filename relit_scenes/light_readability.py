"""Can the light of a scene be estimated from its background? Fits a small network and reports its R².

    .venv/bin/python -m relit_scenes.light_readability

The network gets features of 8-bit backgrounds without a subject and predicts the light's mean log gain and its slope.
It is trained on the training split and tested on backgrounds that it never saw. Where this fails, the light cannot be
inferred from the scene, and no sampler could find it.
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
from phd_ops.pixels.relight import DARK
from relit_scenes.draw import draw_background
from relit_scenes.layers import render_layers
from relit_scenes.training_scenes import srgb_bytes

SIDE, GRID = 128, 8
# The R² that every component must reach over all backgrounds.
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
class Examples:
    """Features of backgrounds, and the lights on them.

    Attributes:
        features: float32 [N,F].
        mean: float32 [N,3], the mean log gain of each channel.
        slope: float32 [N,2].
        kinds: [N], the kinds of background.
    """

    features: np.ndarray
    mean: np.ndarray
    slope: np.ndarray
    kinds: np.ndarray

    @property
    def targets(self) -> np.ndarray:
        """float32 [N,5]: COMPONENTS, then the slope across and down."""
        return np.column_stack([self.mean @ np.float32(list(COMPONENTS.values())).T, self.slope])


def features_of(image: np.ndarray) -> np.ndarray:
    """Features [F] of a uint8 image [S,S,3]: log colors on a coarse grid and overall, and the roughness of its rows."""
    linear = srgb_to_linear(image.astype(np.float32) / 255)
    log = np.log(linear + DARK)
    colors = cv2.resize(log, (GRID, GRID), interpolation=cv2.INTER_AREA)
    luma = log.mean(axis=2)
    rough = []
    for sigma in (0.8, 2.0, 5.0):
        fine = luma - cv2.GaussianBlur(luma, (0, 0), sigma)
        across, down = np.abs(np.diff(fine, axis=1)).mean(1)[:-1], np.abs(np.diff(fine, axis=0)).mean(1)
        rough += [np.abs(fine).mean(1)[:-1], across, down, np.abs(fine**3).mean(1)[:-1] ** (1 / 3)]
    rough = np.stack(rough).astype(np.float32)
    rough = np.log(cv2.resize(rough, (GRID * 2, len(rough)), interpolation=cv2.INTER_AREA) + 1e-3)
    return np.concatenate([colors.ravel(), rough.ravel(), np.log(linear.mean((0, 1)) + DARK)]).astype(np.float32)


def examples(split: str, count: int) -> Examples:
    """The first `count` backgrounds of a split."""
    rows = []
    for seed in range(count):
        shot = draw_background(seed, split)
        image = srgb_bytes(render_layers(shot, SIDE).empty)
        rows.append((features_of(image), shot.light.mean, shot.light.gradient, shot.background.kind))
    features, mean, slope, kinds = zip(*rows, strict=True)
    return Examples(np.stack(features), np.float32(mean), np.float32(slope), np.array(kinds))


def fitted(train: Examples, epochs: int) -> Callable[[np.ndarray], np.ndarray]:
    """A network of two hidden layers, fitted to standardized features and targets: maps features [N,F] to [N,5]."""
    torch.manual_seed(0)
    x, y = torch.from_numpy(train.features), torch.from_numpy(train.targets)
    inputs, outputs = Standardization(x), Standardization(y)
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
    generator = torch.Generator().manual_seed(0)
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

    def predict(features: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return outputs.undo(network(inputs(torch.from_numpy(features)))).numpy()

    return predict


class Standardization:
    """Scales columns to the mean 0 and the standard deviation 1 of the values it was made with."""

    def __init__(self, values: torch.Tensor):
        self.mean, self.deviation = values.mean(0), values.std(0) + 1e-6

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        return (values - self.mean) / self.deviation

    def undo(self, values: torch.Tensor) -> torch.Tensor:
        return values * self.deviation + self.mean


def measure(train: int = 6000, test: int = 600, epochs: int = 60) -> dict[str, float]:
    """Fits the network, prints R² by kind of background, and returns the figures for the line of JSON."""
    predict = fitted(examples("train", train), epochs)
    held_out = examples("test", test)
    predicted, true = predict(held_out.features), held_out.targets
    # From the components back to the channels.
    to_channels = np.linalg.inv(np.float32(list(COMPONENTS.values()))).T
    predicted, true = (np.column_stack([values, values[:, :3] @ to_channels]) for values in (predicted, true))
    names = [*COMPONENTS, *SLOPES, *CHANNELS]
    shown = [*names, "slope"]
    print(
        f"\nR² of the light predicted from {test} test backgrounds by a network fitted to {train} training backgrounds"
    )
    print(f"  {'':<12}{'n':>5}" + "".join(f"{name:>{len(name) + 3}}" for name in shown))
    figures = {}
    for kind in ("all", *sorted(set(held_out.kinds))):
        rows = np.full(test, True) if kind == "all" else held_out.kinds == kind
        missed = np.square((predicted - true)[rows]).mean(0)
        # Relative to the variance over all kinds: that of a rare kind would be a matter of chance.
        found = dict(zip(names, 1 - missed / true.var(0), strict=True))
        found["slope"] = 1 - missed[SLOPE].sum() / true.var(0)[SLOPE].sum()
        print(f"  {kind:<12}{rows.sum():>5}" + "".join(f"{found[name]:>{len(name) + 3}.3f}" for name in shown))
        figures |= {f"r2.{kind}.{name}": round(float(value), 4) for name, value in found.items()}
    rms = np.sqrt(np.square(predicted - true).mean(0))
    print(f"  {'RMS error':<17}" + "".join(f"{d:>{len(n) + 3}.3f}" for n, d in zip(names, rms, strict=True)))
    print(f"  {'deviation':<17}" + "".join(f"{d:>{len(n) + 3}.3f}" for n, d in zip(names, true.std(0), strict=True)))
    return figures


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=int, default=6000, help="backgrounds to fit the network to")
    parser.add_argument("--test", type=int, default=600, help="backgrounds to test it on")
    options = parser.parse_args(arguments)
    figures = measure(options.train, options.test)
    print(json.dumps(figures))
    return 0 if all(figures[f"r2.all.{name}"] >= WANTED for name in (*COMPONENTS, *CHANNELS, "slope")) else 1


if __name__ == "__main__":
    raise SystemExit(main())
