"""Relighting: the change of light that a model made is estimated, and applied to the subject's own pixels.

Light is a smooth gain on linear light. It is estimated in the logarithm, by a smoother that stops at the subject's
silhouette: from what the model made of the composite, and where a light reference was sampled too, from the difference
between both results, in which the model's assumption about the subject's color cancels.
Images are float32 [H,W,3] sRGB in 0..1 unless a name says linear; mattes are float32 [H,W] in 0..1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..interrupt import by_bands
from ..local_linear import structure_sigma
from ..sentence import sentence
from .color import linear_to_srgb, log, luma, srgb_to_linear
from .smoother import Smoother

# Light is first estimated at this many times the scale that separates it from texture: nearly as one plane.
WIDE = 4.0
# This share of what the model painted finer than light leaks into the estimate (measured on RelitScenes: .38).
LEAK = 0.4
# Added to linear light, it keeps the logarithm of black finite: a few steps of an 8-bit image at its dark end.
DARK = 0.002
# Linear light below which a pixel is mostly noise, and the weight of a clipped pixel.
DIM, CLIPPED = 0.02, 0.05
# No gain goes beyond MAX_GAIN, or below its inverse. What goes beyond ×EASED_GAIN approaches that limit smoothly: an
# estimate so extreme is more often wrong than right, and would blow the subject out.
EASED_GAIN, MAX_GAIN = 2.0, 4.0
# In pixels: what is finer is texture however small the subject.
LEAST_SIGMA = 4.0
# Mean square errors of usual estimates in squared natural logs, from the result alone and from its difference to the
# reference's, measured on scenes whose light is known (`dev.py bench harmonize`, validation scenes).
RESULT_VARIANCE, DIFFERENCE_VARIANCE = 0.010, 0.007
# A reference whose surround varies by less than FLAT (sRGB) is a studio shot: it shows little of the light, which adds
# so much to the variance.
FLAT, FLAT_VARIANCE = 0.015, 0.04
# A subject whose light moved by less than this, in natural logs, and whose identity score is above ALIKE was left as
# it was.
NEGLECTED, ALIKE = 0.05, 0.5
# Fine structure weaker than this, in natural logs, is a camera's noise.
PLAIN = 0.015
# A subject that is so much nearer to the clean background than to itself was painted away, if the two differ at all.
SUPPRESSED, CONTRAST = 0.25, 0.2


def light_sigma(matte: np.ndarray) -> float:
    """The scale in pixels that separates light from texture, for a subject's matte."""
    return structure_sigma(float(matte.sum()), LEAST_SIGMA)


def log_light(image: np.ndarray) -> np.ndarray:
    """Natural logarithm of linear light, float32 [H,W,3]."""
    return by_bands(lambda band: log(srgb_to_linear(band) + np.float32(DARK)), image)


def pixel_weight(image: np.ndarray) -> np.ndarray:
    """How much each value tells about light, 0..1, float32 [H,W,3]: dark values are all noise, clipped ones cut off."""

    def weight(band: np.ndarray) -> np.ndarray:
        light = srgb_to_linear(band)
        return np.where(band >= 1, np.float32(CLIPPED), (light + np.float32(DARK / 2)) / (light + np.float32(DIM)))

    return by_bands(weight, image)


def mean_over(values: np.ndarray, matte: np.ndarray) -> float:
    """Mean of values [H,W,C] over a matte and all channels."""
    total = values[..., 0] * matte
    for channel in range(1, values.shape[2]):
        total += values[..., channel] * matte
    return float(total.sum() / (values.shape[2] * matte.sum()))


