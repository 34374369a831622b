"""The light, the surround and the color shift of a clip's frames: read from each frame, then made steady over a shot.

Only a few values are kept of each frame, so that a clip may be long: the gain's logarithm in a lattice of places over
the part of the window around the subject, which moves along with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..sentence import sentence
from .align import Aligned
from .geometry import Size, bounding_box
from .layers import Layers
from .masks import resize_mask
from .relight import Estimate, Estimates, Light, shrink
from .resample import quick_resize
from .smoother import product
from .steady_light import find_windows, flicker, smoothed, steadied
from .stitch import ModelWindow, StitchOptions, light_on_subject, without_shifts
from .surround import PLACES as SURROUND_PLACES
from .surround import SurroundReading, read_surround
from .vae_color_shift import NO_SHIFT, ColorShift

# The lattice's places along each side. Light is so smooth that it is linear between them.
PLACES = 10
# A frame's light and identity are read from a subject's part of at most this many pixels a side.
READING_SIDE = 96
# Surrounds of frames are compared at so many places along each side, and made steady in so many rows at a time.
COARSE, ROWS = 8, 8
FROM_FRAMES = sentence("the other frames of its shot")
# A frame that tells nothing has the light of the others.
NOT_READ = Light(np.ones((1, 1, 3), np.float32), FROM_FRAMES, neglected=False, suppressed=False)


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read from one frame.

    Attributes:
        shift: its color shift.
        light: on the subject, without its images; None where there is no subject.
        lattice: the logarithm of the gain, [PLACES,PLACES,3].
        estimates: what that was fused from, in the same lattice.
        share: how much of the subject is at each place, [PLACES,PLACES].
        surround: what the model made of the surround; None where there is none.
    """

    shift: ColorShift
    light: Light | None = None
    lattice: np.ndarray | None = None
    estimates: Estimates | None = None
    share: np.ndarray | None = None
    surround: SurroundReading | None = None

    def light_in(self, window: ModelWindow) -> Light | None:
        """The light in the part of a window around the subject."""
        if self.light is None or self.lattice is None or window.subject is None:
            return None
        matte = window.read_part(window.seen_matte)
        return self.light.with_change(enlarged(self.lattice, Size.of(matte)), matte)

    @property
    def mean(self) -> np.ndarray:
        """The gain's logarithm of each channel over the subject, [3]."""
        assert self.lattice is not None and self.share is not None  # of a frame with light
        return np.average(self.lattice.reshape(-1, 3), axis=0, weights=self.share.ravel())


def read_frame(
    layers: Layers,
    aligned: Aligned,
    references: Sequence[np.ndarray] | None,
    options: StitchOptions,
    orders: tuple[int, int] | None = None,
) -> Reading:
    """What one frame tells of the color shift and of the light.

    Args:
        layers: of the window that the model was given; their fades do not matter.
        aligned: its images of that window; references: as for `stitch`.
        orders: of the shot's color shift, where they are known from another frame.
    """
    images = aligned.images
    size, given = Size.of(images[0]), aligned.given
    window = ModelWindow(layers, size, options.resampler, aligned.seen, given, READING_SIDE)
    if window.came_back(images):
        return Reading(NO_SHIFT, None if window.subject is None else replace(NOT_READ, variance=np.inf))
    shifts = window.color_shifts(images, orders)
    if window.subject is None:
        return Reading(shifts[0])
    images = without_shifts(images, shifts, options.color_fix)
    light = light_on_subject(window, images, references, shifts, options)
    assert light.change is not None and light.estimates is not None  # it was just read
    share = resize_mask(np.ascontiguousarray(window.seen_matte[window.subject.slices]), PLACES, PLACES)
    kept = replace(light, gain=NOT_READ.gain, change=None, estimates=None)
    estimates = sampled_estimates(light.estimates)
    box = bounding_box(np.maximum(layers.matte, layers.harmonize_mask))
    assert box is not None  # as there is a subject
    surround = read_surround(layers, images[0], box) if options.keep_surround > 0 else None
    return Reading(shifts[0], kept, sampled(light.change), estimates, share, surround)


def sampled(change: np.ndarray) -> np.ndarray:
    """A smooth field [h,w,C] in the lattice, whose outermost places are the field's corners: [PLACES,PLACES,C]."""
    height, width = change.shape[:2]
    (top, down), (left, right) = (lattice_places(length) for length in (height, width))
    rows = change[top] + down[:, None, None] * (change[np.minimum(top + 1, height - 1)] - change[top])
    return rows[:, left] + right[:, None] * (rows[:, np.minimum(left + 1, width - 1)] - rows[:, left])


def sampled_estimates(estimates: Estimates) -> Estimates:
    """Estimates of a smooth field in the lattice."""
    result, difference = estimates.result, estimates.difference
    return replace(
        estimates,
        result=replace(result, change=sampled(result.change)),
        difference=None if difference is None else replace(difference, change=sampled(difference.change)),
    )


