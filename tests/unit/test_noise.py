"""Noised latents of every model family: their marginals, and the noise itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from latent_support import model_sigma, ve_sigma

from phd_ops.latents.noise import (
    add_noise,
    append_dims,
    as_flow_input,
    item_noise,
    noise_from_velocity,
    opposite_pairs,
    renoise,
    signal,
)


def test_add_noise_by_hand():
    clean, noise = torch.tensor([2.0]), torch.tensor([3.0])
    assert add_noise(clean, noise, 0.25, flow=False).item() == 2 + 0.75
    assert add_noise(clean, noise, 0.25, flow=True).item() == 1.5 + 0.75


@pytest.mark.parametrize("flow", [False, True])
def test_no_noise_at_sigma_0(flow):
    clean = torch.randn(3, 4)
    assert torch.equal(add_noise(clean, torch.randn(3, 4), torch.tensor(0.0), flow), clean)


def test_flow_is_all_noise_at_sigma_1():
    noise = torch.randn(3, 4)
    assert torch.equal(add_noise(torch.randn(3, 4), noise, torch.tensor(1.0), True), noise)


@pytest.mark.parametrize(
    ("flow", "sigma", "to"), [(False, 0.5, 3.0), (False, 0.0, 1.0), (True, 0.2, 0.7), (True, 0.3, 1.0)]
)
def test_renoise_keeps_the_marginals_mean_and_covariance(flow, sigma, to):
    generator = torch.Generator().manual_seed(0)
    # Correlated data with a mean: x0 = m + L z, so x at level s has mean a m and covariance a^2 L L^T + s^2.
    low = torch.tensor([[1.0, 0.0], [0.8, 0.3]], dtype=torch.float64)
    mean = torch.tensor([2.0, -1.0], dtype=torch.float64)
    z, n, m = torch.randn(3, 200_000, 2, dtype=torch.float64, generator=generator)
    x = renoise(add_noise(mean + z @ low.T, n, sigma, flow), sigma, to, m, flow)
    a = signal(to, flow)
    assert x.mean(0).tolist() == pytest.approx((a * mean).tolist(), abs=0.03)
    assert torch.allclose(torch.cov(x.T), a**2 * low @ low.T + to**2 * torch.eye(2), rtol=0.02, atol=0.02)


@given(st.floats(0, 0.99))
def test_model_sigma_is_the_inverse_of_ve_sigma(sigma):
    assert model_sigma(ve_sigma(sigma, True), True) == pytest.approx(sigma, abs=1e-9)
    assert model_sigma(ve_sigma(sigma, False), False) == sigma


def test_ve_sigma_is_the_ratio_of_noise_to_signal():
    assert ve_sigma(0.6, flow=True) == pytest.approx(1.5)
    assert model_sigma(1.5, flow=True) == pytest.approx(0.6)
    clean, noise = torch.randn(2, 50, dtype=torch.float64)
    flow = add_noise(clean, noise, 0.6, True) / signal(0.6, True)
    assert torch.allclose(flow, add_noise(clean, noise, ve_sigma(0.6, True), False))


@pytest.mark.parametrize("flow", [False, True])
def test_a_jump_to_the_same_level_changes_nothing(flow):
    x, noise = torch.randn(2, 100)
    for sigma in torch.linspace(0.01, 0.99, 50):
        torch.testing.assert_close(renoise(x, sigma, sigma, noise, flow), x, rtol=1e-3, atol=1e-3)


def test_item_noise_is_standard_normal_and_depends_on_its_generator_alone():
    like = torch.zeros(2, 4, 50, 50, dtype=torch.float64)
    noise = item_noise(like, [torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)])
    assert (noise.shape, noise.dtype) == (like.shape, like.dtype)
    assert torch.equal(noise[0], noise[1])
    assert (noise.mean().item(), noise.std().item()) == pytest.approx((0, 1), abs=0.03)


def test_items_that_draw_no_noise_leave_their_generators_as_they_are():
    like, generators = torch.zeros(2, 8), [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    first = item_noise(like, generators, [True, False])
    assert not first[1].any() and first[0].all()
    assert torch.equal(
        item_noise(like[1:], generators[1:])[0], item_noise(like, [torch.Generator().manual_seed(2)] * 2)[0]
    )


def test_a_jump_to_pure_noise_from_pure_noise_is_finite():
    x, noise = torch.randn(2, 100)
    one = torch.tensor(1.0)
    assert torch.equal(renoise(x, one, one, noise, True), x)


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_opposite_pairs_give_every_second_run_the_negative_noise(runs):
    noise = torch.randn(runs * 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    before, kept = noise.clone(), opposite_pairs(noise, runs)
    for run in range(runs):
        mine = kept[2 * run : 2 * run + 2]
        assert torch.equal(mine, -kept[2 * run - 2 : 2 * run] if run % 2 else noise[2 * run : 2 * run + 2])
    assert torch.equal(noise, before)


def test_an_eps_network_s_input_becomes_the_flow_s_input_and_its_velocity_the_noise():
    generator = torch.Generator().manual_seed(0)
    clean, drawn = torch.randn(2, 3, 4, 2, 2, generator=generator, dtype=torch.float64)
    sigma = torch.tensor([0.05, 1.0, 14.6], dtype=torch.float64)
    level = sigma.view(-1, 1, 1, 1)
    x, t = as_flow_input((clean + level * drawn) / (1 + level**2).sqrt(), sigma)
    assert torch.equal(t, sigma / (1 + sigma))
    torch.testing.assert_close(x, add_noise(clean, drawn, t.view(-1, 1, 1, 1), flow=True))
    torch.testing.assert_close(noise_from_velocity(x, drawn - clean, t), drawn)


def test_the_noise_from_a_velocity_has_the_type_of_the_latent():
    x, sigma = torch.ones(2, 3, 4, dtype=torch.bfloat16), torch.tensor([0.5, 2.0])
    flow_input, t = as_flow_input(x, sigma)
    assert (flow_input.dtype, t.dtype) == (torch.bfloat16, torch.float32)
    assert noise_from_velocity(flow_input, x, t).dtype == torch.bfloat16


def test_append_dims_broadcasts_items_with_a_latent():
    like = torch.zeros(3, 4, 5, 6)
    assert append_dims(torch.arange(3), like).shape == (3, 1, 1, 1)
