"""A color shift that varies across an image: a polynomial of low order in the place, where that fits better.

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
# Cells that a shift is fitted to, at most.
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
        """The gain and the offset to be added in some rows of an image, float32 [rows,width,3] each."""
        u, v = ((2 * np.arange(side) + 1) / side - 1 for side in size)
        # Along a row it is a polynomial in u, and three places determine it.
        at = np.array([-1.0, 0.0, 1.0])
        across = np.stack([u * (u - 1) / 2, 1 - u * u, u * (u + 1) / 2], 1).astype(np.float32)
        gain, offset = self.at(*np.meshgrid(at, v[rows]))
        return across @ gain.astype(np.float32), across @ offset.astype(np.float32)

    @property
    def orders(self) -> tuple[int, int]:
        """Of the gain's polynomial and of the offset's."""
        return TERMS.index(len(self.gain)), TERMS.index(len(self.offset))

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
    """The linear systems of a shift of each channel's values x [C,N]: gain, its terms, offset, its terms; [C,N,P].

    Also returns how many of their columns belong to the gain.
    """
    across, added = (terms(u, v, order) for order in orders)
    one, x = np.ones((*x.shape, 1)), x[..., None]
    added = np.broadcast_to(added, (*x.shape[:2], added.shape[1]))
    return np.concatenate([x, x * across, one, added], 2), 1 + across.shape[1]


def median(values: np.ndarray) -> np.ndarray:
    """Along the last axis. `np.median` takes several times as long for a thousand values."""
    low, high = (values.shape[-1] - 1) // 2, values.shape[-1] // 2
    parted = np.partition(values, (low, high) if low < high else low)
    return (parted[..., low] + parted[..., high]) / 2


def fit(cells: Cells, orders: tuple[int, int], tie: float) -> tuple[np.ndarray, np.ndarray]:
    """A shift by iteratively reweighted least squares (Tukey's biweight): its parameters [C,P], see `system`, and its
    uncertainty at the image's corners [C], in sRGB.

    Args:
        tie: ties the gain to 1 and its terms to 0, times the variance of the errors, as in `robust_line`.
    """
    x = np.ascontiguousarray(cells.shifted.T)
    due = np.ascontiguousarray(cells.original.T) - x
    rows, gains = system(x, cells.u, cells.v, orders)
    tied, diagonal = (np.arange(rows.shape[2]) < gains).astype(float), np.eye(rows.shape[2])
    weight, spread = np.ones(due.shape), np.zeros((len(due), 1))
    for _ in range(8):
        weighted = (rows * weight[..., None]).transpose(0, 2, 1)
        ridge = 1e-9 + tied * (1e-7 + tie * spread**2) * weight.sum(axis=1, keepdims=True)
        inverse = np.linalg.inv(weighted @ rows + diagonal * ridge[:, None])
        parameters = inverse @ (weighted @ due[..., None])
        residual = due - (rows @ parameters)[..., 0]
        spread = np.maximum(1.4826 * median(np.abs(residual)), 1e-5)[:, None]
        weight = np.maximum(1 - (residual / (4.685 * spread)) ** 2, 0) ** 2
    middle = np.repeat(x.mean(axis=1, keepdims=True), 4, axis=1)
    corners, _ = system(middle, np.array([-1, 1, -1, 1]), np.array([-1, -1, 1, 1]), orders)
    variance = np.einsum("cnp,cpq,cnq->cn", corners, inverse, corners).max(axis=1)
    parameters[:, 0] += 1
    return parameters[..., 0], ALIKE * spread[:, 0] * np.sqrt(variance)


def validated(cells: Cells, orders: tuple[int, int], tie: float) -> float:
    """Root mean square error of a shift on cells that it was fitted without, in sRGB; without the largest errors."""
    errors = np.zeros((len(cells.u), 3))
    fold = cells.folds
    for number in range(FOLDS):
        left_out = fold == number
        if not left_out.any() or left_out.all():
            continue
        errors[left_out] = errors_of(cells[left_out], fit(cells[~left_out], orders, tie)[0], orders)
    return usual_error(errors)


def errors_of(cells: Cells, parameters: np.ndarray, orders: tuple[int, int]) -> np.ndarray:
    """What a shift from `fit` leaves of cells, [N,3]."""
    rows, _ = system(cells.shifted.T, cells.u, cells.v, orders)
    return (rows @ parameters[..., None])[..., 0].T - cells.original


def usual_error(errors: np.ndarray) -> float:
    """Root mean square of errors [N,3], without the cells that have the largest ones."""
    squares = np.sort((errors**2).mean(axis=1))
    return float(np.sqrt(squares[: max(1, round((1 - OUTLIERS) * len(squares)))].mean()))


def fit_field(
    cells: Cells, tie: float, orders: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray, ToneField] | None:
    """The shift's constant gain and offset [3] and its field; None where a constant shift explains the cells as well.

    Args:
        cells: some of them may have changed otherwise.
        orders: of the field, where they are known, see ORDERS.
    """
    some = cells[:: -(-len(cells.u) // MOST_CELLS)]
    chosen = best_orders(some, tie) if orders is None else orders
    if chosen is None:
        return None
    parameters, uncertain = fit(some, chosen, tie)
    if uncertain.max() > MOST_UNCERTAIN:
        return None
    found = parameters.T.astype(np.float32)
    gains = TERMS[chosen[0]] + 1
    return found[0], found[gains], ToneField(found[1:gains], found[gains + 1 :])


def best_orders(some: Cells, tie: float) -> tuple[int, int] | None:
    """The orders of the field that explains cells best; None where a constant shift explains them as well."""
    # No field predicts cells better than the largest one explains them.
    explained, most = (usual_error(errors_of(some, fit(some, n, tie)[0], n)) for n in ((0, 0), ORDERS[-1]))
    if explained < WORTH or most > explained * (1 - WORTH_SHARE):
        return None
    constant = validated(some, (0, 0), tie)
    chosen, least = None, constant * (1 - WORTH_SHARE)
    for orders in ORDERS:
        error = validated(some, orders, tie)
        if error < least and constant - error > WORTH:
            chosen, least = orders, error * (1 - WORTH_MORE)
    return chosen
