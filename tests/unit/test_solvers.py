"""The steps from level to level, compared with k-diffusion's formulas written out."""

import math

import pytest
import torch

from phd_ops.latents.solvers import dpmpp_2m_estimate, euler, euler_ancestral, half_log_snr, levels

X, DENOISED, PREVIOUS, NOISE = torch.randn(4, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def number(value):
    return torch.tensor(value, dtype=torch.float64)


def test_euler_by_hand():
    # From 2 to .5 at x = 5 with the clean value 1: three quarters of the way to it.
    assert euler(number(5.0), number(1.0), number(2.0), number(0.5)).item() == 2.0


def test_the_last_euler_step_ends_at_the_estimate():
    torch.testing.assert_close(euler(X, DENOISED, number(0.3), number(0.0)), DENOISED)


@pytest.mark.parametrize(("sigma", "sigma_next"), [(3.0, 1.0), (1.0, 0.2), (0.5, 0.5), (0.3, 0.0)])
def test_the_ancestral_step_is_k_diffusion_s(sigma, sigma_next):
    up = min(sigma_next, (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5)
    down = (sigma_next**2 - up**2) ** 0.5
    wanted = X + (X - DENOISED) / sigma * (down - sigma) + NOISE * up
    ours = euler_ancestral(X, DENOISED, number(sigma), number(sigma_next), NOISE, flow=False)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(("sigma", "sigma_next"), [(1.0, 0.7), (0.8, 0.2), (0.5, 0.5), (0.3, 0.0)])
def test_the_ancestral_step_of_rectified_flow_is_k_diffusion_s(sigma, sigma_next):
    down = sigma_next * (1 + (sigma_next / sigma - 1))
    rise = (1 - sigma_next) / (1 - down)
    added = max(sigma_next**2 - (down * rise) ** 2, 0) ** 0.5
    wanted = rise * (down / sigma * X + (1 - down / sigma) * DENOISED) + added * NOISE
    ours = euler_ancestral(X, DENOISED, number(sigma), number(sigma_next), NOISE, flow=True)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize("flow", [False, True])
def test_the_second_order_step_is_dpm_solver_s(flow):
    previous, sigma, sigma_next = map(number, (0.9, 0.6, 0.25))

    def a(sigma):
        return 1 - sigma if flow else 1.0

    def lam(sigma):
        return math.log(a(sigma) / sigma)

    h, last = lam(sigma_next) - lam(sigma), lam(sigma) - lam(previous)
    r = last / h
    mixed = (1 + 1 / (2 * r)) * DENOISED - 1 / (2 * r) * PREVIOUS
    wanted = sigma_next / sigma * X - a(sigma_next) * math.expm1(-h) * mixed
    ours = euler(X, dpmpp_2m_estimate(DENOISED, PREVIOUS, previous, sigma, sigma_next, flow), sigma, sigma_next)
    torch.testing.assert_close(ours, wanted)


@pytest.mark.parametrize(
    ("previous", "sigma", "sigma_next"), [(1.0, 0.5, 0.2), (0.9, 0.5, 0.0), (1.0, 0.5, 0.0), (0.5, 0.5, 0.2)]
)
def test_at_the_infinite_ends_of_a_flow_dpmpp_2m_is_euler(previous, sigma, sigma_next):
    out = dpmpp_2m_estimate(DENOISED, PREVIOUS, number(previous), number(sigma), number(sigma_next), flow=True)
    assert torch.equal(out, DENOISED)


def test_half_log_snr_is_infinite_at_both_ends():
    assert half_log_snr(number(0.0), flow=False) == torch.inf
    assert half_log_snr(number(1.0), flow=True) == -torch.inf
    assert half_log_snr(number(0.5), flow=True) == 0


def test_levels_are_pairs():
    assert [(a.item(), b.item()) for a, b in levels(torch.tensor([3.0, 2.0, 0.0]))] == [(3, 2), (2, 0)]
