"""The materials that scenes are made of: seamless textures with a known mean color.

A texture is float32 [512,512,3], linear albedo, and tiles. Its mean is exactly the material's albedo, so any other mean
color in a scene comes from the light. Every split has textures of its own: other seeds, other parts of photographs.

The color words ("grey" among them) are vocabulary that the demo model was trained with.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from devtools import package_images as images
from relit_scenes.split import SPLITS, check

TILE = 512


class ImagesMissingError(Exception):
    """Images of a package are missing; the message is one sentence for the user."""


@dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        name: its words in a prompt.
        color: its color word, for subjects of the same color.
        albedo: its mean, linear RGB.
        texture: (generator, split) -> [512,512,3], relative: it is scaled so that its mean is the albedo.
        span: the share of the tile that is visible across a wall, or across the front edge of a ground.
    """

    name: str
    color: str
    albedo: tuple[float, float, float]
    texture: Callable[[np.random.Generator, str], np.ndarray]
    span: float = 0.8


def noise(rng: np.random.Generator, slope: float, across: float = 1, down: float = 1, low: float = 0) -> np.ndarray:
    """Seamless noise [512,512] with mean 0 and standard deviation 1, whose amplitude falls as frequency^-slope.

    `across` and `down` above 1 stretch it in that direction; `low` drops structure larger than 512 / low pixels.
    """
    v = np.fft.fftfreq(TILE)[:, None] * TILE * down
    u = np.fft.rfftfreq(TILE)[None, :] * TILE * across
    frequency = np.hypot(u, v)
    amplitude = np.where(frequency > low, np.maximum(frequency, 1) ** -slope, 0)
    amplitude[0, 0] = 0
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((TILE, TILE))) * amplitude, s=(TILE, TILE))
    return (field / field.std()).astype(np.float32)


def tinted(gray: np.ndarray, *dark_to_light: tuple[float, float, float]) -> np.ndarray:
    """Maps a field [512,512] in about -1..1 to a color ramp, [512,512,3]."""
    at = np.clip((gray + 1.5) / 3, 0, 1) * (len(dark_to_light) - 1)
    table = np.float32(dark_to_light)
    return np.dstack([np.interp(at, np.arange(len(table)), table[:, c]) for c in range(3)]).astype(np.float32)


