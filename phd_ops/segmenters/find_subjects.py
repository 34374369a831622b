"""Any segmenter on any image: several prompts, transparency, and the refinement of what was found."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..interrupt import by_bands, check
from ..pixels.geometry import Size
from ..pixels.masks import LEAST_ALPHA
from ..pixels.paste import subject_box
from ..sentence import sentence
from .parts import parts_of
from .prompt import Prompt, clip_to_image
from .refine_mask import MaskRefinement, refine_mask


@dataclass(frozen=True)
class Subjects:
    """What was found in an image.

    Attributes:
        mask: float32 [H,W] in 0..1, all subjects in one mask; 0 everywhere where nothing was found.
        separate: a mask [H,W] for each subject: of each prompt, or of each part where all parts of one prompt are kept.
        messages: sentences for the user.
    """

    mask: np.ndarray
    separate: list[np.ndarray]
    messages: list[str]


def find_subjects(
    segment: Callable[[np.ndarray, Prompt], np.ndarray],
    image: np.ndarray,
    prompts: list[Prompt],
    refinement: MaskRefinement,
) -> Subjects:
    """The subjects in an image.

    Args:
        segment: a segmenter: from an image [H,W,3] and a prompt to a mask [H,W].
        image: float32 [H,W,3] or [H,W,4] in 0..1. Transparent pixels are hidden from the segmenter and are never
            subject; an image that is transparent everywhere counts as opaque.
        prompts: one for each subject. Without any, nothing is found.
    """
    colors, alpha = opaque(image), image[..., 3] if has_alpha(image) else None
    whole, separate, messages = np.zeros(image.shape[:2], np.float32), [], []
    for prompt in prompts:
        check()
        clipped, outside = clip_to_image(prompt, Size.of(image))
        messages += outside
        if clipped is None:
            continue
        # A network in 16 bits may overflow to NaN, which counts as background.
        found = by_bands(lambda band: np.nan_to_num(band, nan=0.0).clip(0, 1), segment(colors, clipped))
        raw = visible(found, alpha)
        mask = visible(refine_mask(raw, colors, clipped, refinement), alpha)
        messages += dropped_points(raw, mask, clipped.positive, refinement)
        if subject_box(mask) is not None:
            whole = by_bands(np.maximum, whole, mask)
            one_by_one = len(prompts) == 1 and refinement.keep == "all"
            # Parts below ½ everywhere and those beyond MOST_PARTS get no mask of their own; the whole mask has them.
            separate += (parts_of(mask) or [mask]) if one_by_one else [mask]
    return Subjects(whole, separate, messages)


def dropped_points(found: np.ndarray, mask: np.ndarray, points: np.ndarray, refinement: MaskRefinement) -> list[str]:
    """A message where a part with one of the points, [N,2], is in the mask that was found but not in the refined one.

    "largest" goes by area alone: a click on the subject does not hold a part that is smaller than another one.
    """
    if refinement.keep != "largest":
        return []
    # The refined edge may have moved past a point without the part being dropped.
    reach = 1 + refinement.edge + max(0, -refinement.grow)
    dropped = 0
    for x, y in np.asarray(points, int):
        around = mask[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
        dropped += bool(found[y, x] > max(0.5, refinement.threshold) and not (around > 0.5).any())
    if not dropped:
        return []
    return [
        sentence(
            "keep is largest, so the part of the mask at {dropped} of {count} positive points is dropped: set keep to "
            "prompted.",
            dropped=dropped,
            count=len(points),
        )
    ]


def has_alpha(image: np.ndarray) -> bool:
    """Whether an image [H,W,3] or [H,W,4] has alpha. One that is transparent everywhere counts as opaque."""
    return image.shape[2] == 4 and bool(image[..., 3].max() >= LEAST_ALPHA)


def opaque(image: np.ndarray) -> np.ndarray:
    """An image [H,W,3] or [H,W,4], in 0..1 with straight alpha, over middle gray: [H,W,3].

    Transparent pixels may hold any color, which a segmenter must not take for a part of the subject.
    """
    if not has_alpha(image):
        return image[..., :3]
    return by_bands(lambda band: band[..., :3] * band[..., 3:] + 0.5 * (1 - band[..., 3:]), image)


def visible(mask: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """A mask, [H,W], at most as opaque as the image is."""
    return mask if alpha is None else by_bands(np.minimum, mask, alpha)
