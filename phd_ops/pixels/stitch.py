"""Stitching: what a model made of a composite goes back into the untouched image.

The subject keeps its own pixels and takes the model's light. Around it the background's pixels stay, under the model's
shadow, but where the model painted something new. Everywhere else in the mask the model's pixels are taken.

Images are float32 [H,W,3] sRGB in 0..1, masks float32 [H,W] in 0..1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from ..interrupt import bands, by_bands, copy, waiting
from .color import same_pixels, threefold
from .geometry import Box, Size, bounding_box
from .layers import Given, Layers
from .masks import FAINT, beyond, depth_inside, narrow_ramp, ramp, resize_mask, stabilize, thickness_step
from .relight import Light, LightReader, is_flat, log_light, read_light, relight
from .resample import AUTO, quick_resize, resize
from .surround import Surround, SurroundReading, find_surround
from .tiles import EMPTY, OPAQUE, SOFT, tiles
from .vae_color_shift import NO_SHIFT, ColorShift, fit_again, fit_color_shift, fit_with_saturation

# How far outside the mask a latent cell's change can reach, in pixels of the sampled image.
VAE_REACH = 16


@dataclass(frozen=True)
class StitchOptions:
    """How a harmonized image is stitched.

    Attributes:
        detail: 0 gives the subject the model's pixels, 1 its own texture under the model's light.
        keep_surround: 0 gives a subject's surround the model's pixels; 1 its own under the model's shadow, where the
            model painted nothing new, see `surround.py`.
        luma_only: takes brightness from the model but not color.
        color_fix: 0..1, how much of the VAE's color shift is removed.
        strength: of the change of light, see `read_light`.
        resampler: by which the window was resized, see `resize`.
    """

    detail: float = 0.9
    keep_surround: float = 1.0
    luma_only: bool = False
    color_fix: float = 1.0
    strength: float = 1.0
    resampler: str = AUTO


PLAIN_STITCH = StitchOptions()


@dataclass(frozen=True, eq=False)
class Stitched:
    """The result of stitching.

    Attributes:
        image: float32 [H,W,3], equal to the background in every bit where `used` is 0.
        used: float32 [H,W], the composite mask.
        shift: the color shift that was removed from the sampled image.
        light: the light given to the subject, [H,W]; None where there is no subject, or the model changed nothing.
        identity: of the finished subject, see `LightReader.identity`; 1 where the model changed nothing.
    """

    image: np.ndarray
    used: np.ndarray
    shift: ColorShift
    light: Light | None = None
    identity: float = 1.0


def narrow_change(change: np.ndarray, changed: np.ndarray, matte: np.ndarray, window: Box) -> np.ndarray:
    """The mask of what may change, minus the cells that the sampler left unchanged.

    The fade then runs outside the subject, not over what touches it, such as a contact shadow.

    Args:
        changed: [h,w], above .5 where the sampler changed the window; of any size.
        matte: the subject's [H,W]: it counts as changed.
        window: the part of the image that was sampled.
    """
    narrowed, new = np.empty_like(change), resize_mask(changed, *window.size)
    copy(change, narrowed)
    inside, subject = narrowed[window.slices], matte[window.slices]
    for rows in bands(*new.shape):
        inside[rows] *= (new[rows] > 0.5) | (subject[rows] > 0)
    return narrowed


def fades_in_window(change: np.ndarray, window: Box, width: float) -> tuple[np.ndarray, np.ndarray]:
    """How far a window takes the model's pixels, and how far its shadow: 1 inside `change`, fading to 0 at its edge.

    Both also fade where the window ends inside the image, but not at the image's own border. A shadow has all of the
    width for it. What a model painted would mostly be lost that way where the mask is small: see `narrow_ramp`.

    Args:
        change: what may change, of the whole image [H,W]; between 0 and 1 it is a share, as at a soft edge.
        width: of the fade, in pixels; it lies inside.
    Returns:
        Two of float32 [h,w], of the window.
    """
    part = change[window.slices]
    fade, shadow_fade = (np.zeros(part.shape, np.float32) for _ in range(2))
    box = bounding_box(part, FAINT)
    if box is None:
        return fade, shadow_fade
    # Where the mask is, with the nearest pixels outside it; on the grid of the window and its frame.
    wider = window.grown(1).inside(Size.of(change))
    framed, step = window.moved(-wider.x, -wider.y), thickness_step(wider.size)
    box = box.moved(framed.x, framed.y)
    x, y = (max(0, start - 1) // step * step for start in (box.x, box.y))
    near = Box(x, y, box.x + box.width + 1 - x, box.y + box.height + 1 - y).inside(wider.size)
    known = near.within(framed)
    at, inner = known.moved(-framed.x, -framed.y).slices, known.moved(-near.x, -near.y).slices
    share = np.zeros(near.size[::-1], np.float32)
    copy(part[at], share[inner])
    share = stabilize(share)
    depth = depth_inside(share, 0)
    copy(by_bands(np.multiply, share, narrow_ramp(depth, width, step))[inner], fade[at])
    copy(by_bands(np.multiply, share, ramp(depth, width))[inner], shadow_fade[at])
    return fade, shadow_fade


def join(
    layers: Layers,
    harmonized: np.ndarray,
    gain: np.ndarray,
    surround: Surround | None,
    detail: float = 0.9,
    kind: int = SOFT,
) -> tuple[np.ndarray, np.ndarray]:
    """Joins a harmonized image with its background, pixel by pixel.

    Args:
        harmonized: what the model made of the composite, [H,W,3].
        gain: of the subject's light, from `read_light`.
        surround: what stays of the background's pixels around the subject; None if nothing does.
        detail: as in StitchOptions.
        kind: of the matte, see `tiles`. Where all of it is subject, or nothing, less is left to do; SOFT serves any.
    Returns:
        The image [H,W,3], and the composite mask [H,W]: where it is 0, the image is the background in every bit.
    """
    if kind == OPAQUE:
        model = np.clip(harmonized, 0, 1)
        model += np.float32(detail) * (relight(layers.composite, gain) - model)
        return np.clip(model, 0, 1, out=model), layers.matte
    background, composite = layers.background, layers.composite
    behind, painted, used = background, layers.fade, layers.reached
    if surround is not None:
        shadow = surround.on_background(layers)
        behind, painted = surround.darken(background, shadow), layers.fade * (1 - surround.kept)
        used = np.maximum(layers.matte, painted + shadow)
    if kind == EMPTY and not used.any():
        return background, used
    if kind == EMPTY:
        image = np.clip(harmonized, 0, 1)
        image -= background
        image *= threefold(painted)
        image += behind
        return over_background(image, background, used), used
    alpha = threefold(layers.matte)
    rest = 1 - alpha
    # A soft rim holds subject and surround already mixed. Each is taken out of it, premultiplied, before it is relit or
    # replaced, so that neither is mixed in a second time.
    ours = composite - rest * background
    own = np.clip(ours / np.maximum(alpha, np.float32(1 / 255)), 0, 1)
    # What no mix of subject and scene explains (a blend other than alpha) is kept as it is.
    own = alpha * relight(own, gain) + (alpha > 0) * (ours - alpha * own)
    subject = np.clip(harmonized - rest * behind, 0, alpha)
    subject = subject + np.float32(detail) * (own - subject)
    around = np.clip(harmonized - subject, 0, rest)
    image = subject + rest * behind + threefold(painted) * (around - rest * background)
    return over_background(image, background, used), used


def over_background(image: np.ndarray, background: np.ndarray, used: np.ndarray) -> np.ndarray:
    """An image [H,W,3], brought into 0..1 in place, where it is used; elsewhere the background's bits."""
    shown = background.copy()
    return cv2.copyTo(np.clip(image, 0, 1, out=image), (used > 0).astype(np.uint8), shown)


