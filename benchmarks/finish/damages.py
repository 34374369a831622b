"""What edit models do to an image that they otherwise harmonized perfectly, as users report it.

Each damage takes a scene and its truth, and returns what the model would have returned, of any size. Lengths are given
in pixels of an image with a side of 1024.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from benchmarks.common.images import eight_bits
from phd_ops.pixels.geometry import Size, bounding_box
from phd_ops.pixels.resample import resample, resize
from relit_scenes.render import Scene

UNIT = 1024
TINT = np.float32([1.05, 1.0, 0.9]), np.float32([0.02, 0.015, -0.01])
POSE_DEGREES = 14
# How much light the new shadow takes, and how many levels of 8 bits count as a change.
SHADOW, VISIBLE = 0.45, 2

Damage = Callable[[np.ndarray, Scene], np.ndarray]


def motion(image: np.ndarray, zoom: float = 1.0, degrees: float = 0.0, shift=(0.0, 0.0)) -> np.ndarray:
    """Zoomed and turned about the middle, then shifted."""
    side, angle = len(image), np.radians(degrees)
    linear = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, side / 2)
    offset = middle - linear @ middle + np.array(shift) * side / UNIT
    return resample(image, np.column_stack([linear, offset]), Size.of(image), cv2.BORDER_REFLECT_101)


def cropped_to_4_by_3(image: np.ndarray, scene: Scene) -> np.ndarray:
    """The largest part of 4 to 3 in the middle, at about the same number of pixels, as FluxKontextImageScale crops."""
    side = len(image)
    rows = round(side * 880 / 1184)
    top = (side - rows) // 2
    return resize(np.ascontiguousarray(image[top : top + rows]), Size(side * 1184 // UNIT, side * 880 // UNIT))


def rounded_sides(image: np.ndarray, scene: Scene) -> np.ndarray:
    """Stretched to sides that are multiples of 32, as a target in megapixels gives them."""
    side = len(image)
    return resize(image, Size((side * 15 // 16) // 32 * 32, (side * 31 // 32) // 32 * 32))


def tint(image: np.ndarray, scene: Scene) -> np.ndarray:
    return np.clip(image * TINT[0] + TINT[1], 0, 1)


def tint_field(image: np.ndarray, scene: Scene) -> np.ndarray:
    """A tint that grows from nothing at the left to twice as much at the right."""
    across = np.linspace(0, 2, image.shape[1], dtype=np.float32)[:, None]
    return np.clip(image + across * (image * TINT[0] + TINT[1] - image), 0, 1)


def soft_skin(image: np.ndarray, scene: Scene) -> np.ndarray:
    """The subject's fine texture is lost, and some of everything else's."""
    unit = len(image) / UNIT
    soft, softer = (cv2.GaussianBlur(image, (0, 0), max(0.6, sigma * unit)) for sigma in (1.0, 4.0))
    return soft + scene.true_matte[..., None] * (softer - soft)


def jpeg(image: np.ndarray, scene: Scene) -> np.ndarray:
    quality = [cv2.IMWRITE_JPEG_QUALITY, 85]
    encoded = cv2.imencode(".jpg", eight_bits(image)[..., ::-1], quality)[1]
    return np.float32(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1]) / 255


def far_from_subject(scene: Scene, reach: int) -> tuple[int, int]:
    """(x, y): of four places near the corners, the one that is farthest from what may change."""
    side = len(scene.truth)
    away = cv2.distanceTransform(np.uint8(scene.harmonize_mask == 0), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    places = [(x, y) for x in (reach, side - 1 - reach) for y in (reach, side - 1 - reach)]
    return max(places, key=lambda place: away[place[1], place[0]])


def small_edit(image: np.ndarray, scene: Scene) -> np.ndarray:
    """A disc of another color in a corner: something that nobody asked for."""
    radius = len(image) // 16
    x, y = far_from_subject(scene, radius + 2)
    edited = image.copy()
    cv2.circle(edited, (x, y), radius, (0.85, 0.2, 0.3), -1, cv2.LINE_AA)
    return edited


def new_shadow(scene: Scene) -> np.ndarray:
    """The light that a new shadow takes, [S,S]: from the subject's foot beyond the mask of what may change."""
    side, box = len(scene.truth), bounding_box(scene.matte)
    assert box is not None  # every scene has a subject
    foot = box.y + box.height
    center, middle = box.x + box.width / 2, side / 2
    away = -1.0 if center > middle else 1.0
    v, u = np.mgrid[0:side, 0:side] + 0.5
    long, flat = 0.7 * box.width + side / 6, 0.07 * side
    shape = ((u - center - away * long * 0.7) / long) ** 2 + ((v - foot) / flat) ** 2
    soft = cv2.GaussianBlur(np.float32(shape < 1), (0, 0), side / 100)
    return SHADOW * soft * (1 - np.maximum(scene.matte, scene.true_matte))


def shadow_outside(image: np.ndarray, scene: Scene) -> np.ndarray:
    return image * (1 - new_shadow(scene))[..., None]


def changed_outside(image: np.ndarray, scene: Scene) -> np.ndarray:
    """Where an image differs from the background outside the mask of what may change, bool [S,S]: the new shadow, and
    the part of the true one that the mask leaves out."""
    apart = np.abs(image - scene.background).max(axis=2) * 255
    return (apart > VISIBLE) & (np.maximum(scene.harmonize_mask, scene.matte) == 0)


def other_pose(image: np.ndarray, scene: Scene) -> np.ndarray:
    """The subject leans over: it is turned about its foot, in front of the scene behind it."""
    box = bounding_box(scene.matte)
    assert box is not None
    foot, angle = np.array([box.x + box.width / 2, box.y + box.height]), np.radians(POSE_DEGREES)
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    matrix, size = np.column_stack([linear, foot - linear @ foot]), Size.of(image)
    turned = resample(image, matrix, size, cv2.BORDER_REPLICATE)
    matte = resample(scene.true_matte, matrix, size, cv2.BORDER_CONSTANT)[..., None]
    return scene.background + matte * (turned - scene.background)


def moved(**given) -> Damage:
    return lambda image, scene: motion(image, **given)


@dataclass(frozen=True)
class Kind:
    """Damages one after another.

    Attributes:
        fits: whether the subject's own pixels still fit, so that errors on it mean something.
    """

    damages: tuple[Damage, ...]
    fits: bool = True

    def __call__(self, scene: Scene) -> np.ndarray:
        image = scene.truth
        for damage in self.damages:
            image = np.ascontiguousarray(damage(image, scene), np.float32)
        return image


KINDS = {
    "none": Kind(()),
    "shift2": Kind((moved(shift=(2, -1)),)),
    "shift6": Kind((moved(shift=(6, 4)),)),
    "zoom1": Kind((moved(zoom=1.01),)),
    "zoom2": Kind((moved(zoom=1.02),)),
    "rotation": Kind((moved(degrees=0.3),)),
    "kontext_crop": Kind((cropped_to_4_by_3,)),
    "round32": Kind((rounded_sides,)),
    "tint": Kind((tint,)),
    "tint_field": Kind((tint_field,)),
    "soft_skin": Kind((soft_skin,)),
    "jpeg": Kind((jpeg,)),
    "small_edit": Kind((small_edit,)),
    "shadow_outside": Kind((shadow_outside,)),
    "shift6_tint": Kind((moved(shift=(6, 4)), tint)),
    "all": Kind((soft_skin, moved(zoom=1.01, shift=(6, 4)), tint_field, jpeg)),
    "pose": Kind((other_pose,), fits=False),
}
