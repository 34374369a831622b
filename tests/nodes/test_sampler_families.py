"""The samplers with every kind of model that ComfyUI has, each a tiny real network, and with what people add to one."""

import functools
import logging

import comfy.cldm.cldm
import comfy.controlnet
import comfy.hooks
import comfy.latent_formats
import comfy.ops
import comfy_extras.nodes_easycache
import pytest
import torch
from node_support import (
    UNET,
    block,
    make_image,
    module,
    prompt,
    random_latent,
    run_node,
    tiny_flux,
    tiny_model,
    tiny_wan,
)
from sampler_support import INNER, MASK, METHODS, SCHEDULE, cells, inpaint, ksampler, model

import nodes as core


class Wide(comfy.latent_formats.LatentFormat):
    """32 channels, scaled and shifted."""

    latent_channels = 32
    scale_factor = 0.37

    def process_in(self, latent):
        return (latent - 0.1) * self.scale_factor

    def process_out(self, latent):
        return latent / self.scale_factor + 0.1


# A model of every kind, and the shape of its latents.
KINDS = {
    "EPS": (lambda: model("EPS"), (4, 8, 8)),
    "V": (lambda: model("V_PREDICTION"), (4, 8, 8)),
    "flow": (lambda: model("FLOW"), (4, 8, 8)),
    "EPS, 9 channels in": (lambda: model("EPS", 9), (4, 8, 8)),
    "EPS, 32 channels": (lambda: tiny_model("EPS", 32, Wide()), (32, 8, 8)),
    "flow, 32 channels": (lambda: tiny_model("FLOW", 32, Wide()), (32, 8, 8)),
    "Flux": (tiny_flux, (16, 8, 8)),
    "Flux Fill": (lambda: tiny_flux(96), (16, 8, 8)),
    "Wan, video": (tiny_wan, (16, 3, 8, 8)),
}


@functools.lru_cache(maxsize=1)
def of_kind(kind):
    """Only one is kept: while Wan is alive, ComfyUI collects garbage at every load of any model."""
    return KINDS[kind][0]()


def latent_of(kind, batch=1):
    return 3 * torch.randn(batch, *KINDS[kind][1], generator=torch.Generator().manual_seed(7))