def lattice_places(length: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the lattice's places along a side: the pixel before each, and how far it is on the way to the next one."""
    places = np.linspace(0, length - 1, PLACES, dtype=np.float32)
    pixels = places.astype(int)
    return pixels, places - pixels


def enlarged(lattice: np.ndarray, size: Size) -> np.ndarray:
    """The inverse of `sampled`, by bilinear interpolation: float32 [h,w,C]."""
    across, down = (
        np.maximum(1 - np.abs(np.linspace(0, PLACES - 1, length)[:, None] - np.arange(PLACES)), 0) for length in size
    )
    channels = lattice.shape[2]
    rows = product(down.astype(np.float32), lattice.reshape(PLACES, -1).astype(np.float32))
    columns = rows.reshape(size.height, PLACES, channels).transpose(1, 0, 2).reshape(PLACES, -1)
    field = product(across.astype(np.float32), np.ascontiguousarray(columns))
    return np.ascontiguousarray(field.reshape(size.width, size.height, channels).transpose(1, 0, 2))


def steady_readings(readings: Sequence[Reading]) -> list[Reading]:
    """The readings of the frames of one shot with a light, a surround and a color shift that change smoothly."""
    return with_steady_surround(with_steady_light(with_steady_shift(readings)))


def with_steady_surround(readings: Sequence[Reading]) -> list[Reading]:
    """What a model paints around a subject in one frame, and no more in the next, hardly shows then."""
    found = [reading.surround for reading in readings]
    if not any(found):
        return list(readings)
    none = np.zeros((SURROUND_PLACES, SURROUND_PLACES, 2), np.uint8)
    given = [none if one is None else one.fields for one in found]
    variance = np.array([np.inf if one is None else 1.0 for one in found])
    # Frames are compared by what is coarse.
    coarse = [quick_resize(one.astype(np.float32), Size(COARSE, COARSE)).ravel() for one in given]
    windows = find_windows(np.stack(coarse).astype(np.float64) / 255, variance)
    steady = np.empty((len(given), *none.shape), np.uint8)
    # All places of all frames of a long clip at once would be large.
    for top in range(0, len(none), ROWS):
        rows = slice(top, top + ROWS)
        fields = smoothed(np.stack([one[rows].ravel() for one in given]).astype(np.float64), windows)
        steady[:, rows] = np.rint(np.clip(fields, 0, 255)).reshape(steady[:, rows].shape)
    return [
        reading if reading.surround is None else replace(reading, surround=replace(reading.surround, fields=own))
        for reading, own in zip(readings, steady, strict=True)
    ]


def with_shared_reference(readings: Sequence[Reading], strength: float = 1.0) -> list[Reading]:
    """The readings of the frames of one shot, of which the light reference was sampled in some frames alone.

    The noise of a frame is in its result S as in its reference's, and cancels in their difference D. It is not in s
    either, which is S steadied over time. What s has and D has not is what the model assumes about the subject, which
    is the same in all frames. So D - s of the frames with a reference gives each frame the difference s + (D - s), and
    its result is s.

    Args:
        strength: see `read_light`.
    """
    found = [reading.estimates for reading in readings]
    differences = {n: one.difference for n, one in enumerate(found) if one is not None and one.difference is not None}
    if not differences or not any(one is not None and one.difference is None for one in found):
        return list(readings)
    steady = steady_lattices(readings, [None if one is None else one.result for one in found])
    apart = np.median([one.change - steady[frame] for frame, one in differences.items()], axis=0)
    variance = float(np.mean([one.variance for one in differences.values()]))
    flat = any(one is not None and one.flat for one in found)
    shared = []
    for reading, own, result in zip(readings, found, steady, strict=True):
        if own is not None:
            given = Estimates(replace(own.result, change=result), Estimate(result + apart, variance), flat)
            reading = with_estimates(reading, given, strength)
        shared.append(reading)
    return shared


def with_estimates(reading: Reading, estimates: Estimates, strength: float) -> Reading:
    """A reading with another light: what other estimates give."""
    assert reading.light is not None and reading.share is not None  # of a frame with estimates
    estimate, by = estimates.fused(reading.share)
    light = replace(reading.light, by=by, variance=estimate.variance)
    lattice = np.float32(strength) * shrink(estimate, reading.share)
    return replace(reading, light=light, lattice=lattice, estimates=estimates)


def with_steady_light(readings: Sequence[Reading]) -> list[Reading]:
    found = [None if r.lattice is None or r.light is None else Estimate(r.lattice, r.light.variance) for r in readings]
    if not any(found):
        return list(readings)
    pairs = zip(readings, steady_lattices(readings, found), strict=True)
    # What a reading was estimated from is no longer needed.
    return [r if r.light is None else replace(r, lattice=own, estimates=None) for r, own in pairs]


def steady_lattices(readings: Sequence[Reading], found: Sequence[Estimate | None]) -> np.ndarray:
    """What was found of the frames of one shot, changing smoothly: [T,PLACES,PLACES,3]. Of some frames it is known."""
    variance = np.array([np.inf if one is None else one.variance for one in found])
    none = np.zeros((PLACES, PLACES, 3))
    values = np.stack([none if one is None else one.change for one in found])
    share = np.stack([none if r.share is None else np.repeat(r.share[..., None], 3, axis=2) for r in readings])
    flat = len(readings), -1
    return steadied(values.reshape(flat), variance, share.reshape(flat)).reshape(values.shape)


def with_steady_shift(readings: Sequence[Reading]) -> list[Reading]:
    """Frames of which nothing came back have no shift."""
    pixels = np.array([reading.shift.pixels for reading in readings], float)
    if not pixels.any():
        return list(readings)
    variance = np.divide(1.0, pixels, out=np.full(len(pixels), np.inf), where=pixels > 0)
    steady = steadied(np.stack([reading.shift.values for reading in readings]), variance)
    came = [reading.light is None or reading.share is not None for reading in readings]
    shifts = [
        replace(ColorShift.from_values(own, int(count)), left=reading.shift.left)
        for reading, own, count in zip(readings, steady, pixels, strict=True)
    ]
    parts = zip(readings, shifts, came, strict=True)
    return [replace(reading, shift=shift) if back else reading for reading, shift, back in parts]


def flicker_of(readings: Sequence[Reading]) -> float:
    """See `flicker`: of the light's mean over the subject, in the frames that have one."""
    means = [reading.mean for reading in readings if reading.lattice is not None and reading.share is not None]
    return flicker(np.stack(means)) if means else 0.0
