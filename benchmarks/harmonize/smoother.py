"""The smoother that estimates light: its error on linear fields, and its time."""

import cv2
import numpy as np

from benchmarks.common.images import disc
from benchmarks.common.table import Section
from benchmarks.common.timing import race
from phd_ops.pixels.geometry import Size
from phd_ops.pixels.relight import light_sigma
from phd_ops.pixels.smoother import Smoother

SIDE, SUBJECT = 1024, 400
FOUR_K = Size(3840, 2160)


def mattes() -> dict[str, np.ndarray]:
    """Mattes of difficult shapes by name, float32 in 0..1."""
    side = 160
    rng = np.random.default_rng(0)
    round_one = disc(side, 0.3 * side, 1)
    thin, tiny = np.zeros((2, side, side), np.float32)
    cv2.line(thin, (12, 20), (side - 9, side - 31), 1, 1)
    tiny[side // 3, side // 2 : side // 2 + 2] = tiny[side // 3 + 1, side // 2] = 1
    return {
        "random": rng.random((side, side), np.float32),
        "thin": thin,
        "tiny": tiny,
        "holed": round_one * (rng.random((side, side)) > 0.6),
        "soft": cv2.GaussianBlur(round_one, (0, 0), 0.1 * side),
        "cut off": np.roll(round_one, side // 2, axis=1),
    }


def linear_fields(side: int) -> np.ndarray:
    """Three fields from 0 to 1, float32 [side,side,3]: along x, along y, and diagonal."""
    v, u = np.mgrid[0:side, 0:side].astype(np.float32) / (side - 1)
    return np.dstack([u, 1 - v, (u + v) / 2])


def measure_exactness() -> Section:
    """Largest error on linear fields where the matte is above 0; a local linear smoother should make none."""
    section = Section("Light smoother on linear fields from 0 to 1, largest error under the matte")
    for name, matte in mattes().items():
        fields = linear_fields(len(matte))
        smooth = Smoother(matte, light_sigma(matte))(fields)
        error = float(np.abs(smooth - fields)[matte > 0].max())
        section.row(f"{name} matte", f"{error:9.1e}")
        section.figures["smoother_linear_error"] = max(error, section.figures.get("smoother_linear_error", 0))
    return section


def smooth(size: Size, subject: float):
    """A function that runs the smoother on an image with a round subject."""
    fields = np.random.default_rng(0).random((size.height, size.width, 3), np.float32)
    matte = np.zeros(fields.shape[:2], np.float32)
    cv2.circle(matte, (size.width // 2, size.height // 2), round(subject / 2), 1, -1)
    sigma = light_sigma(matte)
    return lambda: Smoother(matte, sigma)(fields)


def measure_time(quick: bool) -> Section:
    """Seconds on two threads. `quick` takes an eighth of each side, where times mean nothing."""
    part, repeats = (8, 1) if quick else (1, 3)
    small, large = Size(SIDE // part, SIDE // part), Size(FOUR_K.width // part, FOUR_K.height // part)
    section = Section("Light smoother, 3 channels, two threads")
    threads = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        subject = SUBJECT / part
        one = race(repeats, {"one": smooth(small, subject)})["one"] / 1000
        four = race(repeats, {"four": smooth(large, subject * large.height / small.height)})["four"] / 1000
    finally:
        cv2.setNumThreads(threads)
    section.row(f"{small.width}×{small.height}, subject of {subject:g} px", f"{one:9.3f} s")
    section.row(f"{large.width}×{large.height}, the subject as large in it", f"{four:9.3f} s {four / one:9.2f} ×")
    section.figures |= {"smoother_1024_s": one, "smoother_4k_ratio": four / one}
    return section