@dataclass(frozen=True, eq=False)
class ModelWindow:
    """The window as the model had it: `Layers` at the size it worked at.

    Each layer is resized when it is first asked for.

    Attributes:
        size: that it worked at.
        seen: bool [h,w], what the model's image shows; elsewhere it tells nothing. None: it shows everything.
        given: what the model was given, where that is there already, of any size.
        reading_side: of the part around the subject that light is read from, the longer side in pixels, at most; None:
            that of the window itself.
    """

    layers: Layers
    size: Size
    resampler: str = AUTO
    seen: np.ndarray | None = None
    given: Given | None = None
    reading_side: int | None = None

    @property
    def known(self) -> Given | None:
        """What the model was given, if that is of the window's size."""
        return self.given if self.given is not None and Size.of(self.given.composite) == self.size else None

    @cached_property
    def background(self) -> np.ndarray:
        """[h,w,3]."""
        return resize(self.layers.background, self.size, self.resampler)

    @cached_property
    def composite(self) -> np.ndarray:
        """[h,w,3]."""
        return self.known.composite if self.known else resize(self.layers.composite, self.size, self.resampler)

    @cached_property
    def matte(self) -> np.ndarray:
        """[h,w]."""
        return self.known.matte if self.known else resize_mask(self.layers.matte, *self.size)

    @cached_property
    def harmonize_mask(self) -> np.ndarray:
        """[h,w]."""
        return self.known.harmonize_mask if self.known else resize_mask(self.layers.harmonize_mask, *self.size)

    @cached_property
    def touched(self) -> np.ndarray:
        """Binary [h,w]: what the model may have changed."""
        return by_bands(
            lambda one, other: ((one > 0) | (other > 0)).astype(np.float32), self.harmonize_mask, self.matte
        )

    @cached_property
    def seen_matte(self) -> np.ndarray:
        """[h,w]: the subject, as far as the model's image shows it."""
        return self.matte if self.seen is None else self.matte * self.seen

    @cached_property
    def subject(self) -> Box | None:
        """The part around the subject, where its light is estimated; None without a subject that the model shows."""
        box = bounding_box(self.matte) if self.seen_matte.any() else None
        return None if box is None else box.grown(2).inside(self.size)

    def read_part(self, image: np.ndarray) -> np.ndarray:
        """Of an image of the window [H,W,...], of any size, the part around the subject as light is read from it."""
        assert self.subject is not None  # or there is no light to read
        size = self.subject.size if self.reading_side is None else self.subject.size.reduced_to(self.reading_side)
        return quick_resize(image[self.subject.resized(self.size, Size.of(image)).slices], size)

    @cached_property
    def reader(self) -> LightReader:
        """Of the part around the subject."""
        return LightReader(self.read_part(self.composite), self.read_part(self.seen_matte))

    def identity(self, image: np.ndarray) -> float:
        """See `LightReader.identity`: of the subject in an image of the window, [h,w,3]."""
        return self.reader.identity(log_light(self.read_part(image)))

    def came_back(self, images: Sequence[np.ndarray]) -> bool:
        """Whether images of its size are the composite to the bit: the model changed nothing."""
        return all(same_pixels(image, self.composite) for image in images)

    def color_shift(self, sampled: np.ndarray, orders: tuple[int, int] | None = None) -> ColorShift:
        """The VAE's color shift, measured out of reach of what changed, or as far away from it as the window allows.

        orders: of its field, where they are known from another frame, see `fit_again`.
        """
        untouched = beyond(self.touched, VAE_REACH)
        untouched = untouched if untouched.any() else 1 - self.touched
        if self.seen is not None:
            untouched = untouched * self.seen
        if orders is not None:
            return waiting(fit_again, sampled, self.composite, untouched, orders)
        # In a clip, a frame's saturation would have to be that of the others.
        fit = fit_with_saturation if self.reading_side is None else fit_color_shift
        return waiting(fit, sampled, self.composite, untouched)

    def color_shifts(self, images: Sequence[np.ndarray], orders: tuple[int, int] | None = None) -> list[ColorShift]:
        """Of each seed's image: an edit model tints every one in its own way."""
        return [self.color_shift(one, orders) for one in images]


