"""PhDLoadModule and PhDApplyModule: a module acts in every sampler, and one that does not fit is refused."""

import json
import shutil

import folder_paths
import numpy as np
import pytest
import torch
from node_support import block, module, prompt, random_latent, refused, run_node, tiny_model
from safetensors.torch import save_file
from sampler_support import SCHEDULE

import nodes as core
from relit_scenes.draw import draw_scene
from relit_scenes.render import render_scene

learned = module("nodes.learned_module")
network = module("nodes.module_network")
MASK, MATTE = block(64, 64, 8, 8, 56, 48), block(64, 64, 16, 16, 48, 40)


def weights_of(model, scale=0.0):
    """Weights of a module for a model; with `scale` its outputs are not zero."""
    config = dict(model.model.model_config.unet_config)
    made = network.ModuleNetwork(model.model.latent_format.latent_channels, **config)
    network.copy_encoder(made, model.model.diffusion_model)
    generator = torch.Generator().manual_seed(1)
    weights = {name: value.clone() for name, value in made.state_dict().items()}
    for name, value in weights.items():
        if name.startswith(("zero_convs.", "middle_block_out.")):
            weights[name] = scale * torch.randn(value.shape, generator=generator)
    return weights


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """A function that saves a module where Load PhD Module finds it; returns its name."""
    monkeypatch.setitem(folder_paths.folder_names_and_paths, learned.FOLDER, ([str(tmp_path)], {".safetensors"}))
    folder_paths.filename_list_cache.pop(learned.FOLDER, None)

    def save(model, scale=0.0, weights=None, metadata=None, name="one.safetensors"):
        weights = weights_of(model, scale) if weights is None else weights
        save_file(weights, tmp_path / name, network.metadata(model.model) if metadata is None else metadata)
        folder_paths.filename_list_cache.pop(learned.FOLDER, None)
        return name

    save.folder = tmp_path
    return save


def applied(name, latent, positive=None, negative=None, **inputs):
    loaded = run_node("PhDLoadModule", module=name).values[0]
    given = {"positive": positive or prompt(1), "negative": negative or prompt(2), "latent": {"samples": latent}}
    given |= {"subject_matte": MATTE, "mask": MASK, **inputs}
    return run_node("PhDApplyModule", module=loaded, **given).values


def sampled(model, latent, positive, negative, **changes):
    settings = {**SCHEDULE, **changes}
    denoise = settings.pop("denoise")
    (masked,) = core.SetLatentNoiseMask().set_mask({"samples": latent}, MASK)
    (out,) = core.common_ksampler(
        model, **settings, positive=positive, negative=negative, latent=masked, denoise=denoise
    )
    return out["samples"]


@pytest.mark.parametrize("family", ["EPS", "V_PREDICTION", "FLOW"])
def test_a_module_acts_in_ksampler_and_an_untrained_one_changes_nothing(saved, family):
    model, latent = tiny_model(family), random_latent()
    plain = sampled(model, latent, prompt(1), prompt(2))
    # With a ControlNet core runs both prompts apart, which rounds otherwise.
    torch.testing.assert_close(sampled(model, latent, *applied(saved(model), latent)), plain, rtol=0, atol=1e-3)
    changed = sampled(model, latent, *applied(saved(model, scale=0.3), latent))
    assert changed.isfinite().all() and (changed - plain).abs().max() > 0.01


def test_strength_scales_it_and_0_passes_the_prompts_on(saved):
    model, latent = tiny_model("EPS"), random_latent()
    name, prompts = saved(model, scale=0.3), (prompt(1), prompt(2))
    plain = sampled(model, latent, *prompts)
    off = applied(name, latent, *prompts, strength=0.0)
    assert all("control" not in values for conditioning in off for _, values in conditioning)
    far = [(sampled(model, latent, *applied(name, latent, strength=s)) - plain).abs().mean() for s in (0.02, 0.2)]
    assert 0 < far[0] < far[1]


