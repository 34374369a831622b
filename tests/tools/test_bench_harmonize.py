"""`dev.py bench harmonize --quick` has all figures and prints where rivals win; its model is the exact denoiser."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from bench_support import ran
from PIL import Image

from benchmarks.harmonize import scenes as scenes_of
from benchmarks.harmonize.report import FLOOR, OWN, beaten
from benchmarks.harmonize.run import TIMES, WANTED, holds, main
from benchmarks.harmonize.scenes import NONE, PROMPTS, RIGHT, WRONG, Denoiser, draw_scenes

METHODS = {
    "ours", "with_reference", "paste", "feather", "reinhard", "poisson", "sdedit", "ksampler", "ksampler_relight",
    "langevin",
}  # fmt: skip
STRATA = ("own_color", "same_color")


@pytest.fixture(scope="module")
def benchmark(comfyui, tmp_path_factory):
    """Exit status, what was printed, and the folder with the images."""
    return ran(main, tmp_path_factory.mktemp("bench_harmonize"))


@pytest.fixture(scope="module")
def figures(benchmark):
    return json.loads(benchmark[1][-1])


@pytest.fixture(scope="module")
def case(pack):
    from benchmarks.harmonize import methods

    return methods.case(4, seed=11)


def test_the_last_line_is_json_with_all_figures(figures):
    assert set(WANTED) <= set(figures)
    for stratum in STRATA:
        assert set(figures[stratum]) >= METHODS
    for part in ("wrong_prompt", "no_prompt"):
        assert set(figures[part]) >= set(OWN)
    for part in (*STRATA, "wrong_prompt", "no_prompt", "ablations"):
        for score in figures[part].values():
            assert set(score) == {"fmse", "identity", "edge", "ring", "calls", "worse"}
            assert np.isfinite(list(score.values())).all()


def test_outside_is_the_background_and_the_smoother_is_exact(figures):
    assert figures["outside_equal"] is True
    assert holds("smoother_linear_error", figures["smoother_linear_error"])


def test_no_more_calls_are_made_than_allowed(figures):
    assert all(0 < figures[part][name]["calls"] <= 36 for part in (*STRATA, "no_prompt") for name in OWN)


def test_the_exit_status_is_0_where_all_exact_figures_hold(benchmark, figures):
    assert benchmark[0] == (0 if all(holds(name, figures[name]) for name in WANTED if name not in TIMES) else 1)


def test_every_win_of_a_rival_is_printed(benchmark, figures):
    printed = "\n".join(benchmark[1])
    for stratum in STRATA:
        for line in beaten(figures[stratum]):
            assert f"! {line.split(':')[0]}" in printed


def test_beaten_names_every_rival_that_wins_but_not_the_lower_bound():
    scores = {name: {"fmse": 0.05} for name in OWN} | {"poisson": {"fmse": 0.02}, FLOOR: {"fmse": 0.01}}
    assert [line.split(":")[0] for line in beaten(scores)] == ["poisson beats ours", "poisson beats with_reference"]


def test_known_weaknesses_of_rivals_are_reproduced(figures):
    """Color statistics and Poisson editing repaint a subject of its own color; KSampler loses its identity."""
    own, same = figures["own_color"], figures["same_color"]
    assert min(own["poisson"]["fmse"], own["reinhard"]["fmse"]) > own["paste"]["fmse"] > own["ours"]["fmse"]
    assert same["poisson"]["fmse"] < 0.1 * same["paste"]["fmse"]
    assert own["ksampler"]["fmse"] > 2 * own["ours"]["fmse"] and own["ksampler"]["identity"] < 0.5
    assert own["ksampler_relight"]["fmse"] > own["with_reference"]["fmse"]


def test_errors_on_few_scenes_are_near_the_bounds_for_many(figures):
    own, other = figures["own_color"], {name: figures[name]["with_reference"] for name in ("wrong_prompt", "no_prompt")}
    assert own["with_reference"]["fmse"] <= 0.04 and own["ours"]["fmse"] <= 0.06
    assert min(own[name]["identity"] for name in OWN) >= 0.985
    assert other["wrong_prompt"]["fmse"] <= 0.045 and other["no_prompt"]["fmse"] <= 0.15
    assert figures["worse_than_paste"] <= 1 / 16


def test_a_wrong_prompt_spoils_relight_without_a_reference_but_not_with_one(figures):
    wrong, right = figures["wrong_prompt"], figures["own_color"]
    assert wrong["ours"]["fmse"] > 1 > 0.1 > wrong["with_reference"]["fmse"]
    assert wrong["with_reference"]["fmse"] < 1.5 * right["with_reference"]["fmse"]


def test_a_mask_that_does_not_cover_the_subject_keeps_the_wrong_light(figures):
    worth = {name: score["fmse"] for name, score in figures["ablations"].items()}
    assert worth["mask_coarse_cover"] < 0.5 * min(worth["mask_coarse_mean"], worth["mask_coarse_nearest"])
    assert worth["mask_eroded_1"] > 3 * worth["ours"]
    assert worth["no_inner_steps"] > 2 * worth["ours"]
    studios = [worth[f"reference_{kind}"] for kind in ("studio", "white_studio", "dark_studio")]
    assert max(studios) < 1.3 * worth["ours"]


def test_around_the_subject_stitch_keeps_the_background(figures):
    rings = figures["ablations"]
    assert rings["ring"]["ring"] < 0.2 * rings["ring_models"]["ring"]
    assert rings["ring"]["edge"] < rings["ring_models"]["edge"]
    assert rings["ring"]["fmse"] <= 1.01 * rings["ring_models"]["fmse"]


def test_the_images_are_drawn(benchmark):
    sheet = Image.open(benchmark[2] / "bench_harmonize.png")
    assert sheet.width > 1000 and np.asarray(sheet).std() > 10


def test_two_runs_of_a_stratum_are_the_same(pack):
    from benchmarks.harmonize import methods as run

    two = run.case(2, seed=11)
    one, other = (run.with_reference(run.case(2, seed=11)) for _ in range(2))
    assert torch.equal(one.scene, other.scene) and torch.equal(one.reference, other.reference)
    assert np.array_equal(*(run.stitch(two, done.scene, done.reference)[0] for done in (one, other)))


def test_fewer_scenes_are_the_first_of_more(case):
    from benchmarks.harmonize import methods as run

    assert torch.allclose(run.ours(case.first(2)).scene, run.ours(case).scene[:2], atol=1e-4)


def test_images_give_the_log_light_back():
    light = torch.linspace(-5, 3.4, 2 * scenes_of.SIDE**2, dtype=torch.float64).view(2, -1)
    assert torch.allclose(scenes_of.log_light(scenes_of.make_image(light, 8)), light, atol=1e-4)


def test_model_pixels_without_relight_are_what_stitch_gives_without_detail(case):
    from benchmarks.harmonize import methods as run

    done = run.ours(case)
    images, equal = run.stitch(case, done.scene, detail=0.0, color_fix=0.0)
    assert equal
    inside = case.matte > 0
    assert np.allclose(images[:, inside], case.decoded(done.scene)[:, inside], atol=1e-6)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize(("a", "sigma"), [(1.0, 0.5), (0.3, 2.0)])
def test_the_estimate_is_the_formula_of_normal_data(prompt, a, sigma):
    """mean + C a (a² C + sigma² I)^-1 (x - a mean), solved densely."""
    scenes = draw_scenes(3, seed=5)
    x = torch.randn(3, scenes_of.SIDE**2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    albedo, eye = scenes_of.named_albedo(scenes, prompt), torch.eye(scenes_of.SIDE**2, dtype=torch.float64)
    subject = scenes.subject.double()
    open_ = scenes_of.ALBEDO_WITHOUT_PROMPT if prompt == NONE else scenes_of.ALBEDO_WITH_PROMPT
    covariance = scenes_of.kernel(scenes_of.LIGHT_LENGTH, scenes_of.LIGHT) + scenes_of.GRAIN**2 * eye
    covariance += scenes_of.kernel(scenes_of.TEXTURE_LENGTH, scenes_of.TEXTURE)
    covariance += open_**2 * torch.outer(subject, subject)
    mean = 0 if albedo is None else albedo[:, None] * subject
    expected = mean + (x - a * mean) @ torch.linalg.solve(a * a * covariance + sigma**2 * eye, a * covariance)
    assert torch.allclose(Denoiser(scenes.subject)(x, a, sigma, albedo), expected, atol=1e-6)


def test_no_other_linear_estimate_is_nearer_to_drawn_scenes():
    """On scenes drawn from its own distribution the estimate has the least error: a larger or smaller step is worse."""
    scenes, sigma = draw_scenes(512, seed=6), 1.0
    noise = torch.randn(scenes.truth.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = scenes.truth + sigma * noise
    estimates = {
        prompt: Denoiser(scenes.subject)(x, 1.0, sigma, scenes_of.named_albedo(scenes, prompt)) for prompt in PROMPTS
    }
    errors = {prompt: scenes_of.squared_error(estimate, scenes).mean() for prompt, estimate in estimates.items()}
    assert errors[RIGHT] < errors[NONE] < errors[WRONG]
    best = estimates[RIGHT]
    for more in (0.9, 1.1):
        assert (x + more * (best - x) - scenes.truth).square().mean() > (best - scenes.truth).square().mean()


@pytest.mark.parametrize("family", ["EPS", "V_PREDICTION", "FLOW"])
def test_every_item_has_its_own_prompt_in_the_network(pack, family):
    """Three prompts and a batch of six: ComfyUI repeats a conditioning over a larger batch."""
    import comfy.samplers

    from benchmarks.harmonize.oracle import as_latent, harmonizing_oracle

    scenes = draw_scenes(3, seed=7)
    denoiser = Denoiser(scenes.subject)
    model = harmonizing_oracle(denoiser, family)
    prompts = torch.tensor([[[1.2, 1.0]], [[-0.6, 1.0]], [[0.0, 0.0]]])
    x = torch.cat([as_latent(scenes.truth)["samples"], as_latent(scenes.reference)["samples"]])
    sigma = 0.6
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds([[prompts, {}]], [[prompts, {}]])
    guider.set_cfg(1.0)
    made = estimate_of(guider, model, x, sigma)
    a = 1 - sigma if family == "FLOW" else 1.0
    light = x.double().flatten(1)
    named = torch.tensor([1.2, -0.6], dtype=torch.float64)
    for place in (0, 3):
        expected = torch.cat([
            denoiser(light[place : place + 2], a, sigma, named),
            denoiser(light[place + 2 : place + 3], a, sigma, None),
        ])  # fmt: skip
        assert torch.allclose(made[place : place + 3].double().flatten(1), expected, atol=1e-4)


def estimate_of(guider, model, x: torch.Tensor, sigma: float) -> torch.Tensor:
    """The estimate of a guider's model for a noisy latent, through ComfyUI's own sampling."""
    import comfy.samplers

    seen = []

    def once(wrapped, noisy, sigmas, extra_args=None, **_):
        seen.append(wrapped(x, torch.full((len(x),), sigma), **extra_args))
        return noisy

    sampler = comfy.samplers.KSAMPLER(once)
    guider.sample(torch.zeros_like(x), torch.zeros_like(x), sampler, torch.tensor([1.0, 0.0]), disable_pbar=True)
    return seen[0]


def test_identity_is_one_for_the_truth_in_any_light_and_less_for_another_texture(case):
    from benchmarks.harmonize.score import identity

    scenes = case.scenes
    at = torch.arange(scenes_of.SIDE**2, dtype=torch.float64)
    lit = scenes.texture + 0.02 * (at % scenes_of.SIDE) - 0.03 * (at // scenes_of.SIDE)
    assert torch.allclose(identity(lit, case), torch.ones(4, dtype=torch.float64))
    assert (identity(scenes.texture.roll(1, 0), case) < 0.5).all()


def test_membrane_keeps_a_constant_step_and_poisson_takes_one_away(case):
    from benchmarks.harmonize.rivals import continued, log_poisson

    subject = case.scenes.subject
    steps = continued(subject, lambda inner, outer: torch.full((1, len(inner)), 0.7, dtype=torch.float64))
    assert torch.allclose(steps, torch.full_like(steps, 0.7))
    light = log_poisson(case)
    raised = replace(case.scenes, composite=case.scenes.composite + 0.5 * subject)
    assert torch.allclose(log_poisson(replace(case, scenes=raised)), light)
