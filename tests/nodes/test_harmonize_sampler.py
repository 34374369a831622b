"""PhDHarmonizeSampler: the subject's identity, subject_only, several seeds, and what has changed."""

import pytest
import torch
from node_support import block, module, prompt, random_latent, refused, run_node, tiny_wan
from sampler_support import INNER, MASK, METHODS, SCHEDULE, harmonize, inpaint, ksampler, model

# Half of its third column's cells; inside MASK.
SUBJECT = block(64, 64, 16, 20, 48, 40)
SEEDS = 2**64
# A batch of another size runs through other kernels of some processors: in float32, over a loop's calls, so far apart
# (.0004 was seen). Another seed or prompt is at least .01 apart.
ROUNDING = 1e-3


def outputs(net, latent, mask=MASK, method="masked Langevin", **changes):
    """The node's three outputs."""
    node = module("nodes.harmonize_sampler").PhDHarmonizeSampler
    latent = latent if isinstance(latent, dict) else {"samples": latent}
    for name in ("reference_latent", "original_latent"):
        if name in changes:
            changes[name] = {"samples": changes[name]}
    settings = {**SCHEDULE, **INNER, "anchor_strength": 0.0, **changes}
    return node.execute(net, prompt(1), prompt(2), latent, mask=mask, method=method, **settings).args


def sampled(*args, **changes):
    """The scene's results: all items with the first seed, then all with the next."""
    latent = outputs(*args, **changes)[0]
    seeds = module("nodes.sampled_seeds").seeds_of(latent)
    return latent["samples"] if seeds is None else seeds.scene.flatten(0, 1)


def anchored(net, latent, mask, strength, anchor):
    share = module("nodes.latents").subject_share(mask, latent)
    return module("nodes.identity_anchor").anchored_model(net, latent, share, strength, anchor, fades=True)


@pytest.mark.parametrize("method", METHODS)
def test_at_their_defaults_the_optional_inputs_change_nothing(method):
    latent, how = random_latent(batch=2), {"method": method, "denoise": 0.6}
    old = sampled(model("EPS"), latent, **how)
    new = {"subject_matte": SUBJECT, "original_latent": random_latent(batch=2, seed=4), "subject_only": False}
    assert torch.equal(
        sampled(model("EPS"), latent, anchor_strength=0.0, anchor="restyle", num_seeds=1, **new, **how), old
    )
    if method in ("RePaint", "plain"):
        assert torch.equal(inpaint(model("EPS"), latent, MASK, **how), old)


@pytest.mark.parametrize("anchor", ["relight", "restyle"])
@pytest.mark.parametrize("method", METHODS)
def test_identity_is_an_identity_anchor_on_the_model(method, anchor):
    latent, how = random_latent(batch=2), {"method": method, "denoise": 0.6}
    ours = sampled(model("EPS"), latent, subject_matte=SUBJECT, anchor_strength=0.5, anchor=anchor, **how)
    assert torch.equal(ours, sampled(anchored(model("EPS"), latent, SUBJECT, 0.5, anchor), latent, **how))
    assert not torch.allclose(ours, sampled(model("EPS"), latent, **how), atol=0.05)


@pytest.mark.parametrize(("family", "sigma", "share"), [("EPS", 3.0, 0.75), ("EPS", 0.25, 0.2), ("FLOW", 0.6, 0.6)])
def test_identity_fades_with_the_noise_s_share(family, sigma, share):
    latent, net = random_latent(), model(family)
    patched = anchored(net, latent, torch.ones(1, 64, 64), 0.5, "restyle")
    (held,) = patched.model_options["sampler_post_cfg_function"]
    estimate = random_latent(seed=5)
    args = {"denoised": estimate, "sigma": torch.tensor([sigma]), "model": net.model}
    own = net.model.process_latent_in(latent)
    wanted = module("phd_ops.latents.identity_anchor").anchored(
        estimate, own, torch.ones(1, 1, 8, 8), 0.5 * share, "restyle"
    )
    torch.testing.assert_close(held(args), wanted)


