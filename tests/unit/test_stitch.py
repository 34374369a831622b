"""Stitching: the model's work goes back, and nothing else moves."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_support import GAIN, disc, make_image, shifted

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.geometry import Box, Size
from phd_ops.pixels.masks import ramp
from phd_ops.pixels.relight import MAX_GAIN, change_of_light, relight
from phd_ops.pixels.resample import resize
from phd_ops.pixels.stitch import Layers, StitchOptions, fade_in_window, join, narrow_change, stitch


@pytest.fixture
def pieces():
    background, subject, harmonized = (make_image(48, seed) for seed in range(3))
    matte = disc(48, 10, 3)
    composite = matte[..., None] * subject + (1 - matte[..., None]) * background
    change = np.clip((18 - np.hypot(*(np.mgrid[0:48, 0:48] - 23.5))) / 4, 0, 1).astype(np.float32)
    gain = np.full((48, 48, 3), 1.2, np.float32)
    images = {"background": background, "composite": composite, "harmonized": harmonized}
    return images | {"matte": matte, "change": change, "gain": gain}


def joined(pieces, shadow=1.0, **options):
    """The joined image and the composite mask."""
    layers = Layers(pieces["background"], pieces["composite"], pieces["matte"], pieces["change"], pieces["change"])
    image = join(layers, pieces["harmonized"], pieces["gain"], shadow, StitchOptions(**options))
    return image, layers.used


@pytest.mark.parametrize("detail", [0.0, 0.5, 1.0])
def test_stitch_leaves_every_bit_outside_the_used_mask(pieces, detail):
    image, used = joined(pieces, detail=detail)
    assert np.array_equal(used, np.maximum(pieces["matte"], pieces["change"]))
    assert 0 < (used == 0).mean() < 1
    assert np.array_equal(image[used == 0], pieces["background"][used == 0])
    assert image.dtype == np.float32


def test_without_detail_the_subject_is_the_models(pieces):
    image, _ = joined(pieces, detail=0)
    # Off the soft rim, where subject and surround are taken apart first.
    inside = (pieces["matte"] == 1) | ((pieces["matte"] == 0) & (pieces["change"] == 1))
    assert image[inside] == pytest.approx(pieces["harmonized"][inside], abs=1e-6)


def test_with_all_detail_the_subject_is_its_own_under_the_gain(pieces):
    image, _ = joined(pieces, detail=1)
    inside = pieces["matte"] == 1
    assert image[inside] == pytest.approx(relight(pieces["composite"], pieces["gain"])[inside], abs=1e-6)


def test_the_surround_fades_from_model_to_background(pieces):
    image, _ = joined(pieces, detail=1)
    outside, change = pieces["matte"] == 0, pieces["change"][..., None]
    expected = pieces["background"] * (1 - change) + pieces["harmonized"] * change
    assert image[outside] == pytest.approx(expected[outside], abs=1e-6)


def test_a_composite_that_did_not_change_is_given_back_whatever_the_detail(pieces):
    # Up to the edge of what may change, where it is the background's anyway.
    pieces["background"] = np.where(pieces["matte"][..., None] > 0, pieces["background"], pieces["composite"])
    pieces |= {"harmonized": pieces["composite"], "gain": np.ones((48, 48, 3), np.float32)}
    for detail in (0, 0.5, 1):
        assert joined(pieces, detail=detail)[0] == pytest.approx(pieces["composite"], abs=1e-5)


def test_stitching_what_was_not_changed_gives_the_composite_back_soft_rim_and_all(pieces):
    """Whatever the ring: the soft rim is mixed with the background once, not twice."""
    for change in (pieces["change"], np.zeros_like(pieces["change"])):
        same = {**pieces, "harmonized": pieces["composite"], "gain": np.ones_like(pieces["gain"]), "change": change}
        image, used = joined(same, detail=1)
        inside = used > 0
        assert image[inside] == pytest.approx(pieces["composite"][inside], abs=2e-5)


def test_kept_surround_is_the_backgrounds_under_the_shadow(pieces):
    image, _ = joined(pieces, detail=1, keep_surround=1.0, shadow=np.float32(0.5))
    ring = (pieces["change"] == 1) & (pieces["matte"] == 0)
    assert ring.any()
    expected = linear_to_srgb(srgb_to_linear(pieces["background"]) * 0.5)
    assert image[ring] == pytest.approx(expected[ring], abs=1e-6)


def stitched(window, blend, sampled, reference=None, **more):
    references = None if reference is None else [reference]
    layers = Layers(**window, fade=ramp(window["change"], 0, blend))
    return stitch(layers, [sampled], references, StitchOptions(**more))


@pytest.fixture
def window():
    """A window with a pasted subject, soft at its rim, and what may change."""
    y, x = np.mgrid[0:120, 0:160].astype(np.float32)
    background = np.stack([0.3 + x / 400, 0.3 + y / 300, 0.6 - x / 500], -1) + 0.04 * make_image(160, 1)[:120]
    matte = np.clip((24 - np.hypot(x - 80, y - 60)) / 3 + 0.5, 0, 1)
    subject = np.float32([0.6, 0.4, 0.3]) + 0.1 * (make_image(160, 2)[:120] - 0.5)
    composite = (matte[..., None] * subject + (1 - matte[..., None]) * background).astype(np.float32)
    change = (np.hypot(x - 80, y - 60) < 40).astype(np.float32)
    return {"background": background, "composite": composite, "matte": matte, "change": change}


@pytest.mark.parametrize("size", [(160, 120), (96, 72), (320, 240), (152, 128)])
@pytest.mark.parametrize("detail", [0.0, 0.9])
def test_a_window_of_which_nothing_was_made_goes_back_to_the_bit(window, size, detail):
    """Also where it was worked on at another size: then the image is resized once, not twice."""
    done = stitched(window, 12, sampled=resize(window["composite"], Size(*size)), detail=detail)
    assert 0 < (done.used > 0).mean() < 1
    assert np.array_equal(done.image[done.used > 0], window["composite"][done.used > 0])
    assert np.array_equal(done.image[done.used == 0], window["background"][done.used == 0])
    assert done.light is None


@pytest.mark.parametrize("size", [(160, 120), (320, 240), (96, 72)])
def test_a_color_shift_of_the_model_is_taken_off(window, size):
    given = resize(window["composite"], Size(*size))
    done, left = (stitched(window, 0, sampled=shifted(given), color_fix=fix, detail=0) for fix in (1, 0))
    assert done.shift.pixels > 1000
    assert done.shift.gain == pytest.approx(GAIN, abs=1e-3)
    # Off the soft rim, where subject and surround are taken apart first.
    used = (done.used == 1) & np.isin(window["matte"], (0, 1))
    wanted = resize(given, Size(160, 120))
    assert np.abs(done.image - wanted)[used].max() * 255 < 0.1
    assert np.abs(left.image - wanted)[used].max() * 255 > 4


def test_what_the_model_painted_is_not_taken_for_a_shift(window):
    sampled = np.where(window["change"][..., None] > 0, window["composite"] * 0.6, window["composite"])
    done = stitched(window, 0, sampled=sampled, detail=0)
    assert done.shift.gain.tolist() == [1, 1, 1] and done.shift.offset.tolist() == [0, 0, 0]
    inside = (done.used == 1) & np.isin(window["matte"], (0, 1))
    assert done.image[inside] == pytest.approx((window["composite"] * 0.6)[inside], abs=1e-5)


def test_a_shift_and_a_change_of_light_are_distinguished(window):
    darker = linear_to_srgb(srgb_to_linear(window["composite"]) * 0.6)
    sampled = shifted(np.where(window["change"][..., None] > 0, darker, window["composite"]))
    done = stitched(window, 12, sampled=sampled, detail=1)
    core = window["matte"] == 1
    # What keeps black finite, and the variance of any estimate, draw gains a little towards 1.
    assert done.light.gain[core] == pytest.approx(np.full((core.sum(), 3), 0.6), abs=0.05)


def test_with_a_reference_light_is_the_difference_of_both(window):
    darker = linear_to_srgb(srgb_to_linear(window["composite"]) * 0.6)
    sampled = np.where(window["change"][..., None] > 0, darker, window["composite"])
    core = window["matte"] == 1
    for reference, gain in ((sampled, 1), (window["composite"], 0.6)):
        done = stitched(window, 12, sampled=sampled, reference=reference, detail=1)
        assert done.light.gain[core] == pytest.approx(np.full((core.sum(), 3), gain), abs=0.05)


@given(
    st.integers(0, 2**32),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 60),
    st.booleans(),
    st.floats(0, 1),
    st.sampled_from([(48, 40), (64, 56), (32, 24), (1, 1)]),
    st.booleans(),
)
def test_whatever_the_options_the_outside_is_the_backgrounds(
    seed, detail, keep_surround, blend, luma_only, color_fix, size, with_reference
):
    rng = np.random.default_rng(seed)
    blobs = cv2.GaussianBlur(rng.standard_normal((40, 48)), (0, 0), 4)
    matte = np.clip(3 * blobs / blobs.std() - 3, 0, 1).astype(np.float32)
    change = (blobs / blobs.std() > 0.6).astype(np.float32)
    background, composite = (rng.random((40, 48, 3), dtype=np.float32) for _ in range(2))
    sampled, reference = (rng.random((size[1], size[0], 3), dtype=np.float32) for _ in range(2))
    arrays = [background, composite, sampled, matte, change, reference]
    copies = [array.copy() for array in arrays]
    layers = Layers(background, composite, matte, change, ramp(change, 0, blend))
    options = StitchOptions(detail, keep_surround, luma_only, color_fix)
    done = stitch(layers, [sampled], [reference] if with_reference else None, options)
    outside = done.used == 0
    assert np.array_equal(done.image[outside], background[outside])
    assert not done.used[np.maximum(matte, change) == 0].any()
    assert np.isfinite(done.image).all() and done.image.min() >= 0 and done.image.max() <= 1
    assert all(np.array_equal(a, b) for a, b in zip(arrays, copies, strict=True))


def test_even_of_an_unchanged_window_only_the_used_part_comes_back(window):
    # A composite that differs where nothing may change: there the background counts.
    window["composite"] = np.where(window["change"][..., None] > 0, window["composite"], 1 - window["composite"])
    done = stitched(window, 12, sampled=window["composite"].copy())
    assert np.array_equal(done.image[done.used == 0], window["background"][done.used == 0])
    assert np.array_equal(done.image[done.used > 0], window["composite"][done.used > 0])


@pytest.mark.parametrize("detail", [0, 0.5, 0.9, 1])
def test_what_the_model_did_to_all_is_not_done_twice_at_a_soft_edge(detail):
    # It makes everything darker by one factor, where the subject is soft too.
    y, x = np.mgrid[0:120, 0:120]
    matte = cv2.GaussianBlur((np.hypot(x - 60, y - 60) < 25).astype(np.float32), (0, 0), 6)
    matte[matte < 1 / 255] = 0
    background = np.full((120, 120, 3), 0.5, np.float32)
    composite = matte[..., None] * np.float32([0.7, 0.6, 0.5]) + (1 - matte[..., None]) * background
    harmonized = linear_to_srgb(srgb_to_linear(composite) * np.float32(0.5))
    gain = np.exp(change_of_light(harmonized, composite, composite, matte))
    whole = np.ones_like(matte)
    image = join(Layers(background, composite, matte, whole, whole), harmonized, gain, options=StitchOptions(detail))
    assert np.abs(image - harmonized).max() * 255 < (0.5 if detail == 0 else 6)


def test_what_the_sampler_left_as_it_was_does_not_change_outside_the_subject():
    change, matte, changed = np.ones((20, 30), np.float32), np.zeros((20, 30), np.float32), np.zeros((2, 2), np.float32)
    matte[4:8, 4:8], changed[:, 1] = 1, 1
    narrowed = narrow_change(change, changed, matte, Box(0, 0, 20, 20))
    # Outside the window all stays; inside it, the right half changed, and the subject counts as changed.
    assert narrowed[:, 20:].all() and narrowed[:, 12:20].all() and narrowed[4:8, 4:8].all()
    assert not narrowed[:, :4].any() and not narrowed[10:, :8].any()
    assert change.all()


def test_a_window_fades_where_it_ends_inside_the_image_and_not_at_its_border():
    change = np.zeros((40, 60), np.float32)
    change[20:, 10:50] = 1
    fade = fade_in_window(change, Box(10, 20, 40, 20), 8)
    assert fade.shape == (20, 40)
    # The mask ends with the window on three sides; the fourth is the image's.
    assert fade[0].max() < 0.1 and fade[:, 0].max() < 0.1 and fade[:, -1].max() < 0.1
    assert fade[-1, 20] == 1


def test_of_several_seeds_light_is_averaged_and_the_first_is_shown(window):
    runs = [
        np.where(window["change"][..., None] > 0, linear_to_srgb(srgb_to_linear(window["composite"]) * gain), 0.5)
        for gain in (0.5, 0.7)
    ]
    fade = ramp(window["change"], 0, 4)
    layers, options = Layers(**window, fade=fade), StitchOptions(color_fix=0, detail=1)
    one, other, both = (stitch(layers, some, None, options) for some in ([runs[0]], [runs[1]], runs))
    core, ring = window["matte"] == 1, (fade == 1) & (window["matte"] == 0)
    brightness = [float(np.log(done.light.gain[core]).mean()) for done in (one, both, other)]
    assert brightness == sorted(brightness)
    assert np.array_equal(both.image[ring], one.image[ring])
    assert not np.array_equal(both.image[ring], other.image[ring])


def test_the_finished_subject_is_itself_though_the_sampled_one_is_another(window):
    window["composite"] = window["composite"] + 0.1 * (make_image(160, 9)[:120] - 0.5)
    other = np.clip(window["composite"] * 0.7 + 0.2 * (make_image(160, 3)[:120] - 0.5), 0, 1)
    done = stitched(window, 12, sampled=other, detail=1)
    assert done.identity > 0.98 > 0.8 > done.light.identity
    assert stitched(window, 12, sampled=other, detail=0).identity == pytest.approx(done.light.identity, abs=0.05)


@pytest.mark.parametrize("kind", ["black", "white", "gray", "tiny", "all", "none"])
def test_bad_subjects_leave_gains_within_bounds_and_nothing_infinite(window, kind):
    matte = window["matte"]
    if kind == "tiny":
        matte = np.zeros_like(matte)
        matte[60, 80:83] = 1
    elif kind in ("all", "none"):
        matte = np.full_like(matte, kind == "all")
        window["change"] = np.maximum(window["change"], matte)
    color = {"black": 0.0, "white": 1.0, "gray": 0.5}.get(kind, 0.4)
    window |= {"matte": matte, "composite": np.where(matte[..., None] > 0, np.float32(color), window["background"])}
    sampled, reference = make_image(160, 5, 0, 1)[:120], make_image(160, 6, 0, 1)[:120]
    for wanted in (None, reference):
        done = stitched(window, 8, sampled=sampled, reference=wanted)
        assert np.isfinite(done.image).all() and 0 <= done.image.min() <= done.image.max() <= 1
        if kind == "none":
            assert done.light is None
        else:
            assert 1 / MAX_GAIN - 1e-5 <= done.light.gain.min() <= done.light.gain.max() <= MAX_GAIN + 1e-4
            assert np.isfinite(done.light.gain).all() and -1.001 <= done.light.identity <= 1.001
