"""At which noise levels inner steps are made."""

import pytest
import torch
from latent_support import DTYPE, counted, karras, process, schedule

from phd_ops.latents.inner_steps import BAND, HARMONIZE_BAND, allocate
from phd_ops.latents.masked_langevin import MaskedLangevin
from phd_ops.latents.noise import signal


@pytest.mark.parametrize("inner_steps", [0, 1, 3, 7])
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
@pytest.mark.parametrize("flow", [False, True])
def test_inner_steps_are_made_where_noise_and_signal_are_of_similar_strength(flow, steps, inner_steps):
    sigmas = schedule(flow, steps) if steps > 1 else torch.tensor([0.5, 0.0], dtype=DTYPE)
    calls = allocate(sigmas, inner_steps, flow)
    assert min(calls) == 1 and calls[-1] == 1
    assert sum(calls) == steps + (steps - 1) * inner_steps
    ratios = sigmas[:-1] / signal(sigmas[:-1], flow)
    inside = (BAND[0] <= ratios) & (ratios <= BAND[1])
    if inside.any():
        assert all(asked == 1 for asked, inner in zip(calls, inside.tolist(), strict=True) if not inner)


def test_a_schedule_outside_the_band_still_gets_its_inner_steps():
    assert sum(allocate(torch.tensor([0.2, 0.1, 0.05, 0.0]), 2, flow=False)) == 3 + 2 * 2


def test_for_harmonizing_inner_steps_are_made_where_noise_is_stronger():
    sigmas = karras(12)
    calls = allocate(sigmas, 3, False, HARMONIZE_BAND)
    chosen = [float(sigma) for sigma, count in zip(sigmas, calls, strict=False) if count > 1]
    assert sum(calls) == 12 + 11 * 3
    assert chosen == [float(sigma) for sigma in sigmas[:-1] if HARMONIZE_BAND[0] <= sigma <= HARMONIZE_BAND[1]]
    assert max(chosen) > BAND[1] and min(chosen) > BAND[0]


def test_no_inner_steps_are_made_where_a_flow_latent_is_all_noise():
    sigmas = torch.tensor([1.0, 0.6, 0.2, 0.0], dtype=DTYPE)
    assert allocate(sigmas, 4, flow=True)[0] == 1
    assert counted(sigmas=sigmas, flow=True, inner_steps=4) == 3 + 2 * 4
    assert MaskedLangevin(inner_steps=4).count_calls(sigmas, process()[4], True) == 3 + 2 * 4
