"""The steps from level to level, held against k-diffusion's formulas written out."""

import math

import pytest
import torch

from phd_ops.latents.soft_mask import soft_mask_schedule, threshold
from phd_ops.latents.solvers import euler, euler_ancestral, extrapolated, free_at, half_log_snr, levels

X, DENOISED, BEFORE, NOISE = torch.randn(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def test_euler_by_hand():
    # From 2 to .5 at x = 5 with the clean value 1: three quarters of the way to it.
    assert euler(number(5.0), number(1.0), number(2.0), number(0.5)).item() == 2.0


def test_the_last_euler_step_ends_at_the_estimate():
    torch.testing.assert_close(euler(X, DENOISED, number(0.3), number(0.0)), DENOISED)


@pytest.mark.parametrize(("sigma", "following"), [(3.0, 1.0), (1.0, 0.2), (0.5, 0.5), (0.3, 0.0)])
def test_the_ancestral_step_is_k_diffusion_s(sigma, following):
    up = min(following, (following**2 * (sigma**2 - following**2) / sigma**2) ** 0.5)
    down = (following**2 - up**2) ** 0.5
    wanted = X + (X - DENOISED) / sigma * (down - sigma) + NOISE * up
    ours = euler_ancestral(X, DENOISED, number(sigma), number(following), NOISE, flow=False)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(("sigma", "following"), [(1.0, 0.7), (0.8, 0.2), (0.5, 0.5), (0.3, 0.0)])
def test_the_ancestral_step_of_rectified_flow_is_k_diffusion_s(sigma, following):
    down = following * (1 + (following / sigma - 1))
    rise = (1 - following) / (1 - down)
    added = max(following**2 - (down * rise) ** 2, 0) ** 0.5
    wanted = rise * (down / sigma * X + (1 - down / sigma) * DENOISED) + added * NOISE
    ours = euler_ancestral(X, DENOISED, number(sigma), number(following), NOISE, flow=True)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("flow", [False, True])
def test_the_second_order_step_is_dpm_solver_s(flow):
    previous, sigma, following = map(number, (0.9, 0.6, 0.25))

    def a(sigma):
        return 1 - sigma if flow else 1.0

    def lam(sigma):
        return math.log(a(sigma) / sigma)

    h, last = lam(following) - lam(sigma), lam(sigma) - lam(previous)
    r = last / h
    mixed = (1 + 1 / (2 * r)) * DENOISED - 1 / (2 * r) * BEFORE
    wanted = following / sigma * X - a(following) * math.expm1(-h) * mixed
    ours = euler(X, extrapolated(DENOISED, BEFORE, previous, sigma, following, flow), sigma, following)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(
    ("previous", "sigma", "following"), [(1.0, 0.5, 0.2), (0.9, 0.5, 0.0), (1.0, 0.5, 0.0), (0.5, 0.5, 0.2)]
)
def test_at_the_infinite_ends_of_a_flow_it_is_euler(previous, sigma, following):
    out = extrapolated(DENOISED, BEFORE, number(previous), number(sigma), number(following), flow=True)
    assert torch.equal(out, DENOISED)


def test_half_log_snr_is_infinite_at_both_ends():
    assert half_log_snr(number(0.0), flow=False) == torch.inf
    assert half_log_snr(number(1.0), flow=True) == -torch.inf
    assert half_log_snr(number(0.5), flow=True) == 0


def test_levels_are_pairs():
    assert [(a.item(), b.item()) for a, b in levels(torch.tensor([3.0, 2.0, 0.0]))] == [(3, 2), (2, 0)]


def test_a_mask_may_be_asked_at_every_level():
    assert free_at(torch.tensor([0.0, 0.1, 1.0]), number(1.0)).tolist() == [False, True, True]
    assert free_at(lambda sigma: torch.tensor([0.0, 1.0]) * sigma, number(0.0)).tolist() == [False, False]


SIGMAS = torch.tensor([10.0, 7.0, 4.0, 2.0, 1.0, 0.0])


def clock(sigma):
    return sigma * 100


def test_thresholds_run_from_one_to_nothing():
    found = [threshold(sigma, SIGMAS, clock, torch.tensor(1.0)).item() for sigma in SIGMAS[:-1]]
    assert found == pytest.approx([1, 6 / 9, 3 / 9, 1 / 9, 0])


def test_a_schedule_that_stops_early_has_its_own_end():
    found = [threshold(sigma, SIGMAS[:4], clock, torch.tensor(1.0)).item() for sigma in SIGMAS[:3]]
    assert found == pytest.approx([1, 5 / 8, 2 / 8])


def test_what_may_change_grows_from_the_ones_and_never_reaches_the_zeros():
    mask = torch.linspace(0, 1, 101)
    at = soft_mask_schedule(mask, SIGMAS, clock, torch.tensor(1.0))
    seen = [at(sigma) for sigma in SIGMAS[:-1]]
    assert all(free.dtype == torch.bool for free in seen)
    assert seen[0].nonzero().flatten().tolist() == [100]
    assert all(free[100] and not free[0] for free in seen)
    for earlier, later in zip(seen, seen[1:], strict=False):
        assert not (earlier & ~later).any()
    assert seen[-1].sum() == 100


def test_a_schedule_of_one_last_step_changes_all_of_the_mask():
    sigmas = torch.tensor([1.0, 0.0])
    at = soft_mask_schedule(torch.tensor([0.0, 0.3, 1.0]), sigmas, clock, torch.tensor(1.0))
    assert at(sigmas[0]).tolist() == [False, True, True]
