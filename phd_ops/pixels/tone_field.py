"""A color shift that varies across an image: a polynomial of low order in the place, where the image asks for one.

Places are (u, v), from -1 at the left or upper border of an image to 1 at the right or lower one.
"""

from dataclasses import dataclass

import numpy as np

from .geometry import Size

# Shifts that are tried, the simplest first: the order of the gain's polynomial and of the offset's.
ORDERS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (2, 2))
# Terms of a polynomial by its order, without its constant.
TERMS = (0, 2, 5)
# A field must take away so much of the cross-validated error, as a share and in sRGB; and so much more than a simpler
# one.
WORTH_SHARE, WORTH, WORTH_MORE = 0.15, 0.1 / 255, 0.05
# The share of cells with the largest errors that are left out of a comparison: there the image may have changed.
OUTLIERS = 0.1
# Errors of neighboring cells are alike, which makes a field so much less certain; and the most that it may be, in sRGB.
ALIKE, MOST_UNCERTAIN = 3.0, 2 / 255
# Cross-validation leaves out a part of the image at a time: cells of a grid, dealt out in turns.
FOLDS, FOLD_CELLS = 5, 8
# Cells that a field is fitted to, at most.
MOST_CELLS = 1500


@dataclass(frozen=True, eq=False)
class ToneField:
    """What a shift adds to its constant gain and offset from place to place.

    Attributes:
        gain, offset: float32 [K,3], coefficients of `terms` for each channel; K is 0, 2 or 5.
    """

    gain: np.ndarray
    offset: np.ndarray

    def at(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gain and the offset to be added at places of any shape; [...,3] each."""
        gain, offset = (terms(u, v, TERMS.index(len(part))) @ part for part in (self.gain, self.offset))
        return gain, offset

    def in_rows(self, rows: slice, size: Size) -> tuple[np.ndarray, np.ndarray]:
        """The same in some rows of an image, float32 [rows,width,3]."""
        u, v = ((2 * np.arange(side) + 1) / side - 1 for side in size)
        # Along a row it is a polynomial in u, and three places determine it.
        at = np.array([-1.0, 0.0, 1.0])
        across = np.stack([u * (u - 1) / 2, 1 - u * u, u * (u + 1) / 2], 1).astype(np.float32)
        gain, offset = self.at(*np.meshgrid(at, v[rows]))
        return across @ gain.astype(np.float32), across @ offset.astype(np.float32)

    def largest(self, color: float = 0.5) -> float:
        """How far it shifts a color of middle brightness at most, in sRGB."""
        u, v = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
        gain, offset = self.at(u, v)
        return float(np.abs(gain * color + offset).max())


def terms(u: np.ndarray, v: np.ndarray, order: int) -> np.ndarray:
    """The terms of a polynomial without its constant, [...,K]; each has a mean of 0 over an image."""
    if order == 0:
        return np.zeros((*np.shape(u), 0))
    first = [u, v]
    return np.stack(first if order == 1 else [*first, u * u - 1 / 3, u * v, v * v - 1 / 3], -1)


@dataclass(frozen=True, eq=False)
class Cells:
    """Means over cells of an image where nothing was to change.

    Attributes:
        u, v: [N], their places.
        shifted, original: float64 [N,3].
        pixels: [N], how many pixels each is the mean of.
    """

    u: np.ndarray
    v: np.ndarray
    shifted: np.ndarray
    original: np.ndarray
    pixels: np.ndarray

    def __getitem__(self, chosen: np.ndarray | slice) -> "Cells":
        return Cells(*(array[chosen] for array in (self.u, self.v, self.shifted, self.original, self.pixels)))

    @property
    def folds(self) -> np.ndarray:
        column, row = (((place + 1) / 2 * FOLD_CELLS).astype(int) for place in (self.u, self.v))
        return (column + 2 * row) % FOLDS


def system(x: np.ndarray, u: np.ndarray, v: np.ndarray, orders: tuple[int, int]) -> tuple[np.ndarray, int]:
    """The linear system of a shift of one channel's values x [N]: gain, its terms, offset, its terms; [N,P].

    Also returns how many of its columns belong to the gain.
    """
    across, added = (terms(u, v, order) for order in orders)
    one = np.ones((len(x), 1))
    return np.concatenate([x[:, None], x[:, None] * across, one, added], 1), 1 + across.shape[1]


def fit_channel(cells: Cells, channel: int, orders: tuple[int, int], tie: float) -> tuple[np.ndarray, float]:
    """A shift in one channel by iteratively reweighted least squares (Tukey's biweight): its parameters, see `system`,
    and its uncertainty at the image's corners, in sRGB.

    Args:
        tie: ties the gain to 1 and its terms to 0, times the variance of the errors, as in `robust_line`.
    """
    x = cells.shifted[:, channel]
    due = cells.original[:, channel] - x
    rows, gains = system(x, cells.u, cells.v, orders)
    tied = (np.arange(rows.shape[1]) < gains).astype(float)
    weight, spread = np.ones(len(due)), 0.0
    for _ in range(8):
        weighted = rows * weight[:, None]
        ridge = 1e-9 + tied * (1e-7 + tie * spread**2) * weight.sum()
        inverse = np.linalg.inv(weighted.T @ rows + np.diag(ridge))
        parameters = inverse @ (weighted.T @ due)
        residual = due - rows @ parameters
        spread = max(1.4826 * float(np.median(np.abs(residual))), 1e-5)
        weight = np.clip(1 - (residual / (4.685 * spread)) ** 2, 0, None) ** 2
    corners, _ = system(np.full(4, x.mean()), np.array([-1, 1, -1, 1]), np.array([-1, -1, 1, 1]), orders)
    variance = np.einsum("np,pq,nq->n", corners, inverse, corners).max()
    parameters[0] += 1
    return parameters, ALIKE * spread * float(np.sqrt(variance))


def validated(cells: Cells, orders: tuple[int, int], tie: float) -> float:
    """Root mean square error of a shift on cells that it was fitted without, in sRGB; without the largest errors."""
    errors = np.zeros((len(cells.u), 3))
    fold = cells.folds
    for number in range(FOLDS):
        left_out = fold == number
        if not left_out.any() or left_out.all():
            continue
        for channel in range(3):
            parameters, _ = fit_channel(cells[~left_out], channel, orders, tie)
            rows, _ = system(cells.shifted[left_out, channel], cells.u[left_out], cells.v[left_out], orders)
            errors[left_out, channel] = rows @ parameters - cells.original[left_out, channel]
    squares = np.sort((errors**2).mean(axis=1))
    return float(np.sqrt(squares[: max(1, round((1 - OUTLIERS) * len(squares)))].mean()))


def fit_field(cells: Cells, tie: float) -> tuple[np.ndarray, np.ndarray, ToneField] | None:
    """The shift's constant gain and offset [3] and its field; None where a constant shift explains the cells as well.

    Args:
        cells: some of them may have changed otherwise.
    """
    some = cells[:: -(-len(cells.u) // MOST_CELLS)]
    constant = validated(some, (0, 0), tie)
    if constant < WORTH:
        return None
    chosen, least = None, constant * (1 - WORTH_SHARE)
    for orders in ORDERS:
        error = validated(some, orders, tie)
        if error < least and constant - error > WORTH:
            chosen, least = orders, error * (1 - WORTH_MORE)
    if chosen is None:
        return None
    fits = [fit_channel(some, channel, chosen, tie) for channel in range(3)]
    if max(uncertain for _, uncertain in fits) > MOST_UNCERTAIN:
        return None
    found = np.stack([parameters for parameters, _ in fits], 1).astype(np.float32)
    gains = TERMS[chosen[0]] + 1
    return found[0], found[gains], ToneField(found[1:gains], found[gains + 1 :])
