"""Light: what the harmonised picture says about it, given to the subject's own pixels.

Pictures are float32 [H,W,3] sRGB in 0..1 unless a name says linear.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import Box, Size, bounding_box
from .masks import COARSE_SIGMA, bands, ramp, resize_mask
from .paste import reduce, resize

# Keeps the logarithm of black finite; about the darkest step an 8-bit picture can tell apart in linear light.
DARK = 0.01
MOST_GAIN = 4.0
# A colour shift is read off the means of cells this wide, where a VAE's noise is weak; fewer of them than this say
# nothing certain.
CELL, LEAST_CELLS = 8, 16
# How much the noise that is left holds a colour shift's gain at 1.
NOISE_TIE = 30.0
# What a latent cell's change can reach outside the mask, in pixels of the sampled picture.
VAE_REACH = 16


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1."""
    return np.where(image <= 0.04045, image / 12.92, ((np.maximum(image, 0) + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def local_linear_smooth(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """Fits a plane to `values` around every pixel, using only weighted pixels, and gives its height there.

    Local-linear regression with a Gaussian window. Unlike a blur it does not bend at the weight's edge: a linear
    field comes back exactly, up to the silhouette and a little beyond it.

    Args:
        values: float32 [H,W,C].
        weight: float32 [H,W], 0 where `values` must not be read.
        sigma: the window's deviation in pixels.
    Returns:
        float32 [H,W,C]; 0 where no weight is in reach.
    """
    height, width = weight.shape
    # Coordinates in units of sigma about the centre keep the 3×3 systems well conditioned.
    v, u = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (u - width / 2) / sigma, (v - height / 2) / sigma

    # A wide window is computed on a coarser grid. All moments share it, so a linear field stays exact.
    scale = min(1.0, COARSE_SIGMA / sigma)
    coarse = (max(1, round(width * scale)), max(1, round(height * scale)))

    def blur(field: np.ndarray) -> np.ndarray:
        field = cv2.resize(field, coarse, interpolation=cv2.INTER_AREA)
        field = cv2.GaussianBlur(field, (0, 0), sigma * scale, borderType=cv2.BORDER_CONSTANT)
        return cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)

    w = weight.astype(np.float64)
    s, su, sv = blur(w), blur(w * u), blur(w * v)
    suu, suv, svv = blur(w * u * u), blur(w * u * v), blur(w * v * v)
    known = s > 1e-6
    safe = np.where(known, s, 1)
    # Moments about each window's own mean: the plane's height at a pixel is mean + slope * (pixel - mean position).
    mu, mv = su / safe, sv / safe
    cuu, cuv, cvv = suu / safe - mu * mu + 1e-6, suv / safe - mu * mv, svv / safe - mv * mv + 1e-6
    determinant = np.maximum(cuu * cvv - cuv * cuv, 1e-12)
    du, dv = u - mu, v - mv
    smooth = np.zeros(values.shape, np.float32)
    for channel in range(values.shape[2]):
        f = values[..., channel].astype(np.float64)
        mean = blur(w * f) / safe
        cuf, cvf = blur(w * f * u) / safe - mu * mean, blur(w * f * v) / safe - mv * mean
        slope_u = (cvv * cuf - cuv * cvf) / determinant
        slope_v = (cuu * cvf - cuv * cuf) / determinant
        smooth[..., channel] = np.where(known, mean + slope_u * du + slope_v * dv, 0)
    return smooth


def light_sigma(matte: np.ndarray) -> float:
    """The scale that separates a subject's light from its texture: a quarter of its diameter, at least 4 px."""
    return max(4.0, 0.25 * float(np.sqrt(4 * matte.sum() / np.pi)))


def relight_gain(harmonised: np.ndarray, before: np.ndarray, matte: np.ndarray, luma_only: bool = False) -> np.ndarray:
    """How much brighter or darker each pixel of the subject became, per channel, smoothly.

    R = exp(F[log lin H - log lin C]), F the local-linear smoother over the subject, clipped to [1/4, 4].

    Args:
        harmonised: what the model made of it.
        before: what the model was given: the composite, or the harmonised control of the same subject.
        luma_only: one gain for all channels: brightness changes, colour does not.
    Returns:
        float32 [H,W,3].
    """
    change = np.log(srgb_to_linear(harmonised) + DARK) - np.log(srgb_to_linear(before) + DARK)
    if luma_only:
        change = np.repeat(change @ np.float32([[0.2126], [0.7152], [0.0722]]), 3, axis=2)
    limit = np.log(MOST_GAIN)
    change = local_linear_smooth(np.clip(change, -2 * limit, 2 * limit), matte, light_sigma(matte))
    return np.exp(np.clip(change, -limit, limit))


def relight(composite: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The composite's own pixels under another light."""
    return linear_to_srgb(srgb_to_linear(composite) * gain)


def shadow_gain(harmonised: np.ndarray, before: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """How much darker the model made the surround of a subject, smoothly and without colour: its contact shadow.

    Read outside the matte only, and at a much finer scale than the subject's light; clipped to [1/4, 1].

    Returns:
        float32 [H,W,1].
    """
    luma = np.float32([[0.2126], [0.7152], [0.0722]])
    change = np.log(srgb_to_linear(harmonised) @ luma + DARK) - np.log(srgb_to_linear(before) @ luma + DARK)
    smooth = local_linear_smooth(change, 1 - matte, max(4.0, 0.25 * light_sigma(matte)))
    return np.exp(np.clip(smooth, -np.log(MOST_GAIN), 0))


@dataclass(frozen=True)
class ColourShift:
    """What brings a picture's colours back: gain * value + offset, for each channel (sRGB).

    Attributes:
        gain, offset: float32 [3].
        pixels: how many pixels agree with it; 0 where there were too few to tell, and nothing is corrected.
    """

    gain: np.ndarray
    offset: np.ndarray
    pixels: int

    def apply(self, picture: np.ndarray, strength: float = 1.0) -> np.ndarray:
        if strength == 0 or not (self.gain != 1).any() and not self.offset.any():
            return picture
        return np.clip(picture + np.float32(strength) * (picture * self.gain + self.offset - picture), 0, 1)


NO_SHIFT = ColourShift(np.ones(3, np.float32), np.zeros(3, np.float32), 0)


def robust_line(x: np.ndarray, y: np.ndarray, noise_tie: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gain, offset and least residual that counts as an outlier, each [C], of y = gain x + offset; x and y are [N,C].

    Iteratively reweighted least squares with Tukey's biweight. Where the values are all alike nothing tells gain from
    offset, and noise on x draws the gain down: there the gain is tied to 1, by `noise_tie` times the noise's square.
    """
    gain, offset = np.ones(x.shape[1]), np.median(y - x, axis=0)
    for _ in range(8):
        residual = y - gain * x - offset
        spread = np.maximum(1.4826 * np.median(np.abs(residual), axis=0), 1e-5)
        weight = np.clip(1 - (residual / (4.685 * spread)) ** 2, 0, None) ** 2
        total = weight.sum(0)
        mx, my = (weight * x).sum(0) / total, (weight * y).sum(0) / total
        tie = 1e-7 + noise_tie * spread**2
        gain = ((weight * (x - mx) * (y - my)).sum(0) / total + tie) / ((weight * (x - mx) ** 2).sum(0) / total + tie)
        offset = my - gain * mx
    return gain, offset, 4.685 * spread


def fit_colour_shift(shifted: np.ndarray, original: np.ndarray, untouched: np.ndarray) -> ColourShift:
    """How to undo the tone step that a VAE puts on a picture: original = gain * shifted + offset, per channel.

    Read off pixels that should not have changed. A first robust fit finds those that did after all; a second one goes
    by the means of 8×8 cells of the others, where little is left of the VAE's noise. A shift too small to see (.1 of
    an 8-bit level) counts as none.

    Args:
        shifted, original: float32 [H,W,3] sRGB, of one size.
        untouched: [H,W], above 0 where a pixel should be the original's.
    """
    # A clipped value no longer says what it was.
    sound = ((np.minimum(shifted, original) > 0) & (np.maximum(shifted, original) < 1)).all(axis=2) & (untouched > 0)
    rows, columns = (side // CELL for side in sound.shape)
    inside = np.flatnonzero(sound)
    if len(inside) < LEAST_CELLS * CELL**2 or rows * columns == 0:
        return NO_SHIFT
    some = inside[:: max(1, len(inside) // 65536)]
    x, y = (picture.reshape(-1, 3)[some].astype(np.float64) for picture in (shifted, original))
    gain, offset, outlying = robust_line(x, y, noise_tie=0)
    if ((gain < 0.5) & (y.std(axis=0) > 0.05)).any():
        # A picture with contrast that does not follow it is another picture.
        return NO_SHIFT
    sound &= (np.abs(original - np.float32(gain) * shifted - np.float32(offset)) < outlying).all(axis=2)

    def cells(field: np.ndarray) -> np.ndarray:
        return reduce(np.ascontiguousarray(field[: rows * CELL, : columns * CELL], np.float32), (columns, rows))

    share = cells(sound)
    full = share >= 0.5
    if full.sum() < LEAST_CELLS:
        return NO_SHIFT
    x, y = (
        cells(np.where(sound[..., None], picture, 0))[full].astype(np.float64) / share[full, None]
        for picture in (shifted, original)
    )
    gain, offset, outlying = robust_line(x, y, NOISE_TIE)
    agreed = int(share[full][(np.abs(y - gain * x - offset) < outlying).all(axis=1)].sum() * CELL**2)
    # No VAE goes this far: what was read is not its shift.
    if (np.abs(gain - 1) > 0.5).any() or (np.abs(gain * 0.5 + offset - 0.5) > 0.25).any():
        return NO_SHIFT
    if max(np.abs(offset).max(), np.abs(gain + offset - 1).max()) < 0.1 / 255:
        return ColourShift(NO_SHIFT.gain, NO_SHIFT.offset, agreed)
    return ColourShift(gain.astype(np.float32), offset.astype(np.float32), agreed)


def join(
    background: np.ndarray,
    composite: np.ndarray,
    harmonised: np.ndarray,
    matte: np.ndarray,
    change: np.ndarray,
    detail: float,
    gain: np.ndarray,
    keep_surround: float = 0.0,
    shadow: np.ndarray | float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Joins a harmonised picture with its background, pixel by pixel.

    Args:
        background: the scene before anything was pasted.
        composite: after pasting.
        harmonised: what the model made of the composite, same size.
        matte: the subject's alpha in the composite.
        change: float [H,W], how far the surround may take the model's pixels, 0..1 (soft at its outer edge).
        detail: 0 gives the subject the model's pixels, 1 its own texture under the model's light.
        gain: from `relight_gain`.
        keep_surround: 0 gives the surround the model's pixels, 1 its own texture under the model's shadow.
        shadow: from `shadow_gain`.
    Returns:
        the picture, equal to `background` in every bit where the used mask is 0; and that mask, max(matte, change).
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
    subject = np.clip(harmonised - rest * behind, 0, alpha)
    subject = subject + np.float32(detail) * (own - subject)
    around = np.clip(harmonised - subject, 0, rest)
    if keep_surround > 0:
        around = around + np.float32(keep_surround) * (rest * relight(background, shadow) - around)
    picture = subject + rest * background + change * (around - rest * background)
    return np.where(used[..., None] > 0, np.clip(picture, 0, 1), background), used


@dataclass(frozen=True)
class Stitched:
    """What stitching gives.

    Attributes:
        picture: float32 [H,W,3], equal to the background in every bit where `used` is 0.
        used: float32 [H,W], the composite mask.
        gain: float32 [H,W,3], the light given to the subject.
        shift: the colour shift that was taken off the sampled picture.
    """

    picture: np.ndarray
    used: np.ndarray
    gain: np.ndarray
    shift: ColourShift


def fade_in_window(change: np.ndarray, window: Box, width: float) -> np.ndarray:
    """How far a window's surround may take the model's pixels: 1 inside `change`, fading to 0 at its edge.

    It also fades where the window ends inside the picture, but not at the picture's own border.

    Args:
        change: what may change, of the whole picture [H,W].
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
    sampled: np.ndarray,
    matte: np.ndarray,
    change: np.ndarray,
    fade: np.ndarray,
    *,
    control: np.ndarray | None = None,
    detail: float = 0.9,
    keep_surround: float = 0.0,
    luma_only: bool = False,
    colour_fix: float = 1.0,
) -> Stitched:
    """Puts what the model made of a composite back into the background.

    Args:
        background, composite: the window that was worked on, before and after pasting, float32 [H,W,3].
        sampled: what the model made of the composite, float32 [h,w,3], at its own size.
        matte: the subject's alpha [H,W].
        change: what may change [H,W].
        fade: from `fade_in_window` [H,W].
        control: what the model made of the control, [h,w,3]. With it, light is the difference of both results.
        detail: 0 gives the subject the model's pixels, 1 its own texture under the model's light.
        keep_surround: 0 gives the surround the model's pixels, 1 its own texture under the model's shadow.
        luma_only: takes brightness from the model but not colour.
        colour_fix: 0..1, how much of the VAE's colour shift is taken off.
    """
    size, worked = Size.of(composite), Size.of(sampled)
    used, gain, shift = np.maximum(matte, fade), np.ones_like(composite), NO_SHIFT
    region = bounding_box(used)
    given = resize(composite, worked)
    if region is None or np.array_equal(sampled, given):
        # Nothing was made of it, so it is the composite that goes back, to the bit.
        return Stitched(np.where(used[..., None] > 0, composite, background), used, gain, shift)

    worked_matte, worked_change = resize_mask(matte, *worked), resize_mask(change, *worked)
    touched = ((worked_change > 0) | (worked_matte > 0)).astype(np.float32)
    untouched = bands(touched, 0, VAE_REACH).context
    shift = fit_colour_shift(sampled, given, untouched if untouched.any() else 1 - touched)
    harmonised = shift.apply(sampled, colour_fix)
    shadow = 1.0
    # Light is smooth: it is read at the model's own size, whatever the picture's, and where the subject is.
    near = bounding_box(worked_matte)
    if near is not None:
        near = near.grown(2).inside(worked)
        part, reference = harmonised[near.slices], given[near.slices]
        if control is not None:
            reference = resize(shift.apply(control, colour_fix), worked)[near.slices]
        worked_gain = np.ones_like(harmonised)
        worked_gain[near.slices] = relight_gain(part, reference, worked_matte[near.slices], luma_only)
        gain = cv2.resize(worked_gain, size, interpolation=cv2.INTER_LINEAR)
    if keep_surround > 0 and touched.any():
        near = bounding_box(touched).grown(math.ceil(light_sigma(worked_matte))).inside(worked).slices
        worked_shadow = np.ones(worked[::-1], np.float32)
        worked_shadow[near] = shadow_gain(harmonised[near], given[near], worked_matte[near])[..., 0]
        shadow = cv2.resize(worked_shadow, size, interpolation=cv2.INTER_LINEAR)[region.slices][..., None]
    picture = background.copy()
    within = (field[region.slices] for field in (background, composite, resize(harmonised, size), matte, fade))
    picture[region.slices], _ = join(*within, detail, gain[region.slices], keep_surround, shadow)
    return Stitched(picture, used, gain, shift)
