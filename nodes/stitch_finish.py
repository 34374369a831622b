"""Finishes the images of a batch, for PhDStitch."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import comfy.utils
import cv2
import numpy as np

from ..phd_ops.interrupt import SIDE_BY_SIDE, bands, copy, each
from ..phd_ops.pixels.finish import FinishOptions, finish
from ..phd_ops.pixels.geometry import Margins, Size, bounding_box
from ..phd_ops.pixels.resample import pad
from .images import item
from .registration_report import registration_messages, registration_report
from .stitch_batch import Batch
from .stitch_clips import read_clips
from .stitch_report import messages_of, report_of
from .ui import Message, by_image


@dataclass(frozen=True, eq=False)
class Done:
    """The finished images [B,H,W,3]; the masks used, and what the model changed, [B,H,W]; each image's report."""

    images: np.ndarray
    masks: np.ndarray
    changes: np.ndarray
    reports: list[dict[str, Any]]
    messages: list[Message]


def finish_batch(batch: Batch, options: FinishOptions, margins: Margins = Margins()) -> Done:  # noqa: B008
    """Finishes all images, some of them side by side. The frames of a clip are read first, and share their light.

    margins: those of the scenes, which are worked on; the images that were given, and the finished ones, have none.
    """
    images = np.empty((batch.count, *batch.given.shape[1:]), np.float32)
    masks, changes = (np.zeros(images.shape[:3], np.float32) for _ in range(2))

    def finished(index: int) -> tuple[dict[str, Any], list[Message]]:
        aligned, window, cut_off = batch.aligned(index, clips.registrations.get(index))
        references, ignored = batch.sampled_references(index, aligned)
        layers = batch.layers(index, window, options.edge_fade)
        done = finish(layers, aligned, references, options, clips.readings.get(index))
        stitched = done.stitched
        copy(item(batch.given, index), images[index])
        place = window.moved(-margins.left, -margins.top)
        shown = place.inside(Size.of(images[index]))
        part, place = shown.moved(-place.x, -place.y).slices, shown.slices
        used = stitched.used[part]
        put_back(images[index][place], stitched.image[part], used)
        copy_nonzero(used, masks[index][place])
        copy_nonzero(done.changed[part], changes[index][place])
        report = report_of(stitched, layers.matte) | registration_report(done, aligned.registrations)
        own = messages_of(done, layers.matte, report, options.stitch.color_fix)
        lay = registration_messages(done, aligned.registrations, subject=not report["empty"])
        return report | clips.report(index), cut_off + ignored + own + lay + clips.messages(index)

    clips = read_clips(batch, options.stitch)
    progress, results = comfy.utils.ProgressBar(batch.count), []
    for result in each(finished, range(batch.count)):
        results.append(result)
        progress.update(1)
    reports, messages = zip(*results, strict=True)
    return Done(images, masks, changes, list(reports), by_image(messages))


def finish_with_margins(batch: Batch, options: FinishOptions) -> Done:
    """`finish_batch`, where a crop's window may reach beyond the scenes: they get the margins that the model saw."""
    margins = Margins() if batch.crop is None else batch.crop.margins
    if batch.crop is None or not any(margins):
        return finish_batch(batch, options)

    larger = replace(
        batch,
        scenes=WithMargins(batch.scenes, margins),
        composites=WithMargins(batch.composites, margins),
        mattes=WithMargins(batch.mattes, margins, repeat=False),
        harmonize_masks=WithMargins(batch.harmonize_masks, margins),
        crop=batch.crop.in_padded_scene(),
    )
    return finish_batch(larger, options, margins)


class WithMargins(Sequence):
    """Images [B,H,W,...] with margins, see `pad`: made when they are asked for, so that those of a long clip are never
    all there."""

    def __init__(self, images: np.ndarray, margins: Margins, *, repeat: bool = True):
        self.images = images
        # An image is asked for several times while it is worked on.
        self.padded = functools.lru_cache(SIDE_BY_SIDE)(lambda index: pad(images[index], margins, repeat=repeat))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.padded(index)


def put_back(window: np.ndarray, image: np.ndarray, used: np.ndarray) -> None:
    """Writes a result into its window of the background [h,w,3]. Where nothing changed it keeps its values, which may
    lie outside 0..1."""
    for rows in bands(*used.shape):
        cv2.copyTo(image[rows], (used[rows] > 0).astype(np.uint8), window[rows])


def copy_nonzero(mask: np.ndarray, out: np.ndarray) -> None:
    """Copies a mask [h,w] into one of zeros. Most of a mask is 0, and memory that was never used is slow to write."""
    box = bounding_box(mask)
    if box is not None:
        copy(mask[box.slices], out[box.slices])
