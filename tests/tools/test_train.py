"""The loss of the demo model's training, and what its UNet gets."""

from types import SimpleNamespace

import pytest
import torch

from devtools.comfyui import widget_defaults
from training import diffusion
from training.data import SceneBatch
from training.diffusion import LIGHT_WEIGHT, SEEN_WEIGHT, SUBJECT_WEIGHT, training_loss
from training.networks import unet_input

CHANNELS = torch.tensor([1.5, 0.5])


def loss(error: list, subject: list, hidden: list) -> float:
    """The loss of one scene with 1×4 cells and two channels."""
    row = [torch.tensor(cells).float().view(1, 1, 1, 4) for cells in (subject, hidden)]
    batch = SceneBatch(torch.zeros(1, 3, 8, 32), *row, ["a cat"])
    return training_loss(torch.tensor(error).float().view(1, 2, 1, 4), CHANNELS, batch).item()


def test_without_a_subject_the_loss_is_the_channel_weighted_mean_square():
    found = loss([[1, -1, 2, 0], [0, 2, 0, 0]], [0, 0, 0, 0], [1, 1, 1, 1])
    assert found == pytest.approx((1.5 * 6 + 0.5 * 4) / (4 * 2))


def test_visible_cells_have_a_small_weight():
    found = loss([[1, 0, 0, 1], [0, 0, 0, 0]], [0, 0, 0, 0], [1, 1, 0, 0])
    assert found == pytest.approx(1.5 * (1 + SEEN_WEIGHT) / ((2 + 2 * SEEN_WEIGHT) * 2))


def test_an_error_common_to_a_subject_counts_as_light():
    cells = 2 * SUBJECT_WEIGHT + 2
    details = 2 * SUBJECT_WEIGHT * 1.5
    none = [0, 0, 0, 0]
    assert loss([[1, -1, 0, 0], none], [1, 1, 0, 0], [1, 1, 1, 1]) == pytest.approx(details / (cells * 2))
    shared = loss([[1, 1, 0, 0], none], [1, 1, 0, 0], [1, 1, 1, 1])
    assert shared == pytest.approx(details * (1 + LIGHT_WEIGHT) / (cells * 2))


def test_a_visible_subject_adds_no_light_term():
    error = [[1, 1, 0, 0], [0, 0, 0, 0]]
    seen = 2 * SEEN_WEIGHT * SUBJECT_WEIGHT
    assert loss(error, [1, 1, 0, 0], [0, 0, 1, 1]) == pytest.approx(seen * 1.5 / ((seen + 2) * 2))


def test_channel_weights_are_1_on_average_and_more_for_color():
    codec = diffusion.PatchCodec()
    codec.analysis[0] = 1.0
    codec.analysis[1:, :, ::2] = 1.0
    codec.analysis[1:, :, 1::2] = -1.0
    weights = diffusion.channel_weights(codec)
    assert weights.mean().item() == pytest.approx(1)
    assert (weights[0] / weights[1]).item() == pytest.approx(diffusion.COLOR_WEIGHT)


def test_the_unet_gets_the_noisy_latent_the_mask_and_the_visible_part():
    noisy, clean = torch.full((1, 2, 1, 3), 5.0), torch.tensor([[[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]]])
    given = unet_input(noisy, clean, torch.tensor([[[[1.0, 0.0, 1.0]]]]))
    assert given.shape == (1, 5, 1, 3)
    assert given[0, :, 0].tolist() == [[5, 5, 5], [5, 5, 5], [1, 0, 1], [0, 2, 0], [0, 5, 0]]


def test_widget_defaults_are_the_settings_of_a_new_node():
    inputs = [
        SimpleNamespace(id="model"),
        SimpleNamespace(id="steps", default=5),
        SimpleNamespace(id="x", default=None),
    ]
    node = SimpleNamespace(GET_SCHEMA=lambda: SimpleNamespace(inputs=inputs))
    assert widget_defaults(node) == {"steps": 5}
