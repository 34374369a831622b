"""A clip in windows of its own frames, and its steady light: both together."""

import json
import weakref

import numpy as np
import torch
from node_support import block, make_image, module, run_node

FRAMES = 12


def test_a_moving_subject_s_light_is_steady_in_windows_that_move():
    clip = make_image(72, 160, seed=1).repeat(FRAMES, 1, 1, 1)
    exemplar, mask = make_image(40, 40, seed=2), block(40, 40, 5, 5, 35, 35)
    given = {"placement": "manual", "y": 0.5, "size": 0.5, "ring": 6, "keyframes": "0: x 0.2\n11: x 0.8"}
    pasted = run_node("PhDPasteBlend", background=clip, subject=exemplar, subject_mask=mask, **given).values[0]
    crop, window = run_node("PhDCrop", paste=pasted, side=96, window_per_frame=True).values[:2]
    assert crop.boxes
    noise = np.random.default_rng(3).normal(size=FRAMES)[:, None, None, None] * 0.05
    sampled = window * torch.from_numpy(0.7 * np.exp(noise)).float()
    image, used, report = run_node("PhDStitch", crop=crop, sampled=sampled, color_fix=0.0).values[:3]
    assert torch.equal(image[used == 0], clip[used == 0])
    entries = json.loads(report)
    assert all(entry["flicker"] < 0.5 * entry["flicker_read"] for entry in entries)
    gains = np.array([entry["gain"] for entry in entries])
    assert np.abs(np.diff(gains, 2, axis=0)).max() < 0.05


def test_windows_beyond_the_image_take_the_memory_of_few_frames(monkeypatch):
    finishing, alive, most = module("nodes.stitch_finish"), [], 0
    pad = finishing.pad

    def counted(image, margins, **options):
        nonlocal alive, most
        padded = pad(image, margins, **options)
        alive = [one for one in alive if one() is not None] + [weakref.ref(padded)]
        most = max(most, len(alive))
        return padded

    monkeypatch.setattr(finishing, "pad", counted)
    clip, exemplar, mask = make_image(40, 160, batch=24), make_image(40, 40, seed=2), block(40, 40, 5, 5, 35, 35)
    given = {"size": 0.8, "ring": 6, "y": 0.5, "keyframes": "0: x 0.3\n23: x 0.6"}
    pasted = run_node("PhDPasteBlend", background=clip, subject=exemplar, subject_mask=mask, **given).values[0]
    exact = {"size_mode": "exact", "width": 64, "height": 96}
    crop, window = run_node("PhDCrop", paste=pasted, window_per_frame=True, **exact).values[:2]
    assert any(crop.margins)
    image, used = run_node("PhDStitch", crop=crop, sampled=0.7 * window).values[:2]
    assert torch.equal(image[used == 0], clip[used == 0]) and not torch.equal(image, clip)
    # Of each of four kinds, those that are being worked on, and some that the threads have yet to let go; not all.
    assert most <= 8 * (finishing.SIDE_BY_SIDE + 1) < 4 * len(clip)