def without_shifts(images: Sequence[np.ndarray], shifts: Sequence[ColorShift], strength: float) -> list[np.ndarray]:
    """Each image without its own color shift."""
    return [shift.apply(image, strength) for image, shift in zip(images, shifts, strict=True)]


def stitch(
    layers: Layers,
    sampled: Sequence[np.ndarray],
    references: Sequence[np.ndarray] | None = None,
    options: StitchOptions = PLAIN_STITCH,
) -> Stitched:
    """Puts what the model made of a composite back into the background.

    Args:
        sampled: what the model made of the composite, float32 [h,w,3] each, at its own size. Of several seeds the first
            one is shown, and light is averaged over all.
        references: what it made of the light reference, one for each of `sampled`. With them, light is estimated from
            the difference between the two results.
    """
    window = ModelWindow(layers, Size.of(sampled[0]), options.resampler)
    if window.came_back(sampled):
        return unchanged(layers)
    shifts, light = window.color_shifts(sampled), None
    results = without_shifts(sampled, shifts, options.color_fix)
    if window.subject is not None:
        light = light_on_subject(window, results, references, shifts, options)
    return put_into_background(window, results, shifts[0], light, options)


def unchanged(layers: Layers) -> Stitched:
    """Where the model changed nothing, it is the composite that goes back, to the bit."""

    def back(reached: np.ndarray, composite: np.ndarray, background: np.ndarray) -> np.ndarray:
        return np.where(reached[..., None] > 0, composite, background)

    image = by_bands(back, layers.reached, layers.composite, layers.background)
    return Stitched(image, layers.reached, NO_SHIFT)


