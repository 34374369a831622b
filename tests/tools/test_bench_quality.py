"""`dev.py bench quality`: its figures mean what they should, no result is lost, any workflow can be scored."""

import contextlib
import csv
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_support import has_sprites, ran

from benchmarks.common import iharmony
from benchmarks.common.bootstrap import interval, ratio_interval
from benchmarks.common.comfyui import silent
from benchmarks.common.subject_scores import FIGURES, score
from benchmarks.common.table import holds
from benchmarks.quality import consistency
from benchmarks.quality import docs as quality_docs
from benchmarks.quality import report as quality_report
from benchmarks.quality import run as quality
from benchmarks.quality import scenes as quality_scenes
from benchmarks.quality.measure import measure_method
from benchmarks.quality.plan import RESULTS, Plan
from benchmarks.quality.store import MethodRun, Store
from benchmarks.quality.table import (
    FOREGROUND,
    IN_JSON,
    OWN,
    UNITS,
    Result,
    gathered,
    over_seeds,
    parts_of,
    units_as_json,
    worse,
)  # fmt: skip
from devtools.executor import load_core_extras
from devtools.paths import ROOT
from phd_ops.pixels.color import linear_to_srgb, srgb_to_linear
from relit_scenes import subjects
from relit_scenes.descriptions import STRATA
from relit_scenes.draw import draw_scene
from training import classifier

WORKFLOWS = Path(quality.__file__).parent / "workflows"
RUN = MethodRun("abc", "test", "ours", 36, "steps=18", 0)


@pytest.fixture
def solids(monkeypatch):
    """Scenes of solids, which need no package from npm."""
    monkeypatch.setattr(quality_scenes, "draw_scene", functools.partial(draw_scene, kinds=("solid",)))
    return quality_scenes.scene


@pytest.fixture
def given(solids):
    return solids(0, "validation")


def row(value: float = 0.5) -> dict:
    return {"stratum": "mixed", "calls": 36, "seconds": 0.1, **dict.fromkeys(FIGURES, value)}


# Scores


def test_the_truth_has_no_error(given):
    figures = score(given.truth, given)
    assert figures["fmse"] == figures["de00"] == figures["light"] == figures["boundary"] == 0
    assert figures["ring"] == figures["ring_edge"] == figures["seam"] == 0
    assert figures["mse_255"] == figures["fmse_255"] == 0 and figures["psnr"] > 100
    assert figures["shadow_iou"] > 0.9


def test_a_halo_is_an_error_of_the_ring_and_of_its_seam(given):
    halo = given.truth.copy()
    halo[(given.harmonize_mask > 0) & (np.maximum(given.matte, given.true_matte) == 0)] += 0.1
    figures = score(halo, given)
    assert figures["ring"] == pytest.approx(0.01, rel=1e-3) and figures["seam"] == pytest.approx(0.01, rel=1e-3)
    assert figures["fmse"] == 0
    # The subject's own error is no halo.
    halo = given.truth.copy()
    halo[given.true_matte > 0] += 0.1
    figures = score(halo, given)
    assert figures["ring"] == figures["seam"] == 0


def test_a_file_of_an_older_version_is_written_anew(tmp_path):
    file, run = tmp_path / "rows.csv", MethodRun("weights", "test", "ours", 36, "", 0)
    Store(file).add(run, {0: row()})
    lines = file.read_text().splitlines()
    file.write_text(lines[0].replace(",ring,", ",") + "\n" + lines[1] + "\n")
    older = Store(file)
    assert older.missing(run, [0]) == [0]
    older.add(run, {0: row(0.25)})
    assert Store(file).rows[run][0]["ring"] == 0.25 and len(file.read_text().splitlines()) == 2


def test_fmse_is_the_mean_square_over_the_subject(given):
    off = given.truth.copy()
    off[given.true_matte > 0.5] += 0.1
    off[given.true_matte <= 0.5] += 0.3
    assert score(off, given)["fmse"] == pytest.approx(0.01, rel=1e-3)


