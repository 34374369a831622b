"""Where no prompt makes an estimate, ComfyUI's is 0, and the masked samplers must not take it for one.

On the exact process through ComfyUI's own sampling, scored by relative W2 (0 is perfect). With a prompt for the whole
image ours reaches 0.3 on it; KSampler 0.84.
"""

import math

import comfy.sample
import comfy.samplers
import pytest
import torch
from node_support import module

from benchmarks.inpaint import exact
from benchmarks.inpaint.processes import Setting, curve_oracle, latent_mask

SETTING = Setting("curves", 8, 32, (1,))
WHOLE = [[torch.zeros(1, 1, 1), {}]]


def masked_to(region):
    return [[torch.zeros(1, 1, 1), {"mask": region, "mask_strength": 1.0, "set_area_to_bounds": False}]]


HOLE = masked_to(latent_mask()[0])


def distance(positive, negative, cfg, **changes):
    method = exact.Method("ours", 15, exact.masked("masked Langevin", inner_steps=3, **changes))
    model = curve_oracle("EPS", SETTING.process)
    samples, _ = exact.run(model, SETTING.process, method, 1, prompts=(positive, negative), cfg=cfg)
    return SETTING.process.score(samples)["relw2"]


@pytest.mark.parametrize("cfg", [1.0, 2.0, 4.0])
def test_a_positive_masked_to_the_hole_is_as_good_as_one_for_the_image(cfg):
    assert distance(HOLE, WHOLE, cfg) <= 1.1 * distance(WHOLE, WHOLE, cfg) <= 0.45


def test_what_no_prompt_covers_is_not_leaned_on():
    leaning_nowhere = distance(WHOLE, WHOLE, 1.0, lambda_strength=0.0)
    assert distance(HOLE, HOLE, 1.0) == pytest.approx(leaning_nowhere, rel=0.02)


def run_guider(positive, negative, cfg, sigma, patch=None):
    """The GuidedModel of a run at one call: its two Predictions, and how many prompts each ran."""
    model, counts, found = curve_oracle("EPS", SETTING.process), [], []
    if patch is not None:
        patch(model)
    apply = model.model.apply_model

    def counted(x, *args, **kwargs):
        counts[-1] += len(x)
        return apply(x, *args, **kwargs)

    model.model.apply_model = counted

    def sampling(model, x, sigmas, extra_args, callback=None, disable=None):
        guided = module("nodes.guidance").guided_model(model, extra_args)
        for predict in guided:
            counts.append(0)
            found.append(predict(x, sigmas[:1] * x.new_ones(len(x))))
        return x

    latent = SETTING.latent()
    comfy.sample.sample_custom(
        model, comfy.sample.prepare_noise(latent, 1), cfg, comfy.samplers.KSAMPLER(sampling),
        torch.tensor([sigma, 0.0]), positive, negative, latent, noise_mask=latent_mask(), disable_pbar=True, seed=1,
    )  # fmt: skip
    return found, [count // len(latent) for count in counts]


@pytest.mark.parametrize(
    ("cfg", "prompts"), [(4.0, [2, 1]), (1.0, [1, 1]), (0.5, [2, 2])], ids=["guided", "no guidance", "below 1"]
)
def test_calls_without_guidance_run_the_positive_alone(cfg, prompts):
    (guided, unguided), counts = run_guider(WHOLE, WHOLE, cfg, 1.0)
    assert counts == prompts
    assert guided.covered is None and unguided.covered is None
    torch.testing.assert_close(guided.unguided, unguided.denoised)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_the_negative_stands_in_where_the_positive_covers_nothing(cfg):
    (guided, unguided), _ = run_guider(HOLE, WHOLE, cfg, 1.0)
    (whole, _), _ = run_guider(WHOLE, WHOLE, cfg, 1.0)
    for prediction in (guided, unguided):
        assert prediction.covered is None or prediction.covered.all()
        torch.testing.assert_close(prediction.unguided, whole.unguided)


def test_a_prompt_outside_its_range_of_steps_covers_nothing():
    late = [[torch.zeros(1, 1, 1), {"start_percent": 0.9, "end_percent": 1.0}]]
    (guided, _), _ = run_guider(late, late, 1.0, 20.0)
    assert not guided.covered.any() and math.isclose(float(guided.denoised.abs().max()), 0)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_what_a_function_adds_after_cfg_is_no_guidance(cfg):
    """Such as an identity anchor: it acts in every call alike."""

    def patch(model):
        model.set_model_sampler_post_cfg_function(lambda call: call["denoised"] + 0.3)

    (guided, unguided), _ = run_guider(WHOLE, WHOLE, cfg, 1.0, patch)
    (plain, _), _ = run_guider(WHOLE, WHOLE, cfg, 1.0)
    torch.testing.assert_close(guided.unguided, unguided.unguided)
    torch.testing.assert_close(guided.denoised, plain.denoised + 0.3)


def test_a_patch_that_needs_the_negative_gets_it_in_every_call():
    def patch(model):
        model.set_model_sampler_post_cfg_function(lambda call: call["denoised"], disable_cfg1_optimization=True)

    _, counts = run_guider(WHOLE, WHOLE, 4.0, 1.0, patch)
    assert counts == [2, 2]


def test_prompts_that_take_turns_cover_the_image():
    halves = [
        [[torch.zeros(1, 1, 1), {"start_percent": start, "end_percent": start + 0.5}] for start in (0.0, 0.5)]
        for _ in range(2)
    ]
    (guided, _), counts = run_guider(*halves, 4.0, 1.0)
    assert guided.covered is None and counts == [2, 1]
