"""The loop as a SAMPLER: in SamplerCustomAdvanced, with every guider, through ComfyUI's real executor."""

import copy

import comfy.model_management
import comfy.sample
import comfy.samplers
import pytest
import torch
from node_support import module, prompt, random_latent, refused, run_node
from sampler_support import FAMILIES, MASK, SCHEDULE, cells, inpaint, ksampler, model, quick_model

import nodes as core
from devtools.executor import WorkflowError, load_core_extras

LOOP = {"inner_steps": 2, "step_size": 1.0, "lambda_strength": 5.0, "jump_length": 1, "jump_count": 3}
METHODS = ["masked Langevin", "soft mask", "RePaint"]


@pytest.fixture(autouse=True)
def extras(registered):
    load_core_extras()


class Noise:
    """As RandomNoise gives it."""

    def __init__(self, seed=SCHEDULE["seed"]):
        self.seed = seed

    def generate_noise(self, latent):
        return comfy.sample.prepare_noise(latent["samples"], self.seed, latent.get("batch_index"))


def masked_langevin(method="masked Langevin", sampler_name="euler", **changes):
    return run_node("PhDMaskedLangevin", method=method, sampler_name=sampler_name, **{**LOOP, **changes}).values[0]


def sigmas_of(net, steps=SCHEDULE["steps"], denoise=1.0):
    return comfy.samplers.KSampler(net, steps, "cpu", "euler", SCHEDULE["scheduler"], denoise).sigmas


def cfg_guider(net, cfg=SCHEDULE["cfg"]):
    guider = comfy.samplers.CFGGuider(net)
    guider.set_conds(prompt(1), prompt(2))
    guider.set_cfg(cfg)
    return guider


def basic_guider(net):
    from comfy_extras.nodes_custom_sampler import Guider_Basic

    guider = Guider_Basic(net)
    guider.set_conds(prompt(1))
    return guider


def dual_guider(net, nested=False):
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    guider = Guider_DualCFG(net)
    guider.set_conds(prompt(1), prompt(3), prompt(2))
    guider.set_cfg(2.0, 1.5, nested=nested)
    return guider


def nested_guider(net):
    return dual_guider(net, nested=True)


class OwnGuider(comfy.samplers.CFGGuider):
    """As third-party guiders are: conditions under names of their own, an estimate of its own."""

    def set_conds(self, conditioning):
        self.inner_set_conds({"mine": conditioning})

    def predict_noise(self, x, timestep, model_options={}, seed=None):
        (mine,) = comfy.samplers.calc_cond_batch(self.inner_model, [self.conds["mine"]], x, timestep, model_options)
        return mine


def own_guider(net):
    guider = OwnGuider(net)
    guider.set_conds(prompt(1))
    return guider


def inputs(net, latent, mask=MASK, guider=cfg_guider, sampler=None, sigmas=None):
    latent = {"samples": latent}
    if mask is not None:
        (latent,) = core.SetLatentNoiseMask().set_mask(latent, mask)
    return {
        "noise": Noise(),
        "guider": guider(net),
        "sampler": sampler or masked_langevin(),
        "sigmas": sigmas_of(net) if sigmas is None else sigmas,
        "latent_image": latent,
    }


def run(*args, on_progress=None, **kwargs):
    return run_node("SamplerCustomAdvanced", on_progress=on_progress, **inputs(*args, **kwargs))


def sampled(*args, **kwargs):
    return run(*args, **kwargs).values[0]["samples"]


@pytest.mark.parametrize("family", FAMILIES)
def test_masked_langevin_is_the_sampler_of_masked_inpaint_sampler(family):
    latent, outside = random_latent(), ~cells(MASK).expand(1, 4, 8, 8)
    alone, node = sampled(model(family), latent), inpaint(model(family), latent, MASK)
    torch.testing.assert_close(alone, node, rtol=1e-6, atol=1e-6)
    assert torch.equal(alone[~outside], node[~outside])


