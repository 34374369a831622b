"""Crop and Stitch on clips, through the real executor: a window for each frame, and what video models take."""

import dataclasses

import pytest
import torch
from node_support import block, make_image, module, prompt, refused, run_node, tiny_qwen, tiny_wan, tiny_wan_vae

FRAMES = 9
CLIP = make_image(48, 96, batch=FRAMES, seed=1)
EXEMPLAR, SUBJECT = make_image(20, 24, seed=2), block(20, 24, 4, 6, 16, 18)
MOVE = "0: x 0.15, y 0.5\n8: x 0.85"


def paste(clip=CLIP, **changes):
    given = {"placement": "manual", "size": 0.3, "ring": 3, "feather": 0.5, "keyframes": MOVE} | changes
    return run_node("PhDPasteBlend", background=clip, subject=EXEMPLAR, subject_mask=SUBJECT, **given).values[0]


def crop(pasted=None, **changes):
    given = {} if pasted is None else {"paste": pasted}
    return run_node("PhDCrop", **given, **{"side": 64, "window_per_frame": True, **changes})


def test_each_frame_has_its_own_window_around_the_subject():
    pasted = paste()
    together, alone = crop(pasted, window_per_frame=False), crop(pasted)
    windows = alone.execution.outputs["node"]["phd_window"]
    assert len(windows) == FRAMES and len({(one["width"], one["height"]) for one in windows}) == 1
    starts = [one["x"] for one in windows]
    assert starts == sorted(starts) and len(set(starts)) >= FRAMES - 4
    assert len(together.execution.outputs["node"]["phd_window"]) == 1
    # Every frame's subject has more of the model's pixels.
    shown, before = (ran.values[5].sum((1, 2)) for ran in (alone, together))
    assert (shown > 1.5 * before).all()
    assert any("Each frame has its own window of" in text for text in alone.text)


def test_each_frame_s_crop_is_that_of_its_window():
    pasted = paste()
    ran = crop(pasted, size_mode="no resize", multiple=1)
    for frame, box in enumerate(ran.values[0].boxes):
        rows, columns = box.slices
        assert torch.equal(ran.values[1][frame], pasted.composite[frame, rows, columns])
        assert torch.equal(ran.values[3][frame], pasted.harmonize_mask[frame, rows, columns])


@pytest.mark.parametrize("margin", [0, 200])
def test_stitch_puts_each_frame_back_from_its_own_window(margin):
    # The second window is larger than the scene and reaches beyond it.
    pasted = paste()
    sizes = {"size_mode": "exact", "width": 64, "height": 64 + margin} if margin else {}
    ran = crop(pasted, **sizes)
    assert any(ran.values[0].margins) == bool(margin)
    image, mask = run_node("PhDStitch", crop=ran.values[0], sampled=1 - ran.values[1], detail=0.0).values[:2]
    assert torch.equal(image[mask == 0], CLIP[mask == 0])
    assert ((mask > 0) <= (pasted.harmonize_mask > 0)).all() and (mask.amax((1, 2)) > 0).all()
    untouched = run_node("PhDStitch", crop=ran.values[0], sampled=ran.values[1], detail=1.0).values[0]
    torch.testing.assert_close(untouched, pasted.composite, rtol=0, atol=2e-5)


def test_one_window_for_all_is_as_without_the_switch():
    still = paste(CLIP[:1], keyframes="")
    plain, followed = crop(still, window_per_frame=False), crop(still)
    assert plain.values[0] == followed.values[0] and not followed.values[0].boxes
    for slot in range(1, 6):
        assert torch.equal(plain.values[slot], followed.values[slot])


