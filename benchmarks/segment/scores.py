"""How well subjects are found, and how true the masks' edges are, for `bench segment`."""

import cv2
import numpy as np

from benchmarks.common.table import Section
from benchmarks.segment.cases import Case, backends, find, quokka, relit_cases, voc_cases
from phd_ops.pixels.masks import signed_distance

# Pixels on both sides of the true edge within which it is judged, and how far the node may move it.
BAND, REFINE = 5, 3
SHOWN = 3


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union."""
    found, truth = found > 0.5, truth > 0.5
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def edge_error(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean |alpha - truth| near the true edge."""
    return float(np.abs(found - truth)[np.abs(signed_distance(truth)) <= BAND].mean())


def outlined(case: Case, found: np.ndarray) -> np.ndarray:
    """An image whose background is dimmed where a mask does not cover it, with the truth's outline, uint8."""
    shown = (case.image * (0.25 + 0.75 * found[..., None]) * 255).astype(np.uint8)
    contours, _ = cv2.findContours((case.truth > 0.5).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(shown, contours, -1, (255, 140, 0), max(1, round(max(found.shape) / 300)))


def measure(node, quick: bool, folder) -> tuple[list[Section], dict, list[tuple[str, np.ndarray]]]:
    """Sections for the table, all figures, and images to look at."""
    segmenters = backends(folder)
    scenes = relit_cases(4, 256) if quick else relit_cases(24, 512)
    photographs = [quokka(), *voc_cases(1 if quick else 3)]
    tiles, iou, edges, photo_iou = [], {}, {}, {}
    quality = Section("Overlap with the truth (intersection over union), each with the box a user would draw")
    quality.row("", f"{'RelitScenes':>12}  " + "  ".join(f"{case.name:>12}" for case in photographs))
    edge = Section(f"Edge error (mean |alpha - truth|, {BAND} px on both sides), without and with refine_edge {REFINE}")
    for name, segmenter in segmenters.items():
        bare = [find(node, segmenter, case, 0) for case in scenes]
        drawn = [find(node, segmenter, case, REFINE) for case in scenes]
        seen = [find(node, segmenter, case, REFINE) for case in photographs]
        iou[name] = float(np.mean([overlap(mask, case.truth) for mask, case in zip(drawn, scenes, strict=True)]))
        photo_iou[name] = {case.name: overlap(mask, case.truth) for mask, case in zip(seen, photographs, strict=True)}
        told = "  ".join(f"{value:12.3f}" for value in (iou[name], *photo_iou[name].values()))
        quality.row(name, told)
        without, with_ = (
            float(np.mean([edge_error(mask, case.truth) for mask, case in zip(masks, scenes, strict=True)]))
            for masks in (bare, drawn)
        )
        edges[name] = {"without": without, "with": with_, "gain": 1 - with_ / without}
        edge.row(name, f"{without:9.4f} {with_:9.4f}   {100 * (1 - with_ / without):5.1f} % less")
        shown = [*zip(scenes[:SHOWN], drawn, strict=False), *zip(photographs[:2], seen, strict=False)]
        tiles += [(f"{name}: {overlap(mask, case.truth):.2f}", outlined(case, mask)) for case, mask in shown]
    quality.row("SAM", "not judged: no published weights at hand (--models FOLDER judges files of your own)")
    quality.figures = {"quokka_iou": photo_iou["u2netp"]["quokka"], "deeplab_iou": iou["deeplab (demo weights)"]}
    without, with_ = (np.mean([score[key] for score in edges.values()]) for key in ("without", "with"))
    edge.figures = {"edge_gain": float(1 - with_ / without)}
    figures = quality.figures | edge.figures | {"iou": iou, "iou_photographs": photo_iou, "edge": edges}
    return [quality, edge], figures, tiles
