"""The stand-in for the autoencoder module that the packaged ComfyUI backend lacks."""

import comfy.ldm.models.autoencoder as present
import pytest
import torch

from devtools import autoencoder as stand_in

CONFIG = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 64,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 2],
    "num_res_blocks": 1,
    "attn_resolutions": [],
    "dropout": 0.0,
}


def build(module):
    model = module.AutoencoderKL(ddconfig=CONFIG, embed_dim=4)
    generator = torch.Generator().manual_seed(0)
    # ComfyUI's layers start without values; sorted names give both builds the same ones.
    weights = {
        name: torch.randn(value.shape, generator=generator) * 0.05 for name, value in sorted(model.state_dict().items())
    }
    model.load_state_dict(weights)
    return model.eval()


def test_has_the_shapes_of_a_variational_autoencoder():
    model = build(stand_in)
    with torch.no_grad():
        latent = model.encode(torch.zeros(1, 3, 64, 48))
        assert latent.shape == (1, 4, 32, 24)
        assert model.decode(latent).shape == (1, 3, 64, 48)


def test_computes_what_comfyuis_own_module_computes():
    if present is stand_in:
        pytest.skip("this ComfyUI has no module of its own to compare with")
    own, ours = build(present), build(stand_in)
    assert own.state_dict().keys() == ours.state_dict().keys()
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        latent = own.encode(image)
        assert torch.equal(ours.encode(image), latent)
        assert torch.equal(ours.decode(latent), own.decode(latent))
