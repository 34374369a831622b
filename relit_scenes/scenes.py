"""RelitScenes: a subject under one scene's light, to be pasted into another scene whose light it should take.

`draw_scene` makes a description from a seed and a split, without pixels; `render_scene` makes its images at any side.
`training_scene` gives finished scenes only, for a model that is to know how things look in the light of a place.

Everything is composed in linear light, and one light falls on all of an image:

    truth      = (1 - matte) × background × (1 - shadow) + matte × albedo × shade × gain
    composite  = (1 - matte) × background                + matte × the exemplar's subject, unchanged
    ratio      = what relights the subject: (shade × gain) of the scene over (shade × gain) of the exemplar
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from phd_ops.pixels.color import linear_to_srgb
from phd_ops.pixels.geometry import Box, Placement, Size
from phd_ops.pixels.paste import Pasted, SceneMasks, subject_box, warp_exemplar
from relit_scenes import backgrounds, light, subjects
from relit_scenes.backgrounds import Background
from relit_scenes.light import Light
from relit_scenes.split import SPLITS, check
from relit_scenes.subjects import KINDS, Cutout, Subject

# What sets a scene apart from its exemplar: all of the light ("mixed"), one part of it alone, or all of it where the
# subject has the background's own color, or where its matte is a pixel too wide or too narrow.
STRATA = (
    "mixed", "exposure", "color cast", "gradient", "direction", "same color", "matte +1", "matte -1",
)  # fmt: skip
MATTE_ERROR = {"matte +1": 1, "matte -1": -1}
# The inpaint ring's width over the image's side.
RING = 1 / 16
# Of the direct light, what a cast shadow takes; and what a contact shadow takes of all.
CAST, CONTACT = 0.42, 0.55
# A shadow fainter than this is none.
LEAST_SHADOW = 0.01
SUBJECT_SHARE = 0.9
# Exposure is chosen on an image this small, whose brightest pixels then lie here: a larger one's grain goes further.
PREVIEW, CEILING = 48, 0.94


@dataclass(frozen=True)
class Shot:
    """One image, without pixels.

    Attributes:
        subject: None for an empty scene.
        size: the subject's longer side over the image's.
        x, base: where its middle stands, and its lower end, as shares of the image's sides.
    """

    subject: Subject | None
    background: Background
    light: Light
    size: float
    x: float
    base: float

    @property
    def prompt(self) -> str:
        told = f"{self.subject.name} {self.background.name}" if self.subject else self.background.name
        return f"{told}, {light.words(self.light)}"


@dataclass(frozen=True)
class SceneDescription:
    """A scene and the exemplar of its subject, without pixels.

    Attributes:
        stratum: one of STRATA, as drawn.
        scene: the truth's shot.
        exemplar: the same subject of the same size, elsewhere, under another light.
    """

    seed: int
    split: str
    stratum: str
    scene: Shot
    exemplar: Shot


@dataclass(frozen=True)
class Labels:
    """By how much a scene differs from its exemplar, and what else makes it hard.

    Attributes:
        exposure: stops, the scene's over the exemplar's.
        cast: distance of the two lights' colors, in log gain.
        gradient: distance of their slopes, in log gain from the middle to the edge.
        direction: degrees between where they come from.
        color: distance in log albedo of the subject from what is behind it; NaN where that is not one material.
        matte: by how many pixels the matte is too wide.
    """

    exposure: float
    cast: float
    gradient: float
    direction: float
    color: float
    matte: int


@dataclass(frozen=True)
class Scene:
    """A scene's images. All are float32 of [S,S,3] in 0..1 (sRGB) or [S,S] in 0..1, where nothing else is said.

    Attributes:
        truth: the subject in the scene's light, with its shadow.
        background: the scene without the subject.
        exemplar: the subject in another scene under another light.
        exemplar_matte: the subject's matte in the exemplar, as given to a method (off by a pixel in two strata).
        composite: the exemplar's subject in the background, unchanged, by the matte given.
        reference: the exemplar moved so that its subject lies on the composite's, mirrored where it does not reach.
        reference_cover: the share of the image that it does reach.
        matte: the matte given, in the scene.
        true_matte: the exact one; the same but in the two strata with a wrong matte.
        shadow: the share of the light that the subject's shadow takes away; 0 where there is none.
        inpaint_mask, harmonize_mask: binary, the pack's own for this composite: the ring with room for a shadow, and
            subject and ring.
        prompt, exemplar_prompt: what the truth and what the exemplar shows.
        placement: of the subject's box, as the pack's nodes take it.
        shift: (x, y) in whole pixels from the exemplar to the scene; the same move.
        log_gain, exemplar_log_gain: the lights' logarithms; the exemplar's in its own frame.
        ratio: in linear light, [S,S,3]: composite × ratio = truth wherever the true matte is 1; 1 off the subject.
        labels: by how much, and by the description's stratum why, this scene is hard.
        description: what it was rendered from.
    """

    truth: np.ndarray
    background: np.ndarray
    exemplar: np.ndarray
    exemplar_matte: np.ndarray
    composite: np.ndarray
    reference: np.ndarray
    reference_cover: float
    matte: np.ndarray
    true_matte: np.ndarray
    shadow: np.ndarray
    inpaint_mask: np.ndarray
    harmonize_mask: np.ndarray
    prompt: str
    exemplar_prompt: str
    placement: Placement
    shift: tuple[int, int]
    log_gain: np.ndarray
    exemplar_log_gain: np.ndarray
    ratio: np.ndarray
    labels: Labels
    description: SceneDescription


# Drawing


def generator(seed: int, split: str, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, SPLITS.index(check(split)), purpose])


def behind(background: Background, base: float, size: float) -> tuple[str, np.ndarray] | None:
    """The color's word and albedo behind the middle of a subject; None where that is not one material."""
    return backgrounds.color_behind(background, base - 0.4 * size)


