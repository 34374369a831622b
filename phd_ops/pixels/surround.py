"""A subject's surround: which of the background's own pixels stay there, and where a model's take their place.

Around a pasted subject the background is right already, but for the shadow that the subject casts. A model redraws it
all the same, with errors that show as a halo. So the background's pixels stay, under the model's shadow, unless the
model painted something new, or had to, since the composite has a hole there.

Images are float32 [H,W,3] sRGB in 0..1, masks [H,W].
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ..interrupt import bands, by_bands, waiting
from .color import largest_channel, threefold
from .geometry import Box, Size
from .layers import Layers, Slices
from .masks import resize_mask
from .relight import relight, shadow_gain
from .resample import blur, quick_resize

# In pixels: what is finer is texture, which no two drawings of a surround have in common.
SCALE = 4.0
# Surrounds are looked at in an image of at most this many pixels a side.
MOST_SIDE = 512
# Of a clip's frames: in one of at most READING_SIDE pixels a side, of which PLACES along each side are kept.
READING_SIDE, PLACES = 256, 40
# A change of the surround is new beyond this many times the usual (median) one, within these bounds, and wholly new
# beyond twice that. Chosen on validation scenes of RelitScenes, with the demo model.
TIMES_USUAL, LEAST_NEW, MOST_NEW = 8.0, 0.1, 0.3
# A composite that differs from its background by more, outside the subject, was cut away there.
CUT_AWAY = 8 / 255
# A hole filled with one color has at least this many pixels that differ from their neighbors by less than this.
FILLED_PIXELS, FILLED = 256, 1e-3


@dataclass(frozen=True, eq=False)
class Surround:
    """What stays of the background around a subject.

    Attributes:
        kept: how far the background's pixels stay, [H,W]; 0 off the surround.
        gain: of the model's shadow on them, [H,W], from `shadow_gain`.
    """

    kept: np.ndarray
    gain: np.ndarray

    def cut(self, slices: Slices) -> "Surround":
        return Surround(self.kept[slices], self.gain[slices])

    def on_background(self, layers: Layers) -> np.ndarray:
        """How far the background's pixels take the shadow, [H,W]."""
        return np.where((self.gain < 1) & (layers.matte < 1), self.kept * layers.shadow_fade, np.float32(0))

    def darken(self, background: np.ndarray, shadow: np.ndarray) -> np.ndarray:
        """The background [H,W,3] under the shadow, as far as it takes it."""
        if not shadow.any():
            return background
        darker = relight(background, threefold(self.gain))
        darker -= background
        # Where there is no shadow, adding 0 leaves every bit.
        darker *= threefold(shadow)
        darker += background
        return darker


@dataclass(frozen=True, eq=False)
class SurroundReading:
    """What a model made of the surround in a clip's frame, kept in few places.

    Attributes:
        fields: from `surround_fields`, uint8 [PLACES,PLACES,2], where 255 stands for 1.
        box: the part of the layers that they cover.
    """

    fields: np.ndarray
    box: Box

    def within(self, part: Box) -> np.ndarray:
        """The fields in another part of the layers, float32 [H,W,2]."""
        across, down = self.box.width / PLACES, self.box.height / PLACES
        left, top = self.box.x - part.x, self.box.y - part.y
        onto = np.array([[across, 0, across / 2 - 0.5 + left], [0, down, down / 2 - 0.5 + top]])
        fields, border = self.fields * np.float32(1 / 255), cv2.BORDER_REPLICATE
        return waiting(cv2.warpAffine, fields, onto, part.size, flags=cv2.INTER_LINEAR, borderMode=border)


def find_surround(
    layers: Layers, harmonized: np.ndarray, scale: float, keep: float, fields: np.ndarray | None = None
) -> Surround | None:
    """What stays of the background around the subject; None if there is nothing around it.

    Args:
        harmonized: what the model made of the composite, of the layers' size.
        scale: the size it was made at, as a share of that size.
        keep: how much of the background stays at most, 0..1.
        fields: of the layers, where the surround was read before, see `SurroundReading.within`.
    """
    near = near_subject(layers.background, layers.composite, layers.harmonize_mask, layers.matte)
    if fields is not None:
        kept, gain = cv2.split(fields)
    else:
        ring, full = off_subject(near, layers.matte), Size.of(layers.matte)
        size = full.scaled(min(1.0, scale, MOST_SIDE / max(full)))
        ring, matte = resize_mask(ring, *size), resize_mask(layers.matte, *size)
        if not (ring > 0.5).any():
            return None
        background, composite, made = (
            quick_resize(image, size) for image in (layers.background, layers.composite, harmonized)
        )
        small = surround_fields(background, composite, made, matte, ring)
        kept, gain = (waiting(cv2.resize, one, full, interpolation=cv2.INTER_LINEAR) for one in cv2.split(small))
    kept = by_bands(lambda inside, share: np.where(inside, np.float32(keep) * share, np.float32(0)), near, kept)
    return Surround(kept, gain)


