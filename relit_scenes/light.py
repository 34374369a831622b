"""One light for a whole scene: a smooth gain on linear light, and the direction that the light comes from.

The gain is `exp(log gain)` per pixel and channel. It has an exposure, the color of a black body as a camera records it,
a little green or magenta, and a slope that is brighter on the side of the light. Subjects are also shaded by the
light's direction.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np

from phd_ops.pixels.color import LUMA

# The camera's white balance is set to this color; automatic white balance removes about half of the light's color.
CAMERA_KELVIN = 5000.0
COLOR_LEFT = 0.5
# Ambient light, and direct light on a surface that faces it.
AMBIENT, DIRECT = 0.45, 0.75
EXPOSURES = (-1.0, 1.0)
MIREDS = (100.0, 400.0)
SLOPES = (0.1, 0.8)


@functools.lru_cache(maxsize=4096)
def black_body(kelvin: float) -> tuple[float, float, float]:
    """Linear sRGB of a black body at luminance 1, for 1667 to 25000 K (chromaticity by the cubics of Kim et al.)."""
    t = 1000 / kelvin
    if kelvin < 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin < 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin < 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    bright, z = x / y, (1 - x - y) / y
    red = 3.2404542 * bright - 1.5371385 - 0.4985314 * z
    green = -0.9692660 * bright + 1.8760108 + 0.0415560 * z
    blue = 0.0556434 * bright - 0.2040259 + 1.0572252 * z
    return red, green, blue


@dataclass(frozen=True)
class SceneLight:
    """The light of one scene.

    Attributes:
        exposure: in stops.
        mired: 1e6 / color temperature in kelvin; high for warm light.
        tint: log gain of green over red and blue; negative for magenta light.
        slope: log gain from the image's center to its edge, toward the light.
        azimuth: degrees; 0 = from behind the camera, negative = from the left.
        elevation: degrees above the horizon.
    """

    exposure: float = 0.0
    mired: float = 200.0
    tint: float = 0.0
    slope: float = 0.0
    azimuth: float = 0.0
    elevation: float = 45.0

    @property
    def color(self) -> np.ndarray:
        """Log gain of each channel without exposure and slope, float64 [3]; a white surface has luminance 1."""
        body, camera = (np.log(black_body(kelvin)) for kelvin in (1e6 / self.mired, CAMERA_KELVIN))
        log = COLOR_LEFT * (body - camera) + self.tint * np.array([-1 / 3, 2 / 3, -1 / 3])
        return log - np.log(LUMA @ np.exp(log))

    @property
    def towards(self) -> np.ndarray:
        """Unit vector toward the light, float32 [3]: x right, y up, z to the camera."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        level = math.cos(elevation)
        return np.float32([level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth)])

    @property
    def mean(self) -> np.ndarray:
        """Mean of the log gain over the image, float64 [3]."""
        return self.exposure * math.log(2) + self.color

    @property
    def gradient(self) -> np.ndarray:
        """Log gain from the center to the right edge and to the lower edge, float64 [2]."""
        turn = math.radians(1.2 * self.azimuth)
        return self.slope * np.array([math.sin(turn), -math.cos(turn)])

    def log_gain(self, side: int) -> np.ndarray:
        """float32 [side,side,3]."""
        at = (np.arange(side) + 0.5) * 2 / side - 1
        right, down = self.gradient
        plane = down * at[:, None] + right * at
        return (plane[..., None] + self.mean).astype(np.float32)

    def shade(self, normals: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Relative shading [H,W] for unit normals [H,W,3]. `strength` 0 gives 1 everywhere, 1 the full shading."""
        facing = np.maximum(normals @ self.towards, 0)
        lit = AMBIENT + DIRECT * facing
        return 1 + strength * (lit - 1)


def draw(rng: np.random.Generator) -> SceneLight:
    """A light at exposure 0; the scene limits its exposure (`draw_exposure`)."""
    return SceneLight(
        mired=float(rng.uniform(*MIREDS)),
        tint=float(rng.normal(0, 0.07)),
        slope=float(rng.uniform(*SLOPES)),
        azimuth=float(rng.uniform(20, 70) * rng.choice([-1, 1])),
        elevation=float(rng.uniform(25, 60)),
    )


def draw_exposure(rng: np.random.Generator, most: float) -> float:
    """An exposure in stops within EXPOSURES and at most `most`, which is low for bright scenes such as snow."""
    low, high = EXPOSURES
    return float(rng.uniform(min(low, most - 0.3), min(high, most)))


def words(light: SceneLight) -> str:
    """The light in the words of a prompt: its color, its side, its strength."""
    kelvin = 1e6 / light.mired
    tone = (
        "warm evening light" if kelvin < 3100
        else "warm light" if kelvin < 4300
        else "neutral daylight" if kelvin < 6500
        else "cold blue light"
    )  # fmt: skip
    side = "from the left" if light.azimuth < 0 else "from the right"
    strength = ", dim" if light.exposure < -0.65 else ", bright" if light.exposure > 0 else ""
    return f"{tone} {side}{strength}"


# Every word that `words` can use.
WORDS = (
    "warm evening light", "warm light", "neutral daylight", "cold blue light", "from the left", "from the right",
    "dim", "bright",
)  # fmt: skip
