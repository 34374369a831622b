"""How a model may have resized what it was given, by both sizes alone: each way is an exact affine map.

Edit models work at sizes of their own. Their nodes stretch the image, crop it to another shape around its center, pad
it, or cut its margins off so that the sides fit the latent grid; many first scale it to about one megapixel.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..sentence import sentence
from .geometry import Size

# Sides of latent cells in pixels, of image models and of those that pack latents.
GRIDS = (4, 8, 16, 32, 64)
# Pixels that nodes scale an image to before a model of about one megapixel gets it.
MEGAPIXELS = (1024 * 1024, 1_000_000)
# Two sides of one image may be stretched apart by so much.
STRETCHED = 0.02


@dataclass(frozen=True, eq=False)
class Resizing:
    """A way in which an image may have been resized.

    Attributes:
        how: "same size", "resized", "cropped", "padded" or "cut to the grid".
        matrix: float64 [2,3], continuous coordinates of the returned image to those of the given one.
    """

    how: str
    matrix: np.ndarray


def resizings(returned: Size, given: Size) -> list[Resizing]:
    """All ways in which an image of size `given` may have come back at size `returned`, the likeliest first."""
    across, down = given.width / returned.width, given.height / returned.height
    whole = "same size" if returned == given else "resized"
    found = [Resizing(whole, np.column_stack([np.diag([across, down]), [0, 0]]))]
    if returned == given:
        return found
    found += cut_to_grid(returned, given)
    for total in MEGAPIXELS:
        scale = math.sqrt(total / (given.width * given.height))
        between = Size(round(given.width * scale), round(given.height * scale))
        onto_given = np.diag([given.width / between.width, given.height / between.height])
        found += [Resizing(cut.how, onto_given @ cut.matrix) for cut in cut_to_grid(returned, between)]
    if across != down:
        found += [cropped(returned, given), *padded(returned, given)]
    return found


def cropped(returned: Size, given: Size) -> Resizing:
    """The largest part of the returned shape around the center, its margins rounded to whole pixels, then resized."""
    scale = min(full / side for side, full in zip(returned, given, strict=True))
    margins = [round((full - side * scale) / 2) for side, full in zip(returned, given, strict=True)]
    scales = [(full - 2 * margin) / side for side, full, margin in zip(returned, given, margins, strict=True)]
    return Resizing(sentence("cropped"), np.column_stack([np.diag(scales), margins]))


def padded(returned: Size, given: Size) -> list[Resizing]:
    """The whole image, resized to fit, in the middle of the returned shape or in its upper left corner."""
    scale = min(side / full for side, full in zip(returned, given, strict=True))
    shown = [max(1, round(full * scale)) for full in given]
    scales = np.array([full / side for side, full in zip(shown, given, strict=True)])
    offsets = dict.fromkeys([tuple((side - used) // 2 for side, used in zip(returned, shown, strict=True)), (0, 0)])
    how = sentence("padded")
    return [Resizing(how, np.column_stack([np.diag(scales), -scales * offset])) for offset in offsets]


def cut_to_grid(returned: Size, given: Size) -> list[Resizing]:
    """Margins cut off or added without scaling, around the center (as VAE Encode does) and at the lower right."""
    less = [full - side for side, full in zip(returned, given, strict=True)]
    if not any(less) or max(map(abs, less)) >= max(GRIDS):
        return []
    how = sentence("padded") if min(less) < 0 else sentence("cut to the grid")
    offsets = dict.fromkeys([(less[0] // 2, less[1] // 2), (0, 0)])
    return [Resizing(how, np.column_stack([np.eye(2), np.array(offset, float)])) for offset in offsets]


def is_stretched(returned: Size, given: Size) -> bool:
    """Whether one size cannot be all of an image of the other size, allowing for rounding to the latent grid."""
    cell = math.gcd(*returned, max(GRIDS))
    slacks = [max(cell, STRETCHED * side) for side in returned]
    lows = [(side - slack) / full for side, slack, full in zip(returned, slacks, given, strict=True)]
    highs = [(side + slack) / full for side, slack, full in zip(returned, slacks, given, strict=True)]
    return max(lows) >= min(highs)
