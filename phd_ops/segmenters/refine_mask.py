"""From a segmenter's raw mask to one that can be pasted: no stray parts, no small holes, a true edge."""

from dataclasses import dataclass

import numpy as np

from ..interrupt import by_bands
from ..pixels.edge_matting import refine_edge
from ..pixels.masks import drop_specks, fill_holes, grow, largest_component, stabilize
from .parts import prompted_parts
from .prompt import Prompt

# Which connected parts of a mask stay, the default first.
KEEP = ["largest", "all", "prompted"]
# Connected parts smaller than this share of the image are specks.
SPECK_SHARE = 0.0005
# Holes up to this share of the subject are a segmenter's faults; a larger one may be the opening of a handle.
HOLE_SHARE = 0.02
# Segmenters leave cores of .95 and a haze of .05; both are meant as 1 and 0.
SEGMENTER_TOLERANCE = 0.05


@dataclass(frozen=True)
class MaskRefinement:
    """How a raw mask is refined.

    Attributes:
        threshold: above 0, pixels from this value on become 1 and all others 0; at 0 the mask stays soft.
        keep: which connected parts stay, one of KEEP: "largest", "all" (but specks), or "prompted".
        grow: pixels by which the edge moves outward, inward where negative; the edge becomes hard.
        edge: pixels within which the edge is moved to that of the image; 0 leaves it where it is.
    """

    threshold: float = 0.0
    keep: str = KEEP[0]
    grow: int = 0
    edge: int = 0


def refine_mask(mask: np.ndarray, image: np.ndarray, prompt: Prompt, refinement: MaskRefinement) -> np.ndarray:
    """A raw mask refined.

    Args:
        mask: float32 [H,W] in 0..1, 1 = subject.
        image: float [H,W,3] in 0..1.
        prompt: chooses among the connected parts where `keep` is "prompted".
    Returns:
        float32 [H,W] in 0..1.
    """
    if refinement.threshold > 0:
        mask = by_bands(lambda band: (band >= refinement.threshold).astype(np.float32), mask)
    mask = keep_parts(stabilize(mask, SEGMENTER_TOLERANCE), prompt, refinement.keep)
    mask = fill_holes(mask, HOLE_SHARE * np.count_nonzero(mask > 0.5))
    if refinement.edge:
        mask = stabilize(refine_edge(image, mask, refinement.edge))
        mask = by_bands(lambda band: (band > 0.5).astype(np.float32), mask) if refinement.threshold > 0 else mask
    return grow(mask, refinement.grow) if refinement.grow else mask


def keep_parts(mask: np.ndarray, prompt: Prompt, keep: str) -> np.ndarray:
    """The mask, [H,W], with only those connected parts that `keep`, one of KEEP, names."""
    if keep == "all":
        return drop_specks(mask, SPECK_SHARE * mask.size)
    return largest_component(mask) if keep == "largest" else prompted_parts(mask, prompt)
