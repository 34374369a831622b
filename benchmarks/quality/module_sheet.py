"""docs/module.jpg: the learned module on the demo's own kinds of images, beside the paste and sampling without it.

Written by `bench quality --module`.

The first rows are subjects of photographs pasted into others, of which no truth is known; the demo's pair is the first.
The rest are drawn as the module's training draws the demo's own images: their truth is the subject in the scene's light
by the gray-world rule.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw

from benchmarks.common.comfyui import call
from benchmarks.common.demo_model import DemoModel
from benchmarks.common.drawing import BACK, words
from benchmarks.quality import module
from benchmarks.quality.methods import WITH_REFERENCE, with_reference
from benchmarks.quality.photographs import segmenter
from benchmarks.quality.plan import MAIN_LEVEL
from benchmarks.quality.scenes import Chunk
from devtools import package_images as images
from phd_ops.pixels.geometry import Placement, Size, bounding_box
from phd_ops.pixels.paste import Subject, paste, warp_exemplar
from training.demo_scenes import SceneRenderer
from training.module_data import demo_paste
from training.photographs import masks_around

SIDE, TILE, LABEL, GAP = 256, 168, 20, 4
# A photograph's subject has this share of the scene's side and stands on its lower edge.
SIZE = 0.75
# Subject, its words, the scene, and the share of its width where the subject stands.
PASTES = (
    ("astronaut", "an astronaut in an orange suit", "rocket", 0.68),
    ("quokka", "a quokka", "temple", 0.35),
    ("motorcycle", "a red motorcycle", "rocket", 0.45),
)
# Subjects of the scenes of the training's kind, and the seeds that draw them.
SCENES = {"a cup of coffee": 22, "an orange flower": 189, "a cat": 452, "a dog": 34}
COLUMNS = ("paste", "module", "module_stitch", "module_reference", "with_reference", "truth")
TITLES = ("paste", "module, own pixels", "module, Stitch", "module, reference", "no module, reference", "truth")


@dataclass(frozen=True)
class Case:
    """Images [SIDE,SIDE,3] in 0..1 and masks [SIDE,SIDE], as the methods take a scene; see `render.Scene`.

    truth: None where it is not known.
    """

    composite: np.ndarray
    background: np.ndarray
    reference: np.ndarray
    matte: np.ndarray
    harmonize_mask: np.ndarray
    prompt: str
    exemplar_prompt: str
    truth: np.ndarray | None = None


def photograph(name: str) -> np.ndarray:
    path = images.package_file("imgaug", "quokka.jpg") if name == "quokka" else images.photograph_path(name)
    return images.read_rgb(path)


def pasted(name: str, shows: str, place: str, x: float) -> Case:
    """A subject of one photograph in the middle square of another."""
    exemplar, whole = photograph(name), photograph(place)
    subject = Subject(exemplar, np.float32(segmenter().predict(exemplar)))
    side = min(whole.shape[:2])
    top, left = ((length - side) // 2 for length in whole.shape[:2])
    background = cv2.resize(whole[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    box = bounding_box(subject.matte, 0.5)
    placement = Placement(x, 1 - SIZE * box.height / max(box.size) / 2, SIZE)
    result = paste(background, subject, placement)
    reference, _ = warp_exemplar(subject, placement, Size(SIDE, SIDE))
    masks = masks_around(result.composite, result.matte)
    prompt = f"{shows}, {images.PHOTOGRAPHS[place][2]}"
    return Case(result.composite, background, reference, result.matte, masks.harmonize, prompt, shows)


def drawn(renderer: SceneRenderer, word: str, seed: int) -> Case:
    """A scene of the training's kind. What lies behind its subject is not known: `background` is the composite."""
    given = demo_paste(renderer, np.random.default_rng([19, seed]), SIDE)
    if not given.prompt.startswith(word):
        raise ValueError(f"Scene {seed} shows {given.prompt!r}, not {word!r}: choose another seed.")
    composite, reference, truth = (np.float32(part) / 255 for part in (given.composite, given.reference, given.truth))
    matte, hidden = np.float32(given.matte) / 255, np.float32(given.hidden > 0)
    return Case(composite, composite, reference, matte, hidden, given.prompt, word, truth)


def cases() -> list[Case]:
    renderer = SceneRenderer()
    return [pasted(*given) for given in PASTES] + [drawn(renderer, word, seed) for word, seed in SCENES.items()]


def save(file: Path) -> Path:
    """Runs the module with 4 calls and sampling without it at the main level, and writes the sheet."""
    chunk, (loaded,) = Chunk(cases(), DemoModel()), call("PhDLoadModule", module="demo model's")
    shown = {"paste": chunk.composites}
    for known in (False, True):
        shown |= module.ran(chunk, loaded, "right", module.MAIN_CALLS, known)
    shown["with_reference"] = with_reference(**WITH_REFERENCE[MAIN_LEVEL])(chunk, 0)
    wide, high = len(COLUMNS) * (TILE + GAP) - GAP, len(chunk) * (TILE + GAP) + LABEL - GAP
    sheet = Image.new("RGB", (wide, high), BACK)
    draw = ImageDraw.Draw(sheet)
    for column, (name, title) in enumerate(zip(COLUMNS, TITLES, strict=True)):
        left = column * (TILE + GAP)
        words(draw, (left + 2, 2), title, size=13)
        for row, given in enumerate(chunk.scenes):
            tile, top = shown[name][row] if name in shown else given.truth, LABEL + row * (TILE + GAP)
            if tile is None:
                words(draw, (left + TILE / 2, top + TILE / 2), "not known", size=13, anchor="mm")
                continue
            pixels = Image.fromarray(np.uint8(np.clip(tile, 0, 1) * 255 + 0.5))
            sheet.paste(pixels.resize((TILE, TILE), Image.Resampling.LANCZOS), (left, top))
    sheet.save(file, quality=85)
    return file
