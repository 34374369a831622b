"""One wire from Paste & Blend to Stitch: what paste, crop and latent bring along, and what is refused."""

import copy
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from node_support import NODE_TESTS, ROOT, block, make_image, module, pasted_parts, refused, run_node

import nodes as core
from devtools.executor import run_workflow

SCENE, EXEMPLAR, SUBJECT = make_image(120, 160, seed=1), make_image(60, 60, seed=2), block(60, 60, 10, 10, 50, 50)
SHIPPED = ROOT / "demo" / "workflow.json"
TEMPLATES = ROOT / "example_workflows" / "api"
BY_HAND = NODE_TESTS / "by_hand" / "phd_demo.json"
KEY = "phd"


def paste(background=SCENE, subject=EXEMPLAR, **changes):
    given = {"x": 0.5, "y": 0.5, "size": 0.4, "ring": 12, "subject_mask": SUBJECT, **changes}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {} if background is None else {"background": background}
    return run_node("PhDPasteBlend", subject=subject, **given).values


@pytest.fixture(scope="module")
def demo(pack):
    """The demo model's model, clip and vae, and two prompts."""
    model, clip, vae, _ = run_node("PhDLoadDemoModel").values
    prompts = [core.CLIPTextEncode().encode(clip, text)[0] for text in ("a rocket", "")]
    return {"model": model, "vae": vae, "positive": prompts[0], "negative": prompts[1]}


@pytest.fixture(scope="module")
def cropped(demo):
    """Paste, and Crop's outputs."""
    pasted = paste()
    return pasted, run_node("PhDCrop", paste=pasted[0], model=demo["model"], vae=demo["vae"], side=64).values


QUICK = {"seed": 1, "steps": 2, "cfg": 1.0, "inner_steps": 0, "preset": "custom"}


def sample(kind, demo, latent, **changes):
    given = {name: demo[name] for name in ("model", "positive", "negative")}
    return run_node(kind, **given, latent=latent, **{**QUICK, **changes}).values


def test_the_paste_holds_what_the_other_outputs_show():
    values = paste()
    composite, reference, matte, inpaint, harmonize, _ = pasted_parts(values)
    held = values[0]
    assert torch.equal(held.background, SCENE)
    for name, wanted in (("composite", composite), ("reference", reference), ("subject_matte", matte)):
        assert getattr(held, name) is wanted or torch.equal(getattr(held, name), wanted)
    assert torch.equal(held.inpaint_mask, inpaint) and torch.equal(held.harmonize_mask, harmonize)


def test_one_more_subject_goes_into_an_earlier_paste():
    first = paste(x=0.3)
    by_wire = paste(None, EXEMPLAR.flip(-2), x=0.6, paste=first[0])
    earlier = {"earlier_subjects": first[3], "earlier_inpaint": first[4]}
    by_hand = paste(first[1], EXEMPLAR.flip(-2), x=0.6, **earlier)
    for ours, wanted in zip(pasted_parts(by_wire)[:5], pasted_parts(by_hand)[:5], strict=True):
        assert torch.equal(ours, wanted)
    # What is stitched goes back into the first scene.
    assert torch.equal(by_wire[0].background, SCENE)


@pytest.mark.parametrize("name", ["background", "earlier_subjects", "earlier_inpaint"])
def test_a_paste_and_another_scene_are_refused(name):
    given = {"background": SCENE, "earlier_subjects": block(120, 160, 1, 1, 9, 9)}
    changes = {"paste": paste()[0], name: given.get(name, given["earlier_subjects"])}
    message = refused("PhDPasteBlend", subject=EXEMPLAR, subject_mask=SUBJECT, **changes)
    assert message == f"paste and {name} are both connected: paste brings its own, so disconnect {name}."


def test_a_paste_without_a_scene_is_refused():
    message = refused("PhDPasteBlend", subject=EXEMPLAR, subject_mask=SUBJECT)
    assert message.startswith("background is not connected: connect a scene, or the paste")


