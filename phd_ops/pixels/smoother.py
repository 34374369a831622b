"""The smoother that separates light from texture, for images: `local_linear.py` in NumPy and OpenCV.

It gives the same values as `local_linear.py` up to rounding, and takes a fraction of the time where many fields are
smoothed by one weight: what depends on the weight alone is computed once. It uses no threads of its own, so that images
can be processed in parallel.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch

from ..interrupt import check
from ..local_linear import GRID_SIGMA, LEAST_CELLS, LEAST_WEIGHT, MOST_CELLS, RIDGE, in_strips

# OpenBLAS multiplies matrices in one thread up to so many products of two values.
MOST_TERMS = 2**18


def window(cells: int, sigma: float) -> np.ndarray:
    """float64 [cells,cells]: each row is a Gaussian around its own cell, cut off at the border."""
    at = np.arange(cells)
    return np.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The product of two matrices, in parts: for larger ones OpenBLAS, which NumPy brings along, starts threads, which
    wait for those of other images."""
    made, whole = np.empty((len(one), other.shape[1]), one.dtype), one.shape[1] * min(len(one), other.shape[1])
    step = max(1, MOST_TERMS // whole)
    for at in range(0, max(made.shape), step):
        part = slice(at, at + step)
        if len(one) < other.shape[1]:
            np.matmul(one, other[:, part], out=made[:, part])
        else:
            np.matmul(one[part], other, out=made[part])
    return made


@dataclass(frozen=True, eq=False)
class Smoother:
    """Fits planes to fields around every pixel by one weight, see `local_linear.local_linear_smooth`.

    Attributes:
        weight: [H,W], or [H,W,C] for channels that differ in it; 0..1.
        sigma: the window's deviation in pixels.
    """

    weight: np.ndarray
    sigma: float

    @cached_property
    def cell(self) -> int:
        """The side of a cell of the grid, in pixels."""
        side = max(self.weight.shape[:2])
        return max(1, min(int(self.sigma / GRID_SIGMA), side // LEAST_CELLS), math.ceil(side / MOST_CELLS))

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in units of sigma about the center, of the columns [W,1] and of the rows [H,1,1]."""
        height, width = self.weight.shape[:2]
        u, v = (((np.arange(side) - (side - 1) / 2) / self.sigma).astype(np.float32) for side in (width, height))
        return u[:, None], v[:, None, None]

    @cached_property
    def windows(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the rows of cells, and of their columns."""
        height, width = (math.ceil(side / self.cell) for side in self.weight.shape[:2])
        return window(height, self.spread), window(width, self.spread)

    @property
    def spread(self) -> float:
        """The window's deviation in cells."""
        return max(1.0, self.sigma / self.cell)

    def strips(self) -> Iterator[slice]:
        height, width = self.weight.shape[:2]
        return in_strips(height, width, self.cell)

    def pool(self, values: np.ndarray) -> np.ndarray:
        """Means over each cell of values [h,W,...], as float64 [...,rows,columns]; beyond the image is 0."""
        height, width = values.shape[:2]
        right, bottom = -width % self.cell, -height % self.cell
        if right or bottom:
            values = cv2.copyMakeBorder(values, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
        size = (width + right) // self.cell, (height + bottom) // self.cell
        pooled = values if self.cell == 1 else cv2.resize(values, size, interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(np.moveaxis(pooled.reshape(*size[::-1], -1), -1, 0), np.float64)

    def summed(self, moments: np.ndarray) -> np.ndarray:
        """Sums of fields of cells [...,rows,columns] over the window around each cell."""
        (rows, columns), (high, wide) = self.windows, moments.shape[-2:]
        check()
        down = product(rows, np.ascontiguousarray(np.moveaxis(moments, -2, 0)).reshape(high, -1))
        across = product(down.reshape(-1, wide), columns)
        return np.moveaxis(across.reshape(high, *moments.shape[:-2], wide), 0, -2)

    @cached_property
    def centroids(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each cell: its weight, and the centroid of its weighted pixels (x, y); [1 or C,rows,columns] each."""
        u, v = self.places
        weight = self.weight[..., None] if self.weight.ndim == 2 else self.weight
        pooled = [
            [self.pool(field) for field in (weight[rows], weight[rows] * u, weight[rows] * v[rows])]
            for rows in self.strips()
        ]
        total, x, y = (np.concatenate([strip[n] for strip in pooled], 1) for n in range(3))
        known = np.where(total > 0, total, 1)
        return total, x / known, y / known

    @cached_property
    def known(self) -> tuple[np.ndarray, ...]:
        """Of the window around each cell: its weight, its mean place (x, y), and the covariances xx, xy and yy."""
        total, x, y = self.centroids
        s, sx, sy, sxx, sxy, syy = self.summed(total * np.stack([np.ones_like(x), x, y, x * x, x * y, y * y]))
        safe, ridge = np.where(s > LEAST_WEIGHT, s, 1), RIDGE[torch.float64]
        mx, my = sx / safe, sy / safe
        return s, mx, my, sxx / safe - mx * mx + ridge, sxy / safe - mx * my, syy / safe - my * my + ridge

    def planes(self, values: np.ndarray) -> list[np.ndarray]:
        """The plane around every cell: its height at the origin of the coordinates, and both slopes; float32
        [rows,columns,C] each."""
        total, x, y = self.centroids
        s, mx, my, cxx, cxy, cyy = self.known
        weight = self.weight[..., None] if self.weight.ndim == 2 else self.weight
        pooled = np.concatenate([self.pool(weight[rows] * values[rows]) for rows in self.strips()], 1)
        f, has_weight = pooled / np.where(total > 0, total, 1), s > LEAST_WEIGHT
        mf, mxf, myf = self.summed(total * np.stack([f, f * x, f * y])) / np.where(has_weight, s, 1)
        # Around each window's own mean the plane's height is mean + slope * (pixel - mean position).
        cxf, cyf = mxf - mx * mf, myf - my * mf
        determinant = np.maximum(cxx * cyy - cxy * cxy, RIDGE[torch.float64] ** 2)
        slope_u, slope_v = (cyy * cxf - cxy * cyf) / determinant, (cxx * cyf - cxy * cxf) / determinant
        found = (mf - slope_u * mx - slope_v * my, slope_u, slope_v)
        return [np.ascontiguousarray(np.where(has_weight, part, 0).transpose(1, 2, 0), np.float32) for part in found]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Smooths finite values [H,W,C]; 0 where no weight is in reach of the window."""
        planes, (u, v) = self.planes(values), self.places
        smooth = np.empty(values.shape, np.float32)
        for rows in self.strips():
            offset, slope_u, slope_v = (self.enlarged(part, rows) for part in planes)
            slope_u *= u
            slope_v *= v[rows]
            offset += slope_u
            np.add(offset, slope_v, out=smooth[rows])
        return smooth

    def enlarged(self, field: np.ndarray, rows: slice) -> np.ndarray:
        """Rows of pixels from a field of cells [rows,columns,C], by bilinear interpolation; the same as those rows of
        the whole image."""
        cell, width = self.cell, self.weight.shape[1]
        first, last = rows.start // cell, math.ceil(rows.stop / cell)
        # Interpolation also uses the cells above and below.
        above = max(0, first - 1)
        near = field[above : last + 1]
        if cell > 1:
            near = cv2.resize(near, (near.shape[1] * cell, near.shape[0] * cell), interpolation=cv2.INTER_LINEAR)
            near = near.reshape(*near.shape[:2], -1)
        top = (first - above) * cell
        return np.array(near[top : top + rows.stop - rows.start, :width])
