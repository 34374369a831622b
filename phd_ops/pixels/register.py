"""Registration: how an image that a model returned lies on the image that the model was given.

Edit models shift, zoom and crop what they return. The motion is found where nothing was to change: first among the
exact ways in which models resize images, then as a shift, a zoom with rotation, or an affine map, whichever is the
simplest that explains what is seen. A motion that is not needed is not applied.

Images are float32 [H,W,3] sRGB in 0..1, masks [H,W]. Coordinates are continuous, see `geometry.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from ..interrupt import by_bands, check, waiting
from .color import same_pixels
from .geometry import Box, Size, mapped
from .masks import beyond, resize_mask
from .motion import AGREEMENT, LEAST_POINTS, agreeing, distances, find_motion, fit, is_as_good, rough_motion
from .resample import reduce, resample
from .resizings import Resizing, resizings

# Longer sides in pixels of the images that motion is looked for in: roughly, then exactly.
COARSE, FINE = 256, 1024
# Smaller images, by their longer side, tell nothing of a motion.
SMALLEST = 128
# What is finer than this, in pixels of those images, is structure; what is coarser is light.
STRUCTURE = 8.0
# Contrast in sRGB below which structure is mostly noise, and the least that a point has.
NOISE, LEAST_CONTRAST = 4 / 255, 2 / 255
# Points are at least so far apart, and tracked in windows so wide.
MOST_POINTS, APART, WINDOW = 1200, 8, 21
# So many of them tell that an image lies in its place.
ENOUGH_POINTS = 150
# Each level of the tracker's pyramid doubles the motion that it finds.
LEVELS = 3
# In pixels: a point that is tracked there and back ends no farther from where it began.
RETURNED = 0.3
# Correlation of structure below which two images do not show the same thing.
ALIKE = 0.3
# The least share of the points that are tracked must agree: elsewhere the model may have changed the image.
LEAST_SHARE = 0.25
# Distance from what changed, in pixels of the images that motion is looked for in: structure spreads so far.
CLEAR = 12
# In pixels of the given image: a motion that explains no more than this is not applied.
NOT_NEEDED = 0.08
# Beyond these, images are turned or enlarged on purpose: a zoom by more, and degrees.
MOST_ZOOM, MOST_TURN = 2.0, 15.0
# In SIFT: descriptors that match are so much nearer than the next best ones (Lowe 2004).
LOWE = 0.75

MATCHED, SUBJECT_ONLY, PLAIN, COVERED, UNLIKE = "matched", "subject only", "plain", "covered", "unlike"


@dataclass(frozen=True, eq=False)
class Registration:
    """How a returned image lies on the given one.

    Attributes:
        status: MATCHED; SUBJECT_ONLY: only the subject is, among other surroundings (see `align`); PLAIN: there is too
            little structure, or there are too few pixels; COVERED: nothing was to stay unchanged; UNLIKE: it shows
            something else.
        how: the size's part of it, as in `Resizing`.
        matrix: float64 [2,3], continuous coordinates of the returned image to the given one's.
        motion: what is in it beyond the size's part: "none", or a key of MODELS.
        residual: median distance in pixels of the given image that is left at the points; NaN unless matched.
        moved: largest motion at a corner of the given image, beyond the way in which it was resized, in its pixels.
    """

    status: str
    how: str
    matrix: np.ndarray
    motion: str = "none"
    residual: float = float("nan")
    moved: float = 0.0

    @property
    def is_plain_resize(self) -> bool:
        """Whether the returned image shows all of the given one and nothing else."""
        return self.motion == "none" and self.how in ("same size", "resized")


def gray(image: np.ndarray) -> np.ndarray:
    """An image [H,W,3] without its color, float32 [H,W]; one that has none is returned as it is."""
    return image if image.ndim == 2 else waiting(cv2.cvtColor, image, cv2.COLOR_RGB2GRAY)


def smooth(image: np.ndarray) -> np.ndarray:
    """A gray image blurred by a Gaussian of STRUCTURE pixels; on a grid twice as coarse, in a third of the time."""
    size = Size.of(image)
    small = cv2.GaussianBlur(reduce(image, size.scaled(0.5)), (0, 0), STRUCTURE / 2)
    return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)


def structure(image: np.ndarray, seen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """A gray image without its light and tone: float32 [H,W], about -3..3; and its local contrast, squared (sRGB).

    Args:
        seen: [H,W], 0 where the image shows nothing.
    """
    if seen is None or seen.min() == 1:
        fine = image - smooth(image)
        power = smooth(fine * fine)
    else:
        total = np.maximum(smooth(seen), 1e-3)
        fine = (image - smooth(image * seen) / total) * seen
        power = np.maximum(smooth(fine * fine * seen) / total, 0)
    return fine / np.sqrt(power + np.float32(NOISE**2)), power


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Structure as the 8-bit image that OpenCV tracks points in."""
    return np.clip(128 + 40 * values, 0, 255).astype(np.uint8)


