"""The masked region of a latent."""

import torch

from phd_ops.latents.masked_latent import append_dims, masked_at


def test_a_mask_may_depend_on_the_noise_level():
    assert masked_at(torch.tensor([0.0, 0.1, 1.0]), torch.tensor(1.0)).tolist() == [False, True, True]
    assert masked_at(lambda sigma: torch.tensor([0.0, 1.0]) * sigma, torch.tensor(0.0)).tolist() == [False, False]


def test_append_dims_broadcasts_items_with_a_latent():
    like = torch.zeros(3, 4, 5, 6)
    assert append_dims(torch.arange(3), like).shape == (3, 1, 1, 1)
