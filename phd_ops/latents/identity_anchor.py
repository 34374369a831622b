"""The identity anchor: while a model samples, a band of its estimate of the subject is held at the subject's own."""

import torch

from ..local_linear import local_linear_smooth, structure_sigma

# relight keeps fine structure and leaves light free; restyle keeps coarse colors and leaves texture free.
ANCHORS = RELIGHT, RESTYLE = "relight", "restyle"


def subject_sigma(subject: torch.Tensor) -> float:
    """The scale in cells that separates a subject's light from its texture; subject: its share of each cell."""
    return structure_sigma(float(subject.sum()), least=1.0)


def anchored(
    denoised: torch.Tensor, reference: torch.Tensor, subject: torch.Tensor, strength: float, anchor: str = RELIGHT
) -> torch.Tensor:
    """An estimate of the clean latent, with one band of the subject drawn to a reference.

    relight: D + w C [(y - F y) - (D - F D)], which keeps y's fine structure. restyle: D + w C [F y - F D], which keeps
    its coarse colors, as localized ILVR does (arXiv 2302.10167). F is the local-linear smoother over the subject: with
    a plain Gaussian the rim would keep the subject's old light.

    Args:
        denoised: D, [B,C,h,w] or [B,C,T,h,w].
        reference: y, of the same shape.
        subject: C, [B,1,h,w] or [B,1,T,h,w], the share of each cell that is the subject, 0..1.
        strength: w, 0..1.
    """
    if denoised.ndim == 5:
        frames = [x.movedim(2, 1).flatten(0, 1) for x in (denoised, reference, subject)]
        done = anchored(*frames, strength, anchor)
        return done.unflatten(0, (len(denoised), -1)).movedim(1, 2)
    items = []
    for estimate, own, share in zip(denoised, reference, subject, strict=True):
        if not share.any():
            items.append(estimate)
            continue
        # F is linear: one smoothing serves both.
        apart = own.float() - estimate.float()
        coarse = local_linear_smooth(apart[None], share[None].to(apart), subject_sigma(share))[0]
        held = apart - coarse if anchor == RELIGHT else coarse
        items.append(estimate + (strength * share * held).to(estimate))
    return torch.stack(items)
