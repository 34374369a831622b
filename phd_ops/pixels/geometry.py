"""Geometry as value types: boxes, and the placement of a subject in a scene.

Coordinates are continuous: pixel i covers [i, i+1), so its center is i + 0.5 and an image's center is width / 2.
"""

import functools
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import cv2
import numpy as np

from ..interrupt import bands, by_bands
from ..quote import quoted
from ..sentence import sentence

# A link may bring NumPy's.
NUMBERS = (int, float, np.integer, np.floating)


class Size(NamedTuple):
    """In pixels."""

    width: int
    height: int

    @classmethod
    def of(cls, image: np.ndarray) -> "Size":
        """Of an [H,W] or [H,W,C] array."""
        return cls(image.shape[1], image.shape[0])

    def scaled(self, factor: float) -> "Size":
        """Times a factor, in whole pixels; no side gets below one."""
        return Size(*(max(1, round(side * factor)) for side in self))

    def reduced_to(self, side: int) -> "Size":
        """In the same shape, with a longer side of at most `side`."""
        return self.scaled(min(1.0, side / max(self)))


class Margins(NamedTuple):
    """Whole pixels at the sides of an image, none of them below 0."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def around(self, size: Size) -> Size:
        """An image's size with them."""
        return Size(size.width + self.left + self.right, size.height + self.top + self.bottom)


class Box(NamedTuple):
    """Whole pixels; may lie partly or wholly outside an image."""

    x: int
    y: int
    width: int
    height: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the box in an [H,W,...] array that contains it."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    def grown(self, pixels: int) -> "Box":
        return Box(self.x - pixels, self.y - pixels, self.width + 2 * pixels, self.height + 2 * pixels)

    def resized(self, size: Size, to: Size) -> "Box":
        """Where it lies in its image of one size resized to another one: to whole pixels, at least one."""
        (left, top), (right, bottom) = (self.corners[corner] * to / size for corner in (0, 2))
        x, y = min(round(left), to.width - 1), min(round(top), to.height - 1)
        return Box(x, y, max(1, round(right) - x), max(1, round(bottom) - y))

    def moved(self, x: int, y: int) -> "Box":
        return self._replace(x=self.x + x, y=self.y + y)

    def joined(self, other: "Box") -> "Box":
        """The smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)

    def within(self, other: "Box") -> "Box":
        """The part inside another box; its width or height is 0 where there is none."""
        x = min(max(self.x, other.x), other.x + other.width)
        y = min(max(self.y, other.y), other.y + other.height)
        right = min(max(self.x + self.width, x), other.x + other.width)
        bottom = min(max(self.y + self.height, y), other.y + other.height)
        return Box(x, y, right - x, bottom - y)

    def inside(self, size: Size) -> "Box":
        """The part that lies inside an image."""
        return self.within(Box(0, 0, *size))

    @property
    def corners(self) -> np.ndarray:
        """float64 [4,2], (x, y), in order around the box."""
        right, bottom = self.x + self.width, self.y + self.height
        return np.array([[self.x, self.y], [right, self.y], [right, bottom], [self.x, bottom]], float)


def joined_box(boxes: Iterable[Box | None]) -> Box | None:
    """The smallest box that holds all of them; None where there is none."""
    found = [box for box in boxes if box is not None]
    return functools.reduce(Box.joined, found) if found else None


def outline(mask: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Points whose convex hull is that of all pixels of an [H,W] mask above `threshold`: both ends of every row.

    Returns:
        float64 [N,2], (x, y); N is 0 for an empty mask.
    """

    def ends_of(band: np.ndarray) -> np.ndarray:
        inside = band > threshold
        return np.stack([inside.argmax(axis=1), band.shape[1] - inside[:, ::-1].argmax(axis=1), inside.any(axis=1)], 1)

    left, right, found = by_bands(ends_of, mask).T
    rows = np.flatnonzero(found)
    ends = [np.column_stack([x[rows], y]) for x in (left, right) for y in (rows, rows + 1)]
    return np.concatenate(ends).astype(float)


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Maps points [N,2] by an affine matrix [2,3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def box_around(points: np.ndarray) -> Box:
    """The smallest box around points [N,2], N above 0; an excess over a pixel by rounding alone adds no pixel."""
    x, y = (math.floor(v + 1e-6) for v in points.min(0))
    right, bottom = (math.ceil(v - 1e-6) for v in points.max(0))
    return Box(x, y, right - x, bottom - y)


def bounding_box(mask: np.ndarray, threshold: float = 0.0) -> Box | None:
    """The smallest box around all pixels of an [H,W] mask above `threshold`; None where there is none."""
    found: Box | None = None
    for rows in bands(*mask.shape):
        inside = np.ascontiguousarray(mask[rows] > threshold).view(np.uint8)
        box = Box(*cv2.boundingRect(inside)).moved(0, rows.start)
        if 0 not in box.size:
            found = box if found is None else found.joined(box)
    return found


@dataclass(frozen=True)
class Placement:
    """The place of a subject in a scene.

    Attributes:
        x, y: the subject's center, as a fraction of the scene's width and height. May lie outside 0..1.
        size: the subject's longer side (before rotation) as a fraction of the scene's shorter side.
        rotation: degrees, counterclockwise as seen.
        flip: mirrored left to right, before rotation.
    """

    x: float = 0.5
    y: float = 0.5
    size: float = 0.6
    rotation: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        for name, low, high in (("x", -1e4, 1e4), ("y", -1e4, 1e4), ("size", 1e-4, 1e4), ("rotation", -1e12, 1e12)):
            value = getattr(self, name)
            # A NaN compares as false.
            if isinstance(value, bool) or not isinstance(value, NUMBERS) or not low <= value <= high:
                raise ValueError(
                    sentence(
                        "{name} is {value}; in a placement it must be a number from {low:g} to {high:g}.",
                        name=name,
                        value=quoted(value),
                        low=low,
                        high=high,
                    )
                )
        if not isinstance(self.flip, (bool, np.bool_)):
            raise ValueError(
                sentence("flip is {value}; in a placement it must be true or false.", value=quoted(self.flip))
            )
        for name, value in vars(self).items():
            # JSON has no numbers of NumPy's.
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())

    def scale(self, subject: Size, scene: Size) -> float:
        """Scene pixels per subject pixel."""
        return self.size * min(scene) / max(subject)

    def matrix(self, subject: Size, scene: Size) -> np.ndarray:
        """float64 [2,3]: continuous subject coordinates to continuous scene coordinates."""
        scale = self.scale(subject, scene)
        angle = math.radians(math.fmod(self.rotation, 360.0))
        cos, sin = math.cos(angle) * scale, math.sin(angle) * scale
        mirror = -1.0 if self.flip else 1.0
        linear = np.array([[cos * mirror, sin], [-sin * mirror, cos]])
        center = np.array([self.x * scene.width, self.y * scene.height])
        offset = center - linear @ np.array([subject.width / 2, subject.height / 2])
        return np.column_stack([linear, offset])

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Placement":
        """Inverse of `to_text`; values that are left out have their defaults. Raises ValueError for anything else."""
        example = cls().to_text()
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict) or not set(values) <= set(asdict(cls())):
            raise ValueError(
                sentence(
                    "{value} is not a placement; one looks like this: {example}.", value=quoted(text), example=example
                )
            )
        return cls(**values)


