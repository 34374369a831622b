"""The masked region of a latent."""

import torch

from phd_ops.latents.masked_latent import masked_at


def test_a_mask_may_depend_on_the_noise_level():
    assert masked_at(torch.tensor([0.0, 0.1, 1.0]), torch.tensor(1.0)).tolist() == [False, True, True]
    assert masked_at(lambda sigma: torch.tensor([0.0, 1.0]) * sigma, torch.tensor(0.0)).tolist() == [False, False]