def test_it_acts_in_samplercustom_and_in_the_pack_s_samplers(saved):
    model, latent = tiny_model("FLOW"), random_latent()
    name = saved(model, scale=0.3)
    sampler = run_node("PhDMaskedLangevin", method="masked Langevin").values[0]
    (masked,) = core.SetLatentNoiseMask().set_mask({"samples": latent}, MASK)
    for run in (
        lambda positive, negative: run_node(
            "SamplerCustom", model=model, add_noise=True, noise_seed=3, cfg=2.0, positive=positive, negative=negative,
            sampler=sampler, sigmas=torch.tensor([1.0, 0.7, 0.3, 0.0]), latent_image=masked,
        ).values[0],
        lambda positive, negative: run_node(
            "PhDHarmonizeSampler", model=model, positive=positive, negative=negative, latent={"samples": latent},
            mask=MASK, steps=2, preset="custom", inner_steps=1,
        ).values[0],
    ):  # fmt: skip
        with_it, without = (run(*given)["samples"] for given in (applied(name, latent), (prompt(1), prompt(2))))
        assert with_it.isfinite().all() and (with_it - without).abs().max() > 0.01
        outside = (MASK[:, None, ::8, ::8] == 0).expand_as(latent)
        torch.testing.assert_close(with_it[outside], latent[outside], rtol=0, atol=1e-5)


def test_harmonize_does_not_sample_a_reference_that_the_module_sees(saved):
    model, latent = tiny_model("FLOW"), random_latent()
    reference = {"samples": random_latent(seed=9)}
    given = {"model": model, "latent": {"samples": latent}, "mask": MASK, "reference_latent": reference, "steps": 2,
             "preset": "custom", "inner_steps": 0}  # fmt: skip
    positive, negative = applied(saved(model, scale=0.3), latent, reference_latent=reference)
    ran = run_node("PhDHarmonizeSampler", positive=positive, negative=negative, **given)
    other = run_node("PhDHarmonizeSampler", positive=prompt(1), negative=prompt(2), **given)
    assert torch.equal(ran.values[0]["samples"], ran.values[1]["samples"])
    assert not torch.equal(other.values[0]["samples"], other.values[1]["samples"])


def test_the_condition_is_paste_subject_hidden_cells_and_reference(saved):
    model = tiny_model("EPS")
    latent, reference = random_latent(), random_latent(seed=9)
    positive, _ = applied(saved(model), latent, reference_latent={"samples": reference})
    seen = positive[0][1]["control"].cond_hint_original
    scaled = model.model.latent_format.process_in
    assert torch.equal(seen[:, :4], scaled(latent)) and torch.equal(seen[:, 6:10], scaled(reference))
    assert torch.equal(seen[:, 4], MATTE[:, ::8, ::8]) and torch.equal(seen[:, 5], MASK[:, ::8, ::8])
    assert (seen[:, 10] == 1).all()
    alone = applied(saved(model), latent)[0][0][1]["control"].cond_hint_original
    assert torch.equal(alone[:, :6], seen[:, :6]) and not alone[:, 6:].any()
    # A composite that stands in for its reference is none.
    same = applied(saved(model), latent, reference_latent={"samples": latent})[0][0][1]["control"]
    assert torch.equal(same.cond_hint_original, alone)


def test_the_latent_of_crop_brings_all_it_needs_and_the_paste_as_it_was_before_inpainting(saved, pack):
    crop = module("nodes.companions")
    held = crop.Companions(crop=None, inpaint_mask=MASK, harmonize_mask=MASK, subject_matte=MATTE,
                           original=random_latent(), reference=random_latent(seed=9))  # fmt: skip
    latent = crop.with_companions({"samples": random_latent(seed=4)}, held)
    loaded = run_node("PhDLoadModule", module=saved(tiny_model("EPS"))).values[0]
    positive, _ = pack["PhDApplyModule"].execute(loaded, prompt(1), prompt(2), latent, 1.0).args
    seen = positive[0][1]["control"].cond_hint_original
    wanted = applied(saved(tiny_model("EPS")), held.original, reference_latent={"samples": held.reference})
    assert torch.equal(seen, wanted[0][0][1]["control"].cond_hint_original)


