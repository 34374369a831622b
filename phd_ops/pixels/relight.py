"""Light: what the harmonized image says about it, given to the subject's own pixels.

Images are float32 [H,W,3] sRGB in 0..1 unless a name says linear.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from .. import local_linear as smooth
from .color import LUMA, linear_to_srgb, srgb_to_linear

# Light is first read this much more widely than what separates it from texture: nearly as one plane.
WIDE = 4.0
# What the model painted finer than light reaches into the reading by this share (measured on RelitScenes: .38).
LEAK = 0.4
# Keeps the logarithm of black finite. Linear light; a few steps of an 8-bit image at its dark end.
DARK = 0.002
# Linear light below which a pixel's noise outweighs what it says about light, and what a clipped pixel still says.
DIM, CLIPPED = 0.02, 0.05
MOST_GAIN = 4.0
# In pixels: what is finer is texture however small the subject.
LEAST_SIGMA = 4.0
# Mean square errors of usual readings in squared natural logs, of the result alone and of its difference to a
# reference, measured on scenes whose light is known (`dev.py bench harmonize`, validation scenes).
OF_RESULT, OF_DIFFERENCE = 0.010, 0.007
# A reference whose surround varies by less than FLAT (sRGB) is a studio shot, which says little about light:
# that leaves open so much more.
FLAT, OF_FLAT = 0.015, 0.04
# A subject whose light moved by less than this, in natural logs, while it still is like itself (identity), was left as
# it is.
NEGLECTED, ALIKE = 0.05, 0.5
# Fine structure weaker than this, in natural logs, is a camera's noise.
PLAIN = 0.015
# A subject that is so much nearer to the clean background than to itself was painted away, if the two differ at all.
SUPPRESSED, CONTRAST = 0.25, 0.2


def local_linear_smooth(values: np.ndarray, weight: np.ndarray, sigma: float) -> np.ndarray:
    """`smooth.local_linear_smooth` of values [H,W,C] by weight [H,W], or [H,W,C] for channels that differ in it."""
    fields = torch.from_numpy(np.ascontiguousarray(values)).movedim(-1, 0)
    if weight.ndim == 2:
        smoothed = smooth.local_linear_smooth(fields[None], torch.from_numpy(weight)[None, None], sigma)[0]
    else:
        weights = torch.from_numpy(weight).movedim(-1, 0)
        smoothed = smooth.local_linear_smooth(fields[:, None], weights[:, None], sigma)[:, 0]
    return np.ascontiguousarray(smoothed.movedim(0, -1).numpy())


def light_sigma(matte: np.ndarray) -> float:
    """The scale in pixels that separates light from texture, of a subject's matte [H,W]."""
    return smooth.structure_sigma(float(matte.sum()), LEAST_SIGMA)


def log_light(image: np.ndarray) -> np.ndarray:
    """Natural logarithm of linear light."""
    return np.log(srgb_to_linear(image) + np.float32(DARK))


def trust(image: np.ndarray) -> np.ndarray:
    """How much each value of an image says about light, 0..1: dark ones are all noise, clipped ones cut off."""
    light = srgb_to_linear(image)
    return np.where(image >= 1, np.float32(CLIPPED), (light + np.float32(DARK / 2)) / (light + np.float32(DIM)))


def change_of_light(
    after: np.ndarray, before: np.ndarray, own: np.ndarray, matte: np.ndarray, luma_only: bool = False
) -> np.ndarray:
    """How much brighter or darker a subject became, smoothly: F[log after - log before] over its matte.

    A model's own errors are spread over all scales, while most of light is one plane. So what F finds beyond a much
    wider F has a say only as far as it stands out of what F leaves (Wiener).

    Args:
        after: what the model made of it.
        before: what the model was given; or what it made of the reference, the same subject in its own surround.
        own: the subject as it is: where it is dark or clipped, little is read.
        matte: [H,W].
        luma_only: one change for all channels: brightness, not color.
    Returns:
        float32 [H,W,3], natural logs per channel.
    """
    change, weight = log_light(after) - log_light(before), matte[..., None] * trust(own)
    if luma_only:
        change, weight = change @ LUMA, weight @ LUMA
    # Beyond this nothing is light.
    limit = 2 * math.log(MOST_GAIN)
    change, sigma = np.clip(change, -limit, limit), light_sigma(matte)
    smoothed, wide = (local_linear_smooth(change, weight, scale) for scale in (sigma, WIDE * sigma))
    fine, rest = (mean_over(part**2, matte) for part in (smoothed - wide, change - smoothed))
    share = np.float32(fine / max(fine + LEAK * rest, 1e-12))
    return np.broadcast_to(wide + share * (smoothed - wide), after.shape)


def mean_over(values: np.ndarray, matte: np.ndarray) -> float:
    """Mean of [H,W,C] over a matte and all channels."""
    return float(np.average(values.mean(axis=2), weights=matte))


def fold(
    reading: np.ndarray, doubt: float, other: np.ndarray, its_doubt: float, matte: np.ndarray
) -> tuple[np.ndarray, float]:
    """Takes another reading of the same light in, and gives the doubt that is left.

    Weights are inverse to the doubts (mean square errors). What the two differ by beyond them is put down to the
    other: one that disagrees has no say.
    """
    its_doubt += max(0.0, mean_over((other - reading) ** 2, matte) - (doubt + its_doubt))
    share = doubt / (doubt + its_doubt)
    return reading + np.float32(share) * (other - reading), share * its_doubt


def shrunk(reading: np.ndarray, doubt: float, matte: np.ndarray) -> np.ndarray:
    """A reading drawn towards no change as far as it is in doubt (Wiener): a change that is no larger than the usual
    error does more harm than good."""
    power = mean_over(reading**2, matte)
    return reading * np.float32(power / (power + doubt))


