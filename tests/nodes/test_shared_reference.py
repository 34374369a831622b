"""Of a clip with one still exemplar, the light reference is sampled in a few frames, and Stitch shares it."""

import json
from dataclasses import replace

import pytest
import torch
from node_support import block, make_image, run_node

import nodes as core

KEY, FRAMES, SHARED = "phd", 8, (0, 2, 4, 5, 7)
EXEMPLAR, SUBJECT = make_image(60, 60, seed=2), block(60, 60, 10, 10, 50, 50)
QUICK = {"seed": 1, "steps": 2, "cfg": 1.0, "inner_steps": 0, "preset": "custom", "denoise": 0.6}


def panned(frames):
    """A background clip whose camera moves by a pixel a frame, smooth enough to be one shot."""
    coarse = make_image(12, 16 + frames, seed=1).movedim(-1, 1)
    wide = torch.nn.functional.interpolate(coarse, size=(120, 160 + frames), mode="bicubic").clamp(0, 1).movedim(1, -1)
    return torch.cat([wide[:, :, n : n + 160] for n in range(frames)])


@pytest.fixture(scope="module")
def demo(pack):
    model, clip, vae, _ = run_node("PhDLoadDemoModel").values
    prompts = [core.CLIPTextEncode().encode(clip, text)[0] for text in ("a rocket", "")]
    return {"model": model, "vae": vae, "clip": clip, "positive": prompts[0], "negative": prompts[1]}


def pasted(frames=FRAMES, **changes):
    given = {"x": 0.5, "y": 0.5, "size": 0.4, "ring": 12, "subject": EXEMPLAR, "subject_mask": SUBJECT, **changes}
    return run_node("PhDPasteBlend", background=panned(frames), **given).values[0]


def cropped(demo, paste, **given):
    *_, latent = run_node("PhDCrop", paste=paste, model=demo["model"], vae=demo["vae"], side=64, **given).values
    return latent


def harmonized(demo, latent, **changes):
    given = {name: demo[name] for name in ("model", "positive", "negative")}
    return run_node("PhDHarmonizeSampler", **{**given, "latent": latent, **QUICK, **changes})


@pytest.fixture(scope="module")
def clip(demo):
    """The latent of a clip, and what Harmonize Sampler makes of it."""
    latent = cropped(demo, pasted())
    return latent, harmonized(demo, latent)


def report(ran):
    return json.loads(ran.values[2])


def test_the_reference_is_sampled_in_five_frames_with_their_own_noise(demo, clip):
    latent, ran = clip
    done, reference, _ = ran.values
    every = harmonized(demo, latent, reference_latent={"samples": latent[KEY].reference}).values
    assert done[KEY].reference_items == SHARED and reference["batch_index"] == list(SHARED)
    assert torch.equal(done[KEY].sampled_reference, reference["samples"])
    assert reference["samples"] == pytest.approx(every[1]["samples"][list(SHARED)], abs=1e-4)
    assert done["samples"] == pytest.approx(every[0]["samples"], abs=1e-4)
    assert len(every[1]["samples"]) == FRAMES and every[0][KEY].reference_items is None
    assert any("sampled in 5 of them and serves all" in text for text in ran.text)


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_stitch_reads_the_light_of_all_frames_from_it(demo, clip, num_seeds):
    latent, _ = clip
    shared = harmonized(demo, latent, num_seeds=num_seeds).values[0]
    every = harmonized(demo, latent, num_seeds=num_seeds, reference_latent={"samples": latent[KEY].reference}).values[0]
    alone = harmonized(demo, {**latent, KEY: replace(latent[KEY], reference=None)}, num_seeds=num_seeds).values[0]
    ours, theirs, without = (run_node("PhDStitch", crop=latent[KEY].crop, latent=one) for one in (shared, every, alone))
    assert all(entry["light_by"].startswith("the difference to the light reference") for entry in report(ours))
    assert all(entry["light_by"] == "the result alone" for entry in report(without))
    apart, changed = ((ran.values[0] - theirs.values[0]).abs().mean() for ran in (ours, without))
    assert apart < changed