def test_where_identity_is_not_given_it_is_what_the_widget_shows():
    latent = random_latent()
    node, how = module("nodes.harmonize_sampler").PhDHarmonizeSampler, {**SCHEDULE, **INNER, "subject_matte": SUBJECT}
    given = (model("EPS"), prompt(1), prompt(2), {"samples": latent})
    done = node.execute(*given, mask=MASK, method="masked Langevin", **how).args[0]["samples"]
    (widget,) = (item for item in node.GET_SCHEMA().inputs if item.id == "anchor_strength")
    assert torch.equal(done, sampled(model("EPS"), latent, subject_matte=SUBJECT, anchor_strength=widget.default))


def test_identity_without_a_subject_mask_holds_nothing():
    latent = random_latent()
    assert torch.equal(sampled(model("EPS"), latent, anchor_strength=0.5), sampled(model("EPS"), latent))


def test_identity_holds_a_reference_at_its_own_latent():
    scene, reference = random_latent(seed=1), random_latent(seed=2)
    how = {"anchor_strength": 1.0, "anchor": "restyle", "subject_matte": SUBJECT, "denoise": 0.6}
    ours = outputs(model("EPS"), scene, reference_latent=reference, **how)
    # With the same noise, as each would have alone.
    for done, latent in ((ours[0], scene), (ours[1], reference)):
        torch.testing.assert_close(done["samples"], sampled(model("EPS"), latent, **how), rtol=ROUNDING, atol=ROUNDING)


def test_each_item_is_held_by_its_own_mask_with_every_seed():
    latent, masks = random_latent(batch=2), torch.cat([SUBJECT, torch.zeros_like(SUBJECT)])
    how = {"subject_matte": masks, "anchor": "restyle", "num_seeds": 2}
    unheld, held = (sampled(model("EPS"), latent, anchor_strength=identity, **how) for identity in (0.0, 1.0))
    moved = (unheld - held).abs().amax((1, 2, 3)) > 0.05
    assert moved.tolist() == [True, False, True, False]


@pytest.mark.parametrize("method", METHODS)
def test_subject_only_changes_the_subject_alone(method):
    latent, how = random_latent(), {"method": method, "anchor_strength": 0.3}
    ours = sampled(model("EPS"), latent, subject_only=True, subject_matte=SUBJECT, **how)
    assert torch.equal(ours, sampled(model("EPS"), latent, SUBJECT, subject_matte=SUBJECT, **how))
    changed = (ours - latent).abs().amax((0, 1)) > 1e-3
    assert torch.equal(changed, SUBJECT[0, ::8, 4::8] + SUBJECT[0, ::8, ::8] > 0)
    # The latent's own mask makes no difference.
    noted = {"samples": latent, "noise_mask": torch.ones(1, 64, 64)}
    assert torch.equal(sampled(model("EPS"), noted, None, subject_only=True, subject_matte=SUBJECT, **how), ours)


def test_subject_only_without_a_subject_mask_is_refused():
    given = {"model": model("EPS"), "positive": prompt(1), "negative": prompt(2), "mask": MASK, "subject_only": True}
    message = refused("PhDHarmonizeSampler", **given, latent={"samples": random_latent()}, method="plain")
    assert message == "subject_only changes nothing but the subject: connect subject_matte, or switch it off."


SAMPLERS = ["euler", "euler_ancestral", "dpmpp_2m"]


@pytest.mark.parametrize("sampler_name", SAMPLERS)
@pytest.mark.parametrize("method", METHODS[:-1])
def test_the_first_seed_of_several_is_the_run_with_one(method, sampler_name):
    """As near as the rounding of a larger batch comes, and the others are other images."""
    latent, how = random_latent(batch=2), {"method": method, "sampler_name": sampler_name, "denoise": 0.6}
    one, three = (sampled(model("EPS"), latent, num_seeds=seeds, **how) for seeds in (1, 3))
    assert three.shape == (6, 4, 8, 8)
    torch.testing.assert_close(three[:2], one, rtol=1e-4, atol=1e-4)
    for scene in range(2):
        runs = three[scene::2]
        assert all(not torch.allclose(runs[i], runs[i - 1], atol=0.1) for i in range(3))


