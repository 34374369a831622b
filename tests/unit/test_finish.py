"""Finishing any model's image: brought back, stitched, and with what it changed as far as asked."""

from dataclasses import replace

import numpy as np
import pytest
from image_support import disc
from motion_support import drawn, jpeg, pair

from phd_ops.pixels.align import align, is_applied
from phd_ops.pixels.finish import AUTO, EVERYTHING, INSIDE, MODEL, OWN, TOUCHING, FinishOptions, finish
from phd_ops.pixels.geometry import Box, Size
from phd_ops.pixels.layers import Layers
from phd_ops.pixels.register import COVERED, SUBJECT_ONLY, UNLIKE
from phd_ops.pixels.relight import relight
from phd_ops.pixels.resample import resample, resize
from phd_ops.pixels.stitch import fades_in_window, stitch

SIDE = 256
SIZE = (SIDE, SIDE)
GAIN = 1.3


def scene():
    """Layers of a disc in another texture on a scene, and what a perfect model makes of the composite."""
    background, subject = drawn(SIZE) * np.float32(0.6), drawn(SIZE, seed=3) * np.float32([0.7, 0.5, 0.4])
    matte, change = disc(SIDE, 48, 2), np.float32(disc(SIDE, 70, 2) > 0.5)
    alpha = matte[..., None]
    composite = background + alpha * (subject - background)
    harmonized = background + alpha * (relight(subject, GAIN) - background)
    fades = fades_in_window(change, Box(0, 0, *SIZE), 12)
    return Layers(background, composite, matte, change, *fades), harmonized


def unchanged(layers):
    return 1 - np.maximum(layers.harmonize_mask, layers.matte)


def shifted_by(image, x, y):
    matrix = np.array([[1.0, 0, x], [0, 1.0, y]])
    return resample(image, matrix, Size.of(image), 1)


def finished(layers, returned, **options):
    aligned = align(layers.composite, [returned], unchanged(layers), layers.matte)
    return finish(layers, aligned, options=FinishOptions(**options))


def test_an_image_that_did_not_move_gives_the_bits_of_stitch_alone():
    layers, harmonized = scene()
    aligned = align(layers.composite, [harmonized], unchanged(layers), layers.matte)
    assert aligned.images[0] is harmonized and aligned.seen is None
    done = finish(layers, aligned)
    assert np.array_equal(done.stitched.image, stitch(layers, [harmonized]).image)
    assert done.subject_fits and done.subject_from == OWN


@pytest.mark.parametrize("shift", [(4, -3), (2.4, 1.7)])
def test_a_shifted_image_gives_what_the_unshifted_one_gives(shift):
    layers, harmonized = scene()
    ideal = stitch(layers, [harmonized]).image
    done = finished(layers, shifted_by(harmonized, *shift))
    # The model's own texture shows through by a tenth, and two resamplings soften it.
    assert np.abs(done.stitched.image - ideal).mean() < 0.002
    outside = done.stitched.used == 0
    assert np.array_equal(done.stitched.image[outside], layers.background[outside]) and outside.mean() > 0.5


def test_what_a_crop_left_out_stays_as_it_was_and_the_rest_is_relit():
    layers, harmonized = scene()
    # 96 rows around the middle: the subject's upper and lower rim are outside.
    rows = slice(80, 176)
    returned = resize(np.ascontiguousarray(harmonized[rows]), Size(512, 192))
    aligned = align(layers.composite, [returned], unchanged(layers), layers.matte)
    assert aligned.seen is not None
    assert not aligned.seen[:79].any() and aligned.seen[81:175].all()
    done = finish(layers, aligned)
    light = done.stitched.light.gain[layers.matte > 0.9]
    assert light.mean() == pytest.approx(GAIN, rel=0.05)
    # The light goes on beyond what the model showed: one subject has one light.
    assert done.stitched.light.gain[84].mean() > 1


def test_an_image_of_something_else_is_not_used():
    layers, _ = scene()
    aligned = align(layers.composite, [drawn(SIZE, seed=11)], unchanged(layers), layers.matte)
    assert aligned.registrations[0].status == UNLIKE
    done = finish(layers, aligned)
    assert np.array_equal(
        done.stitched.image, np.where(layers.reached[..., None] > 0, layers.composite, layers.background)
    )
    assert not done.changed.any()


def test_seeds_that_moved_differently_lie_on_each_other():
    layers, harmonized = scene()
    runs = [shifted_by(harmonized, 3, 0), harmonized, resize(harmonized, Size(200, 200))]
    aligned = align(layers.composite, runs, unchanged(layers), layers.matte)
    assert {image.shape for image in aligned.images} == {(SIDE, SIDE, 3)}
    for image in aligned.images:
        assert np.abs(image - harmonized)[8:-8, 8:-8].mean() < 0.02
    assert finish(layers, aligned).stitched.light.gain[128, 128].mean() == pytest.approx(GAIN, rel=0.05)


def test_where_everything_may_change_nothing_is_moved():
    layers, harmonized = scene()
    returned = shifted_by(harmonized, 3, 0)
    aligned = align(layers.composite, [returned], np.zeros(SIZE, np.float32), layers.matte)
    assert aligned.registrations[0].status == COVERED and aligned.images[0] is returned


