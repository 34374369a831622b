"""Models' images, brought back onto the grid of what the model was given.

Images are float32 [H,W,3] sRGB in 0..1, masks float32 [H,W].
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .geometry import Size
from .layers import Given
from .masks import grow, resize_mask
from .register import (
    CLEAR,
    COARSE,
    MATCHED,
    SUBJECT_ONLY,
    UNLIKE,
    Registration,
    covered,
    joined,
    register,
    scaling,
)
from .resample import resample, resize


@dataclass(frozen=True, eq=False)
class Aligned:
    """Returned images that lie on what the model was given; of one size, about the resolution that the model worked at.

    Attributes:
        images: the whole of the given image, [h,w,3] each.
        seen: bool [h,w], where all of them show it; elsewhere they repeat what was given. None: everywhere.
        registrations: how each lay. Where only the subject matched, nothing but the subject is seen; of an image that
            shows something else nothing is used, and what was given stands in its place.
        given: what the model was given, of any size; None where that was not needed.
        taken: the numbers of the returned images that `images` are; None: all. Beside others, one that shows something
            else takes no part: in its place, what was given would count as a result without any change of light.
    """

    images: list[np.ndarray]
    seen: np.ndarray | None
    registrations: list[Registration]
    given: Given | None = None
    taken: list[int] | None = None


def is_applied(found: Registration) -> bool:
    return found.status == SUBJECT_ONLY or (found.status == MATCHED and not found.is_plain_resize)


def lies_in_place(found: Registration) -> bool:
    """Whether an image is taken as it lies."""
    return found.status != UNLIKE and not is_applied(found)


def registered(
    given: np.ndarray, returned: Sequence[np.ndarray], unchanged: np.ndarray, subject: np.ndarray
) -> list[Registration]:
    """Finds how returned images lie on the given one.

    Args:
        given: what the model was given.
        returned: what it made of that, one for each seed, of any size.
        unchanged: [H,W] of the given image, 1 where nothing was to change.
        subject: its matte [H,W]. A relighter may return the subject alone, on gray or in surroundings of its own.
    """
    registrations = [register(given, one, unchanged) for one in returned]
    if not subject.any():
        return registrations
    pairs = zip(returned, registrations, strict=True)
    return [register_subject(given, one, subject) or found if found.status == UNLIKE else found for one, found in pairs]


def align(given: np.ndarray, returned: Sequence[np.ndarray], unchanged: np.ndarray, subject: np.ndarray) -> Aligned:
    """Finds how returned images lie on the given one, and moves them there, see `registered` and `laid_onto`."""
    return laid_onto(given, returned, registered(given, returned, unchanged, subject), subject)


def laid_onto(
    given: np.ndarray, returned: Sequence[np.ndarray], registrations: list[Registration], subject: np.ndarray
) -> Aligned:
    """Moves returned images onto the given one. What did not move keeps every bit.

    Args:
        given, returned, subject: as for `registered`. Without a subject an image that shows something else stays as it
            is: any may be shown in a mask.
        registrations: of the returned images.
    """
    has_subject = bool(subject.any())
    every = range(len(registrations))
    taken = [number for number in every if registrations[number].status != UNLIKE or not has_subject] or list(every)
    first = registrations[taken[0]]
    size = working_size(first.matrix, Size.of(given)) if is_applied(first) else Size.of(returned[taken[0]])
    images, seen = [], np.ones(size[::-1], bool)
    for number in taken:
        one, found = returned[number], registrations[number]
        image = one
        if found.status == UNLIKE and has_subject:
            image = resize(given, size)
        elif is_applied(found):
            image, shown = brought_back(one, found, Size.of(given), size)
            if found.status == SUBJECT_ONLY:
                shown &= resize_mask(subject, *size) > 0.5
            if not shown.all():
                image = np.where(shown[..., None], image, resize(given, size))
            seen &= shown
        images.append(resize(image, size))
    return Aligned(images, None if seen.all() else seen, registrations, taken=taken)


def register_subject(given: np.ndarray, returned: np.ndarray, subject: np.ndarray) -> Registration | None:
    """How a returned image lies on the given one by the subject alone; None where that does not match either."""
    # Registration keeps clear of what changed, which would leave nothing of a small subject.
    wider = grow(subject, CLEAR * max(1.0, max(subject.shape) / COARSE))
    found = register(given, returned, wider)
    return replace(found, status=SUBJECT_ONLY) if found.status == MATCHED else None


def brought_back(returned: np.ndarray, found: Registration, given: Size, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """A returned image on the given one's grid, [h,w,3] of `size`; and where it shows anything, bool [h,w]."""
    onto = joined(scaling(given, size), found.matrix)
    # A pixel that the returned image's border runs through is half invented.
    shown = covered(Size.of(returned), onto, size) > 0.999
    return resample(returned, onto, size, cv2.BORDER_REPLICATE), shown


def working_size(matrix: np.ndarray, given: Size) -> Size:
    """The size at which the given image has the returned one's resolution, but never larger than it is."""
    return given.scaled(min(1.0, 1 / abs(np.linalg.det(matrix[:, :2])) ** 0.5))