def lowest_base(background: Background) -> float:
    return max(background.horizon + 0.12, 0.72)


def draw_scene(seed: int, split: str, stratum: str | None = None, kinds: tuple[str, ...] = KINDS) -> SceneDescription:
    """A scene and its exemplar.

    Args:
        seed: 0 or more; the same one always gives the same scene.
        split: one of SPLITS; subject and both backgrounds belong to it.
        stratum: one of STRATA; drawn by default.
        kinds: of subjects; without "sprite" nothing is fetched.
    """
    rng = generator(seed, split, 0)
    drawn = STRATA[rng.integers(len(STRATA))]
    stratum = drawn if stratum is None else stratum
    if stratum not in STRATA:
        raise ValueError(f"There is no stratum {stratum!r}; there are: {', '.join(STRATA)}.")
    alike = stratum == "same color"
    here = backgrounds.draw(rng, split, 0.0 if alike else backgrounds.PHOTOGRAPH_SHARE)
    there = backgrounds.draw(rng, split)
    size, x = float(rng.uniform(0.36, 0.60)), float(rng.uniform(0.36, 0.64))
    base = float(rng.uniform(lowest_base(here), 0.95))
    like = behind(here, base, size) if alike else None
    while alike and (like is None or not subjects.combinations(split, kinds, like[0])):
        here = backgrounds.draw(rng, split, 0.0)
        base = float(rng.uniform(lowest_base(here), 0.95))
        like = behind(here, base, size)
    while there.name == here.name:
        there = backgrounds.draw(rng, split)
    if stratum == "direction" and "solid" in kinds:
        # A sprite's own image holds most of its shading.
        kinds = ("solid",)
    subject = subjects.draw(rng, split, kinds, like)
    other_x = float(np.clip(x + rng.uniform(-0.12, 0.12), 0.34, 0.66))
    other_base = float(np.clip(base + rng.uniform(-0.08, 0.08), lowest_base(there), 0.95))
    lights = draw_lights(rng, stratum)
    scene = Shot(subject, here, lights[0], size, x, base)
    exemplar = Shot(subject, there, lights[1], size, other_x, other_base)
    exposures = draw_exposures(rng, stratum, headroom(scene), headroom(exemplar))
    scene, exemplar = (exposed(*pair) for pair in zip((scene, exemplar), exposures, strict=True))
    return SceneDescription(seed, split, stratum, scene, exemplar)


