"""The README's promises, one test each, through the real executor. The samplers' promises are in
test_inpaint_sampler.py and test_harmonize_sampler.py.
"""

import dataclasses

import numpy as np
import pytest
import torch
from node_support import block, make_image, pasted_parts, run_node

SCENE, EXEMPLAR, SUBJECT = make_image(120, 160, seed=1), make_image(60, 60, seed=2), block(60, 60, 10, 10, 50, 50)


def paste(background=SCENE, **changes):
    given = {"x": 0.5, "y": 0.5, "size": 40 / 120, "ring": 12, "feather": 1.5, **changes}
    given |= {"background": background, "subject": EXEMPLAR, "subject_mask": SUBJECT}
    return pasted_parts(run_node("PhDPasteBlend", **given).values)


def crop(pasted, **changes):
    composite, reference, _, inpaint, harmonize, _ = pasted
    given = {"composite": composite, "inpaint_mask": inpaint, "harmonize_mask": harmonize, "reference": reference}
    return run_node("PhDCrop", **given, side=128, **changes).values


def stitch(pasted, sampled, **changes):
    given = {"background": SCENE, "composite": pasted[0], "sampled": sampled}
    return run_node("PhDStitch", **given, subject_matte=pasted[2], harmonize_mask=pasted[4], **changes).values


def painted(window, seed=0):
    """What a model might make of a window: darker, greener, shifted as VAEs do, and with another texture."""
    noise = torch.rand(window.shape, generator=torch.Generator().manual_seed(seed))
    return (0.7 * window * torch.tensor([0.9, 1.1, 1.0]) + 0.02 + 0.05 * (noise - 0.5)).clamp(0, 1)


@pytest.mark.parametrize("blend", ["alpha", "multi-band", "Poisson", "Poisson mixed"])
@pytest.mark.parametrize("detail", [0.0, 0.9])
def test_nothing_else_moves(blend, detail):
    pasted = paste(blend=blend, color_match=0.5, rotation=17.0)
    assert torch.equal(pasted[0][pasted[2] == 0], SCENE[pasted[2] == 0])
    window = crop(pasted)
    image, mask = stitch(pasted, painted(window[1]), crop=window[0], detail=detail)[:2]
    assert 0.02 < (mask > 0).float().mean() < 0.5
    assert torch.equal(image[mask == 0], SCENE[mask == 0])
    assert not torch.equal(image[mask > 0], SCENE[mask > 0])


@pytest.mark.parametrize("width", [0, 1, 7, 24, 33])
def test_the_ring_widget_means_pixels(width):
    # The subject is a square of 40 px about (80, 60).
    inpaint = paste(feather=0.0, ring=width)[3][0, 60]
    assert inpaint.nonzero().flatten().tolist() == [*range(60 - width, 60), *range(100, 100 + width)]


@pytest.mark.parametrize("sigma", [1.0, 2.5, 5.0])
def test_the_feather_widget_means_pixels(sigma):
    row = paste(feather=sigma)[2][0, 60, :80].double()
    slope = row.diff()
    x = torch.arange(1, 80, dtype=torch.float64)
    center = (slope * x).sum() / slope.sum()
    assert center.item() == pytest.approx(60, abs=0.2)
    # What is below one 8-bit step is nothing, and takes a little of its deviation.
    assert (slope * (x - center) ** 2).sum().div(slope.sum()).sqrt().item() == pytest.approx(sigma, rel=0.08)


@pytest.mark.parametrize("width", [0, 4, 10])
def test_the_edge_fade_widget_means_pixels(width):
    # At most: in a mask less than 48 times as wide it fades over fewer pixels.
    scene = make_image(560, 560, seed=3)
    given = {"background": scene, "composite": scene, "sampled": painted(scene), "edge_fade": width}
    given |= {"subject_matte": torch.zeros(1, 560, 560), "harmonize_mask": block(560, 560, 20, 20, 540, 540)}
    mask = run_node("PhDStitch", **given).values[1][0, 280]
    assert not mask[:20].any()
    rising = mask[20:40].tolist()
    assert rising == pytest.approx([min(1, (i + 0.5) / width) if width else 1 for i in range(20)], abs=1e-5)


