"""The masked Langevin loop, held against a Gaussian process whose posterior is known.

The denoiser is exact, so what is off is the sampler's own. One curve flatters or slanders a sampler (its W2 moves
between .2 and .9 with the curve), so 24 are drawn, each an item of the batch, with 96 chains in the channels.
"""

import functools

import pytest
import torch

from phd_ops.langevin import count_calls, sample_masked_langevin, step_noise
from phd_ops.noise import add_noise, model_sigma, signal

DTYPE = torch.float64
LENGTH, CURVES, CHAINS = 64, 24, 96
FREE = slice(20, 44)


def karras(steps, low=0.02, high=30.0, rho=7):
    ramp = torch.linspace(0, 1, steps, dtype=DTYPE)
    sigmas = (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
    return torch.cat([sigmas, torch.zeros(1, dtype=DTYPE)])


@functools.cache
def process():
    """Covariance of a smooth curve with fine texture, its eigendecomposition, curves [CURVES,1,LENGTH], the mask."""
    place = torch.arange(LENGTH, dtype=DTYPE)
    apart = place[:, None] - place

    def rbf(length, deviation):
        return deviation**2 * torch.exp(-0.5 * (apart / length) ** 2)

    covariance = rbf(10, 0.8) + rbf(1.5, 0.4) + 1e-4 * torch.eye(LENGTH, dtype=DTYPE)
    values, vectors = torch.linalg.eigh(covariance)
    normal = torch.randn(CURVES, 1, LENGTH, dtype=DTYPE, generator=torch.Generator().manual_seed(0))
    known = normal * values.sqrt() @ vectors.T
    mask = torch.zeros(LENGTH, dtype=DTYPE)
    mask[FREE] = 1
    return covariance, values, vectors, known, mask


@functools.cache
def posterior():
    """Means [CURVES,1,FREE] and the covariance they share."""
    covariance, _, _, known, mask = process()
    free = mask > 0
    gain = covariance[free][:, ~free] @ torch.linalg.inv(covariance[~free][:, ~free])
    return known[..., ~free] @ gain.T, covariance[free][:, free] - gain @ covariance[~free][:, free]


def oracle(flow):
    """E[x0 | x], exact."""
    _, values, vectors, _, _ = process()

    def denoise(x, sigma):
        a = signal(sigma, flow)
        return (x @ vectors * (a * values / (a**2 * values + sigma**2))) @ vectors.T

    return denoise


def normal(seed):
    return torch.randn(CURVES, CHAINS, LENGTH, dtype=DTYPE, generator=torch.Generator().manual_seed(seed))


def sample(sigmas, flow=False, denoise=None, mask=None, **options):
    _, _, _, curves, free = process()
    noise, known = normal(1), curves.expand(CURVES, CHAINS, LENGTH)
    return sample_masked_langevin(
        denoise or oracle(flow),
        add_noise(known, noise, sigmas[0], flow),
        sigmas,
        known,
        free if mask is None else mask,
        noise,
        [torch.Generator().manual_seed(100 + index) for index in range(CURVES)],
        flow=flow,
        **options,
    )


def moments(x):
    """Squared error of the mean (without its own sampling error), and the covariance about each curve's mean."""
    x = x[..., FREE]
    about = (x - x.mean(1, keepdim=True)).flatten(0, 1)
    covariance = about.T @ about / (CURVES * (CHAINS - 1))
    error = (x.mean(1, keepdim=True) - posterior()[0]).square().sum(-1).mean() - covariance.trace() / CHAINS
    return error, covariance


def wasserstein(x):
    """Distance of the samples from the posterior, as Gaussians, relative to the posterior's deviation."""
    truth = posterior()[1]
    error, covariance = moments(x)
    values, vectors = torch.linalg.eigh(truth)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ covariance @ root).clamp(min=0).sqrt().sum()
    squared = error + truth.trace() + covariance.trace() - 2 * cross
    return (squared.clamp(min=0) / truth.trace()).sqrt().item()


