"""The photographs of `bench quality --photographs`: composites whose truth is the photograph.

In one half the subject has another photograph's colors, as in HCOCO's composites, in the other a light of its own.
None of them is in the repository, and no model here was trained on any of them. They are read from installed packages
and from Debian's, all under free licenses (CC0, CC BY, CC BY-SA, GPL or public domain; for the quokka's none is
stated). The subjects are found by u2netp through the pack's segmenter, and were checked by eye.
"""

import functools
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.common.color_transfers import TRANSFERS
from benchmarks.quality.scenes import SIDE
from devtools.debian_images import GCOMPRIS, photograph_bytes
from devtools.package_images import package_file
from phd_ops.segmenters.onnx_salient import SalientModel
from training.module_data import other_light, to_bytes
from training.photographs import color_difference, masks_around

# Photographs are segmented at this size.
SEGMENTED = 512
# HCOCO's authors removed unnatural composites by hand; here those are left out whose subject changed by more than this
# mean CIEDE2000. The others change as much as HCOCO's: fMSE 1,055 on average, there 996.
MOST_CHANGE = 20.0
KINDS = ("portrait", "animal", "object", "building")
PLACES = ("outdoor", "indoor", "night")
# What a composite's subject got that is no color transfer, and how many such lights each photograph gets.
LIGHT, LIGHTS = "light", 4
MATE, LOMIRI = "mate-backgrounds", "lomiri-wallpapers-16.04"


@dataclass(frozen=True)
class Photograph:
    """Where a photograph is, and what it shows.

    Attributes:
        package: one of Debian where it is GCompris or the path begins with usr/, else an installed one of Python.
        path: in the package; for GCompris its activity, a slash, and the path in the activity's resources.
    """

    kind: str
    place: str
    prompt: str
    package: str
    path: str


def animal(prompt: str, path: str, place: str = "outdoor") -> Photograph:
    return Photograph("animal", place, prompt, GCOMPRIS, path)


def thing(prompt: str, path: str, place: str = "indoor") -> Photograph:
    return Photograph("object", place, prompt, GCOMPRIS, path)


def building(prompt: str, path: str, place: str = "outdoor") -> Photograph:
    return Photograph("building", place, prompt, GCOMPRIS, path)


def wallpaper(prompt: str, package: str, path: str) -> Photograph:
    return Photograph("object", "outdoor", prompt, package, f"usr/share/backgrounds/{path}")


