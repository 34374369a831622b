"""The condition of the learned module: what it sees of a paste, as one tensor on the latent grid."""

import torch

from ..sentence import sentence


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
        reference: [B,C,h,w], the latents of the light reference, or None.

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
    known = torch.full_like(subject, 0.0 if reference is None else 1.0)
    seen = torch.zeros_like(composite) if reference is None else reference
    return torch.cat([composite, subject.to(composite), hidden.to(composite), seen, known.to(composite)], 1)
