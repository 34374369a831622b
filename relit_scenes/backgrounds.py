"""Backgrounds in linear albedo: a ground in perspective with a wall or the sky behind it, or a photograph.

`draw` makes a description without pixels; `render` makes its image at any size.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from relit_scenes.materials import MATERIALS, TILE, noise, pyramid, read_photograph
from relit_scenes.split import SPLITS, of_cell

OUTDOOR_GROUNDS = (
    "grass", "a lawn", "sand", "snow", "gravel", "pebbles", "brick paving", "cobblestones", "asphalt", "soil",
    "autumn leaves", "water",
)  # fmt: skip
INDOOR_GROUNDS = ("a wooden floor", "terracotta tiles", "a red carpet", "a checked tablecloth")
OUTDOOR_WALLS = ("a brick wall", "a stone wall", "a concrete wall", "a wooden wall", "a hedge")
INDOOR_WALLS = (
    "white plaster", "yellow plaster", "a white tiled wall", "a blue curtain", "a purple curtain", "a brick wall",
    "a concrete wall", "a wooden wall",
)  # fmt: skip


@dataclass(frozen=True)
class Sky:
    """A sky: linear colors at the top and at the horizon, and the share of it that clouds cover."""

    name: str
    color: str
    top: tuple[float, float, float]
    low: tuple[float, float, float]
    clouds: float


SKIES = {
    sky.name: sky
    for sky in (
        Sky("a blue sky", "blue", (0.10, 0.22, 0.48), (0.38, 0.50, 0.62), 0.0),
        Sky("a cloudy sky", "blue", (0.13, 0.25, 0.48), (0.40, 0.50, 0.60), 0.55),
        Sky("an overcast sky", "grey", (0.36, 0.38, 0.41), (0.52, 0.54, 0.56), 1.0),
    )
}


@dataclass(frozen=True)
class Band:
    """A strip between ground and sky.

    Attributes:
        material: in MATERIALS.
        tall, ragged: its height above the horizon and how much that varies, as shares of the image's height.
        waves: the number of sine waves in its outline, and the exponent by which their amplitude falls.
    """

    material: str
    tall: float
    ragged: float = 0.0
    waves: tuple[int, float] = (1, 1.0)


BANDS = {
    "": None,
    "trees": Band("a hedge", 0.10, 0.030, (39, 0.8)),
    "hills": Band("a lawn", 0.07, 0.035, (4, 1.3)),
    "the sea": Band("water", 0.05),
}
# Photographs by split: (package, file, caption).
PHOTOGRAPHS = {
    "train": (
        ("sklearn", "datasets/images/china.jpg", "a lake, a temple and trees"),
        ("sklearn", "datasets/images/flower.jpg", "an orange flower and dark leaves"),
    ),
    "validation": (("skimage", "data/coffee.png", "a cup of coffee on a table"),),
    "test": (
        ("skimage", "data/motorcycle_left.png", "a motorcycle in a garage"),
        ("skimage", "data/rocket.jpg", "a rocket on a launch pad"),
    ),
}
# Photographs stay rare: their own light can be removed only roughly, and there are few of them.
PHOTOGRAPH_SHARE = 0.04
# The share of a photograph's mean color that counts as its light (gray-world assumption).
GRAY_WORLD = 0.9
# At least one material of a background must be this close to neutral (weakest over strongest channel of its albedo):
# two saturated colors alone do not reveal the color of the light.
LEAST_NEUTRAL = 0.26


@dataclass(frozen=True)
class Background:
    """A background without pixels.

    Attributes:
        kind: "outdoors", "wall" or "photograph".
        name: its words in a prompt, beginning with a preposition.
        ground, behind, band: names in MATERIALS, in MATERIALS or SKIES, and in BANDS. For a photograph, `behind` is its
            index in PHOTOGRAPHS and the other two are empty.
        split: the split whose textures it uses.
        horizon: where the ground meets the wall or sky, as a share of the height.
        seed: of everything random in its rendering.
    """

    kind: str
    name: str
    ground: str
    behind: str
    band: str
    split: str
    horizon: float
    seed: int


def reveals_light_color(*names: str) -> bool:
    """Whether one of these materials (or skies) is neutral enough to show the color of the light."""
    parts = [MATERIALS[name].albedo if name in MATERIALS else SKIES[name].low for name in names]
    return any(min(albedo) / max(albedo) >= LEAST_NEUTRAL for albedo in parts)


@functools.cache
def combinations(split: str) -> tuple[tuple[str, str, str, str], ...]:
    """(kind, ground, behind, band) of every background of a split."""
    outdoor_rears = [(sky, band) for sky in SKIES for band in BANDS]
    found = []
    for row, ground in enumerate((*OUTDOOR_GROUNDS, *INDOOR_GROUNDS)):
        outdoors = ground in OUTDOOR_GROUNDS
        rears = [("outdoors", sky, band) for sky, band in outdoor_rears] if outdoors else []
        rears += [("wall", wall, "") for wall in (OUTDOOR_WALLS if outdoors else INDOOR_WALLS)]
        for column, (kind, behind, band) in enumerate(rears):
            alike = (ground, band) in (("water", "the sea"), ("a lawn", "hills"))
            if of_cell(row, column) == split and not alike and reveals_light_color(ground, behind):
                found.append((kind, ground, behind, band))
    return tuple(found)


def draw(rng: np.random.Generator, split: str, photographs: float = PHOTOGRAPH_SHARE) -> Background:
    """A background of a split; `photographs` is the share of photographs."""
    seed = int(rng.integers(2**31))
    if rng.random() < photographs:
        choice = int(rng.integers(len(PHOTOGRAPHS[split])))
        caption = PHOTOGRAPHS[split][choice][2]
        return Background("photograph", f"before {caption}", "", str(choice), "", split, 0.6, seed)
    # The ground is drawn first, then the wall or sky, so that no material is rare.
    choices = combinations(split)
    grounds = sorted({ground for _, ground, _, _ in choices})
    ground = grounds[rng.integers(len(grounds))]
    kinds = sorted({kind for kind, own, _, _ in choices if own == ground})
    kind = kinds[rng.integers(len(kinds))]
    fitting = [choice for choice in choices if choice[:2] == (kind, ground)]
    _, _, behind, band = fitting[rng.integers(len(fitting))]
    horizon = rng.uniform(0.34, 0.56) if kind == "outdoors" else rng.uniform(0.45, 0.66)
    rear = f"{band} under {behind}" if band else behind
    return Background(kind, f"on {ground} before {rear}", ground, behind, band, split, float(horizon), seed)


def color_behind(background: Background, at: float) -> tuple[str, np.ndarray] | None:
    """The color word and the linear albedo [3] at a height (a share of the image's); None where it is not known."""
    if background.kind == "photograph":
        return None
    if at < background.horizon and background.behind in SKIES:
        sky = SKIES[background.behind]
        scattered = 0 < sky.clouds < 1
        return None if scattered else (sky.color, 0.35 * np.array(sky.top) + 0.65 * np.array(sky.low))
    material = MATERIALS[background.behind if at < background.horizon else background.ground]
    return material.color, np.array(material.albedo)


def sample(levels: tuple, u: np.ndarray, v: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Samples a seamless texture at tile coordinates u, v [h,w] (1 = one tile); the pixels of row i lie step[i] apart.

    Trilinear: each row is sampled from the two pyramid levels whose pixels are about as large as its steps.
    """
    wanted = np.clip(np.log2(np.maximum(step * TILE, 1e-6)), 0, len(levels) - 1.001)
    result = np.zeros((*u.shape, 3), np.float32)
    for index in range(int(wanted.min()), int(np.ceil(wanted.max())) + 1):
        weight = np.clip(1 - np.abs(wanted - index), 0, 1).astype(np.float32)
        rows = np.flatnonzero(weight)
        if rows.size == 0:
            continue
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        level = levels[index]
        side = level.shape[0] - 1
        # Pixel i of a level has its center at (i + 1/2) / side.
        x, y = ((c[part] * side - 0.5) % side for c in (u, v))
        read = cv2.remap(level, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
        result[part] += weight[part, None, None] * read
    return result


def wall(rng: np.random.Generator, name: str, split: str, width: int, height: int, far: float = 1.0) -> np.ndarray:
    """A material seen from the front, [height,width,3], `far` times as far away as a wall."""
    span = MATERIALS[name].span * rng.uniform(0.8, 1.2) * far
    u = rng.random() + np.arange(width) * span / width
    v = rng.random() + np.arange(height) * span / width
    return sample(pyramid(name, split), *np.meshgrid(u, v), np.full(height, span / width))


def ground(rng: np.random.Generator, name: str, split: str, width: int, height: int, horizon: float) -> np.ndarray:
    """A flat material in perspective, [height,width,3], from the horizon down to the front edge."""
    span = MATERIALS[name].span * rng.uniform(0.8, 1.2)
    # The vanishing line lies above the ground's far end, so that the far end is at a finite distance.
    vanish = 0.04 + 0.06 * rng.random()
    below = (np.arange(height) + 0.5) / height * (1 - horizon) + vanish
    depth = (1 - horizon + vanish) / below
    u = rng.random() + span * depth[:, None] * ((np.arange(width) + 0.5) / width - 0.5)
    v = np.broadcast_to(rng.random() - (1.1 * span * depth)[:, None], (height, width))
    across, along = span * depth / width, np.abs(np.gradient(1.1 * span * depth)) if height > 1 else span / width
    return sample(pyramid(name, split), u, v, np.sqrt(across * np.maximum(across, along)))


@functools.cache
def cloud_noise(split: str) -> np.ndarray:
    rng = np.random.default_rng([7, SPLITS.index(split)])
    return noise(rng, 1.5, 2.2, 1)


def sky(rng: np.random.Generator, name: str, split: str, width: int, height: int) -> np.ndarray:
    """A sky, [height,width,3], from the top down to the horizon."""
    kind = SKIES[name]
    down = ((np.arange(height) + 0.5) / height)[:, None, None] ** 1.3
    clear = (1 - down) * np.float32(kind.top) + down * np.float32(kind.low)
    image = np.repeat(clear, width, axis=1).astype(np.float32)
    if kind.clouds:
        field = cloud_noise(split)
        x, y = rng.integers(0, TILE, 2)
        span = 300
        patch = np.roll(field, (y, x), (0, 1))[: max(1, span * height // width), :span]
        patch = cv2.resize(patch, (width, height), interpolation=cv2.INTER_LINEAR if width > span else cv2.INTER_AREA)
        if kind.clouds == 1.0:
            return image * np.exp(0.10 * patch)[..., None]
        cover = np.clip((patch - 0.1) * 0.9, 0, 1)[..., None] * np.float32(0.95)
        lit = np.float32([0.70, 0.70, 0.70]) * np.clip(1.02 - 0.12 * patch, 0.7, 1)[..., None]
        image = image * (1 - cover) + lit * cover
    return image


def band_mask(rng: np.random.Generator, band: Band, horizon: float, side: int) -> np.ndarray:
    """The share of each pixel, [side,side,1], that a band covers."""
    count, fall = band.waves
    numbers = np.arange(1, count + 1)
    heights = rng.standard_normal((2, count)) / numbers**fall
    at = np.outer(numbers, np.arange(side) / side * np.pi * 1.7)
    line = heights[0] @ np.cos(at) + heights[1] @ np.sin(at)
    top = (horizon - band.tall - band.ragged * line / 1.5) * side
    rows = np.arange(side)[:, None] + 0.5
    mask = np.clip(rows - top + 0.5, 0, 1) * np.clip(horizon * side - rows + 0.5, 0, 1)
    return mask[..., None].astype(np.float32)


def render(background: Background, side: int) -> np.ndarray:
    """Linear albedo, float32 [side,side,3]: the background without light."""
    rng = np.random.default_rng([11, background.seed])
    if background.kind == "photograph":
        return photograph(rng, background, side)
    # Every part has a random stream of its own, so that the number of its draws does not change the others.
    streams = [np.random.default_rng(rng.integers(2**63, size=2)) for _ in range(5)]
    split, horizon = background.split, background.horizon
    edge = min(side - 1, max(1, round(horizon * side)))
    image = np.empty((side, side, 3), np.float32)
    if background.behind in SKIES:
        image[:edge] = sky(streams[0], background.behind, split, side, edge)
    else:
        image[:edge] = wall(streams[0], background.behind, split, side, edge)
    image[edge:] = ground(streams[1], background.ground, split, side, side - edge, horizon)
    band = BANDS[background.band]
    if band:
        mask = band_mask(streams[2], band, horizon, side)
        rows = np.flatnonzero(mask.any((1, 2)))
        part = slice(rows[0], rows[-1] + 1)
        far = wall(streams[3], band.material, split, side, rows[-1] + 1 - rows[0], far=2.0)
        image[part] += mask[part] * (far - image[part])
    if background.behind not in SKIES:
        # The corner between ground and wall gets less ambient light.
        away = np.abs((np.arange(side) + 0.5) / side - edge / side)
        image *= (1 - 0.28 * np.exp(-away / 0.05)).astype(np.float32)[:, None, None]
    # Materials vary a little from scene to scene.
    spread = streams[4]
    for part in (slice(0, edge), slice(edge, side)):
        image[part] *= np.exp(0.04 * spread.standard_normal() + 0.012 * spread.standard_normal(3)).astype(np.float32)
    return image


@functools.cache
def linear_photograph(split: str, choice: int) -> np.ndarray:
    """One of PHOTOGRAPHS in linear light."""
    package, path, _ = PHOTOGRAPHS[split][choice]
    return np.power(read_photograph(package, path), np.float32(2.2))


def photograph(rng: np.random.Generator, background: Background, side: int) -> np.ndarray:
    """A crop of one of PHOTOGRAPHS, its own light removed under the gray-world assumption."""
    image = linear_photograph(background.split, int(background.behind))
    height, width = image.shape[:2]
    crop = int(min(height, width) * rng.uniform(0.6, 1.0))
    y, x = rng.integers(0, height - crop + 1), rng.integers(0, width - crop + 1)
    small = cv2.resize(image[y : y + crop, x : x + crop], (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        small = small[:, ::-1]
    # The crop's mean counts as its light: all of the brightness and most of the color.
    mean = np.log(small.mean((0, 1), dtype=np.float64) + 1e-3)
    known = mean.mean() + GRAY_WORLD * (mean - mean.mean())
    return np.minimum(small * np.exp(np.log(0.2) - known).astype(np.float32), 1)