def put_into_background(
    window: ModelWindow,
    results: Sequence[np.ndarray],
    shift: ColorShift,
    light: Light | None,
    options: StitchOptions,
    read: SurroundReading | None = None,
) -> Stitched:
    """Puts results without their color shift into the background of a window.

    Args:
        results: of the window's size. Of several seeds the first one is shown.
        shift: that was removed from the first one.
        light: on the subject, see `light_on_subject`; None without a subject.
        read: what the model made of the surround, where that was read before.
    """
    layers, worked = window.layers, window.size
    full, region = Size.of(layers.composite), bounding_box(layers.reached)
    if region is None:
        return unchanged(layers)
    near, part = region.slices, layers.cut(region.slices)
    # The whole is free again during the following steps.
    harmonized = np.empty_like(part.composite)
    copy(resize(results[0], full, options.resampler)[near], harmonized)
    gain, surround, identity = np.broadcast_to(np.float32(1), layers.composite.shape), None, 1.0
    if light is not None:
        light = replace(light, identity=window.identity(results[0]))
        gain = waiting(cv2.resize, embedded(light.gain, window), full, interpolation=cv2.INTER_LINEAR)
    image, used = np.empty_like(layers.composite), np.zeros(layers.matte.shape, np.float32)
    copy(layers.background, image)
    if light is not None and options.keep_surround > 0:
        scale, fields = worked.width / full.width, None if read is None else read.within(region)
        surround = find_surround(part, harmonized, scale, options.keep_surround, fields)
    for kind, box in tiles(part.matte):
        at = box.slices
        beside = None if surround is None else surround.cut(at)
        image[near][at], used[near][at] = join(
            part.cut(at), harmonized[at], gain[near][at], beside, options.detail, kind
        )
    if light is not None:
        light = replace(light, gain=gain)
        identity = window.identity(image)
    return Stitched(image, used, shift, light, identity)


def light_on_subject(
    window: ModelWindow,
    results: Sequence[np.ndarray],
    references: Sequence[np.ndarray] | None,
    shifts: Sequence[ColorShift],
    options: StitchOptions,
) -> Light:
    """The light on the subject, in the part of the window around it, see `ModelWindow.read_part`.

    Light is smooth: it is estimated at the model's own size, whatever the image's, and only around the subject.

    Args:
        results: without their color shift, of the window's size.
        references: as for `stitch`.
        shifts: what the results had, one each; each is removed from its reference too.
    """
    if references is not None:
        references = [resize(one, window.size) for one in without_shifts(references, shifts, options.color_fix)]
    return read_light(
        window.reader,
        [window.read_part(one) for one in results],
        references and [window.read_part(one) for one in references],
        background=window.read_part(window.layers.background),
        flat_reference=bool(references) and is_flat(references[0], 1 - window.touched),
        luma_only=options.luma_only,
        strength=options.strength,
    )


def embedded(gain: np.ndarray, window: ModelWindow) -> np.ndarray:
    """The gain of the part around the subject, as light is read from it, in the whole window: [h,w,3]; 1 elsewhere."""
    assert window.subject is not None  # or it has no light
    whole = np.ones_like(window.composite)
    whole[window.subject.slices] = quick_resize(gain, window.subject.size)
    return whole