@dataclass(frozen=True)
class Light:
    """What a run says about the light on a subject.

    Attributes:
        gain: float32 [H,W,3], for the subject's linear light; within [1/4, 4].
        by: how it was read, for whoever looks at the node.
        identity: from `identity_score`, of what the model made of the subject with the first seed. So are:
        neglected: the model left the subject as it was.
        suppressed: it seems to have painted the subject away.
    """

    gain: np.ndarray
    by: str
    identity: float
    neglected: bool
    suppressed: bool


def read_light(
    results: list[np.ndarray],
    references: list[np.ndarray] | None,
    composite: np.ndarray,
    background: np.ndarray,
    matte: np.ndarray,
    *,
    flat_reference: bool = False,
    luma_only: bool = False,
    strength: float = 1.0,
) -> Light:
    """Reads the light on a subject off what a model made of it.

    The difference between the results for scene and reference goes first: what the model believes about the subject's
    color is in both and cancels. The change from composite to result, which holds that belief, is taken in as far as
    it agrees; without a reference it stands alone.

    Args:
        results: one for each seed; all images are [H,W,3] and of one size.
        references: of the same seeds, or None.
        composite: what the model was given.
        background: the scene without the subject.
        matte: [H,W], not empty.
        flat_reference: the reference's surround says little about light, see `is_flat`.
        strength: of the change, in the logarithm: 0 leaves the subject's own light, 1 is what was read.
    """
    seeds = len(results)
    changes = [change_of_light(result, composite, composite, matte, luma_only) for result in results]
    reading, doubt, by = averaged(changes, OF_RESULT * (1 + 1 / seeds) / 2, matte) + ("the result alone",)
    if references is not None:
        pairs = zip(results, references, strict=True)
        differences = [change_of_light(*pair, composite, matte, luma_only) for pair in pairs]
        difference = averaged(differences, OF_DIFFERENCE + (OF_FLAT if flat_reference else 0.0), matte)
        if flat_reference:
            by = "the result; the reference's surround, which is plain or out of sight, says little"
            reading, doubt = fold(reading, doubt, *difference, matte)
        else:
            folded = fold(*difference, reading, doubt, matte)
            agrees = folded[1] < 0.9 * difference[1]
            by = f"the difference to the reference, {'and the result, which agrees' if agrees else 'not the result'}"
            reading, doubt = folded
    first = results[0]
    identity = identity_score(first, composite, matte)
    moved = changes[0] if not luma_only else change_of_light(first, composite, composite, matte)
    to_background = change_of_light(first, background, composite, matte)
    towards, away, contrast = (
        math.sqrt(mean_over(field**2, matte)) for field in (to_background, moved, moved - to_background)
    )
    limit = math.log(MOST_GAIN)
    return Light(
        np.exp(np.clip(np.float32(strength) * shrunk(reading, doubt, matte), -limit, limit)),
        by,
        identity,
        mean_over(np.abs(moved), matte) < NEGLECTED and identity > ALIKE,
        contrast > CONTRAST and towards < SUPPRESSED * away,
    )


def averaged(readings: list[np.ndarray], doubt: float, matte: np.ndarray) -> tuple[np.ndarray, float]:
    """The mean of several seeds' readings, and its doubt: what is usual, or what they tell by disagreeing.

    Where seeds disagree, the truth is as far away as one more of them: s^2 (1 + 1/n), not s^2 / n.
    """
    seeds = len(readings)
    spread = mean_over(np.var(readings, axis=0, ddof=1), matte) if seeds > 1 else 0.0
    return sum(readings) / np.float32(seeds), max(doubt, spread * (1 + 1 / seeds))


def is_flat(reference: np.ndarray, surround: np.ndarray) -> bool:
    """Whether a reference's surround is as plain as a studio's, which says little about light.

    Args:
        surround: [H,W], above 0 where the model left the reference as it was, near its subject.
    """
    seen = surround > 0
    return not seen.any() or float(np.sqrt(reference[seen].var(axis=0).mean())) < FLAT


def identity_score(image: np.ndarray, own: np.ndarray, matte: np.ndarray) -> float:
    """How far a subject is still itself: the correlation of its fine structure with its own, at most 1.

    Fine is what the smoother takes out of log light; a subject without any (plain) counts as itself.
    """
    # The soft rim also shows what is behind it.
    core = np.where(matte > 0.99, matte, 0)
    weight, sigma = (core if core.any() else matte)[..., None] * trust(own), light_sigma(matte)
    fine = [light - local_linear_smooth(light, weight, sigma) for light in (log_light(image), log_light(own))]
    product, one, other = (float((weight * a * b).sum()) for a, b in (fine, (fine[0],) * 2, (fine[1],) * 2))
    return 1.0 if other <= PLAIN**2 * weight.sum() else product / math.sqrt(max(one * other, 1e-12))


def relight(composite: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """The composite's own pixels under another light."""
    return linear_to_srgb(srgb_to_linear(composite) * gain)


def shadow_gain(harmonized: np.ndarray, before: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """How much darker the model made the surround of a subject, smoothly and without color: its contact shadow.

    Read outside the matte only, and at a much finer scale than the subject's light; clipped to [1/4, 1].

    Returns:
        float32 [H,W,1].
    """
    change = np.log(srgb_to_linear(harmonized) @ LUMA + DARK) - np.log(srgb_to_linear(before) @ LUMA + DARK)
    smooth = local_linear_smooth(change, 1 - matte, max(LEAST_SIGMA, 0.25 * light_sigma(matte)))
    return np.exp(np.clip(smooth, -np.log(MOST_GAIN), 0))