def mean_error(x):
    return (moments(x)[0].clamp(min=0) / posterior()[1].trace()).sqrt().item()


def variance_ratio(x):
    return (moments(x)[1].trace() / posterior()[1].trace()).item()


def squared_jumps(x):
    """Across the mask's two edges."""
    return (x[..., FREE.start] - x[..., FREE.start - 1]).square() + (x[..., FREE.stop] - x[..., FREE.stop - 1]).square()


def seam(x):
    """Squared jump across the mask's edges over that of true samples."""
    mean, covariance = posterior()
    truth = process()[3].clone()
    truth[..., FREE] = mean
    return (squared_jumps(x).mean() / (squared_jumps(truth).mean() + covariance[0, 0] + covariance[-1, -1])).item()


def test_the_yardsticks_read_true_samples_as_true():
    mean, covariance = posterior()
    x = process()[3].repeat(1, CHAINS, 1)
    x[..., FREE] = mean + normal(3)[..., FREE] @ torch.linalg.cholesky(covariance).T
    assert wasserstein(x) < 0.1
    assert mean_error(x) < 0.05
    assert seam(x) == pytest.approx(1, abs=0.1)
    assert variance_ratio(x) == pytest.approx(1, abs=0.1)


def schedule(flow, steps):
    """One and the same ladder of noise-to-signal ratios for both families."""
    return torch.tensor([model_sigma(sigma, flow) for sigma in karras(steps).tolist()], dtype=DTYPE)


@pytest.mark.parametrize("flow", [False, True])
def test_inner_steps_heal_what_more_outer_steps_do_not(flow):
    # Measured: replacement .73 and seam 3.7 at 60 calls, no better than at 10; 10 x 5 in 55 calls .42 and .80.
    plain, healed = sample(schedule(flow, 60), flow, inner_steps=0), sample(schedule(flow, 10), flow, inner_steps=5)
    assert wasserstein(plain) > 0.6 and seam(plain) > 3
    assert wasserstein(healed) < 0.7 * wasserstein(plain)
    assert mean_error(healed) < 0.8 * mean_error(plain)
    assert 0.6 < seam(healed) < 1.3


def test_twenty_steps_come_close_to_the_posterior():
    x = sample(karras(20), inner_steps=5)
    # Measured: .38, .71, .96.
    assert wasserstein(x) < 0.45
    assert 0.6 < seam(x) < 1.2
    assert variance_ratio(x) == pytest.approx(1, abs=0.15)


def test_guidance_brings_the_mean_closer_than_none():
    # Measured: .38 against .47.
    assert wasserstein(sample(karras(20), guidance=5)) < 0.9 * wasserstein(sample(karras(20), guidance=0))


def test_both_families_are_one_sampler():
    ve, flow = (sample(schedule(flow, 10), flow, inner_steps=5) for flow in (False, True))
    assert torch.allclose(ve, flow, atol=1e-6)


@pytest.mark.parametrize("flow", [False, True])
def test_without_inner_steps_it_is_plain_replacement_sampling_bit_for_bit(flow):
    """ComfyUI's KSampler with a noise mask: KSamplerX0Inpaint around k-diffusion's sample_euler."""
    _, _, _, curves, mask = process()
    sigmas, denoise = schedule(flow, 12).float(), oracle(flow)
    noise = torch.randn(2, 3, LENGTH, generator=torch.Generator().manual_seed(5))
    known = curves[:2].float().expand(2, 3, LENGTH)

    def denoise_float(x, sigma):
        return denoise(x.double(), sigma.double()).float()

    def noised(sigma):
        return sigma * noise + (1.0 - sigma) * known if flow else noise * sigma + known

    x = noised(sigmas[0])
    ours = sample_masked_langevin(denoise_float, x, sigmas, known, mask, noise, [], flow=flow, inner_steps=0)
    binary = mask.float()
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        x = x * binary + noised(sigma) * (1 - binary)
        denoised = denoise_float(x, sigma) * binary + known * (1 - binary)
        d = (x - denoised) / sigma
        x = x + d * (following - sigma)
    assert torch.equal(ours[..., FREE], x[..., FREE])
    assert torch.equal(ours[..., mask == 0], known[..., mask == 0])


