"""The demo model's autoencoder, fitted in closed form."""

import pytest
import torch
from skimage import data

from demo.codec import CHANNELS, PATCH, PatchCodec


@pytest.fixture(scope="module")
def images():
    """Sixteen 64 x 64 crops of photographs."""
    crops = []
    for photograph in (data.astronaut(), data.coffee()):
        image = torch.from_numpy(photograph[:256, :512].copy()).permute(2, 0, 1).float() / 127.5 - 1
        crops += [image[:, y : y + 64, x : x + 64] for y in (0, 128) for x in (0, 128, 256, 384)]
    return torch.stack(crops)


@pytest.fixture
def codec(images):
    torch.manual_seed(0)
    codec = PatchCodec(width=16)
    codec.fit(images)
    # The trained refinement is not tested here: its last convolution gives 0.
    for parameter in codec.smooth[2].parameters():
        torch.nn.init.zeros_(parameter)
    return codec.requires_grad_(False)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (8, 8), (40, 72)])
def test_latents_have_an_eighth_of_the_images_size_and_decode_to_it(codec, height, width):
    latent = codec.encode(torch.zeros(2, 3, height, width))
    assert latent.shape == (2, CHANNELS, height // PATCH, width // PATCH)
    assert codec.decode(latent).shape == (2, 3, height, width)


def test_latents_have_unit_mean_square_and_no_mean(codec, images):
    latent = codec.encode(images)
    assert latent.square().mean().item() == pytest.approx(1, abs=0.02)
    assert latent.mean((0, 2, 3)).abs().max().item() < 0.02


def test_the_round_trip_keeps_the_images(codec, images):
    error = (codec.decode(codec.encode(images)) - images).square().mean()
    assert error < 0.03 * images.var()


def test_what_the_components_span_comes_back_exactly(codec):
    latent = torch.randn(2, CHANNELS, 5, 4)
    assert torch.allclose(codec.encode(codec.decode(latent)), latent, atol=1e-4)


def test_images_of_few_components_come_back_exactly(codec, images):
    once = codec.decode(codec.encode(images))
    assert torch.allclose(codec.decode(codec.encode(once)), once, atol=1e-4)


def test_components_fall_in_strength(codec, images):
    deviation = codec.encode(images).std((0, 2, 3))
    assert (deviation[1:] <= deviation[:-1] * 1.01).all()
