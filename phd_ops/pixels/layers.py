"""The layers that are stitched: background, composite, and the masks that say what each pixel may take."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..interrupt import by_bands

Slices = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Layers:
    """A window of a pasted scene: all that stitching needs besides the model's work, of one size.

    Attributes:
        background: the scene before anything was pasted, [H,W,3].
        composite: after pasting, [H,W,3].
        matte: the subject's alpha in the composite, [H,W].
        harmonize_mask: what the model may change, [H,W].
        fade: how far the surround takes the model's pixels, [H,W].
        shadow_fade: how far it takes the model's shadow, [H,W]. Both are from `fades_in_window`.
        goes_on: whether the scene goes on beyond the window's left, top, right and bottom side.
    """

    background: np.ndarray
    composite: np.ndarray
    matte: np.ndarray
    harmonize_mask: np.ndarray
    fade: np.ndarray
    shadow_fade: np.ndarray
    goes_on: tuple[bool, bool, bool, bool] = (False, False, False, False)

    @cached_property
    def reached(self) -> np.ndarray:
        """All that stitching may change, [H,W]: where it is 0, the background stays."""
        return by_bands(np.maximum, self.matte, self.fade)

    def cut(self, slices: Slices | slice) -> "Layers":
        """The layers of a part of the window, or of some of its rows."""
        arrays = (self.background, self.composite, self.matte, self.harmonize_mask, self.fade, self.shadow_fade)
        return Layers(*(array[slices] for array in arrays), goes_on=(False, False, False, False))


@dataclass(frozen=True, eq=False)
class Given:
    """What a model was given of a composite.

    Attributes:
        composite: float32 [h,w,3].
        matte, harmonize_mask: as in `Layers`, [h,w].
    """

    composite: np.ndarray
    matte: np.ndarray
    harmonize_mask: np.ndarray

    @property
    def unchanged(self) -> np.ndarray:
        """1 where nothing was to change, [h,w]."""
        return by_bands(lambda one, other: 1 - np.maximum(one, other), self.harmonize_mask, self.matte)