@pytest.mark.parametrize("inner_steps", [0, 5])
@pytest.mark.parametrize("flow", [False, True])
def test_the_known_part_comes_back_exactly(flow, inner_steps):
    x = sample(schedule(flow, 5), flow, inner_steps=inner_steps)
    _, _, _, known, mask = process()
    assert torch.equal(x[..., mask == 0], known[..., mask == 0].expand(CURVES, CHAINS, -1))
    assert (x[..., mask > 0] != known[..., mask > 0]).all()


def test_a_soft_mask_is_never_blended():
    mask = process()[4]
    soft = mask.clone()
    soft[FREE] = 0.01
    assert torch.equal(sample(karras(5), mask=soft), sample(karras(5), mask=mask))


def test_a_mask_of_ones_is_plain_sampling():
    sigmas = karras(10)
    x = sample(sigmas, mask=torch.ones(LENGTH, dtype=DTYPE), inner_steps=0)
    plain, denoise = add_noise(process()[3], normal(1), sigmas[0], False), oracle(False)
    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        plain = plain + (plain - denoise(plain, sigma)) / sigma * (following - sigma)
    assert torch.equal(x, plain)


@pytest.mark.parametrize(("step_size", "inner_steps", "within"), [(0.1, 20, 0.04), (1.0, 10, 0.3)])
@pytest.mark.parametrize("flow", [False, True])
def test_inner_steps_leave_true_samples_of_their_level_as_they_are(flow, step_size, inner_steps, within):
    # At step size 1 the frozen estimate costs some variance of the data (measured: .23); short steps cost none.
    covariance = process()[0]
    curves, noise = normal(5) @ torch.linalg.cholesky(covariance).T, normal(6)
    level = torch.tensor(model_sigma(0.5, flow), dtype=DTYPE)
    seen = []
    sample_masked_langevin(
        oracle(flow),
        add_noise(curves, noise, level, flow),
        torch.stack([level, level, level * 0]),
        curves,
        torch.ones(1, dtype=DTYPE),
        noise,
        [torch.Generator().manual_seed(100 + index) for index in range(CURVES)],
        flow=flow,
        inner_steps=inner_steps,
        step_size=step_size,
        callback=lambda call, denoised, x: seen.append(x),
    )
    data_variance = (seen[inner_steps].flatten(0, 1).var(0).mean() - level**2) / signal(level, flow) ** 2
    assert (data_variance / covariance.diagonal().mean()).item() == pytest.approx(1, abs=within)


@pytest.mark.parametrize("sigmas", [[1.0, 0.5, 0.0], [1.0, 0.9999, 0.3, 0.0], [0.6, 0.0]])
def test_a_flow_from_pure_noise_to_none_is_finite(sigmas):
    assert sample(torch.tensor(sigmas, dtype=DTYPE), flow=True, inner_steps=3).isfinite().all()


def neighbours(x, sigma):
    """A denoiser that mixes only within an item, in operations that do not know the batch."""
    return 0.5 * x / (1 + sigma) + 0.25 * (torch.roll(x, 1, -1) + torch.roll(x, -1, -1)) / (1 + sigma)


def run_items(items, shape=(4, 6, 6), mask=None, inner_steps=3):
    """Items are named by their seeds."""

    def draw(salt):
        return torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed + salt)) for seed in items])

    known, noise, sigmas = draw(100), draw(200), torch.tensor([3.0, 1.0, 0.3, 0.0])
    if mask is None:
        mask = torch.zeros(1, 1, *shape[1:])
        mask[..., 2:5] = 1
    generators = [torch.Generator().manual_seed(seed) for seed in items]
    x = add_noise(known, noise, sigmas[0], False)
    return sample_masked_langevin(
        neighbours, x, sigmas, known, mask, noise, generators, flow=False, inner_steps=inner_steps
    )


