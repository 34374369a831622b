"""How near a harmonized image comes to the truth, and whether the subject keeps its identity; all in log light.

The smoother here is a dense one of its own, so that no figure depends on the code that it measures.
"""

from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.harmonize.methods import Case
from benchmarks.harmonize.scenes import DOUBLE, SIDE, log_light, squared_error

# Scenes whose images are kept for the sheet.
SHOWN = 2
# In cells; anything finer counts as the subject's texture.
TEXTURE_SIGMA = 2.0
# Width in cells of the ring around a subject.
RING = 2


def local_linear(subject: torch.Tensor, sigma: float) -> torch.Tensor:
    """Local linear regression over the subject's cells with Gaussian weights, as a matrix [S,S]."""
    at = torch.nonzero(subject.view(SIDE, SIDE)).to(DOUBLE)
    apart = at[None] - at[:, None]
    weight = torch.exp(-0.5 * apart.square().sum(-1) / sigma**2)
    plane = torch.cat([torch.ones_like(apart[..., :1]), apart], -1)
    weighted = weight[..., None] * plane
    return torch.linalg.solve(plane.mT @ weighted, weighted.mT)[:, 0]


def fine_part(light: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
    """The subject's texture, [N,S]."""
    own = light[:, subject]
    return own - own @ local_linear(subject, TEXTURE_SIGMA).T


def identity(light: torch.Tensor, case: Case) -> torch.Tensor:
    """Correlation of the subject's texture with the true one, [N]."""
    subject = case.scenes.subject
    ours, true = fine_part(light, subject), fine_part(case.scenes.texture, subject)
    return (ours * true).sum(1) / (ours.square().sum(1) * true.square().sum(1)).sqrt().clamp(min=1e-12)


def edge_error(light: torch.Tensor, case: Case) -> float:
    """Squared error of the steps across the subject's edge, relative to the squared true steps."""
    ours, true, subject = (
        part.view(-1, SIDE, SIDE) for part in (light, case.scenes.truth, case.scenes.subject.to(DOUBLE))
    )
    wrong = due = 0.0
    for axis in (1, 2):
        edge = subject.diff(dim=axis)[0] != 0
        wrong += float((ours - true).diff(dim=axis)[:, edge].square().sum())
        due += float(true.diff(dim=axis)[:, edge].square().sum())
    return wrong / due


def around(subject: torch.Tensor) -> torch.Tensor:
    """The ring of RING cells around the subject, bool [576]; neighbors share an edge."""
    grown = subject.view(1, 1, SIDE, SIDE).to(DOUBLE)
    for _ in range(RING):
        rows = torch.nn.functional.max_pool2d(grown, (3, 1), 1, (1, 0))
        grown = torch.maximum(rows, torch.nn.functional.max_pool2d(grown, (1, 3), 1, (0, 1)))
    return (grown > 0).flatten() & ~subject


def ring_error(light: torch.Tensor, case: Case) -> float:
    """Mean squared error of the ring around the subject: a halo shows here."""
    return float((light - case.scenes.truth)[:, around(case.scenes.subject)].square().mean())


@dataclass(frozen=True)
class Made:
    """The result of a method on a case.

    Attributes:
        label: the method and its settings, for the table.
        light: log light [N,576], read from the images.
        calls: model calls for each scene, those for its reference and other seeds included.
        shown: the first images.
        outside_equal: whether stitched images equal the backgrounds outside of their masks; None where not stitched.
    """

    label: str
    light: torch.Tensor
    calls: int
    shown: np.ndarray
    outside_equal: bool | None = None


def made(label: str, images: np.ndarray, calls: int = 0, outside_equal: bool | None = None) -> Made:
    return Made(label, log_light(images), calls, images[:SHOWN].copy(), outside_equal)


def score(result: Made, case: Case) -> dict[str, float]:
    """Means over the scenes; "worse" is the share of scenes that are farther from the truth than the paste."""
    light = result.light[: len(case)]
    errors = squared_error(light, case.scenes)
    return {
        "fmse": float(errors.mean()),
        "identity": float(identity(light, case).mean()),
        "calls": result.calls,
        "edge": edge_error(light, case),
        "ring": ring_error(light, case),
        "worse": float((errors > squared_error(case.scenes.composite, case.scenes)).double().mean()),
    }


def as_text(row: dict[str, float]) -> str:
    return (
        f"{row['calls']:4d} calls  fMSE {row['fmse']:.4f}  identity {row['identity']:6.3f}"
        f"  edge {row['edge']:.3f}  ring {row['ring']:.4f}  worse than paste {100 * row['worse']:5.1f} %"
    )