def test_frames_without_a_subject_pass_through():
    tracked = torch.cat([block(48, 96, 15, 5 + 3 * n, 30, 20 + 3 * n) for n in range(30)])
    tracked[8:24] = 0
    clip = make_image(48, 96, batch=30, seed=3)
    pasted = run_node(
        "PhDPasteBlend",
        background=clip,
        subject=EXEMPLAR,
        subject_mask=SUBJECT,
        track=tracked,
        placement="manual",
        ring=3,
    ).values[0]
    ran = crop(pasted)
    image, mask = run_node("PhDStitch", crop=ran.values[0], sampled=1 - ran.values[1]).values[:2]
    assert torch.equal(image[8:24], clip[8:24]) and not mask[8:24].any() and mask[:8].any()
    assert torch.equal(image[mask == 0], clip[mask == 0])


def test_items_of_a_split_latent_keep_their_windows(pack):
    demo_vae = run_node("PhDLoadDemoModel").values[2]
    ran = crop(paste(), vae=demo_vae)
    companions = module("nodes.companions")
    latent, crop_value = ran.values[6], ran.values[0]
    some = {**latent, "samples": latent["samples"][3:5], "batch_index": [3, 4]}
    held = companions.companions_of(some)
    assert held.crop.boxes == crop_value.boxes[3:5] and held.crop.is_of(crop_value)
    other = dataclasses.replace(crop_value, boxes=crop_value.boxes[::-1])
    assert not other.is_of(crop_value)
    image, mask = run_node("PhDStitch", crop=crop_value, latent=some, vae=demo_vae).values[:2]
    assert image.shape[0] == 2 and torch.equal(image[mask == 0], CLIP[3:5][mask == 0])


def test_frames_of_another_clip_are_refused():
    ran, other = crop(paste()), paste(CLIP[:4])
    message = refused("PhDStitch", crop=ran.values[0], sampled=ran.values[1][:4], background=other.background,
                      composite=other.composite, subject_matte=other.subject_matte,
                      harmonize_mask=other.harmonize_mask)  # fmt: skip
    assert "background: 4" in message and "crop: 9" in message


@pytest.mark.parametrize(("frames", "kept"), [(1, 1), (4, 1), (9, 9), (12, 9)])
def test_a_video_vae_s_groups_of_frames_are_kept_whole(frames, kept):
    clip = make_image(48, 96, batch=frames, seed=1)
    ran = crop(paste(clip), vae=tiny_wan_vae())
    assert ran.values[1].shape[0] == ran.values[0].pasted.composite.shape[0] == kept
    assert ran.values[6]["samples"].shape[2] == (kept + 3) // 4
    said = f"This VAE needs 1 + 4n frames: the last {frames - kept} of {frames} are left out."
    assert any(said in text for text in ran.text) == (kept < frames)


def test_frames_that_are_left_out_have_no_part_in_the_windows():
    clip, masks = make_image(48, 96, batch=7, seed=1), torch.zeros(7, 48, 96)
    masks[:, 20:28, 40:56] = 1
    pasted = paste(clip, keyframes="", size=0.2)
    alike = [crop(pasted, vae=tiny_wan_vae(), context_mask=masks, window_per_frame=moving) for moving in (True, False)]
    masks[5:] = 1
    for before, moving in zip(alike, (True, False), strict=True):
        ran = crop(pasted, vae=tiny_wan_vae(), context_mask=masks, window_per_frame=moving)
        assert ran.values[0].box == before.values[0].box and len(ran.values[1]) == 5


def test_a_clip_goes_through_a_video_model_and_back():
    vae = tiny_wan_vae()
    ran = crop(paste(), vae=vae)
    words = [[prompt(1)[0][0], {}]]
    sampled = run_node(
        "PhDHarmonizeSampler", model=tiny_wan(), positive=words, negative=words, latent=ran.values[6], seed=1,
        preset="custom", steps=2, inner_steps=1, cfg=1.0, sampler_name="euler", scheduler="simple", denoise=0.5,
    ).values[0]  # fmt: skip
    assert sampled["samples"].shape == ran.values[6]["samples"].shape
    image, mask = run_node("PhDStitch", crop=ran.values[0], latent=sampled, vae=vae).values[:2]
    assert image.shape == CLIP.shape and torch.equal(image[mask == 0], CLIP[mask == 0])
    assert (mask.amax((1, 2)) > 0).all() and not torch.equal(image, CLIP)


