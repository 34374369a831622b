"""Registration: how a returned image lies on the given one."""

import cv2
import numpy as np
import pytest
from motion_support import drawn, error, jpeg, middle, pair

from phd_ops.pixels.geometry import Size
from phd_ops.pixels.register import COVERED, MATCHED, PLAIN, UNLIKE, register
from phd_ops.pixels.resample import resize

SIZE = (256, 192)
MOTIONS = {
    "shift of half a pixel": ({"shift": (0.5, 0)}, "shift"),
    "shift": ({"shift": (4.3, -2.7)}, "shift"),
    "zoom": ({"zoom": 1.02}, "zoom and rotation"),
    "rotation": ({"degrees": 0.5}, "zoom and rotation"),
    "all": ({"zoom": 0.97, "degrees": 1.0, "shift": (-8.0, 5.0)}, "zoom and rotation"),
    "far": ({"shift": (60.0, 20.0)}, "shift"),
}
DAMAGES = {
    "none": lambda image: image,
    "tint": lambda image: np.clip(image * np.float32([1.1, 1, 0.8]) + np.float32(0.03), 0, 1),
    "blur": lambda image: cv2.GaussianBlur(image, (0, 0), 1.2),
    "jpeg": jpeg,
}


CASES = [(name, "none") for name in MOTIONS] + [("all", damage) for damage in DAMAGES if damage != "none"]


@pytest.mark.parametrize(("name", "damage"), CASES)
def test_a_motion_is_found_to_a_tenth_of_a_pixel(name, damage):
    motion, model = MOTIONS[name]
    given, returned, truth = pair(SIZE, **motion)
    found = register(given, DAMAGES[damage](returned), middle(SIZE))
    assert found.status == MATCHED and found.motion == model
    assert error(found, truth, SIZE) < 0.1
    assert found.residual < 0.25


def test_the_edit_itself_does_not_move_the_rest():
    given, returned, truth = pair(SIZE, shift=(3.0, 2.0))
    # Something else stands in the middle, and a third of the rest was changed without leave.
    other = drawn(SIZE, seed=9)
    returned = np.where(middle(SIZE)[..., None] > 0, returned, other)
    returned[:, :60] = other[:, :60]
    assert error(register(given, returned, middle(SIZE)), truth, SIZE) < 0.1


@pytest.mark.parametrize("damage", DAMAGES)
def test_an_image_that_did_not_move_is_not_moved(damage):
    given = drawn(SIZE)
    found = register(given, DAMAGES[damage](given), middle(SIZE))
    assert (found.status, found.how, found.motion) == (MATCHED, "same size", "none")
    assert np.array_equal(found.matrix, [[1, 0, 0], [0, 1, 0]]) and found.moved == 0
    assert found.is_plain_resize


def test_noise_that_came_back_to_the_bit_lies_in_its_place():
    # Reduced in two ways, noise is not the same any more.
    noise = np.random.default_rng(0).random((350, 1200, 3), np.float32)
    found = register(noise, noise.copy(), np.ones((350, 1200), np.float32))
    assert (found.status, found.motion, found.residual) == (MATCHED, "none", 0)


def test_a_motion_too_small_to_see_is_not_applied():
    given, returned, _ = pair(SIZE, shift=(0.03, 0.02))
    assert register(given, returned, middle(SIZE)).is_plain_resize


def test_a_shift_by_whole_pixels_is_found_as_one():
    given, returned, truth = pair(SIZE, shift=(5, -3))
    assert np.array_equal(register(given, jpeg(returned), middle(SIZE)).matrix, truth)


def cropped(image, left, top, right, bottom):
    return np.ascontiguousarray(image[top : len(image) - bottom, left : image.shape[1] - right])


RESIZED = {
    "stretched": (lambda image: resize(image, Size(320, 320)), "resized"),
    "reduced": (lambda image: resize(image, Size(128, 96)), "resized"),
    "enlarged": (lambda image: resize(image, Size(512, 384)), "resized"),
    # Height by height: 32 pixels go on either side.
    "square from the center": (lambda image: resize(cropped(image, 32, 0, 32, 0), Size(256, 256)), "cropped"),
    "both margins cut": (lambda image: cropped(image, 4, 3, 4, 3), "cut to the grid"),
    "lower right cut": (lambda image: cropped(image, 0, 0, 16, 8), "cut to the grid"),
    "padded": (lambda image: cv2.copyMakeBorder(image, 32, 32, 0, 0, cv2.BORDER_CONSTANT), "padded"),
}


@pytest.mark.parametrize("name", RESIZED)
def test_a_models_own_resizing_is_found_exactly(name):
    given = drawn(SIZE)
    change, how = RESIZED[name]
    found = register(given, change(given), middle(SIZE))
    assert (found.status, found.how, found.motion) == (MATCHED, how, "none")


def test_a_motion_beyond_a_crop_is_found():
    size = (256, 256)
    truth = np.array([[0.76, 0, 30], [0, 0.76, -2.0]])
    found = register(drawn(SIZE), drawn(size, truth), middle(SIZE))
    assert found.status == MATCHED and found.motion != "none" and not found.is_plain_resize
    assert error(found, truth, SIZE) < 0.15


def test_of_an_image_that_is_mostly_plain_the_rest_is_used():
    given, returned, truth = pair(SIZE, shift=(2.5, -1.5))
    given[:110] = returned[:110] = 0.7
    found = register(given, returned, middle(SIZE))
    assert found.status == MATCHED and error(found, truth, SIZE) < 0.1


@pytest.mark.parametrize("grain", [0.0, 0.004])
def test_a_plain_image_shows_no_motion(grain):
    rng = np.random.default_rng(0)
    given, returned = (np.float32(0.6 + rng.normal(0, grain, (192, 256, 3))) for _ in range(2))
    found = register(given, returned, middle(SIZE))
    assert found.status == PLAIN and found.is_plain_resize


def test_without_anything_unchanged_no_motion_is_looked_for():
    given, returned, _ = pair(SIZE, shift=(4, 0))
    assert register(given, returned, np.zeros(SIZE[::-1], np.float32)).status == COVERED


UNLIKES = {
    "another image": lambda image: drawn(SIZE, seed=5),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "turned by 90 degrees": lambda image: np.ascontiguousarray(np.rot90(image)),
    "upside down": lambda image: np.ascontiguousarray(image[::-1, ::-1]),
    "black": lambda image: np.zeros_like(image),
    "of one color": lambda image: np.full_like(image, 0.4),
    "noise": lambda image: np.random.default_rng(0).random(image.shape, np.float32),
}


@pytest.mark.parametrize("name", UNLIKES)
def test_what_shows_something_else_is_noticed(name):
    given = drawn(SIZE)
    assert register(given, UNLIKES[name](given), middle(SIZE)).status == UNLIKE


@pytest.mark.parametrize("side", [1, 12, 40])
def test_of_a_tiny_image_no_motion_is_found(side):
    given = drawn(SIZE)
    found = register(given, resize(given, Size(side, max(1, side * 3 // 4))), middle(SIZE))
    assert found.status == PLAIN


def test_the_same_images_register_the_same():
    given, returned, _ = pair(SIZE, zoom=1.03, shift=(5, 5))
    first, second = (register(given, returned, middle(SIZE)) for _ in range(2))
    assert np.array_equal(first.matrix, second.matrix)
