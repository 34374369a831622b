"""The contact sheet of `bench paste`: pastes, blends and corrections, ours and others'."""

from pathlib import Path

import cv2
import numpy as np

from benchmarks.common.images import eight_bits
from devtools import package_images as images
from devtools.contact_sheet import contact_sheet
from phd_ops.pixels.geometry import Box, Placement
from phd_ops.pixels.masks import stabilize
from phd_ops.pixels.paste import BLENDS, PasteOptions, Subject, paste
from phd_ops.segmenters.onnx_salient import SalientModel

SIDE = 400
WHERE = Placement(0.55, 0.55, 0.9)
# The part of the launch pad that is shown, a square.
SHOWN = Box(140, 0, 427, 427)


def enlarged(image: np.ndarray, box: Box) -> np.ndarray:
    """A part of an image, enlarged without smoothing, uint8."""
    part = eight_bits(np.clip(image[box.slices], 0, 1))
    return cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)


def shown(image: np.ndarray) -> np.ndarray:
    return eight_bits(image[SHOWN.slices])


def photographs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A launch pad, an astronaut and her matte."""
    exemplar = images.read_rgb(images.photograph_path("astronaut"))
    matte = SalientModel(str(images.package_file("rembg", "u2netp.onnx"))).predict(exemplar)
    return images.read_rgb(images.photograph_path("rocket")), exemplar, stabilize(matte)


def fringe_tiles(pastes: dict, scene: tuple, errors) -> list[tuple[str, np.ndarray]]:
    """The edge of the flat subject, eight times enlarged."""
    tiles = []
    for who, paste_it in pastes.items():
        composite, matte = paste_it(*scene, Placement(0.5, 0.5, 0.42, 33.0), 1.5)
        green, _ = errors(composite, matte)
        tiles.append((f"{who}: {green:.1f} levels of green", enlarged(composite, Box(112, 112, 50, 50))))
    return tiles


def photograph_tiles(pastes: dict, scene, exemplar, matte) -> list[tuple[str, np.ndarray]]:
    """The edge of the photographed subject, enlarged."""
    return [
        (f"{who}", enlarged(paste_it(scene, exemplar, matte, WHERE, 1.0)[0], Box(318, 60, 100, 100)))
        for who, paste_it in pastes.items()
    ]


def blend_tiles(scene, exemplar, matte) -> list[tuple[str, np.ndarray]]:
    return [
        (f"blend: {blend}", shown(paste(scene, Subject(exemplar, matte), WHERE, PasteOptions(4, blend)).composite))
        for blend in BLENDS
    ]


def tone_tiles(given: np.ndarray, shifted: np.ndarray, corrected: dict) -> list[tuple[str, np.ndarray]]:
    """Errors after a tone shift was corrected, ten times enlarged about gray; noise marks the altered pixels."""
    before = [("before a tone shift", given), ("after it, 10 % of it altered", np.clip(shifted, 0, 1))]
    after = [
        (f"{who}: ten times the error", np.clip(0.5 + 10 * (image - given), 0, 1)) for who, image in corrected.items()
    ]
    return [(title, shown(image)) for title, image in before + after]


def save(folder: Path, tiles: list[tuple[str, np.ndarray]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench_paste.png"
    contact_sheet(tiles, columns=4, side=SIDE).save(path)
    return path
