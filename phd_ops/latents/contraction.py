"""Whether a network's errors grow under inner steps, judged by the run itself.

An inner step replaces x by a D(x) + sigma z. On coarse structure an exact denoiser of data with variance v acts as the
factor v / (v + s²), s = sigma / a, which is below 1: what one step adds, the next ones take back. A network's error
moves that factor. An estimate that is too strong, or off by a constant, brings it to 1 and beyond, and the error grows
with every inner step; one that is too weak takes away what should stay.

v is unknown, but for an exact denoiser (1 / factor - 1) / s² = 1 / v is the same at every level, and rises slowly where
finer structure comes to dominate. An error's part in it grows with 1 / s², so the figure then leaves its range, or
changes faster from level to level than chance explains. From there on the item takes no more inner steps. The figure
needs two calls after a level's first: levels with fewer than three inner steps are not checked.
"""

import torch
import torch.nn.functional as F

from .noise import signal

# Cells over which structure counts as coarse.
COARSE_CELLS = 5
# The range of 1 / v: from a share of the largest so far to a multiple of the first.
LEAST, MOST = 0.8, 1.5
# From one level to the next it falls by no more than this share, and what chance adds: the latter is larger for few
# squares of cells, and grows with s.
MOST_FALL, CHANCE, CHANCE_BY_RATIO = 0.04, 0.3, 0.9
# It rises by no more than so many times as much, unless it rose faster before, as where a model is distilled.
RISE = 2.0
# Above this s the factor is so small that its reciprocal is noise.
LARGEST_RATIO = 3.0
# The least number of masked values per item for the figure to mean something.
LEAST_VALUES = 64
# Calls of a level whose figures are averaged before one counts; the level's first still holds the step before it.
LEAST_CALLS = 2


def coarse(x: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    """The mean over a square of cells of what is masked, of x's shape [B,C,...]; 0 where nothing is masked.

    Frames and channels are taken one by one. masked: bool, broadcasts to x.
    """
    if x.ndim == 3:
        # A sequence is an image of one row.
        return coarse(x.unsqueeze(2), masked.unsqueeze(2)).squeeze(2)
    inside = masked.to(torch.float32)
    return pooled(x.to(torch.float32) * inside).div_(pooled(inside).clamp(min=1e-6)).mul_(inside)


def pooled(maps: torch.Tensor) -> torch.Tensor:
    """The mean over a square of cells around every cell, with zeros beyond the edge, [...,H,W]."""
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    return F.avg_pool2d(flat, COARSE_CELLS, 1, COARSE_CELLS // 2).view(maps.shape)


def inverse_variance(
    x: torch.Tensor, denoised: torch.Tensor, sigma: torch.Tensor, masked: torch.Tensor, flow: bool
) -> torch.Tensor:
    """1 / v of the module's text for every item, [B], from the estimate `denoised` for x at a level."""
    a = signal(sigma, flow)
    products = squares = x.new_zeros(len(x), dtype=torch.float32)
    # A few channels at a time, for less memory.
    for some_x, some_denoised, some_masked in zip(
        *(part.chunk(4, 1) for part in (x, denoised, masked.expand_as(x))), strict=True
    ):
        noisy, clean = coarse(some_x, some_masked).flatten(1), coarse(some_denoised, some_masked).flatten(1)
        products = products + torch.linalg.vecdot(clean, noisy)
        squares = squares + torch.linalg.vecdot(noisy, noisy)
    # The least-squares factor between x / a and the estimate.
    factor = a * products / squares.clamp(min=1e-12)
    return (1 / factor.clamp(min=0.05) - 1) / float((sigma / a) ** 2)


class ContractionCheck:
    """Which items may take inner steps; see the module's text. An item does not depend on its batch.

    Attributes:
        passed: bool [B]; once False it stays False.
        first, largest: the figure of the first level, and the largest of all; NaN without any, [B] each.
        last, growth: that of the last level, and how many times as large it was as the one before. The first level's
            is left out: its noise is so strong that chance moves it more.
    """

    def __init__(self, x: torch.Tensor) -> None:
        self.passed = torch.ones(len(x), dtype=torch.bool, device=x.device)
        self.first = x.new_full((len(x),), torch.nan, dtype=torch.float32)
        self.largest = self.last = self.growth = self.first
        self.sum = self.calls = torch.zeros_like(self.first)
        # Of a square.
        height, width = x.shape[-2:] if x.ndim > 3 else (1, x.shape[-1])
        self.cells = min(COARSE_CELLS, height) * min(COARSE_CELLS, width)

    def begin_level(self, changed: torch.Tensor) -> None:
        """Takes the last level's figure as a reference and forgets its calls.

        changed: the items whose masked region is another one from here on, bool [B] or [1]; they get new references.
        """
        mean = self.mean
        later = torch.where(self.first.isnan(), torch.nan, mean)
        self.growth = torch.where(later.isnan(), self.growth, later / self.last)
        self.last = torch.where(later.isnan(), self.last, later)
        self.first = torch.where(self.first.isnan(), mean, self.first)
        self.largest = torch.fmax(self.largest, mean)
        self.first, self.largest, self.last, self.growth = (
            torch.where(changed, torch.nan, figure) for figure in (self.first, self.largest, self.last, self.growth)
        )
        self.sum = self.calls = torch.zeros_like(self.first)

    @property
    def mean(self) -> torch.Tensor:
        """The level's figure so far, [B]; NaN before it counts."""
        return torch.where(self.calls >= LEAST_CALLS, self.sum / self.calls, torch.nan)

    def observe(self, figure: torch.Tensor, items: torch.Tensor, values: torch.Tensor, ratio: float) -> None:
        """Takes in a call after the level's first.

        Args:
            figure: `inverse_variance`, [B].
            items: the items whose call it was, bool [B] or [1].
            values: the number of masked values of each item, [B] or [1].
            ratio: s of the level.
        """
        self.sum, self.calls = self.sum + torch.where(items, figure, 0), self.calls + items.to(self.calls)
        mean = self.mean
        growth = mean / self.last
        squares = values.clamp(min=1) / self.cells
        most_fall = MOST_FALL + (CHANCE + CHANCE_BY_RATIO * ratio) / squares.sqrt()
        # Comparisons with NaN, where a figure or its reference is missing, are False.
        failed = (mean < LEAST * self.largest) | (mean > MOST * self.first) | (mean < 0)
        failed |= (growth < 1 - most_fall) | ((growth > 1 + RISE * most_fall) & (growth > self.growth))
        self.passed = self.passed & ~(failed & items & (values >= LEAST_VALUES))
