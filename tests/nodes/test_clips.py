"""Stitch & Relight on the frames of clips: their light is steady, and other batches are finished image by image."""

import json

import numpy as np
import pytest
import torch
from node_support import run_node

from phd_ops.pixels.geometry import Size
from phd_ops.pixels.resample import resize

WIDTH, HEIGHT, SUBJECT = 120, 96, 40


def scene(seed, size):
    """Structure on all scales, [H,W,3]."""
    rng, image = np.random.default_rng(seed), np.zeros((size[1], size[0], 3), np.float32)
    for cell in (4, 8, 16, 40):
        image += resize(rng.random((size[1] // cell + 2, size[0] // cell + 2, 3), np.float32), Size(*size)) - 0.5
    return np.clip(0.45 + 0.2 * image, 0.05, 0.85)


def clip(frames, seed=0, shown=None):
    """Background, composite, matte and mask of a clip: the camera and the subject move by a pixel a frame.

    shown: the frames in which there is a subject; all by default.
    """
    wide, own = scene(seed, (WIDTH + frames, HEIGHT)), scene(seed + 50, (SUBJECT, SUBJECT))
    backgrounds = torch.from_numpy(np.stack([wide[:, n : n + WIDTH] for n in range(frames)]))
    mattes, changes = torch.zeros(2, frames, HEIGHT, WIDTH)
    composites = backgrounds.clone()
    for n in range(frames):
        if shown is not None and n not in shown:
            continue
        rows, columns = slice(28, 28 + SUBJECT), slice(30 + n, 30 + n + SUBJECT)
        composites[n, rows, columns], mattes[n, rows, columns] = torch.from_numpy(own), 1
        changes[n, 20:76, 22 + n : 78 + n] = 1
    return backgrounds, composites, mattes, changes


def stitch(background, composite, matte, change, sampled, **options):
    given = {"background": background, "composite": composite, "subject_matte": matte, "harmonize_mask": change}
    ran = run_node("PhDStitch", **given, sampled=sampled, detail=1.0, **options)
    return ran, json.loads(ran.values[2])


def wavering(composite, matte, seed=0):
    """What a model makes of each frame: the subject darker, by another gain in every frame."""
    gains = 0.6 + 0.06 * torch.randn(len(composite), 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    return composite * (1 - matte[..., None]) + (gains * composite) * matte[..., None]


def outside_is_the_background(ran, background):
    image, mask = ran.values[:2]
    return torch.equal(image[mask == 0], background[mask == 0])


def test_the_light_of_a_clip_is_steady_and_nothing_else_moves():
    background, composite, matte, change = clip(10)
    ran, report = stitch(background, composite, matte, change, wavering(composite, matte))
    gains = np.log([entry["gain"] for entry in report])
    assert np.abs(np.diff(gains, 2, axis=0)).mean() < 0.02
    assert report[0]["flicker"] < 0.1 * report[0]["flicker_read"]
    assert {entry["flicker"] for entry in report} == {report[0]["flicker"]}
    assert any(text.startswith("These are 10 frames of a clip") for text in ran.text)
    assert outside_is_the_background(ran, background)


def test_a_cut_costs_no_frame():
    one, other = clip(6), clip(6, seed=7)
    runs = [wavering(part[1], part[2], seed) for seed, part in enumerate((one, other))]
    both = [torch.cat(pair) for pair in zip(one, other, strict=True)]
    together = stitch(*both, torch.cat(runs))[0].values[0]
    alone = [stitch(*part, run)[0].values[0] for part, run in zip((one, other), runs, strict=True)]
    assert torch.equal(together, torch.cat(alone))


def test_unrelated_images_equal_the_same_image_alone_however_many():
    scenes = [clip(1, seed=seed) for seed in range(0, 36, 6)]
    given = [torch.cat(parts) for parts in zip(*scenes, strict=True)]
    sampled = wavering(given[1], given[2])
    together, report = stitch(*given, sampled)
    assert all(entry["flicker"] is None for entry in report)
    for index in (0, 3, 5):
        one = slice(index, index + 1)
        alone, _ = stitch(*(part[one] for part in given), sampled[one])
        for ours, theirs in zip((0, 1, 3), (0, 1, 3), strict=True):
            assert torch.equal(together.values[ours][one], alone.values[theirs])


def test_runs_of_one_image_equal_each_run_alone():
    parts = [part.repeat(6, *[1] * (part.ndim - 1)) for part in clip(1)]
    sampled = wavering(parts[1], parts[2])
    together, report = stitch(*parts, sampled)
    assert report[0]["flicker"] is None
    alone, _ = stitch(*(part[2:3] for part in parts), sampled[2:3])
    assert torch.equal(together.values[0][2:3], alone.values[0])


@pytest.mark.parametrize("kind", ["black", "unchanged", "NaN"])
def test_a_frame_that_went_wrong_gets_the_light_of_the_others(kind):
    background, composite, matte, change = clip(9)
    sampled = wavering(composite, matte)
    steady, _ = stitch(background, composite, matte, change, sampled)
    sampled[4] = {"black": 0 * sampled[4], "unchanged": composite[4], "NaN": sampled[4] * torch.nan}[kind]
    ran, report = stitch(background, composite, matte, change, sampled)
    assert report[4]["gain"] == pytest.approx(report[3]["gain"], rel=0.05)
    core = matte[4] > 0
    assert (ran.values[0][4] - steady.values[0][4])[core].abs().mean() < 0.02
    assert outside_is_the_background(ran, background)


def test_a_subject_that_leaves_and_returns_leaves_its_gap_untouched():
    shown = {0, 1, 2, 5, 6, 7, 8}
    background, composite, matte, change = clip(9, shown=shown)
    ran, report = stitch(background, composite, matte, change, wavering(composite, matte))
    assert [entry["empty"] for entry in report] == [n not in shown for n in range(9)]
    for gap in (3, 4):
        assert torch.equal(ran.values[0][gap], background[gap])
    assert report[2]["gain"] == pytest.approx(report[5]["gain"], rel=0.1)
    assert outside_is_the_background(ran, background)


def test_a_clip_without_any_subject_passes_through():
    background, composite, matte, change = clip(6, shown=())
    ran, _ = stitch(background, composite, matte, change, composite)
    assert torch.equal(ran.values[0], background)


def test_frames_of_odd_sizes_work_through_a_crop():
    background, composite, matte, change = (part[:, :95, :117] for part in clip(6))
    crop = run_node("PhDCrop", composite=composite, inpaint_mask=change * (1 - matte), harmonize_mask=change, side=64)
    window, cropped = crop.values[:2]
    small = crop.values[5]
    ran, report = stitch(background, composite, matte, change, wavering(cropped, small), crop=window)
    assert report[0]["flicker"] is not None
    assert outside_is_the_background(ran, background)


def test_one_mask_serves_all_frames_and_alpha_is_left_out():
    background, composite, matte, change = clip(6)
    sampled = wavering(composite, matte)
    clear = torch.ones(6, HEIGHT, WIDTH, 1)
    with_alpha = (torch.cat([part, clear], -1) for part in (background, composite))
    opaque, _ = stitch(background, composite, matte[:1], change[:1], sampled)
    ran, _ = stitch(*with_alpha, matte[:1], change[:1], torch.cat([sampled, clear], -1))
    assert torch.equal(ran.values[0], opaque.values[0])


def test_several_videos_take_the_masks_of_their_own_latent_frames():
    # Video VAEs take a video's first image alone, and then four at a time.
    videos = [clip(5, seed) for seed in (0, 3)]
    changed = torch.zeros(2, 2, 12, 15)
    changed[0, 0, 3:, :] = changed[0, 1, :, :8] = changed[1, 0, :, 8:] = 1
    sampled = [wavering(composite, matte, seed) for seed, (_, composite, matte, _) in enumerate(videos)]
    both, _ = stitch(*map(torch.cat, zip(*videos, strict=True)), torch.cat(sampled), changed=changed.flatten(0, 1))
    for number, (video, own) in enumerate(zip(videos, sampled, strict=True)):
        alone, _ = stitch(*video, own, changed=changed[number])
        for slot in (0, 1):
            assert torch.equal(both.values[slot][5 * number : 5 * number + 5], alone.values[slot])
