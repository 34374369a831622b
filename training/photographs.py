"""Photographs that the demo's module is trained on: pastes whose truth is the photograph itself.

They are read from Debian's packages, which are downloaded once and not installed. None of them is in the repository,
and none is one of the photographs that `bench quality --photographs` measures with.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.segmentation import slic

from devtools.debian_images import photograph_bytes
from devtools.package_images import package_file
from phd_ops.pixels.geometry import Box
from phd_ops.pixels.paste import Pasted, SceneMasks
from phd_ops.segmenters.onnx_salient import SalientModel
from relit_scenes.render import RING
from training.module_data import Paste, other_light, over, ring_around, to_bytes
from training.photograph_changes import another_exposure, crop_of, off_by_a_pixel, region, toned, traded_colors, worn
from training.photograph_list import GROUPS

# Crops are kept at this side; those from smaller squares than LARGE are not used at 256 pixels.
SIDE, LARGE = 288, 230
# A photograph is read at this size at most.
LONGEST = 1600
# How many random crops a photograph gives beside those about its subject: one for each so many pixels of its shorter
# side; and their share of that side.
CROP_EVERY, MOST_CROPS, LEAST_CROP, MOST_CROP = 500, 3, 0.35, 0.7
# A closer crop about a subject has so many times the subject's longer side. No crop has fewer pixels a side than that.
CLOSER, LEAST_PIXELS = 1.4, 180
# Crops that vary less than this (standard deviation of 8-bit values) show next to nothing.
PLAIN = 12.0
# A subject has this share of its crop, fills its convex hull so far, and this share of the crop's border at most.
LEAST_SUBJECT, MOST_SUBJECT, LEAST_SOLID, MOST_BORDER = 0.03, 0.8, 0.25, 0.45
# No more than so many pixels for each of a subject's may be undecided, and its largest part has this share of it.
MOST_UNSURE, LEAST_WHOLE = 0.7, 0.55
# How often superpixels are the subject though there is a real one, and how often the light is a look-up table.
REGIONS, TONED = 0.3, 0.25
# How often a crop without a clear subject is drawn for each time that one with a subject is.
WITHOUT_SUBJECT = 0.2
# The least part of a crop's side that is drawn, at 128 and at 256 pixels.
LEAST_SMALL, LEAST_LARGE = 0.45, 0.9
# This share of the photographs, by their names, is for validation.
VALIDATION = 0.1
# Superpixels of a crop.
SUPERPIXELS = 60
# Each of them gets so many lights, at this size; subjects that change by more than this mean CIEDE2000 are left out, as
# in `bench quality --photographs`.
LIGHTS, VALIDATION_SIDE, MOST_CHANGE = 6, 128, 20.0


# Reading


def read(package: str, path: str) -> np.ndarray:
    """uint8 [H,W,3]. Raises FileNotFoundError where the package cannot be had."""
    content = np.frombuffer(photograph_bytes(package, path), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(content, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    scale = min(1.0, LONGEST / max(image.shape[:2]))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def words(path: str) -> str:
    """What a GCompris photograph shows by its file's name, in words; wallpapers' names say nothing of it."""
    if path.startswith("usr/"):
        return ""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", re.sub(r"\d", "", PurePosixPath(path).stem)).lower()


def for_validation(path: str) -> bool:
    """Whether a photograph is never trained on. Photographs of the same name fall on the same side."""
    name = PurePosixPath(path).stem.lower()
    return hashlib.sha256(name.encode()).digest()[0] < 256 * VALIDATION


# Crops with their subjects


def is_subject(matte: np.ndarray) -> bool:
    """Whether a matte in 0..1 is one clear thing, away from most of the border."""
    mask = np.uint8(matte > 0.5)
    outlines = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not outlines or not LEAST_SUBJECT < mask.mean() < MOST_SUBJECT:
        return False
    largest = max(outlines, key=cv2.contourArea)
    solid = cv2.contourArea(largest) / max(1.0, cv2.contourArea(cv2.convexHull(largest)))
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean()
    unsure = ((matte > 0.2) & (matte < 0.8)).mean() / mask.mean()
    whole = cv2.contourArea(largest) / mask.sum()
    return solid > LEAST_SOLID and border < MOST_BORDER and unsure < MOST_UNSURE and whole > LEAST_WHOLE


def squares(rng: np.random.Generator, matte: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Squares of a photograph: the largest about its subject, a closer one, and random ones from large photographs."""
    height, width = matte.shape
    size = min(height, width)
    x, y, wide, high = cv2.boundingRect(np.uint8(matte > 0.5)) if (matte > 0.5).any() else (0, 0, width, height)

    def at(left: float, top: float, side: int) -> tuple[slice, slice]:
        left, top = int(np.clip(left, 0, width - side)), int(np.clip(top, 0, height - side))
        return np.s_[top : top + side, left : left + side]

    closer = int(CLOSER * max(wide, high))
    for side in (size, closer) if LEAST_PIXELS <= closer < MOST_CROP * size else (size,):
        yield at(x + (wide - side) / 2, y + (high - side) / 2, side)
    for _ in range(min(MOST_CROPS, size // CROP_EVERY)):
        side = int(size * rng.uniform(LEAST_CROP, MOST_CROP))
        yield at(rng.uniform(0, width - side), rng.uniform(0, height - side), side)


def superpixels(image: np.ndarray) -> np.ndarray:
    """The number of each pixel's superpixel, uint8 [H,W]; found at half the size, which is four times as fast."""
    small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    labels = slic(small, SUPERPIXELS, compactness=8, start_label=0).clip(0, 255).astype(np.uint8)
    return cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST)


def crops(package: str, path: str, segmenter: SalientModel) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """A photograph's crops: image and the subject's matte (0 where there is no clear one), uint8 [SIDE,SIDE,4]; the
    numbers of its superpixels, uint8 [SIDE,SIDE]; and the side that it had."""
    image = read(package, path)
    matte = segmenter.predict(image.astype(np.float32) / 255)
    for box in squares(np.random.default_rng([*path.encode()]), matte):
        how = cv2.INTER_AREA if len(image[box]) > SIDE else cv2.INTER_CUBIC
        small = cv2.resize(image[box], (SIDE, SIDE), interpolation=how)
        if small.std((0, 1)).mean() < PLAIN:
            continue
        found = cv2.resize(matte[box], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        # A steeper edge: most of what u2netp leaves undecided is not half transparent.
        subject = to_bytes(2 * found - 0.5) if is_subject(found) else np.zeros((SIDE, SIDE), np.uint8)
        labels = superpixels(small)
        yield np.dstack([small, subject]), labels, len(image[box])


# For validation


@dataclass(frozen=True, eq=False)
class RelitPhotograph:
    """A photograph whose subject is in another light, as `module_evaluate.PasteValidation` takes a scene.

    Attributes:
        truth, composite: float32 [S,S,3] in 0..1.
        matte, harmonize_mask: [S,S], binary.
    """

    truth: np.ndarray
    composite: np.ndarray
    matte: np.ndarray
    harmonize_mask: np.ndarray
    prompt: str
    path: str

    @property
    def true_matte(self) -> np.ndarray:
        return self.matte

    @property
    def background(self) -> np.ndarray:
        """What lies behind the subject is not known."""
        return self.composite

    @property
    def reference(self) -> np.ndarray:
        """There is none; never shown to a module."""
        return self.composite

    def change(self) -> float:
        """How far the subject is from the photograph's: mean CIEDE2000."""
        return color_difference(self.composite, self.truth, self.matte)


def color_difference(one: np.ndarray, other: np.ndarray, matte: np.ndarray) -> float:
    """Mean CIEDE2000 between two images [S,S,3] in 0..1 over a subject, [S,S]."""
    labs = [rgb2lab(image[matte > 0][:, None]) for image in (one, other)]
    return float(deltaE_ciede2000(*labs).mean())


def masks_around(composite: np.ndarray, matte: np.ndarray) -> SceneMasks:
    """The masks of a subject in an image [H,W,3], with a ring as wide as RelitScenes have it and without a shadow."""
    masks = SceneMasks(*np.zeros((3, *matte.shape), np.float32))
    masks.add(Pasted(composite, matte, Box(0, 0, *matte.shape[::-1])), round(RING * len(matte)), shadow=False)
    return masks


# On disk


class Photographs:
    """Crops of photographs on disk, in three files: images with mattes, superpixels, and what each crop is."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, listed: list[dict]):
        """images, labels: [N,…], see `crops`; listed: path, side and subject (whether there is one) of each."""
        self.images, self.labels, self.listed = images, labels, listed

    @classmethod
    def loaded(cls, folder: Path, log: Callable[[str], None]) -> "Photographs | None":
        """Those of a folder, prepared where they are missing; None where the packages cannot be had."""
        files = [folder / name for name in ("photographs.npy", "photographs_superpixels.npy", "photographs.json")]
        wanted = [list(photograph) for group in GROUPS for photograph in group.photographs]
        if all(file.is_file() for file in files):
            kept = json.loads(files[-1].read_text())
            if kept["photographs"] == wanted:
                return cls(*(np.load(file, mmap_mode="r") for file in files[:2]), kept["crops"])
        try:
            prepare(wanted, *files)
        except FileNotFoundError as error:
            log(f"There are no photographs among the pastes: {error}")
            return None
        return cls.loaded(folder, log)

    def numbers(self, validation: bool, least: int = 0) -> np.ndarray:
        """The crops to train on, or those for validation; those whose side was `least` at least."""
        chosen = [for_validation(one["path"]) == validation and one["side"] >= least for one in self.listed]
        return np.flatnonzero(chosen)

    @cached_property
    def trained(self) -> dict[bool, tuple[np.ndarray, np.ndarray]]:
        """The crops to train on and how often each is drawn: all, and those that are large enough for 256 pixels."""
        found = {}
        for large in (False, True):
            numbers = self.numbers(False, LARGE if large else 0)
            odds = np.array([1.0 if self.listed[number]["subject"] else WITHOUT_SUBJECT for number in numbers])
            found[large] = numbers, odds / odds.sum()
        return found

    def paste(self, rng: np.random.Generator, side: int) -> Paste:
        """One of the crops in another light."""
        large = side > SIDE // 2
        numbers, odds = self.trained[large]
        number = int(rng.choice(numbers, p=odds))
        crop, labels = self.images[number], self.labels[number]
        real = self.listed[number]["subject"] and rng.random() >= REGIONS
        box = crop_of(rng, crop[..., 3] if real else None, SIDE, LEAST_LARGE if large else LEAST_SMALL)
        crop, labels = cv2.resize(crop[box], (side, side), interpolation=cv2.INTER_AREA), labels[box]
        matte = (
            crop[..., 3].copy()
            if real
            else region(rng, cv2.resize(labels, (side, side), interpolation=cv2.INTER_NEAREST))
        )
        image = crop[..., :3].copy()
        if rng.random() < 0.5:
            image, matte = cv2.flip(image, 1), cv2.flip(matte, 1)
        truth = worn(rng, another_exposure(rng, traded_colors(rng, image)))
        matte = off_by_a_pixel(rng, matte)
        light = toned if rng.random() < TONED else other_light
        composite = over(matte, light(rng, truth), truth)
        return Paste(truth, composite, matte, ring_around(rng, matte), None, words(self.listed[number]["path"]))

    def relit(self) -> list[RelitPhotograph]:
        """The photographs for validation, each in several lights."""
        found, seen = [], set()
        for number in self.numbers(True):
            # A photograph's first crop is its largest.
            if self.listed[number]["path"] not in seen:
                found += [self.relit_one(int(number), seed) for seed in range(LIGHTS)]
            seen.add(self.listed[number]["path"])
        return [one for one in found if one.change() <= MOST_CHANGE]

    def relit_one(self, number: int, seed: int) -> RelitPhotograph:
        """A crop in one of its lights."""
        rng, size = np.random.default_rng([19, number, seed]), (VALIDATION_SIDE, VALIDATION_SIDE)
        crop = cv2.resize(self.images[number], size, interpolation=cv2.INTER_AREA)
        truth, matte = crop[..., :3], crop[..., 3]
        if not matte.any():
            matte = region(rng, cv2.resize(self.labels[number], size, interpolation=cv2.INTER_NEAREST))
        matte, lit = np.float32(matte > 127), np.float32(other_light(rng, truth)) / 255
        truth = np.float32(truth) / 255
        composite = np.where(matte[..., None] > 0, lit, truth)
        path = self.listed[number]["path"]
        return RelitPhotograph(truth, composite, matte, masks_around(composite, matte).harmonize, words(path), path)


def prepare(wanted: list[list[str]], images_file: Path, labels_file: Path, list_file: Path) -> None:
    """Writes the files; the list last, so that an interruption leaves nothing that would be taken for whole."""
    segmenter = SalientModel(str(package_file("rembg", "u2netp.onnx")))
    images, labels, listed = [], [], []
    for package, path in wanted:
        for image, superpixels, side in crops(package, path, segmenter):
            images.append(image)
            labels.append(superpixels)
            listed.append({"path": path, "side": side, "subject": bool(image[..., 3].any())})
    list_file.unlink(missing_ok=True)
    np.save(images_file, np.stack(images))
    np.save(labels_file, np.stack(labels))
    list_file.write_text(json.dumps({"photographs": wanted, "crops": listed}))
