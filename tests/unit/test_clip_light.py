"""The frames of a shot share their light and their color shift."""

import numpy as np
import pytest
from image_support import disc, make_image

from phd_ops.pixels.align import Aligned
from phd_ops.pixels.clip_light import (
    FROM_FRAMES,
    enlarged,
    flicker_of,
    read_frame,
    sampled,
    steady_readings,
    with_shared_reference,
)
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.finish import finish
from phd_ops.pixels.geometry import Box, Size
from phd_ops.pixels.layers import Layers
from phd_ops.pixels.stitch import PLAIN_STITCH, fades_in_window

SIDE = 200
MATTE, CHANGE = disc(SIDE, 40), disc(SIDE, 55)
BACKGROUND, SUBJECT = make_image(SIDE, 1, low=0.2, high=0.7), make_image(SIDE, 2, low=0.25, high=0.6)
COMPOSITE = np.where(MATTE[..., None] > 0, SUBJECT, BACKGROUND)


def layers(matte=MATTE, composite=COMPOSITE):
    return Layers(BACKGROUND, composite, matte, CHANGE, *fades_in_window(CHANGE, Box(0, 0, SIDE, SIDE), 8))


def relit(gain, tint=0.0):
    """What a model makes of the composite: the subject's linear light times `gain`, all of it brighter by `tint`."""
    inside = linear_to_srgb(srgb_to_linear(COMPOSITE) * np.float32(gain))
    return np.clip(np.where(MATTE[..., None] > 0, inside, COMPOSITE) + np.float32(tint), 0, 1)


def read(image, given=None):
    return read_frame(given or layers(), Aligned([image], None, []), None, PLAIN_STITCH)


@pytest.mark.parametrize("size", [(40, 40), (33, 71), (16, 16), (7, 300), (1, 1), (2, 1)])
def test_a_plane_comes_back_from_the_lattice(size):
    v, u = np.mgrid[0 : size[1], 0 : size[0]].astype(np.float32)
    field = np.dstack([0.01 * u, 0.3 - 0.02 * v, 0.001 * (u + v)])
    assert enlarged(sampled(field), Size(*size)) == pytest.approx(field, abs=1e-4)


def test_what_a_frame_tells_is_the_gain_and_the_shift():
    reading = read(relit(0.6, tint=0.02))
    assert reading.mean == pytest.approx(np.full(3, np.log(0.6)), abs=0.05)
    assert reading.shift.offset + reading.shift.gain * 0.5 == pytest.approx(np.full(3, 0.48), abs=0.003)


def test_gains_and_shifts_that_waver_become_steady():
    rng = np.random.default_rng(0)
    gains, tints = 0.6 + 0.05 * rng.standard_normal(12), 0.02 + 0.004 * rng.standard_normal(12)
    readings = [read(relit(gain, tint)) for gain, tint in zip(gains, tints, strict=True)]
    steady = steady_readings(readings)
    assert flicker_of(steady) < 0.1 * flicker_of(readings)
    assert np.stack([r.mean for r in steady]).mean() == pytest.approx(
        np.stack([r.mean for r in readings]).mean(), abs=0.02
    )
    before, after = ([r.shift.offset[0] for r in some] for some in (readings, steady))
    assert np.abs(np.diff(after, 2)).mean() < 0.2 * np.abs(np.diff(before, 2)).mean()


def test_a_frame_that_came_back_unchanged_gets_the_light_of_the_others():
    readings = [read(COMPOSITE if n == 2 else relit(0.6)) for n in range(6)]
    steady = steady_readings(readings)
    done = finish(layers(), Aligned([COMPOSITE], None, []), reading=steady[2])
    light = done.stitched.light
    assert light.by == FROM_FRAMES
    assert light.gain[100, 100] == pytest.approx(np.full(3, 0.6), abs=0.05)
    outside = done.stitched.used == 0
    assert np.array_equal(done.stitched.image[outside], BACKGROUND[outside])


def test_a_frame_without_a_subject_has_no_light_and_the_shot_s_shift():
    empty = layers(np.zeros_like(MATTE), BACKGROUND)
    readings = [read(relit(0.6, tint=0.02)) for _ in range(5)]
    readings.insert(2, read(np.clip(BACKGROUND + np.float32(0.03), 0, 1), empty))
    steady = steady_readings(readings)
    assert steady[2].light is None
    assert steady[2].shift.offset == pytest.approx(steady[1].shift.offset, abs=1e-3)
    assert finish(empty, Aligned([BACKGROUND], None, []), reading=steady[2]).stitched.light is None


