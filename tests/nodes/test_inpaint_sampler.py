"""Both samplers on ComfyUI's own sampling stack, with a tiny real UNet, for every family of noise."""

import copy
import functools
import gc
import re
import types

import comfy.cli_args
import comfy.model_management
import comfy.utils
import latent_preview
import pytest
import torch
from node_support import ROOT, block, module, prompt, random_latent, refused, run_node
from sampler_support import (
    FAMILIES,
    INNER,
    MASK,
    METHODS,
    SCHEDULE,
    cells,
    harmonize,
    inpaint,
    ksampler,
    model,
    quick_model,
)

import nodes as core


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("denoise", [1.0, 0.5])
def test_plain_with_a_binary_mask_is_ksampler_to_the_bit(family, denoise):
    latent = random_latent(batch=2)
    ours = inpaint(model(family), latent, MASK, method="plain", denoise=denoise)
    assert torch.equal(ours, ksampler(model(family), latent, MASK, denoise=denoise))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("method", ["masked Langevin", "soft mask", "RePaint"])
def test_latents_of_16_bits_are_sampled_as_those_of_32(method, dtype):
    latent = random_latent().to(dtype)
    short = {"steps": 2, "scheduler": "simple", "cfg": 1.0}
    sampled = inpaint(model("EPS"), latent, MASK, method=method, **short)
    known = ~cells(MASK).expand_as(sampled)
    assert sampled.isfinite().all() and torch.equal(sampled[known], latent.float()[known])
    scene, reference = harmonize(model("EPS"), latent, MASK, (2 * latent).to(dtype), method=method, **short)
    assert scene.isfinite().all() and reference.isfinite().all()


@pytest.mark.parametrize("sampler_name", ["dpmpp_2m", "euler_ancestral", "dpm_2"])
def test_plain_is_ksampler_with_other_samplers_too(sampler_name):
    latent = random_latent()
    ours = inpaint(model("EPS"), latent, MASK, method="plain", sampler_name=sampler_name)
    assert torch.equal(ours, ksampler(model("EPS"), latent, MASK, sampler_name=sampler_name))


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_without_a_mask_is_plain_sampling_to_the_bit(family):
    latent = random_latent()
    assert torch.equal(inpaint(model(family), latent, method="plain"), ksampler(model(family), latent))


def test_harmonize_sampler_s_plain_method_is_ksampler():
    scene, reference = harmonize(model("EPS"), random_latent(), MASK, method="plain", denoise=0.6)
    assert torch.equal(scene, ksampler(model("EPS"), random_latent(), MASK, denoise=0.6))
    assert torch.equal(reference, scene)


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


