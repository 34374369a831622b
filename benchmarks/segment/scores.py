"""How well subjects are found, and how true the masks' edges are."""

from pathlib import Path

import cv2
import numpy as np

from benchmarks.common.table import Section
from benchmarks.segment.backends import backends, segment
from benchmarks.segment.cases import Case, quokka, relit_cases, voc_cases
from phd_ops.pixels.masks import signed_distance
from training.segmenter import intersection_over_union

# The edge is judged this many pixels on both sides of the true one, and `refine_edge` is set to the second number.
BAND, REFINE = 5, 3
# RelitScenes and photographs on the sheet, for each segmenter.
SHOWN_SCENES, SHOWN_PHOTOGRAPHS = 3, 2
COLUMNS = SHOWN_SCENES + SHOWN_PHOTOGRAPHS

Tiles = list[tuple[str, np.ndarray]]


def edge_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean |alpha - truth| within BAND pixels of the true edge."""
    return float(np.abs(found - truth)[np.abs(signed_distance(truth)) <= BAND].mean())


def mean_overlap(masks: list[np.ndarray], cases: list[Case]) -> float:
    return float(np.mean([intersection_over_union(mask, case.truth) for mask, case in zip(masks, cases, strict=True)]))


def mean_edge_error(masks: list[np.ndarray], cases: list[Case]) -> float:
    return float(np.mean([edge_error(mask, case.truth) for mask, case in zip(masks, cases, strict=True)]))


def outlined(case: Case, found: np.ndarray) -> np.ndarray:
    """An image with its background dimmed by the mask found, and the true outline in orange, uint8."""
    shown = (case.image * (0.25 + 0.75 * found[..., None]) * 255).astype(np.uint8)
    contours, _ = cv2.findContours((case.truth > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(shown, contours, -1, (255, 140, 0), max(1, round(max(found.shape) / 300)))


def measure(node: type, quick: bool, folder: Path | None) -> tuple[list[Section], dict, Tiles]:
    """Sections for the table, all figures, and images for the sheet.

    Args:
        node: PhDSegment.
        quick: few and small images.
        folder: with further model files to measure, or None.
    """
    scenes = relit_cases(4, 256) if quick else relit_cases(24, 512)
    photographs = [quokka(), *voc_cases(1 if quick else 3)]
    tiles, iou, edges, photo_iou = [], {}, {}, {}
    for name, segmenter in backends(folder).items():
        raw = [segment(node, segmenter, case, 0) for case in scenes]
        refined = [segment(node, segmenter, case, REFINE) for case in scenes]
        found = [segment(node, segmenter, case, REFINE) for case in photographs]
        iou[name] = mean_overlap(refined, scenes)
        photo_iou[name] = {
            case.name: intersection_over_union(mask, case.truth) for mask, case in zip(found, photographs, strict=True)
        }
        without, with_ = mean_edge_error(raw, scenes), mean_edge_error(refined, scenes)
        edges[name] = {"without": without, "with": with_, "gain": 1 - with_ / without}
        shown = [*zip(scenes[:SHOWN_SCENES], refined, strict=False)]
        shown += zip(photographs[:SHOWN_PHOTOGRAPHS], found, strict=False)
        tiles += [
            (f"{name}: {intersection_over_union(mask, case.truth):.2f}", outlined(case, mask)) for case, mask in shown
        ]
    sections = [overlap_section(iou, photo_iou), edge_section(edges)]
    figures = sections[0].figures | sections[1].figures | {"iou": iou, "iou_photographs": photo_iou, "edge": edges}
    return sections, figures, tiles


def overlap_section(iou: dict[str, float], photo_iou: dict[str, dict[str, float]]) -> Section:
    section = Section("Overlap with the truth (intersection over union), each with the box a user would draw")
    names = next(iter(photo_iou.values()))
    section.row("", f"{'RelitScenes':>12}  " + "  ".join(f"{name:>12}" for name in names))
    for name, value in iou.items():
        section.row(name, "  ".join(f"{number:12.3f}" for number in (value, *photo_iou[name].values())))
    section.row("SAM", "not measured: its published weights are not here (--models FOLDER measures your own files)")
    section.figures = {"quokka_iou": photo_iou["u2netp"]["quokka"], "deeplab_iou": iou["deeplab (demo weights)"]}
    return section


def edge_section(edges: dict[str, dict[str, float]]) -> Section:
    section = Section(
        f"Edge error (mean |alpha - truth|, {BAND} px on both sides), without and with refine_edge {REFINE}"
    )
    for name, edge in edges.items():
        section.row(name, f"{edge['without']:9.4f} {edge['with']:9.4f}   {100 * edge['gain']:5.1f} % less")
    without, with_ = (np.mean([edge[key] for edge in edges.values()]) for key in ("without", "with"))
    section.figures = {"edge_gain": float(1 - with_ / without)}
    return section
