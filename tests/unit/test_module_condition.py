"""What the learned module sees of a paste."""

import pytest
import torch

from phd_ops.latents.module_condition import condition_channels, module_condition

COMPOSITE, REFERENCE = torch.randn(2, 2, 4, 3, 5, generator=torch.Generator().manual_seed(0)).unbind()
SUBJECT, HIDDEN = torch.rand(2, 1, 3, 5, generator=torch.Generator().manual_seed(1)), torch.ones(2, 1, 3, 5)


def test_it_is_composite_subject_hidden_reference_and_whether_there_is_one():
    seen = module_condition(COMPOSITE, SUBJECT, HIDDEN, REFERENCE)
    assert seen.shape == (2, condition_channels(4), 3, 5) == (2, 11, 3, 5)
    assert torch.equal(seen, torch.cat([COMPOSITE, SUBJECT, HIDDEN, REFERENCE, torch.ones(2, 1, 3, 5)], 1))


def test_without_a_reference_its_channels_and_the_last_one_are_0():
    seen = module_condition(COMPOSITE, SUBJECT, HIDDEN)
    assert torch.equal(seen[:, :6], torch.cat([COMPOSITE, SUBJECT, HIDDEN], 1)) and not seen[:, 6:].any()


def test_an_item_whose_reference_is_its_composite_has_none():
    composite, subject, hidden = (torch.cat([part, part]) for part in (COMPOSITE, SUBJECT, HIDDEN))
    seen = module_condition(composite, subject, hidden, torch.cat([COMPOSITE, REFERENCE]))
    assert torch.equal(seen[:2], module_condition(COMPOSITE, SUBJECT, HIDDEN))
    assert torch.equal(seen[2:], module_condition(COMPOSITE, SUBJECT, HIDDEN, REFERENCE))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("subject", (COMPOSITE, SUBJECT[:1], HIDDEN, None)),
        ("hidden", (COMPOSITE, SUBJECT, HIDDEN[..., :4], None)),
        ("reference", (COMPOSITE, SUBJECT, HIDDEN, REFERENCE[:, :3])),
    ],
)
def test_what_does_not_fit_is_named(name, given):
    with pytest.raises(ValueError, match=f"^{name} is "):
        module_condition(*given)