def test_latents_of_16_bits_are_sampled_in_32():
    net, sampler = model("EPS"), masked_langevin(inner_steps=2)
    (latent,) = core.SetLatentNoiseMask().set_mask({"samples": random_latent().half()}, MASK)
    sigmas = comfy.samplers.KSampler(net, 2, "cpu", "euler", "simple", 1.0).sigmas
    given = {"positive": prompt(1), "negative": prompt(2), "sigmas": sigmas, "latent_image": latent}
    done = run_node("SamplerCustom", model=net, add_noise=True, noise_seed=1, cfg=1.0, sampler=sampler, **given)
    assert done.values[0]["samples"].isfinite().all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("guider", [cfg_guider, basic_guider, dual_guider, nested_guider, own_guider])
def test_every_guider_works(guider, method):
    latent = random_latent()
    out = sampled(model("EPS"), latent, guider=guider, sampler=masked_langevin(method))
    inside = cells(MASK).expand_as(out)
    torch.testing.assert_close(out[~inside], latent[~inside], rtol=2e-6, atol=2e-6)
    assert out.isfinite().all() and not torch.allclose(out[inside], latent[inside], atol=0.1)


def test_masked_langevin_without_inner_steps_is_the_guider_s_own_euler():
    for guider in (cfg_guider, basic_guider, dual_guider, own_guider):
        ours = sampled(model("EPS"), random_latent(), guider=guider, sampler=masked_langevin(inner_steps=0))
        euler = comfy.samplers.sampler_object("euler")
        theirs = sampled(model("EPS"), random_latent(), guider=guider, sampler=euler)
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sampler_name", ["euler", "dpmpp_2m"])
def test_masked_langevin_without_a_noise_mask_is_plain_sampling(family, sampler_name, model_calls):
    latent = random_latent()
    ours = sampled(model(family), latent, mask=None, sampler=masked_langevin(sampler_name=sampler_name))
    assert len(model_calls) == SCHEDULE["steps"]
    torch.testing.assert_close(ours, ksampler(model(family), latent, sampler_name=sampler_name), rtol=1e-3, atol=1e-3)


def test_an_empty_mask_gives_the_latent_back_and_runs_no_model(model_calls):
    latent = random_latent()
    for method in METHODS:
        out = sampled(model("EPS"), latent, mask=torch.zeros(1, 64, 64), sampler=masked_langevin(method))
        torch.testing.assert_close(out, latent, rtol=2e-6, atol=2e-6)
    assert not model_calls


@pytest.mark.parametrize(
    ("method", "calls"), [("masked Langevin", 3 + 2 * 2), ("soft mask", 3 + 2 * 2), ("RePaint", 3 * 2 + 1)]
)
def test_progress_runs_over_all_calls(method, calls, model_calls):
    seen = []
    run(
        model("EPS"),
        random_latent(),
        sampler=masked_langevin(method),
        on_progress=lambda node, done, total: seen.append((done, total)) if node == "node" else None,
    )
    assert len(model_calls) == calls
    done = [done for done, total in seen if total == calls]
    assert done == sorted(done) and done[-1] == calls


def test_the_denoised_output_has_the_known_region_in_it():
    denoised = run(model("EPS"), random_latent()).values[1]["samples"]
    outside = ~cells(MASK).expand_as(denoised)
    torch.testing.assert_close(denoised[outside], random_latent()[outside], rtol=2e-6, atol=2e-6)


def differential_diffusion(net, strength=1.0):
    """ComfyUI's own node."""
    return run_node("DifferentialDiffusion", model=net, strength=strength).values[0]