def test_iharmony_figures_are_those_of_eight_bits_at_256_pixels():
    truth = np.full((256, 256, 3), 100 / 255, np.float32)
    subject, image = np.zeros((256, 256), bool), truth.copy()
    subject[:64] = True
    # Rounded to 110 levels; the rest has an error of its own.
    image[:64] = 110.4 / 255
    image[64:128] = 120 / 255
    found = {name: measure(image, truth, subject) for name, measure in iharmony.MEASURES.items()}
    assert found["fmse_255"] == 100 and found["mse_255"] == (100 + 400) / 4
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / 125))
    # Smaller images are resized, which leaves flat parts as they are.
    small = [part[::2, ::2] for part in (image, truth, subject)]
    assert iharmony.fmse(*small) == pytest.approx(100, rel=0.05)


def test_light_error_is_the_square_of_a_light_that_is_off_everywhere(given):
    dimmer = linear_to_srgb(srgb_to_linear(given.truth) * np.float32(np.exp(-0.3)))
    assert score(dimmer, given)["light"] == pytest.approx(0.09, rel=0.05)


def test_identity_sees_texture_and_not_light(solids):
    drawn = (solids(number, "validation") for number in range(60))
    striped = next(scene for scene in drawn if scene.description.scene.subject.pattern == "striped")
    brighter = linear_to_srgb(np.clip(srgb_to_linear(striped.composite) * 1.3, 0, 1))
    inside = striped.matte > 0.5
    flat = striped.composite.copy()
    flat[inside] = flat[inside].mean(0) + 0.01 * np.random.default_rng(0).standard_normal((inside.sum(), 3))
    assert score(brighter, striped)["identity"] > 0.98
    assert abs(score(flat.astype(np.float32), striped)["identity"]) < 0.3


