"""PhDCrop and PhDStitch, through the real executor: what is not the subject's stays the background's, to the bit."""

import json

import comfy.latent_formats
import numpy as np
import pytest
import torch
from node_support import block, make_image, module, refused, run_node, tiny_flux, tiny_model, tiny_wan

geometry = module("phd_ops.pixels.geometry")

SIZES = [(60, 80), (61, 83), (200, 40), (1, 1), (7, 300)]


def pasted(height, width, batch=1):
    """Background, composite, matte and harmonize mask of a subject in the middle."""
    background, other = make_image(height, width, batch=batch, seed=1), make_image(height, width, batch=batch, seed=2)
    top, left = height // 3, width // 3
    matte = block(height, width, top, left, max(top + 1, 2 * height // 3), max(left + 1, 2 * width // 3), batch)
    change = block(height, width, max(0, top - 5), max(0, left - 5), 2 * height // 3 + 5, 2 * width // 3 + 5, batch)
    composite = torch.where(matte[..., None] > 0, 1 - other, background)
    return background, composite, matte, change


def crop(composite, matte, change, **changes):
    inpaint = change * (1 - matte)
    return run_node("PhDCrop", composite=composite, inpaint_mask=inpaint, harmonize_mask=change, **changes)


def stitch(background, composite, matte, change, sampled, **changes):
    given = {"background": background, "composite": composite, "sampled": sampled, "subject_matte": matte}
    return run_node("PhDStitch", **given, harmonize_mask=change, **changes)


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("detail", [0.0, 1.0])
def test_the_crop_itself_stitched_back_leaves_the_background(height, width, detail):
    background, composite, matte, change = pasted(height, width)
    cropped = crop(composite, matte, change, side=96)
    image, mask = stitch(
        background, composite, matte, change, cropped.values[1], crop=cropped.values[0], detail=detail
    ).values[:2]
    assert image.shape == background.shape and mask.shape == matte.shape
    assert torch.equal(image[mask == 0], background[mask == 0])
    assert ((mask > 0) <= (torch.maximum(change, matte) > 0)).all()
    assert torch.equal(mask[matte == 1], matte[matte == 1])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_with_full_detail_the_crop_itself_gives_the_composite(height, width):
    background, composite, matte, change = pasted(height, width)
    cropped = crop(composite, matte, change, side=96)
    image, _ = stitch(
        background, composite, matte, change, cropped.values[1], crop=cropped.values[0], detail=1.0, edge_fade=256
    ).values[:2]
    torch.testing.assert_close(image[matte == 1], composite[matte == 1], rtol=0, atol=2e-5)


def test_without_a_crop_the_composite_gives_the_composite():
    background, composite, matte, change = pasted(60, 80)
    image, mask = stitch(background, composite, matte, change, composite, detail=1.0).values[:2]
    torch.testing.assert_close(image, composite, rtol=0, atol=2e-5)
    assert torch.equal(image[mask == 0], background[mask == 0])


@pytest.mark.parametrize("sampled", ["bright", "dark", "noise"])
@pytest.mark.parametrize("given", [{}, {"luma_only": True}, {"edge_fade": 0}, {"edge_fade": 256}, {"detail": 0.5}])
def test_whatever_the_model_made_the_background_stays(sampled, given):
    background, composite, matte, change = pasted(61, 83)
    values = {"bright": torch.ones(1, 96, 96, 3), "dark": torch.zeros(1, 96, 96, 3), "noise": make_image(96, 96)}
    cropped = crop(composite, matte, change, side=96)
    image, mask = stitch(background, composite, matte, change, values[sampled], crop=cropped.values[0], **given).values[
        :2
    ]
    assert torch.equal(image[mask == 0], background[mask == 0])
    assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
    assert not torch.allclose(image[matte == 1], composite[matte == 1], atol=0.01)


def test_a_nan_from_the_model_does_not_reach_the_image():
    background, composite, matte, change = pasted(60, 80)
    image, _ = stitch(background, composite, matte, change, torch.full_like(composite, torch.nan)).values[:2]
    assert image.isfinite().all()


def test_an_empty_matte_passes_the_background_through():
    background, composite, _, _ = pasted(60, 80)
    empty = torch.zeros(1, 60, 80)
    ran = stitch(background, composite, empty, empty, 1 - composite)
    assert torch.equal(ran.values[0], background)
    assert not ran.values[1].any()
    assert ran.text == ["The subject's mask is empty: the background passes through unchanged."]


def test_an_empty_matte_gives_no_message_of_passing_through_where_the_surround_changes():
    background, composite, _, change = pasted(60, 80)
    ran = stitch(background, composite, torch.zeros(1, 60, 80), change, 1 - composite)
    assert not torch.equal(ran.values[0], background)
    assert not any("passes through" in text for text in ran.text)


def test_light_is_read_as_the_difference_of_the_two_runs():
    background, composite, matte, change = pasted(60, 80)
    brighter = (composite * 1.3).clamp(0, 1)
    given = (background, composite, matte, change, brighter)
    options = {"detail": 1.0, "color_fix": 0.0}
    without = stitch(*given, **options).values[0]
    # The reference came out nearly as bright: hardly any light is left to give.
    against = stitch(*given, **options, sampled_reference=(brighter - 0.01).clamp(0, 1)).values[0]
    torch.testing.assert_close(against[matte == 1], composite[matte == 1], rtol=0, atol=0.03)
    assert without[matte == 1].mean() > composite[matte == 1].mean() + 0.05


def test_relight_strength_scales_the_change_of_the_subjects_light():
    background, composite, matte, change = pasted(60, 80)
    given = (background, composite, matte, change, (composite * 0.7).clamp(0, 1))
    own, read, more = (
        stitch(*given, detail=1.0, color_fix=0.0, relight_strength=light).values[0][matte == 1]
        for light in (0.0, 1.0, 1.3)
    )
    torch.testing.assert_close(own, composite[matte == 1], rtol=0, atol=1e-5)
    assert more.mean() < read.mean() - 0.02 < own.mean() - 0.1


def test_a_reference_that_is_the_sampled_image_again_is_no_reference():
    background, composite, matte, change = pasted(60, 80)
    given = (background, composite, matte, change, (composite * 1.3).clamp(0, 1))
    without, again = stitch(*given), stitch(*given, sampled_reference=given[-1])
    assert torch.equal(again.values[0], without.values[0])
    assert "estimated from sampled alone" in again.text[0]


def test_the_report_and_a_message_give_the_light():
    background, composite, matte, change = pasted(60, 80)
    darker = composite * torch.tensor([0.5, 0.7, 0.7])
    ran = stitch(background, composite, matte, change, darker, color_fix=0.0, detail=1.0)
    (found,) = json.loads(ran.values[2])
    red, green, blue = found["gain"]
    assert 0.2 < red < green == pytest.approx(blue, abs=0.02) and blue < 0.6
    gain = f"red ×{red:.2f}, green ×{green:.2f}, blue ×{blue:.2f}"
    assert ran.text[0] == f"Light on the subject: {gain}, estimated from the result alone."
    assert found["identity"] > 0.98 and not found["neglected"] and not found["suppressed"]
    assert set(found) == {
        "gain",
        "light_by",
        "eased",
        "identity",
        "identity_of_sampled",
        "neglected",
        "suppressed",
        "color_shift_pixels",
        "color_shift_left",
        "flicker",
        "flicker_read",
        "subject_pixels",
        "visible",
        "empty",
        "registration",
        "motion",
        "moved_pixels",
        "residual_pixels",
        "changed_share",
        "subject_fits",
        "subject_from",
    }
    assert found["subject_pixels"] == int((matte > 0.5).sum()) and found["visible"] and not found["empty"]
    assert ran.execution.outputs["node"]["phd_report"] == [found]


def test_light_beyond_twice_or_half_is_eased_and_the_node_says_it_with_figures():
    background, composite, matte, change = pasted(60, 80)
    seen = {}
    for light in (0.8, 0.2):
        ran = stitch(background, composite, matte, change, composite * light, color_fix=0.0)
        ((entry,), seen[light]) = json.loads(ran.values[2]), [text for text in ran.text if "eased" in text]
    assert seen[0.8] == []
    estimated, applied = entry["eased"]
    assert estimated < applied < 0.5 and min(entry["gain"]) > 0.25
    wanted = f"The light was estimated to change by up to ×{estimated:.2f} and is eased there to ×{applied:.2f}."
    assert seen[0.2] == [wanted]


def test_the_report_of_an_empty_paste_is_no_perfect_score():
    background, composite, matte, change = pasted(60, 80, batch=2)
    matte[0], composite[0] = 0, background[0]
    darker = composite * 0.7
    ran = stitch(background, composite, matte, change, darker, color_fix=0.0)
    nothing, something = json.loads(ran.values[2])
    assert (nothing["subject_pixels"], nothing["visible"], nothing["empty"]) == (0, False, True)
    assert nothing["identity"] is None and nothing["identity_of_sampled"] is None
    assert something["subject_pixels"] == int((matte[1] > 0.5).sum())
    assert something["visible"] and not something["empty"] and something["identity"] > 0.9
    assert ran.execution.outputs["node"]["phd_report"] == [nothing, something]


def test_a_model_that_changed_nothing_gives_a_message():
    background, composite, matte, change = pasted(60, 80)
    ran = stitch(background, composite, matte, change, composite)
    assert ran.text == ["The model did not change the composite, so it is returned as it is."]
    assert json.loads(ran.values[2])[0]["gain"] == [1, 1, 1]


def test_light_is_averaged_over_seeds_and_every_scene_has_its_own():
    background, composite, matte, change = pasted(60, 80, batch=2)
    runs = [(composite * gain).clamp(0, 1) for gain in (0.8, 0.5)]
    options = {"color_fix": 0.0, "detail": 1.0}
    both = stitch(background, composite, matte, change, torch.cat(runs), num_seeds=2, **options)
    assert both.values[0].shape == background.shape and len(json.loads(both.values[2])) == 2
    gains = [
        json.loads(stitch(background, composite, matte, change, run, **options).values[2])[1]["gain"][0] for run in runs
    ]
    assert gains[1] < json.loads(both.values[2])[1]["gain"][0] < gains[0]
    one = slice(1, 2)
    alone = torch.cat([run[one] for run in runs])
    alone = stitch(background[one], composite[one], matte[one], change[one], alone, num_seeds=2, **options)
    assert torch.equal(alone.values[0][0], both.values[0][1])


def test_images_that_seeds_cannot_share_are_refused():
    background, composite, matte, change = pasted(60, 80)
    given = {"background": background, "composite": composite, "subject_matte": matte, "harmonize_mask": change}
    message = refused("PhDStitch", **given, sampled=composite.repeat(3, 1, 1, 1), num_seeds=2)
    assert message.startswith("sampled has 3 images, which cannot be 2 runs of the same scenes: set num_seeds")


def test_around_the_subject_only_what_changed_takes_the_model_s_pixels():
    background, composite, matte, change = pasted(120, 160)
    ring = (change > 0) & (matte == 0)
    shadow = torch.zeros(1, 120, 160)
    shadow[:, 60:, :] = 1
    sampled = composite * 0.7
    given = {"color_fix": 0.0, "edge_fade": 0, "keep_surround": 0.0, "changed": shadow[:, ::8, ::8]}
    image, mask, *_ = stitch(background, composite, matte, change, sampled, **given).values
    # Along the edge of the latent cells it is one or the other.
    rows = torch.arange(120)[None, :, None]
    kept, painted = ring & (rows < 52), ring & (rows >= 68)
    assert kept.any() and painted.any()
    assert torch.equal(image[kept], background[kept]) and not mask[kept].any()
    torch.testing.assert_close(image[painted], sampled[painted], rtol=0, atol=2e-3)
    nowhere = stitch(background, composite, matte, change, sampled, **given | {"changed": shadow * 0}).values
    assert torch.equal(nowhere[1], matte)


@pytest.mark.parametrize("subject", [0.0, 1.0])
def test_items_of_a_batch_equal_the_same_item_alone(subject):
    background, composite, matte, change = pasted(60, 80, batch=3)
    matte = subject * matte
    sampled = (0.9 * composite + 0.1 * torch.rand(composite.shape, generator=torch.Generator().manual_seed(1))) ** 1.1
    together = stitch(background, composite, matte[:1], change[:1], sampled).values
    for index in range(3):
        one = slice(index, index + 1)
        alone = stitch(background[one], composite[one], matte[:1], change[:1], sampled[one]).values
        assert torch.equal(together[0][one], alone[0])
        assert torch.equal(together[1][one], alone[1])


def test_the_window_gives_a_message_and_its_parts_have_one_size():
    background, composite, matte, change = pasted(120, 160)
    ran = crop(composite, matte, change, side=128, context=1.5, reference=background)
    window, image_, inpaint, harmonize, reference, subject, _ = ran.values
    assert image_.shape == reference.shape == (1, window.target.height, window.target.width, 3)
    assert inpaint.shape == harmonize.shape == subject.shape == image_.shape[:3]
    assert window.target.width % 8 == window.target.height % 8 == 0
    assert ran.text[0].startswith(f"Window {window.box.width}×{window.box.height} at ")
    assert not torch.equal(image_, reference)


def test_without_a_reference_the_reference_is_the_composite():
    _, composite, matte, change = pasted(60, 80)
    ran = crop(composite, matte, change, side=96)
    assert torch.equal(ran.values[1], ran.values[4])


def test_an_empty_mask_gives_the_whole_image_and_a_message():
    _, composite, matte, change = pasted(60, 80)
    ran = crop(composite, matte, torch.zeros_like(change), side=96)
    assert tuple(ran.values[0].box) == (0, 0, 80, 60)
    assert "The harmonize_mask is empty: the window is the whole image." in ran.text


def test_the_window_holds_all_that_may_change_and_lies_inside():
    background = make_image(100, 100)
    for top, left in ((0, 0), (80, 80), (0, 80), (45, 45)):
        change = block(100, 100, top, left, top + 20, left + 20)
        box = crop(background, change, change, side=64).values[0].box
        assert 0 <= box.x <= left and left + 20 <= box.x + box.width <= 100
        assert 0 <= box.y <= top and top + 20 <= box.y + box.height <= 100


@pytest.mark.parametrize("channels", [1, 4])
def test_gray_and_rgba_images_work(channels):
    background, composite, matte, change = pasted(60, 80)
    fits = {1: background[..., :1], 4: torch.cat([background, torch.ones(1, 60, 80, 1)], -1)}[channels]
    assert crop(fits, matte, change, side=96).values[1].shape[-1] == 3
    image, mask = stitch(fits, composite, matte, change, fits).values[:2]
    assert torch.equal(image[mask == 0], fits[..., :3].expand(1, 60, 80, 3)[mask == 0])


def test_masks_of_another_size_are_brought_to_the_image_s():
    background, composite, matte, change = pasted(60, 80)
    large = [mask.repeat_interleave(2, 1).repeat_interleave(2, 2) for mask in (matte, change)]
    wanted = stitch(background, composite, matte, change, 1 - composite).values
    made = stitch(background, composite, *large, 1 - composite).values
    assert torch.equal(made[0], wanted[0]) and torch.equal(made[1], wanted[1]) and made[2] == wanted[2]


@pytest.mark.parametrize("multiple", [8, 16, 32, 64])
@pytest.mark.parametrize(("height", "width"), [(60, 80), (61, 383), (300, 200)])
def test_the_windows_sides_are_multiples(multiple, height, width):
    _, composite, matte, change = pasted(height, width)
    window = crop(composite, matte, change, side=256, multiple=multiple).values[0]
    assert window.target.width % multiple == window.target.height % multiple == 0
    assert window.target.width * window.target.height == pytest.approx(256**2, rel=0.4)


def test_without_a_side_the_window_takes_the_models():
    _, composite, matte, change = pasted(60, 80)
    for model, side in ((tiny_model("EPS"), 512), (run_node("PhDLoadDemoModel").values[0], 256)):
        target = crop(composite, matte, change, side=0, context=1.0, model=model).values[0].target
        assert target.width * target.height == pytest.approx(side**2, rel=0.05)
        # A side that was given stays.
        target = crop(composite, matte, change, side=128, model=model).values[0].target
        assert target.width * target.height == pytest.approx(128**2, rel=0.1)


def test_a_transformer_with_the_latents_of_stable_diffusion_1_has_its_own_side():
    net = tiny_model("EPS")
    config = net.model.model_config
    assert isinstance(config.latent_format, comfy.latent_formats.SD15)
    config.unet_config = {**config.unet_config, "image_model": "pixart_alpha"}
    assert module("nodes.model_size").model_size(net)[0] == 1024


def test_a_model_with_a_coarser_grid_asks_for_more():
    _, composite, matte, change = pasted(60, 80)
    for given, multiple in ((8, 16), (24, 48), (64, 64)):
        target = crop(composite, matte, change, side=0, multiple=given, model=tiny_flux()).values[0].target
        assert target.width % multiple == target.height % multiple == 0
        assert target.width * target.height == pytest.approx(1024**2, rel=0.1)


def test_without_a_side_a_video_model_gets_as_many_pixels_as_its_own_frames():
    wan = tiny_wan()
    image, mask = make_image(480, 832), torch.ones(1, 480, 832)
    target = run_node("PhDCrop", image=image, mask=mask, side=0, model=wan).values[0].target
    assert target == (832, 480)
    config = wan.model.model_config
    assert isinstance(config.latent_format, comfy.latent_formats.Wan21)
    # Qwen-Image has the same latents, and makes images.
    config.unet_config = {**config.unet_config, "image_model": "qwen_image"}
    assert module("nodes.model_size").model_size(wan)[0] == 1024
    known = set(module("nodes.model_size").VIDEO_SIDES) - NEWER_FORMATS
    assert all(getattr(comfy.latent_formats, name).latent_dimensions == 3 for name in known)


# Latent formats of newer versions of ComfyUI than the oldest one that is supported.
NEWER_FORMATS = {"HunyuanVideo15"}


@pytest.mark.parametrize(
    ("name", "base", "config", "side", "grid"),
    [
        ("LTXAV", comfy.latent_formats.LTXV, {"image_model": "ltxav"}, 627, 32),
        ("HunyuanVideo15", comfy.latent_formats.LatentFormat, {"patch_size": [1, 1, 1]}, 638, 16),
        ("Flux2", comfy.latent_formats.LatentFormat, {"patch_size": 1}, 1024, 16),
    ],
)
def test_models_of_newer_versions_have_their_own_size(name, base, config, side, grid):
    net = tiny_wan()
    latent = type(name, (base,), {})()
    if hasattr(latent, "spacial_downscale_ratio"):
        # Some versions lack it.
        latent.spacial_downscale_ratio = None
    net.add_object_patch("latent_format", latent)
    net.model.model_config.unet_config = config
    assert module("nodes.model_size").model_size(net) == (side, grid)


def test_without_a_side_and_without_a_model_the_message_names_what_is_needed():
    _, composite, matte, change = pasted(60, 80)
    given = {"composite": composite, "inpaint_mask": matte, "harmonize_mask": change, "side": 0}
    message = refused("PhDCrop", **given)
    assert message == "side is 0; it must be at least 64, or 0 with a model connected."


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("side", [64, 96, 200])
@pytest.mark.parametrize("detail", [0.0, 0.9])
def test_a_crop_stitched_back_is_the_composite_to_the_bit(height, width, side, detail):
    background, composite, matte, change = pasted(height, width)
    cropped = crop(composite, matte, change, side=side)
    image, mask = stitch(
        background, composite, matte, change, cropped.values[1], crop=cropped.values[0], detail=detail
    ).values[:2]
    assert torch.equal(image, torch.where(mask[..., None] > 0, composite, background))
    assert torch.equal(image, composite)


def test_a_color_shift_is_removed_and_gives_a_message():
    background, composite, matte, change = pasted(120, 160)
    cropped = crop(composite, matte, change, side=128, context=2.5)
    gain, offset = torch.tensor([1.05, 1.0, 0.95]), torch.tensor([-0.02, 0.01, 0.02])
    sampled = (cropped.values[1] - offset) / gain
    given = (background, composite, matte, change, sampled)
    fixed = stitch(*given, crop=cropped.values[0], detail=0.0)
    messages = [text for text in fixed.text if text.startswith("Color shift removed: ")]
    assert len(messages) == 1
    assert "×1.050, ×1.000, ×0.950; -5.1, +2." in messages[0]
    assert ", +5.1 levels (red, green, blue). Measured on " in messages[0]
    assert int(messages[0].split(" Measured on ")[1].split()[0]) > 1000
    left = stitch(*given, crop=cropped.values[0], detail=0.0, color_fix=0.0)
    assert not any("Color shift" in text for text in left.text)
    unshifted = stitch(*given[:4], cropped.values[1] + 1e-6, crop=cropped.values[0], detail=0.0)
    assert (fixed.values[0] - unshifted.values[0]).abs().max() * 255 < 0.1
    assert (left.values[0] - unshifted.values[0]).abs().max() * 255 > 2


def test_a_color_shift_that_cannot_be_seen_gives_no_message():
    background, composite, matte, change = pasted(120, 160)
    cropped = crop(composite, matte, change, side=128, context=2.5)
    window, sampled = cropped.values[:2]
    for shift in (1e-6, 0.3 / 255):
        done = stitch(background, composite, matte, change, sampled * 0.999 + shift, crop=window)
        assert not any("Color shift" in text for text in done.text)


def test_half_of_a_color_shift_is_said_as_half_and_a_zero_has_no_minus():
    report = module("nodes.stitch_report")
    shift = module("phd_ops.pixels.vae_color_shift").ColorShift(
        np.float32([1.1, 1, 1]), np.float32([0, -1e-5, 0.04]), 4096
    )
    (message,) = report.shift_messages(shift, 0.5)
    assert message.text == (
        "Color shift removed: ×1.050, ×1.000, ×1.000; +0.0, +0.0, +5.1 levels (red, green, blue). Measured on 4096 "
        "pixels that should not change."
    )
    assert report.shift_messages(shift, 0.0) == []


def test_a_color_shift_that_varies_is_said_with_the_most_that_it_removes():
    report, shifts = module("nodes.stitch_report"), module("phd_ops.pixels.vae_color_shift")
    field = module("phd_ops.pixels.tone_field").ToneField(
        np.zeros((0, 3), np.float32), np.full((2, 3), 0.02, np.float32)
    )
    shift = shifts.ColorShift(np.ones(3, np.float32), np.zeros(3, np.float32), 4096, field)
    (message,) = report.shift_messages(shift, 1.0)
    # The centers of the outermost of 9 cells lie 1/9 inside the image's borders.
    assert message.text == (
        f"Color shift removed: up to {255 * 0.04 * 8 / 9:.1f} levels, more in some places than in others. Measured on "
        "4096 pixels that should not change."
    )


def test_every_node_shows_its_images(page):
    background, composite, matte, change = pasted(60, 80, batch=2)
    cropped = crop(composite, matte, change, side=96)
    assert len(cropped.execution.outputs["node"]["images"]) == 2
    # The image and the mask that was used, for each.
    done = stitch(background, composite, matte, change, cropped.values[1], crop=cropped.values[0])
    assert len(done.execution.outputs["node"]["images"]) == 4


def test_inputs_are_left_as_they_were():
    background, composite, matte, change = pasted(60, 80)
    sampled, reference = 1 - composite, composite * 0.9
    given = (background, composite, matte, change, sampled, reference)
    copies = [value.clone() for value in given]
    crop(composite, matte, change, side=96, reference=reference)
    crop(composite, matte, torch.ones(1, 60, 80), side=64)
    for options in ({}, {"keep_surround": 1.0}, {"color_fix": 0.0, "detail": 0.0}, {"edge_fade": 0, "luma_only": True}):
        stitch(*given[:5], **options, sampled_reference=reference)
    assert all(torch.equal(ours, copy) for ours, copy in zip(given, copies, strict=True))


def test_a_window_in_a_large_scene_is_no_larger():
    # The subject's surroundings decide, not the scene.
    change = block(1100, 2000, 500, 900, 560, 980)
    window = crop(make_image(1100, 2000), change, change, side=256, context=1.5).values[0]
    assert window.box.size == (120, 120)
    assert window.target == (256, 256)


@pytest.mark.parametrize(("height", "width"), [(263, 263), (262, 254), (100, 103)])
def test_without_a_crop_the_margin_that_the_vae_cuts_off_stays(height, width):
    """VAE Encode takes whole latent cells from the middle; the image must not be stretched over the rest."""
    background, composite, matte, change = pasted(height, width)
    top, left = height % 8 // 2, width % 8 // 2
    decoded = composite[:, top : top + height // 8 * 8, left : left + width // 8 * 8] * 0.9
    ran = stitch(background, composite, matte, change, decoded, detail=0.0, edge_fade=0, color_fix=0.0)
    core = (matte == 1) & (ran.values[1] == 1)
    torch.testing.assert_close(ran.values[0][core], 0.9 * composite[core], rtol=0, atol=1e-5)
    assert any("which the VAE cut off" in text for text in ran.text)


def test_a_mask_that_ends_with_the_window_still_fades():
    background, composite, matte, change = pasted(120, 160)
    cropped = crop(composite, matte, change, side=64, context=1.0)
    image, mask = stitch(
        background, composite, matte, change, 0.7 * cropped.values[1], crop=cropped.values[0], color_fix=0.0
    ).values[:2]
    rows, columns = change[0].any(1).nonzero().flatten(), change[0].any(0).nonzero().flatten()
    assert mask[0, rows[0]].max() < 0.1 and mask[0, :, columns[0]].max() < 0.1


@pytest.mark.parametrize("name", ["subject_matte", "harmonize_mask"])
def test_a_mask_of_the_window_is_refused_in_words(name):
    background, composite, matte, change = pasted(120, 160)
    cropped = crop(composite, matte, change, side=64)
    given = {"background": background, "composite": composite, "sampled": cropped.values[1], "crop": cropped.values[0]}
    masks = {"subject_matte": matte, "harmonize_mask": change, name: cropped.values[3]}
    message = refused("PhDStitch", **given, **masks)
    assert message.startswith(f"{name} is ") and "connect the whole mask from Paste & Blend" in message


def test_the_subject_goes_through_the_window_as_the_other_masks_do():
    _, composite, matte, change = pasted(120, 160)
    soft = 0.7 * matte
    soft[:, 50:60, 60:70] = 0.2
    ran = crop(composite, matte, change, side=128, subject_matte=soft)
    # Another mask's place shows what is done to a mask.
    given = {"composite": composite, "inpaint_mask": soft, "harmonize_mask": change, "side": 128}
    assert torch.equal(ran.values[5], run_node("PhDCrop", **given).values[2])
    assert ran.values[5].shape == ran.values[3].shape and ran.values[5].max() == pytest.approx(0.7, abs=1e-3)
    # The window is around what may change, whatever the subject.
    assert ran.values[0] == crop(composite, matte, change, side=128).values[0]


def test_without_a_subject_it_is_what_may_change_but_not_the_ring():
    _, composite, matte, change = pasted(120, 160)
    assert torch.equal(
        crop(composite, matte, change, side=128).values[5],
        crop(composite, matte, change, side=128, subject_matte=matte).values[5],
    )
    # A ring beyond what may change takes nothing away that is not there.
    ring = torch.ones_like(change)
    ring[:, 60, 80] = 0
    given = {"composite": composite, "inpaint_mask": ring, "harmonize_mask": change, "side": 128}
    assert (run_node("PhDCrop", **given).values[5] > 0.5).sum() <= 4


@pytest.mark.parametrize("batches", [(1, 1, 3), (1, 3, 1), (3, 1, 1), (3, 1, None), (1, 3, None), (3, 3, 3)])
def test_subjects_of_a_batch_are_cut_one_by_one(batches):
    """Composites, masks of what may change, subjects; None: no subject."""
    _, composite, matte, change = pasted(120, 160, batch=3)
    mattes = matte * torch.tensor([1, 0.5, 0.25])[:, None, None]
    given = [composite[: batches[0]], mattes[: batches[1]], change[: batches[1]]]
    subject = {} if batches[2] is None else {"subject_matte": mattes[: batches[2]]}
    together = crop(*given, side=96, **subject).values[5]
    assert together.shape[0] == 3
    for index in range(3):
        alone = [batch[min(index, len(batch) - 1)][None] for batch in given]
        one = {name: batch[min(index, len(batch) - 1)][None] for name, batch in subject.items()}
        assert torch.equal(together[index : index + 1], crop(*alone, side=96, **one).values[5])


def test_a_subject_mask_of_another_size_is_resized_to_the_images_and_gives_a_message():
    _, composite, matte, change = pasted(60, 80)
    large = matte.repeat_interleave(2, 1).repeat_interleave(2, 2)
    ran = crop(composite, matte, change, side=96, subject_matte=large)
    assert torch.equal(ran.values[5], crop(composite, matte, change, side=96, subject_matte=matte).values[5])
    assert "subject_matte is 160×120 pixels and was resized to its image's 80×60 pixels." in ran.text


def test_subjects_that_fit_no_batch_and_no_mask_are_refused():
    _, composite, matte, change = pasted(60, 80, batch=2)
    given = {"composite": composite, "inpaint_mask": matte, "harmonize_mask": change, "side": 64}
    assert "subject_matte: 3" in refused("PhDCrop", **given, subject_matte=torch.ones(3, 60, 80))
    assert refused("PhDCrop", **given, subject_matte=torch.ones(1, 3, 60, 80)).startswith(
        "subject_matte: A mask must be"
    )


def faint_black():
    """A square of 64 pixels on a black of 2/255."""
    return torch.maximum(block(256, 256, 96, 96, 160, 160), torch.tensor(2 / 255))


def test_the_window_is_around_what_may_change_though_its_black_is_not_0():
    window = crop(make_image(256, 256), faint_black(), faint_black(), side=64).values[0]
    assert tuple(window.box) == (76, 76, 103, 103)


def test_stitch_changes_nothing_where_its_masks_are_nearly_black():
    background, composite = make_image(256, 256, seed=1), make_image(256, 256, seed=2)
    mask, clean = faint_black(), block(256, 256, 96, 96, 160, 160)
    faint = stitch(background, composite, mask, mask, 1 - composite).values
    wanted = stitch(background, composite, clean, clean, 1 - composite).values
    assert torch.equal(faint[0], wanted[0]) and torch.equal(faint[1], wanted[1])


def wild(background):
    """A background with values outside 0..1, and one of no value, at its border and inside."""
    given = background * 6.3 - 0.3
    given[:, 0, 0], given[:, 1, 1], given[:, 2, 2] = torch.nan, torch.inf, -torch.inf
    return given


def equal(one, other):
    return torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("options", [{}, {"keep_surround": 1.0}, {"detail": 0.0, "edge_fade": 0}])
@pytest.mark.parametrize("windowed", [False, True])
def test_values_outside_0_to_1_stay_outside_the_mask(options, windowed):
    background, composite, matte, change = pasted(60, 80)
    cropped = crop(composite, matte, change, side=96, context=1.0)
    given = {"crop": cropped.values[0]} if windowed else {}
    for sampled in (cropped.values[1], 1 - cropped.values[1]) if windowed else (composite, 1 - composite):
        image, mask, *_ = stitch(wild(background), composite, matte, change, sampled, **given, **options).values
        assert (mask > 0).any() and equal(image[mask == 0], wild(background)[mask == 0])
        assert image[mask > 0].min() >= 0 and image[mask > 0].max() <= 1
    background[0, 3, 3] = 1.02
    assert (
        stitch(background, composite, matte, change, 1 - composite).values[0][0, 3, 3].tolist()
        == [pytest.approx(1.02)] * 3
    )


@pytest.mark.parametrize(("cell", "size"), [(32, (576, 448)), (64, (576, 448)), (16, (592, 448))])
def test_what_the_vae_cut_off_inside_a_crop_is_not_stretched(cell, size):
    background, composite, matte, change = pasted(448, 592)
    whole = geometry.Size(592, 448)
    window = module("phd_ops.pixels.pasted_scenes").PasteCrop(geometry.Box(0, 0, *whole), whole, whole)
    sampled = composite * 0.9
    top, left = 448 % cell // 2, 592 % cell // 2
    cut = sampled[:, top : top + size[1], left : left + size[0]]
    options = {"crop": window, "detail": 0.0, "color_fix": 0.0}
    wanted = stitch(background, composite, matte, change, sampled, **options).values[0]
    ran = stitch(background, composite, matte, change, cut, sampled_reference=cut * 0.9, **options)
    torch.testing.assert_close(ran.values[0], wanted, rtol=0, atol=1e-5)
    assert any("the window's margin, which the VAE cut off" in text for text in ran.text) == (size != (592, 448))


def test_an_unchanged_window_whose_margin_the_vae_cut_off_goes_back_to_the_bit():
    background, composite, matte, change = pasted(120, 160)
    cropped = crop(composite, matte, change, side=128)
    target = cropped.values[0].target
    height, width = (side // 16 * 16 for side in (target.height, target.width))
    top, left = (target.height - height) // 2, (target.width - width) // 2
    cut = cropped.values[1][:, top : top + height, left : left + width]
    image, *_ = stitch(background, composite, matte, change, cut, crop=cropped.values[0]).values
    assert torch.equal(image, composite)


def test_a_window_is_not_stretched_over_the_whole_scene():
    background, composite, matte, change = pasted(427, 640)
    given = {"background": background, "composite": composite, "subject_matte": matte, "harmonize_mask": change}
    message = refused("PhDStitch", **given, sampled=make_image(120, 136))
    assert message.startswith("sampled is 136×120 pixels, which cannot be all of a background of 640×427 pixels")
    message = refused("PhDStitch", **given, sampled=composite, sampled_reference=make_image(120, 136))
    assert message.startswith("sampled_reference is 136×120 pixels")
    cropped = crop(composite, matte, change, side=128)
    target = cropped.values[0].target
    message = refused("PhDStitch", **given, sampled=make_image(64, 640), crop=cropped.values[0])
    assert f"sampled is 640×64 pixels, which cannot be the crop's window of {target.width}×{target.height}" in message


@pytest.mark.parametrize(
    ("scene", "sampled"),
    [((1080, 1920), (576, 1024)), ((1080, 1920), (768, 1344)), ((427, 640), (424, 640)), ((427, 640), (854, 1280)),
     ((427, 640), (200, 300)), ((60, 80), (1, 1)), ((427, 640), (640, 960))],
)  # fmt: skip
def test_a_whole_image_at_another_scale_is_taken(scene, sampled):
    sizes = [geometry.Size(*shape[::-1]) for shape in (sampled, scene)]
    assert module("nodes.stitch_batch").may_show(*sizes)


@pytest.mark.parametrize(
    ("name", "grid"),
    [("SD15", 8), ("Flux", 16), ("Wan22", 32), ("LTXV", 64), ("HunyuanImage21", 64), ("SC_Prior", 84), ("SC_B", 8)],
)
def test_the_grid_is_the_latent_format_s(name, grid):
    sizes, config = module("nodes.model_size"), {"model_channels": 320} if name == "SD15" else {}
    latent = getattr(comfy.latent_formats, name)()
    assert sizes.latent_grid(latent, config) == grid
    latent.spacial_downscale_ratio = 24
    assert sizes.latent_grid(latent, config) == (24 if config else 48)


@pytest.mark.parametrize(
    ("config", "grid"),
    [({"patch_size": [1, 1]}, 32), ({"patch_size": (1, 2, 2)}, 64), ({"patch_size": 16}, 512)],
)
def test_the_grid_holds_whole_patches(config, grid):
    assert module("nodes.model_size").latent_grid(comfy.latent_formats.HunyuanImage21(), config) == grid


@pytest.mark.parametrize("name", ["ltxv", "ltxav"])
def test_ltx_has_no_patches_of_cells(name):
    """One of its own sizes is 704×480."""
    grid = module("nodes.model_size").latent_grid(comfy.latent_formats.LTXV(), {"image_model": name})
    assert grid == 32 and 480 % grid == 704 % grid == 0


def test_the_stages_of_cascade_have_their_own_grids():
    sizes = module("nodes.model_size")
    for name, grid in (("SC_Prior", 42), ("SC_B", 4)):
        latent = getattr(comfy.latent_formats, name)()
        assert sizes.latent_grid(latent, {"stable_cascade_stage": "c"}) == grid
