"""Light: what the harmonised picture says about it, given to the subject's own pixels.

Pictures are float32 [H,W,3] sRGB in 0..1 unless a name says linear.
"""

import cv2
import numpy as np

# Keeps the logarithm of black finite; about the darkest step an 8-bit picture can tell apart in linear light.
DARK = 0.01
MOST_GAIN = 4.0
# A Gaussian this wide, in pixels, is sampled as finely as anyone can see.
COARSE_SIGMA = 8.0


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


def stitch(
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
    """Puts a harmonised picture back into its background.

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
    own = np.where(alpha < 1, np.clip((composite - rest * background) / np.maximum(alpha, 1 / 255), 0, 1), composite)
    own = alpha * relight(own, gain)
    subject = np.clip(harmonised - rest * background, 0, alpha)
    subject = subject + np.float32(detail) * (own - subject)
    around = np.clip(harmonised - own, 0, rest)
    if keep_surround > 0:
        around = around + np.float32(keep_surround) * (rest * relight(background, shadow) - around)
    picture = subject + rest * background + change * (around - rest * background)
    return np.where(used[..., None] > 0, np.clip(picture, 0, 1), background), used
