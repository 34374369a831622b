"""How much a node does between two checks for an interrupt: nothing that takes longer the larger its images are.

Work on pixels makes arrays. So the memory that is written between two checks tells how much was done, on any machine.
What `waiting` calls is not counted, since checks go on while it runs.
"""

import concurrent.futures
import contextlib
import traceback
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from node_support import make_image, module

SIDE = 384
# Of so many pixels; there are 144 in an image.
BAND = 2**10
# Bytes for each pixel of an image that may be written between two checks: less than a mask of floats takes.
MOST_PER_PIXEL = 3
FOLDERS = tuple(str(Path(module(name).__file__).parent) for name in ("nodes.checked", "phd_ops.interrupt"))
ALLOCATED = ("empty", "zeros", "empty_like")


class Meter:
    """The most memory that was written between two checks, in bytes, and what ran before the second one."""

    def __init__(self):
        self.reserved = self.kept = 0
        self.most, self.where, self.checks = 0, "", 0

    def start(self):
        self.kept, self.reserved = tracemalloc.get_traced_memory()[0], 0
        tracemalloc.reset_peak()

    def written(self):
        return tracemalloc.get_traced_memory()[1] - self.kept - self.reserved

    def check(self):
        self.checks += 1
        written = self.written()
        if written > self.most:
            self.most = written
            own = [frame for frame in traceback.extract_stack() if frame.filename.startswith(FOLDERS)]
            self.where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in own[1:])
        self.start()

    def submit(self, function, *arguments, **named):
        """Takes the place of the threads: calls at once. What is written there does not count."""
        call, before = concurrent.futures.Future(), self.written()
        call.set_result(function(*arguments, **named))
        self.start()
        self.kept -= before
        return call

    def reserve(self, allocate):
        """Memory that is only set aside takes no time."""

        def reserved(*arguments, **named):
            array = allocate(*arguments, **named)
            self.reserved += array.nbytes
            return array

        return reserved

    @contextlib.contextmanager
    def running(self):
        tracemalloc.start()
        try:
            self.start()
            yield
            self.check()
        finally:
            tracemalloc.stop()


@pytest.fixture
def meter(monkeypatch):
    made, interrupt = Meter(), module("phd_ops.interrupt")
    monkeypatch.setattr(interrupt, "BAND", BAND)
    monkeypatch.setattr(interrupt, "WORKERS", made)
    monkeypatch.setattr(module("nodes.checked"), "throw_exception_if_processing_interrupted", made.check)
    # What has the same size for any image would count as much for these small ones.
    monkeypatch.setattr(module("phd_ops.segmenters.grabcut"), "WORKING_SIDE", 48)
    monkeypatch.setattr(module("phd_ops.pixels.resample"), "MIRRORED_SIDE", 16)
    for name, constant in (("register", "COARSE"), ("register", "FINE"), ("changes", "MOST_SIDE")):
        monkeypatch.setattr(module(f"phd_ops.pixels.{name}"), constant, 48)
    monkeypatch.setattr(module("phd_ops.pixels.smoother"), "LEAST_CELLS", 12)
    for name in ("tiles", "foreground"):
        monkeypatch.setattr(module(f"phd_ops.pixels.{name}"), "BAND", BAND)
    monkeypatch.setattr(module("phd_ops.pixels.resample"), "FILTERED_BAND", BAND)
    monkeypatch.setattr(module("phd_ops.pixels.tiles"), "TILE", 16)
    for name in ALLOCATED:
        monkeypatch.setattr(np, name, made.reserve(getattr(np, name)))
    return made


def disc(side, radius):
    at = torch.linspace(-1, 1, side)
    return ((radius - (at[:, None] ** 2 + at**2).sqrt()) * side / 8).clamp(0, 1)[None]


SCENE, MASK = make_image(SIDE, SIDE), disc(SIDE, 0.6)
COMPOSITE = SCENE * (1 - 0.5 * MASK[..., None])
PASTED = {"background": SCENE, "subject": COMPOSITE, "subject_mask": MASK, "shadow": True, "rotation": 30.0}
SMALL = torch.nn.functional.interpolate(COMPOSITE.movedim(-1, 1), (64, 64), mode="area").movedim(1, -1).contiguous()
STITCHED = {"background": SCENE, "composite": COMPOSITE, "sampled": 0.8 * SMALL, "subject_matte": MASK}
STITCHED |= {"harmonize_mask": (disc(SIDE, 0.7) > 0).float()}
CROPPED = {"composite": COMPOSITE, "inpaint_mask": disc(SIDE, 0.7) * (MASK == 0), "harmonize_mask": disc(SIDE, 0.7)}
POINT = f"{SIDE // 2}, {SIDE // 2}"
WORK = {
    "paste": ("PhDPasteBlend", PASTED),
    "paste off the edge": ("PhDPasteBlend", PASTED | {"x": 0.0, "subject_mask": torch.ones(1, SIDE, SIDE)}),
    "paste a wide soft edge": ("PhDPasteBlend", PASTED | {"feather": 16.0, "blend": "multi-band"}),
    "paste another light": ("PhDPasteBlend", PASTED | {"blend": "Poisson", "color_match": 0.5}),
    "paste beside another": ("PhDPasteBlend", PASTED | {"earlier_subjects": disc(SIDE, 0.2)}),
    "paste over values out of range": ("PhDPasteBlend", PASTED | {"background": 2 * SCENE - 0.3}),
    "stitch": ("PhDStitch", STITCHED),
    "stitch cells": ("PhDStitch", STITCHED | {"changed": torch.ones(1, 64, 64)}),
    "crop": ("PhDCrop", CROPPED | {"side": 64}),
    "segment": ("PhDSegment", {"image": COMPOSITE, "box": "9, 9, 366, 366", "refine_edge": 3}),
    "segment parts": ("PhDSegment", {"image": COMPOSITE, "positive_points": POINT, "keep": "prompted", "grow": 5}),
    "segment all": ("PhDSegment", {"image": torch.cat([COMPOSITE, MASK[..., None]], -1), "keep": "all",
                                   "rough_mask": MASK, "threshold": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", WORK)
def test_little_is_done_between_two_checks(name, meter, pack):
    kind, inputs = WORK[name]
    if kind == "PhDSegment":
        inputs = inputs | {"segmenter": pack["PhDLoadSegmenter"].execute(model="grabcut (no weights)").result[0]}
    # What is read and made once for all runs does not count.
    pack[kind].execute(**inputs)
    with meter.running():
        pack[kind].execute(**inputs)
    assert meter.checks > SIDE**2 / BAND
    assert meter.most < MOST_PER_PIXEL * SIDE**2, f"{meter.most / SIDE**2:.1f} bytes a pixel before {meter.where}"


def test_the_meter_finds_a_mask_of_the_whole_image(meter):
    interrupt, mask = module("phd_ops.interrupt"), MASK[0].numpy()
    with interrupt.checking(meter.check), meter.running():
        interrupt.by_bands(lambda band: 1 - band, mask)
        interrupt.waiting(np.sqrt, mask)
    assert meter.most < 0.2 * SIDE**2
    with interrupt.checking(meter.check), meter.running():
        np.sqrt(mask)
    assert meter.most > MOST_PER_PIXEL * SIDE**2
