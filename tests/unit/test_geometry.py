"""Where things are: by hand first, then as properties."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.pixels.geometry import (
    Box,
    Placement,
    Size,
    bounding_box,
    box_around,
    mapped,
    outline,
    random_placement,
    visible_share,
)

SIDES = st.integers(1, 700)


def test_a_reduced_size_keeps_its_shape_and_a_pixel_a_side():
    assert Size(640, 480).reduced_to(64) == (64, 48) and Size(64, 48).reduced_to(640) == (64, 48)
    assert Size(600, 1).reduced_to(60) == (60, 1) and Size(3, 2).scaled(2) == (6, 4)


def moved(placement, subject, scene, point):
    matrix = placement.matrix(subject, scene)
    return matrix[:, :2] @ np.array(point, float) + matrix[:, 2]


@pytest.mark.parametrize(
    ("box", "inside"),
    [
        (Box(2, 3, 4, 5), Box(2, 3, 4, 5)),
        (Box(-2, -3, 4, 5), Box(0, 0, 2, 2)),
        (Box(8, 6, 10, 10), Box(8, 6, 2, 2)),
        (Box(-5, -5, 100, 100), Box(0, 0, 10, 8)),
        (Box(20, 2, 3, 3), Box(10, 2, 0, 3)),
        (Box(-9, 2, 3, 3), Box(0, 2, 0, 3)),
    ],
)
def test_a_box_is_cut_to_the_image(box, inside):
    assert box.inside(Size(10, 8)) == inside


def test_a_grown_box_has_pixels_on_every_side():
    assert Box(5, 6, 7, 8).grown(2) == Box(3, 4, 11, 12)


@pytest.mark.parametrize(
    ("to", "there"),
    [
        (Size(20, 16), Box(4, 6, 8, 4)),
        (Size(10, 8), Box(2, 3, 4, 2)),
        (Size(5, 4), Box(1, 2, 2, 1)),
        (Size(1, 1), Box(0, 0, 1, 1)),
    ],
)
def test_a_box_is_resized_with_its_image_to_whole_pixels(to, there):
    assert Box(2, 3, 4, 2).resized(Size(10, 8), to) == there
    assert Box(9, 7, 1, 1).resized(Size(10, 8), to).inside(to).size >= Size(1, 1)


def test_slices_cut_the_box_out_of_an_array():
    array = np.arange(8 * 10).reshape(8, 10)
    assert (array[Box(2, 3, 4, 2).slices] == array[3:5, 2:6]).all()


def test_bounding_box_touches_the_outermost_pixels():
    mask = np.zeros((8, 10), np.float32)
    mask[2, 3] = mask[6, 7] = 0.4
    assert bounding_box(mask) == Box(3, 2, 5, 5)
    assert bounding_box(mask, 0.5) is None
    assert bounding_box(np.zeros((8, 10))) is None


def test_center_and_size_land_where_the_placement_puts_them():
    # Longer side 40 at .5 of the shorter side 80: 40 px, so scale 1; center at (.25 * 160, .75 * 80) = (40, 60).
    placement, subject, scene = Placement(0.25, 0.75, 0.5), Size(40, 20), Size(160, 80)
    assert placement.scale(subject, scene) == 1
    assert moved(placement, subject, scene, (20, 10)) == pytest.approx((40, 60))
    assert moved(placement, subject, scene, (0, 0)) == pytest.approx((20, 50))
    assert moved(placement, subject, scene, (40, 20)) == pytest.approx((60, 70))


def test_rotation_is_anti_clockwise_as_seen():
    # The middle of the right side goes up, the middle of the top goes left.
    placement, subject, scene = Placement(0.5, 0.5, 0.5, rotation=90), Size(40, 20), Size(80, 80)
    assert moved(placement, subject, scene, (40, 10)) == pytest.approx((40, 20))
    assert moved(placement, subject, scene, (20, 0)) == pytest.approx((30, 40))


def test_flip_mirrors_before_it_rotates():
    placement, subject, scene = Placement(0.5, 0.5, 0.5, rotation=90, flip=True), Size(40, 20), Size(80, 80)
    assert moved(placement, subject, scene, (0, 10)) == pytest.approx((40, 20))
    assert moved(placement, subject, scene, (20, 0)) == pytest.approx((30, 40))


@given(
    SIDES,
    SIDES,
    SIDES,
    SIDES,
    st.floats(-1, 2),
    st.floats(-1, 2),
    st.floats(0.01, 8),
    st.floats(-360, 360),
    st.booleans(),
)
def test_a_placement_is_a_similarity_about_its_center(w, h, width, height, x, y, size, rotation, flip):
    placement, subject, scene = Placement(x, y, size, rotation, flip), Size(w, h), Size(width, height)
    matrix, scale = placement.matrix(subject, scene), placement.scale(subject, scene)
    assert max(subject) * scale == pytest.approx(size * min(scene))
    assert matrix[:, :2] @ matrix[:, :2].T == pytest.approx(scale**2 * np.eye(2), abs=1e-9 * scale**2)
    assert np.sign(np.linalg.det(matrix[:, :2])) == (-1 if flip else 1)
    assert moved(placement, subject, scene, (w / 2, h / 2)) == pytest.approx((x * width, y * height), abs=1e-6)


def test_to_text_holds_the_whole_placement():
    placement = Placement(0.1, 0.2, 0.3, 45.0, True)
    assert Placement(**json.loads(placement.to_text())) == placement


def test_a_placement_takes_numbers_of_numpy():
    placement = Placement(np.float32(0.25), np.float64(0.5), np.float32(0.5), np.int64(45), np.bool_(True))
    assert placement == Placement(0.25, 0.5, 0.5, 45, True)
    assert json.loads(placement.to_text())["x"] == 0.25


@pytest.mark.parametrize(
    ("placement", "share"),
    [
        (Placement(0.5, 0.5, 0.5), 1),
        (Placement(0, 0.5, 0.5), 0.5),
        (Placement(0, 0, 0.5), 0.25),
        (Placement(-1, 0.5, 0.5), 0),
        (Placement(0.5, 0.5, 2), 0.25),
    ],
)
def test_visible_share_by_hand(placement, share):
    assert visible_share(placement, Size(30, 30), Size(80, 80)) == pytest.approx(share)


def test_random_placement_is_a_function_of_its_seed():
    sizes = Size(30, 50), Size(320, 200)
    first, again, other = (random_placement(seed, *sizes, (0.3, 0.8)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@given(st.integers(0, 2**64 - 1), SIDES, SIDES, SIDES, SIDES, st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_random_placement_keeps_its_promises(seed, w, h, width, height, low, high):
    subject, scene = Size(w, h), Size(width, height)
    placement = random_placement(seed, subject, scene, (low, high), rotation=10, flip=True)
    assert min(low, high) - 1e-4 <= placement.size <= max(low, high) + 1e-4
    assert (placement.rotation, placement.flip) == (10, True)
    assert visible_share(placement, subject, scene) >= 0.75


def test_random_locations_spread_over_the_scene():
    drawn = [random_placement(seed, Size(30, 30), Size(200, 200), (0.1, 0.3)) for seed in range(100)]
    for values in ([p.x for p in drawn], [p.y for p in drawn]):
        assert min(values) < 0.15 and max(values) > 0.85
    assert min(p.size for p in drawn) < 0.15 and max(p.size for p in drawn) > 0.25


def test_a_tight_demand_moves_the_drawn_place_inwards_and_keeps_its_size():
    drawn = [random_placement(seed, Size(30, 30), Size(100, 100), (0.8, 0.98), least_visible=1.0) for seed in range(60)]
    assert all(visible_share(place, Size(30, 30), Size(100, 100)) == 1 for place in drawn)
    assert len({place.size for place in drawn}) > 50 and len({place.x for place in drawn}) > 30


def test_a_subject_too_large_to_show_stands_at_the_center():
    assert random_placement(0, Size(30, 30), Size(100, 100), (5, 6)) == Placement(0.5, 0.5, 5)


@pytest.mark.parametrize("name", ["x", "y", "size", "rotation"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e15, "0.5", None, True, [0.5]])
def test_a_placement_of_no_sound_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} is .*must be a number from"):
        Placement(**{name: value})


@pytest.mark.parametrize("size", [0, -0.5, 1e-5, 1e5])
def test_a_placement_without_a_size_or_of_a_huge_one_is_refused(size):
    with pytest.raises(ValueError, match=r"^size is .*from 0.0001 to 10000"):
        Placement(size=size)


@pytest.mark.parametrize("flip", [1, "yes", None])
def test_flip_is_true_or_false(flip):
    with pytest.raises(ValueError, match="flip is .*true or false"):
        Placement(flip=flip)


@given(st.floats(-9e3, 9e3), st.floats(-9e3, 9e3), st.floats(1e-4, 9e3), st.floats(-1e12, 1e12), st.booleans())
def test_a_placement_comes_back_from_its_text_to_the_bit(x, y, size, rotation, flip):
    placement = Placement(x, y, size, rotation, flip)
    assert Placement.from_text(placement.to_text()) == placement


def test_what_a_text_leaves_out_has_its_default():
    assert Placement.from_text('{"x": 0.25}') == Placement(x=0.25)
    assert Placement.from_text("{}") == Placement()


@pytest.mark.parametrize(
    "text",
    ["", "left", "0.5", "null", "[0.5, 0.5]", '{"x": 0.5', '{"z": 1}', "[" * 100_000, '{"x": %s}' % ("1" * 5000)],
    ids=lambda text: text[:12],
)
def test_a_text_that_is_no_placement_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="is not a placement; one looks like this: .*rotation"):
        Placement.from_text(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"size": 0}', "size is 0"),
        ('{"size": -1}', "size is -1"),
        ('{"x": NaN}', "x is nan"),
        ('{"y": 1e999}', "y is inf"),
        ('{"x": "0.5"}', "x is '0.5'"),
        ('{"x": true}', "x is True"),
        ('{"flip": 1}', "flip is 1"),
    ],
)
def test_a_text_with_a_wrong_value_names_it(text, problem):
    with pytest.raises(ValueError, match=f"^{problem}"):
        Placement.from_text(text)


@pytest.mark.parametrize("rotation", [1e9, -1e9, 360, 725.5, 1e12])
def test_a_rotation_counts_modulo_360(rotation):
    subject, scene = Size(30, 20), Size(90, 60)
    wanted = Placement(rotation=float(np.mod(rotation, 360))).matrix(subject, scene)
    assert Placement(rotation=rotation).matrix(subject, scene) == pytest.approx(wanted, abs=1e-9)


@given(st.data())
def test_the_part_of_a_box_within_another_holds_the_pixels_of_both(data):
    sides, corners = st.integers(0, 12), st.integers(-15, 15)
    one, other = (Box(*(data.draw(kind) for kind in (corners, corners, sides, sides))) for _ in range(2))

    def cells(box):
        return {(x, y) for x in range(box.x, box.x + box.width) for y in range(box.y, box.y + box.height)}

    part = one.within(other)
    assert cells(part) == cells(one) & cells(other)
    assert part.width >= 0 and part.height >= 0
    assert cells(one.moved(3, -2)) == {(x + 3, y - 2) for x, y in cells(one)}


@pytest.mark.parametrize(
    ("matrix", "around"),
    [
        ([[1, 0, 0], [0, 1, 0]], Box(10, 20, 30, 40)),
        ([[1, 0, 0.5], [0, 1, -0.5]], Box(10, 19, 31, 41)),
        ([[0.5, 0, 0], [0, 0.5, 0]], Box(5, 10, 15, 20)),
        ([[0, 1, 0], [-1, 0, 0]], Box(20, -40, 40, 30)),
        ([[1, 0, 1e-9], [0, 1, -1e-9]], Box(10, 20, 30, 40)),
        ([[-1, 0, 0], [0, 1, 0]], Box(-40, 20, 30, 40)),
    ],
)
def test_the_box_about_what_a_matrix_makes_of_a_box(matrix, around):
    assert box_around(mapped(np.array(matrix, float), Box(10, 20, 30, 40).corners)) == around


def test_an_outline_has_the_hull_of_its_mask():
    mask = np.zeros((8, 9), np.float32)
    mask[2, 3:6] = mask[5, 1] = 1
    corners = {(3, 2), (3, 3), (6, 2), (6, 3), (1, 5), (1, 6), (2, 5), (2, 6)}
    assert set(map(tuple, outline(mask))) == corners
    assert outline(np.zeros((8, 9), np.float32)).shape == (0, 2)
    # Turned by 45 degrees a disc needs no more room than before; its box would.
    y, x = np.mgrid[0:100, 0:100] + 0.5
    turned = np.array([[0.7071, 0.7071, 0], [-0.7071, 0.7071, 0]])
    box = box_around(mapped(turned, outline((np.hypot(x - 50, y - 50) < 40).astype(np.float32))))
    assert box.width == pytest.approx(80, abs=3) and box.height == pytest.approx(80, abs=3)


@given(st.integers(0, 2**64 - 1), st.floats(0.1, 0.9), st.floats(0, 360), st.floats(0.05, 0.6))
def test_a_random_placement_shows_at_least_the_least_visible_share(seed, share, rotation, size):
    subject, scene = Size(40, 25), Size(300, 200)
    placement = random_placement(seed, subject, scene, (size, size + 0.1), rotation, least_visible=share)
    assert visible_share(placement, subject, scene) >= share
    assert Placement.from_text(placement.to_text()) == placement


def test_a_subject_may_leave_the_scene_as_far_as_least_visible_allows():
    def least(share):
        drawn = (
            random_placement(seed, Size(30, 30), Size(200, 200), (0.4, 0.6), least_visible=share) for seed in range(60)
        )
        return min(visible_share(placement, Size(30, 30), Size(200, 200)) for placement in drawn)

    assert 0.2 <= least(0.2) < 0.5
    assert least(1) >= 1 - 1e-9
