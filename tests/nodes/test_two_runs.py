"""Stitch with `latent_2`: the light is the mean over the seeds of two runs, as with a module and without."""

import json
from dataclasses import replace

import pytest
import torch
from node_support import block, make_image, module, refused, run_node

import nodes as core

EXEMPLAR, SUBJECT = make_image(60, 60, seed=2), block(60, 60, 10, 10, 50, 50)
KEY, SEEDS = "phd", "sampled_seeds"
QUICK = {"seed": 1, "steps": 1, "cfg": 1.0, "inner_steps": 0, "preset": "custom", "denoise": 0.8}


@pytest.fixture(scope="module")
def demo(pack):
    model, clip, vae, learned = run_node("PhDLoadDemoModel").values
    prompts = [core.CLIPTextEncode().encode(clip, text)[0] for text in ("a rocket", "")]
    return {"model": model, "vae": vae, "module": learned, "positive": prompts[0], "negative": prompts[1]}


def cropped(demo, background, **changes):
    given = {"x": 0.5, "y": 0.5, "size": 0.4, "ring": 12, "subject": EXEMPLAR, "subject_mask": SUBJECT, **changes}
    paste = run_node("PhDPasteBlend", background=background, **given).values[0]
    return run_node("PhDCrop", paste=paste, model=demo["model"], vae=demo["vae"], side=64).values[-1]


def harmonized(demo, latent, **changes):
    given = {name: demo[name] for name in ("model", "positive", "negative")}
    return run_node("PhDHarmonizeSampler", **{**given, "latent": latent, **QUICK, **changes}).values[0]


def with_module(demo, latent, **changes):
    given = {name: demo[name] for name in ("module", "positive", "negative")}
    positive, negative = run_node("PhDApplyModule", **given, latent=latent, strength=1.0).values
    settings = {"denoise": 1.0, "anchor_strength": 0.0, **changes}
    return harmonized(demo, latent, positive=positive, negative=negative, **settings)


def stitched(latent, **given):
    image, _, report, _ = run_node("PhDStitch", crop=latent[KEY].crop, latent=latent, detail=1.0, **given).values
    return image, json.loads(report)


@pytest.fixture(scope="module")
def latent(demo):
    return cropped(demo, make_image(120, 160, seed=1))


@pytest.fixture(scope="module")
def runs(demo, latent):
    """Two seeds of a run with the module, and three of one without."""
    return with_module(demo, latent, num_seeds=2), harmonized(demo, latent, num_seeds=3)


def test_every_seed_of_both_runs_counts_once_and_a_module_s_from_the_paste_that_it_saw(demo, latent, runs):
    first, second = runs
    decoded = demo["vae"].decode
    scene = torch.cat([decoded(run[SEEDS].scene.flatten(0, 1)) for run in runs])
    paste = decoded(latent[KEY].original)
    reference = torch.cat([paste, paste, decoded(second[SEEDS].reference.flatten(0, 1))])
    by_hand = {"sampled": scene, "sampled_reference": reference, "changed": first[KEY].changed, "num_seeds": 5}
    wanted, entries = stitched(first, **by_hand)
    image, report = stitched(first, latent_2=second)
    assert report[0]["light_by"] == entries[0]["light_by"]
    assert report[0]["gain"] == pytest.approx(entries[0]["gain"], abs=2e-3)
    assert (image - wanted).abs().mean() < 2e-4
    for alone in runs:
        gains = (stitched(alone)[1][0]["gain"], report[0]["gain"])
        assert max(abs(own - both) for own, both in zip(*gains, strict=True)) > 0.01


def test_two_runs_of_one_seed_give_the_light_of_one_run_of_two(demo, latent):
    step = module("phd_ops.latents.seeds").RUN_STEP
    # With inner steps the second seed's noise is not the first one's with another sign.
    how = {"steps": 2, "inner_steps": 1}
    both = harmonized(demo, latent, num_seeds=2, **how)
    first, second = (harmonized(demo, latent, seed=seed, **how) for seed in (1, 1 + step))
    wanted, image = stitched(both)[1][0]["gain"], stitched(first, latent_2=second)[1][0]["gain"]
    assert image == pytest.approx(wanted, abs=1e-3)


def test_without_a_light_reference_all_seeds_count_from_the_paste(demo, latent):
    latent = {**latent, KEY: replace(latent[KEY], reference=None)}
    _, report = stitched(with_module(demo, latent), latent_2=harmonized(demo, latent))
    assert report[0]["light_by"] == "the result alone"


def test_around_the_subject_the_first_run_is_shown(runs):
    first, second = runs
    own = {"detail": 0.0, "keep_surround": 0.0}
    crop = first[KEY].crop
    alone, both, turned = (
        run_node("PhDStitch", crop=crop, **own, **given).values[0]
        for given in (
            {"latent": first},
            {"latent": first, "latent_2": second},
            {"latent": second, "latent_2": first},
        )
    )
    assert torch.equal(both, alone) and not torch.equal(turned, alone)


def test_frames_of_a_clip_share_the_references_of_the_run_that_has_them(demo):
    coarse = make_image(12, 24, seed=1).movedim(-1, 1)
    wide = torch.nn.functional.interpolate(coarse, size=(120, 168), mode="bicubic").clamp(0, 1).movedim(1, -1)
    latent = cropped(demo, torch.cat([wide[:, :, n : n + 160] for n in range(8)]))
    first, second = with_module(demo, latent), harmonized(demo, latent)
    assert len(second[KEY].reference_items) == 5
    for own, other in ((first, second), (second, first)):
        _, report = stitched(own, latent_2=other)
        assert all(entry["light_by"].startswith("the difference to the light reference") for entry in report)


def test_runs_that_do_not_belong_together_are_refused(demo, latent, runs):
    first, second = runs
    crop, scene = first[KEY].crop, make_image(120, 160, seed=1)
    elsewhere = harmonized(demo, cropped(demo, scene, x=0.3))
    given = {"crop": crop, "latent": first}
    assert "come from different crops" in refused("PhDStitch", **given, latent_2=elsewhere)
    assert refused("PhDStitch", crop=crop, latent_2=second).startswith("latent_2 is connected, but latent is not")
    assert refused("PhDStitch", **given, latent_2={}) == "latent_2 holds no samples: connect the latent of a sampler."
    apart = {"background": scene, "composite": scene, "vae": demo["vae"]}
    apart |= {"subject_matte": block(120, 160, 40, 40, 80, 80), "harmonize_mask": block(120, 160, 32, 32, 88, 88)}
    small, large = ({"samples": torch.zeros(1, 32, 15, width)} for width in (20, 10))
    message = refused("PhDStitch", **apart, latent=small, latent_2=large)
    assert message.startswith("latent is of shape (1, 32, 15, 20), but latent_2 is (1, 32, 15, 10)")


def test_without_crop_a_module_s_run_of_one_seed_has_no_paste_to_count_from(demo, latent, runs):
    plain = {"samples": runs[0]["samples"]}
    seeds = {name: value for name, value in runs[1].items() if name != KEY}
    held = latent[KEY].crop.pasted
    given = {name: getattr(held, name) for name in ("background", "composite", "subject_matte", "harmonize_mask")}
    message = refused("PhDStitch", **given, vae=demo["vae"], latent=plain, latent_2=seeds)
    assert message.startswith("latent and latent_2 cannot be joined")