HOPPER = "mpl-data/sample_data/grace_hopper.jpg"
# New ones go to the end: numbers of cases depend on the order.
PHOTOGRAPHS = (
    Photograph("portrait", "indoor", "a woman in a navy uniform before flags", "matplotlib", HOPPER),
    Photograph("portrait", "outdoor", "a man with a long pipe", GCOMPRIS, "explore_world_music/music/australia.webp"),
    Photograph("animal", "outdoor", "a quokka", "imgaug", "quokka.jpg"),
    animal("a black and white cow on green grass", "explore_farm_animals/animals/cow.webp"),
    animal("a sheep on green grass", "explore_farm_animals/animals/sheep.webp"),
    animal("brown chickens on green grass", "explore_farm_animals/animals/chicken.webp"),
    animal("a pig on green grass", "explore_farm_animals/animals/pig.webp"),
    animal("a dog on green grass", "explore_farm_animals/animals/dog.webp"),
    animal("a white duck on dark green grass", "explore_farm_animals/animals/duck.webp"),
    animal("an owl on a branch", "explore_farm_animals/animals/owl.webp"),
    animal("a cat on a pink cloth", "explore_farm_animals/animals/cat.webp", "indoor"),
    animal("a kangaroo before trees", "explore_world_animals/animals/kangaroo.webp"),
    animal("a chameleon on green leaves", "explore_world_animals/animals/chameleon.webp"),
    animal("a crocodile on sand", "explore_world_animals/animals/crocodile.webp"),
    animal("a hedgehog on green grass", "explore_world_animals/animals/hedgehog.webp"),
    animal("a koala in a tree", "explore_world_animals/animals/koala.webp"),
    animal("lemurs on green grass", "explore_world_animals/animals/lemur.webp"),
    animal("a polar bear on grey ground", "explore_world_animals/animals/polar_bear.webp"),
    animal("a brown bison on green grass", "explore_world_animals/animals/bison.webp"),
    animal("a panda", "explore_world_animals/animals/panda.webp"),
    animal("a lizard on sand", "explore_world_animals/animals/dragon.webp"),
    animal("an orange fish before blue water", "categorization/images/fishes/fish9.webp"),
    thing("a cup on a wooden table", "categorization/images/others/cup.webp"),
    thing("a pan", "categorization/images/others/pan.webp"),
    thing("a wooden bucket", "categorization/images/others/bucket.webp"),
    thing("a red eraser on grey ground", "categorization/images/others/erasers.webp"),
    thing("a white bulb on wood", "categorization/images/others/bulb.webp"),
    thing("a white chair", "categorization/images/others/chair.webp"),
    thing("blue pliers on wood", "categorization/images/tools/sideCutter1.webp"),
    thing("a red screwdriver on wood", "categorization/images/tools/screwDriver.webp"),
    thing("a hammer on grey ground", "categorization/images/tools/hammer6.webp"),
    thing("a black screwdriver", "categorization/images/tools/screwDriver2.webp"),
    thing("orange drums before a brown wall", "explore_world_music/music/america.webp"),
    thing("drums on green grass", "explore_world_music/music/africa.webp", "outdoor"),
    wallpaper("an orange flower before green leaves", MATE, "mate/nature/Garden.jpg"),
    wallpaper("a red bowl with a fig on grey stone", LOMIRI, "Picture_0B_by_freespace.jpg"),
    wallpaper("a white dandelion at sunset", LOMIRI, "seeding_by_Clements_Engelhardt.jpg"),
    building("a windmill under a cloudy sky", "categorization/images/renewable/windmill5.webp"),
    building("a windmill under a blue sky", "categorization/images/renewable/windmill4.webp"),
    building("a wooden windmill on grass", "categorization/images/renewable/windmill12.webp"),
    building("a stone windmill under a blue sky", "categorization/images/renewable/windmill1.webp"),
    building("a white monument under a blue sky", "categorization/images/monuments/victoriaMemorial.webp"),
    building("a pyramid on green grass", "explore_monuments/wonders/chichenItza.webp"),
    building("a green statue at sunset", "explore_monuments/usa/statueofLiberty.webp"),
    building("a lit gate at night", "categorization/images/monuments/brandenburgGate.webp", "night"),
    building("a lit temple at night", "explore_monuments/usa/lincolnMemorial.webp", "night"),
    building("a lit gate at night", "explore_monuments/india/gatewayofIndia.webp", "night"),
    building("a lit gate at night", "explore_monuments/germany/brandenburgGate.webp", "night"),
)


def read(photograph: Photograph) -> np.ndarray:
    """float32 [H,W,3] in 0..1. Raises FileNotFoundError where the package cannot be had."""
    if photograph.package == GCOMPRIS or photograph.path.startswith("usr/"):
        content = photograph_bytes(photograph.package, photograph.path)
    else:
        content = package_file(photograph.package, photograph.path).read_bytes()
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32) / 255


@functools.cache
def segmenter() -> SalientModel:
    return SalientModel(str(package_file("rembg", "u2netp.onnx")))


def resized(image: np.ndarray, longest: int) -> np.ndarray:
    """Not enlarged."""
    scale = min(1.0, longest / max(image.shape[:2]))
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image


