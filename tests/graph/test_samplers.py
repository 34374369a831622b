"""Both samplers on ComfyUI's own sampling stack, with a tiny real UNet, for every family of noise."""

import copy
import functools
import types

import comfy.model_management
import comfy.utils
import pytest
import torch
from graph_support import block, module, prompt, random_latent, refused, run_node, tiny_model

import nodes as core

FAMILIES = ["EPS", "V_PREDICTION", "FLOW"]
SCHEDULE = {"seed": 3, "steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}
INNER = {"inner_steps": 2, "step_size": 1.0, "guidance": 5.0}
# Two thirds of an 8×8 latent, on cell borders.
MASK = block(64, 64, 8, 8, 56, 48)


@functools.cache
def model(family, in_channels=4):
    return tiny_model(family, in_channels)


def cells(mask):
    return mask[:, None, ::8, ::8] > 0


def inpaint(model, latent, mask=None, method="masked Langevin", negative=None, **changes):
    node = module("nodes.samplers").PhDMaskedInpaintSampler
    latent = latent if isinstance(latent, dict) else {"samples": latent}
    settings = {**SCHEDULE, **INNER, **changes}
    out = node.execute(model, prompt(1), prompt(2), latent, method=method, mask=mask, **settings)
    return out.args[0]["samples"]


def harmonize(model, latent, mask=None, control=None, method="masked Langevin", **changes):
    node = module("nodes.samplers").PhDHarmonizeSampler
    settings = {**SCHEDULE, **INNER, **changes}
    control = None if control is None else {"samples": control}
    out = node.execute(
        model, prompt(1), prompt(2), {"samples": latent}, method=method, mask=mask, control=control, **settings
    )
    return [latent["samples"] for latent in out.args]


def ksampler(model, latent, mask=None, **changes):
    latent = {"samples": latent}
    if mask is not None:
        (latent,) = core.SetLatentNoiseMask().set_mask(latent, mask)
    settings = {**SCHEDULE, **changes}
    denoise = settings.pop("denoise")
    prompts = {"positive": prompt(1), "negative": prompt(2)}
    (out,) = core.common_ksampler(model, **settings, **prompts, latent=latent, denoise=denoise)
    return out["samples"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_plain_with_a_binary_mask_is_ksampler_to_the_bit(family, denoise):
    latent = random_latent(batch=2)
    ours = inpaint(model(family), latent, MASK, method="plain", denoise=denoise)
    assert torch.equal(ours, ksampler(model(family), latent, MASK, denoise=denoise))


@pytest.mark.parametrize("sampler_name", ["dpmpp_2m", "euler_ancestral", "dpm_2"])
def test_plain_is_ksampler_with_other_samplers_too(sampler_name):
    latent = random_latent()
    ours = inpaint(model("EPS"), latent, MASK, method="plain", sampler_name=sampler_name)
    assert torch.equal(ours, ksampler(model("EPS"), latent, MASK, sampler_name=sampler_name))


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_without_a_mask_is_plain_sampling_to_the_bit(family):
    latent = random_latent()
    assert torch.equal(inpaint(model(family), latent, method="plain"), ksampler(model(family), latent))


def test_the_harmonizer_s_plain_method_is_ksampler_too():
    scene, control = harmonize(model("EPS"), random_latent(), MASK, method="plain", denoise=0.6)
    assert torch.equal(scene, ksampler(model("EPS"), random_latent(), MASK, denoise=0.6))
    assert torch.equal(control, scene)


@pytest.mark.parametrize("family", FAMILIES)
def test_langevin_without_a_mask_is_euler_and_takes_no_inner_steps(family, model_calls):
    latent = random_latent()
    ours = inpaint(model(family), latent)
    assert len(model_calls) == SCHEDULE["steps"]
    torch.testing.assert_close(ours, ksampler(model(family), latent), rtol=1e-4, atol=1e-4)


def test_langevin_without_inner_steps_is_euler_with_a_noise_mask():
    latent = random_latent()
    ours = inpaint(model("EPS"), latent, MASK, inner_steps=0)
    torch.testing.assert_close(ours, ksampler(model("EPS"), latent, MASK), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["masked Langevin", "plain"])
def test_an_empty_mask_gives_the_latent_back_and_runs_no_model(method, model_calls, caplog):
    latent = random_latent()
    assert torch.equal(inpaint(model("EPS"), latent, torch.zeros(1, 64, 64), method=method), latent)
    assert not model_calls
    assert "mask is empty" in caplog.text


def test_no_denoising_gives_the_latent_back(model_calls):
    latent = random_latent()
    assert torch.equal(inpaint(model("EPS"), latent, MASK, denoise=0.0), latent)
    assert not model_calls


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("method", "tolerance"), [("masked Langevin", 2e-6), ("plain", 1e-4)])
def test_known_latents_come_back(family, method, tolerance):
    """Langevin: exactly, but for the rounding of ComfyUI's scaling in and out. Plain: as near as its euler step is."""
    latent = random_latent()
    out = inpaint(model(family), latent, MASK, method=method)
    base = model(family).model
    scaled = base.process_latent_out(base.process_latent_in(latent))
    known = ~cells(MASK).expand_as(latent)
    if method == "masked Langevin":
        assert torch.equal(out[known], scaled[known])
    torch.testing.assert_close(out[known], latent[known], rtol=tolerance, atol=tolerance)
    assert not torch.allclose(out[~known], latent[~known], atol=0.1)


def test_a_pixel_s_whole_latent_cell_may_change():
    mask = block(64, 64, 15, 15, 17, 17)
    latent = random_latent()
    changed = (inpaint(model("EPS"), latent, mask) - latent).abs().amax(1) > 1e-3
    assert changed.nonzero().tolist() == [[0, 1, 1], [0, 1, 2], [0, 2, 1], [0, 2, 2]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_result(family):
    first, second = (inpaint(model(family), random_latent(), MASK) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, inpaint(model(family), random_latent(), MASK, seed=4))


def test_the_largest_seed_works():
    assert inpaint(model("EPS"), random_latent(batch=2), MASK, seed=2**64 - 1).isfinite().all()


def test_the_latent_s_own_noise_mask_serves_where_no_mask_is_given():
    (latent,) = core.SetLatentNoiseMask().set_mask({"samples": random_latent()}, MASK)
    assert torch.equal(inpaint(model("EPS"), latent), inpaint(model("EPS"), random_latent(), MASK))


def test_the_noise_mask_does_not_go_on():
    node = module("nodes.samplers").PhDMaskedInpaintSampler
    latent = {"samples": random_latent(), "noise_mask": MASK[:, None], "batch_index": [0]}
    out = node.execute(model("EPS"), prompt(1), prompt(2), latent, method="plain", **SCHEDULE, **INNER).args[0]
    assert set(out) == {"samples", "batch_index"}
    assert set(latent) == {"samples", "noise_mask", "batch_index"}


def test_items_of_a_batch_do_not_depend_on_each_other():
    one, two = random_latent(seed=1), random_latent(seed=2)
    alone = inpaint(model("EPS"), one, MASK)
    together = inpaint(model("EPS"), torch.cat([one, two]), MASK)
    torch.testing.assert_close(together[:1], alone, rtol=1e-3, atol=1e-3)


def test_each_item_of_a_batch_may_have_its_own_mask():
    latent = random_latent(batch=2)
    masks = torch.cat([MASK, torch.zeros_like(MASK)])
    out = inpaint(model("EPS"), latent, masks)
    torch.testing.assert_close(out[1], latent[1], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(out[0], latent[0], atol=0.1)


def test_flow_from_pure_noise_is_finite():
    assert inpaint(model("FLOW"), random_latent(), MASK, denoise=1.0, scheduler="simple").isfinite().all()
    assert inpaint(model("FLOW"), torch.zeros(1, 4, 8, 8), None, denoise=1.0).isfinite().all()


def test_an_inpaint_model_of_nine_channels_runs():
    unet = model("EPS", 9)
    out = inpaint(unet, random_latent(), MASK)
    assert out.isfinite().all()
    latent = random_latent()
    assert torch.equal(inpaint(unet, latent, MASK, method="plain"), ksampler(unet, latent, MASK))


def test_model_calls_are_those_that_the_tooltip_says(model_calls):
    inpaint(model("EPS"), random_latent(), MASK, steps=4, inner_steps=3)
    assert len(model_calls) == 4 + 3 * 3


def test_odd_latent_sizes_run():
    mask = block(60, 100, 10, 10, 40, 70)
    for method in ("masked Langevin", "plain"):
        assert inpaint(model("EPS"), random_latent(height=8, width=12), mask, method=method).shape == (1, 4, 8, 12)


def marked(family):
    """A clone with options of its own, so that there is something to leave unchanged."""
    clone = model(family).clone()
    clone.set_model_sampler_post_cfg_function(lambda args: args["denoised"])
    clone.model_options["transformer_options"]["mine"] = {"weight": 1.0}
    return clone


def test_the_model_s_options_are_left_as_they_were():
    patched = marked("EPS")
    before, keys = copy.deepcopy(patched.model_options), set(vars(patched.model))
    inpaint(patched, random_latent(), MASK)
    harmonize(patched, random_latent(), MASK, random_latent(seed=9))
    assert patched.model_options == before
    assert set(vars(patched.model)) == keys


def test_the_model_s_options_are_left_as_they_were_after_a_failure():
    patched = marked("EPS")

    def failing(apply, arguments):
        raise RuntimeError("the model broke")

    patched.set_model_unet_function_wrapper(failing)
    before = copy.deepcopy(patched.model_options)
    with pytest.raises(RuntimeError, match="the model broke"):
        inpaint(patched, random_latent(), MASK)
    assert patched.model_options == before
    assert inpaint(model("EPS"), random_latent(), MASK).isfinite().all()


@pytest.fixture
def interrupting():
    """A model that asks for an interrupt in its second call, and the calls it got."""
    calls = []
    patched = model("EPS").clone()

    def wrapper(apply, arguments):
        calls.append(1)
        if len(calls) == 2:
            comfy.model_management.interrupt_current_processing()
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    patched.set_model_unet_function_wrapper(wrapper)
    yield patched, calls
    comfy.model_management.interrupt_current_processing(False)


def test_an_interrupt_is_passed_on_before_the_next_call(interrupting):
    patched, calls = interrupting
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        inpaint(patched, random_latent(), MASK, steps=10)
    assert len(calls) == 2


@pytest.mark.parametrize("method", ["masked Langevin", "plain"])
def test_an_interrupt_ends_the_run_in_the_executor(interrupting, method):
    patched, calls = interrupting
    given = {"latent": {"samples": random_latent()}, "mask": MASK, "method": method}
    prompts = {"positive": prompt(1), "negative": prompt(2)}
    with pytest.raises(Exception, match="interrupted"):
        run_node("PhDMaskedInpaintSampler", model=patched, **prompts, **given, **SCHEDULE, **INNER)
    assert len(calls) == 2


def run_in_executor(kind, **more):
    given = {"model": model("EPS"), "positive": prompt(1), "negative": prompt(2), "mask": MASK}
    given |= {"latent": {"samples": random_latent()}, "method": "masked Langevin", **SCHEDULE, **INNER}
    return run_node(kind, **given, **more)


def test_progress_runs_over_all_calls():
    seen = []
    run_in_executor(
        "PhDMaskedInpaintSampler",
        on_progress=lambda node, done, total: seen.append((done, total)) if node == "node" else None,
    )
    calls = SCHEDULE["steps"] + (SCHEDULE["steps"] - 1) * INNER["inner_steps"]
    steps = [done for done, total in seen if total == calls]
    assert steps == sorted(steps)
    assert steps[-1] == calls


def test_both_samplers_run_in_the_executor():
    for kind, slots in (("PhDMaskedInpaintSampler", 1), ("PhDHarmonizeSampler", 2)):
        ran = run_in_executor(kind)
        assert len(ran.values) == slots
        assert ran.execution.model_calls["node"] == 3 + 2 * 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["masked Langevin", "plain"])
def test_a_control_equal_to_the_scene_comes_out_equal(family, method):
    latent = random_latent()
    scene, control = harmonize(model(family), latent, MASK, latent, method=method, denoise=0.6)
    assert torch.equal(scene, control)


def test_a_control_does_not_change_the_scene_s_result(model_calls):
    latent = random_latent()
    alone, _ = harmonize(model("EPS"), latent, MASK, denoise=0.6)
    calls = len(model_calls)
    scene, control = harmonize(model("EPS"), latent, MASK, random_latent(seed=9), denoise=0.6)
    assert len(model_calls) == 2 * calls
    torch.testing.assert_close(scene, alone, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(scene, control, atol=0.1)


def test_a_batch_with_controls_keeps_its_order():
    scenes, controls = random_latent(batch=2, seed=1), random_latent(batch=2, seed=2)
    masks = torch.cat([MASK, torch.zeros_like(MASK)])
    scene, control = harmonize(model("EPS"), scenes, masks, controls, denoise=0.6)
    torch.testing.assert_close(scene[1], scenes[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(control[1], controls[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["PhDMaskedInpaintSampler", "PhDHarmonizeSampler"])
@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mask": torch.ones(3, 64, 64), "latent": {"samples": random_latent(2)}}, ["mask has 3", "latent has 2"]),
        ({"mask": torch.ones(1, 2, 64, 64)}, ["mask", "(1, 2, 64, 64)", "[B,H,W]"]),
        ({"latent": {"samples": torch.ones(1, 16, 8, 8)}}, ["latent has 16 channels", "4", "VAE"]),
        ({"method": "diffrential"}, ["method", "diffrential", "plain"]),
        ({"sampler_name": "eulr"}, ["sampler_name", "eulr"]),
        ({"scheduler": "nrmal"}, ["scheduler", "nrmal"]),
        ({"steps": 0}, ["steps", "0"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_inputs_are_named(kind, changes, told):
    good = {
        "model": model("EPS"),
        "positive": prompt(1),
        "negative": prompt(2),
        "latent": {"samples": random_latent()},
        "mask": MASK,
        "method": "masked Langevin",
        **SCHEDULE,
        **INNER,
    }
    message = refused(kind, **{**good, **changes})
    for part in told:
        assert part in message
    assert run_node(kind, **good).values[0]["samples"].isfinite().all()


def test_a_latent_of_several_tensors_is_refused():
    nested = types.SimpleNamespace(is_nested=True)
    with pytest.raises(ValueError, match="latent holds several tensors"):
        inpaint(model("EPS"), {"samples": nested}, MASK)


@pytest.mark.parametrize("shape", [(1, 4, 8, 12), (2, 4, 8, 8), (1, 16, 8, 8)])
def test_a_control_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="control must be") as caught:
        harmonize(model("EPS"), random_latent(), MASK, torch.ones(shape))
    assert "(1, 4, 8, 8)" in str(caught.value) and str(shape) in str(caught.value)