@pytest.mark.parametrize("method", METHODS)
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
@pytest.mark.parametrize("method", METHODS)
def test_known_cells_are_returned(family, method):
    """Exactly; with plain as near as the rounding of ComfyUI's scaling in and out, and its last euler step, come."""
    latent = random_latent()
    out = inpaint(model(family), latent, MASK, method=method)
    known = ~cells(MASK).expand_as(latent)
    if method == "plain":
        torch.testing.assert_close(out[known], latent[known], rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(out[known], latent[known])
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


def test_without_a_mask_the_latent_s_own_noise_mask_is_used():
    (latent,) = core.SetLatentNoiseMask().set_mask({"samples": random_latent()}, MASK)
    assert torch.equal(inpaint(model("EPS"), latent), inpaint(model("EPS"), random_latent(), MASK))


def test_the_noise_mask_is_not_passed_on():
    node = module("nodes.inpaint_sampler").PhDMaskedInpaintSampler
    latent = {"samples": random_latent(), "noise_mask": MASK[:, None], "batch_index": [0]}
    out = node.execute(model("EPS"), prompt(1), prompt(2), latent, method="plain", **SCHEDULE, **INNER).args[0]
    assert set(out) == {"samples", "batch_index"}
    assert set(latent) == {"samples", "noise_mask", "batch_index"}


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral"])
@pytest.mark.parametrize("method", METHODS[:-1])
def test_item_i_of_a_batch_is_the_same_item_alone(method, sampler_name):
    """Alone: as LatentFromBatch takes it out of its batch, with batch_index i."""
    latents, how = random_latent(batch=3, seed=1), {"method": method, "sampler_name": sampler_name, "seed": 40}
    batched = inpaint(model("EPS"), latents, MASK, **how)
    for i in range(3):
        item = latents[i : i + 1]
        alone = inpaint(model("EPS"), {"samples": item, "batch_index": [i]}, MASK, **how)
        torch.testing.assert_close(batched[i : i + 1], alone, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(batched[0], batched[1], atol=0.1)


@pytest.mark.parametrize("sampler_name", ["euler_ancestral", "dpmpp_2m", "heun"])
@pytest.mark.parametrize("method", METHODS[:-1])
def test_an_item_that_may_change_as_a_whole_is_the_same_beside_others(method, sampler_name):
    latents, how = random_latent(batch=3, seed=1), {"method": method, "sampler_name": sampler_name, "seed": 40}
    masks = torch.cat([MASK, torch.ones_like(MASK), MASK.flip(-1)])
    batched = inpaint(model("EPS"), latents, masks, **how)
    for i in range(3):
        alone = inpaint(model("EPS"), {"samples": latents[i : i + 1], "batch_index": [i]}, masks[i : i + 1], **how)
        torch.testing.assert_close(batched[i : i + 1], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_next_seed_shares_no_item_with_this_one(method):
    latent = random_latent().repeat(4, 1, 1, 1)
    first, second = (inpaint(model("EPS"), latent, MASK, method=method, seed=seed) for seed in (1, 2))
    assert not any(torch.allclose(a, b, atol=0.1) for a in first for b in second)


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


def test_model_calls_are_those_that_the_tooltip_states(model_calls):
    inpaint(model("EPS"), random_latent(), MASK, steps=4, inner_steps=3)
    assert len(model_calls) == 4 + 3 * 3


def test_repaint_s_model_calls_grow_with_its_jumps(model_calls):
    inpaint(model("EPS"), random_latent(), MASK, steps=8, method="RePaint", jump_length=2, jump_count=3)
    assert len(model_calls) == 3 * 6 + 2


PRESETS = [
    (inpaint, "fast", 28),
    (inpaint, "balanced", 55),
    (inpaint, "best", 115),
    (harmonize, "fast", 10),
    (harmonize, "balanced", 17),
    (harmonize, "best", 36),
]


@pytest.mark.parametrize(("run", "preset", "calls"), PRESETS)
@pytest.mark.parametrize("family", ["EPS", "FLOW"])
def test_a_preset_makes_the_model_calls_that_it_states(run, preset, calls, family, model_calls, messages):
    denoise = 1.0 if run is inpaint else 0.6
    run(quick_model(family), random_latent(), MASK, preset=preset, scheduler="simple", denoise=denoise)
    assert len(model_calls) == calls
    assert messages == [f"masked Langevin: {calls} model calls."]


@pytest.mark.parametrize(("run", "preset", "calls"), PRESETS)
@pytest.mark.parametrize(
    ("method", "scheduler"), [("RePaint", "simple"), ("RePaint", "ddim_uniform"), ("masked Langevin", "ddim_uniform")]
)
def test_a_preset_never_makes_more_calls_than_it_states(run, preset, calls, method, scheduler, model_calls):
    run(quick_model("EPS"), random_latent(), MASK, preset=preset, method=method, scheduler=scheduler)
    assert calls / 2 < len(model_calls) <= calls
    assert method == "RePaint" or len(model_calls) == calls


@pytest.mark.parametrize(("run", "preset", "calls"), PRESETS)
def test_the_tooltip_and_the_help_page_state_a_preset_s_calls(run, preset, calls, pack):
    kind = "PhDMaskedInpaintSampler" if run is inpaint else "PhDHarmonizeSampler"
    (tooltip,) = (item.tooltip for item in pack[kind].GET_SCHEMA().inputs if item.id == "preset")
    page = (ROOT / "web" / "docs" / f"{kind}.md").read_text(encoding="utf-8")
    assert f"{preset} " in tooltip and f"({calls} model calls)" in tooltip
    (row,) = (line for line in page.splitlines() if line.startswith(f"| `{preset}` |"))
    assert f"| {calls} |" in row


def test_a_preset_sets_steps_and_inner_steps():
    apply, presets = module("nodes.sampler_inputs").apply_preset, module("nodes.sampler_inputs").INPAINT_PRESETS
    assert apply(presets, "custom", 3, 9) == (3, 9)
    assert apply(presets, "best", 3, 9) == (20, 5)


@pytest.mark.parametrize("kind", ["PhDMaskedInpaintSampler", "PhDHarmonizeSampler"])
def test_custom_starts_from_the_steps_of_the_default_preset(kind, pack):
    presets = module("nodes.sampler_inputs")
    chosen = presets.INPAINT_PRESETS if kind == "PhDMaskedInpaintSampler" else presets.HARMONIZE_PRESETS
    defaults = {item.id: getattr(item, "default", None) for item in pack[kind].GET_SCHEMA().inputs}
    assert (defaults["steps"], defaults["inner_steps"]) == chosen[defaults["preset"]]


def test_saved_calls_are_told(messages):
    """The untrained network errs too much for inner steps at every level."""
    inpaint(model("EPS"), random_latent(), MASK, steps=8, inner_steps=8)
    (planned,) = re.findall(r"masked Langevin: (\d+) model calls\.", "\n".join(messages))
    (saved,) = re.findall(r"^(\d+) model calls were saved: ", "\n".join(messages), re.MULTILINE)
    assert 0 < int(saved) < int(planned) == 8 + 7 * 8


@pytest.fixture
def messages(monkeypatch):
    """The messages that a sampler shows on its node."""
    texts = []
    monkeypatch.setattr(module("nodes.comfy_sampler"), "tell", texts.append)
    return texts


def test_a_workflow_from_before_the_presets_runs_as_it_did():
    """Over the API an input that is not given is not given to the node either."""
    old = {"model": model("EPS"), "positive": prompt(1), "negative": prompt(2), "latent": {"samples": random_latent()}}
    old |= {"mask": MASK, "method": "masked Langevin", **SCHEDULE, **INNER}
    assert torch.equal(
        run_node("PhDMaskedInpaintSampler", **old).values[0]["samples"], inpaint(model("EPS"), random_latent(), MASK)
    )


@pytest.mark.parametrize("sampler_name", ["heun", "uni_pc", "ddim"])
@pytest.mark.parametrize("method", METHODS[:-1])
def test_an_unsupported_base_sampler_is_named_and_euler_runs(method, sampler_name, caplog):
    out = inpaint(model("EPS"), random_latent(), MASK, method=method, sampler_name=sampler_name)
    assert out.isfinite().all()
    assert f"{method} does not support {sampler_name} and uses euler" in caplog.text


def test_base_samplers_differ():
    outs = [
        inpaint(model("EPS"), random_latent(), MASK, inner_steps=0, steps=5, sampler_name=name)
        for name in ("euler", "euler_ancestral", "dpmpp_2m")
    ]
    for i in range(3):
        assert not torch.allclose(outs[i], outs[i - 1], atol=0.1)


@pytest.mark.parametrize("family", ["EPS", "V_PREDICTION"])
def test_dpmpp_2m_without_inner_steps_is_comfyui_s(family):
    latent, how = random_latent(), {"steps": 6, "sampler_name": "dpmpp_2m", "denoise": 0.7}
    ours = inpaint(model(family), latent, MASK, inner_steps=0, **how)
    torch.testing.assert_close(ours, ksampler(model(family), latent, MASK, **how), rtol=1e-3, atol=1e-3)


PLAINLY_SAMPLED = {}


def plainly_sampled(family, sampler_name, model_calls):
    """What KSampler makes of a latent without a mask, and its model calls; sampled once."""
    if (family, sampler_name) not in PLAINLY_SAMPLED:
        latent = ksampler(model(family), random_latent(), sampler_name=sampler_name, scheduler="simple")
        PLAINLY_SAMPLED[family, sampler_name] = latent, len(model_calls)
    return PLAINLY_SAMPLED[family, sampler_name]


@pytest.mark.parametrize("sampler_name", ["euler", "euler_ancestral", "dpmpp_2m", "heun", "uni_pc", "ddim"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mask", [None, torch.ones(1, 64, 64)], ids=["no mask", "all ones"])
def test_where_nothing_is_known_every_method_is_plain_sampling_to_the_bit(
    mask, family, sampler_name, model_calls, messages
):
    latent, how = random_latent(), {"sampler_name": sampler_name, "scheduler": "simple"}
    wanted, calls = plainly_sampled(family, sampler_name, model_calls)
    for method in METHODS[:-1]:
        model_calls.clear()
        assert torch.equal(inpaint(model(family), latent, mask, method=method, **how), wanted)
        assert len(model_calls) == calls
    plain = f"runs as plain sampling with {sampler_name}."
    assert messages == [f"The whole latent may change, so {method} {plain}" for method in METHODS[:-1]]


def live_latents(run):
    """The most memory held in tensors of a latent's size while the model runs, in latents."""
    # Objects that are there already are not looked at again with every call.
    gc.freeze()
    latent, found = torch.randn(1, 4, 32, 32), []
    size, watched = latent.numel() * 4, model("EPS").clone()

    def wrapper(apply, arguments):
        # Other tests' tensors are small.
        tensors = [thing for thing in gc.get_objects() if type(thing) is torch.Tensor and thing.shape[-2:] == (32, 32)]
        held = {thing.untyped_storage().data_ptr(): thing.untyped_storage().nbytes() for thing in tensors}
        found.append(sum(held.values()) / size)
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    watched.set_model_unet_function_wrapper(wrapper)
    run(watched, latent, block(256, 256, 32, 32, 224, 224), steps=4)
    gc.unfreeze()
    return max(found)


@pytest.mark.parametrize(
    ("method", "sampler_name"),
    [("masked Langevin", "euler"), ("masked Langevin", "dpmpp_2m"), ("RePaint", "euler_ancestral")],
)
def test_at_most_four_latents_more_than_ksampler_has_are_held_while_the_model_runs(method, sampler_name):
    usual = live_latents(ksampler)
    ours = live_latents(functools.partial(inpaint, method=method, sampler_name=sampler_name))
    assert ours <= usual + 4


SOFT = torch.linspace(0, 1, 8)[None, None].repeat_interleave(8, -1).expand(1, 64, 64)


@pytest.mark.parametrize("method", ["masked Langevin", "RePaint"])
def test_a_soft_mask_is_binary_to_the_methods_without_strengths(method):
    latent = random_latent()
    assert torch.equal(
        inpaint(model("EPS"), latent, SOFT, method=method),
        inpaint(model("EPS"), latent, (SOFT > 0).float(), method=method),
    )


def test_with_a_binary_mask_the_soft_mask_method_is_masked_langevin():
    latent = random_latent()
    binary = inpaint(model("EPS"), latent, MASK, method="soft mask")
    assert torch.equal(binary, inpaint(model("EPS"), latent, MASK))


@pytest.mark.parametrize("bad", [1, 4, 5])
def test_an_estimate_that_is_not_finite_is_replaced_and_reported(bad, caplog, planned_calls):
    calls, patched = [], model("EPS").clone()

    def wrapper(apply, arguments):
        calls.append(1)
        out = apply(arguments["input"], arguments["timestep"], **arguments["c"])
        return out * float("nan") if len(calls) - 1 == bad else out

    patched.set_model_unet_function_wrapper(wrapper)
    assert inpaint(patched, random_latent(), MASK).isfinite().all()
    assert len(calls) == 7
    # Before the first inner step none is to blame.
    assert caplog.text.count("not finite at step_size 1" if bad > 1 else "not finite (NaN)") == 1


@pytest.mark.parametrize("method", METHODS[:-1])
def test_a_model_that_returns_only_nan_is_refused(method):
    broken = model("EPS").clone()
    broken.set_model_unet_function_wrapper(lambda apply, given: given["input"] * float("nan"))
    with pytest.raises(ValueError, match=r"The model's estimate is not finite \(NaN\)"):
        inpaint(broken, random_latent(), MASK, method=method)


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


@pytest.mark.parametrize("method", METHODS)
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
    return run_node(kind, **{**given, **more})


@pytest.mark.parametrize("method", METHODS)
def test_progress_runs_over_all_calls(method, planned_calls):
    seen = []
    ran = run_in_executor(
        "PhDMaskedInpaintSampler",
        method=method,
        on_progress=lambda node, done, total: seen.append((done, total)) if node == "node" else None,
    )
    calls = ran.execution.model_calls["node"]
    steps = [done for done, total in seen if total == calls]
    assert steps == sorted(steps)
    assert steps[-1] == calls


@pytest.mark.parametrize("method", METHODS)
def test_every_call_has_a_preview(method, monkeypatch, model_calls):
    previews = []

    def hook(value, total, preview, node_id=None):
        previews.append(preview)

    monkeypatch.setattr(latent_preview.args, "preview_method", comfy.cli_args.LatentPreviewMethod.Latent2RGB)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    inpaint(model("EPS"), random_latent(), MASK, method=method)
    assert len(previews) == len(model_calls)
    assert all(kind == "JPEG" and image.size == (8, 8) for kind, image, _ in previews)


def test_both_samplers_run_in_the_executor(planned_calls):
    for kind, slots in (("PhDMaskedInpaintSampler", 1), ("PhDHarmonizeSampler", 3)):
        ran = run_in_executor(kind)
        assert len(ran.values) == slots
        assert ran.execution.model_calls["node"] == 3 + 2 * 2


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", METHODS)
def test_a_reference_equal_to_the_scene_comes_out_equal(family, method):
    # Twins in one batch: a nearly equal reference, for an equal one is not run.
    latent = random_latent()
    scene, reference = harmonize(model(family), latent, MASK, latent + 1e-6, method=method, denoise=0.6)
    torch.testing.assert_close(scene, reference, rtol=1e-3, atol=1e-3)


def test_a_reference_that_is_the_scene_is_not_run_a_second_time():
    latent, shapes = random_latent(), []
    tiny = model("EPS").clone()
    tiny.set_model_unet_function_wrapper(
        lambda apply, given: (
            shapes.append(given["input"].shape[0]) or apply(given["input"], given["timestep"], **given["c"])
        )
    )
    scene, reference = harmonize(tiny, latent, MASK, latent.clone(), denoise=0.6)
    assert torch.equal(scene, reference)
    # One item, for each of both prompts.
    assert set(shapes) <= {1, 2}


def test_a_reference_does_not_change_the_scene_s_result(model_calls):
    latent = random_latent()
    alone, _ = harmonize(model("EPS"), latent, MASK, denoise=0.6)
    calls = len(model_calls)
    scene, reference = harmonize(model("EPS"), latent, MASK, random_latent(seed=9), denoise=0.6)
    assert len(model_calls) == 2 * calls
    torch.testing.assert_close(scene, alone, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(scene, reference, atol=0.1)


@pytest.mark.parametrize("sampler_name", ["euler_ancestral", "dpmpp_sde"])
@pytest.mark.parametrize(("method", "mask"), [("plain", MASK), ("masked Langevin", None)])
def test_a_reference_does_not_change_the_scene_s_result_where_comfyui_s_own_sampler_draws_noise(
    method, mask, sampler_name
):
    latent, other, how = random_latent(), random_latent(seed=9), {"method": method, "sampler_name": sampler_name}
    alone = [harmonize(model("EPS"), start, mask, denoise=0.6, **how)[0] for start in (latent, other)]
    batched = harmonize(model("EPS"), latent, mask, other, denoise=0.6, **how)
    for ours, wanted in zip(batched, alone, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


def test_progress_runs_over_both_runs_of_a_reference():
    seen = []
    run_in_executor(
        "PhDHarmonizeSampler",
        method="plain",
        reference_latent={"samples": random_latent(seed=9)},
        on_progress=lambda node, done, total: seen.append((done, total)) if node == "node" else None,
    )
    done = [done for done, total in seen if total == 2 * SCHEDULE["steps"]]
    assert done == sorted(done) and done[-1] == 2 * SCHEDULE["steps"]


def test_with_a_soft_mask_that_is_nowhere_0_a_reference_runs_in_the_scene_s_batch(model_calls):
    """ComfyUI's own sampler, which would need two runs, runs only where nothing is known at any level."""
    mask = 0.2 + 0.8 * SOFT
    harmonize(model("EPS"), random_latent(), mask, random_latent(seed=9), method="soft mask", inner_steps=0)
    assert len(model_calls) == SCHEDULE["steps"]


def test_a_batch_with_references_keeps_its_order():
    scenes, references = random_latent(batch=2, seed=1), random_latent(batch=2, seed=2)
    masks = torch.cat([MASK, torch.zeros_like(MASK)])
    scene, reference = harmonize(model("EPS"), scenes, masks, references, denoise=0.6)
    torch.testing.assert_close(scene[1], scenes[1], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(reference[1], references[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", ["PhDMaskedInpaintSampler", "PhDHarmonizeSampler"])
@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"mask": torch.ones(3, 64, 64), "latent": {"samples": random_latent(2)}}, ["mask has 3", "latent has 2"]),
        ({"mask": torch.ones(1, 2, 64, 64)}, ["mask", "(1, 2, 64, 64)", "[B,H,W]"]),
        ({"latent": {"samples": torch.ones(1, 16, 8, 8)}}, ["latent has 16 channels", "4", "VAE"]),
        ({"method": "diffrential"}, ["method", "diffrential", "plain"]),
        ({"sampler_name": "eulr"}, ["sampler_name", "eulr"]),
        ({"scheduler": "nrmal"}, ["scheduler", "nrmal"]),
        ({"preset": "fastest"}, ["preset", "fastest", "balanced"]),
        ({"steps": 0}, ["steps", "0"]),
        ({"denoise": -0.1}, ["denoise", "-0.1"]),
        ({"inner_steps": -1}, ["inner_steps", "-1"]),
        ({"step_size": 0.0}, ["step_size", "0.0", "0.01"]),
        ({"step_size": 9.0}, ["step_size", "9.0", "5.0"]),
        ({"lambda_strength": -1.0}, ["lambda_strength", "-1.0"]),
        ({"lambda_strength": 99.0}, ["lambda_strength", "99.0", "50.0"]),
        ({"jump_length": 0}, ["jump_length", "0"]),
        ({"jump_count": 0}, ["jump_count", "0"]),
        *(({name: float("nan")}, [name, "nan"]) for name in ("cfg", "denoise", "step_size", "lambda_strength")),
        ({"latent": {"samples": random_latent(2), "batch_index": [3]}}, ["batch_index names 1", "latent has 2"]),
        ({"positive": []}, ["positive is empty", "connect a prompt"]),
        ({"latent": {}}, ["latent holds no samples", "VAE Encode"]),
        ({"latent": {"samples": torch.ones(4, 8, 8)}}, ["latent must be", "[B,C,H,W]", "(4, 8, 8)"]),
        ({"latent": {"samples": torch.ones(0, 4, 8, 8)}}, ["latent must be", "(0, 4, 8, 8)"]),
        ({"latent": {"samples": torch.ones(1, 4, 3, 8, 8)}}, ["latent", "(1, 4, 3, 8, 8)", "video", "images"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_inputs_are_named(kind, changes, parts):
    good = {
        "model": quick_model("EPS"),
        "positive": prompt(1),
        "negative": prompt(2),
        "latent": {"samples": random_latent()},
        "mask": MASK,
        "method": "masked Langevin",
        **SCHEDULE,
        **INNER,
    }
    message = refused(kind, **{**good, **changes})
    for part in parts:
        assert part in message
    assert run_node(kind, **good).values[0]["samples"].isfinite().all()


def test_a_latent_of_several_tensors_is_refused():
    nested = types.SimpleNamespace(is_nested=True)
    with pytest.raises(ValueError, match="latent holds several tensors"):
        inpaint(model("EPS"), {"samples": nested}, MASK)


@pytest.mark.parametrize("size", [(8, 8), (64, 48), (37, 91)])
def test_a_mask_of_another_size_is_brought_to_the_latent_s(size):
    mask = torch.zeros(size)
    mask[size[0] // 4 : size[0] // 2] = 1
    out = inpaint(model("EPS"), random_latent(), mask)
    changed = (out - random_latent()).abs().amax((0, 1, 3)) > 1e-3
    assert changed[2:4].all() and not changed[:1].any() and not changed[5:].any()


def test_without_inner_steps_there_are_no_more_calls_than_steps(model_calls):
    assert inpaint(model("EPS"), random_latent(), MASK, inner_steps=0).isfinite().all()
    assert len(model_calls) == SCHEDULE["steps"]


@pytest.mark.parametrize("shape", [(1, 4, 8, 12), (2, 4, 8, 8)])
def test_a_reference_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="reference_latent must be") as caught:
        harmonize(model("EPS"), random_latent(), MASK, torch.ones(shape))
    assert "(1, 4, 8, 8)" in str(caught.value) and str(shape) in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_mask_whose_black_is_not_0_changes_only_what_it_marks(method):
    latent, clean = random_latent(1, 32, 32), block(256, 256, 96, 96, 160, 160)
    faint = torch.maximum(clean, torch.tensor(2 / 255))
    sampled = inpaint(quick_model("EPS"), latent, faint, method)
    assert torch.equal(sampled, inpaint(quick_model("EPS"), latent, clean, method))
    changed = (sampled - latent).abs().amax(1) > 1e-3
    assert changed.float().mean() == pytest.approx(0.0625)


def test_strengths_on_a_black_that_is_not_0_stay():
    grid = module("nodes.latents")
    mask = torch.full((1, 64, 64), 2 / 255)
    mask[:, :8, :8], mask[:, 8:16, :8] = 0.03, 0.99
    latent = random_latent()
    found = grid.latent_mask(mask, {}, latent, soft=True)
    assert torch.equal(found[0, 0, :2, 0], mask[0, [0, 8], 0]) and found.count_nonzero() == 2


def test_a_schedule_that_is_not_finite_is_refused():
    """As ComfyUI's kl_optimal gives for a single step, where it divides by 0."""
    with pytest.raises(ValueError, match="scheduler kl_optimal gives no finite noise levels for steps 1"):
        inpaint(quick_model("EPS"), random_latent(), MASK, scheduler="kl_optimal", steps=1)
