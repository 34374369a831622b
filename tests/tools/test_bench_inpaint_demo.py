"""The scores of `dev.py bench inpaint` on the demo model: what they measure, how sure they are, and what is kept."""

import json
import math

import numpy as np
import pytest
import torch

from benchmarks.inpaint.scores import Square, fine_energy, paired_interval, score, texture_strength
from benchmarks.inpaint.stored import RUN, Stored, key_of, publish, read

HOLE = Square(16, 24, 32)


@pytest.fixture
def truth():
    rng = np.random.default_rng(1)
    return np.float32(0.5 + 0.05 * rng.standard_normal((96, 96, 3)))


def test_the_truth_has_no_error_and_the_strength_of_its_own_texture(truth):
    found = score(truth, truth, HOLE)
    assert (found.l1, found.edge) == (0, 0)
    assert texture_strength([found.fine], [fine_energy(truth, HOLE)]) == 1


def test_the_error_is_of_the_hole_alone_in_levels(truth):
    image = truth.copy()
    image[HOLE.within()] += 10 / 255
    image[:8] += 0.3
    assert score(image, truth, HOLE).l1 == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_texture_strength_is_the_factor_by_which_fine_structure_is_multiplied(truth, factor):
    image = 0.5 + factor * (truth - 0.5)
    assert texture_strength([fine_energy(image, HOLE)], [fine_energy(truth, HOLE)]) == pytest.approx(factor, rel=1e-3)


def test_texture_strength_does_not_count_light_or_the_edge_of_the_hole(truth):
    image = truth.copy()
    image[HOLE.within()] += 0.2
    assert fine_energy(image, HOLE) == pytest.approx(fine_energy(truth, HOLE), rel=1e-3)


def test_the_edge_error_is_of_the_steps_into_the_hole_on_all_four_sides(truth):
    image = truth.copy()
    image[HOLE.within()] += 4 / 255
    assert score(image, truth, HOLE).edge == pytest.approx(4, rel=1e-3)
    image[:, : HOLE.left] += 4 / 255
    assert score(image, truth, HOLE).edge == pytest.approx(3, rel=1e-3)


def test_an_interval_holds_the_mean_difference_and_narrows_with_scenes():
    rng = np.random.default_rng(2)
    theirs = rng.normal(10, 3, (2, 256))
    ours = theirs - 1 + rng.normal(0, 0.5, theirs.shape)
    mean, low, high = paired_interval(ours, theirs)
    few = paired_interval(ours[:, :16], theirs[:, :16])
    assert low < mean < high < 0
    assert mean == pytest.approx(-1, abs=0.1)
    assert few[2] - few[1] > 2 * (high - low)


def test_an_interval_treats_the_seeds_of_a_scene_as_one():
    ours, theirs = np.random.default_rng(3).normal(size=(2, 1, 40))
    once, twice = paired_interval(ours, theirs), paired_interval(np.repeat(ours, 2, 0), np.repeat(theirs, 2, 0))
    assert once == pytest.approx(twice)


def test_a_key_changes_with_settings_and_code_but_not_with_comments(tmp_path):
    def key(text, cfg=1.0):
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        file.write_text(text)
        return key_of({"cfg": cfg}, [file])

    code = '"""A loop."""\n\ndef step(x):\n    return x + 1\n'
    assert key(code) == key('"""A better text."""\n\ndef step(x):\n    """One step."""\n    return x + 1  # more\n')
    assert len({key(code), key(code, cfg=4.0), key("def step(x):\n    return x + 2\n")}) == 3


def test_a_key_may_depend_on_one_function_of_a_file():
    assert key_of({}, [texture_strength]) == key_of({}, [texture_strength])
    assert key_of({}, [texture_strength]) != key_of({}, [fine_energy])


def test_stored_rows_are_read_back_and_a_cut_line_is_left_out(tmp_path):
    file = tmp_path / "results" / "rows.jsonl"
    Stored(file).add("a", {"l1": [1.5, 2.0]})
    with file.open("a") as lines:
        lines.write('{"key": "b", "l1"')
    assert list(read(file)) == ["a"]
    Stored(file).add("c", {"l1": [3.0]})
    assert {key: Stored(file).rows[key]["l1"] for key in "ac"} == {"a": [1.5, 2.0], "c": [3.0]}
    assert json.loads(file.read_text().splitlines()[-1])["key"] == "c"


def test_a_published_row_replaces_one_of_the_same_run(tmp_path):
    file = tmp_path / "published.jsonl"
    run = dict(zip(RUN, ("demo", "test", "10 × 2", 1.0, 0, 0), strict=True))
    other = {**run, "first": 16}
    publish([{"key": "a", **run}, {"key": "b", **other}], file)
    publish([{"key": "c", **run}], file)
    assert sorted(read(file)) == ["b", "c"]


def test_a_corrected_step_counts_the_change_of_the_force_once(comfyui):
    """By hand for the force 2 x at rate 1: half a step with the old force, the change, half a step with the old one."""
    from benchmarks.common.rival_loops import Corrected

    steps = Corrected(lambda x: 2 * x, torch.tensor(1.0), 1.0, torch.zeros_like)
    x, h = torch.tensor(1.0), 0.5
    half, whole = math.exp(-h / 2), math.exp(-h)
    first = whole + (1 - whole) * 2
    middle = half * first + (1 - half) * 2
    second = half * (middle + (2 * middle - 2) * h) + (1 - half) * 2
    assert float(steps.step(x, h)) == pytest.approx(first)
    assert float(steps.step(torch.tensor(first), h)) == pytest.approx(second)


def test_lanpaint_makes_no_inner_steps_at_the_last_level_and_none_in_pure_noise(comfyui):
    from benchmarks.common.rival_loops import lanpaint_inner_steps

    sigmas = torch.tensor([1.0, 0.7, 0.2, 0.0])
    assert lanpaint_inner_steps(sigmas, True, 5, pinned=False) == [0, 5, 0]
    assert lanpaint_inner_steps(torch.tensor([30.0, 1.0, 0.1, 0.0]), False, 4, pinned=True) == [4, 2, 0]


def test_the_figures_with_bounds_are_the_worst_of_all_cells(comfyui):
    from benchmarks.inpaint import demo

    def cell(cfg, calls):
        return demo.Cell(demo.Network(), cfg, calls)

    def figures(ours, best, texture=1.0):
        rivals = dict.fromkeys(("repaint", "core"), {"l1": best + 2, "texture": 1.0})
        return {"ours": {"l1": ours, "texture": texture}, "lanpaint_tuned": {"l1": best, "texture": 9.0}, **rivals}

    found = {
        cell(1.0, 20): figures(9.0, 10.0),
        cell(1.0, 57): figures(9.0, 10.0, texture=0.4),
        cell(1.0, 115): figures(10.8, 10.0),
        cell(4.0, 57): figures(13.0, 12.5, texture=1.5),
    }
    assert demo.bounded(found) == pytest.approx(
        {
            "demo_worst_ratio_20_57": 1.04,
            "demo_worst_ratio_115": 1.08,
            "demo_longer_worse": 1.2,
            "demo_texture_low": 0.4,
            "demo_texture_high": 1.5,
        }
    )
