"""The condition of the learned module: what it sees of a paste, as one tensor on the latent grid."""

import torch

from ..sentence import sentence
from .noise import append_dims


def condition_channels(latent_channels: int) -> int:
    """The number of channels of `module_condition` for latents of this many channels."""
    return 2 * latent_channels + 3


def module_condition(
    composite: torch.Tensor, subject: torch.Tensor, hidden: torch.Tensor, reference: torch.Tensor | None = None
) -> torch.Tensor:
    """[B,2C+3,h,w]: composite, subject, hidden, reference, and 1 where there is a reference.

    Args:
        composite: [B,C,h,w], the latents of the clean paste, as the model's network takes them.
        subject: [B,1,h,w] in 0..1, the subject's share of each cell.
        hidden: [B,1,h,w], 1 = to be drawn: subject and ring.
        reference: [B,C,h,w], the latents of the light reference, or None. An item whose reference is its composite,
            which stands in where there is none, has none either.

    Raises:
        ValueError: for sizes that do not fit together.
    """
    cells = (composite.shape[0], 1, *composite.shape[2:])
    for name, found, wanted in (
        ("subject", subject, cells),
        ("hidden", hidden, cells),
        ("reference", composite if reference is None else reference, composite.shape),
    ):
        if tuple(found.shape) != tuple(wanted):
            raise ValueError(
                sentence(
                    "{name} is {found}, but the composite's latents need {wanted}.",
                    name=name,
                    found=tuple(found.shape),
                    wanted=tuple(wanted),
                )
            )
    seen = composite if reference is None else reference
    known = append_dims((seen != composite).flatten(1).any(1), composite).to(composite)
    parts = subject.to(composite), hidden.to(composite), seen * known, known.expand(cells)
    return torch.cat([composite, *parts], 1)