@pytest.mark.parametrize("edge", ["upright", "slanted"])
@pytest.mark.parametrize("width", [3, 21])
def test_of_a_narrow_mask_nothing_is_lost_to_the_fade(width, edge):
    scene = make_image(160, 160, seed=3)
    y, x = torch.meshgrid(torch.arange(160.0), torch.arange(160.0), indexing="ij")
    across = x - 80 if edge == "upright" else (x - 0.6 * y - 30) / 1.36**0.5
    mask = (across.abs() < width / 2).float()[None]
    given = {"background": scene, "composite": scene, "sampled": 1 - scene, "color_fix": 0.0}
    image, *_ = run_node("PhDStitch", **given, subject_matte=0 * mask, harmonize_mask=mask).values
    share = (image - scene).abs().sum() / ((1 - 2 * scene).abs() * mask[..., None]).sum()
    assert share >= 0.95
    assert torch.equal(image[mask == 0], scene[mask == 0])


@pytest.mark.parametrize("pixels", [-9, -1, 1, 16])
def test_the_grow_widget_means_pixels(pixels):
    segmenter = run_node("PhDLoadSegmenter", model="grabcut (no weights)").values[0]
    segmenter = dataclasses.replace(segmenter, find=lambda *_: SUBJECT[0].numpy(), needs_prompt=False)
    image = torch.zeros(1, 60, 60, 3)
    mask = run_node("PhDSegment", image=image, segmenter=segmenter, grow=pixels).values[0]
    wanted = torch.zeros(60)
    wanted[max(0, 10 - pixels) : 50 + pixels] = 1
    assert torch.equal(mask[0, 30], wanted)


def test_same_seed_same_result_whatever_the_batch():
    batch = paste(SCENE.repeat(3, 1, 1, 1), placement="random", seed=40)
    for index in range(3):
        alone = paste(placement="random", seed=40 + index)
        for slot in range(5):
            assert torch.equal(batch[slot][index], alone[slot][0])
        assert batch[5].splitlines()[index] == alone[5]


def test_masks_are_1_on_the_named_thing():
    _, _, matte, inpaint, harmonize, _ = paste(feather=0.0)
    subject = block(120, 160, 40, 60, 80, 100)
    assert torch.equal(matte, subject)
    # M_i is the ring around the subject, M_h the subject with the ring.
    assert inpaint[0, 60, 50] == 1 and inpaint[0, 60, 80] == 0 and inpaint[0, 60, 10] == 0
    assert torch.equal(harmonize, torch.maximum(subject, inpaint))


def test_the_boundary_is_softened_in_alpha_never_in_color():
    # Pasted in place, pixel on pixel: under its soft edge the subject has its own pixels.
    composite, _, matte, *_ = paste(feather=4.0)
    exemplar = torch.zeros_like(SCENE)
    exemplar[:, 30:90, 50:110] = EXEMPLAR
    opaque = matte > 1 - 1e-6
    assert opaque.sum() > 50
    torch.testing.assert_close(composite[opaque], exemplar[opaque], rtol=0, atol=2e-6)
    own = block(120, 160, 40, 60, 80, 100) > 0
    alpha = matte[..., None]
    torch.testing.assert_close(composite[own], (alpha * exemplar + (1 - alpha) * SCENE)[own], rtol=0, atol=2e-6)


def test_the_subject_stays_itself_and_takes_the_models_light():
    pasted = paste(feather=0.0)
    image = stitch(pasted, painted(pasted[0]), detail=1.0, color_fix=0.0)[0]
    core = pasted[2] == 1
    ours, theirs = (np.log(value[core].double().numpy() + 0.01) for value in (image, pasted[0]))
    ratio = ours - theirs
    for channel in range(3):
        # Darker as the model has it, and but for that the subject's own texture.
        assert ratio[:, channel].mean() < -0.1
        assert np.corrcoef(ours[:, channel], theirs[:, channel])[0, 1] > 0.97
    # Greener as the model has it.
    assert ratio[:, 1].mean() > ratio[:, 0].mean() + 0.03


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 0.5), (0.5, 1.0), (0.5, 0.5)])
def test_the_window_slides_inside_the_image_and_never_pads(x, y):
    window = crop(paste(x=x, y=y), context=2.0)[0]
    assert window.box.inside(window.scene) == window.box
    assert (window.scene.width, window.scene.height) == (160, 120)


@pytest.mark.parametrize("detail", [0.0, 1.0])
def test_everything_untouched_comes_back_exactly(detail):
    pasted = paste()
    window = crop(pasted)
    image, mask = stitch(pasted, window[1], crop=window[0], detail=detail)[:2]
    assert torch.equal(image, torch.where(mask[..., None] > 0, pasted[0], SCENE))