def known(latent, mask=MASK):
    inside = cells(mask)
    return ~(inside if latent.ndim == 4 else inside[:, :, None]).expand_as(latent)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_runs_on_every_kind_of_model_and_keeps_the_known_region(kind, method):
    latent = latent_of(kind)
    out = inpaint(of_kind(kind), latent, MASK, method=method)
    outside = known(latent)
    assert out.shape == latent.shape and out.isfinite().all()
    if method == "plain":
        torch.testing.assert_close(out[outside], latent[outside], rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(out[outside], latent[outside])
    assert not torch.allclose(out[~outside], latent[~outside], atol=0.1)


@pytest.mark.parametrize("kind", list(KINDS)[:-1])
def test_plain_is_ksampler_to_the_bit_on_every_kind(kind):
    net, latent = of_kind(kind), latent_of(kind)
    assert torch.equal(inpaint(net, latent, MASK, method="plain"), ksampler(net, latent, MASK))


def test_plain_on_video_is_ksampler_to_the_bit():
    net, latent = of_kind("Wan, video"), latent_of("Wan, video")
    # ComfyUI takes a [B,1,H,W] mask of a video for one of its frames, and stretches that over all of them.
    assert torch.equal(inpaint(net, latent, MASK, method="plain"), ksampler(net, latent, MASK))


@pytest.mark.parametrize("kind", KINDS)
def test_without_inner_steps_langevin_is_euler_on_every_kind(kind):
    net, latent = of_kind(kind), latent_of(kind)
    ours = inpaint(net, latent, MASK, inner_steps=0)
    torch.testing.assert_close(ours, ksampler(net, latent, MASK), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_calls_are_counted_on_every_kind(kind, model_calls):
    inpaint(of_kind(kind), latent_of(kind), MASK, steps=4, scheduler="simple")
    # At cfg 2 one call holds both prompts.
    assert len(model_calls) == 4 + 3 * INNER["inner_steps"]


def test_a_mask_an_item_serves_all_frames_of_its_video():
    latent = latent_of("Wan, video", batch=2)
    masks = torch.cat([MASK, torch.zeros_like(MASK)])
    out = inpaint(of_kind("Wan, video"), latent, masks)
    assert torch.equal(out[1], latent[1])
    moved = (out[0] - latent[0]).abs().amax(0) > 1e-3
    assert torch.equal(moved, cells(MASK)[0].expand(3, 8, 8))


def test_a_video_s_own_mask_may_differ_from_frame_to_frame():
    latent = latent_of("Wan, video")
    mask = torch.zeros(1, 1, 3, 8, 8)
    mask[:, :, 1, 2:6, 2:6] = 1
    out = inpaint(of_kind("Wan, video"), {"samples": latent, "noise_mask": mask})
    assert torch.equal((out - latent).abs().amax(1, keepdim=True) > 1e-3, mask > 0)


def frame_masks(*frames):
    """A mask a frame: MASK where 1, none where 0."""
    return torch.cat([MASK if shown else torch.zeros_like(MASK) for shown in frames])


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_a_mask_a_frame_is_shared_by_all_items(method, batch):
    """As in ComfyUI, even where there are as many items as frames."""
    net, latent = of_kind("Wan, video"), latent_of("Wan, video", batch)
    mask = frame_masks(0, 1, 0)
    out = inpaint(net, latent, mask, method=method)
    moved = ((out - latent).abs().amax((1, 3, 4)) > 1e-2).tolist()
    assert moved == [[False, True, False]] * batch
    if method == "plain":
        assert torch.equal(out, ksampler(net, latent, mask))
    assert torch.equal(
        out, inpaint(net, dict(core.SetLatentNoiseMask().set_mask({"samples": latent}, mask)[0]), method=method)
    )


def test_every_frame_of_every_item_may_have_its_own_mask():
    latent = latent_of("Wan, video", batch=2)
    out = inpaint(of_kind("Wan, video"), latent, frame_masks(0, 1, 0, 1, 1, 0))
    assert ((out - latent).abs().amax((1, 3, 4)) > 1e-3).tolist() == [[False, True, False], [True, True, False]]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("five_dimensions", [False, True])
def test_a_mask_for_each_of_a_video_s_images_goes_to_its_latent_frame(method, five_dimensions):
    """Latent frame 0 is image 0, frame 2 is images 5 to 8."""
    latent, masks = latent_of("Wan, video"), frame_masks(0, 0, 0, 0, 0, 0, 1, 0, 0)
    given = {"samples": latent, "noise_mask": masks[None, None]} if five_dimensions else {"samples": latent}
    out = inpaint(of_kind("Wan, video"), given, None if five_dimensions else masks, method=method)
    assert ((out - latent).abs().amax((1, 3, 4)) > 1e-2).tolist() == [[False, False, True]]


def test_every_item_may_have_a_mask_for_each_of_its_images():
    latent = latent_of("Wan, video", batch=2)
    masks = frame_masks(1, *[0] * 8, *[0] * 4, 1, *[0] * 4)
    out = inpaint(of_kind("Wan, video"), latent, masks)
    assert ((out - latent).abs().amax((1, 3, 4)) > 1e-3).tolist() == [[True, False, False], [False, True, False]]


@pytest.mark.parametrize("five_dimensions", [False, True])
def test_a_subject_s_share_of_a_latent_frame_is_the_mean_of_its_images(five_dimensions):
    masks = frame_masks(1, 0, 0, 0, 1, 1, 1, 1, 1)
    masks = masks[None, None] if five_dimensions else masks
    share = module("nodes.latents").subject_share(masks, latent_of("Wan, video"))
    assert share.shape == (1, 1, 3, 8, 8)
    assert share[0, 0, :, 3, 3].tolist() == [1, 0.25, 1]


def test_a_mask_that_fits_neither_items_nor_frames_is_named():
    with pytest.raises(ValueError, match="mask has 4 items, but the latent has 2 items of 3 frames"):
        inpaint(of_kind("Wan, video"), latent_of("Wan, video", batch=2), frame_masks(1, 1, 1, 1))


def test_an_image_given_to_a_video_model_is_one_frame():
    latent = random_latent(channels=16)
    out = inpaint(of_kind("Wan, video"), latent, MASK)
    assert out.shape == (1, 16, 1, 8, 8)


def read_concat(net, run):
    """What a model that concatenates a mask was given with every call."""
    seen, patched = [], net.clone()

    def wrapper(apply, arguments):
        seen.append(arguments["c"]["c_concat"].clone())
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    patched.set_model_unet_function_wrapper(wrapper)
    run(patched)
    return seen


@pytest.mark.parametrize("kind", ["EPS, 9 channels in", "Flux Fill"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("prepared", [False, True], ids=["bare latent", "InpaintModelConditioning"])
def test_models_that_concatenate_a_mask_get_what_ksampler_gives_them(kind, method, prepared):
    net, latent, prompts = of_kind(kind), latent_of(kind), {}
    if prepared:
        extra = {"concat_latent_image": 0.5 * latent, "concat_mask": MASK[:, None]}
        prompts = {name: [[words, {**more, **extra}]] for name, [[words, more]] in named_prompts().items()}
    ours = read_concat(net, lambda net: inpaint(net, latent, MASK, method=method, **prompts))
    core = read_concat(net, lambda net: ksampler(net, latent, MASK, **prompts))
    assert core[0].abs().sum() > 0
    # Inner steps run the positive prompt alone.
    assert all(torch.equal(given, core[0][: len(given)]) for given in ours)


def named_prompts():
    return {"positive": prompt(1), "negative": prompt(2)}


def test_a_model_that_concatenates_a_mask_reads_a_soft_one_as_the_loop_does():
    faint = read_concat(of_kind("EPS, 9 channels in"), lambda net: inpaint(net, random_latent(), 0.3 * MASK))
    full = read_concat(of_kind("EPS, 9 channels in"), lambda net: inpaint(net, random_latent(), MASK))
    assert torch.equal(faint[0], full[0])


@pytest.fixture
def takes_known_clean():
    """A model such as Wan 2.2 and LTX, which takes the known region without noise."""
    net = tiny_model("FLOW")
    own = {"scale_latent_inpaint": lambda self, latent_image, **more: latent_image}
    net.model.__class__ = type("TakesKnownClean", (type(net.model),), own)
    return net


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_takes_its_known_region_clean_runs_as_ksampler_with_a_warning(
    takes_known_clean, method, model_calls, caplog
):
    latent = random_latent()
    out = inpaint(takes_known_clean, latent, MASK, method=method)
    assert len(model_calls) == SCHEDULE["steps"]
    assert ("runs as plain sampling" in caplog.text) == (method != "plain")
    torch.testing.assert_close(out, ksampler(takes_known_clean, latent, MASK), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_takes_its_known_region_clean_gets_the_strengths_of_a_mask(takes_known_clean, method):
    """Such as those of LTXVImgToVideo, which keeps most of the first frame."""
    latent = random_latent()
    out = inpaint(takes_known_clean, latent, 0.2 * MASK, method=method)
    torch.testing.assert_close(out, ksampler(takes_known_clean, latent, 0.2 * MASK), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler_name", ["heun", "uni_pc"])
def test_a_model_that_takes_its_known_region_clean_runs_the_sampler_asked_for(takes_known_clean, sampler_name, caplog):
    latent, how = random_latent(), {"sampler_name": sampler_name, "steps": 5}
    out = inpaint(takes_known_clean, latent, MASK, **how)
    inside, core_s = ~known(latent), ksampler(takes_known_clean, latent, MASK, **how)
    torch.testing.assert_close(out[inside], core_s[inside], rtol=1e-4, atol=1e-4)
    # ComfyUI itself warns about models that other tests still hold.
    said = [record for record in caplog.records if record.module != "model_management"]
    assert [record.levelname for record in said if record.levelno >= logging.WARNING] == ["WARNING"]
    assert "model calls" not in caplog.text and "does not support" not in caplog.text


def test_a_distilled_model_at_cfg_1_runs_without_the_negative():
    net = of_kind("Flux").clone()
    seen = []

    def wrapper(apply, arguments):
        seen.append(list(arguments["cond_or_uncond"]))
        return apply(arguments["input"], arguments["timestep"], **arguments["c"])

    net.set_model_unet_function_wrapper(wrapper)
    out = inpaint(net, latent_of("Flux"), MASK, cfg=1.0)
    assert out.isfinite().all()
    assert seen == [[0]] * len(seen)


def tiny_controlnet():
    settings = {name: value for name, value in UNET.items() if name not in ("out_channels", "use_temporal_attention")}
    del settings["transformer_depth_output"]
    net = comfy.cldm.cldm.ControlNet(
        in_channels=4, hint_channels=3, operations=comfy.ops.disable_weight_init, **settings
    )
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return comfy.controlnet.ControlNet(net.eval(), load_device=torch.device("cpu"))


def controlled(start=0.0, end=1.0):
    node = core.ControlNetApplyAdvanced()
    made = node.apply_controlnet(prompt(1), prompt(2), tiny_controlnet(), make_image(64, 64), 1.0, start, end)
    return dict(zip(("positive", "negative"), made, strict=True))


def regional():
    """Another prompt on the left half, and one for the beginning only."""
    left, early = prompt(3), prompt(4)
    (left,) = core.ConditioningSetMask().append(left, block(64, 64, 0, 0, 64, 32), "default", 1.0)
    (early,) = core.ConditioningSetTimestepRange().set_range(early, 0.0, 0.3)
    return {"positive": prompt(1) + left + early}


def hooked():
    key = "diffusion_model.middle_block.1.proj_in.weight"
    change = 0.5 * torch.randn(model("EPS").model_state_dict()[key].shape, generator=torch.Generator().manual_seed(3))
    hooks = comfy.hooks.create_hook_lora({}, 1.0, 1.0)
    hooks.hooks[0].weights = {key: ("diff", (change,))}
    hooks.hooks[0].need_weight_init = False
    return {"positive": comfy.hooks.set_hooks_for_conditioning(prompt(1), hooks)}


ADDED = {
    "ControlNet": controlled,
    "ControlNet from .2 to .7": lambda: controlled(0.2, 0.7),
    "regional prompts": regional,
    "a hook's LoRA": hooked,
}


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_added_to_prompts_acts(name, method):
    latent, prompts = random_latent(), ADDED[name]()
    with_it, without = (
        inpaint(model("EPS"), latent, MASK, method=method, **prompts),
        inpaint(model("EPS"), latent, MASK, method=method),
    )
    inside = ~known(latent)
    assert not torch.allclose(with_it[inside], without[inside], rtol=1e-3, atol=1e-3)
    # The run leaves nothing behind.
    assert torch.equal(inpaint(model("EPS"), latent, MASK, method=method), without)


@pytest.mark.parametrize("name", ADDED)
def test_what_is_added_to_prompts_acts_as_in_ksampler(name):
    latent, prompts = random_latent(), ADDED[name]()
    ours = inpaint(model("EPS"), latent, MASK, inner_steps=0, **prompts)
    torch.testing.assert_close(ours, ksampler(model("EPS"), latent, MASK, **prompts), rtol=1e-3, atol=1e-3)


def test_a_lora_on_the_model_acts_and_leaves_no_trace():
    latent, net = random_latent(), model("EPS").clone()
    key = "diffusion_model.middle_block.1.proj_in.weight"
    weights = model("EPS").model_state_dict()[key].clone()
    net.add_patches({key: ("diff", (torch.full_like(weights, 0.05),))}, 1.0)
    without = inpaint(model("EPS"), latent, MASK)
    assert not torch.allclose(inpaint(net, latent, MASK), without, atol=1e-3)
    assert torch.equal(inpaint(model("EPS"), latent, MASK), without)
    assert torch.equal(model("EPS").model_state_dict()[key], weights)


@pytest.mark.parametrize("scheduler", core.KSampler.INPUT_TYPES()["required"]["scheduler"][0])
@pytest.mark.parametrize("kind", ["EPS", "flow"])
def test_every_scheduler_works(kind, scheduler):
    for denoise in (1.0, 0.5):
        assert inpaint(of_kind(kind), latent_of(kind), MASK, scheduler=scheduler, denoise=denoise).isfinite().all()


def with_items(latent):
    """Conditionings that ComfyUI fits to a batch, with something of its own for each of two items."""
    other = 0.5 * torch.randn(latent.shape, generator=torch.Generator().manual_seed(9))
    masks = torch.cat([MASK, 1 - MASK])[:, None]
    return {"concat_latent_image": other, "concat_mask": masks}


def adding(more):
    return {name: [[words, {**held, **more}]] for name, [[words, held]] in named_prompts().items()}


def of_item(prompts, item):
    """What item `item` alone is given."""

    def cut(value):
        return value[item : item + 1] if isinstance(value, torch.Tensor) and len(value) == 2 else value

    def cut_all(held):
        return {k: [cut(v) for v in value] if isinstance(value, list) else cut(value) for k, value in held.items()}

    return {name: [[cut(words), cut_all(held)] for words, held in made] for name, made in prompts.items()}


def own_hints(images):
    node = core.ControlNetApplyAdvanced()
    made = node.apply_controlnet(prompt(1), prompt(2), tiny_controlnet(), images, 1.0, 0.0, 1.0)
    return dict(zip(("positive", "negative"), made, strict=True))


PER_ITEM = {
    "InpaintModelConditioning": "EPS, 9 channels in",
    "Flux Fill": "Flux Fill",
    "reference latents": "Flux",
    "ControlNet hints": "EPS",
    "prompts": "EPS",
    "masks": "EPS",
}


def per_item(name, latent):
    """The prompts for two items, and those for each alone."""
    if name == "ControlNet hints":
        images = torch.cat([make_image(64, 64), make_image(64, 64).flip(1)])
        return own_hints(images), [own_hints(images[item : item + 1]) for item in range(2)]
    if name == "prompts":
        words = {"positive": (1, 3), "negative": (2, 4)}
        prompts = {
            key: [[torch.cat([prompt(seed)[0][0] for seed in seeds]), prompt(seeds[0])[0][1]]]
            for key, seeds in words.items()
        }
    elif name == "masks":
        prompts = adding({"mask": torch.cat([MASK, MASK.flip(-1)]), "mask_strength": 1.0, "set_area_to_bounds": False})
        for key, words in named_prompts().items():
            prompts[key] = prompts[key] + words
    elif name == "reference latents":
        prompts = adding({"reference_latents": [with_items(latent)["concat_latent_image"]]})
    else:
        prompts = adding(with_items(latent))
    return prompts, [of_item(prompts, item) for item in range(2)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", PER_ITEM)
def test_what_belongs_to_an_item_stays_with_it_beside_a_reference_and_with_several_seeds(name, method):
    net, latent = of_kind(PER_ITEM[name]), latent_of(PER_ITEM[name], batch=2)
    reference = latent.flip(-1)
    prompts, alone = per_item(name, latent)
    how = {"method": method, "num_seeds": 2}
    both = harmonize_with(net, latent, reference, prompts, **how)
    for item in range(2):
        own = {"samples": latent[item : item + 1], "batch_index": [item]}
        one = harmonize_with(net, own, reference[item : item + 1], alone[item], **how)
        for batch, single in zip(both, one, strict=True):
            torch.testing.assert_close(batch[item::2], single, rtol=1e-3, atol=3e-3)


def harmonize_with(net, latent, reference, prompts, **changes):
    latent = latent if isinstance(latent, dict) else {"samples": latent}
    node = module("nodes.harmonize_sampler").PhDHarmonizeSampler
    settings = {**SCHEDULE, **INNER, "anchor_strength": 0.0, **changes}
    made = node.execute(
        net, **prompts, latent=latent, mask=MASK, reference_latent={"samples": reference}, **settings
    ).args
    return [made[0]["samples"], made[1]["samples"]]


def test_a_run_in_parts_counts_its_calls_and_its_progress_over_all_of_them(model_calls):
    latent, seen = latent_of("EPS, 9 channels in", batch=2), []
    prompts, _ = per_item("InpaintModelConditioning", latent)
    run_node(
        "PhDHarmonizeSampler",
        **{**SCHEDULE, **INNER, **prompts, "model": of_kind("EPS, 9 channels in"), "latent": {"samples": latent}},
        mask=MASK,
        reference_latent={"samples": latent.flip(-1)},
        method="masked Langevin",
        num_seeds=2,
        anchor_strength=0.0,
        on_progress=lambda node, done, total: seen.append((done, total)) if node == "node" else None,
    )
    calls = len(model_calls)
    assert calls % 4 == 0
    assert [step for step in seen if step[1] == calls] == [(done, calls) for done in range(1, calls + 1)]


@pytest.mark.parametrize("cache", ["EasyCacheNode", "LazyCacheNode"])
@pytest.mark.parametrize("method", METHODS[:-1])
def test_a_step_cache_on_the_model_is_not_used_and_reported_once(cache, method, caplog):
    """Also with a reference at a cfg of 4, where ComfyUI's EasyCache raises."""
    net, latent = of_kind("Flux"), latent_of("Flux", batch=2)
    (cached,) = getattr(comfy_extras.nodes_easycache, cache).execute(net, 0.2, 0.15, 0.95, False).args
    how = {"method": method, "cfg": 4.0}
    done = harmonize_with(cached, latent, latent.flip(-1), named_prompts(), **how)
    assert caplog.text.count("step cache") == 1
    for ours, wanted in zip(done, harmonize_with(net, latent, latent.flip(-1), named_prompts(), **how), strict=True):
        assert torch.equal(ours, wanted)
    assert cached.wrappers["outer_sample"]


@pytest.mark.parametrize("cache", ["EasyCacheNode", "LazyCacheNode"])
def test_as_a_sampler_the_loop_does_without_inner_steps_on_a_model_with_a_step_cache(cache, caplog):
    """It cannot take the cache off the model that another node samples with."""
    latent, mask = latent_of("EPS"), MASK[:, None, ::8, ::8]
    (cached,) = getattr(comfy_extras.nodes_easycache, cache).execute(of_kind("EPS"), 0.2, 0.15, 0.95, False).args
    widgets = {"method": "masked Langevin", "sampler_name": "euler", "inner_steps": 3, "step_size": 1.0}
    loop = module("nodes.comfy_sampler").LoopWidgets(**widgets, lambda_strength=5.0)

    def sampled(sampler):
        sigmas = comfy.samplers.calculate_sigmas(cached.get_model_object("model_sampling"), "simple", 6)
        noise, prompts = comfy.sample.prepare_noise(latent, 1), named_prompts().values()
        return comfy.sample.sample_custom(
            cached, noise, 4.0, sampler, sigmas, *prompts, latent, noise_mask=mask, disable_pbar=True, seed=1
        )

    ours = sampled(module("nodes.comfy_sampler").MaskedSampler(loop.settings()))
    torch.testing.assert_close(ours, sampled(comfy.samplers.sampler_object("euler")), rtol=1e-4, atol=1e-4)
    assert caplog.text.count("step cache") == 1


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_s_own_images_are_in_its_negative_too(method):
    """Guidance would otherwise lead from the scene's image to the reference's."""
    net, latent = of_kind("EPS, 9 channels in"), latent_of("EPS, 9 channels in")
    scene, reference = (
        adding({"concat_latent_image": image, "concat_mask": MASK[:, None]}) for image in (latent, -2 * latent)
    )

    def run(patched):
        prompts = {**scene, "reference_positive": reference["positive"]}
        harmonize_with(patched, latent, latent.flip(-1), prompts, method=method, inner_steps=0)

    seen = [given[:, 1:] for given in read_concat(net, run)]
    half = len(seen) // 2
    own = net.model.process_latent_in(latent)
    for given, wanted in [*((one, own) for one in seen[:half]), *((one, -2 * own) for one in seen[half:])]:
        assert len(given) == 2
        torch.testing.assert_close(given, wanted.expand_as(given))


def test_a_reference_s_prompt_of_words_alone_leaves_no_image_in_its_negative():
    latent, how = latent_of("EPS"), {"method": "masked Langevin"}
    alone = harmonize_with(of_kind("EPS"), latent.flip(-1), latent, named_prompts(), **how)[0]
    prompts = {**controlled(), "reference_positive": prompt(1)}
    made = harmonize_with(of_kind("EPS"), latent, latent.flip(-1), prompts, **how)[1]
    torch.testing.assert_close(made, alone, rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize("kind", ["EPS", "EPS, 9 channels in", "Flux", "Flux Fill"])
@pytest.mark.parametrize("prepared", [False, True], ids=["bare prompt", "InpaintModelConditioning"])
def test_an_inpainting_model_whose_prompt_brings_no_image_is_warned_about(kind, prepared, caplog):
    latent, prompts = latent_of(kind), named_prompts()
    if prepared:
        prompts = adding({"concat_latent_image": latent, "concat_mask": MASK[:, None]})
    inpaint(of_kind(kind), latent, MASK, **prompts)
    takes_one = kind in ("EPS, 9 channels in", "Flux Fill")
    assert ("This model takes an image along with the prompt" in caplog.text) == (takes_one and not prepared)