def test_a_shot_that_tells_nothing_is_left_as_it_is():
    readings = [read(COMPOSITE) for _ in range(5)]
    steady = steady_readings(readings)
    done = finish(layers(), Aligned([COMPOSITE], None, []), reading=steady[0])
    assert done.stitched.light is None and flicker_of(steady) == 0
    assert np.array_equal(done.stitched.image[MATTE > 0], COMPOSITE[MATTE > 0])


def test_a_steady_frame_is_lit_as_it_is_by_itself():
    image = relit(0.6)
    alone = finish(layers(), Aligned([image], None, []))
    steady = steady_readings([read(image) for _ in range(5)])
    shared = finish(layers(), Aligned([image], None, []), reading=steady[2])
    assert shared.stitched.image == pytest.approx(alone.stitched.image, abs=0.01)
    assert np.array_equal(shared.stitched.used, alone.stitched.used)
    assert shared.stitched.light.identity == pytest.approx(alone.stitched.light.identity, abs=1e-3)


def sampled_pairs(frames, assumed=1.3, bad=()):
    """A model's results for composite and reference. Under a scene's light of .6 it makes the subject brighter than it
    is by `assumed`, in both, and by noise that both share. In `bad` frames both results show something else."""
    rng = np.random.default_rng(0)
    for frame in range(frames):
        noise = 1 + 0.1 * rng.standard_normal()
        result, reference = relit(0.6 * assumed * noise), relit(assumed * noise)
        yield (relit(3.0), relit(0.4)) if frame in bad else (result, reference)


def with_references(pairs, chosen):
    """Readings of frames, of which those chosen have a reference."""
    given = [[reference] if frame in chosen else None for frame, (_, reference) in enumerate(pairs)]
    return [
        read_frame(layers(), Aligned([result], None, []), own, PLAIN_STITCH)
        for (result, _), own in zip(pairs, given, strict=True)
    ]


def mean_light(readings):
    return np.exp(np.mean([reading.mean for reading in readings]))


@pytest.mark.parametrize("chosen", [{4}, {1, 4, 7}])
def test_the_references_of_some_frames_serve_their_shot(chosen):
    pairs = list(sampled_pairs(9))
    without = mean_light(steady_readings(with_references(pairs, ())))
    shared = with_shared_reference(with_references(pairs, chosen))
    each = mean_light(steady_readings(with_references(pairs, range(9))))
    assert without > 0.7 and each == pytest.approx(0.6, abs=0.05)
    assert mean_light(steady_readings(shared)) == pytest.approx(each, abs=0.01)
    assert all(reading.light.by.startswith("the difference to the light reference") for reading in shared)
    assert flicker_of(steady_readings(shared)) < 0.01


def test_one_bad_frame_of_three_with_a_reference_spoils_nothing():
    pairs = list(sampled_pairs(12, bad={2}))
    light = mean_light(steady_readings(with_shared_reference(with_references(pairs, {2, 6, 10}))))
    assert light == pytest.approx(0.6, abs=0.05)


def test_frames_that_all_have_a_reference_keep_their_own():
    readings = with_references(list(sampled_pairs(5)), range(5))
    assert all(ours is own for ours, own in zip(with_shared_reference(readings), readings, strict=True))
    alone = with_references(list(sampled_pairs(5)), ())
    assert all(ours is own for ours, own in zip(with_shared_reference(alone), alone, strict=True))


def test_the_strength_of_relighting_holds_with_shared_references():
    readings = with_references(list(sampled_pairs(9)), {4})
    whole, half = (mean_light(with_shared_reference(readings, strength)) for strength in (1.0, 0.5))
    assert np.log(half) == pytest.approx(0.5 * np.log(whole), abs=1e-4)


def test_frames_without_a_subject_or_a_result_share_no_reference():
    readings = with_references(list(sampled_pairs(7)), {3})
    readings[1] = read(BACKGROUND, layers(np.zeros_like(MATTE), BACKGROUND))
    readings[5] = read(COMPOSITE)
    shared = with_shared_reference(readings)
    assert shared[1] is readings[1] and shared[5] is readings[5]
    assert steady_readings(shared)[5].lattice == pytest.approx(steady_readings(shared)[4].lattice, abs=0.02)