def test_crop_takes_the_paste_for_its_parts(cropped):
    pasted, ours = cropped
    composite, reference, matte, inpaint, harmonize, _ = pasted_parts(pasted)
    given = {"composite": composite, "inpaint_mask": inpaint, "harmonize_mask": harmonize, "side": 64}
    by_hand = run_node("PhDCrop", **given, reference=reference, subject_matte=matte).values
    assert ours[0] == by_hand[0] and ours[0].pasted is pasted[0] and by_hand[0].pasted is None
    for slot in range(1, 6):
        assert torch.equal(ours[slot], by_hand[slot])


def test_a_connected_part_replaces_the_paste_s_also_in_stitch():
    pasted = paste()
    graded = pasted[1] * 0.9
    crop, image, *_ = run_node("PhDCrop", paste=pasted[0], composite=graded, side=64).values
    assert torch.equal(crop.pasted.composite, graded) and torch.equal(crop.pasted.background, SCENE)
    ran = run_node("PhDStitch", crop=crop, sampled=image).values
    assert torch.equal(ran[0][ran[1] == 0], SCENE[ran[1] == 0])


def test_a_connected_mask_is_cleaned_and_resized_once_for_crop_and_stitch():
    held, *_ = paste()
    # Half the size, and with a black of 2/255, as lossy files have it.
    small = torch.nn.functional.interpolate(held.harmonize_mask[None], size=(60, 80), mode="area")[0]
    cut = run_node("PhDCrop", paste=held, harmonize_mask=small.clamp(min=2 / 255), side=64)
    assert "harmonize_mask is 80×60 pixels and was resized to its image's 160×120 pixels." in cut.text
    kept = cut.values[0].pasted.harmonize_mask
    assert kept.shape == held.harmonize_mask.shape and (kept == 0).float().mean() > 0.5
    ran = run_node("PhDStitch", crop=cut.values[0], sampled=1 - cut.values[1])
    assert not any("resized" in text for text in ran.text)
    used = ran.values[1]
    assert used.max() > 0.5 and torch.equal(ran.values[0][used == 0], SCENE[used == 0])


def test_the_latent_is_vae_encode_s_and_brings_its_companions(cropped, demo):
    _, (_, image, inpaint, harmonize, reference, matte, latent) = cropped
    held, encoder = latent[KEY], core.VAEEncode()
    assert torch.equal(latent["samples"], encoder.encode(demo["vae"], image)[0]["samples"])
    assert torch.equal(held.original, latent["samples"])
    assert torch.equal(held.reference, encoder.encode(demo["vae"], reference)[0]["samples"])
    for own, wanted in ((held.inpaint_mask, inpaint), (held.harmonize_mask, harmonize), (held.subject_matte, matte)):
        assert torch.equal(own, wanted)


def test_without_a_vae_the_latent_is_refused_by_a_sampler(cropped, demo):
    latent = run_node("PhDCrop", paste=cropped[0][0], side=64).values[6]
    given = {name: demo[name] for name in ("model", "positive", "negative")}
    message = refused("PhDMaskedInpaintSampler", **given, latent=latent, **QUICK)
    assert message.startswith("latent holds no samples: connect vae to Crop Around Subject")


def test_the_samplers_find_their_masks_and_references(cropped, demo):
    _, (_, _, inpaint, harmonize, reference, matte, latent) = cropped
    bare = {"samples": latent["samples"]}
    first = sample("PhDMaskedInpaintSampler", demo, latent)[0]
    wanted = sample("PhDMaskedInpaintSampler", demo, bare, mask=inpaint)[0]
    assert torch.equal(first["samples"], wanted["samples"]) and first[KEY] is latent[KEY]
    ours = sample("PhDHarmonizeSampler", demo, first, denoise=0.6)
    own = {"mask": harmonize, "subject_matte": matte, "original_latent": bare, "denoise": 0.6}
    own["reference_latent"] = core.VAEEncode().encode(demo["vae"], reference)[0]
    by_hand = sample("PhDHarmonizeSampler", demo, wanted, **own)
    assert torch.equal(ours[0]["samples"], by_hand[0]["samples"])
    assert torch.equal(ours[1]["samples"], by_hand[1]["samples"]) and torch.equal(ours[2], by_hand[2])
    held = ours[0][KEY]
    assert torch.equal(held.sampled_reference, by_hand[1]["samples"]) and torch.equal(held.changed, by_hand[2])
    assert KEY not in ours[1]


