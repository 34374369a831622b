"""Stitching: what a model made of a composite goes back into the untouched image.

The subject keeps its own pixels and takes the model's light; around it the model's pixels fade into the background's.

Images are float32 [H,W,3] sRGB in 0..1, masks float32 [H,W] in 0..1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np

from .geometry import Box, Size, bounding_box
from .masks import beyond, ramp, resize_mask
from .relight import Light, LightReader, is_flat, light_sigma, log_light, read_light, relight, shadow_gain
from .resample import resize
from .vae_color_shift import NO_SHIFT, ColorShift, fit_color_shift

# How far outside the mask a latent cell's change can reach, in pixels of the sampled image.
VAE_REACH = 16

Slices = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Layers:
    """A window of a pasted scene: all that stitching needs besides the model's work, of one size.

    Attributes:
        background: the scene before anything was pasted, [H,W,3].
        composite: after pasting, [H,W,3].
        matte: the subject's alpha in the composite, [H,W].
        change: what the model was allowed to change, [H,W].
        fade: how far the surround takes the model's pixels, from `fade_in_window`, [H,W].
    """

    background: np.ndarray
    composite: np.ndarray
    matte: np.ndarray
    change: np.ndarray
    fade: np.ndarray

    @cached_property
    def used(self) -> np.ndarray:
        """The composite mask, [H,W]: where it is 0, the background stays."""
        return np.maximum(self.matte, self.fade)

    def cut(self, slices: Slices) -> "Layers":
        """The same of a part of the window."""
        arrays = (self.background, self.composite, self.matte, self.change, self.fade)
        return Layers(*(array[slices] for array in arrays))


@dataclass(frozen=True)
class StitchOptions:
    """How a harmonized image is stitched.

    Attributes:
        detail: 0 gives the subject the model's pixels, 1 its own texture under the model's light.
        keep_surround: 0 gives the surround the model's pixels, 1 its own texture under the model's shadow.
        luma_only: takes brightness from the model but not color.
        color_fix: 0..1, how much of the VAE's color shift is removed.
        strength: of the change of light, see `read_light`.
    """

    detail: float = 0.9
    keep_surround: float = 0.0
    luma_only: bool = False
    color_fix: float = 1.0
    strength: float = 1.0


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
    narrowed = change.copy()
    new = resize_mask(changed, *window.size) > 0.5
    narrowed[window.slices] *= new | (matte[window.slices] > 0)
    return narrowed


def fade_in_window(change: np.ndarray, window: Box, width: float) -> np.ndarray:
    """How far a window's surround takes the model's pixels: 1 inside `change`, fading to 0 at its edge.

    It also fades where the window ends inside the image, but not at the image's own border.

    Args:
        change: what may change, of the whole image [H,W].
        width: of the fade, in pixels; it lies inside.
    Returns:
        float32 [h,w], of the window.
    """
    wider = window.grown(1).inside(Size.of(change))
    inner = window.moved(-wider.x, -wider.y).slices
    framed = np.zeros(wider.size[::-1], np.float32)
    framed[inner] = change[window.slices]
    return ramp(framed, 0, width)[inner]


def join(
    layers: Layers,
    harmonized: np.ndarray,
    gain: np.ndarray,
    shadow: np.ndarray | float = 1.0,
    options: StitchOptions = PLAIN_STITCH,
) -> np.ndarray:
    """Joins a harmonized image with its background, pixel by pixel.

    Args:
        harmonized: what the model made of the composite, [H,W,3].
        gain: of the subject's light, from `read_light`.
        shadow: of the surround, from `shadow_gain`.
        options: `detail` and `keep_surround` count here.
    Returns:
        [H,W,3], equal to the background in every bit where both matte and fade are 0.
    """
    background, composite = layers.background, layers.composite
    alpha, rest, fade = layers.matte[..., None], 1 - layers.matte[..., None], layers.fade[..., None]
    keep_surround = np.float32(options.keep_surround)
    # A soft rim holds subject and surround already mixed. Each is taken out of it, premultiplied, before it is relit or
    # replaced, so that neither is mixed in a second time.
    ours = composite - rest * background
    own = np.where(alpha < 1, np.clip(ours / np.maximum(alpha, 1 / 255), 0, 1), composite)
    # What no mix of subject and scene explains (a blend other than alpha) is kept as it is.
    own = alpha * relight(own, gain) + (alpha > 0) * (ours - alpha * own)
    behind = background
    if keep_surround > 0:
        behind = background + keep_surround * fade * (relight(background, shadow) - background)
    subject = np.clip(harmonized - rest * behind, 0, alpha)
    subject = subject + np.float32(options.detail) * (own - subject)
    around = np.clip(harmonized - subject, 0, rest)
    if keep_surround > 0:
        around = around + keep_surround * (rest * relight(background, shadow) - around)
    image = subject + rest * background + fade * (around - rest * background)
    return np.where((alpha > 0) | (fade > 0), np.clip(image, 0, 1), background)


@dataclass(frozen=True, eq=False)
class ModelWindow:
    """The window as the model had it: `Layers` at the size it worked at.

    Attributes:
        background, composite: [h,w,3].
        matte, change: [h,w].
    """

    background: np.ndarray
    composite: np.ndarray
    matte: np.ndarray
    change: np.ndarray

    @classmethod
    def of(cls, layers: Layers, size: Size) -> "ModelWindow":
        images = (resize(image, size) for image in (layers.background, layers.composite))
        masks = (resize_mask(mask, *size) for mask in (layers.matte, layers.change))
        return cls(*images, *masks)

    @property
    def size(self) -> Size:
        return Size.of(self.composite)

    @cached_property
    def touched(self) -> np.ndarray:
        """Binary [h,w]: what the model may have changed."""
        return ((self.change > 0) | (self.matte > 0)).astype(np.float32)

    @cached_property
    def subject(self) -> Slices | None:
        """The part around the subject, where its light is estimated; None without a subject."""
        box = bounding_box(self.matte)
        return None if box is None else box.grown(2).inside(self.size).slices

    @cached_property
    def reader(self) -> LightReader:
        """Of the part around the subject."""
        return LightReader(self.composite[self.subject], self.matte[self.subject])

    def color_shift(self, sampled: np.ndarray) -> ColorShift:
        """The VAE's color shift, measured out of reach of what changed, or as far away from it as the window allows."""
        untouched = beyond(self.touched, VAE_REACH)
        return fit_color_shift(sampled, self.composite, untouched if untouched.any() else 1 - self.touched)

    def shadow(self, harmonized: np.ndarray) -> np.ndarray:
        """`shadow_gain` around what changed, float32 [h,w]; 1 further out."""
        gain, box = np.ones(self.size[::-1], np.float32), bounding_box(self.touched)
        if box is not None:
            beside = box.grown(math.ceil(light_sigma(self.matte))).inside(self.size).slices
            gain[beside] = shadow_gain(harmonized[beside], self.composite[beside], self.matte[beside])[..., 0]
        return gain


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
    full, worked, region = Size.of(layers.composite), Size.of(sampled[0]), bounding_box(layers.used)
    window = ModelWindow.of(layers, worked)
    if region is None or all(np.array_equal(one, window.composite) for one in sampled):
        # The model changed nothing, so it is the composite that goes back, to the bit.
        image = np.where(layers.used[..., None] > 0, layers.composite, layers.background)
        return Stitched(image, layers.used, NO_SHIFT)

    shift = window.color_shift(sampled[0])
    results = [shift.apply(one, options.color_fix) for one in sampled]
    gain, shadow, light, identity = np.ones_like(layers.composite), 1.0, None, 1.0
    if window.subject is not None:
        fixed = references and [resize(shift.apply(one, options.color_fix), worked) for one in references]
        light = light_on_subject(window, results, fixed, options)
        gain = cv2.resize(light.gain, full, interpolation=cv2.INTER_LINEAR)
    if options.keep_surround > 0 and window.touched.any():
        shadow = cv2.resize(window.shadow(results[0]), full, interpolation=cv2.INTER_LINEAR)[region.slices][..., None]
    image = layers.background.copy()
    harmonized = resize(results[0], full)[region.slices]
    image[region.slices] = join(layers.cut(region.slices), harmonized, gain[region.slices], shadow, options)
    if light is not None:
        light = replace(light, gain=gain)
        identity = window.reader.identity(log_light(resize(image, worked)[window.subject]))
    return Stitched(image, layers.used, shift, light, identity)


def light_on_subject(
    window: ModelWindow,
    results: Sequence[np.ndarray],
    references: Sequence[np.ndarray] | None,
    options: StitchOptions,
) -> Light:
    """The light on the subject; its gain is [h,w,3] of the window, 1 off the subject. All images are of its size.

    Light is smooth: it is estimated at the model's own size, whatever the image's, and only around the subject.
    """
    near = window.subject
    light = read_light(
        window.reader,
        [one[near] for one in results],
        references and [one[near] for one in references],
        background=window.background[near],
        flat_reference=bool(references) and is_flat(references[0], 1 - window.touched),
        luma_only=options.luma_only,
        strength=options.strength,
    )
    gain = np.ones_like(window.composite)
    gain[near] = light.gain
    return replace(light, gain=gain)
