"""PhDIdentityAnchor: a patch on any model, in any sampler, beside any other patch, without a memory of its own."""

import copy
import functools

import comfy.latent_formats
import comfy.samplers
import pytest
import torch
from node_support import block, module, prompt, random_latent, refused, run_node, tiny_model, tiny_wan
from sampler_support import FAMILIES, MASK, SCHEDULE, harmonize, inpaint, ksampler, model

import nodes as core
from devtools.executor import load_core_extras

# Half of the third column's cells.
SUBJECT = block(64, 64, 8, 20, 52, 52)
BANDS = ["relight", "restyle"]


@pytest.fixture(autouse=True)
def extras(registered):
    load_core_extras()


def anchor(net, latent, mask=SUBJECT, strength=1.0, band="restyle"):
    given = {"model": net, "latent": {"samples": latent}, "subject_matte": mask}
    return run_node("PhDIdentityAnchor", **given, strength=strength, anchor=band).values[0]


def patched(net, patch):
    """With another post-CFG patch."""
    net = net.clone()
    net.set_model_sampler_post_cfg_function(lambda args: patch(args["denoised"]))
    return net


def watched(net, seen):
    return patched(net, lambda denoised: seen.append(denoised.clone()) or denoised)


def cells_of(mask=SUBJECT, size=(8, 8)):
    return module("phd_ops.latents.mask_grid").share(mask, *size)[:, None]


def held(raw, own, subject, strength=1.0, band="restyle"):
    """What the formulas make of an estimate; `own` as the model has it."""
    own, subject = (x.expand(len(raw), *x.shape[1:]) for x in (own, subject))
    return module("phd_ops.latents.identity_anchor").anchored(raw, own, subject, strength, band)


