"""Step caches of other packs, known by what they leave out; see `nodes/step_caches.py`.

On the exact process, scored by relative W2 (0 is perfect), and on a real network, of which such caches run a part.
"""

from unittest import mock

import pytest
import torch
from node_support import module, tiny_model
from sampler_support import MASK, inpaint

from benchmarks.inpaint import exact
from benchmarks.inpaint.processes import Setting, curve_oracle

SETTING = Setting("curves", 8, 32, (1,))
OFF, KEPT = "step cache is not used from here on", "step cache repeats old estimates"


class StepCache:
    """A `model_function_wrapper` that repeats how a call changed its input, for as long as the noise level stays."""

    def __init__(self, factor=1.0):
        self.factor, self.sigma, self.change, self.repeated = factor, None, None, 0

    def __call__(self, apply, call):
        x, sigma = call["input"], float(call["timestep"][0])
        if sigma == self.sigma and self.change.shape == x.shape:
            self.repeated += 1
            return self.repeat(apply, call) * self.factor
        denoised = apply(x, call["timestep"], **call["c"])
        self.sigma, self.change = sigma, denoised - x
        return denoised * self.factor

    def repeat(self, apply, call):
        return call["input"] + self.change


class BlockCache(StepCache):
    """As TeaCache: the network is called in any case, but runs only a few of its modules."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def repeat(self, apply, call):
        def forward(x, timesteps, *args, **kwargs):
            self.network.time_embed(torch.zeros(len(x), self.network.model_channels))
            return torch.zeros_like(x)

        with mock.patch.object(self.network, "forward", forward):
            apply(call["input"], call["timestep"], **call["c"])
        return super().repeat(apply, call)


def distance(sampler, cache=None, steps=15, cfg=1.0):
    model = curve_oracle("EPS", SETTING.process)
    if cache is not None:
        model.set_model_unet_function_wrapper(cache)
    samples, count = exact.run(model, SETTING.process, exact.Method("", steps, sampler), 1, cfg=cfg)
    return SETTING.process.score(samples)["relw2"], count


OURS = exact.masked("masked Langevin", inner_steps=3)


@pytest.mark.parametrize("cfg", [1.0, 4.0])
def test_a_step_cache_does_not_change_the_result(cfg, caplog):
    cache = StepCache()
    found, calls = distance(OURS, cache, cfg=cfg)
    wanted, without = distance(OURS, cfg=cfg)
    assert found == wanted < 0.4
    # One more, to see that the cache does nothing else.
    assert calls == without + 1 and cache.repeated == 1
    assert caplog.text.count("step cache") == caplog.text.count(OFF) == 1


def test_a_step_cache_that_does_something_else_too_stays_and_is_not_leaned_on(caplog):
    found, _ = distance(OURS, StepCache(factor=1.05))
    assert found <= 0.8 * distance(exact.core("euler"), StepCache(factor=1.05))[0]
    assert caplog.text.count("step cache") == caplog.text.count(KEPT) == 1


def test_other_functions_around_the_network_are_no_step_caches(caplog):
    calls = []

    def louder(apply, call):
        calls.append(1)
        return 1.05 * apply(call["input"], call["timestep"], **call["c"])

    _, count = distance(OURS, louder)
    assert len(calls) == count and "step cache" not in caplog.text


def test_a_cache_that_runs_a_part_of_the_network_is_not_used_either(caplog):
    model, latent = tiny_model("EPS"), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    wanted = inpaint(model, latent, MASK, steps=6)
    cached, cache = model.clone(), BlockCache(model.model.diffusion_model)
    cached.set_model_unet_function_wrapper(cache)
    assert torch.equal(inpaint(cached, latent, MASK, steps=6), wanted)
    assert cache.repeated == 1 and caplog.text.count(OFF) == 1
    assert not any(part._forward_pre_hooks for part in model.model.diffusion_model.modules())


def test_a_wrapper_of_the_network_that_leaves_it_out_is_reported_and_not_leaned_on(caplog):
    model, latent = tiny_model("EPS"), torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(7))
    made = []

    def cached(executor, x, *args, **kwargs):
        if len(made) % 3 == 0:
            made.append(executor(x, *args, **kwargs))
        else:
            made.append(made[-1])
        return made[-1]

    model.add_wrapper_with_key("diffusion_model", "other pack", cached)
    assert inpaint(model, latent, MASK, steps=6, cfg=1.0).isfinite().all()
    assert caplog.text.count(KEPT) == 1


def test_a_level_without_a_prompt_is_not_taken_for_a_cache(caplog):
    early = [[torch.zeros(1, 1, 1), {"start_percent": 0.0, "end_percent": 0.5}]]
    model = curve_oracle("EPS", SETTING.process)
    model.set_model_unet_function_wrapper(lambda apply, call: apply(call["input"], call["timestep"], **call["c"]))
    exact.run(model, SETTING.process, exact.Method("", 6, OURS), 1, prompts=(early, early))
    assert "step cache" not in caplog.text


def test_counting_tells_how_much_of_a_network_runs():
    counting = module("nodes.step_caches").counting
    network = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(3, 3)))
    with counting(network) as runs:
        assert runs == []
        network(torch.zeros(1, 3))
        network[1](torch.zeros(1, 3))
        network(torch.zeros(1, 3))
    network(torch.zeros(1, 3))
    assert runs == [8, 5]