def square(image: np.ndarray, mask: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest square about the subject, [side,side,3], and its binary mask."""
    size, (height, width) = min(mask.shape), mask.shape
    x, y, wide, high = cv2.boundingRect(np.uint8(mask > 0.5))
    left = int(np.clip(x + wide / 2 - size / 2, 0, width - size))
    top = int(np.clip(y + high / 2 - size / 2, 0, height - size))
    parts = (part[top : top + size, left : left + size] for part in (image, mask))
    small, covered = (cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA) for part in parts)
    return small, np.float32(covered > 0.5)


@functools.cache
def subject_of(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A photograph of PHOTOGRAPHS, [SIDE,SIDE,3], and its subject's mask. Raises FileNotFoundError."""
    image = resized(read(PHOTOGRAPHS[number]), SEGMENTED)
    return square(image, np.float32(segmenter().predict(image)), SIDE)


# Composites


@dataclass(frozen=True)
class Case:
    """A composite with its truth, as `bench quality`'s methods and figures take a scene; see `render.Scene`.

    What lies behind the subject is not known: `background` is the composite. No light reference exists either.
    """

    truth: np.ndarray
    composite: np.ndarray
    background: np.ndarray
    matte: np.ndarray
    true_matte: np.ndarray
    shadow: np.ndarray
    inpaint_mask: np.ndarray
    harmonize_mask: np.ndarray
    prompt: str


@functools.cache
def likest(photograph: int) -> list[int]:
    """The photographs of the same kind, those whose subject's mean color is nearest first."""

    def mean(number: int) -> np.ndarray:
        image, mask = subject_of(number)
        return image[mask > 0].mean(0)

    kind = PHOTOGRAPHS[photograph].kind
    others = [index for index, other in enumerate(PHOTOGRAPHS) if other.kind == kind and index != photograph]
    return sorted(others, key=lambda other: float(np.square(mean(other) - mean(photograph)).sum()))


def case_of(number: int) -> tuple[int, int, str]:
    """A case's photograph, the photograph whose subject lends its colors, and the transfer.

    As in HCOCO the reference shows a subject of the same kind. The four transfers take the four nearest ones in turn.
    """
    photograph, turn = divmod(number, len(TRANSFERS))
    near = likest(photograph)[: len(TRANSFERS)]
    return photograph, near[(turn + photograph) % len(near)], [*TRANSFERS][turn]


def composited(photograph: int, changed: np.ndarray) -> Case:
    """A photograph whose subject is that of `changed`, [SIDE,SIDE,3]."""
    truth, mask = subject_of(photograph)
    composite = np.where(mask[..., None] > 0, changed, truth)
    masks = masks_around(composite, mask)
    none = np.zeros_like(mask)
    return Case(
        truth, composite, composite, mask, mask, none, masks.inpaint, masks.harmonize, PHOTOGRAPHS[photograph].prompt
    )


def recolored(number: int) -> Case:
    """Case `number` of the composites as HCOCO's."""
    photograph, other, transfer = case_of(number)
    (truth, mask), (reference, reference_mask) = subject_of(photograph), subject_of(other)
    changed = truth.copy()
    changed[mask > 0] = TRANSFERS[transfer](truth[mask > 0], reference[reference_mask > 0])
    return composited(photograph, changed)


def relit(number: int) -> Case:
    """Case `number` of the composites in another light, drawn as in the module's training: exposure, color, a slope and
    sometimes a gamma, in linear light."""
    photograph = number // LIGHTS
    lit = other_light(np.random.default_rng([17, number]), to_bytes(subject_of(photograph)[0]))
    return composited(photograph, np.float32(lit) / 255)


def change(given: Case) -> float:
    """How far the composite's subject is from the photograph's: mean CIEDE2000."""
    return color_difference(given.composite, given.truth, given.matte)


def within(made: dict[int, Case]) -> dict[int, Case]:
    """Those that are no further than MOST_CHANGE from their photograph."""
    return {number: given for number, given in made.items() if change(given) <= MOST_CHANGE}


@functools.cache
def recolored_cases() -> dict[int, Case]:
    """The composites as HCOCO's, four of each photograph. Raises FileNotFoundError."""
    return within({number: recolored(number) for number in range(len(PHOTOGRAPHS) * len(TRANSFERS))})


@functools.cache
def relit_cases() -> dict[int, Case]:
    """The composites in another light, four of each photograph. Raises FileNotFoundError."""
    return within({number: relit(number) for number in range(len(PHOTOGRAPHS) * LIGHTS)})


def recolored_stratum(number: int) -> tuple[str, str, str]:
    """Kind, place and transfer."""
    photograph, _, transfer = case_of(number)
    return PHOTOGRAPHS[photograph].kind, PHOTOGRAPHS[photograph].place, transfer


def relit_stratum(number: int) -> tuple[str, str, str]:
    photograph = PHOTOGRAPHS[number // LIGHTS]
    return photograph.kind, photograph.place, LIGHT
