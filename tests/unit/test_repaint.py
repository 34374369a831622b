"""RePaint, compared with a Gaussian process whose posterior is known."""

import pytest
import torch
from latent_support import (
    CHAINS,
    CURVES,
    DTYPE,
    LENGTH,
    block,
    counted,
    karras,
    ladder,
    process,
    repaint,
    run_items,
    schedule,
    seam,
    wasserstein,
)

from phd_ops.latents.repaint import RePaint
from phd_ops.latents.solvers import SOLVERS


@pytest.mark.parametrize(
    ("steps", "length", "count", "calls"), [(20, 1, 5, 96), (20, 4, 5, 84), (20, 3, 2, 38), (5, 9, 3, 5), (1, 1, 4, 1)]
)
def test_count_calls_is_the_number_of_model_calls(steps, length, count, calls):
    sigmas = ladder(steps)
    assert RePaint(jump_length=length, jump_count=count).count_calls(sigmas, process()[4], False) == calls
    assert counted(repaint, sigmas=sigmas, jump_length=length, jump_count=count) == calls


@pytest.mark.parametrize("flow", [False, True])
def test_jumps_bring_samples_closer_to_the_posterior_and_keep_the_known_region(flow):
    # Measured: plain ancestral .6 and seam 3; RePaint's 5 x 1 in 96 calls about .45 and 1.
    sigmas, outside = schedule(flow, 20), process()[4].flatten() == 0
    x, plain = repaint(sigmas, flow), repaint(sigmas, flow, jump_count=1)
    assert wasserstein(x) < 0.85 * wasserstein(plain)
    assert seam(x) < 0.7 * seam(plain)
    assert torch.equal(x[..., outside], process()[3][..., outside].expand(CURVES, CHAINS, -1))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_flow_from_pure_noise_is_finite(solver):
    sigmas = torch.tensor([1.0, 0.8, 0.4, 0.0], dtype=DTYPE)
    assert repaint(sigmas, flow=True, jump_length=1, jump_count=3, solver=solver).isfinite().all()


def test_an_item_with_nothing_known_is_not_resampled():
    masks = torch.cat([torch.ones_like(block()), block(), torch.zeros_like(block())])
    options = {"method": RePaint, "jump_length": 2, "jump_count": 3, "sigmas": (3.0, 2.0, 1.0, 0.5, 0.0)}
    batch = run_items([7, 8, 9], mask=masks, **options)
    for index, seed in enumerate((7, 8, 9)):
        assert torch.equal(batch[index], run_items([seed], mask=masks[index : index + 1], **options)[0])
    count = RePaint(jump_length=2, jump_count=3).count_calls(torch.tensor(options["sigmas"]), masks[::2], False)
    assert count == 4


def test_with_nothing_known_it_is_plain_ancestral_sampling():
    mask = torch.ones(1, 1, LENGTH, dtype=DTYPE)
    assert torch.equal(repaint(karras(6), mask=mask), repaint(karras(6), mask=mask, jump_count=1))
    assert counted(repaint, sigmas=karras(6), mask=mask) == 6
