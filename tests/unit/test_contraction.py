"""Whether inner steps end where a network's errors would grow, on denoisers whose factor is known."""

import pytest
import torch
from latent_support import MASKED, oracle, process, run_items, sample, schedule

from phd_ops.latents.contraction import LEAST_CALLS, ContractionCheck, coarse, inverse_variance
from phd_ops.latents.guidance import GuidedModel, Prediction
from phd_ops.latents.masked_langevin import GUIDANCE_LIMIT, limit_guidance, strength

HOLE = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
HOLE[..., 2:10, 3:9] = True


def noisy(ndim=4):
    shape = {3: (2, 4, 144), 4: (2, 4, 12, 12), 5: (2, 4, 3, 12, 12)}[ndim]
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(4))


def test_coarse_is_the_mean_of_what_is_masked():
    x = torch.full((1, 2, 12, 12), 7.0)
    x[..., ~HOLE[0, 0]] = 1000.0
    assert torch.allclose(coarse(x, HOLE), torch.where(HOLE, 7.0, 0.0).expand_as(x))


@pytest.mark.parametrize("flow", [False, True])
@pytest.mark.parametrize("variance", [0.5, 2.0])
@pytest.mark.parametrize("sigma", [0.1, 0.4, 0.7])
def test_an_exact_denoiser_has_its_data_s_inverse_variance_at_every_level(variance, sigma, flow):
    sigma, x = torch.tensor(sigma), noisy()
    a = 1 - sigma if flow else torch.tensor(1.0)
    denoised = a * variance / (a**2 * variance + sigma**2) * x
    assert inverse_variance(x, denoised, sigma, HOLE, flow).tolist() == pytest.approx([1 / variance] * 2, rel=1e-3)


def test_an_estimate_that_grows_has_a_negative_figure():
    x = noisy()
    assert (inverse_variance(x, 1.05 * x, torch.tensor(0.5), HOLE, False) < 0).all()


@pytest.mark.parametrize("ndim", [3, 4, 5])
def test_latents_of_every_number_of_dimensions_are_taken(ndim):
    x = noisy(ndim)
    mask = torch.zeros(1, 1, *x.shape[2:], dtype=torch.bool)
    mask[..., 4:] = True
    assert inverse_variance(x, 0.5 * x, torch.tensor(1.0), mask, False).tolist() == pytest.approx([1.0, 1.0], rel=1e-3)


def check(*levels, values=64):
    """A check that saw these figures, for one item with so many masked values, one level after the other."""
    found = ContractionCheck(torch.zeros(1, 1, 16, 16))
    for place, figures in enumerate(levels):
        found.begin_level(torch.tensor([place == 0]))
        for figure in figures:
            found.observe(torch.tensor([figure]), torch.tensor([True]), torch.tensor([values]), 0.5)
    return found.passed.item()


@pytest.mark.parametrize(
    ("levels", "passes"),
    [
        (([1.0, 1.0], [1.05, 1.05], [1.3, 1.3]), True),
        (([1.0, 1.0], [0.5, 0.5]), False),
        (([1.0, 1.0], [1.3, 1.3], [0.85, 0.85]), False),
        (([1.0, 1.0], [1.6, 1.6]), False),
        (([-0.1, -0.1],), False),
        (([1.0] * (LEAST_CALLS - 1), [0.1] * (LEAST_CALLS - 1)), True),
        (([1.0, 1.0], [float("nan"), 1.0]), True),
    ],
    ids=["rises slowly", "falls", "falls from its largest", "rises fast", "negative", "too few calls", "not a number"],
)
def test_an_item_stops_where_the_figure_leaves_its_range(levels, passes):
    assert check(*levels) == passes


def pairs(*figures):
    return [[figure, figure] for figure in figures]


