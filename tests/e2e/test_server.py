"""The pack in a real ComfyUI server, driven over HTTP as its frontend does."""

import copy
import json

import numpy as np
import pytest
from PIL import Image

from devtools.comfyui import ROOT
from devtools.package_images import photograph_path
from devtools.workflows import WORKFLOWS

pytestmark = pytest.mark.e2e


@pytest.fixture
def prompt():
    """The shipped workflow with fewer steps."""
    workflow = json.loads((WORKFLOWS / "api" / "phd_demo.json").read_text(encoding="utf-8"))
    for node in workflow.values():
        if "inner_steps" in node["inputs"]:
            node["inputs"] |= {"steps": 2, "inner_steps": 1}
    return workflow


def only(prompt: dict, class_type: str) -> str:
    (node_id,) = (node_id for node_id, node in prompt.items() if node["class_type"] == class_type)
    return node_id


def failure(history: dict) -> dict:
    """What the frontend is told of the node that failed."""
    assert history["status"]["status_str"] == "error"
    (error,) = (data for event, data in history["status"]["messages"] if event == "execution_error")
    return error


def assert_succeeds(history: dict) -> None:
    assert history["status"]["status_str"] == "success", history["status"]["messages"]


@pytest.fixture
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


def test_the_shipped_workflow_runs(server, prompt):
    history = server.run(prompt)
    assert_succeeds(history)
    (saved,) = history["outputs"][only(prompt, "SaveImage")]["images"]
    image = server.make_image(saved)
    background = np.asarray(Image.open(photograph_path("rocket")).convert("RGB"))
    assert image.shape == background.shape
    height, width = background.shape[:2]
    # The subject stands right of the middle, below the upper third.
    assert np.array_equal(image[: height // 4, : width // 4], background[: height // 4, : width // 4])
    subject = np.s_[height // 2 : height * 3 // 4, width * 5 // 8 : width * 7 // 8]
    assert np.abs(image[subject].astype(int) - background[subject]).mean() > 10


def test_the_server_lives_through_bad_input(server, prompt):
    server.upload("not_a_image.png", b"This is a text file.\n")
    broken = copy.deepcopy(prompt)
    broken["1"]["inputs"]["image"] = "not_a_image.png"
    answer = server.post(broken)
    if answer.status_code == 200:
        assert failure(server.run(broken))["node_id"] == "1"
    else:  # newer versions of ComfyUI look into the file before they queue it
        assert "1" in answer.json()["node_errors"]

    unasked = copy.deepcopy(prompt)
    segment = only(prompt, "PhDSegment")
    unasked[segment]["inputs"] |= {"box": "", "positive_points": "", "negative_points": ""}
    error = failure(server.run(unasked))
    assert (error["node_id"], error["exception_type"]) == (segment, "ValueError")
    assert "box" in error["exception_message"]

    impossible = copy.deepcopy(prompt)
    sampler = only(prompt, "PhDHarmonizeSampler")
    impossible[sampler]["inputs"]["steps"] = 0
    # Outputs that do not hang on the faulty node are queued all the same.
    answer = server.post(impossible)
    assert answer.json()["node_errors"][sampler]["errors"][0]["type"] == "value_smaller_than_min"

    prompt[sampler]["inputs"]["seed"] += 1  # else the server may answer from its cache
    assert_succeeds(server.run(prompt))