def draw_lights(rng: np.random.Generator, stratum: str) -> tuple[Light, Light]:
    """Scene's and exemplar's, at 0 stops: they differ in one part, or altogether."""
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
    """Stops of scene and exemplar, which may have so many at most."""
    if stratum in ("color cast", "gradient", "direction"):
        both = light.draw_exposure(rng, min(most, most_there))
        return both, both
    here, there = light.draw_exposure(rng, most), light.draw_exposure(rng, most_there)
    if stratum == "exposure":
        step = float(rng.uniform(0.6, 1.3))
        up = here + step <= most_there and rng.random() < 0.6
        there = here + step if up else min(here - step, most_there)
    return here, there


def headroom(shot: Shot) -> float:
    """How many stops a shot may have before more than about one pixel in a hundred clips."""
    preview = layers(exposed(shot, -4.0), PREVIEW)
    image = preview.finished.max(axis=2)
    brightest = [np.percentile(image, 99.0)]
    if shot.subject is not None:
        # The subject is what is measured: it has a say of its own.
        brightest.append(np.percentile(preview.lit[preview.matte > 0.5].max(axis=1), 98.0))
    return math.log2(CEILING / max(brightest)) - 4


def exposed(shot: Shot, stops: float) -> Shot:
    return replace(shot, light=replace(shot.light, exposure=stops))


def draw_shot(seed: int, split: str = "train", kinds: tuple[str, ...] = KINDS) -> Shot:
    """One finished image; nine times in ten with a subject."""
    rng = generator(seed, split, 1)
    background = backgrounds.draw(rng, split)
    subject = subjects.draw(rng, split, kinds)
    size, x = float(rng.uniform(0.36, 0.60)), float(rng.uniform(0.36, 0.64))
    base = float(rng.uniform(lowest_base(background), 0.95))
    shot = Shot(subject if rng.random() < SUBJECT_SHARE else None, background, light.draw(rng), size, x, base)
    return exposed(shot, light.draw_exposure(rng, headroom(shot)))


def draw_empty(seed: int, split: str, photographs: float | None = None) -> Shot:
    """A lit background without a subject; `photographs` is their share, the renderer's own by default."""
    rng = generator(seed, split, 2)
    share = backgrounds.PHOTOGRAPH_SHARE if photographs is None else photographs
    shot = Shot(None, backgrounds.draw(rng, split, share), light.draw(rng), 0.5, 0.5, 0.9)
    return exposed(shot, light.draw_exposure(rng, headroom(shot)))


# Rendering


@dataclass(frozen=True)
class Layers:
    """A shot's parts in linear light.

    Attributes:
        empty: [S,S,3], the lit background.
        box: where the subject's cut-out lies.
        matte: [h,w], of the cut-out.
        lit: [h,w,3], the subject's own colors in this light, straight, at most 1.
        relit: [h,w,3], shade times gain, by which albedo became `lit`.
        shadow: [S,S].
        log_gain: [S,S,3].
    """

    empty: np.ndarray
    box: Box
    matte: np.ndarray
    lit: np.ndarray
    relit: np.ndarray
    shadow: np.ndarray
    log_gain: np.ndarray

    @property
    def finished(self) -> np.ndarray:
        """[S,S,3], the subject in its place, with its shadow."""
        image = self.empty * (1 - self.shadow[..., None])
        return over(image, self.box, self.matte, self.lit)