def test_images_for_a_model_of_single_images_are_encoded_and_sampled_each_alone():
    """Its VAE is a video's, and would take them for frames: a model as Qwen-Image takes none."""
    net, vae, scenes = tiny_qwen(), tiny_wan_vae(), CLIP[:5]
    ran = crop(paste(scenes, keyframes=""), model=net, vae=vae, window_per_frame=False)
    latent = ran.values[6]
    assert latent["samples"].shape[:3] == (5, 16, 1) and not any("left out" in text for text in ran.text)
    for item in (0, 4):
        torch.testing.assert_close(latent["samples"][item : item + 1], vae.encode(ran.values[1][item : item + 1]))
    how = {"model": net, "positive": prompt(1), "negative": prompt(2), "steps": 2, "preset": "fast", "cfg": 1.0}
    sampled = run_node("PhDHarmonizeSampler", latent=latent, **how).values[0]
    image, mask = run_node("PhDStitch", crop=ran.values[0], latent=sampled, vae=vae).values[:2]
    assert image.shape == scenes.shape and (mask.amax((1, 2)) > 0).all()
    assert torch.equal(image[mask == 0], scenes[mask == 0])


def test_comfyui_s_own_sampler_gets_the_masks_of_single_images_in_video_latents():
    masks = block(48, 96, 8, 8, 32, 40, batch=2)
    masks[1] = masks[1].flip(-1)
    given = {"image": CLIP[:2], "mask": masks, "model": tiny_qwen(), "vae": tiny_wan_vae(), "window_per_frame": False}
    latent = crop(context=4.0, **given).values[6]
    how = {"seed": 1, "steps": 2, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
    more = {"model": given["model"], "positive": prompt(1), "negative": prompt(2)}
    sampled = run_node("KSampler", latent_image=latent, **more, **how).values[0]["samples"]
    moved = (sampled - latent["samples"]).abs().amax((1, 2)) > 1e-3
    assert torch.equal(moved[1], moved[0].flip(-1)) and 0 < moved[0].sum() < moved[0].numel()


def test_comfyui_s_own_sampler_gets_a_clip_s_masks_by_latent_frames():
    # What may change moves from frame to frame: nothing in the first ones, then in the last four.
    masks = torch.zeros(FRAMES, 48, 96)
    masks[5:, 10:40, 20:60] = 1
    latent = crop(image=CLIP, mask=masks, vae=tiny_wan_vae(), window_per_frame=False).values[6]
    assert latent["noise_mask"].shape[:3] == (1, 1, 3)
    changing = latent["noise_mask"].amax((0, 1, 3, 4)).tolist()
    assert changing == [0, 0, 1]


def test_one_mask_that_fills_its_frame_does_not_make_the_windows_large():
    clip = make_image(96, 160, batch=20, seed=5)
    masks = torch.cat([block(96, 160, 30, 20 + 4 * n, 50, 40 + 4 * n) for n in range(20)])
    given = {"image": clip, "side": 64, "window_per_frame": True}
    sound = run_node("PhDCrop", mask=masks, **given)
    masks[9] = 1
    ran = run_node("PhDCrop", mask=masks, **given)
    assert ran.values[0].box.size == sound.values[0].box.size
    assert abs(ran.values[0].boxes[9].x - sound.values[0].boxes[9].x) <= 2
    assert any("The mask of 1 frames, the first of them 9," in text for text in ran.text)
    assert not any("far larger" in text for text in sound.text)
    # That frame keeps what fits, and the rest of it stays.
    assert ran.values[2][9].min() == 1
    image, used = run_node("PhDStitch", crop=ran.values[0], sampled=1 - ran.values[1], detail=0.0).values[:2]
    assert torch.equal(image[used == 0], clip[used == 0]) and used[9].any() and not used[9].all()