def test_it_joins_another_controlnet(saved):
    model, latent = tiny_model("EPS"), random_latent()
    name = saved(model, scale=0.1)
    once = applied(name, latent)
    twice = applied(name, latent, *once)
    assert twice[0][0][1]["control"].previous_controlnet is once[0][0][1]["control"]
    assert not torch.equal(sampled(model, latent, *once), sampled(model, latent, *twice))


def test_both_prompts_share_one_control_so_that_comfyui_runs_them_in_one_batch(saved):
    name = saved(tiny_model("EPS"))
    positive, negative = applied(name, random_latent())
    assert positive[0][1]["control"] is negative[0][1]["control"]
    # Behind different ControlNets each has its own.
    again = [[[positive[0][0], {"control": control}]] for control in (positive[0][1]["control"], None)]
    positive, negative = applied(name, random_latent(), *again)
    assert positive[0][1]["control"] is not negative[0][1]["control"]


def test_items_of_a_batch_get_their_own_conditions(saved):
    model, latent = tiny_model("FLOW"), random_latent(batch=2)
    name = saved(model, scale=0.3)
    given = {"method": "masked Langevin", "steps": 2, "preset": "custom", "inner_steps": 1, "mask": MASK}
    whole, *alone = (
        run_node("PhDHarmonizeSampler", model=model, positive=positive, negative=negative, latent=held, **given)
        .values[0]["samples"]
        for held, (positive, negative) in (
            ({"samples": part, "batch_index": places}, applied(name, part))
            for part, places in ((latent, [0, 1]), (latent[:1], [0]), (latent[1:], [1]))
        )
    )  # fmt: skip
    torch.testing.assert_close(whole, torch.cat(alone), rtol=0, atol=1e-4)


# What does not fit


def test_a_base_of_another_family_is_refused_when_it_samples(saved):
    latent = random_latent()
    given = applied(saved(tiny_model("EPS")), latent)
    flux = tiny_model("EPS").clone()
    wider = [[torch.randn(1, 4, 48), {**given[0][0][1]}]]
    with pytest.raises(ValueError, match="belongs to a model of 4 latent channels and text of width 32, but this one"):
        sampled(flux, latent, wider, wider)


def test_a_latent_of_another_vae_is_refused(saved):
    loaded = run_node("PhDLoadModule", module=saved(tiny_model("EPS"))).values[0]
    given = {"module": loaded, "positive": prompt(1), "negative": prompt(2), "subject_matte": MATTE, "mask": MASK}
    message = refused("PhDApplyModule", latent={"samples": random_latent(channels=16)}, **given)
    assert "encode with the VAE" in message and "(1, 16, 8, 8)" in message


def test_without_masks_it_asks_for_them(saved):
    loaded = run_node("PhDLoadModule", module=saved(tiny_model("EPS"))).values[0]
    given = {"module": loaded, "positive": prompt(1), "negative": prompt(2), "latent": {"samples": random_latent()}}
    assert "needs the subject's matte" in refused("PhDApplyModule", **given)
    assert "needs the subject's matte" in refused("PhDApplyModule", subject_matte=MATTE, **given)


def test_a_reference_of_another_size_is_refused(saved):
    loaded = run_node("PhDLoadModule", module=saved(tiny_model("EPS"))).values[0]
    given = {"module": loaded, "positive": prompt(1), "negative": prompt(2), "latent": {"samples": random_latent()}}
    other = {"samples": random_latent(height=4)}
    message = refused("PhDApplyModule", subject_matte=MATTE, mask=MASK, reference_latent=other, **given)
    assert message.startswith("reference_latent is (1, 4, 4, 8)")