def test_one_changed_pixel_outside_the_masks_is_detected(given):
    assert score(given.composite, given)["outside_equal"] == 1
    touched = given.composite.copy()
    touched[0, 0, 0] += 1e-6 + np.spacing(touched[0, 0, 0])
    assert score(touched, given)["outside_equal"] == 0


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (np.zeros((64, 64, 3), np.float32), r"of shape \(128, 128, 3\) is needed, but got shape \(64, 64, 3\)"),
        (np.full((128, 128, 3), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_an_image_of_wrong_size_or_with_nan_is_refused(given, wrong, problem):
    with pytest.raises(ValueError, match=problem):
        score(wrong, given)


# Kept rows


def test_a_store_reads_the_rows_of_an_earlier_one(tmp_path):
    store = Store(tmp_path / "folder" / "rows.csv")
    assert store.missing(RUN, range(3)) == [0, 1, 2]
    store.add(RUN, {0: row(), 2: row(0.25)})
    again = Store(store.file)
    assert again.missing(RUN, range(4)) == [1, 3]
    assert again.rows[RUN][2]["fmse"] == 0.25 and again.rows[RUN][2]["stratum"] == "mixed"


def test_a_row_that_was_cut_off_is_measured_again(tmp_path):
    store = Store(tmp_path / "rows.csv")
    store.add(RUN, {0: row(), 1: row()})
    store.file.write_text(store.file.read_text()[:-25])
    again = Store(store.file)
    assert again.missing(RUN, range(2)) == [1]
    again.add(RUN, {1: row(0.125)})
    assert Store(store.file).rows[RUN] == {0: row(), 1: row(0.125)}


@pytest.mark.parametrize("other", [("weights", "abd"), ("settings", "steps=9"), ("split", "validation"), ("seed", 1)])
def test_rows_of_other_weights_or_settings_are_ignored(tmp_path, other):
    store = Store(tmp_path / "rows.csv")
    store.add(RUN, {0: row()})
    changed = MethodRun(**{**vars(RUN), other[0]: other[1]})
    assert Store(store.file).missing(changed, [0]) == [0]


def test_a_run_measures_only_the_missing_scenes(tmp_path, solids):
    plan, store, asked = Plan(5, 1, (10,), "validation", tmp_path), Store(tmp_path / "rows.csv"), []
    store.add(RUN, {0: row(), 3: row()})

    class Given:
        def __init__(self, numbers):
            self.scenes = [solids(number, "validation") for number in numbers]
            asked.append(numbers)

        def __len__(self):
            return len(self.scenes)

    class Method:
        calls = 36

        @staticmethod
        def run(chunk, seed):
            return np.stack([scene.truth for scene in chunk.scenes])

    for _ in range(2):
        measure_method(plan, store, RUN, Method, Given)
    assert asked == [(1, 2, 4)]
    assert store.missing(RUN, range(5)) == [] and store.rows[RUN][4]["fmse"] == 0


# Means and intervals


def test_a_method_has_a_result_only_when_all_scenes_and_seeds_are_measured(tmp_path):
    store, runs = Store(tmp_path / "rows.csv"), [RUN, MethodRun(**{**vars(RUN), "seed": 1})]
    store.add(runs[0], {0: row(0.2), 1: row(0.4)})
    assert gathered(store, runs, "ours", range(2)) is None
    store.add(runs[1], {0: row(0.4), 1: row(0.4)})
    np.testing.assert_allclose(gathered(store, runs, "ours", range(2)).values["fmse"], [0.3, 0.4])


def test_the_mean_over_seeds_skips_missing_values():
    seen = over_seeds(np.array([[np.nan, 1.0, np.nan], [3.0, 2.0, np.nan]]))
    np.testing.assert_array_equal(seen, [3.0, 1.5, np.nan])


def test_the_bootstrap_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(2, 1, 400)
    low, high = interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_the_ratio_interval_is_paired_by_scene():
    theirs = np.random.default_rng(2).lognormal(0, 1, 300)
    assert ratio_interval(0.5 * theirs, theirs) == pytest.approx((0.5, 0.5))


def test_all_strata_have_equally_many_scenes_and_can_be_selected():
    strata = np.array([quality_scenes.stratum_of(number) for number in range(16)])
    assert all((strata == name).sum() == 2 for name in STRATA)
    whole = Result("paste", "paste", "", 0, 0, strata, {"fmse": np.arange(16.0)})
    assert len(whole.of(OWN).stratum) == 14 and whole.of(("gradient",)).mean("fmse") == 7


def of_shares(*rows: tuple[float, float]) -> Result:
    """A result with one scene for each share of the image and error."""
    shares, errors = np.array(rows).T
    values = {"foreground": shares, "fmse": errors, "mse_255": shares * errors, "fmse_255": errors, "psnr": 40 - errors}
    return Result("ours", "ours", "", 36, 36, np.array([STRATA[0]] * len(rows)), values)


def test_scenes_are_sorted_by_the_subjects_share_of_the_image():
    result = of_shares((0.049, 1.0), (0.05, 2.0), (0.149, 4.0), (0.15, 8.0), (1.0, 10.0))
    parts = parts_of(result)
    assert [parts[name].mean("fmse") for name in FOREGROUND] == [1, 3, 9]


def test_units_of_iharmony_are_given_by_stratum_and_size_with_the_share_worse_than_the_paste():
    ours, paste = of_shares((0.1, 1.0), (0.1, 5.0), (0.2, 2.0)), of_shares((0.1, 3.0), (0.1, 3.0), (0.2, 2.0))
    paste = Result("paste", *list(vars(paste).values())[1:])
    assert worse(ours, paste) == pytest.approx(1 / 3) and worse(paste, paste) == 0
    units = units_as_json([ours, paste])
    assert units["all"]["n"] == 3 and {*units["all"]["ours"]} == {*UNITS, "worse"}
    assert units["foreground"]["0-5 %"] == {"n": 0}
    assert units["foreground"]["5-15 %"]["ours"] == {"mse": 0.3, "fmse": 3.0, "psnr": 37.0, "worse": 0.5}
    assert units["strata"][STRATA[0]]["n"] == 3 and units["strata"][STRATA[1]] == {"n": 0}


# Other scenes than the published ones


def test_a_run_from_another_first_scene_has_other_scenes_of_all_strata_and_is_not_published():
    plan = quality.planned(quality.parsed(["--first-scene", "1003"]))
    assert plan.numbers == range(1003, 1203) and not plan.published and plan.folder != RESULTS
    assert quality.planned(quality.parsed([])).published
    assert {quality_scenes.stratum_of(number) for number in plan.numbers[:8]} == {*STRATA}


def test_scenes_from_other_numbers_share_no_row(tmp_path, solids):
    class Method:
        calls = 36

        @staticmethod
        def run(chunk, seed):
            return chunk.stacked("truth")

    store = Store(tmp_path / "rows.csv")
    store.add(RUN, {0: row(), 1: row()})
    given = functools.partial(solids, split="validation")
    plan = Plan(2, 1, (10,), "validation", tmp_path, first=1)
    measure_method(plan, store, RUN, Method, lambda numbers: quality_scenes.Chunk(list(map(given, numbers)), None))
    assert store.rows[RUN][0] == store.rows[RUN][1] == row() and store.rows[RUN][2]["fmse"] == 0
    assert not np.array_equal(solids(2, "validation").truth, solids(1002, "validation").truth)


# Without truth


def changes_of(run, solids) -> dict[str, float]:
    (found,) = consistency.figures_of(run, [solids(4, "validation")], None)
    return found


def test_a_paste_does_not_add_up_and_never_changes(solids):
    found = changes_of(lambda chunk, seed: chunk.composites, solids)
    assert found["light_error"] == pytest.approx(1, abs=1e-3)
    assert found["seed_change"] == 0 and found["crop_change"] < 1e-3 and found["mask_change"] < 1e-3


def test_a_result_in_proportion_to_the_light_adds_up(solids):
    def lit(chunk, seed):
        return linear_to_srgb(0.5 * srgb_to_linear(chunk.backgrounds))

    found = changes_of(lit, solids)
    assert found["light_error"] < 1e-3 and found["crop_change"] < 1e-3


def test_changes_by_seed_mask_and_crop_are_counted_in_levels(solids):
    usual = solids(4, "validation").harmonize_mask.sum()

    def changing(chunk, seed):
        wider = chunk.mask.numpy().sum((1, 2)) > usual
        # A level more with each pixel to the right, whatever the scene shows there.
        levels = np.arange(128) + 3 * wider[:, None, None] + 7 * seed
        return np.float32(np.broadcast_to(levels[..., None] / 255, chunk.composites.shape))

    found = changes_of(changing, solids)
    # Of the two masks one is wider; a crop that moves by (5, 3) moves the levels by 5.
    assert [found[name] for name in consistency.FIGURES[1:]] == pytest.approx([1.5, 7, 5], abs=1e-3)


def test_what_needs_no_truth_is_measured_once(tmp_path, monkeypatch, solids):
    class Method:
        name, label, calls, settings = "mine", "mine", 0, "1"
        runs = []

        @staticmethod
        def run(chunk, seed):
            Method.runs.append(seed)
            return chunk.composites

    monkeypatch.setattr(consistency, "SCENES", 1)
    monkeypatch.setattr(consistency, "DemoModel", lambda: None)
    plan = Plan(8, 1, (10,), "validation", tmp_path)
    (first,) = consistency.measure(plan, "weights", [Method])
    made = len(Method.runs)
    (again,) = consistency.measure(plan, "weights", [Method])
    assert made == len(Method.runs) == 7
    assert {name: first.mean(name) for name in consistency.FIGURES} == {
        name: pytest.approx(again.mean(name)) for name in consistency.FIGURES
    }


# Methods


def test_the_nodes_defaults_are_those_of_their_widgets(pack):
    from benchmarks.common.comfyui import widget_defaults
    from benchmarks.quality.methods import at_node_defaults

    for method in at_node_defaults():
        for node in ("PhDHarmonizeSampler", "PhDStitch"):
            listed = {f"{name}={value}" for name, value in widget_defaults(node).items() if name != "seed"}
            assert all(setting in method.settings for setting in listed)


def test_every_method_makes_as_many_model_calls_as_it_declares_and_no_more_than_its_level(pack, solids):
    from benchmarks.quality.methods import methods

    load_core_extras()
    with torch.inference_mode(), silent():
        chunk = quality_scenes.Chunk([solids(3, "validation")], quality_scenes.DemoModel())
        counted = []
        for level, listed in methods((10, 36, 60, 120)).items():
            assert len({method.name for method in listed}) == len(listed)
            for method in listed:
                assert method.calls <= level or level == 0
                if level <= 10:
                    with calls_of_all_models() as calls:
                        (image,) = method.run(chunk, 0)
                    counted.append((method.name, method.calls, len(calls)))
                    assert image.shape == (128, 128, 3) and np.isfinite(image).all()
    # With inner steps a run may make fewer.
    fewer = {"single_defaults", "with_reference_defaults"}
    assert [name for name, declared, made in counted if declared != made and name not in fewer] == []
    assert all(0 < made <= declared for name, declared, made in counted if name in fewer)


@contextlib.contextmanager
def calls_of_all_models():
    import comfy.model_base

    calls, original = [], comfy.model_base.BaseModel.apply_model

    def counted(self, x, *args, **kwargs):
        calls.extend(range(len(x)))
        return original(self, x, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comfy.model_base.BaseModel, "apply_model", counted)
        yield calls


# Any workflow


@pytest.fixture
def scored(pack, tmp_path, monkeypatch, capsys):
    """Runs `--workflow` on solids; returns the exit status, the printed lines and the error output."""
    monkeypatch.setattr("devtools.executor.set_directories", lambda *folders: None)
    monkeypatch.setattr(subjects, "sprite_archive", bytes)
    monkeypatch.setattr(quality_scenes, "draw_scene", functools.partial(draw_scene, kinds=("solid",)))
    import folder_paths

    def run(file, *arguments):
        folder = Path(folder_paths.get_input_directory()).parent
        with pytest.MonkeyPatch.context() as patch:
            # The session's own folders serve in place of temporary ones.
            patch.setattr("tempfile.TemporaryDirectory", lambda: contextlib.nullcontext(folder))
            status = quality.main(["--workflow", str(file), "--out", str(tmp_path), "--quick", *arguments])
        printed = capsys.readouterr()
        return status, printed.out.strip().splitlines(), printed.err

    return run


def test_a_workflow_is_scored_beside_the_paste_and_measured_once(scored, tmp_path):
    few = json.loads((WORKFLOWS / "phd.json").read_text())
    next(node for node in few.values() if node["class_type"] == "PhDHarmonizeSampler")["inputs"]["steps"] = 2
    file = tmp_path / "few.json"
    file.write_text(json.dumps(few))
    status, lines, _ = scored(file, "--scenes", "8")
    printed = json.loads(lines[-1])
    assert status == 0 and printed["n"] == 8
    for group in ("own_color", "same_color"):
        assert {*printed[group]} == {"workflow", "paste"}
        assert {*printed[group]["workflow"]} == {*IN_JSON, "worse", "fmse_ci", "calls"}
    assert printed["own_color"]["workflow"]["calls"] == 4
    assert {*printed["iharmony_units"]["all"]} == {"n", "workflow", "paste"}
    assert printed["own_color"]["workflow"]["fmse"] != printed["own_color"]["paste"]["fmse"]
    rows = Store(tmp_path / "quality_scenes.csv").rows
    assert all(row["outside_equal"] == 1 for run in rows.values() for row in run.values())
    again = scored(file, "--scenes", "8")
    assert again[1][-1] == lines[-1] and not any("model calls" in line for line in again[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda nodes: "{", "is not a readable JSON file"),
        (lambda nodes: [], "is not in ComfyUI's API format"),
        (lambda nodes: {"nodes": [], "links": []}, "is not in ComfyUI's API format"),
        (lambda nodes: {name: node for name, node in nodes.items() if name != "10"}, "is titled Result"),
        (lambda nodes: nodes["2"].update(_meta={}), "takes no scene; title its Load Image nodes Composite"),
        (lambda nodes: nodes["2"]["inputs"].clear(), "the node titled Composite has no input image"),
        (
            lambda nodes: nodes["4"]["inputs"].__delitem__("text"),
            "the node titled Prompt has no input text or prompt or value",
        ),
        (lambda nodes: nodes["8"].update(class_type="NoSuchNode"), "this ComfyUI has no node 'NoSuchNode'"),
        (lambda nodes: nodes["10"]["inputs"].update(images=["7", 0]), "--workflow: "),
    ],
)
def test_a_workflow_that_cannot_be_scored_gives_one_sentence(scored, tmp_path, change, message):
    nodes = json.loads((WORKFLOWS / "ksampler.json").read_text())
    changed = change(nodes)
    file = tmp_path / "mine.json"
    file.write_text(changed if isinstance(changed, str) else json.dumps(nodes if changed is None else changed))
    status, _, error = scored(file, "--scenes", "8")
    assert status == 2 and message in error and error.count("\n") == 1


def test_a_missing_workflow_is_named(scored, tmp_path):
    status, _, error = scored(tmp_path / "none.json")
    assert status == 2 and "none.json is not a readable JSON file" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--levels", "10,11"], "is not a list of 10, 36, 60, 120"),
        (["--scenes", "3"], "is not a number of at least 8"),
        (["--first-scene", "-8"], "is not a whole number of 0 or more"),
        (["--side", "100"], "is not a multiple of 8"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        quality.main(arguments)
    assert message in capsys.readouterr().err


def test_damaged_weights_are_named(pack, tmp_path, monkeypatch, capsys):
    from devtools.comfyui import load_pack

    demo_weights = load_pack().nodes.demo_weights
    shutil.copytree(demo_weights.WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(demo_weights, "WEIGHTS", tmp_path / "weights")
    monkeypatch.setattr("devtools.executor.set_directories", lambda *folders: None)
    monkeypatch.setattr(subjects, "sprite_archive", bytes)
    (tmp_path / "weights" / "classifier.safetensors").unlink()
    assert quality.main(["--quick", "--out", str(tmp_path / "out")]) == 2
    assert "classifier.safetensors is missing" in capsys.readouterr().err


# The classifier


@pytest.mark.parametrize(
    ("prompt", "noun"),
    [
        ("a red teddy bear on sand before trees under a blue sky, warm light from the left", "teddy bear"),
        ("an orange striped cone before an orange flower and dark leaves", "cone"),
        ("on sand before a brick wall, warm light from the left, dim", "nothing"),
        ("before an orange flower and dark leaves, neutral daylight from the right", "nothing"),
        ("a brown cat", "cat"),
    ],
)
def test_the_class_that_a_prompt_names(prompt, noun):
    assert classifier.CLASSES_AND_NONE[classifier.class_of(prompt)] == noun


def test_the_classifier_recognizes_held_out_solids(pack):
    from relit_scenes.training_scenes import training_pair
    from training.data import as_tensor

    shown = [training_pair(seed, split="validation", kinds=("solid",)) for seed in range(60)]
    images = as_tensor([np.ascontiguousarray(image) for image, _ in shown])
    assert classifier.accuracy(classifier.load(), images, [prompt for _, prompt in shown]) > 0.6


# A whole run


@pytest.fixture(scope="module")
def benchmark(pack, tmp_path_factory):
    """Exit status, printed lines, and the folder of the results, of a run with few small scenes and drawn images."""
    from benchmarks.quality import measure, model, sheet
    from benchmarks.quality.methods import methods

    if not has_sprites():
        pytest.skip("the npm package with the sprites cannot be had here")
    with pytest.MonkeyPatch.context() as patch:
        # A quick run has a quarter of these.
        for name, count in (("TRUTHS", 8), ("DRAWN", 4), ("HOLES", 4)):
            patch.setattr(model, name, count)
        # Without truth, two methods on one scene.
        patch.setattr(consistency, "SCENES", 1)
        few = {level: [listed[level and 1]] for level, listed in methods((10,)).items()}
        patch.setattr(quality_report, "methods", lambda levels: few)
        for module in (measure, sheet, consistency):
            patch.setattr(module, "scene", functools.partial(quality_scenes.scene, side=64))
        folder = tmp_path_factory.mktemp("bench_quality")
        return ran(quality.main, folder, "--scenes", "8", "--levels", "10", "--votes", str(folder / "votes"))


@pytest.fixture(scope="module")
def printed(benchmark):
    """The line of JSON."""
    return json.loads(benchmark[1][-1])


def test_the_last_line_is_json_with_all_figures(printed):
    assert printed["n"] == 8 and {*quality.WANTED} <= {*printed}
    for group in ("own_color", "same_color"):
        assert {"ours", "with_reference", "paste", "poisson", "ksampler", "repaint", "lanpaint"} <= {*printed[group]}
        for figures in printed[group].values():
            assert {*figures} == {*IN_JSON, "worse", "fmse_ci", "calls"}
            assert figures["fmse_ci"][0] <= figures["fmse"] <= figures["fmse_ci"][1]
    assert {*printed["strata"]} == {*STRATA} and printed["outside_equal"] is True


def test_the_line_of_json_has_iharmony_units_and_what_needs_no_truth(printed):
    units, changes = printed["iharmony_units"], printed["consistency"]
    assert units["all"]["n"] == 8 and {*units["strata"]} == {*STRATA} and {*units["foreground"]} == {*FOREGROUND}
    assert {*units["all"]["with_reference_defaults"]} == {*UNITS, "worse"}
    assert {*changes} == {"n", "paste", "with_reference"} and changes["n"] == 1
    assert {*changes["with_reference"]} == {*consistency.FIGURES}
    assert changes["paste"]["light_error"] == pytest.approx(1, abs=0.01)


def test_the_exit_status_is_0_only_if_all_bounds_hold(benchmark, printed):
    assert benchmark[0] == (0 if all(holds(quality.WANTED, name, printed[name]) for name in quality.WANTED) else 1)


def test_rivals_that_win_are_named(benchmark, printed):
    own = printed["own_color"]
    winners = {name for name, row in own.items() if row["fmse"] < own["with_reference"]["fmse"]} - {
        *quality_report.OURS
    }
    assert all(any(f"! {name} beats with_reference" in line for line in benchmark[1]) for name in winners)


def test_tables_plots_and_images_are_written(benchmark):
    names = {path.name for path in benchmark[2].iterdir() if path.is_file()}
    assert {
        "quality.csv",
        "quality_scenes.csv",
        "quality_calls.png",
        "quality_strata.png",
        "quality_scenes.jpg",
        "consistency.csv",
    } <= names


def test_images_of_the_methods_become_a_page_for_blind_comparisons(benchmark):
    key = json.loads((benchmark[2] / "votes" / "key.json").read_text())
    shown = [tuple(of.values()) for of in key["images"].values()]
    assert ("paste", "scene_0") in shown and ("with_reference", "scene_7") in shown and len(shown) == len({*shown})
    assert "with_reference" not in (benchmark[2] / "votes" / "page" / "index.html").read_text()


def test_the_stored_means_name_the_methods_as_the_code_does(comfyui):
    from benchmarks.quality.methods import methods
    from benchmarks.quality.table import GROUPS
    from benchmarks.quality.trained_rivals import LABELS

    with (RESULTS / "quality.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {"all", *GROUPS, *STRATA} < {row["group"] for row in rows} <= {"all", *GROUPS, *STRATA, *FOREGROUND}
    stored = {(int(row["level"]), row["method"], row["label"], int(row["calls"])) for row in rows}
    levels = tuple(sorted({level for level, *_ in stored} - {0}))
    listed = methods(levels).items()
    named = {(level, method.name, method.label, method.calls) for level, own in listed for method in own}
    # The trained rivals have no weights in a clean checkout.
    assert stored == named | {(0, name, label, 0) for name, label in LABELS.items()}


def test_every_stored_table_can_be_written_for_a_run(benchmark):
    # The tables show what the run printed.
    tables = quality_docs.tables(benchmark[2], level=10)
    own = tables["bench quality, own color"]
    assert "ours, single, node defaults" in own and own.startswith("| 7 scenes of the test split, 1 seed |")
    assert len({line.count("|") for line in own.splitlines()}) == 1


def test_the_readme_names_the_settings_that_are_measured(comfyui):
    from benchmarks.quality.methods import WITH_REFERENCE

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = (line for line in readme.splitlines() if line.startswith("| demo model |"))
    measured = WITH_REFERENCE[36]
    assert f"{measured['steps']} steps" in row
    assert all(f"`{name}` {measured[name]}" in row for name in ("num_seeds", "relight_strength"))
