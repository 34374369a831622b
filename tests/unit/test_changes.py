"""What a model really changed, told apart from what its image does everywhere."""

import cv2
import numpy as np
import pytest
from motion_support import drawn, jpeg

from phd_ops.pixels.changes import find_changes

SIZE = (320, 240)
OBJECT = (slice(40, 90), slice(60, 120))


def with_object(image):
    changed = image.copy()
    changed[OBJECT] = drawn(SIZE, seed=7)[OBJECT] * np.float32([1, 0.4, 0.4])
    return changed


def with_shadow(image):
    """A soft shadow, and how much light it takes."""
    v, u = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    dark = cv2.GaussianBlur(np.float32(np.hypot((u - 200) / 70, (v - 170) / 25) < 1), (0, 0), 4)
    return image * (1 - 0.3 * dark[..., None]), dark


DAMAGES = {
    "none": lambda image: image,
    "jpeg": jpeg,
    "soft": lambda image: cv2.GaussianBlur(image, (0, 0), 1.2),
    "noise": lambda image: image + np.random.default_rng(0).normal(0, 0.02, image.shape).astype(np.float32),
    "a tenth of a pixel beside": lambda image: cv2.warpAffine(
        image, np.array([[1, 0, 0.1], [0, 1, 0.05]]), SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_happens_everywhere_is_no_change(damage):
    given = drawn(SIZE)
    assert find_changes(given, DAMAGES[damage](given)).mean() < 0.002


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_new_object_is_found_with_its_outline(damage):
    given = drawn(SIZE)
    changed = find_changes(given, DAMAGES[damage](with_object(given))) > 0
    inside = np.zeros(changed.shape, bool)
    inside[OBJECT] = True
    assert changed[inside].mean() > 0.97
    near = cv2.dilate(np.uint8(inside), np.ones((17, 17), np.uint8)) > 0
    assert changed[~near].mean() < 0.002


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_soft_shadow_is_found(damage):
    given = drawn(SIZE)
    shaded, dark = with_shadow(given)
    changed = find_changes(given, DAMAGES[damage](shaded)) > 0
    assert changed[dark > 0.5].mean() > 0.9
    assert changed[dark < 1e-3].mean() < 0.02


def test_where_an_image_shows_nothing_nothing_changed():
    given = drawn(SIZE)
    seen = np.ones(SIZE[::-1], np.float32)
    seen[OBJECT] = 0
    assert not find_changes(given, with_object(given), seen).any()
    assert not find_changes(given, with_object(given), np.zeros_like(seen)).any()


def test_of_an_image_that_is_reduced_what_it_does_not_show_did_not_change():
    given, seen = drawn((1300, 200)), np.ones((200, 1300), bool)
    returned = given.copy()
    returned[80:120, 300:340] = returned[80:120, 900:940] = 0
    seen[:, :600] = False
    changed = find_changes(given, returned, seen)
    assert changed[85:115, 905:935].all() and not changed[:, :590].any()


def test_the_same_image_has_no_changes():
    given = drawn(SIZE)
    assert not find_changes(given, given).any()


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_an_image_of_one_color_in_its_place_changed_everywhere(value):
    given = drawn(SIZE)
    # Half of it and more is what usually happens: then nothing is unusual, and the mask stays below all of the image.
    changed = find_changes(given, np.full_like(given, value))
    assert np.isfinite(changed).all() and changed.shape == SIZE[::-1]


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (9, 9)])
def test_tiny_images_are_compared(size):
    given = np.full((*size[::-1], 3), 0.5, np.float32)
    assert find_changes(given, given + np.float32(0.2)).shape == size[::-1]
