"""What both masked samplers promise for the items of a batch."""

import pytest
import torch
from latent_support import CHAINS, CURVES, DTYPE, LENGTH, block, karras, neighbors, process, repaint, run_items, sample

from phd_ops.latents.masked_langevin import MaskedLangevin
from phd_ops.latents.repaint import RePaint
from phd_ops.latents.soft_mask import soft_mask_schedule
from phd_ops.latents.solvers import SOLVERS


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("method", [MaskedLangevin, RePaint])
def test_an_item_does_not_depend_on_its_batch(method, solver):
    batch = run_items([7, 8, 9], method=method, solver=solver)
    for index, seed in enumerate([7, 8, 9]):
        assert torch.equal(batch[index], run_items([seed], method=method, solver=solver)[0])
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("method", [MaskedLangevin, RePaint])
def test_an_item_with_its_own_mask_does_not_depend_on_its_batch(method, solver):
    """Nothing may change, some may, some of it only later, all may (RePaint then does not run it a second time)."""
    ramp = block() * torch.linspace(0.2, 0.9, 6)
    masks = torch.cat([torch.zeros_like(ramp), block(), ramp, torch.ones_like(ramp)])
    sigmas = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.0])

    def run(items, masks):
        mask = soft_mask_schedule(masks, sigmas, lambda sigma: sigma, torch.tensor(0.1))
        return run_items(items, mask=mask, sigmas=sigmas.tolist(), method=method, solver=solver)

    seeds = [7, 8, 9, 10]
    batch = run(seeds, masks)
    for index, seed in enumerate(seeds):
        assert torch.equal(batch[index], run([seed], masks[index : index + 1])[0]), index


def test_estimates_of_items_without_a_masked_region_are_ignored():
    def denoise(x, sigma):
        out = neighbors(x, sigma)
        out[1] = float("nan")
        return out

    masks = torch.cat([block(), torch.zeros_like(block())])
    for method in (MaskedLangevin, RePaint):
        batch = run_items([7, 8], mask=masks, method=method, denoise=denoise)
        assert torch.equal(batch[0], run_items([7], method=method)[0])
        assert batch.isfinite().all()


@pytest.mark.parametrize("method", [MaskedLangevin, RePaint])
def test_a_first_estimate_that_is_not_finite_is_refused(method):
    def denoise(x, sigma):
        return x * float("nan")

    with pytest.raises(ValueError, match=r"The model's estimate is not finite \(NaN\)"):
        run_items([7, 8], denoise=denoise, method=method)


def test_an_empty_mask_gives_the_known_latent_back():
    mask = torch.zeros(1, 1, LENGTH, dtype=DTYPE)
    known = process()[3].expand(CURVES, CHAINS, LENGTH)
    assert torch.equal(sample(karras(7), mask=mask), known)
    assert torch.equal(repaint(karras(7), mask=mask), known)