# From 0 to 1 across the latent, one step a column.
RAMP = torch.linspace(0, 1, 8)[None, None].repeat_interleave(8, -1).expand(1, 64, 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_soft_mask_is_comfyui_s_differential_diffusion_where_both_may_change_a_cell(family):
    """Its node lets even a mask of 0 change in the last step; ours never does."""
    # From less than pure noise, to which ComfyUI gives a fifth of a percent more.
    latent, schedule = random_latent(), {"steps": 6, "scheduler": "normal", "denoise": 0.7}
    grid = RAMP[..., ::8, ::8]
    core_s = ksampler(differential_diffusion(model(family)), latent, grid, **schedule)
    ours = inpaint(model(family), latent, RAMP, method="soft mask", inner_steps=0, **schedule)
    torch.testing.assert_close(ours[..., 1:], core_s[..., 1:], rtol=1e-3, atol=5e-3)
    plain = inpaint(differential_diffusion(model(family)), latent, RAMP, method="plain", **schedule)
    assert torch.equal(plain, core_s)
    assert torch.equal(ours[..., 0], latent[..., 0])


@pytest.mark.parametrize("inner_steps", [0, 2])
def test_comfyui_s_differential_diffusion_on_the_model_composes(inner_steps, model_calls):
    latent = random_latent()
    changed = differential_diffusion(model("EPS"))
    hooked = inpaint(changed, latent, RAMP, method="masked Langevin", inner_steps=inner_steps, steps=5)
    calls = len(model_calls)
    own = inpaint(model("EPS"), latent, RAMP, method="soft mask", inner_steps=inner_steps, steps=5)
    assert torch.equal(hooked, own)
    assert calls == len(model_calls) - calls == 5 + 4 * inner_steps
    assert torch.equal(inpaint(changed, latent, RAMP, method="soft mask", inner_steps=inner_steps, steps=5), own)
    assert not torch.allclose(own, inpaint(model("EPS"), latent, RAMP, inner_steps=inner_steps, steps=5), atol=0.1)


def test_comfyui_s_differential_diffusion_composes_behind_a_guider():
    latent, changed = random_latent(), differential_diffusion(model("EPS"))
    ours = sampled(changed, latent, mask=RAMP[..., ::8, ::8])
    torch.testing.assert_close(ours, inpaint(changed, latent, RAMP), rtol=1e-5, atol=1e-5)


def test_a_mask_that_a_function_blends_is_rounded():
    """At half strength ComfyUI's node mixes known and new noise; here the greater part decides."""
    seen, net = [], differential_diffusion(model("EPS"), strength=0.5)
    net.set_model_sampler_post_cfg_function(lambda args: (seen.append(args["input"].std().item()), args["denoised"])[1])
    out = inpaint(net, random_latent(batch=1), RAMP, steps=5)
    assert out.isfinite().all()
    assert torch.equal(out[..., 0], random_latent()[..., 0])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_schedule_in_two_parts_leaves_the_known_region_at_its_level(family):
    """As KSampler does, the known part carries its noise between the parts."""
    latent, outside = random_latent(), ~cells(MASK).expand(1, 4, 8, 8)
    first = sigmas_of(model(family), 6)[:3]
    ours = sampled(model(family), latent, sigmas=first)
    theirs = sampled(model(family), latent, sigmas=first, sampler=comfy.samplers.sampler_object("euler"))
    # ComfyUI makes the noise of a first level at the model's highest stronger by a fifth of a percent.
    torch.testing.assert_close(ours[outside], theirs[outside], rtol=1e-4, atol=0.1)


@pytest.mark.parametrize("sigmas", [torch.tensor([]), torch.tensor([1.0])])
def test_a_schedule_without_steps_runs_no_model(sigmas, model_calls):
    assert sampled(model("EPS"), random_latent(), sigmas=sigmas).isfinite().all()
    assert not model_calls


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_ends_the_run_within_one_call(method):
    calls, patched = [], model("EPS").clone()

    def wrapper(apply, arguments):
        calls.append(1)
        if len(calls) == 3:
            comfy.model_management.interrupt_current_processing()
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    patched.set_model_unet_function_wrapper(wrapper)
    before = copy.deepcopy(patched.model_options)
    with pytest.raises(WorkflowError, match="interrupted"):
        run(patched, random_latent(), sampler=masked_langevin(method))
    comfy.model_management.interrupt_current_processing(False)
    assert len(calls) == 3
    assert patched.model_options == before


@pytest.mark.parametrize("empty", ["cfg", "cfg, never set", "dual"])
def test_a_guider_without_a_positive_is_refused(empty):
    guider = dual_guider(model("EPS")) if empty == "dual" else comfy.samplers.CFGGuider(model("EPS"))
    if empty == "cfg":
        guider.set_conds([], prompt(2))
    elif empty == "dual":
        guider.set_conds([], prompt(3), prompt(2))
    message = refused("SamplerCustomAdvanced", **{**inputs(model("EPS"), random_latent()), "guider": guider})
    assert "positive is empty" in message and "connect a prompt" in message
    assert sampled(model("EPS"), random_latent()).isfinite().all()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"method": "plain"}, ["method", "plain", "RePaint"]),
        ({"sampler_name": "heun"}, ["sampler_name", "heun", "dpmpp_2m"]),
        ({"step_size": 0.0}, ["step_size", "0.0"]),
        ({"lambda_strength": -1.0}, ["lambda_strength", "-1.0"]),
        ({"inner_steps": -1}, ["inner_steps", "-1"]),
        ({"jump_length": 0}, ["jump_length", "0"]),
        ({"jump_count": 0}, ["jump_count", "0"]),
        ({"step_size": float("nan")}, ["step_size", "nan"]),
        ({"lambda_strength": float("nan")}, ["lambda_strength", "nan"]),
    ],
)
def test_bad_settings_are_named(changes, parts):
    message = refused("PhDMaskedLangevin", **{"method": "masked Langevin", "sampler_name": "euler", **LOOP, **changes})
    for part in parts:
        assert part in message