@pytest.mark.parametrize(
    ("figures", "passes"),
    [
        ((1.0, 1.0, 1.0, 1.0), True),
        ((1.0, 0.97, 0.96, 0.94), True),
        ((1.0, 0.97, 0.96, 0.9), False),
        ((1.0, 0.92, 0.92, 0.92), True),
        ((1.0, 1.0, 1.02, 1.15), False),
        ((1.0, 1.1, 1.3, 1.45), True),
    ],
    ids=["stays", "falls slowly", "falls", "falls after the first level", "rises", "rises ever more slowly"],
)
def test_an_item_with_many_masked_values_stops_where_the_figure_changes_faster_than_by_chance(figures, passes):
    assert check(*pairs(*figures), values=10**6) == passes
    # Of few values chance moves the figure more.
    assert check(*pairs(*figures), values=64)
    assert check(*pairs(*figures), values=63)


def test_a_level_without_a_figure_is_passed_over():
    assert check(*pairs(1.0, 1.0), [1.0], *pairs(0.9), values=10**6) is False


def test_what_stopped_stays_stopped_and_other_items_go_on():
    found = ContractionCheck(torch.zeros(3, 1, 1, 1))
    everyone, values = torch.tensor([True, True, False]), torch.tensor([64])
    for figures in ([1.0, -1.0, -1.0], [1.0, -1.0, -1.0], [1.0, 1.0, 1.0]):
        found.observe(torch.tensor(figures), everyone, values, 0.5)
    assert found.passed.tolist() == [True, False, True]


def erring(strength):
    good = oracle(False)
    return lambda x, sigma: strength * good(x, sigma)


def calls_of(denoise):
    calls = []
    sample(schedule(False, 15), denoise=denoise, callback=calls.append)
    return calls


def test_a_model_that_exaggerates_is_called_less_often_than_an_exact_one():
    assert len(calls_of(erring(1.1))) < len(calls_of(oracle(False))) <= 15 + 14 * 2


def test_progress_counts_saved_calls_and_ends_at_the_plan_s_last():
    numbers = [call["i"] for call in calls_of(erring(1.1))]
    assert numbers == sorted(set(numbers)) and len(numbers) < 15 + 14 * 2 == numbers[-1] + 1


@pytest.mark.parametrize("gain", [1.05, 1.1, 0.95])
def test_errors_grow_less_than_without_the_check(gain, monkeypatch):
    def error():
        x = sample(schedule(False, 15), denoise=erring(gain), inner_steps=3)
        return abs(x[..., MASKED].square().mean() - process()[3][..., MASKED].square().mean()).item()

    checked = error()
    monkeypatch.setattr(ContractionCheck, "observe", lambda *_: None)
    assert checked < 0.9 * error()


def test_an_item_that_stops_does_not_depend_on_those_that_go_on(monkeypatch):
    checks, make = [], ContractionCheck.__init__
    monkeypatch.setattr(ContractionCheck, "__init__", lambda self, x: checks.append(self) or make(self, x))

    def run(seeds):
        # The estimate of one item exaggerates.
        gains = torch.tensor([1.3 if seed == 7 else 1.0 for seed in seeds]).view(-1, 1, 1, 1)
        options = {"shape": (8, 12, 12), "mask": HOLE.float(), "sigmas": (2.0, 1.0, 0.5, 0.25, 0.0), "inner_steps": 4}
        return run_items(seeds, denoise=lambda x, sigma: gains * x / (1 + sigma.view(-1, 1, 1, 1) ** 2), **options)

    batch = run([7, 8, 9])
    assert checks[0].passed.tolist() == [False, True, True]
    for place, seed in enumerate([7, 8, 9]):
        assert torch.equal(batch[place], run([seed])[0])


def test_a_masked_region_that_widens_gets_a_new_reference():
    """Half of the data has another variance, which an exact denoiser must not be blamed for."""
    found = ContractionCheck(torch.zeros(1, 1, 1, 1))
    same, yes = torch.tensor([False]), torch.tensor([True])
    for figure, changed in ((1.0, yes), (0.5, yes), (0.5, same), (0.3, same)):
        assert found.passed.item()
        found.begin_level(changed)
        for _ in range(2):
            found.observe(torch.tensor([figure]), yes, torch.tensor([64]), 0.5)
    assert not found.passed.item()


