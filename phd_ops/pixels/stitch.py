"""Stitching: what a model made of a composite goes back into the untouched image.

Light is laid on the subject's own pixels. Images are float32 [H,W,3] sRGB in 0..1.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .geometry import Box, Size, bounding_box
from .masks import bands, ramp, resize_mask
from .relight import Light, identity_score, is_flat, light_sigma, read_light, relight, shadow_gain
from .resample import resize
from .vae_color_shift import NO_SHIFT, ColorShift, fit_color_shift

# What a latent cell's change can reach outside the mask, in pixels of the sampled image.
VAE_REACH = 16


def join(
    background: np.ndarray,
    composite: np.ndarray,
    harmonized: np.ndarray,
    matte: np.ndarray,
    change: np.ndarray,
    detail: float,
    gain: np.ndarray,
    keep_surround: float = 0.0,
    shadow: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Joins a harmonized image with its background, pixel by pixel.

    Args:
        background: the scene before anything was pasted.
        composite: after pasting.
        harmonized: what the model made of the composite, same size.
        matte: the subject's alpha in the composite.
        change: float [H,W], how far the surround may take the model's pixels, 0..1 (soft at its outer edge).
        detail: 0 gives the subject the model's pixels, 1 its own texture under the model's light.
        gain: from `read_light`.
        keep_surround: 0 gives the surround the model's pixels, 1 its own texture under the model's shadow.
        shadow: from `shadow_gain`.
    Returns:
        the image, equal to `background` in every bit where the used mask is 0; and that mask, max(matte, change).
    """
    used = np.maximum(matte, change)
    alpha, rest, change = matte[..., None], 1 - matte[..., None], change[..., None]
    # A soft rim holds subject and surround already mixed. Each is taken out of it, premultiplied, before it is lit or
    # replaced, so that neither is mixed in a second time.
    ours = composite - rest * background
    own = np.where(alpha < 1, np.clip(ours / np.maximum(alpha, 1 / 255), 0, 1), composite)
    # What no mix of subject and scene explains (a blend other than alpha) is kept as it is.
    own = alpha * relight(own, gain) + (alpha > 0) * (ours - alpha * own)
    behind = background
    if keep_surround > 0:
        behind = background + np.float32(keep_surround) * change * (relight(background, shadow) - background)
    subject = np.clip(harmonized - rest * behind, 0, alpha)
    subject = subject + np.float32(detail) * (own - subject)
    around = np.clip(harmonized - subject, 0, rest)
    if keep_surround > 0:
        around = around + np.float32(keep_surround) * (rest * relight(background, shadow) - around)
    image = subject + rest * background + change * (around - rest * background)
    return np.where(used[..., None] > 0, np.clip(image, 0, 1), background), used


@dataclass(frozen=True)
class Stitched:
    """What stitching gives.

    Attributes:
        image: float32 [H,W,3], equal to the background in every bit where `used` is 0.
        used: float32 [H,W], the composite mask.
        shift: the color shift that was taken off the sampled image.
        light: the light given to the subject, [H,W]; None where there is no subject, or nothing was made of it.
        identity: from `identity_score`, of the finished subject; 1 where nothing was made of it.
    """

    image: np.ndarray
    used: np.ndarray
    shift: ColorShift
    light: Light | None = None
    identity: float = 1.0


def fade_in_window(change: np.ndarray, window: Box, width: float) -> np.ndarray:
    """How far a window's surround may take the model's pixels: 1 inside `change`, fading to 0 at its edge.

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


def stitch(
    background: np.ndarray,
    composite: np.ndarray,
    sampled: list[np.ndarray],
    matte: np.ndarray,
    change: np.ndarray,
    fade: np.ndarray,
    *,
    references: list[np.ndarray] | None = None,
    detail: float = 0.9,
    keep_surround: float = 0.0,
    luma_only: bool = False,
    color_fix: float = 1.0,
    strength: float = 1.0,
) -> Stitched:
    """Puts what the model made of a composite back into the background.

    Args:
        background, composite: the window that was worked on, before and after pasting, float32 [H,W,3].
        sampled: what the model made of the composite, float32 [h,w,3] each, at its own size. Of several seeds the first
            is shown, and light is averaged over all.
        matte: the subject's alpha [H,W].
        change: what may change [H,W].
        fade: from `fade_in_window` [H,W].
        references: what the model made of the reference, one for each of `sampled`. With them, light is the
            difference of both results.
        detail: 0 gives the subject the model's pixels, 1 its own texture under the model's light.
        keep_surround: 0 gives the surround the model's pixels, 1 its own texture under the model's shadow.
        luma_only: takes brightness from the model but not color.
        color_fix: 0..1, how much of the VAE's color shift is taken off.
        strength: of the change of light, see `read_light`.
    """
    size, worked = Size.of(composite), Size.of(sampled[0])
    used = np.maximum(matte, fade)
    region = bounding_box(used)
    given = resize(composite, worked)
    if region is None or all(np.array_equal(one, given) for one in sampled):
        # Nothing was made of it, so it is the composite that goes back, to the bit.
        return Stitched(np.where(used[..., None] > 0, composite, background), used, NO_SHIFT)

    worked_matte, worked_change = resize_mask(matte, *worked), resize_mask(change, *worked)
    touched = ((worked_change > 0) | (worked_matte > 0)).astype(np.float32)
    untouched = bands(touched, 0, VAE_REACH).context
    shift = fit_color_shift(sampled[0], given, untouched if untouched.any() else 1 - touched)
    results = [shift.apply(one, color_fix) for one in sampled]
    gain, shadow, light = np.ones_like(composite), 1.0, None
    # Light is smooth: it is read at the model's own size, whatever the image's, and where the subject is.
    near = bounding_box(worked_matte)
    if near is not None:
        near = near.grown(2).inside(worked).slices
        worked_references = references and [resize(shift.apply(one, color_fix), worked) for one in references]
        light = read_light(
            [one[near] for one in results],
            worked_references and [one[near] for one in worked_references],
            given[near],
            resize(background, worked)[near],
            worked_matte[near],
            flat_reference=bool(worked_references) and is_flat(worked_references[0], 1 - touched),
            luma_only=luma_only,
            strength=strength,
        )
        worked_gain = np.ones_like(given)
        worked_gain[near] = light.gain
        gain = cv2.resize(worked_gain, size, interpolation=cv2.INTER_LINEAR)
    if keep_surround > 0 and touched.any():
        beside = bounding_box(touched).grown(math.ceil(light_sigma(worked_matte))).inside(worked).slices
        worked_shadow = np.ones(worked[::-1], np.float32)
        worked_shadow[beside] = shadow_gain(results[0][beside], given[beside], worked_matte[beside])[..., 0]
        shadow = cv2.resize(worked_shadow, size, interpolation=cv2.INTER_LINEAR)[region.slices][..., None]
    image = background.copy()
    within = (field[region.slices] for field in (background, composite, resize(results[0], size), matte, fade))
    image[region.slices], _ = join(*within, detail, gain[region.slices], keep_surround, shadow)
    if light is None:
        return Stitched(image, used, shift)
    identity = identity_score(resize(image, worked)[near], given[near], worked_matte[near])
    return Stitched(image, used, shift, replace(light, gain=gain), identity)