def test_the_smaller_image_of_a_model_is_brought_back_at_its_own_resolution():
    _, returned, _ = pair(SIZE, shift=(5, 3))
    small = resize(returned, Size(160, 160))
    aligned = align(drawn(SIZE), [small], np.ones(SIZE, np.float32), np.zeros(SIZE, np.float32))
    assert is_applied(aligned.registrations[0]) and Size.of(aligned.images[0]) == (160, 160)


def edited(layers, harmonized):
    """With a dark patch beside the subject, across the mask's edge, and another one far from it."""
    image = harmonized.copy()
    near, far = (slice(120, 150), slice(190, 225)), (slice(10, 40), slice(10, 40))
    image[near] *= 0.4
    image[far] *= 0.4
    return image, near, far


@pytest.mark.parametrize(("keep", "keeps_near", "keeps_far"), [(INSIDE, 0, 0), (TOUCHING, 1, 0), (EVERYTHING, 1, 1)])
def test_changes_outside_the_mask_come_along_as_far_as_asked(keep, keeps_near, keeps_far):
    layers, harmonized = scene()
    image, near, far = edited(layers, harmonized)
    done = finished(layers, image, keep_changes=keep)
    used = done.stitched.used > 0
    beyond = np.zeros_like(used)
    beyond[near] = True
    beyond &= layers.reached == 0
    assert beyond.sum() > 200
    assert used[beyond].mean() > 0.9 if keeps_near else not used[beyond].any()
    assert used[far].mean() > 0.9 if keeps_far else not used[far].any()
    # The mask of what changed shows both, whatever is kept.
    assert done.changed[far].mean() > 0.9 and done.changed[beyond].mean() > 0.9
    assert np.array_equal(done.stitched.image[~used], layers.background[~used])


def leaning(layers, harmonized, degrees=12.0):
    """The subject turned about its middle, on the scene behind it."""
    angle = np.radians(degrees)
    linear = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.full(2, SIDE / 2)
    turned = resample(harmonized, np.column_stack([linear, middle - linear @ middle]), Size(*SIZE), 1)
    return layers.background + layers.matte[..., None] * (turned - layers.background)


def test_a_subject_in_another_pose_is_noticed_and_may_be_the_models():
    layers, harmonized = scene()
    image = leaning(layers, harmonized)
    own, auto, model = (finished(layers, image, subject_pixels=pixels) for pixels in (OWN, AUTO, MODEL))
    assert not own.subject_fits and own.subject_from == OWN
    assert auto.subject_from == model.subject_from == MODEL
    inside = layers.matte == 1
    assert np.abs(model.stitched.image - image)[inside].mean() < 0.01
    assert np.abs(own.stitched.image - image)[inside].mean() > 0.05
    assert np.array_equal(auto.stitched.image, model.stitched.image)


@pytest.mark.parametrize("damage", [lambda image: image, jpeg, lambda image: image * np.float32([1.1, 1, 0.8])])
def test_a_subject_that_stands_where_it_stood_keeps_its_own_pixels(damage):
    layers, harmonized = scene()
    done = finished(layers, damage(harmonized), subject_pixels=AUTO)
    assert done.subject_fits and done.subject_from == OWN


def test_a_subject_that_was_painted_away_keeps_its_own_pixels():
    layers, _ = scene()
    done = finished(layers, layers.background, subject_pixels=AUTO)
    assert done.subject_from == OWN and done.stitched.light.suppressed


@pytest.mark.parametrize("surroundings", ["gray", "another scene"])
def test_of_a_relit_foreground_in_other_surroundings_only_the_light_is_used(surroundings):
    layers, harmonized = scene()
    behind = np.full_like(harmonized, 0.5) if surroundings == "gray" else drawn(SIZE, seed=21)
    returned = behind + layers.matte[..., None] * (harmonized - behind)
    aligned = align(layers.composite, [returned], unchanged(layers), layers.matte)
    assert aligned.registrations[0].status == SUBJECT_ONLY
    done = finish(layers, aligned)
    inside, ring = layers.matte == 1, (layers.matte == 0) & (layers.harmonize_mask > 0)
    assert done.stitched.light.gain[inside].mean() == pytest.approx(GAIN, rel=0.05)
    assert done.subject_fits
    # Around the subject the scene stays, but for a shadow of the rim's own rounding.
    assert np.abs(done.stitched.image - layers.background)[ring].max() < 2 / 255


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_came_along_fades_where_the_window_ends_inside_the_scene(goes_on):
    layers, harmonized = scene()
    image = harmonized.copy()
    image[100:160, 200:] *= 0.4
    layers = replace(layers, goes_on=(False, False, goes_on, False))
    done = finished(layers, image, keep_changes=EVERYTHING, edge_fade=12)
    edge, middle = done.stitched.used[120:140, -1], done.stitched.used[120:140, 225]
    assert (edge < 0.2).all() if goes_on else (edge == 1).all()
    assert (middle == 1).all()


@pytest.mark.parametrize("shape", [(600, 1), (1, 600), (1, 1)])
def test_a_strip_is_finished(shape):
    rng = np.random.default_rng(0)
    background, composite, returned = (rng.random((*shape, 3), np.float32) for _ in range(3))
    mask = np.ones(shape, np.float32)
    done = finished(Layers(background, composite, mask, mask, mask, mask), returned)
    assert done.stitched.image.shape == (*shape, 3)