def guided(cfg, asked):
    """The oracle as a model whose guidance pushes away from 0, and which notes whether it was asked for guidance."""
    good = oracle(False)

    def predict(x, sigma, with_guidance):
        asked.append(with_guidance)
        unguided = good(x, sigma)
        return Prediction(cfg * unguided if with_guidance else unguided, unguided)

    return GuidedModel(lambda x, sigma: predict(x, sigma, True), lambda x, sigma: predict(x, sigma, False))


def test_only_the_step_to_the_next_level_is_guided():
    asked = []
    sample(schedule(False, 6), denoise=guided(4.0, asked), inner_steps=2)
    assert asked.count(True) == 6 and asked.count(False) > 6


def test_inner_steps_do_not_add_guidance():
    def strength_with(inner_steps):
        x = sample(schedule(False, 15), denoise=guided(4.0, []), inner_steps=inner_steps)
        return x[..., MASKED].square().mean().item()

    assert strength_with(3) < strength_with(0)


def test_what_guidance_adds_is_limited_by_the_estimate_s_strength():
    unguided, masked = torch.full((1, 1, 4, 4), 2.0), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    for added, wanted in ((0.1, 0.1), (9.0, 2 * GUIDANCE_LIMIT)):
        limited = limit_guidance(Prediction(unguided + added, unguided), masked)
        assert strength(limited.denoised - unguided, masked).item() == pytest.approx(wanted)
        assert limited.unguided is unguided


def test_known_values_without_an_estimate_are_not_leaned_on():
    """Where no prompt makes an estimate it is 0, and the known noise stays as it is."""
    good, seen = oracle(False), []
    covered = torch.zeros(1, 1, 64, dtype=torch.bool)
    covered[..., MASKED] = True

    def predict(x, sigma):
        seen.append(x[..., :10].clone())
        denoised = torch.where(covered, good(x, sigma), 0)
        return Prediction(denoised, denoised, covered)

    sigmas = schedule(False, 6)
    sample(sigmas, denoise=GuidedModel(predict, predict), inner_steps=3)
    noise = (seen[0] - process()[3][..., :10]) / sigmas[0]
    for x in seen:
        apart = (x - process()[3][..., :10]) / noise
        assert (apart.flatten(1).std(1) < 1e-6).all()


def odd_models():
    good, count = oracle(False), [0]

    def nan_at_one_level(x, sigma):
        return torch.where((sigma > 1) & (sigma < 2), torch.nan, 1).view(-1, 1, 1) * good(x, sigma)

    def flips(x, sigma):
        count[0] += 1
        return (-1) ** count[0] * good(x, sigma)

    return {
        "constant": lambda x, sigma: torch.full_like(x, 0.3),
        "ten times too strong": lambda x, sigma: 10 * good(x, sigma),
        "flips its sign": flips,
        "NaN at one level": nan_at_one_level,
        "cfg 30": guided(30.0, []),
        "cfg 0": guided(0.0, []),
    }


@pytest.mark.parametrize("steps", [1, 2, 3, 15])
@pytest.mark.parametrize("name", odd_models())
def test_odd_models_give_something_bounded_on_any_schedule(name, steps):
    sigmas = (
        schedule(False, 15) if steps == 15 else torch.tensor([9.0, 2.5, 0.4, 0.0], dtype=torch.float64)[3 - steps :]
    )
    x = sample(sigmas, denoise=odd_models()[name], inner_steps=3)
    assert x.isfinite().all()
    if "NaN" not in name:
        # Inner steps may add to what plain sampling makes of such a model, but do not run away from it.
        plain = sample(sigmas, denoise=odd_models()[name], inner_steps=0)
        assert x.abs().max() <= 30 * plain.abs().max().clamp(min=1)