def surround_fields(
    background: np.ndarray, composite: np.ndarray, harmonized: np.ndarray, matte: np.ndarray, ring: np.ndarray
) -> np.ndarray:
    """How far the background's pixels stay around a subject, and the gain of the model's shadow on them: [H,W,2]. The
    two go on where there is no surround.

    Args:
        harmonized: what the model made of the composite.
        ring: see `kept_share`.
    """
    gain = shadow_gain(harmonized, composite, matte)
    kept = kept_share(background, relight(background, threefold(gain)), harmonized, ring)
    return np.dstack([kept, gain])


def read_surround(layers: Layers, harmonized: np.ndarray, box: Box) -> SurroundReading | None:
    """What a model made of the surround in a part of a clip's frame; None without one.

    harmonized: what it made of the frame, of any size.
    """
    part, size = layers.cut(box.slices), box.size.reduced_to(READING_SIDE)
    matte, change = resize_mask(part.matte, *size), resize_mask(part.harmonize_mask, *size)
    made = harmonized[box.resized(Size.of(layers.matte), Size.of(harmonized)).slices]
    background, composite, made = (quick_resize(image, size) for image in (part.background, part.composite, made))
    ring = off_subject(near_subject(background, composite, change, matte), matte)
    if not (ring > 0.5).any():
        return None
    fields = surround_fields(background, composite, made, matte, ring)
    return SurroundReading(np.rint(255 * quick_resize(fields, Size(PLACES, PLACES))).astype(np.uint8), box)


def near_subject(background: np.ndarray, composite: np.ndarray, change: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """A subject and its surround, bool [H,W]: what may change in one piece with it, without holes in the scene."""
    touching, shown = parts_with_subject(change, matte), is_background(background, composite)
    return by_bands(lambda inside, own, clear: inside & ((own > 0) | clear), touching, matte, shown)


def off_subject(near: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The surround alone, float32 [H,W]."""
    return by_bands(lambda inside, own: (inside & (own == 0)).astype(np.float32), near, matte)


def parts_with_subject(change: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The connected parts of what may change that touch the subject, bool [H,W]. Parts of their own are no surround."""
    touched = by_bands(lambda one, other: (one > 0) | (other > 0), change, matte)
    count, labels = labeled(touched)
    has_subject = np.zeros(count, bool)
    for rows in bands(*matte.shape):
        has_subject[labels[rows][matte[rows] > 0]] = True
    return touched if has_subject[1:].all() else by_bands(lambda band: has_subject[band], labels)


def is_background(background: np.ndarray, composite: np.ndarray) -> np.ndarray:
    """Where a composite shows its background, not a hole cut into it, bool [H,W]."""

    def is_alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return cv2.inRange(cv2.subtract(one, other), (-CUT_AWAY,) * 3, (CUT_AWAY,) * 3) > 0

    return by_bands(is_alike, background, composite)


def kept_share(background: np.ndarray, shaded: np.ndarray, harmonized: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """How far the background's pixels stay around a subject, float32 [H,W]: 0 where the model painted something new.

    Args:
        shaded: the background under the model's shadow.
        harmonized: what the model made of it.
        ring: 0..1, the surround, without the subject and without what was cut away; not empty.
    Returns:
        A little beyond the ring it goes on as at its edge.
    """
    change = harmonized - shaded
    holes = filled_holes(background, change, ring)
    weight = np.where(holes, np.float32(0), ring)
    size = largest_channel(np.abs(smoothed(change, weight)))
    seen = size[weight > 0.5]
    usual = float(np.median(seen)) if len(seen) else 0.0
    new = min(max(TIMES_USUAL * usual, LEAST_NEW), MOST_NEW)
    return np.where(holes, np.float32(0), np.clip(2 - size / np.float32(new), 0, 1))


def smoothed(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values [H,W,3] averaged over a Gaussian of SCALE, by weight [H,W]; 0 out of reach of any weight."""
    weighted = cv2.merge([*(channel * weight for channel in cv2.split(values)), weight])
    blurred = blur(weighted, SCALE, cells=2)
    return blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-6)


def filled_holes(background: np.ndarray, change: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Holes of a scene that are filled with one color, and that the model painted over, bool [H,W].

    A white studio wall is of one color as well, but there the model paints what it was given.
    """
    square = np.ones((3, 3), np.uint8)
    spread = waiting(cv2.dilate, background, square) - waiting(cv2.erode, background, square)
    flat = (largest_channel(spread) < FILLED) & (ring > 0)
    count, labels = labeled(flat)
    if count == 1:
        return np.zeros(flat.shape, bool)
    pixels, power = (
        np.bincount(labels[flat], weights=weights, minlength=count)
        for weights in (None, np.square(change[flat]).mean(axis=1))
    )
    holes = (pixels >= FILLED_PIXELS) & (power > LEAST_NEW**2 * pixels)
    return cv2.dilate(holes[labels].astype(np.uint8), square) > 0


def labeled(mask: np.ndarray) -> tuple[int, np.ndarray]:
    """The connected parts of a mask bool [H,W]: their number plus one, and each pixel's part [H,W]; 0 is outside."""
    inside = by_bands(lambda band: band.astype(np.uint8), mask)
    count, labels = waiting(cv2.connectedComponents, inside, connectivity=8)
    return count, np.asarray(labels, np.int32)
