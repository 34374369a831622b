"""Stitching: the model's work goes back, and nothing else moves."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_support import GAIN, disc, make_image, shifted

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.geometry import Box, Size
from phd_ops.pixels.layers import Layers
from phd_ops.pixels.relight import MAX_GAIN, change_of_light, relight
from phd_ops.pixels.resample import resize
from phd_ops.pixels.stitch import StitchOptions, fades_in_window, join, narrow_change, stitch
from phd_ops.pixels.surround import Surround


@pytest.fixture
def pieces():
    background, subject, harmonized = (make_image(48, seed) for seed in range(3))
    matte = disc(48, 10, 3)
    composite = matte[..., None] * subject + (1 - matte[..., None]) * background
    change = np.clip((18 - np.hypot(*(np.mgrid[0:48, 0:48] - 23.5))) / 4, 0, 1).astype(np.float32)
    gain = np.full((48, 48, 3), 1.2, np.float32)
    images = {"background": background, "composite": composite, "harmonized": harmonized}
    return images | {"matte": matte, "change": change, "gain": gain}


def joined(pieces, surround=None, detail=0.9):
    """The joined image and the composite mask."""
    change = pieces["change"]
    layers = Layers(pieces["background"], pieces["composite"], pieces["matte"], change, change, change)
    return join(layers, pieces["harmonized"], pieces["gain"], surround, detail)


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
    image, _ = joined(pieces, Surround(np.ones((48, 48), np.float32), np.full((48, 48), 0.5, np.float32)), detail=1)
    ring = (pieces["change"] == 1) & (pieces["matte"] == 0)
    assert ring.any()
    expected = linear_to_srgb(srgb_to_linear(pieces["background"]) * 0.5)
    assert image[ring] == pytest.approx(expected[ring], abs=1e-6)


def layered(change, width, **images):
    return Layers(
        **images, harmonize_mask=change, **dict(zip(("fade", "shadow_fade"), fades_of(change, width), strict=True))
    )


def fades_of(change, width):
    return fades_in_window(change, Box(0, 0, *Size.of(change)), width)


def stitched(window, blend, sampled, reference=None, **more):
    references = None if reference is None else [reference]
    return stitch(layered(**window, width=blend), [sampled], references, StitchOptions(**more))


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
    done, left = (
        stitched(window, 0, sampled=shifted(given), color_fix=fix, detail=0, keep_surround=0) for fix in (1, 0)
    )
    assert done.shift.pixels > 1000
    assert done.shift.gain == pytest.approx(GAIN, abs=1e-3)
    # Off the soft rim, where subject and surround are taken apart first.
    used = (done.used == 1) & np.isin(window["matte"], (0, 1))
    wanted = resize(given, Size(160, 120))
    assert np.abs(done.image - wanted)[used].max() * 255 < 0.1
    assert np.abs(left.image - wanted)[used].max() * 255 > 4


def test_what_the_model_painted_is_not_taken_for_a_shift(window):
    sampled = np.where(window["change"][..., None] > 0, window["composite"] * 0.6, window["composite"])
    done = stitched(window, 0, sampled=sampled, detail=0, keep_surround=0)
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
    layers = layered(change, blend, background=background, composite=composite, matte=matte)
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
    image, _ = join(Layers(background, composite, matte, whole, whole, whole), harmonized, gain, None, detail)
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
    window = Box(10, 20, 40, 20)
    _, fade = fades_in_window(change, window, 8)
    assert fade.shape == (20, 40)
    # The mask ends with the window on three sides; the fourth is the image's.
    assert fade[0].max() < 0.1 and fade[:, 0].max() < 0.1 and fade[:, -1].max() < 0.1
    assert fade[-1, 20] == 1
    # What the model painted fades too, where the mask is wide enough.
    wide = cv2.resize(change, None, fx=16, fy=16, interpolation=cv2.INTER_NEAREST)
    fade, _ = fades_in_window(wide, Box(*(16 * side for side in window)), 8)
    assert fade[0, 320] < 0.1 and fade[160, 0] < 0.1 and fade[160, -1] < 0.1
    assert fade[-1, 320] == 1


def test_of_several_seeds_light_is_averaged_and_the_first_is_shown(window):
    runs = [
        np.where(window["change"][..., None] > 0, linear_to_srgb(srgb_to_linear(window["composite"]) * gain), 0.5)
        for gain in (0.5, 0.7)
    ]
    layers, options = layered(**window, width=4), StitchOptions(color_fix=0, detail=1, keep_surround=0)
    one, other, both = (stitch(layers, some, None, options) for some in ([runs[0]], [runs[1]], runs))
    core, ring = window["matte"] == 1, (layers.fade == 1) & (window["matte"] == 0)
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


def shape(kind, size, degrees=0):
    """A dot of a radius, or a band of a width through the whole image, [200,200]."""
    y, x = np.mgrid[0:200, 0:200] - 99.3
    angle = np.deg2rad(degrees)
    away = np.hypot(x, y) if kind == "dot" else 2 * np.abs(y * np.cos(angle) - x * np.sin(angle))
    return (away < size).astype(np.float32)


def inpainted(change, width=12.0, matte=None):
    """A scene that a model made lighter where it may, in some channels more than in others; the scene, its result, and
    what was stitched."""
    scene = make_image(len(change), 4, 0.1, 0.5)
    sampled = scene + change[..., None] * np.float32([0.4, 0.3, 0.2])
    matte = np.zeros_like(change) if matte is None else matte
    return scene, sampled, stitch(layered(change, width, background=scene, composite=scene, matte=matte), [sampled])


SHAPES = [("dot", 4), ("dot", 24), ("dot", 64)] + [("band", width) for width in (3, 21, 60)]


@pytest.mark.parametrize("width", [12, 64])
@pytest.mark.parametrize("degrees", [0, 90, 30, 45])
@pytest.mark.parametrize(("kind", "size"), SHAPES)
def test_what_the_model_painted_arrives_however_small_or_thin_the_mask(kind, size, degrees, width):
    change = shape(kind, size, degrees)
    scene, sampled, done = inpainted(change, width)
    share = np.abs(done.image - scene).sum() / np.abs(sampled - scene).sum()
    assert share >= 0.95
    assert np.array_equal(done.image[change == 0], scene[change == 0])


def test_a_thin_line_arrives_though_it_hangs_on_a_wide_part():
    change = np.maximum(shape("dot", 60), shape("band", 3))
    line = (change > 0) & (shape("dot", 64) == 0)
    scene, sampled, done = inpainted(change)
    assert done.image[line] == pytest.approx(sampled[line], abs=1e-5)


def test_a_soft_mask_takes_as_much_of_the_models_pixels_as_it_says():
    change = cv2.GaussianBlur(shape("dot", 40), (0, 0), 4)
    scene, sampled, done = inpainted(change, width=0)
    soft = np.where(change > 0.02, np.where(change >= 0.98, 1, change), 0)[..., None]
    # Nearly opaque is opaque, see `stabilize`.
    assert done.image == pytest.approx(scene + soft * (sampled - scene), abs=0.01)
    assert np.array_equal(done.image[change == 0], scene[change == 0])


@pytest.mark.parametrize("at", [(0, 0), (0, 100), (199, 199), (100, 100)])
def test_a_mask_of_one_pixel_takes_the_models(at):
    change = np.zeros((200, 200), np.float32)
    change[at] = 1
    scene, sampled, done = inpainted(change)
    assert done.image[at] == pytest.approx(sampled[at], abs=1e-5)
    assert (done.image != scene).any(axis=2).sum() == 1


def test_a_mask_of_the_whole_image_takes_the_models_up_to_the_border():
    _, sampled, done = inpainted(np.ones((200, 200), np.float32))
    assert done.image == pytest.approx(sampled, abs=1e-5)


def test_a_wide_mask_has_the_fade_that_was_asked_for():
    change = np.zeros((600, 600), np.float32)
    change[20:580, 20:580] = 1
    fade, shadow_fade = fades_of(change, 8)
    wanted = [min(1, (n + 0.5) / 8) for n in range(12)]
    assert fade[300, 20:32].tolist() == pytest.approx(wanted, abs=1e-6)
    assert shadow_fade[300, 20:32].tolist() == pytest.approx(wanted, abs=1e-6)


def pasted(noise=0.0, ring=10):
    """A subject pasted into a scene: the layers without fades, and what a model with that noise makes of them."""
    y, x = np.mgrid[0:160, 0:160].astype(np.float32)
    scene = np.stack([0.4 + x / 600, 0.5 + y / 600, 0.6 - x / 700], -1) + 0.05 * (make_image(160, 1) - 0.5)
    matte = (np.hypot(x - 80, y - 70) < 30).astype(np.float32)
    change = (np.hypot(x - 80, y - 70) < 30 + ring).astype(np.float32)
    composite = np.where(matte[..., None] > 0, np.float32([0.7, 0.3, 0.2]), scene).astype(np.float32)
    rough = cv2.GaussianBlur(np.random.default_rng(5).standard_normal((160, 160, 3)).astype(np.float32), (0, 0), 2)
    sampled = composite + (noise / rough.std()) * rough * change[..., None]
    window = {"background": scene.astype(np.float32), "composite": composite, "matte": matte, "change": change}
    return window, np.clip(sampled, 0, 1)


@pytest.mark.parametrize("noise", [0.01, 0.05, 0.1])
def test_around_a_subject_the_backgrounds_pixels_stay_where_the_model_was_only_inexact(noise):
    window, sampled = pasted(noise)
    ring = (window["change"] > 0) & (window["matte"] == 0)
    error = {
        keep: np.square(stitched(window, 12, sampled, keep_surround=keep).image - window["background"])[ring].mean()
        for keep in (0, 1)
    }
    assert error[1] < 0.1 * error[0]
    done = stitched(window, 12, sampled)
    still = (done.used == 0) & ring
    assert still.any() and np.array_equal(done.image[still], window["background"][still])


def test_a_shadow_around_a_subject_arrives_on_the_backgrounds_own_texture():
    window, sampled = pasted(0.02, ring=40)
    y, x = np.mgrid[0:160, 0:160]
    shadow = 1 - 0.5 * np.exp(-0.5 * (np.square((y - 100) / 14) + np.square((x - 80) / 20)))[..., None]
    sampled = linear_to_srgb(srgb_to_linear(sampled) * np.where(window["change"][..., None] > 0, shadow, 1))
    done = stitched(window, 12, sampled)
    under = (window["matte"] == 0) & (shadow[..., 0] < 0.7)
    found = np.log(srgb_to_linear(done.image) / srgb_to_linear(window["background"]))[under]
    assert found.mean() == pytest.approx(float(np.log(shadow[under]).mean()), abs=0.12)
    # One gain for all channels: the background's own pixels, darker.
    assert found.std(axis=1).max() < 0.02


def test_what_the_model_painted_anew_beside_a_subject_is_kept():
    window, sampled = pasted(0.02, ring=40)
    y, x = np.mgrid[0:160, 0:160]
    thing = (np.hypot(x - 122, y - 70) < 9) & (window["matte"] == 0)
    sampled[thing] = (0.9, 0.9, 0.1)
    done = stitched(window, 12, sampled)
    core = np.hypot(x - 122, y - 70) < 6
    assert done.image[core] == pytest.approx(sampled[core], abs=0.02)


@pytest.mark.parametrize("hole", ["cut away", "filled"])
def test_a_hole_beside_a_subject_takes_the_models_pixels(hole):
    """A hole in the composite, or one of a single color in the background too, as bright as what belongs there."""
    window, sampled = pasted(0.01, ring=40)
    y, x = np.mgrid[0:160, 0:160]
    part = (np.abs(x - 120) < 14) & (np.abs(y - 70) < 14) & (window["matte"] == 0)
    sampled = sampled.copy()
    if hole == "filled":
        sampled[part] += 0.1 * np.sign(np.sin(x[part] / 2) * np.sin(y[part] / 2))[:, None] + np.float32(
            [0.08, 0, -0.08]
        )
        window["background"][part] = 0.5
    window["composite"][part] = 0.5
    done = stitched(window, 12, sampled)
    inner = cv2.erode(part.astype(np.uint8), np.ones((5, 5))) > 0
    assert done.image[inner] == pytest.approx(sampled[inner], abs=1e-3)


def test_a_plain_wall_around_a_subject_is_no_hole():
    window, sampled = pasted(0.03, ring=30)
    outside, error = window["matte"] == 0, np.abs(sampled - window["composite"])
    for name in ("background", "composite"):
        window[name][outside] = 1
    sampled[outside] = 1 - error[outside]
    done = stitched(window, 12, sampled)
    # What is left is a faint shadow, no noise.
    assert np.abs(cv2.Laplacian(done.image[..., 1], cv2.CV_32F))[cv2.erode(np.uint8(outside), None) > 0].max() < 0.01
    assert done.image[outside].min() > 0.95


def test_a_part_of_the_mask_without_a_subject_takes_the_models_pixels():
    window, sampled = pasted(0.02)
    other = np.zeros((160, 160), bool)
    other[140:156, 20:60] = True
    window["change"][other] = 1
    sampled[other] = np.clip(sampled[other] + 0.04, 0, 1)
    done = stitched(window, 12, sampled)
    assert done.image[other] == pytest.approx(sampled[other], abs=1e-5)


@pytest.mark.parametrize("keep", [0.0, 1.0])
def test_soft_masks_and_subjects_at_the_border_leave_the_outside(keep):
    window, sampled = pasted(0.1)
    soft = {name: cv2.GaussianBlur(window[name], (0, 0), 3) for name in ("matte", "change")}
    for rows in (slice(0, 160), slice(40, 120), slice(70, 72)):
        part = {name: (soft.get(name, layer))[rows] for name, layer in window.items()}
        done = stitched(part, 12, sampled[rows], keep_surround=keep)
        assert np.array_equal(done.image[done.used == 0], part["background"][done.used == 0])
        assert np.isfinite(done.image).all() and not done.used[np.maximum(part["matte"], part["change"]) == 0].any()
