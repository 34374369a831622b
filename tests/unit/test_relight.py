"""Relighting: the change of light is estimated smoothly up to the silhouette and given to the subject's own pixels."""

import numpy as np
import pytest
from image_support import disc, make_image

from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from phd_ops.pixels.relight import (
    MAX_GAIN,
    Estimate,
    LightReader,
    change_of_light,
    ease,
    fuse,
    is_flat,
    light_sigma,
    log_light,
    read_light,
    relight,
    shadow_gain,
    shrink,
)
from phd_ops.pixels.smoother import Smoother


def test_srgb_by_the_standard():
    assert srgb_to_linear(np.float32([0, 0.04045, 0.5, 1])) == pytest.approx([0, 0.0031308, 0.21404, 1], abs=1e-5)
    assert linear_to_srgb(np.float32([0, 0.0031308, 0.21404, 1])) == pytest.approx([0, 0.04045, 0.5, 1], abs=1e-5)


def test_srgb_round_trip():
    values = np.linspace(0, 1, 1001, dtype=np.float32)
    assert linear_to_srgb(srgb_to_linear(values)) == pytest.approx(values, abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 1000])
def test_srgb_is_the_standards_curve_whatever_the_number_of_values(count):
    values = np.linspace(0, 1, count)
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    image = np.where(values <= 0.0031308, values * 12.92, 1.055 * values ** (1 / 2.4) - 0.055)
    given = values.astype(np.float32)
    assert srgb_to_linear(given) == pytest.approx(light, abs=1e-6)
    assert linear_to_srgb(given) == pytest.approx(image, abs=1e-6)
    # Bands of an image have the bits of the whole image.
    for function in (srgb_to_linear, linear_to_srgb):
        assert np.array_equal(function(given)[count // 3 :], function(given[count // 3 :]))
    assert linear_to_srgb(np.float32([-1, 2])) == pytest.approx([0, 1], abs=1e-6)


def test_light_sigma_is_a_quarter_of_the_diameter():
    assert light_sigma(disc(200, 80)) == pytest.approx(40, rel=0.01)
    assert light_sigma(disc(20, 3)) == 4


def lit(image, gain, matte=None):
    """An image whose linear light is `gain` times as strong, all over or inside a matte."""
    after = linear_to_srgb(srgb_to_linear(image) * np.float32(gain))
    return after if matte is None else np.where(matte[..., None] > 0, after, image)


def test_an_image_that_did_not_change_has_no_change_of_light():
    composite = make_image(48)
    assert not change_of_light(composite, composite, composite, disc(48, 16)).any()


@pytest.mark.parametrize("gain", [(1.5, 1.5, 1.5), (0.7, 1.0, 1.4)])
def test_a_constant_gain_in_the_subject_comes_back(gain):
    before, matte = make_image(64, low=0.3, high=0.7), disc(64, 20)
    found = np.exp(change_of_light(lit(before, gain, matte), before, before, matte))[matte > 0]
    assert found == pytest.approx(np.broadcast_to(np.float32(gain), found.shape), rel=0.02)


def test_the_light_on_a_dark_subject_is_estimated_too():
    before, matte = make_image(64, low=0.1, high=0.25), disc(64, 20)
    found = np.exp(change_of_light(lit(before, 1.5, matte), before, before, matte))[matte > 0]
    assert found == pytest.approx(1.5, rel=0.1)


def test_dark_noise_and_clipped_pixels_get_little_weight():
    rng, matte = np.random.default_rng(0), disc(64, 20)
    before = np.where(rng.random((64, 64, 1)) < 0.5, np.float32(0.55), np.float32(0.02)).repeat(3, axis=2)
    after = lit(before, 1.4)
    after = np.where(before < 0.1, rng.uniform(0, 0.2, before.shape).astype(np.float32), after)
    assert np.exp(change_of_light(after, before, before, matte))[matte > 0].mean() == pytest.approx(1.4, rel=0.1)
    before = np.where(rng.random((64, 64, 1)) < 0.3, np.float32(1), np.float32(0.5)).repeat(3, axis=2)
    assert np.exp(change_of_light(lit(before, 1.4), before, before, matte))[32, 32] == pytest.approx(1.4, rel=0.03)


def test_what_happens_outside_the_subject_does_not_count():
    before, matte = make_image(64), disc(64, 20)
    after = np.where(matte[..., None] > 0, before, 1 - before)
    assert change_of_light(after, before, before, matte)[matte > 0] == pytest.approx(0, abs=1e-6)


def narrow(after, before, matte):
    """The smoother alone, at the scale that separates light from texture."""
    change = np.log(srgb_to_linear(after) + 0.002) - np.log(srgb_to_linear(before) + 0.002)
    return Smoother(matte, light_sigma(matte))(change)


def test_blotches_that_a_model_painted_are_not_taken_for_light():
    before, matte, rng = np.full((64, 64, 3), 0.5, np.float32), disc(64, 24), np.random.default_rng(0)
    ours, plain = [], []
    for _ in range(8):
        blotches = np.kron(rng.normal(0, 0.25, (8, 8, 1)), np.ones((8, 8, 1))).astype(np.float32)
        after = lit(before, np.exp(0.3 + blotches))
        for errors, read in (
            (ours, change_of_light(after, before, before, matte)),
            (plain, narrow(after, before, matte)),
        ):
            errors.append(np.square(read - 0.3)[matte > 0].mean())
    assert np.mean(ours) < 0.85 * np.mean(plain)


def test_light_that_bends_is_read_as_such():
    """A spot of light as wide as half the subject."""
    before, matte = np.full((64, 64, 3), 0.5, np.float32), disc(64, 24)
    y, x = np.mgrid[0:64, 0:64] - 31.5
    spot = 0.6 * np.exp(-(x**2 + y**2) / (2 * 12**2))[..., None]
    after = lit(before, np.exp(spot))
    ours, plain = change_of_light(after, before, before, matte), narrow(after, before, matte)
    assert np.abs(ours - plain)[matte > 0].max() < 0.1 * 0.6


def test_luma_only_gives_one_change_and_leaves_color():
    before, matte = np.full((48, 48, 3), 0.5, np.float32), disc(48, 16)
    change = change_of_light(lit(before, [1.6, 1.0, 0.8]), before, before, matte, luma_only=True)
    assert np.array_equal(change[..., 0], change[..., 1]) and np.array_equal(change[..., 0], change[..., 2])
    assert change[24, 24, 0] == pytest.approx(np.log([1.6, 1.0, 0.8]) @ [0.2126, 0.7152, 0.0722], abs=0.01)


def read(results, references=None, *, composite, matte, background=None, **options):
    background = make_image(len(matte), 7) if background is None else background
    return read_light(LightReader(composite, matte), results, references, background=background, **options)


@pytest.mark.parametrize(("after", "limit"), [(1.0, MAX_GAIN), (0.0, 1 / MAX_GAIN)])
def test_gains_are_bounded(after, limit):
    before = np.full((32, 32, 3), 0.15 if after else 0.9, np.float32)
    gain = read([np.full((32, 32, 3), after, np.float32)], composite=before, matte=disc(32, 12)).gain
    assert gain[16, 16] == pytest.approx(limit, rel=0.01)
    assert gain.min() >= 1 / MAX_GAIN - 1e-6 and gain.max() <= MAX_GAIN + 1e-5


def test_gains_within_twice_stay_to_the_bit_and_larger_ones_are_eased():
    within = np.log(np.float32([0.5, 0.7, 1, 1.3, 2]))
    assert np.array_equal(ease(within), within)
    # By hand: ln 2 + ln 2 tanh((ln 4 - ln 2) / ln 2) = .69315 (1 + .76159) = 1.22104, a gain of 3.3907.
    assert np.exp(ease(np.float32([np.log(4), -np.log(4)]))) == pytest.approx([3.3907, 1 / 3.3907], rel=1e-4)
    # At the knee the slope is 1 on both sides, and beyond it falls to 0.
    x = np.linspace(0, 8, 8001, dtype=np.float64)
    slope = np.diff(ease(x)) / np.diff(x)
    assert np.abs(np.diff(slope)).max() < 2e-3 and slope.min() >= 0 and slope[-1] < 1e-3
    assert ease(x).max() <= np.log(MAX_GAIN) + 1e-6


def test_the_most_extreme_gain_of_the_subject_is_given_as_estimated_and_as_eased():
    composite, matte = make_image(64), disc(64, 20)
    assert read([lit(composite, 0.7, matte)], composite=composite, matte=matte).eased is None
    light = read([lit(composite, 0.25, matte)], composite=composite, matte=matte)
    estimated, applied = light.eased
    assert estimated == pytest.approx(0.25, abs=0.02) and applied == pytest.approx(1 / 3.3907, abs=0.02)
    assert light.gain[matte > 0.5].min() == pytest.approx(applied, rel=1e-5)


def estimate(change, variance):
    return Estimate(np.full((8, 8, 3), change, np.float32), variance)


def test_two_estimates_are_fused_by_their_inverse_variances():
    fused = fuse(estimate(0, 0.01), estimate(0.1, 0.03), disc(8, 4))
    assert fused.change == pytest.approx(0.025) and fused.variance == pytest.approx(0.0075)


def test_an_estimate_that_disagrees_gets_no_weight():
    fused = fuse(estimate(0, 0.01), estimate(2, 0.01), disc(8, 4))
    # Apart by 4 in squares: 0.01 / (0.01 + 3.99) of the way.
    assert fused.change == pytest.approx(2 * 0.01 / 4, rel=1e-3) and fused.variance == pytest.approx(0.01, rel=0.01)


def test_a_change_no_larger_than_its_error_is_halved_and_a_large_one_kept():
    matte = disc(8, 4)
    assert shrink(estimate(0.1, 0.01), matte) == pytest.approx(0.05)
    assert shrink(estimate(1.0, 0.01), matte) == pytest.approx(1 / 1.01)
    assert not shrink(estimate(0, 0.01), matte).any()


def test_the_model_s_idea_of_the_subject_s_color_cancels_against_a_reference():
    # It makes the subject blue with and without the scene, and the scene half as bright.
    composite, matte = make_image(64), disc(64, 20)
    reference = lit(composite, [0.6, 0.8, 1.5], matte)
    result = lit(reference, 0.5, matte)
    alone, difference = (read([result], some, composite=composite, matte=matte) for some in (None, [reference]))
    core = matte > 0
    assert difference.gain[core] == pytest.approx(0.5, rel=0.04)
    assert np.abs(alone.gain[core] - 0.5).max() > 0.2
    assert difference.by.endswith("the result disagrees and is ignored") and alone.by == "the result alone"


def test_strength_is_of_the_change_in_the_logarithm_and_stays_within_bounds():
    composite, matte = make_image(64), disc(64, 20)
    given = {"composite": composite, "matte": matte}
    plain, none, double = (read([lit(composite, 0.8, matte)], **given, strength=n).gain for n in (1, 0, 2))
    assert np.array_equal(none, np.ones_like(none))
    assert double[matte > 0] == pytest.approx(plain[matte > 0] ** 2, rel=1e-4)
    assert read([lit(composite, 0.3, matte)], **given, strength=2).gain[matte > 0].min() == pytest.approx(
        1 / MAX_GAIN, rel=0.05
    )


def test_estimates_that_agree_are_both_used_and_named():
    composite, matte = make_image(64), disc(64, 20)
    light = read([lit(composite, 0.5, matte)], [composite], composite=composite, matte=matte)
    assert light.by == "the difference to the light reference and the result, which agree"


def test_a_plain_reference_that_disagrees_gets_no_weight():
    composite, matte = make_image(64), disc(64, 20)
    result, reference = lit(composite, 0.5, matte), lit(composite, 0.15, matte)
    alone = read([result], composite=composite, matte=matte).gain[matte > 0]
    plain = read([result], [reference], composite=composite, matte=matte, flat_reference=True).gain[matte > 0]
    assert plain.mean() == pytest.approx(alone.mean(), abs=0.03)


def test_where_seeds_of_differences_disagree_the_gain_is_nearer_to_1():
    composite, matte = make_image(64), disc(64, 20)
    results, gains = [lit(composite, 0.6, matte)] * 2, []
    for ratios in ((1.0, 1.0), (0.7, 1.5)):
        references = [lit(composite, ratio, matte) for ratio in ratios]
        gains.append(read(results, references, composite=composite, matte=matte).gain[matte > 0].mean())
    assert gains[0] < gains[1] < 1


def test_a_subject_painted_away_is_found_by_luma_too():
    composite, background, matte = make_image(64, low=0.5, high=0.8), make_image(64, 1, low=0.2, high=0.4), disc(64, 20)
    assert read([background], composite=composite, matte=matte, background=background, luma_only=True).suppressed


def test_a_plain_reference_leaves_the_result_more_weight():
    composite, matte = make_image(64), disc(64, 20)
    result, reference = lit(composite, 0.5, matte), lit(composite, 0.8, matte)
    trusted, plain = (
        read([result], [reference], composite=composite, matte=matte, flat_reference=flat) for flat in (False, True)
    )
    assert plain.gain[matte > 0].mean() < trusted.gain[matte > 0].mean()
    assert "plain" in plain.by and "plain" not in trusted.by


def test_where_seeds_disagree_the_gain_is_nearer_to_1():
    composite, matte = make_image(64), disc(64, 20)
    agreeing, apart = ([lit(composite, gain, matte) for gain in gains] for gains in ((0.6, 0.6), (0.36, 1.0)))
    gains = [read(runs, composite=composite, matte=matte).gain[matte > 0].mean() for runs in (agreeing, apart)]
    assert gains[0] == pytest.approx(0.6, abs=0.02) and gains[0] + 0.1 < gains[1] < 1


@pytest.mark.parametrize(("noise", "neglected"), [(0.0, True), (0.1, True), (0.9, False)])
def test_a_subject_left_as_it_was_is_reported(noise, neglected):
    composite, matte = make_image(64, low=0.4, high=0.6), disc(64, 20)
    result = np.clip(composite + noise * (make_image(64, 3, 0, 1) - 0.5), 0, 1)
    light = read([result], composite=composite, matte=matte)
    assert light.neglected == neglected and not light.suppressed


def test_a_subject_painted_away_is_reported():
    composite, background, matte = make_image(64, low=0.5, high=0.8), make_image(64, 1, low=0.2, high=0.4), disc(64, 20)
    for result, suppressed in ((background, True), (lit(composite, 0.7, matte), False)):
        light = read([result], composite=composite, matte=matte, background=background)
        assert light.suppressed == suppressed and not light.neglected


def test_a_studio_s_surround_is_flat_and_a_room_s_is_not():
    around = 1 - disc(64, 20)
    white, room = np.full((64, 64, 3), 0.95, np.float32), make_image(64)
    white[disc(64, 20) > 0] = 0.2
    assert is_flat(white, around) and not is_flat(room, around)
    assert is_flat(room, np.zeros_like(around))


def test_identity_is_1_under_another_light_and_0_for_another_texture():
    own, matte = make_image(64), disc(64, 20)
    reader, other = LightReader(own, matte), log_light(make_image(64, 5))
    assert reader.identity(log_light(own)) == pytest.approx(1)
    ramp = np.linspace(0.5, 1, 64, dtype=np.float32)[None, :, None]
    assert reader.identity(log_light(lit(own, ramp))) > 0.98
    assert abs(reader.identity(other)) < 0.1
    assert LightReader(np.full_like(own, 0.5), matte).identity(other) == 1


def test_relight_multiplies_linear_light():
    composite = make_image(8, low=0.2, high=0.6)
    assert np.array_equal(relight(composite, np.float32([1, 1, 1])), linear_to_srgb(srgb_to_linear(composite)))
    twice = srgb_to_linear(relight(composite, np.float32([2, 1, 0.5])))
    assert twice == pytest.approx(srgb_to_linear(composite) * np.float32([2, 1, 0.5]), abs=1e-5)


def test_shadow_gain_finds_a_shadow_beside_the_subject_and_never_brightens():
    before = np.full((96, 96, 3), 0.6, np.float32)
    matte = np.zeros((96, 96), np.float32)
    matte[20:60, 30:66] = 1
    after = before.copy()
    after[62:80, 20:76] = linear_to_srgb(srgb_to_linear(before[:1, :1]) * 0.5)
    after[:15] = 0.9
    gain = shadow_gain(after, before, matte)
    assert gain.shape == (96, 96, 1)
    assert gain[71, 48, 0] == pytest.approx(0.5, abs=0.12)
    assert gain.max() <= 1 and gain[5, 48, 0] == 1
    assert shadow_gain(before, before, matte) == pytest.approx(np.ones((96, 96, 1)))


def test_a_reader_computes_what_depends_on_the_composite_alone_once_for_all_seeds(monkeypatch):
    module = read_light.__globals__
    converted, convert = [], module["srgb_to_linear"]
    monkeypatch.setitem(module, "srgb_to_linear", lambda rows: converted.append(rows) or convert(rows))
    composite, matte, background = make_image(32), disc(32, 10), make_image(32, 1)
    results, references = ([lit(composite, gain, matte) for gain in gains] for gains in ((0.5, 0.6), (0.9, 1.1)))
    read(results, references, composite=composite, matte=matte, background=background, luma_only=True)

    def times(image):
        """How often an image was converted, in one or in several bands of rows."""
        return sum(len(rows) for rows in converted if np.shares_memory(rows, image)) / len(image)

    # The composite's light for its logarithm and for its weight; every other image's once.
    assert times(composite) == 2
    assert [times(image) for image in (*results, *references, background)] == [1] * 5