def estimates(net, latent, run, **how):
    """Every estimate before and after the anchor, and what came of the run."""
    before, after = [], []
    out = run(watched(anchor(watched(net, before), latent, **how), after))
    assert before and len(before) == len(after)
    return before, after, out


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("band", BANDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_estimate_is_held_in_the_model_s_own_scale(family, band, cfg):
    own = random_latent(seed=5)
    how = {"strength": 0.7, "band": band}
    before, after, out = estimates(model(family), own, lambda net: ksampler(net, random_latent(), cfg=cfg), **how)
    assert len(before) == SCHEDULE["steps"]
    for raw, done in zip(before, after, strict=True):
        assert torch.equal(done, held(raw, 0.18215 * own, cells_of(), **how))
    torch.testing.assert_close(out, after[-1] / 0.18215, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(out, ksampler(model(family), random_latent(), cfg=cfg), atol=0.1)


class Shifted(comfy.latent_formats.LatentFormat):
    latent_channels = 32
    process_in = staticmethod(lambda latent: (latent - 1) * 0.37)
    process_out = staticmethod(lambda latent: latent / 0.37 + 1)


def test_a_latent_format_that_shifts_is_honored_too():
    net, own = tiny_model("FLOW", 32, Shifted()), random_latent(channels=32)
    before, after, _ = estimates(net, own, lambda net: ksampler(net, random_latent(seed=9, channels=32)))
    assert torch.equal(after[-1], held(before[-1], (own - 1) * 0.37, cells_of()))


@pytest.mark.parametrize("sampler_name", ["euler_ancestral", "heun", "dpmpp_2m", "dpmpp_sde", "uni_pc", "ddim", "lcm"])
def test_an_anchor_works_in_every_sampler(sampler_name):
    own = random_latent(seed=5)
    before, after, out = estimates(
        model("EPS"), own, lambda net: ksampler(net, random_latent(), steps=4, sampler_name=sampler_name)
    )
    for raw, done in zip(before, after, strict=True):
        assert torch.equal(done, held(raw, 0.18215 * own, cells_of()))
    assert out.isfinite().all()


def test_outside_the_subject_an_estimate_stays_to_the_bit():
    before, after, _ = estimates(model("EPS"), random_latent(seed=5), lambda net: ksampler(net, random_latent()))
    outside = (cells_of() == 0).expand_as(before[0])
    assert all(torch.equal(raw[outside], done[outside]) for raw, done in zip(before, after, strict=True))


def advanced(net, latent, mask, method="masked Langevin", seed=SCHEDULE["seed"]):
    """SamplerCustomAdvanced with Masked Langevin."""
    from comfy_extras.nodes_custom_sampler import Noise_RandomNoise

    guider = comfy.samplers.CFGGuider(net)
    guider.set_conds(prompt(1), prompt(2))
    guider.set_cfg(SCHEDULE["cfg"])
    loop = {"inner_steps": 2, "step_size": 1.0, "lambda_strength": 5.0, "jump_length": 1, "jump_count": 3}
    given = {
        "noise": Noise_RandomNoise(seed),
        "guider": guider,
        "sampler": run_node("PhDMaskedLangevin", method=method, sampler_name="euler", **loop).values[0],
        "sigmas": comfy.samplers.KSampler(net, 3, "cpu", "euler", SCHEDULE["scheduler"], 1.0).sigmas,
        "latent_image": core.SetLatentNoiseMask().set_mask({"samples": latent}, mask)[0],
    }
    return run_node("SamplerCustomAdvanced", **given).values[0]["samples"]


@pytest.mark.parametrize("method", ["masked Langevin", "soft mask", "RePaint"])
def test_an_anchor_works_behind_a_guider_with_masked_langevin(method, planned_calls):
    latent, own = random_latent(), random_latent(seed=5)
    before, after, out = estimates(model("EPS"), own, lambda net: advanced(net, latent, MASK, method))
    assert len(before) == 7
    for raw, done in zip(before, after, strict=True):
        assert torch.equal(done, held(raw, 0.18215 * own, cells_of()))
    known = (MASK[:, None, ::8, ::8] == 0).expand_as(out)
    torch.testing.assert_close(out[known], latent[known], rtol=2e-6, atol=2e-6)


def test_the_masked_loop_keeps_the_known_region_to_the_bit():
    latent = random_latent()
    out = inpaint(anchor(model("EPS"), latent), latent, MASK)
    known = (MASK[:, None, ::8, ::8] == 0).expand_as(out)
    assert torch.equal(out[known], latent[known])
    assert not torch.allclose(out, inpaint(model("EPS"), latent, MASK), atol=0.1)


RAMP = torch.linspace(0, 1, 8)[None, None].expand(1, 8, 8)


def differential_diffusion(net):
    return run_node("DifferentialDiffusion", model=net, strength=1.0).values[0]


@pytest.mark.parametrize(
    "run", [ksampler, inpaint, functools.partial(inpaint, method="plain")], ids=["KSampler", "ours", "plain"]
)
def test_differential_diffusion_composes_before_and_after(run):
    latent, own = random_latent(), random_latent(seed=5)
    inner, outer = anchor(differential_diffusion(model("EPS")), own), differential_diffusion(anchor(model("EPS"), own))
    out = run(inner, latent, RAMP, steps=5)
    assert torch.equal(out, run(outer, latent, RAMP, steps=5))
    # Both act.
    assert not torch.allclose(out, run(differential_diffusion(model("EPS")), latent, RAMP, steps=5), atol=0.1)
    assert not torch.allclose(out, run(anchor(model("EPS"), own), latent, RAMP, steps=5), atol=0.1)


def test_patches_after_guidance_work_in_the_order_in_which_they_were_put_on():
    own, seen, done = random_latent(seed=5), [], []
    first = watched(anchor(patched(watched(model("EPS"), seen), lambda x: 0.5 * x), own), done)
    ksampler(first, random_latent(), steps=1)
    assert torch.equal(done[0], held(0.5 * seen[0], 0.18215 * own, cells_of()))
    seen.clear(), done.clear()
    last = watched(patched(anchor(watched(model("EPS"), seen), own), lambda x: 0.5 * x), done)
    ksampler(last, random_latent(), steps=1)
    assert torch.equal(done[0], 0.5 * held(seen[0], 0.18215 * own, cells_of()))


def test_two_subjects_are_held_by_two_anchors():
    own, left, right = random_latent(seed=5), block(64, 64, 8, 0, 56, 24), block(64, 64, 8, 40, 56, 64)
    both = anchor(anchor(model("EPS"), own, left, band="relight"), own, right)
    seen, done = [], []
    ksampler(watched(both, done), random_latent(), steps=1)
    ksampler(watched(model("EPS"), seen), random_latent(), steps=1)
    one = held(seen[0], 0.18215 * own, cells_of(left), band="relight")
    assert torch.equal(done[0], held(one, 0.18215 * own, cells_of(right)))


def test_the_given_model_is_left_as_it_was_and_every_anchor_is_a_clone():
    net = patched(model("EPS"), lambda x: x)
    before, weights = copy.deepcopy(net.model_options), net.model
    clean = ksampler(net, random_latent())
    one, other = anchor(net, random_latent()), anchor(net, random_latent(seed=5))
    assert len({id(net), id(one), id(other)}) == 3 and one.model is other.model is weights
    ksampler(one, random_latent())
    assert net.model_options == before
    assert len(one.model_options["sampler_post_cfg_function"]) == 2
    assert torch.equal(ksampler(net, random_latent()), clean)


def test_an_anchor_keeps_no_state_of_a_run():
    net = anchor(model("EPS"), random_latent(seed=5))
    first = ksampler(net, random_latent())
    # Runs of another length, sampler, guidance and batch between two like ones.
    ksampler(net, random_latent(batch=3), steps=5, sampler_name="dpmpp_2m", cfg=1.0)
    inpaint(net, random_latent(seed=2), MASK)
    assert torch.equal(ksampler(net, random_latent()), first)


def test_calls_of_two_runs_may_take_turns():
    net = anchor(model("EPS"), random_latent(seed=5), strength=0.5)
    (patch,) = net.model_options["sampler_post_cfg_function"]
    runs = [
        [random_latent(batch, seed=10 * batch + step) for step in range(3)]
        for batch in (1, 3)
    ]  # fmt: skip

    def call(denoised):
        given = denoised.clone()
        done = patch({"denoised": given, "model": net.model, "sigma": torch.ones(len(given)), "uncond": None})
        assert torch.equal(given, denoised)
        return done

    alone = [[call(denoised) for denoised in run] for run in runs]
    turns = [(call(one), call(other)) for one, other in zip(*runs, strict=True)]
    for step, pair in enumerate(turns):
        assert all(torch.equal(done, alone[run][step]) for run, done in enumerate(pair))


def test_one_latent_serves_a_whole_batch():
    own, latents = random_latent(seed=5), random_latent(batch=3)
    out = ksampler(anchor(model("EPS"), own), latents)
    assert torch.equal(out, ksampler(anchor(model("EPS"), own.repeat(3, 1, 1, 1)), latents))


def test_each_item_is_held_by_its_own_latent_and_mask():
    own, latents = random_latent(batch=2, seed=5), random_latent(batch=2)
    masks = torch.cat([SUBJECT, torch.zeros_like(SUBJECT)])
    out = ksampler(anchor(model("EPS"), own, masks), latents)
    unheld = ksampler(model("EPS"), latents)
    assert torch.equal(out[1], unheld[1]) and not torch.allclose(out[0], unheld[0], atol=0.1)
    assert torch.equal(ksampler(anchor(model("EPS"), own[:1]), latents)[0], out[0])


def test_a_reference_beside_the_scenes_is_held_as_they_are():
    scenes, references = random_latent(batch=2, seed=1), random_latent(batch=2, seed=2)
    before, after, _ = estimates(
        model("EPS"), scenes, lambda net: harmonize(net, scenes, MASK, references, denoise=0.6), band="relight"
    )
    # One after the other: what a function around cfg holds for single items cannot be seen.
    for first in (0, len(before) // 2):
        assert len(before[first]) == 2
        assert torch.equal(after[first], held(before[first], 0.18215 * scenes, cells_of(), band="relight"))


@pytest.mark.parametrize(
    ("own", "sampled"),
    [
        (random_latent(), random_latent(height=8, width=12)),
        (random_latent(batch=2), random_latent(batch=3)),
        (random_latent(batch=3), random_latent(batch=1)),
    ],
    ids=["size", "batch", "one item of a batch"],
)
def test_another_latent_than_the_sampled_one_is_refused_with_both_sizes(own, sampled):
    net = anchor(model("EPS"), own)
    with pytest.raises(ValueError, match="Identity Anchor") as caught:
        ksampler(net, sampled)
    message = f"Identity Anchor holds a latent of {tuple(own.shape)}, but {tuple(sampled.shape)} is sampled: "
    assert str(caught.value) == message + "connect the latent that the sampler starts from."


@pytest.mark.parametrize("masks", [1, 3], ids=["one mask", "a mask a frame"])
def test_a_video_is_held_frame_by_frame(masks):
    own = random_latent(3, seed=5, channels=16).movedim(0, 1)[None]
    net = tiny_wan()
    mask = SUBJECT.repeat(masks, 1, 1) * torch.tensor([1.0, 0, 1])[:masks, None, None]
    before, after, _ = estimates(net, own, lambda net: ksampler(net, own.flip(2)), mask=mask)
    own = net.model.process_latent_in(own)
    for frame in range(3):
        raw, done = before[-1][:, :, frame], after[-1][:, :, frame]
        cells = cells_of(mask[min(frame, masks - 1)][None])
        assert torch.equal(done, held(raw, own[:, :, frame], cells))
        assert torch.equal(done, raw) == (masks == 3 and frame == 1)


def test_a_mask_of_another_size_and_a_latent_of_half_precision_work():
    own = random_latent(seed=5)
    small = anchor(model("EPS"), own.half(), SUBJECT[:, ::4, ::4])
    fine = ksampler(anchor(model("EPS"), own.half().float()), random_latent())
    torch.testing.assert_close(ksampler(small, random_latent()), fine, rtol=1e-3, atol=1e-3)


def test_an_empty_mask_passes_the_model_through_with_a_warning(caplog):
    net = model("EPS")
    assert anchor(net, random_latent(), torch.zeros(1, 64, 64)) is net
    assert "The subject_matte is empty" in caplog.text


def test_strength_0_passes_the_model_through():
    net = model("EPS")
    assert anchor(net, random_latent(), strength=0.0) is net


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"strength": float("nan")}, "strength is nan; it must be a number from 0.0 to 1.0."),
        ({"strength": 1.5}, "1.5"),
        ({"strength": -0.5}, "-0.5"),
        ({"anchor": "relit"}, "relit"),
        ({"subject_matte": torch.ones(3, 64, 64)}, "subject_matte has 3 items, but the latent has 1"),
        ({"subject_matte": torch.ones(1, 3, 64, 64)}, "subject_matte: A mask must be [H,W]"),
        ({"latent": {}}, "latent holds no samples"),
        ({"latent": {"samples": [1, 2]}}, "latent is [1, 2]; connect a LATENT to it."),
        ({"latent": 5}, "latent is 5; connect a LATENT to it."),
        ({"model": None}, "model is None; connect a MODEL to it."),
        ({"subject_matte": None}, "subject_matte is None; connect a MASK to it."),
        ({"latent": {"samples": torch.ones(1, 16, 8, 8)}}, "latent has 16 channels, but the model works on 4"),
        ({"latent": {"samples": torch.ones(1, 4, 3, 8, 8)}}, "a video; this model works on images"),
    ],
)
def test_bad_input_is_named(changes, part):
    good = {"model": model("EPS"), "latent": {"samples": random_latent()}, "subject_matte": SUBJECT}
    assert part in refused("PhDIdentityAnchor", **{**good, **changes})


def test_an_unknown_anchor_is_refused_by_the_node_itself():
    """ComfyUI 0.3.64 does not check a choice."""
    node = module("nodes.identity_anchor").PhDIdentityAnchor
    with pytest.raises(ValueError, match="anchor is 'relit'; it must be one of: relight, restyle."):
        node.execute(model("EPS"), {"samples": random_latent()}, SUBJECT, anchor="relit")
