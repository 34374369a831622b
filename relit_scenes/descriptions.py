"""Scenes as descriptions, without pixels: the subject, its place, the background and the light.

A description can be rendered at any image size; see `draw.py` for how one is drawn and `render.py` for its images.
"""

import math
from dataclasses import dataclass

import numpy as np

from relit_scenes import backgrounds, light
from relit_scenes.backgrounds import Background
from relit_scenes.light import SceneLight
from relit_scenes.subjects import SubjectDescription

# What sets a scene apart from its exemplar: all of the light ("mixed"), one part of the light alone, or all of the
# light with a subject in its background's color, or with a matte that is one pixel too wide or too narrow.
STRATA = (
    "mixed", "exposure", "color cast", "gradient", "direction", "same color", "matte +1", "matte -1",
)  # fmt: skip
# By how many pixels the given matte is too wide, where it is wrong.
MATTE_ERROR = {"matte +1": 1, "matte -1": -1}


@dataclass(frozen=True)
class Shot:
    """One image: a subject on a background under a light.

    Attributes:
        subject: None for a background alone.
        size: the subject's longer side as a share of the image's side.
        x: the subject's horizontal center as a share of the image's width.
        base: the subject's lower end as a share of the image's height.
    """

    subject: SubjectDescription | None
    background: Background
    light: SceneLight
    size: float
    x: float
    base: float

    @property
    def prompt(self) -> str:
        shown = f"{self.subject.name} {self.background.name}" if self.subject else self.background.name
        return f"{shown}, {light.words(self.light)}"


@dataclass(frozen=True)
class SceneDescription:
    """A scene, and the exemplar that its subject is cut from.

    Attributes:
        stratum: one of STRATA.
        scene: the shot that the truth shows.
        exemplar: the same subject at the same size on another background under another light.
    """

    seed: int
    split: str
    stratum: str
    scene: Shot
    exemplar: Shot


@dataclass(frozen=True)
class Labels:
    """How much a scene differs from its exemplar, and what else makes it hard.

    Attributes:
        exposure: in stops, the scene's minus the exemplar's.
        cast: Euclidean distance of the two lights' colors in log gain.
        gradient: Euclidean distance of the two lights' slopes, in log gain from the image's center to its edge.
        direction: degrees between the two light directions.
        color: mean distance in log albedo between the subject and what is behind it; NaN where that is not one
            material.
        matte: by how many pixels the given matte is too wide (negative: too narrow).
    """

    exposure: float
    cast: float
    gradient: float
    direction: float
    color: float
    matte: int


def color_behind(background: Background, base: float, size: float) -> tuple[str, np.ndarray] | None:
    """The color word and the albedo [3] behind the subject's center; None where that is not one material."""
    return backgrounds.color_behind(background, base - 0.4 * size)


def labels_of(description: SceneDescription) -> Labels:
    scene, exemplar = description.scene, description.exemplar
    here, there = scene.light, exemplar.light
    own, other = np.log(scene.subject.albedo), color_behind(scene.background, scene.base, scene.size)
    distance = math.nan if other is None else float(np.abs(own - np.log(other[1])).mean())
    return Labels(
        exposure=here.exposure - there.exposure,
        cast=float(np.linalg.norm(here.color - there.color)),
        gradient=float(np.linalg.norm(here.gradient - there.gradient)),
        direction=math.degrees(math.acos(min(1.0, float(here.towards @ there.towards)))),
        color=distance,
        matte=MATTE_ERROR.get(description.stratum, 0),
    )
