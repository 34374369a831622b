"""The window of each frame of a clip."""

import numpy as np
import pytest

from phd_ops.pixels.crop_window import EXACT, NO_RESIZE, CropWindow, WorkingSize, crop_window
from phd_ops.pixels.geometry import Box, Size
from phd_ops.pixels.moving_window import moving_window, out_of_line

SCENE, WORKED = Size(1280, 720), WorkingSize(side=512)


def path(window, axis=0):
    return np.array([box[axis] for box in window.boxes])


def holds(window, boxes):
    """Whether each frame's window holds its box with the scene around it, and lies inside the scene."""
    return all(
        box is None or box.grown(16).inside(window.scene).within(own) == box.grown(16).inside(window.scene)
        for box, own in zip(boxes, window.boxes, strict=True)
    ) and all(own.within(Box(0, 0, *window.scene)) == own for own in window.boxes)


def drift(count=48, step=20, side=200, jitter=0, seed=0):
    """Boxes that move evenly to the right, and jitter by some pixels."""
    noise = np.random.default_rng(seed).integers(-jitter, jitter + 1, (count, 2))
    return [Box(20 + round(step * n) + int(noise[n, 0]), 250 + int(noise[n, 1]), side, side) for n in range(count)]


def test_all_frames_have_windows_of_one_size_and_scale():
    boxes = [Box(100 + 15 * n, 200, 80 + n, 120) for n in range(40)]
    window = moving_window(boxes, SCENE, WORKED)
    assert len({box.size for box in window.boxes}) == 1 and window.box == window.boxes[0]
    assert holds(window, boxes)
    largest = max(crop_window(box, SCENE, WORKED).box.size for box in boxes)
    assert window.box.size == largest


def test_the_window_is_as_small_as_that_of_the_frame_alone():
    boxes = drift()
    alone, moving = crop_window(boxes[0], SCENE, WORKED), moving_window(boxes, SCENE, WORKED)
    together = crop_window(boxes[0].joined(boxes[-1]), SCENE, WORKED)
    assert moving.box.size == alone.box.size and moving.target == alone.target
    assert together.box.width > 2 * moving.box.width


def test_a_jittery_subject_that_stays_has_a_still_window():
    window = moving_window(drift(step=0, jitter=2), SCENE, WORKED)
    assert len(set(window.boxes)) <= 3 and holds(window, drift(step=0, jitter=2))


def test_a_jittery_subject_that_moves_has_a_steady_window():
    boxes = drift(step=12, jitter=4)
    window = moving_window(boxes, SCENE, WORKED)
    assert holds(window, boxes)
    # At both ends it lies at the scene's border.
    assert np.abs(np.diff(path(window))[5:-8] - 12).max() <= 1


def test_the_window_never_jitters_between_two_pixels():
    steps = np.diff(path(moving_window(drift(count=60, step=0.3, jitter=1), SCENE, WORKED)))
    assert not ((steps[1:] * steps[:-1]) < 0).any() and (steps >= 0).sum() >= len(steps) - 2


def test_a_fast_subject_stays_in_its_window():
    rng = np.random.default_rng(4)
    boxes = [Box(int(x), int(y), 150, 100) for x, y in rng.uniform(0, (1130, 620), (50, 2))]
    assert holds(moving_window(boxes, SCENE, WORKED), boxes)


def test_frames_with_nothing_lie_on_the_path():
    boxes = drift(step=10)
    some = [box if n % 7 != 3 else None for n, box in enumerate(boxes)]
    whole, gaps = moving_window(boxes, SCENE, WORKED), moving_window(some, SCENE, WORKED)
    assert np.abs(path(whole) - path(gaps)).max() <= 1


def test_a_cut_moves_the_window_at_once():
    boxes = [Box(50, 250, 100, 100)] * 10 + [Box(1000, 250, 100, 100)] * 10
    steps = np.diff(path(moving_window(boxes, SCENE, WORKED)))
    assert np.flatnonzero(steps).tolist() == [9]


def test_a_clip_with_nothing_has_the_whole_scene():
    assert moving_window([None, None], SCENE, WORKED) == crop_window(Box(0, 0, *SCENE), SCENE, WORKED)


def test_what_must_be_shown_besides_is_in_every_window():
    boxes, keep = drift(count=20), Box(300, 100, 50, 50)
    window = moving_window(boxes, SCENE, WORKED, 1.6, [keep])
    assert all(keep.within(own) == keep for own in window.boxes)
    followed = moving_window(boxes, SCENE, WORKED, 1.6, [box.grown(60).inside(SCENE) for box in boxes])
    assert followed.box.width < window.box.width


@pytest.mark.parametrize(
    "size", [WorkingSize(EXACT, exact=Size(832, 480)), WorkingSize(NO_RESIZE, multiple=16), WorkingSize(side=512)]
)
@pytest.mark.parametrize("scene", [Size(1280, 720), Size(97, 61), Size(300, 41), Size(1, 1)])
def test_every_size_works_in_scenes_of_odd_and_small_sizes(size, scene):
    side = max(1, min(scene) // 3)
    boxes = [
        Box(x, min(3, scene.height - side), side, side) for x in range(0, scene.width - side + 1, max(1, side // 2))
    ]
    window = moving_window(boxes, scene, size)
    assert window.target == size.target(window.box.size)
    assert all(box.within(own) == box for box, own in zip(boxes, window.boxes, strict=True))


def test_ten_thousand_frames_work():
    boxes = [Box(400 + round(300 * np.sin(n / 40)), 250, 200, 200) for n in range(10_000)]
    assert holds(moving_window(boxes, SCENE, WORKED), boxes)


def test_one_image_of_a_clip_has_its_own_window():
    window = CropWindow(Box(1, 1, 4, 4), Size(8, 8), Size(20, 20), boxes=(Box(1, 1, 4, 4), Box(3, 2, 4, 4)))
    assert window.of(1) == CropWindow(Box(3, 2, 4, 4), Size(8, 8), Size(20, 20))
    image = np.arange(400.0).reshape(20, 20)
    np.testing.assert_array_equal(window.of(1).cut(image), image[2:6, 3:7])


@pytest.mark.parametrize("bad", [[0], [47], [20], [20, 21], [3, 30]])
def test_a_mask_that_fills_a_frame_is_out_of_line(bad):
    boxes = drift(jitter=2)
    for frame in bad:
        boxes[frame] = Box(0, 0, *SCENE)
    boxes[10] = None
    assert out_of_line(boxes) == bad


def test_what_grows_or_is_large_for_a_while_is_in_line():
    grows = [Box(0, 0, round(60 * 1.1**n), 40) for n in range(30)]
    for boxes in (grows, grows[::-1], drift(count=20, side=80) + drift(count=20, side=400)):
        assert out_of_line(boxes) == []
    assert out_of_line([Box(0, 0, 9, 9), Box(0, 0, 90, 90), Box(0, 0, 9, 9)]) == []
    # A subject that comes near for a while.
    near = drift(count=20, side=80) + drift(count=8, side=400) + drift(count=20, side=80)
    assert out_of_line(near) == []