def quick(path, **changes):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    for node in workflow.values():
        least = {"preset": "custom", "steps": 2, "inner_steps": 1, "side": 128, **changes}
        node["inputs"] |= {name: value for name, value in least.items() if name in node["inputs"]}
    return workflow


def of_class(workflow, class_type):
    (name,) = (name for name, node in workflow.items() if node["class_type"] == class_type)
    return name


@pytest.mark.parametrize("seeds", [1, 2])
def test_the_few_wires_give_the_same_image_as_all_sockets(demo_images, seeds):
    images = []
    for path in (SHIPPED, BY_HAND):
        workflow = quick(path, inner_steps=2 - seeds)
        stitch, harmonize = (of_class(workflow, f"PhD{name}") for name in ("Stitch", "HarmonizeSampler"))
        workflow[harmonize]["inputs"]["num_seeds"] = seeds
        if seeds > 1 and path == BY_HAND:
            # Decoded images are of one seed's detail; the latent brings all seeds along.
            sockets = workflow[stitch]["inputs"]
            del sockets["sampled"], sockets["sampled_reference"]
            sockets |= {"latent": [harmonize, 0], "vae": [of_class(workflow, "PhDLoadDemoModel"), 2]}
        images.append(run_workflow(workflow).results[stitch][:2])
    assert torch.equal(images[0][0], images[1][0]) and torch.equal(images[0][1], images[1][1])


@pytest.mark.parametrize(
    ("name", "nodes", "wires"), [("Step by step (all nodes)", 14, 22), ("Insert a subject (CPU demo)", 7, 9)]
)
def test_a_template_has_few_nodes_and_wires(name, nodes, wires):
    workflow = json.loads((TEMPLATES / f"{name}.json").read_text(encoding="utf-8"))
    linked = [value for node in workflow.values() for value in node["inputs"].values() if isinstance(value, list)]
    assert len(workflow) <= nodes and len(linked) <= wires


def test_stitch_needs_no_vae_for_a_latent_that_brings_its_own(cropped, demo):
    crop, latent = cropped[1][0], cropped[1][6]
    without = run_node("PhDStitch", crop=crop, latent=latent).values
    assert torch.equal(without[0], run_node("PhDStitch", crop=crop, latent=latent, vae=demo["vae"]).values[0])