def test_files_that_hold_no_module_are_refused_in_one_sentence(saved):
    model = tiny_model("EPS")
    good = weights_of(model)
    cut = saved.folder / saved(model, name="cut.safetensors")
    cut.write_bytes(cut.read_bytes()[:5000])
    assert "cut short or damaged" in refused("PhDLoadModule", module="cut.safetensors")
    random = {name: torch.randn(value.shape[:1]) for name, value in good.items()}
    assert "other tensors" in refused("PhDLoadModule", module=saved(model, weights=random))
    assert "other tensors" in refused("PhDLoadModule", module=saved(model, weights={"a": torch.zeros(2)}))
    infinite = {name: value / 0 if name.endswith("zero_convs.0.0.weight") else value for name, value in good.items()}
    assert "not finite" in refused("PhDLoadModule", module=saved(model, weights=infinite))
    assert "this is not a PhD module" in refused("PhDLoadModule", module=saved(model, metadata={"format": "pt"}))
    metadata = network.metadata(model.model)
    for changes, words in (
        ({"unet_config": "{"}, "its metadata is damaged"),
        ({"latent_format": "Nobody"}, "does not know"),
        ({"latent_format": "os"}, "does not know"),
        ({"unet_config": json.dumps({"model_channels": 32})}, "other tensors"),
    ):
        message = refused("PhDLoadModule", module=saved(model, metadata=metadata | changes))
        assert words in message and message.startswith("one.safetensors: ")


def test_a_file_that_was_removed_is_named(saved):
    name = saved(tiny_model("EPS"))
    run_node("PhDLoadModule", module=name)
    (saved.folder / name).unlink()
    message = refused("PhDLoadModule", module=name)
    assert name in message


# The demo model's own


def test_the_demos_module_brings_the_light_of_scenes_nearer_to_the_truth(pack):
    """On scenes that it was not trained on, in one model call with the light reference."""
    model, clip, vae, _ = run_node("PhDLoadDemoModel").values
    loaded = run_node("PhDLoadModule").values[0]
    (negative,) = core.CLIPTextEncode().encode(clip, "")
    pasted, relit = [], []
    for seed in range(4):
        scene = render_scene(draw_scene(seed, "validation", "mixed"), 128)
        composite, background, reference, matte, mask = (
            torch.from_numpy(getattr(scene, name))[None]
            for name in ("composite", "background", "reference", "matte", "harmonize_mask")
        )
        latent, beside = ({"samples": vae.encode(image)} for image in (composite, reference))
        (positive,) = core.CLIPTextEncode().encode(clip, scene.prompt)
        prompts = run_node(
            "PhDApplyModule", module=loaded, positive=positive, negative=negative, latent=latent, subject_matte=matte,
            mask=mask, reference_latent=beside,
        ).values  # fmt: skip
        sampled = run_node(
            "PhDHarmonizeSampler", model=model, positive=prompts[0], negative=prompts[1], latent=latent, mask=mask,
            preset="custom", steps=1, inner_steps=0, cfg=1.0, denoise=1.0, anchor_strength=0.0,
        ).values[0]  # fmt: skip
        drawn = core.VAEDecode().decode(vae, sampled)[0].clamp(0, 1)
        image = run_node(
            "PhDStitch", background=background, composite=composite, sampled=drawn, subject_matte=matte,
            harmonize_mask=mask, detail=1.0,
        ).values[0]  # fmt: skip
        inside = scene.true_matte > 0.5
        for found, shown in ((pasted, scene.composite), (relit, image[0].numpy())):
            found.append(np.square(shown - scene.truth)[inside].mean())
    assert np.mean(relit) < 0.7 * np.mean(pasted), (relit, pasted)


def test_a_damaged_file_of_the_demos_module_is_named(tmp_path, monkeypatch):
    demo_weights = module("nodes.demo_weights")
    shutil.copytree(demo_weights.WEIGHTS, tmp_path / "weights")
    file = tmp_path / "weights" / "module.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    monkeypatch.setattr(demo_weights, "WEIGHTS", tmp_path / "weights")
    assert "demo/weights/module.safetensors is damaged" in refused("PhDLoadModule")
