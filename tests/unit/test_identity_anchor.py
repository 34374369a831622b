"""The identity anchor: one band of an estimate is held at a reference, the other is left to the model."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phd_ops.latents.identity_anchor import ANCHORS, RELIGHT, RESTYLE, anchored, noise_share, subject_sigma
from phd_ops.local_linear import local_linear_smooth

SIDE = 32


def disc(radius=10.0, soft=0.0, side=SIDE):
    """[1,1,side,side]"""
    at = torch.arange(side) - (side - 1) / 2
    inside = radius - torch.hypot(at[:, None], at)
    return ((inside / soft + 0.5).clamp(0, 1) if soft else (inside > 0).float())[None, None]


def normal(seed, *shape):
    return torch.randn(*(shape or (1, 4, SIDE, SIDE)), generator=torch.Generator().manual_seed(seed))


def light(slope_x, slope_y, height=0.0):
    at = (torch.arange(SIDE) - SIDE / 2) / 8
    return (height + slope_x * at + slope_y * at[:, None]).expand(1, 4, SIDE, SIDE)


DISC = disc()
INSIDE = (DISC > 0).expand(1, 4, SIDE, SIDE)


def fine(field, subject=DISC):
    return field - local_linear_smooth(field, subject, subject_sigma(subject))


def test_relight_brings_the_texture_back_and_leaves_the_estimate_s_light():
    texture, old, new = normal(1), light(1, 0.5), light(-2, 1, 3)
    held = anchored(new, old + texture, DISC, 1.0)
    torch.testing.assert_close(held[INSIDE], (new + fine(texture))[INSIDE], rtol=0, atol=1e-5)
    assert (held - new)[INSIDE].std() > 0.8


def test_restyle_brings_the_coarse_colors_back_and_leaves_the_estimate_s_texture():
    texture, old, new = normal(1), light(1, 0.5), light(-2, 1, 3)
    held = anchored(new + texture, old, DISC, 1.0, RESTYLE)
    torch.testing.assert_close(held[INSIDE], (old + fine(texture))[INSIDE], rtol=0, atol=1e-5)


def test_a_reference_under_another_light_only_changes_nothing_at_all():
    estimate = normal(1)
    held = anchored(estimate, estimate + light(1, -1, 2), DISC, 1.0)
    torch.testing.assert_close(held, estimate, rtol=0, atol=1e-5)


def test_both_bands_add_up_to_the_reference():
    estimate, own, subject = normal(1), normal(2), disc(soft=4)
    both = sum(anchored(estimate, own, subject, 1.0, anchor) - estimate for anchor in ANCHORS)
    torch.testing.assert_close(both, subject * (own - estimate), rtol=0, atol=1e-5)


def test_at_the_rim_nothing_of_the_old_light_is_left_where_a_gaussian_leaves_much():
    old, new, texture = light(2, 0), light(-2, 0), 0.3 * normal(3)
    wanted = new + fine(texture)
    at = torch.arange(SIDE)
    window = torch.exp(-0.5 * ((at[:, None] - at) / subject_sigma(DISC)) ** 2)

    def gaussian(field):
        return (window @ (DISC * field) @ window) / (window @ DISC @ window)

    apart = old + texture - new
    by_gaussian = new + DISC * (apart - gaussian(apart))
    rim = INSIDE & (disc(9) == 0)
    assert (by_gaussian - wanted)[rim].abs().max() > 1.5
    assert (anchored(new, old + texture, DISC, 1.0) - wanted)[rim].abs().max() < 1e-5


@pytest.mark.parametrize("anchor", ANCHORS)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_outside_the_subject_no_bit_changes(anchor, seed, strength):
    subject = (normal(seed, 1, 1, SIDE, SIDE) - 1).clamp(0, 1)
    estimate, own = normal(seed + 1), normal(seed + 2)
    outside = (subject == 0).expand_as(estimate)
    held = anchored(estimate, own, subject, strength, anchor)
    assert torch.equal(held[outside], estimate[outside])
    # Nothing is used there either.
    assert torch.equal(held, anchored(estimate, torch.where(outside, 1e6, own), subject, strength, anchor))


@pytest.mark.parametrize("anchor", ANCHORS)
def test_strength_0_changes_no_bit(anchor):
    assert torch.equal(anchored(normal(1), normal(2), DISC, 0.0, anchor), normal(1))


@pytest.mark.parametrize("anchor", ANCHORS)
def test_the_change_is_linear_in_strength(anchor):
    change = {w: anchored(normal(1), normal(2), DISC, w, anchor) - normal(1) for w in (0.25, 1.0)}
    torch.testing.assert_close(change[0.25], 0.25 * change[1.0], rtol=0, atol=1e-6)
    assert change[1.0][INSIDE].abs().mean() > 0.05


def test_a_cell_that_is_half_subject_is_held_half_as_far():
    """The smoother depends on relative weights only, so that halving all of them halves the change and nothing else."""
    estimate, own, faint = normal(1), normal(2), 0.5 * DISC
    sigmas = subject_sigma(DISC), subject_sigma(faint)
    assert sigmas[1] == pytest.approx(sigmas[0] / math.sqrt(2))
    apart = own - estimate
    held = 0.5 * (apart - local_linear_smooth(apart, DISC, sigmas[1]))
    torch.testing.assert_close(anchored(estimate, own, faint, 1.0) - estimate, DISC * held, rtol=0, atol=1e-5)


def test_subject_sigma_is_a_quarter_of_the_subject_s_diameter():
    assert subject_sigma(disc(14)) == pytest.approx(7, rel=0.02)
    assert subject_sigma(disc(1)) == 1 == subject_sigma(torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("cells", [1, 2, 3])
@pytest.mark.parametrize("anchor", ANCHORS)
def test_a_subject_of_a_few_cells_is_defined(cells, anchor):
    subject = torch.zeros(1, 1, SIDE, SIDE)
    subject[0, 0, 4, 4 : 4 + cells] = 1
    estimate, own = normal(1), normal(2)
    held = anchored(estimate, own, subject, 1.0, anchor)
    low, high = torch.minimum(estimate, own), torch.maximum(estimate, own)
    assert held.isfinite().all()
    if cells == 1:
        # A single cell is all coarse.
        torch.testing.assert_close(held, estimate if anchor == RELIGHT else torch.where(subject > 0, own, estimate))
    assert (held >= low.min() - 1).all() and (held <= high.max() + 1).all()


@pytest.mark.parametrize("anchor", ANCHORS)
def test_an_empty_subject_gives_the_estimate_back(anchor):
    assert torch.equal(anchored(normal(1), normal(2), torch.zeros(1, 1, SIDE, SIDE), 1.0, anchor), normal(1))


@pytest.mark.parametrize("anchor", ANCHORS)
def test_items_of_a_batch_are_independent(anchor):
    estimates, owns = normal(1, 3, 4, SIDE, SIDE), normal(2, 3, 4, SIDE, SIDE)
    subjects = torch.cat([disc(4), torch.zeros(1, 1, SIDE, SIDE), disc(12, soft=5)])
    together = anchored(estimates, owns, subjects, 0.7, anchor)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.equal(together[one], anchored(estimates[one], owns[one], subjects[one], 0.7, anchor))


@pytest.mark.parametrize("anchor", ANCHORS)
def test_a_video_is_held_frame_by_frame(anchor):
    estimate, own = (normal(seed, 2, 4, 3, SIDE, SIDE) for seed in (1, 2))
    subject = torch.stack([disc(radius) for radius in (3, 6, 9, 12, 5, 0)]).view(2, 3, 1, SIDE, SIDE).movedim(1, 2)
    video = anchored(estimate, own, subject, 0.7, anchor)
    assert video.shape == estimate.shape
    for frame in range(3):
        alone = anchored(*(x[:, :, frame] for x in (estimate, own, subject)), 0.7, anchor)
        assert torch.equal(video[:, :, frame], alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_neither_overflows_nor_is_lost(dtype):
    estimate, own = ((300 * normal(seed)).to(dtype) for seed in (1, 2))
    held = anchored(estimate, own, DISC.to(dtype), 1.0)
    assert held.dtype == dtype and held.isfinite().all()
    wanted = anchored(estimate.float(), own.float(), DISC, 1.0)
    torch.testing.assert_close(held.float(), wanted, rtol=0, atol=300 * 10 * torch.finfo(dtype).eps)


def test_a_difference_beyond_the_range_of_half_precision_is_handled():
    estimate, own = (level + 10 * normal(seed).sign() for seed, level in ((1, -40000), (2, 40000)))
    held = anchored(estimate.half(), own.half(), DISC, 1.0)
    assert held.isfinite().all() and (held.float() - estimate).abs().max() < 200


def test_inputs_are_left_as_they_were():
    given = [normal(1), normal(2), disc(soft=3)]
    copies = [value.clone() for value in given]
    anchored(*given, 1.0)
    assert all(torch.equal(value, copy) for value, copy in zip(given, copies, strict=True))


def test_batches_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        anchored(normal(1, 2, 4, SIDE, SIDE), normal(2), DISC, 1.0)


def test_noise_share_falls_from_1_to_0():
    assert noise_share(3.0, flow=False) == 0.75
    assert noise_share(0.6, flow=True) == pytest.approx(0.6)
    assert noise_share(0.0, flow=False) == noise_share(0.0, flow=True) == 0
