"""The smoother that separates light from texture: a plane fitted around every pixel, from masked pixels only."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F

from .interrupt import check

# The grid on which planes are fitted. A window of deviation GRID_SIGMA cells is sampled finely enough, so wider windows
# get larger cells. The longer side has at least LEAST_CELLS and at most MOST_CELLS of them.
GRID_SIGMA, LEAST_CELLS, MOST_CELLS = 4.0, 48, 320
# Keeps a plane's slope at 0 where the mask is too narrow to determine it. In squared deviations of the window, above
# their rounding error.
RIDGE = {torch.float32: 1e-3, torch.float64: 1e-7}
# Where less weight than this is in reach of the window, the result is 0.
LEAST_WEIGHT = 1e-7
# Images are processed in strips of about this many pixels, which stay in the processor's cache.
STRIP = 2**16


def structure_sigma(area: float, least: float) -> float:
    """The scale that separates a subject's light from its texture: a quarter of the diameter of a disc of its area."""
    return max(least, 0.25 * math.sqrt(4 * area / math.pi))


def window(cells: int, sigma: float, like: torch.Tensor) -> torch.Tensor:
    """[cells,cells]: each row is a Gaussian around its own cell, cut off at the border."""
    at = torch.arange(cells, device=like.device, dtype=like.dtype)
    return torch.exp(-0.5 * ((at[:, None] - at) / sigma) ** 2) / (sigma * (2 * torch.pi) ** 0.5)


def local_linear_smooth(values: torch.Tensor, weight: torch.Tensor, sigma: float) -> torch.Tensor:
    """Fits a plane to `values` around every pixel, using only weighted pixels, and returns its height there.

    Local-linear regression with a Gaussian window (Fan and Gijbels 1996). Unlike a blur it has no bias at the edge of
    the weights: a linear field is reproduced exactly, up to the silhouette and a little beyond it.

    Args:
        values: [B,C,H,W], finite.
        weight: [B,1,H,W] or [1,1,H,W], 0..1; where it is 0, `values` are not used.
        sigma: the window's deviation in pixels.
    Returns:
        [B,C,H,W]; 0 where no weight is in reach of the window.
    """
    channels, height, width = values.shape[1:]
    side = max(height, width)
    cell = max(1, min(int(sigma / GRID_SIGMA), side // LEAST_CELLS), math.ceil(side / MOST_CELLS))
    # Coordinates in units of sigma about the center keep the 3×3 systems well conditioned.
    v, u = (
        ((torch.arange(pixels, device=values.device, dtype=values.dtype) - (pixels - 1) / 2) / sigma).view(shape)
        for pixels, shape in ((height, (-1, 1)), (width, (1, -1)))
    )

    weight = weight.expand(len(values), 1, height, width)
    pooled = torch.cat(
        [
            cell_means(values[..., rows, :], weight[..., rows, :], u, v[rows], cell)
            for rows in in_strips(height, width, cell)
        ],
        2,
    )
    planes = fit_planes(pooled, max(1.0, sigma / cell)).to(values)
    smooth = torch.empty_like(values)
    for rows in in_strips(height, width, cell):
        offset, slope_u, slope_v = enlarged(planes, rows, cell)[..., :width].split(channels, 1)
        smooth[..., rows, :] = offset + slope_u * u + slope_v * v[rows]
    return smooth


def in_strips(height: int, width: int, cell: int) -> Iterator[slice]:
    """Rows of an image, some rows of cells at a time, with a check before each."""
    step = max(1, STRIP // (cell * width)) * cell
    for top in range(0, height, step):
        check()
        yield slice(top, min(top + step, height))


def cell_means(values: torch.Tensor, weight: torch.Tensor, u: torch.Tensor, v: torch.Tensor, cell: int) -> torch.Tensor:
    """Means over each cell of the weight, weight × coordinates and weight × values, [B,3+C,rows,columns]."""
    fields = (weight, weight * u, weight * v, weight * values)
    means = [F.avg_pool2d(field, cell, ceil_mode=True, divisor_override=cell**2) for field in fields]
    # The following sums cancel, so they need double precision. Apple's and some of Intel's GPUs, and DirectML, lack it.
    return torch.cat(means, 1).to(torch.float64 if values.device.type in ("cpu", "cuda") else torch.float32)


def fit_planes(pooled: torch.Tensor, sigma: float) -> torch.Tensor:
    """The plane around every cell, [B,3C,rows,columns]: its height at the coordinates' origin, and both slopes.

    A cell counts as a point at its pixels' centroid, with their mean value. For a linear field that is the value there,
    so a linear field stays exact.
    """
    total, channels, ridge = pooled[:, :1], pooled.shape[1] - 3, RIDGE[pooled.dtype]
    x, y, f = (pooled[:, 1:] / torch.where(total > 0, total, 1)).split([1, 1, channels], 1)
    moments = total * torch.cat([torch.ones_like(x), x, y, x * x, x * y, y * y, f, f * x, f * y], 1)
    rows, columns = (window(cells, sigma, moments) for cells in moments.shape[-2:])
    s, sx, sy, sxx, sxy, syy, sf, sxf, syf = (rows @ moments @ columns).split([1] * 6 + [channels] * 3, 1)
    known = s > LEAST_WEIGHT
    safe = torch.where(known, s, 1)
    # Around each window's own mean the plane's height is mean + slope * (pixel - mean position).
    mx, my, mf = sx / safe, sy / safe, sf / safe
    cxx, cxy, cyy = sxx / safe - mx * mx + ridge, sxy / safe - mx * my, syy / safe - my * my + ridge
    cxf, cyf = sxf / safe - mx * mf, syf / safe - my * mf
    determinant = (cxx * cyy - cxy * cxy).clamp(min=ridge**2)
    slope_u, slope_v = (cyy * cxf - cxy * cyf) / determinant, (cxx * cyf - cxy * cxf) / determinant
    return torch.where(known, torch.cat([mf - slope_u * mx - slope_v * my, slope_u, slope_v], 1), 0)


def enlarged(planes: torch.Tensor, rows: slice, cell: int) -> torch.Tensor:
    """Rows of pixels from planes of cells, by bilinear interpolation; the same as those rows of the whole image."""
    first, last = rows.start // cell, math.ceil(rows.stop / cell)
    # Interpolation also uses the cells above and below.
    above = max(0, first - 1)
    near = planes[..., above : last + 1, :]
    if cell > 1:
        near = F.interpolate(near, scale_factor=cell, mode="bilinear")
    top = (first - above) * cell
    return near[..., top : top + rows.stop - rows.start, :]
