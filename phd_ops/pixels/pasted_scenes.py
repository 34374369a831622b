"""What a paste hands on to the later steps, as one value: composites with all that belongs to them."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from .crop_window import CropWindow
from .geometry import Box, Margins, Size
from .resample import pad


@dataclass(frozen=True, eq=False)
class PastedScenes:
    """A batch of composites. All tensors are float32, of one height and width; one item of a batch may serve all.

    Attributes:
        background: the scenes before anything was pasted, [B,H,W,3], as given: values may lie outside 0..1.
        composite: [B,H,W,3].
        reference: the light references, [B,H,W,3].
        subject_matte: all subjects, as composited, [B,H,W].
        inpaint_mask: the rings around them, [B,H,W].
        harmonize_mask: subjects and rings, [B,H,W].
        one_exemplar: one still exemplar was pasted into all scenes, so that its light is the same in all references.
    """

    background: torch.Tensor
    composite: torch.Tensor
    reference: torch.Tensor
    subject_matte: torch.Tensor
    inpaint_mask: torch.Tensor
    harmonize_mask: torch.Tensor
    one_exemplar: bool = False

    @classmethod
    def without_subject(cls, background: torch.Tensor, image: torch.Tensor, mask: torch.Tensor) -> "PastedScenes":
        """Scenes to inpaint, with no subject in them.

        Args:
            background: the scenes as given, [B,H,W,3]; `image`: the same in 0..1.
            mask: what may change, [B,H,W].
        """
        return cls(background, image, image, torch.zeros_like(mask[:1]), mask, mask)

    def extended(self, margins: Margins) -> "PastedScenes":
        """The scenes with margins, where their edge pixels repeat and all may change."""

        def edges(images: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(np.stack([pad(image, margins) for image in images.numpy()]))

        def filled(masks: torch.Tensor, value: float = 1) -> torch.Tensor:
            size = margins.around(self.size)
            larger = masks.new_full((len(masks), size.height, size.width), value)
            larger[(slice(None), *Box(margins.left, margins.top, *self.size).slices)] = masks
            return larger

        # Where one tensor stands for several parts, it does so still.
        composite, inpaint_mask = edges(self.composite), filled(self.inpaint_mask)
        same_masks = self.harmonize_mask is self.inpaint_mask
        return replace(
            self,
            background=composite if self.background is self.composite else edges(self.background),
            composite=composite,
            reference=composite if self.reference is self.composite else edges(self.reference),
            subject_matte=filled(self.subject_matte, 0),
            inpaint_mask=inpaint_mask,
            harmonize_mask=inpaint_mask if same_masks else filled(self.harmonize_mask),
        )

    @property
    def size(self) -> Size:
        return Size(self.composite.shape[2], self.composite.shape[1])

    def taken(self, places: Sequence[int]) -> "PastedScenes":
        """The scenes at these places, in this order."""
        chosen = {name: batch[list(places)] for name, batch in self.tensors().items() if len(batch) > 1}
        return replace(self, **chosen)

    def until(self, count: int) -> "PastedScenes":
        """The first `count` scenes."""
        return replace(self, **{name: batch[:count] for name, batch in self.tensors().items()})

    def tensors(self) -> dict[str, torch.Tensor]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, torch.Tensor)}

    def is_same(self, other: "PastedScenes") -> bool:
        """Whether both hold the same images and masks."""
        pairs = zip(self.tensors().values(), other.tensors().values(), strict=True)
        return self is other or all(are_equal(one, two) for one, two in pairs)


def are_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are equal in every bit; NaN, as in HDR images, equals NaN."""
    return one is other or (one.shape == other.shape and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True))


@dataclass(frozen=True, eq=False)
class PasteCrop(CropWindow):
    """A window, and the scenes that it was cut from.

    Attributes:
        pasted: None where the images were connected one by one, and no background is known.
    """

    pasted: PastedScenes | None = None

    def taken(self, places: Sequence[int]) -> "PasteCrop":
        """The window of the scenes at these places, in this order."""
        boxes = tuple(self.boxes[place] for place in places) if self.boxes else ()
        return replace(self, boxes=boxes, pasted=None if self.pasted is None else self.pasted.taken(places))

    def is_of(self, whole: "PasteCrop") -> bool:
        """Whether this is the same window, of all of its scenes or of some of them."""
        return self == whole and (self.boxes == whole.boxes or len(self.boxes) != len(whole.boxes))
