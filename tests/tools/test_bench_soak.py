"""`dev.py bench soak --quick`: nothing is found, and what the benchmark judges by is right."""

import contextlib
import io
import json

import numpy as np
import pytest
import torch
from bench_support import store_nothing

from benchmarks.soak.calls import Finding
from benchmarks.soak.run import FEWEST_RUNS, QUICK, WANTED, main
from devtools.executor import WorkflowError
from devtools.paths import ROOT


@pytest.fixture(scope="module")
def benchmark(comfyui):
    """Exit status and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        # The test session has its own ComfyUI folders.
        patch.setattr("devtools.executor.set_directories", lambda *folders: None)
        patch.setattr("benchmarks.common.docs.store", store_nothing)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            status = main(["--quick"])
    return status, printed.getvalue().splitlines()


def test_a_quick_run_finds_nothing(benchmark):
    status, lines = benchmark
    figures = json.loads(lines[-1])
    assert [line for line in lines if line.startswith("  !")] == []
    assert status == 0 and figures["calls"] == QUICK.calls and figures["crashes"] == figures["unequal_reruns"] == 0
    if "runs" in figures:  # a full ComfyUI is there
        assert set(WANTED) <= set(figures) and figures["runs"] == QUICK.runs < FEWEST_RUNS


def test_the_same_seed_draws_the_same_call(pack):
    from benchmarks.soak.inputs import described, draw

    for seed in range(20):
        one, other = draw(seed, pack), draw(seed, pack)
        assert one.node == other.node and one.linked == other.linked
        assert {k: described(v) for k, v in one.inputs.items()} == {k: described(v) for k, v in other.inputs.items()}


def test_every_input_of_every_node_can_be_drawn(pack):
    from benchmarks.soak.inputs import Source, sound

    for node in pack.values():
        for given in node.GET_SCHEMA().inputs:
            assert sound(Source(1, pack), given) is not None


@pytest.mark.parametrize(
    ("error_type", "file", "line", "message", "kind"),
    [
        ("ValueError", "nodes/crop.py", "raise ValueError(", "side is 5; it must be 64.", "refused"),
        ("ValueError", "nodes/crop.py", "raise ValueError(", "something is wrong.", "unnamed refusal"),
        ("ValueError", "nodes/crop.py", "int(side)", "invalid literal: side", "crash"),
        ("ValueError", ".venv/torch/random.py", "raise ValueError(", "side", "crash"),
        ("KeyError", "phd_ops/pixels/paste.py", "raise KeyError(", "side", "crash"),
        ("", "", "", "Value 5 smaller than min of 64", "refused"),
    ],
)
def test_what_a_node_raises_is_judged(error_type, file, line, message, kind):
    from benchmarks.soak.calls import kind_of

    traceback = (
        f'  File "{ROOT}/nodes/checked.py", line 3, in run\n  File "{ROOT}/{file}", line 7, in execute\n    {line}\n'
    )
    error = WorkflowError("node", "PhDCrop", message, traceback, error_type)
    assert kind_of(error, {"side", "image"})[0] == kind


def test_a_finding_names_its_seed_and_its_inputs():
    assert str(Finding("crash", 7, "PhDCrop", "no", {"side": "0"})) == "crash (--replay 7): PhDCrop(side=0): no"


def test_the_wait_is_that_of_a_request_at_a_random_moment():
    from benchmarks.soak.interrupts import quantile

    # Half of the time the node answers after at most 1 s, half of the time after at most 0.1 s.
    waits = np.array([1.0, *[0.1] * 10])
    assert quantile(waits, 0.5) == pytest.approx(0.1, abs=0.02)
    assert quantile(waits, 0.95) == pytest.approx(0.9, abs=1e-6)
    assert quantile(np.ones(5), 0.5) == pytest.approx(0.5)


def test_same_tells_bits_apart():
    from benchmarks.soak.calls import same

    assert same([torch.tensor([1.0, float("nan")])], [torch.tensor([1.0, float("nan")])])
    assert not same([torch.tensor([1.0])], [torch.tensor([1.0 + 1e-7])]) and not same({"a": 1}, {"a": 2})


def test_growth_of_memory_is_not_decided_by_one_large_step():
    from benchmarks.soak.server import growth

    rising = [500 + 0.02 * run + 0.01 * (run % 3) for run in range(300)]
    slope, low, high = growth([value + 40 * (run > 250) for run, value in enumerate(rising)])
    assert slope == pytest.approx(2, rel=0.3) and low <= slope <= high
    assert growth(rising)[0] == pytest.approx(2, rel=0.01)
    assert growth([500.0]) == (0, 0, 0)


def test_the_workflow_to_compare_with_is_of_comfyuis_own_nodes_and_another_one_with_each_seed(comfyui):
    from benchmarks.soak.server import core_prompt

    assert core_prompt(3) == core_prompt(3) != core_prompt(4)
    kinds = {node["class_type"] for node in core_prompt(3).values()}
    assert {kind for kind in kinds if kind.startswith("PhD")} == {"PhDLoadDemoModel"} and "KSampler" in kinds
