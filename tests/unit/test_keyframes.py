"""Keyframes as text, and the path through them."""

import numpy as np
import pytest

from phd_ops.pixels.keyframes import curve, keyed_values, read_keyframes

MOVE = "0: x 0.2, y 0.5\n10: x 0.8\n20: x 0.4"


def values(text, count=21):
    return keyed_values(read_keyframes(text), count)


def test_a_line_names_its_frame_and_any_of_the_values():
    one = read_keyframes("24: x 0.7, y=.6 size 0.5, rotation -10, flip, ease")[0]
    assert (one.frame, one.eases) == (24, True)
    assert one.values == {"x": 0.7, "y": 0.6, "size": 0.5, "rotation": -10.0, "flip": True}
    assert read_keyframes("3: flip false")[0].values == {"flip": False}
    assert not read_keyframes("\n \n")


def test_a_line_of_placements_used_is_a_keyframe_s_text():
    one = read_keyframes('5: {"x": 0.1, "y": 0.2, "size": 0.3, "rotation": 4.0, "flip": true}')[0]
    assert one.values == {"x": 0.1, "y": 0.2, "size": 0.3, "rotation": 4.0, "flip": True}


def test_lines_may_stand_in_any_order():
    shuffled = "\n".join(reversed(MOVE.splitlines()))
    np.testing.assert_array_equal(values(shuffled)["x"], values(MOVE)["x"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x 0.5", "line 1: 'x 0.5' is not a keyframe; one looks like this: 24: x 0.7"),
        ("0: x 0.1\n\n5: left 3", "line 3"),
        ("0:", "line 1"),
        ("-4: x 0.5", "line 1"),
        ("1.5: x 0.5", "line 1"),
        ("0: x 0,5", "line 1"),
        ("0: x 0.5, x 0.6", "line 1"),
        ("0: x 1e999", "line 1: x is inf"),
        ("0: x", "line 1"),
        ("0: size -1", "line 1: size is -1.0"),
        ("0: xy 3", "line 1"),
        ('0: {"x": "a"}', "line 1: x is 'a'"),
        ("0: [1]", "line 1"),
        ("4: x 0.5\n0: x 1\n4: y 0.5", "line 3: frame 4 is in line 1 already"),
        ("9999999999: x 0.5", "line 1"),
    ],
)
def test_what_is_no_keyframe_is_refused_by_its_line(text, said):
    with pytest.raises(ValueError) as error:
        read_keyframes(text)
    assert str(error.value).startswith("keyframes, " + said)


def test_the_path_goes_through_the_keyframes_and_stays_beyond_them():
    x = values("5: x 0.2\n10: x 0.8\n15: x 0.4")["x"]
    assert x[[5, 10, 15]] == pytest.approx([0.2, 0.8, 0.4])
    assert (x[:5] == x[5]).all() and (x[15:] == x[15]).all()


def test_the_path_never_overshoots():
    x = values("0: x 0\n4: x 0\n5: x 1\n20: x 1")["x"]
    assert x.min() == 0 and x.max() == 1 and (np.diff(x) >= 0).all()


def test_between_two_keyframes_the_subject_moves_evenly():
    np.testing.assert_allclose(np.diff(values("0: size 0.2\n20: size 0.6")["size"]), 0.02, atol=1e-12)


def test_easing_starts_and_ends_at_rest():
    x = values("0: x 0, ease\n20: x 1, ease")["x"]
    t = np.linspace(0, 1, 21)
    np.testing.assert_allclose(x, t * t * (3 - 2 * t), atol=1e-12)


def test_a_value_that_a_line_leaves_out_goes_its_own_way():
    found = values("0: x 0, y 0\n10: y 1\n20: x 1")
    assert found["x"][10] == pytest.approx(0.5) and found["y"][10] == 1
    assert set(found) == {"x", "y"}


def test_one_keyframe_is_a_place_for_the_whole_clip():
    np.testing.assert_array_equal(values("7: x 0.3, flip", 10)["x"], np.full(10, 0.3))
    assert values("7: x 0.3, flip", 10)["flip"].all()


def test_a_flip_lasts_until_the_next_one():
    assert values("2: flip\n4: flip false", 6)["flip"].tolist() == [True, True, True, True, False, False]


def test_keyframes_beyond_the_clip_still_give_its_direction():
    np.testing.assert_allclose(values("0: x 0\n100: x 1", 11)["x"], np.arange(11) / 100, atol=1e-12)


def test_rotations_of_more_than_a_turn_are_turned():
    assert values("0: rotation 0\n20: rotation 720")["rotation"][10] == pytest.approx(360)


def test_ten_thousand_frames_and_keyframes_work():
    text = "\n".join(f"{frame}: x {frame / 1e4}" for frame in range(10_000))
    np.testing.assert_allclose(values(text, 10_000)["x"], np.arange(1e4) / 1e4, atol=1e-9)


def test_the_curve_is_smooth():
    at, knots = np.array([0, 8, 20, 33]), np.array([0.1, 0.4, 0.5, 0.9])
    fine = curve(at, knots, np.zeros(4, bool), np.linspace(0, 33, 3301))
    assert np.abs(np.diff(fine, 2)).max() < 1e-4
