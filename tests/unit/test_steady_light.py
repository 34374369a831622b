"""Light over time: a steady drift is kept, noise and bad frames are not."""

import numpy as np
import pytest

from phd_ops.pixels.steady_light import find_steps, fit_lines, flicker, steadied


def drift(frames, slope=0.01):
    """Two readings that drift evenly, [T,2]."""
    return slope * np.arange(frames)[:, None] * [1.0, -2.0] + [0.3, -0.1]


def test_flicker_is_the_mean_absolute_second_difference():
    # Second differences: 0 - 2 + 0 = -2 and 1 - 0 + 0 = 1.
    assert flicker(np.array([[0.0], [1.0], [0.0], [0.0]])) == pytest.approx((2 + 1) / 2)
    assert flicker(drift(9)) == pytest.approx(0, abs=1e-12)
    assert flicker(drift(2)) == flicker(drift(1)) == 0


def test_a_line_is_fitted_around_every_frame_by_hand():
    # Around the middle one of three frames: weights e^-1/2, 1, e^-1/2, so the line's height is the weighted mean.
    side = np.exp(-0.5)
    heights, own = fit_lines(np.array([[0.0], [3.0], [0.0]]), np.ones(3), 1.0)
    assert heights[1, 0] == pytest.approx(3 / (1 + 2 * side))
    assert own[1] == pytest.approx(1 / (1 + 2 * side))
    # A frame without weight counts for nothing, and gets the line of the others.
    heights, own = fit_lines(np.array([[1.0], [9.0], [2.0]]), np.array([1.0, 0.0, 1.0]), 1.0)
    assert heights[:, 0] == pytest.approx([1, 1.5, 2], abs=1e-6) and own[1] == 0


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 40])
def test_light_that_drifts_evenly_is_kept_up_to_both_ends(frames):
    values = drift(frames)
    assert steadied(values, np.full(frames, 0.01)) == pytest.approx(values, abs=1e-6 if frames > 2 else 0.02)


def test_noise_from_frame_to_frame_goes_and_the_error_with_it():
    truth = drift(48)
    read = truth + np.random.default_rng(0).normal(0, 0.03, truth.shape)
    steady = steadied(read, np.full(48, 0.01))
    assert flicker(steady) < 0.1 * flicker(read)
    assert np.abs(steady - truth).mean() < 0.5 * np.abs(read - truth).mean()


def test_light_that_swings_is_followed():
    truth = 0.3 * np.sin(np.arange(60)[:, None] / 4)
    read = truth + np.random.default_rng(0).normal(0, 0.01, truth.shape)
    assert np.abs(steadied(read, np.full(60, 0.01)) - truth).max() < 0.06


@pytest.mark.parametrize("bad", [0, 7, 19])
def test_a_bad_frame_gets_the_light_of_the_others(bad):
    truth = drift(20)
    read = truth + np.random.default_rng(1).normal(0, 0.005, truth.shape)
    without = steadied(read, np.full(20, 0.01))
    read[bad] += 0.8
    assert np.abs(steadied(read, np.full(20, 0.01)) - without).max() < 0.02


def test_a_frame_without_a_reading_is_found_from_the_others_whatever_it_holds():
    values, variance = drift(12), np.full(12, 0.01)
    variance[[0, 5, 6]] = np.inf
    read = np.where(np.isfinite(variance)[:, None], values, np.nan)
    assert steadied(read, variance) == pytest.approx(values, abs=1e-6)


def test_frames_count_by_their_variance():
    read = np.array([[0.0], [1.0]] * 10)
    steady = steadied(read, np.array([0.001, 0.1] * 10))
    assert np.abs(steady).max() < 0.1


def test_one_reading_serves_all_frames():
    read, variance = np.full((6, 1), 5.0), np.full(6, np.inf)
    read[2], variance[2] = 0.4, 0.01
    assert steadied(read, variance) == pytest.approx(np.full((6, 1), 0.4))


def test_only_shared_values_tell_a_bad_frame():
    read = drift(16, 0.0) + np.random.default_rng(2).normal(0, 0.003, (16, 2))
    read[4, 1] += 1
    share = np.ones((16, 2))
    share[:, 1] = 0
    # What lies off is not on the subject, so the frame still counts.
    assert steadied(read, np.full(16, 0.01), share)[4, 1] > 0
    assert steadied(read, np.full(16, 0.01))[4, 1] == pytest.approx(-0.1, abs=0.02)


@pytest.mark.parametrize("apart", [3, 9, 40, 150])
def test_readings_that_are_few_and_far_between_serve_all_frames(apart):
    truth, variance = drift(4 * apart + 1, 0.001), np.full(4 * apart + 1, np.inf)
    variance[::apart] = 0.01
    steady = steadied(np.where(np.isfinite(variance)[:, None], truth, 0), variance)
    assert np.abs(steady - truth).max() < 0.002 * apart


def test_a_reading_far_from_all_others_is_taken_as_it_is():
    variance = np.full(200, np.inf)
    variance[:20], variance[190] = 0.01, 0.01
    read = np.where(np.arange(200)[:, None] < 100, 0.2, 0.6)
    steady = steadied(read, variance)
    assert steady[5] == pytest.approx(0.2) and steady[190] == pytest.approx(0.6, abs=0.01)
    assert np.isfinite(steady).all()


@pytest.mark.parametrize("at", [4, 10, 25, 36])
def test_light_that_switches_is_followed_at_once_and_steady_on_both_sides(at):
    truth = drift(40, 0.005)
    truth[at:] += 0.5
    read = truth + np.random.default_rng(3).normal(0, 0.03, truth.shape)
    steady = steadied(read, np.full(40, 0.01))
    assert find_steps(read, np.ones(2)) == [at]
    near = slice(max(0, at - 3), at + 3)
    assert np.abs(steady - truth)[near].mean() < np.abs(read - truth)[near].mean()
    longer = slice(at, None) if at < 20 else slice(at)
    assert flicker(steady[longer]) < 0.3 * flicker(read[longer])


def test_a_lamp_that_is_turned_on_and_off_makes_two_steps_and_frames_without_a_reading_none():
    read, variance = np.zeros((60, 1)), np.full(60, 0.01)
    read[20:40] = 0.7
    variance[28:32] = np.inf
    read[28:32] = np.nan
    assert steadied(read, variance)[:, 0] == pytest.approx(
        np.where((np.arange(60) < 20) | (np.arange(60) >= 40), 0, 0.7)
    )


@pytest.mark.parametrize("seed", range(4))
def test_neither_noise_nor_drift_nor_a_swing_nor_bad_frames_are_steps(seed):
    rng, at = np.random.default_rng(seed), np.arange(200)[:, None]
    for truth in (0 * at, 0.03 * at, 0.3 * np.sin(at / 8)):
        read = truth + rng.normal(0, 0.05, (200, 9))
        read[[50, 51, 120]] += 0.9
        assert find_steps(read, np.ones(9)) == []
