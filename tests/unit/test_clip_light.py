"""The frames of a shot share their light and their color shift."""

import numpy as np
import pytest
from image_support import disc, make_image

from phd_ops.pixels.align import Aligned
from phd_ops.pixels.clip_light import FROM_FRAMES, enlarged, flicker_of, read_frame, sampled, steady_readings
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
