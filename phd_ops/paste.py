"""Cutting a subject out of an exemplar and pasting it into a scene: float throughout, resampled once.

Pictures are float32 [H,W,3] in 0..1 (sRGB), mattes float32 [H,W] in 0..1.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .geometry import Box, Placement, Size, bounding_box
from .masks import feather

# Below this a matte counts as nothing: the smallest step of an 8-bit mask.
LEAST_ALPHA = 1 / 255


def estimate_foreground(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """The subject's own colours, also where the matte is soft or 0, without the old background.

    Solves I = alpha F + (1 - alpha) B by least squares in windows around every pixel, from the whole picture down to
    6 px; each round falls back on the one before where its window cannot tell. Exact where subject and background
    are flat; outside the matte it extends the subject's nearest colours. The last line is that of blur-fusion
    (Forte 2021, arXiv 2006.14970).
    """
    alpha = matte[..., None]
    beta = 1 - alpha
    foreground = background = image.mean((0, 1))
    for radius, trust in ((None, 1e-6), (90, 1e-3), (24, 1e-3), (6, 1e-3)):

        def mean(field: np.ndarray, radius=radius) -> np.ndarray:
            if radius is None:
                return field.mean((0, 1), dtype=np.float64).astype(np.float32)
            return cv2.blur(field, (2 * radius + 1, 2 * radius + 1)).reshape(field.shape)

        aa, ab, bb = mean(alpha * alpha) + trust, mean(alpha * beta), mean(beta * beta) + trust
        ai, bi = mean(alpha * image) + trust * foreground, mean(beta * image) + trust * background
        determinant = aa * bb - ab * ab
        foreground, background = (bb * ai - ab * bi) / determinant, (aa * bi - ab * ai) / determinant
    foreground = foreground + alpha * (image - alpha * foreground - beta * background)
    return np.where(alpha == 1, image, np.clip(foreground, 0, 1))


def resample(picture: np.ndarray, matrix: np.ndarray, size: Size, border: int) -> np.ndarray:
    """Warps [H,W] or [H,W,C] by a continuous affine matrix (source to destination) into a picture of `size`.

    A whole-pixel shift copies. A reduction is antialiased first (area), then the rest is one cubic warp.
    """
    linear, offset = matrix[:, :2], matrix[:, 2]
    if np.allclose(linear, np.eye(2), atol=1e-9) and np.allclose(offset, np.round(offset), atol=1e-6):
        matrix, interpolation = np.column_stack([np.eye(2), np.round(offset)]), cv2.INTER_NEAREST
    else:
        interpolation = cv2.INTER_CUBIC
        scale = float(np.sqrt(abs(np.linalg.det(linear))))
        if scale < 1:
            source = Size.of(picture)
            reduced = Size(max(1, round(source.width * scale)), max(1, round(source.height * scale)))
            picture = cv2.resize(picture, reduced, interpolation=cv2.INTER_AREA)
            linear = linear @ np.diag([source.width / reduced.width, source.height / reduced.height])
            matrix = np.column_stack([linear, offset])
    # OpenCV puts pixel centres at whole numbers; ours lie at half ones.
    half = np.array([0.5, 0.5])
    shifted = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ half - half])
    warped = cv2.warpAffine(picture, shifted, size, flags=interpolation, borderMode=border)
    return np.clip(warped, 0, 1)


@dataclass(frozen=True)
class Pasted:
    """What pasting gives, all in the scene's frame.

    Attributes:
        composite: float32 [H,W,3].
        control: float32 [H,W,3], the whole exemplar warped by the same placement and mirrored where it does not
            reach, so that its subject lies on the composite's subject.
        matte: float32 [H,W], the subject's alpha as composited.
    """

    composite: np.ndarray
    control: np.ndarray
    matte: np.ndarray


def subject_box(matte: np.ndarray) -> Box | None:
    """The subject's box in its exemplar; None for an empty matte. Faint specks do not widen it."""
    return bounding_box(matte, 0.5) or bounding_box(matte, LEAST_ALPHA)


def paste(scene: np.ndarray, exemplar: np.ndarray, matte: np.ndarray, placement: Placement, softness: float) -> Pasted:
    """Pastes the subject of an exemplar into a scene.

    Args:
        matte: of the exemplar's size, not empty.
        placement: of the box around the matte.
        softness: sigma in scene pixels of the Gaussian that softens the boundary; it blurs alpha, never colour.
    """
    size = Size.of(scene)
    box = subject_box(matte)
    if box is None:
        raise ValueError("The subject's mask is empty: there is nothing to paste.")
    matrix = placement.matrix(Size(box.width, box.height), size)
    # The placement speaks of the box; the warps of the whole exemplar.
    whole = np.column_stack([matrix[:, :2], matrix[:, 2] - matrix[:, :2] @ np.array([box.x, box.y], float)])
    control = resample(exemplar, whole, size, cv2.BORDER_REFLECT)

    # Only the subject's surround is worth estimating colours for; one margin covers the soft edge and the filters.
    margin = int(np.ceil(3 * softness / max(placement.scale(Size(box.width, box.height), size), 1e-3))) + 8
    support = bounding_box(matte, LEAST_ALPHA)
    near = support.grown(min(margin, max(exemplar.shape))).inside(Size.of(exemplar))
    local = np.column_stack([whole[:, :2], whole[:, 2] + whole[:, :2] @ np.array([near.x, near.y], float)])
    colours = estimate_foreground(exemplar[near.slices], matte[near.slices])
    alpha = feather(resample(matte[near.slices], local, size, cv2.BORDER_CONSTANT), softness)
    alpha[alpha < LEAST_ALPHA] = 0
    # The colours reach beyond the matte, so the soft edge mixes subject with scene and never with the old background.
    subject = resample(colours, local, size, cv2.BORDER_REPLICATE)
    # In this form both ends are exact: the scene's own bits at 0, the subject's at 1.
    composite = alpha[..., None] * subject + (1 - alpha[..., None]) * scene
    return Pasted(composite, control, alpha)


def shadow_ellipse(matte: np.ndarray) -> np.ndarray:
    """A flat ellipse on the ground where a subject stands, binary [H,W]: room for a contact shadow."""
    box = bounding_box(matte, 0.5)
    ground = np.zeros(matte.shape, np.uint8)
    if box is not None:
        centre = (box.x + box.width // 2, box.y + box.height - 1)
        axes = (max(1, round(0.6 * box.width)), max(1, round(0.12 * box.height)))
        cv2.ellipse(ground, centre, axes, 0, 0, 360, 1, -1)
    return ground.astype(np.float32)