def colored(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


def wrapped(place: tuple[float, float], reach: float) -> list[tuple[float, float]]:
    """A place on the tile, and its copies beyond the edges that reach into the tile."""
    xs = [x for x in (place[0] - TILE, place[0], place[0] + TILE) if -reach <= x <= TILE + reach]
    ys = [y for y in (place[1] - TILE, place[1], place[1] + TILE) if -reach <= y <= TILE + reach]
    return [(x, y) for x in xs for y in ys]


def strewn(rng, count: int, colors: list, length: tuple[float, float], width: float, upright: bool) -> np.ndarray:
    """Overlapping blades (upright) or leaves; the lower ones are darker."""
    image = np.empty((TILE, TILE, 3), np.float32)
    image[:] = np.float32(colors[0]) * 0.35
    palette = np.float32(colors)
    for k in range(count):
        depth = 0.4 + 0.6 * k / count
        color = palette[rng.integers(len(palette))] * depth * rng.uniform(0.75, 1.25)
        angle = rng.normal(-90, 22) if upright else rng.uniform(0, 360)
        long = rng.uniform(*length)
        at = rng.uniform(0, TILE, 2)
        radians = np.radians(angle)
        for x, y in wrapped(at, long + 2):
            if upright:
                tip = (x + long * np.cos(radians), y + long * np.sin(radians))
                ends = [tuple(round(8 * v) for v in end) for end in ((x, y), tip)]
                cv2.line(image, *ends, color.tolist(), max(1, round(width)), cv2.LINE_AA, 3)
            else:
                center, axes = (round(8 * x), round(8 * y)), (round(8 * long), round(8 * long * width))
                cv2.ellipse(image, center, axes, angle, 0, 360, color.tolist(), -1, cv2.LINE_8, 3)
                vein = (round(8 * (x - 0.8 * long * np.cos(radians))), round(8 * (y - 0.8 * long * np.sin(radians))))
                end = (round(8 * (x + 0.8 * long * np.cos(radians))), round(8 * (y + 0.8 * long * np.sin(radians))))
                cv2.line(image, vein, end, (0.7 * color).tolist(), 1, cv2.LINE_8, 3)
    return image


@functools.cache
def grid_points() -> np.ndarray:
    v, u = np.mgrid[0:TILE, 0:TILE] + 0.5
    return np.column_stack([u.ravel(), v.ravel()])


def cells(rng: np.random.Generator, across: int, down: int, jitter: float) -> tuple[np.ndarray, np.ndarray]:
    """Jittered Voronoi cells: each pixel's cell index, and its depth inside the cell in pixels, both [512,512]."""
    v, u = np.mgrid[0:down, 0:across].astype(float)
    size = np.array([TILE / across, TILE / down])
    points = np.stack([u + 0.5 * (v % 2), v], axis=-1) + jitter * rng.uniform(-0.5, 0.5, (down, across, 2)) + 0.5
    points = (points.reshape(-1, 2) * size) % TILE
    # Distances are measured in units of the cell, so cells need not be square.
    near, index = cKDTree(points / size, boxsize=(across, down)).query(grid_points() / size % [across, down], k=2)
    depth = (near[:, 1] - near[:, 0]).reshape(TILE, TILE).astype(np.float32) * float(size.min())
    return index[:, 0].reshape(TILE, TILE), depth


def stones(rng, across: int, down: int, jitter: float, gap: float, variety: float, gap_tone: float) -> np.ndarray:
    """Gray stones [512,512], each with its own tone, rounded towards their edges, with gaps between them."""
    index, depth = cells(rng, across, down, jitter)
    tone = np.exp(variety * rng.standard_normal(index.max() + 1)).astype(np.float32)[index]
    body = np.clip(depth / gap, 0, 1)
    round_off = 0.65 + 0.35 * np.clip(depth / (4 * gap), 0, 1)
    return (gap_tone * (1 - body) + body * tone * round_off) * np.exp(0.12 * noise(rng, 0.8))


def masonry(
    rng, across: int, down: int, mortar: float, variety: float, offset: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Courses of bricks, tiles or planks: their tone, and their share of each pixel (0 in the mortar), both [512,512].

    offset: the share of a brick by which every other course is shifted; None shifts each course at random.
    """
    v, u = np.mgrid[0:TILE, 0:TILE] + 0.5
    row = (v * down / TILE).astype(int)
    shift = (row % 2) * offset if offset is not None else rng.uniform(0, 1, down)[row]
    along = u * across / TILE + shift
    column = along.astype(int) % across
    tone = np.exp(variety * rng.standard_normal((down, across))).astype(np.float32)[row, column]
    within_u = np.minimum(along % 1, 1 - along % 1) * TILE / across
    within_v = np.minimum(v * down / TILE % 1, 1 - v * down / TILE % 1) * TILE / down
    share = np.clip(np.minimum(within_u, within_v) / mortar - 0.5, 0, 1).astype(np.float32)
    return tone, share


def read_photograph(package: str, path: str) -> np.ndarray:
    """float32 [H,W,3], sRGB. Raises ImagesMissingError where the package does not contain it."""
    try:
        return images.read_rgb(images.package_file(package, path))
    except (FileNotFoundError, ValueError) as error:
        problem = str(error).rstrip(".")
        raise ImagesMissingError(f"{problem}; install what devtools/requirements.txt names.") from None


def photograph(rng: np.random.Generator, path: str, split: str) -> np.ndarray:
    """A seamless linear texture [512,512] from patches of the split's part of one of scikit-image's photographs."""
    image = read_photograph("skimage", path)[..., 1]
    left, right = {"train": (0, 0.5), "validation": (0.5, 0.72), "test": (0.72, 1.0)}[split]
    width = image.shape[1]
    part = image[:, int(left * width) : int(right * width)] ** 2.2
    patch = min(part.shape[1], 160)
    at = np.abs((np.arange(patch) + 0.5) * 2 / patch - 1)
    edge = np.clip((1 - np.maximum(at[:, None], at)) * patch / 24, 0, 1).astype(np.float32)
    whole = np.full((TILE, TILE), part.mean(), np.float32)
    rows, columns = np.ogrid[0:patch, 0:patch]
    # The places lie on a jittered grid, so that no gap stays.
    for top in range(0, TILE, 64):
        for start in range(0, TILE, 64):
            y, x = rng.integers(part.shape[0] - patch + 1), rng.integers(part.shape[1] - patch + 1)
            down, across = rng.integers(0, 32, 2)
            where = (rows + top + down) % TILE, (columns + start + across) % TILE
            whole[where] += edge * (part[y : y + patch, x : x + patch] - whole[where])
    return whole


def grass(rng, split):
    greens = [(0.05, 0.14, 0.02), (0.09, 0.22, 0.03), (0.14, 0.27, 0.05), (0.18, 0.24, 0.07), (0.06, 0.18, 0.04)]
    return strewn(rng, 9000, greens, (10, 26), 1.6, True) * np.exp(0.15 * noise(rng, 1.6))[..., None]


def lawn(rng, split):
    gray = photograph(rng, "data/grass.png", split)
    return gray[..., None] ** np.float32([1.15, 0.9, 1.2]) * np.exp(0.1 * noise(rng, 1.6))[..., None]


def gravel(rng, split):
    return colored(photograph(rng, "data/gravel.png", split))


def pebbles(rng, split):
    gray = stones(rng, 26, 26, 0.9, 2.5, 0.35, 0.25)
    return colored(gray) * np.exp(0.06 * noise(rng, 0.6)[..., None] * np.float32([1, 0, -1]))


def paving(rng, split):
    tone, share = masonry(rng, 5, 10, 2.4, 0.16, 0.5)
    clay = np.float32([0.30, 0.13, 0.09]) * (tone * np.exp(0.12 * noise(rng, 0.6)))[..., None]
    return clay * share[..., None] + np.float32([0.16, 0.14, 0.12]) * (1 - share[..., None])


def leaves(rng, split):
    reds = [(0.35, 0.10, 0.02), (0.45, 0.18, 0.03), (0.50, 0.27, 0.04), (0.28, 0.09, 0.03), (0.36, 0.20, 0.06)]
    return strewn(rng, 1500, reds, (9, 19), 0.5, False)


def foliage(rng, split):
    greens = [(0.03, 0.10, 0.02), (0.05, 0.15, 0.03), (0.09, 0.20, 0.04), (0.04, 0.12, 0.04)]
    return strewn(rng, 2600, greens, (6, 13), 0.5, False) * np.exp(0.25 * noise(rng, 1.5))[..., None]


def sand(rng, split):
    v = np.mgrid[0:TILE, 0:TILE][0] / TILE
    ripples = np.sin(2 * np.pi * (14 * v + 0.55 * noise(rng, 2.2)))
    return colored(np.exp(0.10 * ripples + 0.10 * noise(rng, 0.1) + 0.06 * noise(rng, 1.5)))


def snow(rng, split):
    drifts = noise(rng, 1.8, 3, 1)
    return np.exp(0.07 * drifts[..., None] * np.float32([1.2, 1, 0.7]) + 0.03 * noise(rng, 0.2)[..., None])


def asphalt(rng, split):
    speckle = noise(rng, 0.1)
    return colored(np.exp(0.28 * speckle + 0.07 * noise(rng, 1.5)) + 0.9 * (speckle > 2.4))


def soil(rng, split):
    clods = np.abs(noise(rng, 1.1))
    return tinted(noise(rng, 1.2), (0.10, 0.05, 0.03), (0.30, 0.17, 0.10)) * np.exp(-0.5 * clods)[..., None]


def planks(rng, split):
    tone, share = masonry(rng, 2, 8, 1.6, 0.16, None)
    grain = 0.16 * noise(rng, 1.1, 12, 1) + 0.06 * noise(rng, 0.3, 20, 1)
    return tinted(grain * 4, (0.7, 0.62, 0.5), (1.25, 1.2, 1.1)) * (tone * (0.25 + 0.75 * share))[..., None]


def panels(rng, split):
    return np.ascontiguousarray(planks(rng, split).transpose(1, 0, 2))


def brick(rng, split):
    tone, share = masonry(rng, 6, 16, 2.4, 0.20, 0.5)
    rough = np.exp(0.15 * noise(rng, 0.7))
    clay = np.float32([0.36, 0.12, 0.07]) * (tone * rough)[..., None]
    return np.float32([0.40, 0.37, 0.33]) * 0.9 * (1 - share[..., None]) * rough[..., None] + clay * share[..., None]


def ashlar(rng, split):
    return colored(stones(rng, 5, 9, 0.55, 3.0, 0.22, 0.30)) * np.float32([1.03, 1.0, 0.95])


def cobbles(rng, split):
    return colored(stones(rng, 11, 11, 0.30, 3.0, 0.20, 0.22))


def concrete(rng, split):
    v, u = np.mgrid[0:TILE, 0:TILE]
    seams = (np.minimum(u % 256, 256 - u % 256) < 2) | (np.minimum(v % 256, 256 - v % 256) < 2)
    pores = noise(rng, 0.5, low=40) > 2.6
    return colored(np.exp(0.07 * noise(rng, 1.3) + 0.03 * noise(rng, 0.1)) * (1 - 0.35 * seams) * (1 - 0.4 * pores))


def plaster(rng, split):
    return colored(np.exp(0.025 * noise(rng, 1.2) + 0.03 * noise(rng, 0.6)))


def tiles(rng, split):
    tone, share = masonry(rng, 8, 8, 2.2, 0.05, 0.0)
    return colored(tone * np.exp(0.02 * noise(rng, 1.0))) * (0.55 + 0.45 * share)[..., None]


def white_tiles(rng, split):
    tone, share = masonry(rng, 6, 12, 1.8, 0.03, 0.5)
    return colored(tone * (0.5 + 0.5 * share))


def curtain(rng, split):
    u = np.mgrid[0:TILE, 0:TILE][1] / TILE
    folds = np.sin(2 * np.pi * (11 * u + 0.25 * noise(rng, 2.4, 1, 8)))
    return colored(np.exp(0.30 * folds + 0.04 * noise(rng, 0.2)))


def carpet(rng, split):
    return colored(np.exp(0.16 * noise(rng, 0.3) + 0.05 * noise(rng, 1.6)))


def tablecloth(rng, split):
    v, u = np.mgrid[0:TILE, 0:TILE] * 12 // TILE % 2
    red, white = np.float32([0.50, 0.06, 0.06]), np.float32([0.62, 0.60, 0.57])
    share = ((u + v) / 2)[..., None].astype(np.float32)
    return (share * red + (1 - share) * white) * np.exp(0.06 * noise(rng, 0.2) + 0.05 * noise(rng, 1.8))[..., None]


def water(rng, split):
    waves = noise(rng, 1.25, 1, 0.45, low=4)
    light = np.clip(waves - 1.0, 0, 2)[..., None] * np.float32([0.10, 0.11, 0.11])
    return tinted(waves, (0.022, 0.075, 0.11), (0.05, 0.14, 0.19), (0.10, 0.20, 0.26)) + light


MATERIALS = {
    material.name: material
    for material in (
        # Grounds
        Material("grass", "green", (0.085, 0.170, 0.030), grass, 0.7),
        Material("a lawn", "green", (0.080, 0.155, 0.032), lawn, 0.9),
        Material("sand", "yellow", (0.430, 0.330, 0.195), sand, 0.7),
        Material("snow", "white", (0.590, 0.610, 0.640), snow, 0.7),
        Material("gravel", "grey", (0.215, 0.210, 0.200), gravel, 0.9),
        Material("pebbles", "grey", (0.270, 0.255, 0.235), pebbles, 0.5),
        Material("brick paving", "red", (0.270, 0.130, 0.090), paving, 0.6),
        Material("cobblestones", "grey", (0.165, 0.165, 0.165), cobbles, 0.6),
        Material("asphalt", "grey", (0.085, 0.085, 0.088), asphalt, 0.8),
        Material("soil", "brown", (0.140, 0.080, 0.048), soil, 0.6),
        Material("autumn leaves", "orange", (0.330, 0.145, 0.035), leaves, 0.7),
        Material("water", "blue", (0.050, 0.125, 0.170), water, 0.7),
        Material("a wooden floor", "brown", (0.310, 0.170, 0.085), planks, 0.8),
        Material("terracotta tiles", "orange", (0.400, 0.165, 0.085), tiles, 0.6),
        Material("a red carpet", "red", (0.300, 0.035, 0.035), carpet, 0.6),
        Material("a checked tablecloth", "pink", (0.510, 0.330, 0.315), tablecloth, 0.7),
        # Walls
        Material("a brick wall", "red", (0.300, 0.125, 0.085), brick, 0.7),
        Material("a stone wall", "grey", (0.300, 0.285, 0.260), ashlar, 0.7),
        Material("a concrete wall", "grey", (0.330, 0.330, 0.320), concrete, 0.9),
        Material("a wooden wall", "brown", (0.230, 0.125, 0.065), panels, 0.8),
        Material("a hedge", "green", (0.045, 0.105, 0.028), foliage, 0.7),
        Material("white plaster", "white", (0.600, 0.585, 0.560), plaster, 0.9),
        Material("yellow plaster", "yellow", (0.520, 0.390, 0.160), plaster, 0.9),
        Material("a white tiled wall", "white", (0.570, 0.580, 0.585), white_tiles, 0.8),
        Material("a blue curtain", "blue", (0.050, 0.095, 0.270), curtain, 0.8),
        Material("a purple curtain", "purple", (0.150, 0.055, 0.220), curtain, 0.8),
    )
}


@functools.cache
def pyramid(name: str, split: str) -> tuple[np.ndarray, ...]:
    """A mipmap of a material's texture in a split, from 512×512 down to 16×16.

    Every level has one more row and column at its end, a copy of the first, so that interpolation wraps around.
    """
    material = MATERIALS[name]
    # Seeded by name, so that a new material does not change the others.
    rng = np.random.default_rng([SPLITS.index(check(split)), *name.encode()])
    texture = np.maximum(material.texture(rng, split).astype(np.float32), 1e-4)
    texture = texture / texture.mean((0, 1), dtype=np.float64) * np.array(material.albedo)
    levels = [texture.astype(np.float32)]
    while levels[-1].shape[0] > 16:
        side = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (side, side), interpolation=cv2.INTER_AREA))
    return tuple(cv2.copyMakeBorder(level, 0, 1, 0, 1, cv2.BORDER_WRAP) for level in levels)
