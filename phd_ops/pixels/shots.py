"""Which images of a batch are frames of one shot of a clip.

A batch may be a clip or any images. Frames of a shot resemble the frame before: the scene, the subject and its place.
So the user does not have to say which it is. Images are float32 [H,W,3] sRGB in 0..1, mattes [H,W].
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..interrupt import check
from .geometry import Box, Size, bounding_box
from .resample import reduce, resize

# Fewer frames are no clip.
LEAST_FRAMES = 5
# Longer sides in pixels of what is compared of a scene and of a subject, and the Gaussian that blurs it: a camera and a
# subject move a little from frame to frame.
SCENE_SIDE, SUBJECT_SIDE, BLUR = 48, 16, 1.5
# Each pixel of a small scene is the mean of about this many, squared, of the scene's.
SAMPLES = 8
# Correlations from which on two scenes, and two subjects, are the same.
SAME_SCENE, SAME_SUBJECT = 0.85, 0.6
# Contrast below this is noise, and the most by which brightness changes from frame to frame; both in sRGB.
NOISE, MOST_CHANGE = 4 / 255, 0.25
# A subject moves by no more than this share of its longer side, and grows by no more than this factor, from frame to
# frame. Where one subject is pasted at random places, it almost never does this many times in a row.
MOST_MOTION, MOST_GROWTH = 0.5, 1.15
# In so many frames of a shot the light reference is sampled, where one exemplar serves all: with fewer the error grows,
# and one of them may be bad.
REFERENCES = 5


@dataclass(frozen=True, eq=False)
class Look:
    """What is compared of an image.

    Attributes:
        scene: a small blurred one, [h,w,3].
        subject: the same of the subject's box; None without a subject.
        box: the subject's.
    """

    scene: np.ndarray
    subject: np.ndarray | None = None
    box: Box | None = None

    @classmethod
    def of(cls, background: np.ndarray, composite: np.ndarray, matte: np.ndarray) -> "Look":
        check()
        scene, box = small(background, SCENE_SIDE), bounding_box(matte)
        if box is None:
            return cls(scene)
        inside = resize(composite[box.slices], Size(SUBJECT_SIDE, SUBJECT_SIDE))
        return cls(scene, cv2.GaussianBlur(inside, (0, 0), BLUR), box)


def small(image: np.ndarray, side: int) -> np.ndarray:
    """An image whose longer side is at most `side`, blurred. Of large ones, not every pixel is looked at."""
    step = max(1, max(Size.of(image)) // (SAMPLES * side))
    some = np.ascontiguousarray(image[::step, ::step])
    return cv2.GaussianBlur(reduce(some, Size.of(some).reduced_to(side)), (0, 0), BLUR)


def is_alike(one: np.ndarray, other: np.ndarray, least: float) -> bool:
    """Whether two small images [h,w,3] show the same: their correlation is high, and their brightness about equal."""
    means = [image.mean(axis=(0, 1)) for image in (one, other)]
    a, b = (image - mean for image, mean in zip((one, other), means, strict=True))
    product, power, other_power = (float((x * y).mean()) + NOISE**2 for x, y in ((a, b), (a, a), (b, b)))
    near = float(np.abs(means[0] - means[1]).max()) <= MOST_CHANGE
    return near and product >= least * math.sqrt(power * other_power)


def goes_on(before: Look, after: Look) -> bool:
    """Whether a frame may follow another one in the same shot."""
    if not is_alike(before.scene, after.scene, SAME_SCENE):
        return False
    if before.subject is None or after.subject is None:
        return True
    one, other = before.box, after.box
    assert one is not None and other is not None  # as there are subjects
    sides = max(one.size), max(other.size)
    moved = np.linalg.norm(one.corners.mean(axis=0) - other.corners.mean(axis=0))
    return bool(
        moved <= MOST_MOTION * max(sides)
        and max(sides) <= MOST_GROWTH * min(sides)
        and is_alike(before.subject, after.subject, SAME_SUBJECT)
    )


def find_clips(looks: Iterable[Look]) -> list[range]:
    """The shots of a clip among a batch's images, from their first to behind their last.

    Shots that are too short are left out. So are images that are all the same: runs of one composite, not frames.
    """
    clips, start, number, all_same = [], 0, -1, True
    first = before = None
    for number, look in enumerate(looks):
        if first is None or before is None or not goes_on(before, look):
            if number - start >= LEAST_FRAMES and not all_same:
                clips.append(range(start, number))
            start, first, before, all_same = number, look, look, True
        all_same &= is_same(first, look)
        # A subject that is gone for some frames is compared with how it was.
        before = look if look.subject is not None else Look(look.scene, before.subject, before.box)
    if number + 1 - start >= LEAST_FRAMES and not all_same:
        clips.append(range(start, number + 1))
    return clips


def reference_frames(looks: Sequence[Look]) -> list[int]:
    """The images whose light reference is sampled where one exemplar serves all, in order: of every shot a few frames
    that show the subject, spread evenly, and all images that are in no shot."""
    chosen = set(range(len(looks)))
    for shot in find_clips(looks):
        shown = [frame for frame in shot if looks[frame].subject is not None]
        spread = [(2 * number + 1) * len(shown) // (2 * REFERENCES) for number in range(REFERENCES)]
        chosen -= set(shot) - {shown[place] for place in spread if shown}
    return sorted(chosen)


def is_same(one: Look, other: Look) -> bool:
    """Whether two images look the same to the bit."""
    if one.box != other.box or not np.array_equal(one.scene, other.scene):
        return False
    return one.subject is None or (other.subject is not None and np.array_equal(one.subject, other.subject))