def test_decoded_images_of_the_references_are_those_of_the_same_frames(demo, clip):
    latent, ran = clip
    done, reference, _ = ran.values
    by_latent = run_node("PhDStitch", crop=latent[KEY].crop, latent=done)
    images = {"sampled": demo["vae"].decode(done["samples"])}
    images |= {"sampled_reference": demo["vae"].decode(reference["samples"]), "changed": done[KEY].changed}
    by_images = run_node("PhDStitch", crop=latent[KEY].crop, **images)
    assert [entry["light_by"] for entry in report(by_images)] == [entry["light_by"] for entry in report(by_latent)]
    assert (by_images.values[0] - by_latent.values[0]).abs().mean() < 1e-3


def test_a_second_harmonizing_goes_on_from_the_frames_that_were_sampled(demo, clip):
    latent, ran = clip
    done = ran.values[0]
    reference = latent[KEY].reference.clone()
    reference[list(SHARED)] = done[KEY].sampled_reference
    again = harmonized(demo, done, seed=2).values
    by_hand = harmonized(demo, done, seed=2, reference_latent={"samples": reference}).values
    assert again[1]["samples"] == pytest.approx(by_hand[1]["samples"][list(SHARED)], abs=1e-4)


def test_a_split_clip_takes_the_references_that_it_has_along(demo, clip):
    _, ran = clip
    done = ran.values[0]
    some = {**done, "samples": done["samples"][2:6], "batch_index": [2, 3, 4, 5]}
    part = run_node("PhDStitch", crop=done[KEY].crop, latent=some)
    assert [entry["light_by"] == "the result alone" for entry in report(part)] == [False, True, False, False]
    none = {**done, "samples": done["samples"][1:2], "batch_index": [1]}
    assert report(run_node("PhDStitch", crop=done[KEY].crop, latent=none))[0]["light_by"] == "the result alone"


def test_a_few_frames_a_clip_as_exemplar_and_a_connected_reference_have_one_each(demo):
    moving = torch.cat([EXEMPLAR * (0.7 + 0.03 * n) for n in range(FRAMES)])
    paste = pasted()
    other = cropped(demo, paste, reference=paste.reference * 0.9)
    for latent in (cropped(demo, pasted(4)), cropped(demo, pasted(subject=moving, subject_mask=SUBJECT)), other):
        done, reference, _ = harmonized(demo, latent).values
        assert done[KEY].reference_items is None and len(reference["samples"]) == len(done["samples"])


def test_a_clip_on_a_model_with_an_identity_anchor_has_all_references(demo, clip):
    """The anchor holds a latent of the clip's frames, and a batch with a few references more is no multiple of it."""
    latent, _ = clip
    held = run_node("PhDIdentityAnchor", model=demo["model"], latent=latent, subject_matte=latent[KEY].subject_matte)
    done, reference, _ = harmonized(demo, latent, model=held.values[0]).values
    assert done[KEY].reference_items is None and len(reference["samples"]) == FRAMES


def test_a_clip_has_all_references_where_items_cannot_be_run_apart(demo, clip):
    latent, _ = clip
    done, reference, _ = harmonized(demo, latent, method="plain").values
    assert done[KEY].reference_items is None and len(reference["samples"]) == FRAMES
    texts = [core.CLIPTextEncode().encode(demo["clip"], f"frame {n}")[0][0][0] for n in range(FRAMES)]
    done, reference, _ = harmonized(demo, latent, positive=[[torch.cat(texts), {}]]).values
    assert done[KEY].reference_items is None and len(reference["samples"]) == FRAMES


def test_an_empty_mask_passes_a_clip_and_its_references_through(demo, clip):
    latent, _ = clip
    done, reference, _ = harmonized(demo, latent, mask=torch.zeros(1, 64, 64)).values
    assert torch.equal(done["samples"], latent["samples"])
    assert torch.equal(reference["samples"], latent[KEY].reference) and done[KEY].reference_items is None


def test_frames_in_which_the_subject_is_gone_have_no_reference(demo):
    keyframes = '0: {"x": 0.5}\n3: {"x": 0.7}\n6: {"x": 2.5}'
    latent = cropped(demo, pasted(9, keyframes=keyframes))
    done, *_ = harmonized(demo, latent).values
    crop = latent[KEY].crop
    ran = run_node("PhDStitch", crop=crop, latent=done)
    outside = ran.values[1] == 0
    assert torch.equal(ran.values[0][outside], crop.pasted.background[outside])
    assert set(done[KEY].reference_items or range(9)) <= set(range(9))
