"""Any image and its mask through PhDCrop and PhDStitch, with no subject and no paste: two wires."""

import json

import pytest
import torch
from node_support import block, make_image, module, refused, run_node

SCENE = make_image(120, 160, seed=1)
MASK = block(120, 160, 40, 60, 80, 100)


def crop(image=SCENE, mask=MASK, side=64, **changes):
    given = {"image": image, "mask": mask, **changes}
    return run_node("PhDCrop", side=side, **{name: value for name, value in given.items() if value is not None})


def stitch(cropped, sampled, **changes):
    return run_node("PhDStitch", crop=cropped.values[0], sampled=sampled, **changes)


@pytest.fixture(scope="module")
def demo():
    return dict(zip(("model", "clip", "vae", "module"), run_node("PhDLoadDemoModel").values, strict=True))


def test_two_wires_put_the_models_pixels_into_the_mask_and_nothing_else_moves():
    cropped = crop()
    assert torch.equal(cropped.values[2], cropped.values[3]) and not cropped.values[5].any()
    image, mask, report, _ = stitch(cropped, 1 - cropped.values[1], color_fix=0.0).values
    assert torch.equal(image[mask == 0], SCENE[mask == 0])
    assert ((mask > 0) == (MASK > 0)).all()
    core = block(120, 160, 50, 70, 70, 90) > 0
    assert (image - SCENE)[core].abs().mean() > 0.1
    assert json.loads(report)[0]["empty"]