@dataclass(frozen=True, eq=False)
class LightReader:
    """Estimates changes of light on one subject.

    Made once for a composite: what depends on the composite alone is computed once, whatever the number of seeds.

    Attributes:
        composite: the subject as it is, [H,W,3]: its dark and clipped values get little weight.
        matte: [H,W], not empty.
    """

    composite: np.ndarray
    matte: np.ndarray

    @cached_property
    def sigma(self) -> float:
        return light_sigma(self.matte)

    @cached_property
    def log_light(self) -> np.ndarray:
        return log_light(self.composite)

    @cached_property
    def pixel_weight(self) -> np.ndarray:
        return pixel_weight(self.composite)

    @cached_property
    def weight(self) -> np.ndarray:
        """[H,W,3]."""
        return self.matte[..., None] * self.pixel_weight

    @cached_property
    def luma_weight(self) -> np.ndarray:
        """[H,W,1]."""
        return luma(self.weight)

    @cached_property
    def core_weight(self) -> np.ndarray:
        """[H,W,3], without the soft rim, which also shows what is behind it."""
        core = np.where(self.matte > 0.99, self.matte, 0)
        return (core if core.any() else self.matte)[..., None] * self.pixel_weight

    @cached_property
    def smoothers(self) -> tuple[Smoother, Smoother]:
        """Of changes of light: at the scale that separates it from texture, and at a much wider one."""
        return Smoother(self.weight, self.sigma), Smoother(self.weight, WIDE * self.sigma)

    @cached_property
    def luma_smoothers(self) -> tuple[Smoother, Smoother]:
        """Of changes of brightness alone: at the scale that separates light from texture, and at a much wider one."""
        return Smoother(self.luma_weight, self.sigma), Smoother(self.luma_weight, WIDE * self.sigma)

    @cached_property
    def core_smoother(self) -> Smoother:
        return Smoother(self.core_weight, self.sigma)

    @cached_property
    def fine(self) -> np.ndarray:
        """The composite's fine structure, see `fine_structure`."""
        return self.fine_structure(self.log_light)

    @cached_property
    def fine_power(self) -> float:
        return float(np.vdot(self.core_weight * self.fine, self.fine))

    def change(self, after: np.ndarray, before: np.ndarray, luma_only: bool = False) -> np.ndarray:
        """The smooth change of light from log light `before` to log light `after`, over the matte.

        A model's own errors are spread over all scales, while most of light is one plane. So what the smoother finds
        beyond a much wider one counts only as far as it exceeds what the smoother leaves (a Wiener filter).

        Args:
            after, before: from `log_light`.
            luma_only: one change for all channels: brightness, not color.
        Returns:
            float32 [H,W,3], natural logs per channel.
        """
        change, smoothers = after - before, self.smoothers
        if luma_only:
            change, smoothers = luma(change), self.luma_smoothers
        # Beyond this nothing is light.
        limit = 2 * math.log(MAX_GAIN)
        change = np.clip(change, -limit, limit)
        smoothed, wide = (smoother(change) for smoother in smoothers)
        fine, rest = (mean_over(part**2, self.matte) for part in (smoothed - wide, change - smoothed))
        share = np.float32(fine / max(fine + LEAK * rest, 1e-12))
        return np.broadcast_to(wide + share * (smoothed - wide), after.shape)

    def fine_structure(self, light: np.ndarray) -> np.ndarray:
        """What the smoother takes out of log light [H,W,3]."""
        return light - self.core_smoother(light)

    def identity(self, light: np.ndarray) -> float:
        """How far the subject in an image, given as log light, is still itself: the correlation of its fine structure
        with the composite's, at most 1. A subject without any (plain) counts as itself."""
        fine, other = self.fine_structure(light), self.fine_power
        weighted = self.core_weight * fine
        product, one = float(np.vdot(weighted, self.fine)), float(np.vdot(weighted, fine))
        return 1.0 if other <= PLAIN**2 * self.core_weight.sum() else product / math.sqrt(max(one * other, 1e-12))