def visible_share(placement: Placement, subject: Size, scene: Size) -> float:
    """The share of the subject's upright bounding box that lies inside the scene, 0..1."""
    corners = mapped(placement.matrix(subject, scene), Box(0, 0, *subject).corners)
    low, high = corners.min(0), corners.max(0)
    shown = np.clip(np.minimum(high, scene) - np.maximum(low, 0), 0, None)
    return float(np.prod(shown) / max(np.prod(high - low), 1e-12))


def random_placement(
    seed: int,
    subject: Size,
    scene: Size,
    size_range: tuple[float, float],
    rotation: float = 0.0,
    flip: bool = False,
    least_visible: float = 0.75,
) -> Placement:
    """Draws location and size as the paper's pasting does; rotation and flip stay as given.

    The draw depends on the seed and the sizes alone. At least the share `least_visible` of the subject's upright box
    is in the scene: if no draw achieves that, the last one is moved toward the scene's center until it does. If even
    the center shows less, the smallest size is placed there.
    """
    rng = np.random.default_rng(seed)
    low, high = min(size_range), max(size_range)

    def placed(x: float, y: float, size: float) -> Placement:
        return Placement(round(x, 4), round(y, 4), round(size, 4), rotation, flip)

    def shows(placement: Placement) -> bool:
        return visible_share(placement, subject, scene) >= least_visible

    for _ in range(64):
        size, x, y = rng.uniform(low, high), rng.uniform(), rng.uniform()
        if shows(placed(x, y, size)):
            return placed(x, y, size)
    if not shows(placed(0.5, 0.5, size)):
        return placed(0.5, 0.5, low)
    near, far = 0.0, 1.0
    for _ in range(16):
        middle = (near + far) / 2
        fits = shows(placed(0.5 + middle * (x - 0.5), 0.5 + middle * (y - 0.5), size))
        near, far = (middle, far) if fits else (near, middle)
    return placed(0.5 + near * (x - 0.5), 0.5 + near * (y - 0.5), size)