def test_with_plain_the_first_seed_of_several_is_the_run_with_one():
    latent, how = random_latent(batch=2), {"method": "plain", "denoise": 0.6}
    three = sampled(model("EPS"), latent, num_seeds=3, **how)
    torch.testing.assert_close(three[:2], ksampler(model("EPS"), latent, MASK, denoise=0.6), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(three[:2], three[2:4], atol=0.1)


def test_one_matte_holds_all_items_where_some_may_change_as_a_whole():
    latent = random_latent(batch=2)
    masks = torch.cat([torch.ones(1, 64, 64), MASK])
    how = {"subject_matte": SUBJECT, "anchor_strength": 0.5}
    both = sampled(model("EPS"), latent, masks, **how)
    each = [
        sampled(model("EPS"), {"samples": latent[[item]], "batch_index": [item]}, masks[[item]], **how)
        for item in range(2)
    ]
    torch.testing.assert_close(both, torch.cat(each), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_first_come_all_items_with_the_first_seed_then_all_with_the_next(method):
    latent, step = random_latent(batch=2), module("phd_ops.latents.seeds").RUN_STEP
    masks = torch.cat([MASK, torch.zeros_like(MASK)])
    both = sampled(model("EPS"), latent, masks, method=method, num_seeds=2, seed=SEEDS - 1)
    for run in range(2):
        alone = sampled(model("EPS"), latent, masks, method=method, seed=(SEEDS - 1 + run * step) % SEEDS)
        torch.testing.assert_close(both[2 * run : 2 * run + 2], alone, rtol=0, atol=ROUNDING)
        torch.testing.assert_close(both[2 * run + 1], latent[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_without_inner_steps_every_second_seed_starts_from_the_opposite_noise(method, monkeypatch):
    given, samples = [], module("nodes.sample").comfy.sample

    def sample_custom(*args, **kwargs):
        given.append(args[1])
        return args[7]

    monkeypatch.setattr(samples, "sample_custom", sample_custom)
    latent, how = random_latent(batch=2), {"method": method, "num_seeds": 3}
    sampled(model("EPS"), latent, inner_steps=0, **how)
    sampled(model("EPS"), latent, inner_steps=1, **how)
    # Every seed runs alone.
    paired, own = (torch.stack(noise) for noise in (given[:3], given[3:]))
    assert torch.equal(paired[1], -paired[0]) and torch.equal(paired[::2], own[::2])
    assert not torch.allclose(own[1], -own[0], atol=0.1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mask", [MASK, None], ids=["mask", "no mask"])
def test_a_reference_is_sampled_with_the_same_noise(method, mask):
    latent, how = random_latent(batch=2), {"method": method, "num_seeds": 3, "denoise": 0.6}
    # Nearly equal, for an equal one is not run.
    scene, reference, changed = outputs(model("EPS"), latent, mask, reference_latent=latent + 1e-6, **how)
    assert scene["samples"].shape == reference["samples"].shape == (2, 4, 8, 8) and changed.shape == (2, 8, 8)
    seeds = module("nodes.sampled_seeds").seeds_of(scene)
    assert seeds.scene.shape == seeds.reference.shape == (3, 2, 4, 8, 8)
    torch.testing.assert_close(seeds.scene, seeds.reference, rtol=ROUNDING, atol=ROUNDING)
    alone = sampled(model("EPS"), latent, mask, **how)
    torch.testing.assert_close(seeds.scene.flatten(0, 1), alone, rtol=1e-4, atol=1e-4)
    other = outputs(model("EPS"), latent, mask, reference_latent=random_latent(batch=2, seed=9), **how)
    torch.testing.assert_close(other[0]["samples"], scene["samples"], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(other[1]["samples"], reference["samples"], atol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_a_reference_s_own_prompt_is_the_reference_s_alone(method):
    scene, reference = random_latent(seed=1), random_latent(seed=2)
    how = {"method": method, "denoise": 0.6, "num_seeds": 2, "anchor_strength": 0.5, "subject_matte": SUBJECT}
    shared, alike, apart = (
        [out["samples"] for out in outputs(model("EPS"), scene, reference_latent=reference, **prompts, **how)[:2]]
        for prompts in ({}, {"reference_positive": prompt(1)}, {"reference_positive": prompt(3)})
    )
    torch.testing.assert_close(alike, shared, rtol=0, atol=ROUNDING)
    assert torch.equal(apart[0], alike[0])
    assert not torch.allclose(apart[1], alike[1], atol=1e-2)
    node, given = module("nodes.harmonize_sampler").PhDHarmonizeSampler, {**SCHEDULE, **INNER, **how}
    turned = node.execute(model("EPS"), prompt(3), prompt(2), {"samples": reference}, mask=MASK, **given).args[0]
    assert torch.equal(apart[1], turned["samples"])


@pytest.mark.parametrize("prompts", [{}, {"reference_positive": prompt(3)}])
def test_an_item_whose_reference_is_its_composite_has_none(prompts):
    """As in a batch with one cut-out, after inpainting: the scene is no longer the composite."""
    scene, original = random_latent(batch=2), random_latent(batch=2, seed=4)
    reference = torch.cat([original[:1], random_latent(seed=5)])
    how = {"original_latent": original, "num_seeds": 2, **prompts}
    done, sampled_reference, _ = outputs(model("EPS"), scene, reference_latent=reference, **how)
    same = [torch.equal(*pair) for pair in zip(done["samples"], sampled_reference["samples"], strict=True)]
    seeds = module("nodes.sampled_seeds").seeds_of(done)
    assert same == [True, False] and torch.equal(seeds.scene[:, 0], seeds.reference[:, 0])
    first = {**how, "original_latent": original[:1]}
    alone = outputs(model("EPS"), scene[:1], reference_latent=original[:1], **first)
    assert alone[0] is alone[1]
    torch.testing.assert_close(alone[0]["samples"], done["samples"][:1], rtol=0, atol=ROUNDING)


def test_an_item_taken_out_of_its_batch_has_its_own_noise_with_every_seed():
    latent = random_latent(batch=3)
    batched = sampled(model("EPS"), latent, num_seeds=2)
    alone = sampled(model("EPS"), {"samples": latent[1:2], "batch_index": [1]}, num_seeds=2)
    torch.testing.assert_close(alone, batched[[1, 4]], rtol=ROUNDING, atol=ROUNDING)


def test_a_latent_keeps_its_places_in_a_batch_but_not_the_mask_it_was_sampled_with():
    latent = {"samples": random_latent(), "batch_index": [1], "noise_mask": MASK, "other": 5}
    one, two = (outputs(model("EPS"), dict(latent), num_seeds=seeds, denoise=0.6)[0] for seeds in (1, 2))
    assert set(one) == {"samples", "batch_index", "other"} and set(two) == {*one, "sampled_seeds"}


@pytest.mark.parametrize("method", METHODS)
def test_the_seed_that_a_user_types_next_gives_none_of_these_samples(method):
    latent, how = random_latent().repeat(2, 1, 1, 1), {"method": method, "num_seeds": 4, "inner_steps": 0}
    runs = [run for seed in (1, 2, 3) for run in sampled(model("EPS"), latent, seed=seed, **how)]
    assert len(runs) == 24
    assert not any(torch.allclose(runs[i], runs[j], atol=0.1) for i in range(24) for j in range(i))


def test_no_seed_of_a_run_is_near_another():
    step = module("phd_ops.latents.seeds").RUN_STEP
    seeds = sorted(further * step % SEEDS for further in range(16))
    assert min((after - before) % SEEDS for before, after in zip(seeds, seeds[1:] + seeds[:1], strict=True)) > 2**56


@pytest.mark.parametrize(
    "more",
    [
        {"anchor_strength": 0.5},
        {"subject_only": True},
        {"original_latent": random_latent(seed=5)},
        {},
    ],
    ids=lambda more: next(iter(more), "nothing"),
)
def test_no_optional_input_costs_a_model_call(more, model_calls):
    outputs(model("EPS"), random_latent(), subject_matte=SUBJECT, reference_latent=random_latent(seed=9), **more)
    assert len(model_calls) == 3 + 2 * 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("how", [{"mask": torch.zeros(1, 64, 64)}, {"denoise": 0.0}], ids=["empty mask", "denoise 0"])
def test_where_nothing_is_sampled_all_passes_through_whatever_the_number_of_seeds(method, how, model_calls):
    latent, reference = random_latent(batch=2), random_latent(batch=2, seed=9)
    how = {"method": method, "anchor_strength": 0.5, **how}
    for seeds in (1, 3):
        scene, beside, changed = outputs(model("EPS"), latent, reference_latent=reference, num_seeds=seeds, **how)
        assert torch.equal(scene["samples"], latent) and torch.equal(beside["samples"], reference)
        assert "sampled_seeds" not in scene
        assert changed.shape == (2, 8, 8) and not changed.any()
    assert not model_calls


def test_an_empty_subject_changes_nothing_or_with_subject_only_passes_through(model_calls):
    latent, empty = random_latent(), torch.zeros(1, 64, 64)
    assert torch.equal(
        sampled(model("EPS"), latent, subject_matte=empty, anchor_strength=1.0), sampled(model("EPS"), latent)
    )
    model_calls.clear()
    assert torch.equal(sampled(model("EPS"), latent, subject_matte=empty, subject_only=True), latent)
    assert not model_calls


def test_changed_marks_where_the_latent_has_visibly_changed():
    latent = random_latent(height=24, width=24)
    mask = block(192, 192, 64, 64, 128, 128)
    scene, _, changed = outputs(model("EPS"), latent, mask)
    assert changed.dtype == torch.float32 and changed.shape == (1, 24, 24)
    wanted = module("phd_ops.latents.mask_grid").changed_cells(latent, scene["samples"])
    assert torch.equal(changed, wanted) and changed[0, 10:14, 10:14].all()
    # It looks coarsely: four cells farther out.
    changed[0, 4:20, 4:20] = 0
    assert not changed.any()


def test_changed_compares_with_original_latent():
    """A shadow that inpainting has painted counts, though this run did nothing to it; texture does not."""
    latent = random_latent(height=24, width=24)
    shadow = torch.zeros(1, 1, 24, 24)
    shadow[..., 18:, :12] = 3.0
    checks = 1.5 * ((torch.arange(24)[:, None] + torch.arange(24)) % 2 * 2 - 1)
    checks = torch.where(torch.arange(24) >= 18, checks, 0.0)
    changed = outputs(model("EPS"), latent, None, original_latent=latent + shadow + checks, denoise=0.0)[2][0]
    assert changed[18:, :12].all() and not changed[:14].any() and not changed[:, 16:].any()
    assert not outputs(model("EPS"), latent, None, original_latent=latent + checks, denoise=0.0)[2].any()


def test_the_latent_of_several_seeds_has_the_detail_of_the_first_and_the_coarse_structure_of_their_mean():
    latent, pool = random_latent(batch=2), torch.nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    merged, _, changed = outputs(model("EPS"), latent, num_seeds=3, denoise=0.6)
    samples, runs = merged["samples"], module("nodes.sampled_seeds").seeds_of(merged).scene
    inside = torch.nn.functional.max_pool2d(MASK[None], 8)[0].expand_as(samples) > 0
    expected = runs[0] + pool(runs.mean(0) - runs[0])
    torch.testing.assert_close(samples[inside], expected[inside], rtol=1e-5, atol=1e-5)
    assert torch.equal(samples[~inside], latent[~inside]) and changed.shape == (2, 8, 8)
    assert not torch.allclose(samples, runs[0], atol=0.05) and not torch.allclose(samples, runs.mean(0), atol=0.05)


def to_run():
    """The node's sockets that must be connected."""
    return {
        "model": model("EPS"),
        "positive": prompt(1),
        "negative": prompt(2),
        "latent": {"samples": random_latent()},
    }


def test_the_node_shows_how_many_model_calls_all_seeds_make(model_calls):
    given = to_run()
    shown = run_node(
        "PhDHarmonizeSampler", **given, mask=MASK, method="masked Langevin", num_seeds=2, **SCHEDULE, **INNER
    )
    assert "2 seeds, one after another: 14 model calls in all." in shown.text
    assert len(model_calls) == 2 * (3 + 2 * 2)
    plain = run_node("PhDHarmonizeSampler", **given, mask=MASK, method="plain", num_seeds=4, **SCHEDULE, **INNER)
    assert "4 seeds, one after another: 12 steps in all." in plain.text


def test_a_reference_with_a_prompt_of_its_own_counts_among_the_calls_of_all_seeds(model_calls):
    inputs = to_run() | {"reference_positive": prompt(3), "reference_latent": {"samples": random_latent(seed=8)}}
    shown = run_node(
        "PhDHarmonizeSampler", **inputs, mask=MASK, method="masked Langevin", num_seeds=3, **SCHEDULE, **INNER
    )
    assert len(model_calls) == 3 * 2 * (3 + 2 * 2)
    assert f"3 seeds, one after another: {len(model_calls)} model calls in all." in shown.text


def test_seeds_go_with_the_items_of_a_split_batch_and_not_with_changed_ones():
    seeds_of = module("nodes.sampled_seeds").seeds_of
    latent = outputs(model("EPS"), random_latent(batch=3), num_seeds=2, denoise=0.6)[0]
    whole, second = seeds_of(latent), seeds_of({**latent, "samples": latent["samples"][[2, 1]]})
    assert torch.equal(second.scene, whole.scene[:, [2, 1]])
    assert seeds_of({**latent, "samples": latent["samples"] + 0.1}) is None
    again = outputs(model("EPS"), latent, num_seeds=1, denoise=0.6)[0]
    assert "sampled_seeds" in latent and "sampled_seeds" not in again


def test_a_video_has_changed_frame_by_frame_and_its_subject_is_held_so():
    latent = random_latent(3, channels=16).movedim(0, 1)[None]
    net, masks = tiny_wan(), SUBJECT * torch.tensor([1.0, 0, 1])[:, None, None]
    how = {"subject_only": True, "subject_matte": masks, "anchor_strength": 0.5}
    scene, _, changed = outputs(net, latent, None, **how)
    assert torch.equal(scene["samples"][:, :, 1], latent[:, :, 1])
    assert changed.shape == (3, 8, 8) and changed.mean((1, 2)).gt(0).tolist() == [True, False, True]
    ours = anchored(net, latent, masks, 0.5, "relight")
    assert torch.equal(scene["samples"], sampled(ours, latent, masks))


def test_the_model_s_options_are_left_as_they_were():
    net = model("EPS").clone()
    outputs(net, random_latent(), subject_matte=SUBJECT, anchor_strength=0.5, num_seeds=2)
    assert "sampler_post_cfg_function" not in net.model_options
    assert net.model_options == model("EPS").model_options


def test_all_optional_inputs_run_in_the_executor():
    given = to_run()
    given |= {
        "mask": MASK,
        "subject_matte": SUBJECT,
        "original_latent": {"samples": random_latent(seed=4)},
        "method": METHODS[0],
    }
    given |= {
        "reference_latent": {"samples": random_latent(seed=9)},
        "anchor_strength": 0.5,
        "anchor": "restyle",
        "num_seeds": 2,
    }
    ran = run_node("PhDHarmonizeSampler", **given, **SCHEDULE, **INNER, subject_only=True)
    assert ran.execution.model_calls["node"] == 2 * (3 + 2 * 2)
    scene, reference, changed = ran.values
    assert scene["samples"].shape == reference["samples"].shape == (1, 4, 8, 8) and changed.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"anchor_strength": float("nan")}, "anchor_strength is nan; it must be a number from 0.0 to 1.0."),
        ({"anchor_strength": 1.5}, "1.5"),
        ({"anchor": "relit"}, "relit"),
        ({"num_seeds": 0}, "num_seeds"),
        ({"num_seeds": 17}, "num_seeds"),
        (
            {"original_latent": {"samples": random_latent(height=8, width=12)}},
            "original_latent must be a latent of the scene's shape",
        ),
        ({"original_latent": {"samples": random_latent(batch=2)}}, "(1, 4, 8, 8); this one is (2, 4, 8, 8)"),
        ({"original_latent": {}}, "original_latent holds no samples"),
        ({"reference_positive": []}, "reference_positive is empty: connect a prompt"),
        (
            {"subject_matte": torch.ones(3, 64, 64), "anchor_strength": 0.5},
            "subject_matte has 3 items, but the latent has 1",
        ),
        ({"method": "plain", "latent": {"samples": random_latent(2), "batch_index": [3]}}, "batch_index names 1"),
    ],
)
def test_bad_input_is_named(changes, part):
    good = {"model": model("EPS"), "positive": prompt(1), "negative": prompt(2), "mask": MASK, **SCHEDULE, **INNER}
    good |= {"latent": {"samples": random_latent()}, "method": "masked Langevin"}
    assert part in refused("PhDHarmonizeSampler", **{**good, **changes})


@pytest.mark.parametrize(
    "name",
    [
        *("model", "positive", "negative", "latent", "mask", "reference_latent", "reference_positive", "subject_matte"),
        "original_latent",
    ],
)
def test_a_number_on_a_socket_is_named(name):
    good = {"model": model("EPS"), "positive": prompt(1), "negative": prompt(2), "mask": MASK, **SCHEDULE, **INNER}
    good |= {"latent": {"samples": random_latent()}, "anchor_strength": 0.5}
    assert refused("PhDHarmonizeSampler", **{**good, name: 5}).startswith(f"{name} is 5; connect ")
    if name in ("model", "positive", "negative", "latent"):
        assert refused("PhDHarmonizeSampler", **{**good, name: None}).startswith(f"{name} is None; connect ")


def test_an_unknown_anchor_is_refused_even_where_nothing_is_held():
    """ComfyUI 0.3.64 does not check a choice."""
    with pytest.raises(ValueError, match="anchor is 'relit'; it must be one of: relight, restyle."):
        harmonize(model("EPS"), random_latent(), MASK, anchor="relit")


@pytest.mark.parametrize("place", ["pre_cfg", "cfg", "post_cfg"])
def test_a_function_around_cfg_that_computes_over_the_batch_never_sees_the_reference(place):
    """As ComfyUI's Mahiro and VideoLinearCFGGuidance do; its RenormCFG raises for more than one item."""
    sizes, net = [], model("EPS").clone()

    def function(args):
        sizes.append(len(args["input"]))
        return args["conds_out"] if place == "pre_cfg" else args["denoised"]

    def cfg(args):
        sizes.append(len(args["input"]))
        return args["uncond"] + args["cond_scale"] * (args["cond"] - args["uncond"])

    if place == "cfg":
        net.set_model_sampler_cfg_function(cfg)
    else:
        getattr(net, f"set_model_sampler_{place}_function")(function)
    harmonize(net, random_latent(), MASK, random_latent(seed=8))
    assert set(sizes) == {1}