@pytest.mark.parametrize(("height", "width"), [(60, 80), (61, 83), (200, 40), (1, 1), (7, 300), (300, 7)])
@pytest.mark.parametrize(
    "size",
    [{"side": 96}, {"size_mode": "exact", "width": 128, "height": 72}, {"size_mode": "longest side", "side": 72},
     {"size_mode": "no resize"}, {"side": 96, "resampler": "lanczos"}, {"side": 96, "resampler": "nearest"},
     {"side": 96, "extend_left": 13, "extend_top": 0, "extend_right": 1, "extend_bottom": 40}],
)  # fmt: skip
def test_the_crop_itself_stitched_back_is_the_image_to_the_bit(height, width, size):
    scene, mask = make_image(height, width, seed=4), block(height, width, height // 3, width // 3, height, width)
    cropped = crop(scene, mask, **size)
    image = stitch(cropped, cropped.values[1]).values[0]
    left, top = size.get("extend_left", 0), size.get("extend_top", 0)
    assert torch.equal(image[:, top : top + height, left : left + width], scene)


def test_unresized_the_model_gets_the_images_own_pixels_and_gives_back_its_own():
    cropped = crop(size_mode="no resize", context=1.0)
    window = cropped.values[0]
    assert torch.equal(cropped.values[1][0], SCENE[0][window.box.slices])
    image, mask, *_ = stitch(cropped, 1 - cropped.values[1], color_fix=0.0, edge_fade=0).values
    assert torch.equal(image[MASK > 0], (1 - SCENE)[MASK > 0])


def test_an_exact_size_is_the_size_and_circles_stay_circles():
    y, x = torch.meshgrid(torch.arange(300.0), torch.arange(400.0), indexing="ij")
    disc = (((x - 200) ** 2 + (y - 150) ** 2) < 60**2).float()
    image = disc[None, ..., None].expand(1, 300, 400, 3).contiguous()
    cropped = crop(image, disc[None], size_mode="exact", width=192, height=128)
    assert cropped.values[1].shape == (1, 128, 192, 3)
    seen = cropped.values[1][0, ..., 0] > 0.5
    wide, high = seen.any(0).sum().item(), seen.any(1).sum().item()
    assert abs(wide - high) <= 1
    assert not any("enlarged" in text for text in cropped.text)


def test_a_stripe_gives_the_model_a_usable_size_and_comes_back_exactly():
    stripe, mask = make_image(64, 430, seed=2), torch.zeros(1, 64, 430)
    mask[:, :, 5:425] = 1
    cropped = crop(stripe, mask, side=128)
    assert cropped.values[1].shape == (1, 64, 256, 3)
    window = cropped.values[0]
    assert window.box == (0, -22, 430, 108)
    assert any("reaches beyond the image (left 0, top 22, right 0, bottom 22 px)" in text for text in cropped.text)
    image, used, *_ = stitch(cropped, 1 - cropped.values[1]).values
    assert image.shape == stripe.shape and used.shape == mask.shape
    assert torch.equal(image[used == 0], stripe[used == 0])
    # At the image's own border nothing fades.
    assert (used[0, 0, 60:300] == 1).all() and (used[0, -1, 60:300] == 1).all()
    expected = (1 - stripe)[0, 20:44, 60:300]
    assert (image[0, 20:44, 60:300] - expected).abs().mean() < 0.06


def test_what_may_change_at_the_border_may_change_beyond_it_and_no_subject_is_there():
    subject = block(64, 430, 0, 100, 30, 200)
    given = {"composite": make_image(64, 430), "inpaint_mask": 0 * subject, "harmonize_mask": subject}
    given |= {"subject_matte": subject, "side": 128, "context_mask": torch.ones(1, 64, 430)}
    values = run_node("PhDCrop", **given).values
    assert values[0].margins.top == 22
    harmonize, matte = values[3][0], values[5][0]
    assert harmonize[:12, 80].min() == 1 and harmonize[-12:].max() == 0
    assert matte[:12].max() == 0 and matte[16:28, 80].min() == 1


def test_a_subject_in_a_window_with_margins_takes_the_light():
    background = make_image(64, 430, seed=3)
    matte, change = block(64, 430, 0, 150, 50, 250), block(64, 430, 0, 5, 64, 425)
    composite = torch.where(matte[..., None] > 0, 0.8 * background.flip(2), background)
    given = {"composite": composite, "harmonize_mask": change}
    crop, window, *_ = run_node("PhDCrop", **given, inpaint_mask=change - matte, subject_matte=matte, side=256).values
    assert crop.margins == (0, 22, 0, 22)
    given |= {"background": background, "subject_matte": matte, "crop": crop, "sampled": 0.7 * window}
    image, mask, report, _ = run_node("PhDStitch", **given, detail=1.0, color_fix=0.0).values
    torch.testing.assert_close(image[matte > 0], 0.7 * composite[matte > 0], rtol=0, atol=0.03)
    assert torch.equal(image[mask == 0], background[mask == 0])
    assert json.loads(report)[0]["subject_pixels"] == 50 * 100


def test_extending_gives_a_larger_image_around_the_untouched_one():
    cropped = crop(mask=None, extend_left=30, extend_bottom=20)
    window = cropped.values[0]
    assert window.scene == (190, 140) and window.box == (0, 0, 190, 140)
    image, mask, *_ = stitch(cropped, 1 - cropped.values[1], edge_fade=0, color_fix=0.0).values
    assert image.shape == (1, 140, 190, 3)
    assert torch.equal(image[:, :120, 30:], SCENE)
    new = torch.ones(1, 140, 190)
    new[:, :120, 30:] = 0
    assert torch.equal(mask, new)
    # What the model starts from there are the edge's pixels.
    held = window.pasted
    assert torch.equal(held.background[:, :120, :30], SCENE[:, :, :1].expand(-1, -1, 30, -1))


def test_a_mask_and_a_context_mask_are_the_images_own_when_it_is_extended():
    context = block(120, 160, 100, 140, 120, 160)
    window = crop(extend_left=30, context_mask=context, context=1.0).values[0]
    held = window.pasted.harmonize_mask
    assert torch.equal(held[:, :, 30:], MASK) and held[:, :, :30].min() == 1
    assert window.box.x == 0 and window.box.x + window.box.width == 190 and window.box.y + window.box.height == 120


def test_a_paste_is_extended_with_all_that_belongs_to_it():
    exemplar, subject = make_image(60, 60, seed=2), block(60, 60, 10, 10, 50, 50)
    paste = run_node("PhDPasteBlend", background=SCENE, subject=exemplar, subject_mask=subject, ring=8).values[0]
    cropped = run_node("PhDCrop", paste=paste, side=96, extend_top=24)
    assert cropped.values[0].scene == (160, 144)
    image, mask, *_ = stitch(cropped, cropped.values[1]).values
    assert torch.equal(image[:, 24:], paste.composite) and mask[:, 12].min() == 1


def test_scenes_whose_parts_are_connected_one_by_one_are_not_extended():
    message = refused("PhDCrop", composite=SCENE, inpaint_mask=MASK, harmonize_mask=MASK, side=64, extend_top=24)
    assert message == ("extend_top is 24, which takes a paste or an image alone: disconnect composite, or set it to 0.")


def test_the_window_shows_the_context_mask():
    context = block(120, 160, 0, 0, 4, 4)
    window = crop(context_mask=context, context=1.0).values[0]
    assert window.box == (0, 0, 116, 96)
    assert crop(context_mask=torch.zeros(1, 120, 160)).values[0] == crop().values[0]


@pytest.mark.parametrize("resampler", ["auto", "lanczos", "bilinear", "nearest"])
def test_the_resampler_is_used_here_and_back(resampler):
    resize = module("phd_ops.pixels.resample").resize
    cropped = crop(resampler=resampler, side=96)
    window = cropped.values[0]
    wanted = resize(window.cut(SCENE[0].numpy()), window.target, resampler)
    assert torch.equal(cropped.values[1][0], torch.from_numpy(wanted))
    sampled = 1 - cropped.values[1]
    image, mask, *_ = stitch(cropped, sampled, color_fix=0.0, edge_fade=0).values
    back = torch.from_numpy(resize(sampled[0].numpy(), window.box.size, resampler))
    own = MASK[0][window.box.slices] > 0
    assert torch.equal(image[0][window.box.slices][own], back[own])


def test_core_s_sampler_inpaints_the_latent_and_stitch_takes_it_with_the_crop_alone(demo):
    cropped = crop(side=64, model=demo["model"], vae=demo["vae"])
    latent = cropped.values[6]
    assert torch.equal(latent["noise_mask"], cropped.values[2])
    given = {"model": demo["model"], "positive": prompt_of(demo), "negative": prompt_of(demo), "latent_image": latent}
    widgets = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    sampled = run_node("KSampler", **given, **widgets).values[0]
    image, mask, *_ = run_node("PhDStitch", crop=cropped.values[0], latent=sampled).values
    assert torch.equal(image[mask == 0], SCENE[mask == 0])
    assert ((mask > 0) == (MASK > 0)).all() and not torch.equal(image, SCENE)


def test_the_latent_of_an_inpaint_model_needs_the_vae_as_a_third_wire(demo):
    cropped = crop(side=64)
    given = {"positive": prompt_of(demo), "negative": prompt_of(demo), "vae": demo["vae"], "noise_mask": True}
    latent = run_node("InpaintModelConditioning", pixels=cropped.values[1], mask=cropped.values[2], **given).values[2]
    given = {"crop": cropped.values[0], "latent": latent}
    assert refused("PhDStitch", **given).startswith("latent is connected, but vae is not")
    image, mask, *_ = run_node("PhDStitch", **given, vae=demo["vae"]).values
    assert torch.equal(image[mask == 0], SCENE[mask == 0]) and mask.any()


def test_a_margin_that_the_vae_cuts_off_an_unresized_window_stays(demo):
    cropped = crop(size_mode="no resize", multiple=1, context=1.05, vae=demo["vae"])
    assert cropped.values[1].shape[1:3] == (72, 72)
    cropped = crop(size_mode="no resize", multiple=1, context=1.9, vae=demo["vae"])
    assert cropped.values[1].shape[1:3] == (76, 76) and cropped.values[6]["samples"].shape[-2:] == (9, 9)
    ran = run_node("PhDStitch", crop=cropped.values[0], latent=cropped.values[6])
    image, mask, *_ = ran.values
    assert torch.equal(image[mask == 0], SCENE[mask == 0]) and ((mask > 0) == (MASK > 0)).all()
    assert any("the window's margin, which the VAE cut off" in text for text in ran.text)


def test_our_sampler_takes_the_latent_too(demo):
    cropped = crop(side=64, model=demo["model"], vae=demo["vae"])
    given = {"model": demo["model"], "positive": prompt_of(demo), "negative": prompt_of(demo), "preset": "custom"}
    sampled = run_node("PhDMaskedInpaintSampler", **given, latent=cropped.values[6], steps=2, inner_steps=1).values[0]
    image, mask, *_ = run_node("PhDStitch", crop=cropped.values[0], latent=sampled).values
    assert torch.equal(image[mask == 0], SCENE[mask == 0]) and not torch.equal(image, SCENE)


def prompt_of(demo):
    return run_node("CLIPTextEncode", clip=demo["clip"], text="a rocket").values[0]


def test_a_model_s_grid_holds_for_an_exact_size(demo):
    given = {"size_mode": "exact", "width": 100, "height": 128, "model": demo["model"]}
    message = refused("PhDCrop", image=SCENE, mask=MASK, **given)
    assert message == "width is 100; for this model it must be a multiple of 8, such as 96 or 104."
    assert crop(size_mode="exact", width=100, height=128).values[1].shape == (1, 128, 100, 3)


@pytest.mark.parametrize(("images", "masks"), [(3, 1), (1, 3), (3, 3)])
def test_items_of_a_batch_are_cut_and_stitched_one_by_one(images, masks):
    scenes = make_image(120, 160, batch=images, seed=5)
    changes = MASK.repeat(masks, 1, 1) * torch.linspace(1, 0.5, masks)[:, None, None]
    cropped = crop(scenes, changes)
    assert len(cropped.values[1]) == 3
    image, mask, *_ = stitch(cropped, 1 - cropped.values[1]).values
    for index in range(3):
        scene = scenes[min(index, images - 1)][None]
        one = crop(scene, changes[min(index, masks - 1)][None])
        alone, used, *_ = stitch(one, 1 - one.values[1]).values
        assert torch.equal(image[index], alone[0]) and torch.equal(mask[index], used[0])
        assert torch.equal(image[index][mask[index] == 0], scene[0][mask[index] == 0])


def test_values_outside_0_to_1_and_nan_come_back_outside_the_mask():
    scene = SCENE.clone()
    scene[0, 0, 0], scene[0, 1, 1] = torch.nan, 7.5
    cropped = crop(scene)
    assert cropped.values[1].isfinite().all()
    image = stitch(cropped, 1 - cropped.values[1]).values[0]
    outside = MASK == 0
    assert torch.allclose(image[outside], scene[outside], rtol=0, atol=0, equal_nan=True)


def test_a_mask_whose_black_is_faint_is_taken_as_black():
    faint = torch.where(MASK > 0, MASK, 0.01)
    assert crop(mask=faint).values[0] == crop().values[0]


def test_an_image_with_alpha_is_one_without():
    rgba = torch.cat([SCENE, torch.rand(1, 120, 160, 1)], -1)
    assert torch.equal(crop(rgba).values[1], crop().values[1])


def test_a_mask_of_another_size_is_resized_and_gives_a_message():
    large = MASK.repeat_interleave(2, 1).repeat_interleave(2, 2)
    ran = crop(mask=large)
    assert ran.values[0] == crop().values[0]
    assert "mask is 320×240 pixels and was resized to its image's 160×120 pixels." in ran.text


def test_an_empty_mask_gives_the_whole_image_and_a_message_and_comes_back_untouched():
    ran = crop(mask=torch.zeros(1, 120, 160))
    assert ran.values[0].box == (0, 0, 160, 120)
    assert "The mask is empty: the window is the whole image." in ran.text
    assert torch.equal(stitch(ran, 1 - ran.values[1]).values[0], SCENE)


def test_a_full_mask_takes_the_models_whole_image():
    ran = crop(mask=torch.ones(1, 120, 160))
    image, mask, *_ = stitch(ran, 1 - ran.values[1], color_fix=0.0).values
    assert mask.min() == 1
    assert (image - (1 - SCENE)).abs().mean() < 0.06


def test_an_image_of_one_pixel_goes_through():
    ran = crop(make_image(1, 1), torch.ones(1, 1, 1))
    image = stitch(ran, torch.zeros_like(ran.values[1]), color_fix=0.0).values[0]
    assert image.shape == (1, 1, 1, 3) and not image.any()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mask": MASK}, "mask is connected, but image is not: connect the image it belongs to, or disconnect it."),
        ({"image": SCENE}, "mask is not connected: connect what may change, or extend the image at a side."),
        ({"image": SCENE, "mask": MASK, "harmonize_mask": MASK},
         "image and harmonize_mask are both connected: connect image with mask, or else harmonize_mask."),
        ({}, "composite is not connected: connect the paste of Paste & Blend, an image with its mask, or composite "
         "itself."),
        ({"image": torch.zeros(3, 120, 160, 3), "mask": torch.ones(2, 120, 160)},
         "Batch sizes must match or be 1; they are image: 3, mask: 2."),
        ({"image": SCENE, "mask": SCENE},
         "mask: A mask must be [H,W], [B,H,W] or [B,1,H,W] with at least one pixel; this one is (1, 120, 160, 3)."),
        ({"image": torch.zeros(3, 120, 160, 3), "mask": MASK, "context_mask": torch.ones(2, 120, 160)},
         "Batch sizes must match or be 1; they are image: 3, context_mask: 2."),
        ({"image": SCENE, "mask": MASK, "size_mode": "huge"},
         "size_mode is 'huge'; it must be one of: area, exact, longest side, no resize."),
        ({"image": SCENE, "mask": MASK, "resampler": "best"},
         "resampler is 'best'; it must be one of: auto, lanczos, bilinear, nearest."),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_in_a_sentence(given, sentence):
    assert sentence in refused("PhDCrop", side=64, **given)


def test_a_sampled_image_of_another_shape_is_refused_with_both_sizes():
    cropped = crop()
    given = {"crop": cropped.values[0], "sampled": make_image(30, 200)}
    assert refused("PhDStitch", **given).startswith(
        "sampled is 200×30 pixels, which cannot be the crop's window of 64×64"
    )


def test_inputs_stay_as_they_were():
    scene, mask = SCENE.clone(), MASK.clone()
    cropped = crop(scene, mask, extend_right=9, size_mode="exact", width=64, height=256)
    stitch(cropped, 1 - cropped.values[1])
    assert torch.equal(scene, SCENE) and torch.equal(mask, MASK)
