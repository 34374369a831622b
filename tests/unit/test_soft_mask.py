"""A soft mask: which region is masked at which noise level, and that the samplers follow it."""

import pytest
import torch
from latent_support import CHAINS, CURVES, DTYPE, LENGTH, MASKED, counted, karras, process, repaint, sample

from phd_ops.latents.masked_langevin import MaskedLangevin
from phd_ops.latents.repaint import RePaint
from phd_ops.latents.soft_mask import remaining_share, soft_mask_schedule

SIGMAS = torch.tensor([10.0, 7.0, 4.0, 2.0, 1.0, 0.0])


def timestep(sigma):
    return sigma * 100


def test_the_remaining_share_runs_from_1_to_0():
    found = [remaining_share(sigma, SIGMAS, timestep, torch.tensor(1.0)).item() for sigma in SIGMAS[:-1]]
    assert found == pytest.approx([1, 6 / 9, 3 / 9, 1 / 9, 0])


def test_a_schedule_that_stops_early_has_its_own_end():
    found = [remaining_share(sigma, SIGMAS[:4], timestep, torch.tensor(1.0)).item() for sigma in SIGMAS[:3]]
    assert found == pytest.approx([1, 5 / 8, 2 / 8])


def test_the_masked_region_grows_from_the_ones_and_never_reaches_the_zeros():
    mask = torch.linspace(0, 1, 101)
    at = soft_mask_schedule(mask, SIGMAS, timestep, torch.tensor(1.0))
    seen = [at(sigma) for sigma in SIGMAS[:-1]]
    assert all(masked.dtype == torch.bool for masked in seen)
    assert seen[0].nonzero().flatten().tolist() == [100]
    assert all(masked[100] and not masked[0] for masked in seen)
    for earlier, later in zip(seen, seen[1:], strict=False):
        assert not (earlier & ~later).any()
    assert seen[-1].sum() == 100


def test_in_a_schedule_of_one_last_step_all_of_the_mask_is_masked():
    sigmas = torch.tensor([1.0, 0.0])
    at = soft_mask_schedule(torch.tensor([0.0, 0.3, 1.0]), sigmas, timestep, torch.tensor(1.0))
    assert at(sigmas[0]).tolist() == [False, True, True]


def soft_mask(sigmas):
    """A ramp towards a core that may always change."""
    mask = torch.zeros(1, 1, LENGTH, dtype=DTYPE)
    mask[..., 10:54] = torch.linspace(0.02, 0.98, 44, dtype=DTYPE)
    mask[..., MASKED] = 1
    return mask, soft_mask_schedule(mask, sigmas, lambda sigma: sigma.log(), torch.tensor(0.01, dtype=DTYPE))


def test_a_soft_mask_composes_with_inner_steps_and_its_calls_are_counted():
    sigmas = karras(9)
    mask, at = soft_mask(sigmas)
    assert counted(sigmas=sigmas, mask=at, inner_steps=3) == 9 + 3 * 8
    x = sample(sigmas, mask=at, inner_steps=3)
    outside = mask.flatten() == 0
    assert torch.equal(x[..., outside], process()[3][..., outside].expand(CURVES, CHAINS, -1))
    assert x.isfinite().all()


def test_levels_at_which_nothing_is_masked_yet_cost_no_call():
    sigmas, (mask, _) = karras(9), soft_mask(karras(9))
    late = soft_mask_schedule(mask / 2, sigmas, lambda sigma: sigma.log(), torch.tensor(0.01, dtype=DTYPE))
    calls = MaskedLangevin(inner_steps=3).count_calls(sigmas, late, False)
    assert 0 < calls < 9 + 3 * 8
    assert counted(sigmas=sigmas, mask=late, inner_steps=3) == calls
    jumps = {"jump_length": 2, "jump_count": 3}
    assert counted(repaint, sigmas=sigmas, mask=late, **jumps) == RePaint(**jumps).count_calls(sigmas, late, False)