def over(image: np.ndarray, box: Box, matte: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """`colors` (straight) laid over an image, which is changed in place and given back."""
    alpha = matte[..., None]
    image[box.slices] = (1 - alpha) * image[box.slices] + alpha * colors
    return image


def whole(part: np.ndarray, box: Box, side: int, fill: float = 0.0) -> np.ndarray:
    """A part of an image in an image of `fill`."""
    image = np.full((side, side, *part.shape[2:]), fill, np.float32)
    image[box.slices] = part
    return image


def stand(shot: Shot, cut: Cutout, side: int) -> Box:
    """The cut-out's box in whole pixels, wholly inside the image."""
    height, width = cut.matte.shape
    x = min(max(round(shot.x * side - width / 2), 0), side - width)
    y = min(max(round(shot.base * side - height), 0), side - height)
    return Box(x, y, width, height)


def layers(shot: Shot, side: int, cut: Cutout | None = None) -> Layers:
    """Renders a shot at a side; `cut` saves the rendering of its subject where it is at hand."""
    log_gain = shot.light.log_gain(side)
    gain = np.exp(log_gain)
    empty = np.minimum(backgrounds.render(shot.background, side) * gain, 1)
    if shot.subject is None:
        none = np.zeros((0, 0, 3), np.float32)
        shadow = np.zeros((side, side), np.float32)
        return Layers(empty, Box(0, 0, 0, 0), none[..., 0], none, none, shadow, log_gain)
    cut = cut or subjects.cutout(shot.subject, round(shot.size * side))
    box = stand(shot, cut, side)
    relit = gain[box.slices] * shot.light.shade(cut.normals, cut.shade)[..., None].astype(np.float32)
    lit = np.minimum(cut.albedo * relit, 1)
    return Layers(empty, box, cut.matte, lit, relit, shadow_of(shot, cut, box, side), log_gain)


def shadow_of(shot: Shot, cut: Cutout, box: Box, side: int) -> np.ndarray:
    """The share of the light that a subject takes from the ground: its cast shadow away from the light, and contact."""
    base, height = box.y + box.height - 1, max(box.height, 1)
    foot = np.flatnonzero(cut.matte[int(0.86 * height) :].max(axis=0) > 0.5)
    left, right = (foot[0], foot[-1] + 1) if foot.size else (0, box.width)
    center, half = box.x + (left + right) / 2, max(2.0, (right - left) / 2)
    v, u = np.ogrid[0:side, 0:side]
    apart = ((u + 0.5 - center) / (1.12 * half)) ** 2 + ((v + 0.5 - base) / max(1.5, 0.20 * half)) ** 2
    shadow = CONTACT * np.clip(1.4 - apart, 0, 1)
    outdoors = shot.background.kind == "outdoors" and shot.background.behind == "an overcast sky"
    if shot.background.kind != "photograph":
        azimuth, long = math.radians(shot.light.azimuth), 1 / math.tan(math.radians(shot.light.elevation))
        lean, rise = -math.sin(azimuth) * long, 0.34 * math.cos(azimuth) * long
        # Height above the base becomes a way along the ground, seen foreshortened.
        lay = np.array([[1, -lean, box.x + lean * height], [0, rise, base - rise * height]])
        cast = cv2.warpAffine(cut.matte, lay, (side, side), flags=cv2.INTER_LINEAR)
        cast = cv2.GaussianBlur(cast, (0, 0), 0.014 * side)
        reach = np.clip((v + 0.5 - shot.background.horizon * side) / (0.03 * side), 0, 1)
        shadow = 1 - (1 - shadow) * (1 - CAST * (0.35 if outdoors else 1) * cast * reach)
    return np.where(shadow < LEAST_SHADOW, 0, shadow).astype(np.float32)


def off_by(matte: np.ndarray, pixels: int) -> np.ndarray:
    """A matte whose edge lies a pixel further out (1), further in (-1) or where it was (0), as soft as before."""
    if pixels == 0:
        return matte
    return (cv2.dilate if pixels > 0 else cv2.erode)(matte, np.ones((3, 3), np.uint8))


def moved(image: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """An image moved by whole pixels, its border carried on."""
    height, width = image.shape[:2]
    rows = np.clip(np.arange(height) - shift[1], 0, height - 1)
    return image[rows[:, None], np.clip(np.arange(width) - shift[0], 0, width - 1)]


def render_scene(description: SceneDescription, side: int) -> Scene:
    """All images of a scene, of side × side pixels (64 or more)."""
    if side < 64:
        raise ValueError(f"side is {side}; a scene needs at least 64 pixels.")
    shot, other = description.scene, description.exemplar
    cut = subjects.cutout(shot.subject, round(shot.size * side))
    here, there = layers(shot, side, cut), layers(other, side, cut)
    shift = (here.box.x - there.box.x, here.box.y - there.box.y)
    exemplar = there.finished
    error = MATTE_ERROR.get(description.stratum, 0)
    true_matte = whole(cut.matte, here.box, side)
    matte = off_by(true_matte, error)
    exemplar_matte = off_by(whole(cut.matte, there.box, side), error)
    composite = here.empty.copy()
    if error:
        # Who cuts with a wrong matte takes the exemplar's pixels as they are, its background among them.
        alpha = matte[..., None]
        composite = (1 - alpha) * composite + alpha * moved(exemplar, shift)
    else:
        over(composite, here.box, here.matte, there.lit)
    exemplar, composite = linear_to_srgb(exemplar), linear_to_srgb(composite)
    placement = placement_of(matte, side)
    reference, cover = warp_exemplar(exemplar, exemplar_matte, placement, Size(side, side))
    masks = SceneMasks(*np.zeros((3, side, side), np.float32))
    masks.add(Pasted(composite, matte, Box(0, 0, side, side)), round(RING * side), shadow=True)
    return Scene(
        truth=linear_to_srgb(here.finished),
        background=linear_to_srgb(here.empty),
        exemplar=exemplar,
        exemplar_matte=exemplar_matte,
        composite=composite,
        reference=reference,
        reference_cover=cover,
        matte=matte,
        true_matte=true_matte,
        shadow=here.shadow,
        inpaint_mask=masks.inpaint,
        harmonize_mask=masks.harmonize,
        prompt=shot.prompt,
        exemplar_prompt=other.prompt,
        placement=placement,
        shift=shift,
        log_gain=here.log_gain,
        exemplar_log_gain=there.log_gain,
        ratio=whole(here.relit / there.relit, here.box, side, fill=1.0),
        labels=labels_of(description),
        description=description,
    )


def placement_of(matte: np.ndarray, side: int) -> Placement:
    """Where the matte's box stands; the exemplar's is of the same size."""
    box = subject_box(matte)
    return Placement((box.x + box.width / 2) / side, (box.y + box.height / 2) / side, max(box.size) / side)


def labels_of(description: SceneDescription) -> Labels:
    scene, exemplar = description.scene, description.exemplar
    here, there = scene.light, exemplar.light
    own, other = np.log(scene.subject.albedo), behind(scene.background, scene.base, scene.size)
    apart = math.nan if other is None else float(np.abs(own - np.log(other[1])).mean())
    return Labels(
        exposure=here.exposure - there.exposure,
        cast=float(np.linalg.norm(here.color - there.color)),
        gradient=float(np.linalg.norm(here.gradient - there.gradient)),
        direction=math.degrees(math.acos(min(1.0, float(here.towards @ there.towards)))),
        color=apart,
        matte=MATTE_ERROR.get(description.stratum, 0),
    )


# Training data

# Linear light in 16 bits to sRGB in 8.
SRGB = (linear_to_srgb(np.arange(65536) / 65535) * 255 + 0.5).astype(np.uint8)


def training_scene(
    seed: int, side: int = 128, split: str = "train", kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, str]:
    """A finished scene and its prompt: uint8 [side,side,4], sRGB and the subject's matte. Only truths, no composite."""
    shot = draw_shot(seed, split, kinds)
    parts = layers(shot, side)
    image = SRGB[(parts.finished * 65535 + 0.5).astype(np.uint16)]
    matte = (whole(parts.matte, parts.box, side) * 255 + 0.5).astype(np.uint8)
    return np.dstack([image, matte]), shot.prompt


def training_pair(
    seed: int, side: int = 128, split: str = "train", kinds: tuple[str, ...] = KINDS
) -> tuple[np.ndarray, str]:
    """The scene alone, uint8 [side,side,3], and its prompt."""
    scene, prompt = training_scene(seed, side, split, kinds)
    return scene[..., :3], prompt


def vocabulary() -> list[str]:
    """Phrases that hold every word a prompt can have."""
    found = [f"a {color} {noun}" for color in subjects.COLORS for noun in subjects.CLASSES]
    found += [f"an {pattern}" for pattern in subjects.PATTERNS if pattern]
    for split in SPLITS:
        found += [
            f"on {ground} before {band} under {behind}" for _, ground, behind, band in backgrounds.combinations(split)
        ]
        found += [f"before {caption}" for _, _, caption in backgrounds.PHOTOGRAPHS[split]]
    return [*found, ", ".join(light.WORDS)]