def test_an_item_does_not_depend_on_its_batch():
    batch = run_items([7, 8, 9])
    for index, seed in enumerate([7, 8, 9]):
        assert torch.equal(batch[index], run_items([seed])[0])
    assert not torch.equal(batch[0], batch[1])


def test_the_same_seed_gives_the_same_latent():
    assert torch.equal(run_items([7]), run_items([7]))


def test_step_noise_is_standard_normal_and_its_generators_own():
    like = torch.zeros(2, 4, 50, 50, dtype=DTYPE)
    noise = step_noise(like, [torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)])
    assert (noise.shape, noise.dtype) == (like.shape, DTYPE)
    assert torch.equal(noise[0], noise[1])
    assert (noise.mean().item(), noise.std().item()) == pytest.approx((0, 1), abs=0.03)


def test_video_latents_take_a_mask_of_one_channel_and_one_frame():
    mask = torch.zeros(1, 1, 1, 6, 6)
    mask[..., 2:5] = 1
    once = run_items([7], (4, 3, 6, 6), mask)
    assert torch.equal(once, run_items([7], (4, 3, 6, 6), mask.expand(1, 4, 3, 6, 6)))


@pytest.mark.parametrize(
    ("steps", "inner_steps", "calls"), [(0, 5, 0), (1, 5, 1), (10, 0, 10), (10, 5, 55), (6, 5, 31)]
)
def test_count_calls_is_what_is_called(steps, inner_steps, calls):
    seen = []

    def denoise(x, sigma):
        seen.append(float(sigma))
        return x / (1 + sigma)

    sigmas = karras(steps) if steps > 1 else torch.tensor([1.0, 0.0])[-1 - steps :]
    assert count_calls(sigmas, inner_steps, flow=False) == calls
    sample(sigmas, denoise=denoise, inner_steps=inner_steps)
    assert len(seen) == calls


def test_no_inner_steps_are_taken_or_counted_where_a_flow_latent_is_all_noise():
    sigmas, calls = torch.tensor([1.0, 0.6, 0.2, 0.0], dtype=DTYPE), []
    sample(
        sigmas,
        flow=True,
        inner_steps=4,
        callback=lambda call, denoised, x: calls.append(call),
    )
    assert calls == list(range(3 + 4))
    assert len(calls) == count_calls(sigmas, 4, flow=True)


def test_the_callback_sees_every_call_and_its_own_picture():
    estimates, inputs = [], []

    def denoise(x, sigma):
        inputs.append(x)
        estimates.append(x / (1 + sigma))
        return estimates[-1]

    seen = []
    sample(karras(3), denoise=denoise, inner_steps=2, callback=lambda *call: seen.append(call))
    assert [call for call, _, _ in seen] == list(range(7))
    assert all(a is b for (_, a, _), b in zip(seen, estimates, strict=True))
    assert all(a is b for (_, _, a), b in zip(seen, inputs, strict=True))


def test_inner_steps_of_a_longer_step_size_follow_the_estimate_further():
    # One inner step at one level with a denoiser that says 0: the free part keeps exp(-step) of itself, plus noise.
    sigmas = torch.tensor([1.0, 1.0, 0.0], dtype=DTYPE)
    inputs = []

    def denoise(x, sigma):
        inputs.append(x)
        return torch.zeros_like(x)

    for step_size, share in ((0.5, 0.6065), (2.0, 0.1353)):
        inputs.clear()
        sample(sigmas, denoise=denoise, inner_steps=1, step_size=step_size)
        before, after = (x[..., FREE].flatten() for x in inputs[:2])
        slope = (before * after).mean() / before.square().mean()
        assert slope.item() == pytest.approx(share, abs=0.02)
        assert (after - slope * before).std().item() == pytest.approx((1 - share**2) ** 0.5, abs=0.02)
