"""Draws descriptions of scenes from a seed and a split: `draw_scene`, `draw_shot` and `draw_background`.

The same seed always gives the same description. Subjects and backgrounds belong to the split (`split.py`).
"""

import math
from dataclasses import replace

import numpy as np

from relit_scenes import backgrounds, light, subjects
from relit_scenes.backgrounds import Background
from relit_scenes.descriptions import STRATA, SceneDescription, Shot, color_behind
from relit_scenes.layers import render_layers
from relit_scenes.light import SceneLight
from relit_scenes.split import SPLITS, check
from relit_scenes.subjects import KINDS

# How many of the training images show a subject.
SUBJECT_SHARE = 0.9
# Exposure is limited on a preview this small, whose brightest pixels may reach CEILING: the grain of a larger image
# goes a little further.
PREVIEW, CEILING = 48, 0.94


def generator(seed: int, split: str, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS.index(check(split)), purpose])


def draw_scene(seed: int, split: str, stratum: str | None = None, kinds: tuple[str, ...] = KINDS) -> SceneDescription:
    """A scene and its exemplar.

    Args:
        seed: 0 or more.
        split: one of SPLITS.
        stratum: one of STRATA; drawn by default.
        kinds: of subjects; without "sprite" the npm package is not needed.

    Raises:
        ValueError: for an unknown split or stratum.
    """
    rng = generator(seed, split, 0)
    drawn = STRATA[rng.integers(len(STRATA))]
    stratum = drawn if stratum is None else stratum
    if stratum not in STRATA:
        raise ValueError(f"There is no stratum {stratum!r}; there are: {', '.join(STRATA)}.")
    same_color = stratum == "same color"
    here = backgrounds.draw(rng, split, 0.0 if same_color else backgrounds.PHOTOGRAPH_SHARE)
    there = backgrounds.draw(rng, split)
    size, x = float(rng.uniform(0.36, 0.60)), float(rng.uniform(0.36, 0.64))
    base = float(rng.uniform(lowest_base(here), 0.95))
    color = color_behind(here, base, size) if same_color else None
    while same_color and (color is None or not subjects.combinations(split, kinds, color[0])):
        here = backgrounds.draw(rng, split, 0.0)
        base = float(rng.uniform(lowest_base(here), 0.95))
        color = color_behind(here, base, size)
    while there.name == here.name:
        there = backgrounds.draw(rng, split)
    if stratum == "direction" and "solid" in kinds:
        # Most of a sprite's shading is fixed in its image.
        kinds = ("solid",)
    subject = subjects.draw(rng, split, kinds, color)
    other_x = float(np.clip(x + rng.uniform(-0.12, 0.12), 0.34, 0.66))
    other_base = float(np.clip(base + rng.uniform(-0.08, 0.08), lowest_base(there), 0.95))
    lights = draw_lights(rng, stratum)
    scene = Shot(subject, here, lights[0], size, x, base)
    exemplar = Shot(subject, there, lights[1], size, other_x, other_base)
    exposures = draw_exposures(rng, stratum, headroom(scene), headroom(exemplar))
    scene, exemplar = (exposed(*pair) for pair in zip((scene, exemplar), exposures, strict=True))
    return SceneDescription(seed, split, stratum, scene, exemplar)


def draw_shot(seed: int, split: str = "train", kinds: tuple[str, ...] = KINDS) -> Shot:
    """One finished image for training; SUBJECT_SHARE of the seeds show a subject."""
    rng = generator(seed, split, 1)
    background = backgrounds.draw(rng, split)
    subject = subjects.draw(rng, split, kinds)
    size, x = float(rng.uniform(0.36, 0.60)), float(rng.uniform(0.36, 0.64))
    base = float(rng.uniform(lowest_base(background), 0.95))
    shot = Shot(subject if rng.random() < SUBJECT_SHARE else None, background, light.draw(rng), size, x, base)
    return exposed(shot, light.draw_exposure(rng, headroom(shot)))


def draw_background(seed: int, split: str) -> Shot:
    """A lit background without a subject."""
    rng = generator(seed, split, 2)
    shot = Shot(None, backgrounds.draw(rng, split), light.draw(rng), 0.5, 0.5, 0.9)
    return exposed(shot, light.draw_exposure(rng, headroom(shot)))


def lowest_base(background: Background) -> float:
    """The highest place in the image at which a subject may stand: clearly below the horizon."""
    return max(background.horizon + 0.12, 0.72)


def draw_lights(rng: np.random.Generator, stratum: str) -> tuple[SceneLight, SceneLight]:
    """The lights of scene and exemplar at exposure 0; the stratum decides in what they differ."""
    scene, fresh = light.draw(rng), light.draw(rng)
    if stratum == "exposure":
        return scene, scene
    if stratum == "color cast":
        # At least 90 mired away, on either side.
        low, high = light.MIREDS
        cold, warm = max(0.0, scene.mired - 90 - low), max(0.0, high - scene.mired - 90)
        way = rng.uniform(0, cold + warm)
        mired = low + way if way < cold else scene.mired + 90 + way - cold
        return scene, replace(scene, mired=float(mired), tint=fresh.tint)
    if stratum == "gradient":
        steep, flat = (replace(scene, slope=float(rng.uniform(*ends))) for ends in ((0.55, 0.8), (0.0, 0.05)))
        return (steep, flat) if rng.random() < 0.5 else (flat, steep)
    if stratum == "direction":
        return scene, replace(scene, azimuth=-scene.azimuth, elevation=fresh.elevation)
    return scene, fresh


def draw_exposures(rng: np.random.Generator, stratum: str, most: float, most_there: float) -> tuple[float, float]:
    """Exposures of scene and exemplar in stops, at most `most` and `most_there`."""
    if stratum in ("color cast", "gradient", "direction"):
        both = light.draw_exposure(rng, min(most, most_there))
        return both, both
    here, there = light.draw_exposure(rng, most), light.draw_exposure(rng, most_there)
    if stratum == "exposure":
        step = float(rng.uniform(0.6, 1.3))
        brighter = here + step <= most_there and rng.random() < 0.6
        there = here + step if brighter else min(here - step, most_there)
    return here, there


def headroom(shot: Shot) -> float:
    """The most stops that a shot may have before more than about one pixel in a hundred clips."""
    preview = render_layers(exposed(shot, -4.0), PREVIEW)
    image = preview.finished.max(axis=2)
    brightest = [np.percentile(image, 99.0)]
    if shot.subject is not None:
        # The benchmark measures the subject, so it has a limit of its own.
        brightest.append(np.percentile(preview.lit[preview.matte > 0.5].max(axis=1), 98.0))
    return math.log2(CEILING / max(brightest)) - 4


def exposed(shot: Shot, stops: float) -> Shot:
    return replace(shot, light=replace(shot.light, exposure=stops))
