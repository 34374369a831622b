"""The pack in a real ComfyUI server, driven over HTTP as the frontend does."""

import copy
import json
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from devtools.package_images import photograph_path
from devtools.paths import ROOT
from devtools.workflows import WORKFLOWS

pytestmark = pytest.mark.e2e


def shipped_prompt() -> dict:
    """The shipped workflow with fewer steps."""
    workflow = json.loads((WORKFLOWS / "api" / "phd_demo.json").read_text(encoding="utf-8"))
    for node in workflow.values():
        if "inner_steps" in node["inputs"]:
            node["inputs"] |= {"preset": "custom", "steps": 2, "inner_steps": 1}
    return workflow


def only(prompt: dict, class_type: str) -> str:
    """The id of the one node of a class."""
    (node_id,) = (node_id for node_id, node in prompt.items() if node["class_type"] == class_type)
    return node_id


def failure(history: dict) -> dict:
    """What the frontend gets about the node that failed."""
    assert history["status"]["status_str"] == "error"
    (error,) = (data for event, data in history["status"]["messages"] if event == "execution_error")
    return error


class Answers(NamedTuple):
    """What the server answered to bad input, and the history of a good run after that."""

    not_an_image: dict  # the error of a run, or that of the validation, by node
    no_prompt: dict
    no_steps: dict
    good: dict


@pytest.fixture(scope="module")
def answers(server) -> Answers:
    """Sends bad input first and the shipped workflow last: sampling takes most of these tests' time."""
    prompt = shipped_prompt()
    server.upload("not_an_image.png", b"This is a text file.\n")
    broken = copy.deepcopy(prompt)
    broken["1"]["inputs"]["image"] = "not_an_image.png"
    answer = server.post(broken)
    if answer.status_code == 200:
        error = failure(server.finished(answer.json()["prompt_id"]))
        not_an_image = {error["node_id"]: error}
    else:  # newer versions of ComfyUI look into the file before they queue it
        not_an_image = answer.json()["node_errors"]

    unasked = copy.deepcopy(prompt)
    unasked[only(prompt, "PhDSegment")]["inputs"] |= {"box": "", "positive_points": "", "negative_points": ""}
    no_prompt = failure(server.run(unasked))

    impossible = copy.deepcopy(prompt)
    impossible[only(prompt, "PhDHarmonizeSampler")]["inputs"]["steps"] = 0
    # Outputs that do not depend on the faulty node are queued all the same.
    no_steps = server.post(impossible).json()["node_errors"]
    return Answers(not_an_image, no_prompt, no_steps, server.run(prompt))


@pytest.fixture(scope="module")
def module(server):
    """The folder name under which the server knows the pack."""
    return server.get("/object_info/PhDStitch").json()["PhDStitch"]["python_module"].removeprefix("custom_nodes.")


def test_every_node_is_there(server, module, pack):
    info = server.get("/object_info").json()
    assert set(pack) <= set(info)
    assert {info[name]["python_module"] for name in pack} == {f"custom_nodes.{module}"}


def test_the_browser_side_is_served(server, module):
    scripts = server.get("/extensions").json()
    for path in (ROOT / "web").rglob("*"):
        address = f"/extensions/{module}/{path.relative_to(ROOT / 'web').as_posix()}"
        if path.is_file():
            assert server.get(address).content == path.read_bytes()
        if path.suffix == ".js":
            assert address in scripts


def test_translations_are_served(server):
    translations = server.get("/i18n").json()
    for path in (ROOT / "locales").glob("*/nodeDefs.json"):
        assert translations[path.parent.name]["nodeDefs"] == json.loads(path.read_text(encoding="utf-8"))


def test_example_workflows_are_served_as_templates(server, module):
    names = server.get("/workflow_templates").json()[module]
    assert sorted(names) == sorted(path.stem for path in WORKFLOWS.glob("*.json"))
    for name in names:
        served = server.get(f"/api/workflow_templates/{module}/{name}.json")
        assert served.content == (WORKFLOWS / f"{name}.json").read_bytes()


def test_a_file_that_is_no_image_fails_in_the_node_that_loads_it(answers):
    assert set(answers.not_an_image) == {"1"}


def test_segment_without_a_prompt_fails_with_an_error_that_names_the_box(answers):
    segment = only(shipped_prompt(), "PhDSegment")
    assert (answers.no_prompt["node_id"], answers.no_prompt["exception_type"]) == (segment, "ValueError")
    assert "box" in answers.no_prompt["exception_message"]


def test_a_sampler_with_no_steps_is_refused_before_it_runs(answers):
    sampler = only(shipped_prompt(), "PhDHarmonizeSampler")
    assert answers.no_steps[sampler]["errors"][0]["type"] == "value_smaller_than_min"


def test_report_and_placement_are_data_in_the_history(answers):
    outputs, prompt = answers.good["outputs"], shipped_prompt()
    (report,) = outputs[only(prompt, "PhDStitch")]["phd_report"]
    assert report["visible"] and not report["empty"] and report["subject_pixels"] > 100 and report["identity"] > 0
    (placement,) = outputs[only(prompt, "PhDPasteBlend")]["phd_placement_used"]
    inputs = prompt[only(prompt, "PhDPasteBlend")]["inputs"]
    assert {name: inputs[name] for name in placement} == placement


def test_the_shipped_workflow_runs_also_after_bad_input(server, answers):
    assert answers.good["status"]["status_str"] == "success", answers.good["status"]["messages"]
    (saved,) = answers.good["outputs"][only(shipped_prompt(), "SaveImage")]["images"]
    image = server.image(saved)
    background = np.asarray(Image.open(photograph_path("rocket")).convert("RGB"))
    assert image.shape == background.shape
    height, width = background.shape[:2]
    # The subject stands right of the middle, below the upper third.
    assert np.array_equal(image[: height // 4, : width // 4], background[: height // 4, : width // 4])
    subject = np.s_[height // 2 : height * 3 // 4, width * 5 // 8 : width * 7 // 8]
    assert np.abs(image[subject].astype(int) - background[subject]).mean() > 10