@pytest.mark.parametrize("size", [(120, 160), (60, 80)])
def test_an_inpaint_mask_that_was_grown_may_change_all_of_it(size, demo):
    pasted = paste(size=0.2)[0]
    # It goes well beyond the paste's own ring, and over the subject.
    grown = block(*size, *(side // 6 for side in size), *(5 * side // 6 for side in size))
    crop, _, inpaint, harmonize, *_ = run_node("PhDCrop", paste=pasted, inpaint_mask=grown, side=64).values
    assert torch.equal(harmonize, torch.maximum(harmonize, inpaint)) and inpaint.any()
    whole = crop.pasted.harmonize_mask
    assert whole.shape == pasted.harmonize_mask.shape and (whole >= pasted.harmonize_mask).all()
    assert (whole[:, 25:95, 30:130] == 1).all() and not whole[:, :15].any()


@pytest.mark.parametrize("changes", [{"subject_mask": torch.zeros(1, 60, 60)}, {"x": 3.0}], ids=["empty", "outside"])
def test_a_subject_that_is_not_seen_leaves_an_earlier_paste_its_light_reference(changes):
    first = paste(x=0.3, size=0.3)[0]
    second = paste(None, paste=first, **changes)[0]
    for name in ("composite", "reference", "subject_matte", "harmonize_mask"):
        assert torch.equal(getattr(second, name), getattr(first, name))


def test_a_composite_in_other_colors_leaves_out_the_paste_s_light_reference(demo):
    pasted = paste()[0]
    for composite, is_kept in (((pasted.composite + 0.001).clamp(0, 1), True), (pasted.composite**1.3, False)):
        ran = run_node("PhDCrop", paste=pasted, composite=composite, side=64)
        crop = ran.values[0]
        assert torch.equal(crop.pasted.reference, pasted.reference if is_kept else composite)
        assert any("in other colors than the paste" in text for text in ran.text) != is_kept


def test_a_gray_composite_keeps_the_light_reference_of_what_was_gray_already():
    scenes, exemplars = (torch.cat([one.mean(-1, True).expand_as(one), one]) for one in (SCENE, EXEMPLAR))
    pasted = paste(background=scenes, subject=exemplars)[0]
    gray = pasted.composite.mean(-1, True)
    held = run_node("PhDCrop", paste=pasted, composite=gray, side=64).values[0].pasted.reference
    assert torch.equal(held, torch.stack([pasted.reference[0], gray[1].expand(-1, -1, 3)]))


def test_a_retouched_composite_of_a_cut_out_has_no_light_reference_either(demo):
    pasted = paste(subject=torch.cat([EXEMPLAR, SUBJECT[..., None]], -1), subject_mask=None)[0]
    retouched = pasted.composite.clone()
    retouched[:, 26:32, 70:80] = 0
    ran = run_node("PhDCrop", paste=pasted, composite=retouched, model=demo["model"], vae=demo["vae"], side=64)
    assert ran.values[6][KEY].reference is None and not any("in other colors" in text for text in ran.text)


def test_a_second_harmonizing_goes_on_from_the_sampled_reference(cropped, demo):
    _, (*_, latent) = cropped
    first, reference, _ = sample("PhDHarmonizeSampler", demo, latent)
    again = {"seed": 2, "denoise": 0.5}
    by_wire = sample("PhDHarmonizeSampler", demo, first, **again)
    by_hand = sample("PhDHarmonizeSampler", demo, first, reference_latent=reference, **again)
    for ours, theirs in zip(by_wire[:2], by_hand[:2], strict=True):
        assert torch.equal(ours["samples"], theirs["samples"])
    assert torch.equal(by_wire[0][KEY].sampled_reference, by_hand[1]["samples"])


def test_a_cut_out_takes_its_light_from_the_result_alone(demo):
    """The composite in place of a reference would say that no light differs."""
    alpha = torch.cat([EXEMPLAR, SUBJECT[..., None]], -1)
    pasted = paste(subject=alpha, subject_mask=None)[0]
    crop, *_, latent = run_node("PhDCrop", paste=pasted, model=demo["model"], vae=demo["vae"], side=64).values
    assert torch.equal(pasted.reference, pasted.composite) and latent[KEY].reference is None
    done = sample("PhDHarmonizeSampler", demo, latent, denoise=0.5)[0]
    assert done[KEY].sampled_reference is None
    ran = run_node("PhDStitch", crop=crop, latent=done)
    assert any("estimated from the result alone" in text for text in ran.text)


def test_an_edited_image_is_compared_with_the_latent_s_light_reference(cropped, demo):
    """The user decoded and retouched what was sampled; the reference is still in the latent."""
    crop, latent = cropped[1][0], cropped[1][6]
    held = replace(latent[KEY], sampled_reference=latent[KEY].reference * 0.8)
    edited = demo["vae"].decode(latent["samples"]) * 0.9
    given = {"crop": crop, "latent": {**latent, KEY: held}, "sampled": edited}
    reference = demo["vae"].decode(held.sampled_reference)
    wanted = run_node("PhDStitch", **given, sampled_reference=reference).values
    assert torch.equal(run_node("PhDStitch", **given).values[0], wanted[0])
    bare = {**given, "latent": latent}
    assert not torch.equal(run_node("PhDStitch", **bare).values[0], wanted[0])
    # Without a VAE there is nothing to decode it with.
    without = {**given, "latent": {**latent, KEY: replace(held, vae=None)}}
    assert torch.equal(run_node("PhDStitch", **without).values[0], run_node("PhDStitch", **bare).values[0])


def test_stitch_takes_a_paste_and_an_edited_image():
    pasted = paste()
    ran = run_node("PhDStitch", paste=pasted[0], sampled=pasted[1] * 0.8).values
    composite, _, matte, _, harmonize, _ = pasted_parts(pasted)
    given = {"background": SCENE, "composite": composite, "sampled": composite * 0.8}
    wanted = run_node("PhDStitch", **given, subject_matte=matte, harmonize_mask=harmonize).values
    assert torch.equal(ran[0], wanted[0]) and torch.equal(ran[1], wanted[1])


def wrong_wires(cropped, demo):
    """Kinds of wrong wires: a node, its inputs, and the start of the sentence that refuses them."""
    pasted, (crop, image, inpaint, harmonize, _, matte, latent) = cropped
    composite, _, whole_matte, whole_inpaint, whole_harmonize, _ = pasted_parts(pasted)
    other = run_node("PhDCrop", paste=paste(x=0.3)[0], vae=demo["vae"], side=64).values
    square = paste(make_image(120, 120, seed=3))
    cut = run_node("PhDCrop", paste=square[0], side=64).values
    small = paste(size=0.2, ring=4)[0]
    window = run_node("PhDCrop", paste=small, side=200).values[1]
    scene = {"background": SCENE, "composite": composite, "sampled": composite}
    sampler = {name: demo[name] for name in ("model", "positive", "negative")} | QUICK | {"latent": latent}
    vae = {"vae": demo["vae"]}
    return {
        "a latent without its crop": ("PhDStitch", {"latent": latent, **vae}, "crop is not connected"),
        "a latent with the paste in place of its crop": (
            "PhDStitch", {"latent": latent, "paste": pasted[0], **vae}, "crop is not connected"),
        "the crop of another paste": ("PhDStitch", {"latent": latent, "crop": other[0], **vae}, "crop and latent come"),
        "a crop and another paste": (
            "PhDStitch", {"sampled": image, "crop": crop, "paste": paste(x=0.3)[0]}, "crop was cut from another paste"),
        "the window without its crop": ("PhDStitch", {"sampled": window, "paste": small}, "sampled is"),
        "the whole image as the window": ("PhDStitch", {"sampled": square[1], "crop": cut[0]}, "sampled is 120×120"),
        "stitch's masks swapped": (
            "PhDStitch", {**scene, "subject_matte": whole_harmonize, "harmonize_mask": whole_matte},
            "subject_matte covers more than harmonize_mask"),
        "the ring as what may change": (
            "PhDStitch", {**scene, "subject_matte": whole_matte, "harmonize_mask": whole_inpaint},
            "harmonize_mask leaves out the whole subject"),
        "crop's masks swapped": (
            "PhDCrop", {"composite": composite, "inpaint_mask": whole_harmonize, "harmonize_mask": whole_inpaint,
                        "side": 64}, "inpaint_mask covers all of harmonize_mask and more"),
        "the whole mask for a window": (
            "PhDMaskedInpaintSampler", {**sampler, "mask": whole_inpaint}, "mask is 160×120 pixels, the whole image's"),
    }  # fmt: skip


KINDS = [
    "a latent without its crop", "a latent with the paste in place of its crop", "the crop of another paste",
    "a crop and another paste", "the window without its crop", "the whole image as the window",
    "stitch's masks swapped", "the ring as what may change", "crop's masks swapped", "the whole mask for a window",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_wire_is_refused_in_a_sentence(kind, cropped, demo):
    node, given, start = wrong_wires(cropped, demo)[kind]
    message = refused(node, **given)
    assert message.startswith(start) and "connect" in message and message.endswith(".")


def test_all_kinds_of_wrong_wires_are_tried(cropped, demo):
    assert list(wrong_wires(cropped, demo)) == KINDS


def test_a_latent_that_lost_its_companions_gives_a_warning(cropped, demo):
    _, (_, _, inpaint, *_, latent) = cropped
    bare = {"samples": latent["samples"]}
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module("nodes.companions"), "warn", said.append)
        sample("PhDMaskedInpaintSampler", demo, bare, mask=inpaint)
        assert said == []
        sample("PhDMaskedInpaintSampler", demo, bare)
    assert len(said) == 1 and said[0].startswith("No mask: none is connected")


def test_a_noise_mask_without_the_subject_does_not_take_the_harmonize_mask_s_place(cropped, demo):
    _, (_, _, inpaint, harmonize, *_, latent) = cropped
    wanted = sample("PhDHarmonizeSampler", demo, latent, denoise=0.6)[0]
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module("nodes.companions"), "warn", said.append)
        inpainted = core.SetLatentNoiseMask().set_mask(latent, inpaint)[0]
        ours = sample("PhDHarmonizeSampler", demo, inpainted, denoise=0.6)[0]
        assert torch.equal(ours["samples"], wanted["samples"])
        assert len(said) == 1 and said[0].startswith("The latent's noise mask leaves the subject out")
        # One that changes part of the subject is meant for this sampler.
        half = harmonize.clone()
        half[..., : half.shape[-1] // 2] = 0
        own = core.SetLatentNoiseMask().set_mask(latent, half)[0]
        part = sample("PhDHarmonizeSampler", demo, own, denoise=0.6)[0]
        by_hand = sample("PhDHarmonizeSampler", demo, latent, denoise=0.6, mask=half)[0]
        assert torch.equal(part["samples"], by_hand["samples"]) and len(said) == 1


def test_an_enlarged_latent_keeps_its_masks_and_leaves_out_its_reference(cropped, demo):
    (latent,) = core.LatentUpscaleBy().upscale(cropped[1][6], "nearest-exact", 2.0)
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module("nodes.companions"), "warn", said.append)
        done = sample("PhDHarmonizeSampler", demo, latent, denoise=0.5)[0]
    assert said == [
        "The latent was scaled after Crop Around Subject: its light reference no longer fits and is left out."
    ]
    assert done[KEY].sampled_reference is None
    image, mask, *_ = run_node("PhDStitch", crop=cropped[1][0], latent=done, vae=demo["vae"]).values
    assert torch.equal(image[mask == 0], SCENE[mask == 0]) and (mask > 0).any()


def test_a_latent_that_was_cut_is_refused(cropped, demo):
    latent = dict(cropped[1][6])
    latent["samples"] = latent["samples"][..., :4, :]
    given = {name: demo[name] for name in ("model", "positive", "negative")}
    message = refused("PhDMaskedInpaintSampler", **given, latent=latent, **QUICK)
    assert "it was cut since, so its masks do not fit" in message


@pytest.fixture(scope="module")
def batch(demo):
    """Three scenes, each with its subject elsewhere."""
    lines = "\n".join(json.dumps({"x": x, "y": 0.5, "size": 0.3}) for x in (0.3, 0.5, 0.7))
    pasted = paste(placements=lines)
    return run_node("PhDCrop", paste=pasted[0], vae=demo["vae"], side=64).values


def test_an_item_of_a_split_batch_has_its_own_companions(batch, demo):
    crop, latent = batch[0], batch[6]
    (second,) = core.LatentFromBatch().frombatch(latent, 1, 1)
    held = module("nodes.companions").companions_of(second)
    assert torch.equal(held.inpaint_mask, latent[KEY].inpaint_mask[1:2])
    assert torch.equal(held.reference, latent[KEY].reference[1:2])
    done = sample("PhDHarmonizeSampler", demo, second, denoise=0.5)[0]
    image, mask, *_ = run_node("PhDStitch", crop=crop, latent=done, vae=demo["vae"]).values
    assert image.shape == SCENE.shape and torch.equal(image[mask == 0], SCENE[mask == 0])
    whole = crop.pasted
    assert (mask[0] >= whole.subject_matte[1]).all() and not mask[0][whole.harmonize_mask[1] == 0].any()


def test_a_repeated_batch_repeats_its_companions(batch):
    (twice,) = core.RepeatLatentBatch().repeat(batch[6], 2)
    held = module("nodes.companions").companions_of(twice)
    assert torch.equal(held.harmonize_mask, batch[6][KEY].harmonize_mask.repeat(2, 1, 1))


def test_items_of_a_repeated_batch_have_their_own_companions(batch):
    (twice,) = core.RepeatLatentBatch().repeat(batch[6], 2)
    (some,) = core.LatentFromBatch().frombatch(twice, 1, 3)
    held = module("nodes.companions").companions_of(some)
    assert torch.equal(held.harmonize_mask, batch[6][KEY].harmonize_mask[[1, 2, 0]])


def test_a_batch_of_one_seed_keeps_its_companions(batch):
    companions = module("nodes.companions")
    assert companions.companions_of({**batch[6], "batch_index": [0, 0, 0]}) is batch[6][KEY]


def test_a_repeated_clip_is_refused(batch):
    """Its masks are those of its frames, not of items."""
    held = replace(batch[6][KEY], original=torch.zeros(1, 4, 3, 8, 8))
    latent = {"samples": held.original.repeat(2, 1, 1, 1, 1), KEY: held}
    with pytest.raises(ValueError, match="latent has 2 items, but Crop Around Subject made 1"):
        module("nodes.companions").companions_of(latent)
    (one,) = core.LatentFromBatch().frombatch({**latent, "samples": held.original}, 0, 1)
    assert module("nodes.companions").companions_of(one) is held


def test_a_joined_batch_is_refused(batch, demo):
    latent = dict(batch[6])
    latent |= {"samples": latent["samples"].repeat(2, 1, 1, 1), "batch_index": [0, 1, 2, 0, 1, 2]}
    given = {name: demo[name] for name in ("model", "positive", "negative")}
    message = refused("PhDMaskedInpaintSampler", **given, latent=latent, **QUICK)
    assert "latent has 6 items, but Crop Around Subject made 3: it was joined with others" in message


def test_the_values_do_not_change(cropped):
    pasted, values = cropped
    for value, name in ((pasted[0], "composite"), (values[0], "pasted"), (values[6][KEY], "crop")):
        with pytest.raises(AttributeError):
            setattr(value, name, None)


def test_what_is_no_paste_crop_or_vae_is_named(cropped):
    assert refused("PhDCrop", paste=5, side=64).startswith("paste is 5; connect the paste of Paste & Blend")
    assert refused("PhDStitch", crop=5, sampled=SCENE).startswith("crop is 5; connect the crop of Crop Around Subject")
    assert refused("PhDStitch", paste=5, sampled=SCENE).startswith("paste is 5; connect the paste of Paste & Blend")
    latent = copy.copy(cropped[1][6])
    given = {"crop": cropped[1][0], "latent": latent}
    assert refused("PhDStitch", **given, vae=5).startswith("vae is 5; connect a VAE")
    latent = {"samples": latent["samples"]}
    message = refused("PhDStitch", paste=cropped[0][0], latent=latent)
    assert message.startswith("latent is connected, but vae is not")


@pytest.mark.parametrize("kind", ["PhDMaskedInpaintSampler", "PhDHarmonizeSampler"])
@pytest.mark.parametrize(("size", "warned"), [((120, 160), True), ((64, 64), False)], ids=["whole image", "window"])
def test_a_prompt_s_mask_of_the_whole_image_is_warned_about(demo, cropped, kind, size, warned):
    """ComfyUI would squeeze it into the window."""
    *_, latent = cropped[1]
    (left,) = core.ConditioningSetMask().append(demo["positive"], torch.ones(1, *size), "default", 1.0)
    given = {name: demo[name] for name in ("model", "negative")}
    ran = run_node(kind, **given, positive=demo["positive"] + left, latent=latent, **QUICK)
    texts = [text for text in ran.text if text.startswith("positive holds a mask or a ControlNet's image of 160×120")]
    assert len(texts) == warned


def test_images_of_all_controlnets_of_a_prompt_are_looked_at():
    first = SimpleNamespace(cond_hint_original="first", previous_controlnet=None)
    second = SimpleNamespace(cond_hint_original="second", previous_controlnet=first)
    shown = module("nodes.window_prompts").shown
    assert list(shown({"mask": "mask", "control": second})) == ["mask", "second", "first"]
