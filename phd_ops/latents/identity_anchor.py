"""The identity anchor: while a model samples, one band of its estimate of a subject is held at a reference."""

from typing import TypeVar

import torch

from ..local_linear import local_linear_smooth, structure_sigma
from .noise import signal

# relight keeps fine structure and lets light change; restyle keeps coarse colors and lets texture change.
ANCHORS = RELIGHT, RESTYLE = "relight", "restyle"

Sigma = TypeVar("Sigma", float, torch.Tensor)


def subject_sigma(subject: torch.Tensor) -> float:
    """The scale in cells that separates a subject's light from its texture; subject: its share of each cell."""
    return structure_sigma(float(subject.sum()), least=1.0)


def noise_share(sigma: Sigma, flow: bool) -> Sigma:
    """Noise's share of the mixture, sigma / (a + sigma), 0..1.

    A strength times this share is firm while shapes form and fades toward the end, so that light can still change.
    """
    return sigma / (signal(sigma, flow) + sigma)


def anchored(
    denoised: torch.Tensor, reference: torch.Tensor, subject: torch.Tensor, strength: float, anchor: str = RELIGHT
) -> torch.Tensor:
    """An estimate of the clean latent, with one band of the subject pulled to a reference.

    relight: D + w C [(y - F y) - (D - F D)], which keeps the fine structure of y. restyle: D + w C [F y - F D], which
    keeps its coarse colors, as localized ILVR does (arXiv 2302.10167). F is the local-linear smoother over the subject;
    a plain Gaussian would leave the old light at the subject's edge.

    Args:
        denoised: D, [B,C,h,w] or [B,C,T,h,w].
        reference: y, of the same shape.
        subject: C, [B,1,h,w] or [B,1,T,h,w], the subject's share of each cell, 0..1.
        strength: w, 0..1.
        anchor: one of `ANCHORS`.
    """
    if denoised.ndim == 5:
        estimates, owns, shares = (x.movedim(2, 1).flatten(0, 1) for x in (denoised, reference, subject))
        frames = anchored(estimates, owns, shares, strength, anchor)
        return frames.unflatten(0, (len(denoised), -1)).movedim(1, 2)
    items = []
    for estimate, own, share in zip(denoised, reference, subject, strict=True):
        if not share.any():
            items.append(estimate)
            continue
        # F is linear: smoothing the difference once is enough.
        difference = own.float() - estimate.float()
        coarse = local_linear_smooth(difference[None], share[None].to(difference), subject_sigma(share))[0]
        band = difference - coarse if anchor == RELIGHT else coarse
        items.append(estimate + (strength * share * band).to(estimate))
    return torch.stack(items)