def scaling(size: Size, to: Size) -> np.ndarray:
    """The matrix [2,3] from coordinates of an image to those of the image resized."""
    return np.column_stack([np.diag([to.width / size.width, to.height / size.height]), [0, 0]])


def joined(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The affine matrix [2,3] of one map after another."""
    return np.column_stack([second[:, :2] @ first[:, :2], second[:, :2] @ first[:, 2] + second[:, 2]])


def inverted(matrix: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


@dataclass(frozen=True, eq=False)
class View:
    """A given image at a size that motion is looked for in.

    Attributes:
        whole: the given image, gray [H,W].
        changed: what was to change, [H,W].
        side: the longer side of that size, at most.
    """

    whole: np.ndarray
    changed: np.ndarray
    side: int

    @property
    def size(self) -> Size:
        """Of the given image."""
        return Size.of(self.whole)

    @property
    def small(self) -> Size:
        """That size."""
        return self.size.reduced_to(self.side)

    @cached_property
    def unchanged(self) -> np.ndarray:
        """Where nothing was to change, bool [h,w]."""
        check()
        return beyond((resize_mask(self.changed, *self.small) > 0.02).astype(np.float32), CLEAR)

    @cached_property
    def shade(self) -> np.ndarray:
        """The given image at that size, gray [h,w]."""
        return reduce(self.whole, self.small)

    @cached_property
    def structured(self) -> tuple[np.ndarray, np.ndarray]:
        return structure(self.shade)

    @property
    def image(self) -> np.ndarray:
        """Its structure [h,w]."""
        return self.structured[0]

    @cached_property
    def usable(self) -> np.ndarray:
        """Where it has structure and nothing was to change, bool [h,w]."""
        return self.unchanged & (self.structured[1] > LEAST_CONTRAST**2)

    @property
    def to_small(self) -> np.ndarray:
        return scaling(self.size, self.small)

    def warped(self, returned: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The structure of a returned gray image, moved onto the view; and where it shows any, bool [h,w]."""
        check()
        size, onto = self.small, joined(self.to_small, matrix)
        image = resample(returned, onto, size, cv2.BORDER_REPLICATE)
        if np.allclose(onto, scaling(Size.of(returned), size)):
            return structure(image)[0], np.ones(size[::-1], bool)
        seen = covered(Size.of(returned), onto, size)
        return structure(image, seen)[0], seen > 0.5

    def likeness(self, image: np.ndarray, seen: np.ndarray) -> float:
        """Correlation of the structure with that of a `warped` image where nothing was to change, at most 1."""
        # A quarter of the pixels tell it well enough.
        some = slice(None, None, 2), slice(None, None, 2)
        used = self.usable[some] & seen[some]
        one, other = self.image[some][used], image[some][used]
        power = float((one**2).sum() * (other**2).sum())
        return float((one * other).sum()) / power**0.5 if power > 0 else 0.0

    @cached_property
    def points(self) -> np.ndarray:
        """Points that can be tracked, float32 [N,2] in OpenCV's coordinates."""
        mask = self.usable.astype(np.uint8)
        found = cv2.goodFeaturesToTrack(eight_bits(self.image), MOST_POINTS, 0.01, APART, mask=mask)
        return np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)

    def tracked(
        self, image: np.ndarray, seen: np.ndarray, levels: int = LEVELS, most: int = MOST_POINTS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where points of the given image lie in a `warped` one.

        Args:
            levels: of the pyramid; without any, only what has hardly moved is found.
            most: so many points at most, of all contrasts.
        Returns:
            The moved points and the still ones [N,2], in coordinates of the given image.
        """
        start = self.points[:: max(1, math.ceil(len(self.points) / most))].copy()
        if len(start) < LEAST_POINTS:
            return np.zeros((0, 2)), np.zeros((0, 2))
        ours, theirs = eight_bits(self.image), eight_bits(image)
        options: dict[str, Any] = {"winSize": (WINDOW, WINDOW), "maxLevel": levels, "criteria": (3, 30, 0.005)}
        end, found, _ = cv2.calcOpticalFlowPyrLK(ours, theirs, start, start.copy(), **options)
        back, again, _ = cv2.calcOpticalFlowPyrLK(theirs, ours, end, end.copy(), **options)
        good = (found.ravel() > 0) & (again.ravel() > 0) & (np.linalg.norm(back - start, axis=1) < RETURNED)
        column, row = np.clip(np.rint(end).astype(int), 0, np.array(Size.of(seen)) - 1).T
        good &= seen[row, column]
        to_given = inverted(self.to_small)
        moved, still = (mapped(to_given, points[good].astype(float) + 0.5) for points in (end, start))
        return moved, still


def covered(returned: Size, matrix: np.ndarray, size: Size) -> np.ndarray:
    """Where an image of size `returned`, moved by a matrix, shows anything; float32 [H,W] in 0..1."""
    return resample(np.ones(returned[::-1], np.float32), matrix, size, cv2.BORDER_CONSTANT, cv2.INTER_LINEAR)


def register(
    given: np.ndarray, returned: np.ndarray, unchanged: np.ndarray, not_needed: float = NOT_NEEDED
) -> Registration:
    """Finds how a returned image lies on the given one.

    Args:
        given: what the model was given, [H,W,3], or gray [H,W].
        returned: what it made of that, [h,w,3] or [h,w] of any size.
        unchanged: [H,W], 1 where nothing was to change.
        not_needed: a motion that explains no more is not looked for, in pixels of the given image.
    """
    size, came = Size.of(given), Size.of(returned)
    ways = resizings(came, size)
    before, after, changed = gray(given), gray(returned), by_bands(lambda band: 1 - band, unchanged)
    coarse, best = View(before, changed, COARSE), ways[0]
    fine = View(before, changed, FINE) if max(size) > COARSE else coarse
    if len(fine.points) < LEAST_POINTS or max(came) < SMALLEST:
        return Registration(PLAIN if coarse.unchanged.any() else COVERED, best.how, best.matrix)
    if came == size and same_pixels(given, returned):
        return Registration(MATCHED, best.how, best.matrix, "none", 0.0)
    if len(ways) > 1:
        best = max(ways, key=lambda way: coarse.likeness(*coarse.warped(after, way.matrix)))
    points = tracked_in_place(fine, after, best.matrix, not_needed)
    if points is None and not coarse.unchanged.any():
        return Registration(COVERED, best.how, best.matrix)
    for guess in (guess_by_tracking, guess_by_features):
        start = guess(coarse, fine, after, best.matrix) if points is None else None
        points = points if start is None else tracked_again(fine, after, start)
        if points is not None:
            break
    if points is None:
        return Registration(UNLIKE, best.how, best.matrix)
    return settled(*points, best, ways, size, not_needed)


def tracked_in_place(
    view: View, returned: np.ndarray, matrix: np.ndarray, not_needed: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Points in the returned image and in the given one, [N,2] each, where a matrix already brings the returned image
    to its place; None where it does not. This is the usual case, and found at a fraction of the cost."""
    image, seen = view.warped(returned, matrix)
    moved, still = view.tracked(image, seen, levels=0, most=ENOUGH_POINTS)
    agreed = np.hypot(*(moved - still).T) < AGREEMENT
    if agreed.sum() < max(LEAST_POINTS, len(moved) / 2) or view.likeness(image, seen) < ALIKE:
        return None
    moved, still = moved[agreed], still[agreed]
    lies = np.sqrt(((moved - still) ** 2).sum(axis=1).mean()) <= not_needed
    return (mapped(inverted(matrix), moved), still) if lies else None


def guess_by_tracking(coarse: View, fine: View, returned: np.ndarray, matrix: np.ndarray) -> np.ndarray | None:
    """A matrix that is right to a few pixels, by points that are tracked in small images; None where they disagree."""
    shown = coarse.warped(returned, matrix)
    moved, still = coarse.tracked(*shown)
    motion = rough_motion(moved, still, coarse.size)
    if motion is not None and 2 * motion[1].sum() >= len(moved):
        matrix = joined(motion[0], matrix)
        shown = coarse.warped(returned, matrix)
    return matrix if coarse.likeness(*shown) >= ALIKE else None


def guess_by_features(coarse: View, fine: View, returned: np.ndarray, matrix: np.ndarray) -> np.ndarray | None:
    """A matrix by matched features (SIFT), which finds large motions; None where they disagree."""
    sift = cv2.SIFT.create(4 * MOST_POINTS)
    small = reduce(returned, Size.of(returned).reduced_to(FINE))
    image, _ = structure(small)
    ours = waiting(sift.detectAndCompute, eight_bits(fine.image), fine.unchanged.astype(np.uint8))
    theirs = waiting(sift.detectAndCompute, eight_bits(image), None)
    if ours[1] is None or theirs[1] is None or len(theirs[1]) < 2:
        return None
    pairs = waiting(cv2.BFMatcher(cv2.NORM_L2).knnMatch, ours[1], theirs[1], k=2)
    good = [pair[0] for pair in pairs if pair[0].distance < LOWE * pair[1].distance]
    to_given, to_returned = inverted(fine.to_small), inverted(scaling(Size.of(returned), Size.of(small)))
    still = mapped(to_given, np.array([ours[0][match.queryIdx].pt for match in good], float).reshape(-1, 2) + 0.5)
    moved = mapped(to_returned, np.array([theirs[0][match.trainIdx].pt for match in good], float).reshape(-1, 2) + 0.5)
    moved = mapped(matrix, moved)
    agreed = agreeing(moved, still)
    if agreed.sum() < LEAST_POINTS:
        return None
    found, _ = fit("zoom and rotation", moved[agreed], still[agreed])
    zoom, turn = abs(np.linalg.det(found[:, :2])) ** 0.5, np.degrees(np.arctan2(found[1, 0], found[0, 0]))
    return joined(found, matrix) if 1 / MOST_ZOOM < zoom < MOST_ZOOM and abs(turn) < MOST_TURN else None


def tracked_again(view: View, returned: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Points in the returned image and in the given one, [N,2] each, that agree; None where too few do.

    They are tracked twice: where the images already lie on each other, tracking is more exact.
    """
    for _ in range(2):
        moved, still = view.tracked(*view.warped(returned, matrix))
        motion = rough_motion(moved, still, view.size)
        if motion is None or motion[1].sum() < LEAST_SHARE * len(moved):
            return None
        closer, agreed = motion
        points = mapped(inverted(matrix), moved[agreed]), still[agreed]
        matrix = joined(closer, matrix)
    return points if view.likeness(*view.warped(returned, matrix)) >= ALIKE else None


def settled(
    points: np.ndarray,
    still: np.ndarray,
    best: Resizing,
    ways: Sequence[Resizing],
    size: Size,
    not_needed: float,
) -> Registration:
    """The simplest registration that explains the points: an exact way of resizing, or one with a motion.

    Args:
        points: in the returned image.
        best: the way that motion is measured from.
    """

    def rms(way: Resizing) -> float:
        return float(np.sqrt((distances(way.matrix, points, still) ** 2).mean()))

    def residual(matrix: np.ndarray) -> float:
        return float(np.median(distances(matrix, points, still)))

    exact = min(ways, key=rms)
    # No motion would be needed, whatever it explained.
    lies = rms(exact) <= not_needed
    motion = None if lies else find_motion(mapped(best.matrix, points), still, size)
    if motion is None or is_as_good(rms(exact), motion.error, NOT_NEEDED):
        return Registration(MATCHED, exact.how, exact.matrix, "none", residual(exact.matrix))
    apply = motion.matrix
    if motion.model == "shift":
        # A shift by whole pixels blurs nothing.
        whole = np.column_stack([np.eye(2), np.round(apply[:, 2])])
        shifted = Resizing(best.how, joined(whole, best.matrix))
        apply = whole if is_as_good(rms(shifted), motion.error, NOT_NEEDED) else apply
    corners = Box(0, 0, *size).corners
    moved = float(distances(apply, corners, corners).max())
    matrix = joined(apply, best.matrix)
    return Registration(MATCHED, best.how, matrix, motion.model, residual(matrix), moved)