def change_of_light(
    after: np.ndarray, before: np.ndarray, own: np.ndarray, matte: np.ndarray, luma_only: bool = False
) -> np.ndarray:
    """`LightReader.change` from one image to another, for a subject `own` with its matte: float32 [H,W,3]."""
    return LightReader(own, matte).change(log_light(after), log_light(before), luma_only)


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimated change of light.

    Attributes:
        change: float32 [H,W,3], natural logs.
        variance: its mean square error, in squared natural logs.
    """

    change: np.ndarray
    variance: float


def average(changes: Sequence[np.ndarray], variance: float, matte: np.ndarray) -> Estimate:
    """The mean of several seeds' changes; its variance is the usual one, or what their disagreement shows if larger.

    Where seeds disagree, the truth is as far away as one more of them: s^2 (1 + 1/n), not s^2 / n.
    """
    seeds = len(changes)
    spread = mean_over(np.var(changes, axis=0, ddof=1), matte) if seeds > 1 else 0.0
    return Estimate(sum(changes, np.float32(0)) / np.float32(seeds), max(variance, spread * (1 + 1 / seeds)))


def fuse(estimate: Estimate, other: Estimate, matte: np.ndarray) -> Estimate:
    """Inverse-variance fusion of two estimates of the same light.

    What the two differ by beyond their variances is put down to the other: one that disagrees gets no weight.
    """
    apart = mean_over((other.change - estimate.change) ** 2, matte)
    variance = other.variance + max(0.0, apart - (estimate.variance + other.variance))
    weight = estimate.variance / (estimate.variance + variance)
    return Estimate(estimate.change + np.float32(weight) * (other.change - estimate.change), weight * variance)


def shrink(estimate: Estimate, matte: np.ndarray) -> np.ndarray:
    """The change of an estimate, drawn toward no change by its variance (a Wiener filter), float32 [H,W,3].

    A change that is no larger than the usual error does more harm than good.
    """
    power = mean_over(estimate.change**2, matte)
    return estimate.change * np.float32(power / (power + estimate.variance))


def ease(change: np.ndarray) -> np.ndarray:
    """Natural logs of gains, those beyond the log of EASED_GAIN eased so that they stay within that of MAX_GAIN.

    With k and m for these two logs, x above k becomes k + (m - k) tanh((x - k) / (m - k)), whose slope at k is 1; the
    same below -k. Everything within stays as it is, to the bit.
    """
    knee, limit = np.float32(math.log(EASED_GAIN)), np.float32(math.log(MAX_GAIN))
    size = np.abs(change)
    if not (size > knee).any():
        return change
    eased = knee + (limit - knee) * np.tanh((size - knee) / (limit - knee))
    return np.where(size > knee, np.copysign(eased, change), change)


def eased_extreme(change: np.ndarray, matte: np.ndarray) -> tuple[float, float] | None:
    """The subject's gain that is furthest from 1, as estimated and as eased; None where that is the same.

    Args:
        change: natural logs of gains as estimated, [H,W,3].
    """
    if np.abs(change).max() <= math.log(EASED_GAIN):
        return None
    seen = change[matte > 0.5]
    furthest = seen.flat[np.abs(seen).argmax()] if seen.size else np.float32(0)
    if abs(furthest) <= math.log(EASED_GAIN):
        return None
    return math.exp(furthest), math.exp(ease(np.asarray(furthest)))


FROM_RESULT = sentence("the result alone")
FROM_FLAT = sentence("the result; the light reference gets little weight, as its surround is plain or not visible")
FROM_DIFFERENCE = sentence("the difference to the light reference; the result disagrees and is ignored")
FROM_BOTH = sentence("the difference to the light reference and the result, which agree")


@dataclass(frozen=True, eq=False)
class Estimates:
    """What the light on a subject is estimated from, which may be fields of any size.

    Attributes:
        result: the change from composite to result.
        difference: the one between the results for reference and composite; None without a reference.
        flat: the reference's surround shows little of the light, see `is_flat`.
    """

    result: Estimate
    difference: Estimate | None = None
    flat: bool = False

    def fused(self, matte: np.ndarray) -> tuple[Estimate, str]:
        """One estimate of both, and what it comes from, in words."""
        if self.difference is None:
            return self.result, FROM_RESULT
        if self.flat:
            return fuse(self.result, self.difference, matte), FROM_FLAT
        fused = fuse(self.difference, self.result, matte)
        return fused, FROM_BOTH if fused.variance < 0.9 * self.difference.variance else FROM_DIFFERENCE


@dataclass(frozen=True, eq=False)
class Light:
    """The light that a model put on a subject.

    Attributes:
        gain: float32 [H,W,3], for the subject's linear light; within [1/4, 4].
        by: what it was estimated from, in words for the node's report.
        neglected: in that result, the model left the subject as it was.
        suppressed: in that result, it seems to have painted the subject away.
        eased: the most extreme gain as estimated and as it is, see `eased_extreme`.
        change: the gain's logarithm as estimated, [H,W,3], where the light was read.
        estimates: what that was fused from; None where it was not read.
        variance: its mean square error.
        identity: how far the subject in the first seed's result is still itself, see `LightReader.identity`; set by
            `stitch`.
    """

    gain: np.ndarray
    by: str
    neglected: bool
    suppressed: bool
    eased: tuple[float, float] | None = None
    change: np.ndarray | None = None
    estimates: Estimates | None = None
    variance: float = RESULT_VARIANCE
    identity: float = 1.0

    def with_change(self, change: np.ndarray, matte: np.ndarray) -> "Light":
        """This light with another change of light, [H,W,3]."""
        return replace(self, gain=np.exp(ease(change)), eased=eased_extreme(change, matte), change=change)


def read_light(
    reader: LightReader,
    results: Sequence[np.ndarray],
    references: Sequence[np.ndarray] | None = None,
    *,
    background: np.ndarray,
    flat_reference: bool = False,
    luma_only: bool = False,
    strength: float = 1.0,
) -> Light:
    """Estimates the light on a subject from what a model made of it.

    The difference between the results for composite and reference comes first: the model's assumption about the
    subject's color is in both and cancels. The change from composite to result, which includes it, is fused in as far
    as it agrees; without a reference it is all there is.

    Args:
        reader: of what the model was given.
        results: what it made of that, one for each seed; all images are [H,W,3] and of one size.
        references: what it made of the reference, with the same seeds, or None.
        background: the scene without the subject.
        flat_reference: the reference's surround shows little of the light, see `is_flat`.
        strength: of the change, in the logarithm: 0 leaves the subject's own light, 1 is the estimate.
    """
    matte, lights = reader.matte, [log_light(result) for result in results]
    changes = [reader.change(light, reader.log_light, luma_only) for light in lights]
    # Half of the usual error is each seed's own.
    result, difference = average(changes, RESULT_VARIANCE * (1 + 1 / len(results)) / 2, matte), None
    if references is not None:
        pairs = zip(lights, map(log_light, references), strict=True)
        differences = [reader.change(*pair, luma_only) for pair in pairs]
        usual = DIFFERENCE_VARIANCE + (FLAT_VARIANCE if flat_reference else 0.0)
        difference = average(differences, usual, matte)
    estimates = Estimates(result, difference, flat_reference)
    estimate, by = estimates.fused(matte)
    change = np.float32(strength) * shrink(estimate, matte)
    moved = changes[0] if not luma_only else reader.change(lights[0], reader.log_light)
    neglected = mean_over(np.abs(moved), matte) < NEGLECTED and reader.identity(lights[0]) > ALIKE
    suppressed = is_suppressed(reader, moved, lights[0], log_light(background))
    gain, eased = np.exp(ease(change)), eased_extreme(change, matte)
    return Light(gain, by, neglected, suppressed, eased, change, estimates, estimate.variance)


def is_suppressed(reader: LightReader, moved: np.ndarray, result: np.ndarray, background: np.ndarray) -> bool:
    """Whether a result shows the background in the subject's place.

    Args:
        moved: the change of light from composite to result, of all channels.
        result, background: log light.
    """
    to_background = reader.change(result, background)
    towards, away, contrast = (
        math.sqrt(mean_over(field**2, reader.matte)) for field in (to_background, moved, moved - to_background)
    )
    return contrast > CONTRAST and towards < SUPPRESSED * away


def is_flat(reference: np.ndarray, surround: np.ndarray) -> bool:
    """Whether a reference's surround is as plain as a studio's, which shows little of the light.

    Args:
        surround: [H,W], above 0 where the model left the reference as it was, near its subject.
    """
    seen = surround > 0
    return not seen.any() or float(np.sqrt(reference[seen].var(axis=0).mean())) < FLAT


def relight(composite: np.ndarray, gain: np.ndarray | float) -> np.ndarray:
    """The composite's own pixels under another light: a gain on linear light, of any shape that broadcasts."""
    return linear_to_srgb(srgb_to_linear(composite) * gain)


def shadow_gain(harmonized: np.ndarray, before: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """How much darker the model made the surround of a subject, smoothly and without color: its contact shadow.

    Estimated outside the matte only, at a much finer scale than the subject's light; clipped to [1/4, 1].

    Returns:
        float32 [H,W,1].
    """
    after, before = (log(luma(srgb_to_linear(image)) + np.float32(DARK)) for image in (harmonized, before))
    sigma = max(LEAST_SIGMA, 0.25 * light_sigma(matte))
    smoothed = Smoother(1 - matte, sigma)(after - before)
    return np.exp(np.clip(smoothed, -np.log(MAX_GAIN), 0))