def test_items_have_seeds_of_their_own():
    """Two equal latents with equal initial noise come out unlike: the loop's noise is each item's own."""
    latent = random_latent()

    class Same(Noise):
        def generate_noise(self, latent):
            return super().generate_noise({"samples": latent["samples"][:1]}).expand_as(latent["samples"])

    given = inputs(model("EPS"), latent.repeat(2, 1, 1, 1))
    both = run_node("SamplerCustomAdvanced", **{**given, "noise": Same()}).values[0]["samples"]
    assert not torch.allclose(both[0], both[1], atol=0.1)
    torch.testing.assert_close(both[:1], sampled(model("EPS"), latent), rtol=1e-3, atol=1e-3)


def wrapping(sampler, kept=("inner_model", "sigmas", "latent_image", "noise"), change=1.0):
    """As samplers that wrap another do: its function gets a function in the model's place."""

    def wrapped(model, x, sigmas, **more):
        def changed(x, sigma, **extra):
            seen.append(extra.get("denoise_mask"))
            return model(x, change * sigma, **extra)

        seen = changed.seen = []
        for name in kept:
            setattr(changed, name, getattr(model, name))
        out = sampler.sampler_function(changed, x, sigmas, **more, **sampler.extra_options)
        assert seen and all(mask is None for mask in seen)
        return out

    return comfy.samplers.KSAMPLER(wrapped)


@pytest.mark.parametrize("method", METHODS)
def test_another_sampler_may_wrap_masked_langevin(method):
    ours = sampled(model("EPS"), random_latent(), sampler=wrapping(masked_langevin(method)))
    assert torch.equal(ours, sampled(model("EPS"), random_latent(), sampler=masked_langevin(method)))
    # Its change of the model's noise level acts.
    changed = sampled(model("EPS"), random_latent(), sampler=wrapping(masked_langevin(method), change=0.9))
    assert not torch.allclose(ours, changed, atol=0.01)


def test_a_wrapper_that_hides_the_latent_is_refused():
    with pytest.raises(WorkflowError, match="needs the model's latent_image and noise"):
        run(model("EPS"), random_latent(), sampler=wrapping(masked_langevin(), kept=("inner_model", "sigmas")))


def test_a_guider_s_model_options_are_left_as_they_were():
    net = model("EPS").clone()
    guider, before = cfg_guider(net), copy.deepcopy(net.model_options)
    run_node("SamplerCustomAdvanced", **{**inputs(net, random_latent()), "guider": guider})
    assert guider.model_options == before == net.model_options


def test_the_sampler_runs_twice_and_holds_no_state():
    sampler = masked_langevin()
    first = sampled(model("EPS"), random_latent(), sampler=sampler)
    assert torch.equal(sampled(model("EPS"), random_latent(), sampler=sampler), first)
    assert isinstance(sampler, comfy.samplers.KSAMPLER)
    assert vars(module("nodes.comfy_sampler").MaskedSampler(sampler.extra_options["settings"])) == vars(sampler)


@pytest.mark.parametrize("method", METHODS)
def test_a_noise_mask_whose_black_is_not_0_is_that_with_a_black_of_0(method):
    faint = torch.maximum(MASK, torch.tensor(2 / 255))
    ours, clean = (
        sampled(quick_model("EPS"), random_latent(), mask, sampler=masked_langevin(method)) for mask in (faint, MASK)
    )
    assert torch.equal(ours, clean)
