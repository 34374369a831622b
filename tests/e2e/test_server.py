"""The pack in a real ComfyUI server, driven over HTTP as the frontend does."""

import asyncio
import copy
import json
import re
from typing import NamedTuple

import aiohttp
import numpy as np
import pytest
import requests
from PIL import Image

from devtools.package_images import photograph_path
from devtools.paths import ROOT
from devtools.workflows import WORKFLOWS

pytestmark = pytest.mark.e2e


def shipped_prompt() -> dict:
    """The demo's workflow with fewer steps."""
    workflow = json.loads((ROOT / "demo" / "workflow.json").read_text(encoding="utf-8"))
    for node in workflow.values():
        if "inner_steps" in node["inputs"]:
            node["inputs"] |= {"preset": "custom", "steps": 2, "inner_steps": 1}
    return workflow


def without_previews(prompt: dict) -> dict:
    return {node_id: node for node_id, node in prompt.items() if node["class_type"] != "PreviewImage"}


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
    no_steps: requests.Response
    good: dict
    stored: list[str]  # in the server's folder of temporary files after the good run


def temporary_files(server) -> list[str]:
    return [name.removesuffix(" [temp]") for name in server.get("/internal/files/temp").json()]


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

    impossible = without_previews(prompt)
    impossible[only(prompt, "PhDHarmonizeSampler")] = copy.deepcopy(prompt[only(prompt, "PhDHarmonizeSampler")])
    impossible[only(prompt, "PhDHarmonizeSampler")]["inputs"]["steps"] = 0
    no_steps = server.post(impossible)
    before = set(temporary_files(server))
    good = server.run(without_previews(prompt))
    return Answers(not_an_image, no_prompt, no_steps, good, sorted(set(temporary_files(server)) - before))


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


def test_a_prompt_whose_sampler_has_no_steps_is_refused_as_a_whole(answers):
    sampler = only(shipped_prompt(), "PhDHarmonizeSampler")
    assert answers.no_steps.status_code == 400
    assert answers.no_steps.json()["node_errors"][sampler]["errors"][0]["type"] == "value_smaller_than_min"


def test_a_run_over_the_api_stores_no_previews(answers):
    assert answers.stored == []


def test_the_history_has_what_the_samplers_and_the_crop_did(answers):
    outputs, prompt = answers.good["outputs"], shipped_prompt()
    for sampler in ("PhDMaskedInpaintSampler", "PhDHarmonizeSampler"):
        shown = outputs[only(prompt, sampler)]
        assert shown["text"][0].endswith("model calls.") and shown["phd_warnings"] == []
    (window,) = outputs[only(prompt, "PhDCrop")]["phd_window"]
    (box,) = outputs[only(prompt, "PhDSegment")]["phd_box"]
    assert min(window["width"], window["height"], box["width"], box["height"]) > 50


# Frames of text on the websocket, in ComfyUI's protocol.
TEXT_FRAME = 3
PAGE_FEATURES = {"supports_preview_metadata": True}


def run_with_client(server, prompt: dict, features: dict | None) -> tuple[list[int], list[str], dict]:
    """Runs a prompt for a client on the websocket: the kinds of binary frames, the events, and the history."""

    async def run():
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{server.address}/ws?clientId=test") as ws:
            if features is not None:
                await ws.send_json({"type": "feature_flags", "data": features})
            body = {"prompt": prompt, "client_id": "test"}
            async with session.post(f"{server.address}/prompt", json=body) as answer:
                prompt_id = (await answer.json())["prompt_id"]
            frames, events = [], []
            async for message in ws:
                if message.type == aiohttp.WSMsgType.BINARY:
                    frames.append(int.from_bytes(message.data[:4], "big"))
                    continue
                event = json.loads(message.data)
                events.append(event["type"])
                if event["type"] == "executing" and event["data"]["node"] is None:
                    return frames, events, prompt_id

    frames, events, prompt_id = asyncio.run(run())
    return frames, events, server.finished(prompt_id)


def changed_prompt(grow: int) -> dict:
    """The shipped workflow with another mask, so that nothing from Segment on is in the server's cache."""
    prompt = without_previews(shipped_prompt())
    prompt[only(prompt, "PhDSegment")]["inputs"]["grow"] = grow
    return prompt


def test_a_page_gets_texts_and_small_previews(server, answers):
    before = set(temporary_files(server))
    frames, _, history = run_with_client(server, changed_prompt(2), PAGE_FEATURES)
    assert TEXT_FRAME in frames
    stored = set(temporary_files(server)) - before
    previews = [image for output in history["outputs"].values() for image in output.get("images", [])]
    assert {image["filename"] for image in previews if image["type"] == "temp"} <= stored
    sizes = {name: len(server.get("/view", filename=name, type="temp").content) for name in stored}
    assert len(sizes) >= 4 and sum(sizes.values()) <= 500_000


@pytest.mark.parametrize("features", [None, {}])
def test_a_program_on_the_websocket_gets_no_frames_of_text_and_no_previews(server, answers, features):
    before, prompt = temporary_files(server), changed_prompt(3 + (features is None))
    prompt[only(prompt, "SaveImage")]["inputs"]["images"] = [only(prompt, "PhDPasteBlend"), 1]
    frames, events, history = run_with_client(server, prompt, features)
    assert TEXT_FRAME not in frames and "executed" in events
    assert temporary_files(server) == before
    assert history["status"]["status_str"] == "success"


def test_report_and_placement_are_data_in_the_history(answers):
    outputs, prompt = answers.good["outputs"], shipped_prompt()
    (report,) = outputs[only(prompt, "PhDStitch")]["phd_report"]
    assert report["visible"] and not report["empty"] and report["subject_pixels"] > 100 and report["identity"] > 0
    (placement,) = outputs[only(prompt, "PhDPasteBlend")]["phd_placement_used"]
    inputs = prompt[only(prompt, "PhDPasteBlend")]["inputs"]
    assert {name: inputs[name] for name in placement} == placement


def test_the_script_on_the_page_about_the_api_runs(server, answers, tmp_path, capsys):
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    workflow = tmp_path / "workflow.json"
    workflow.write_text(json.dumps(shipped_prompt()), encoding="utf-8")
    for written, here in (
        ("http://127.0.0.1:8188", server.address),
        ("demo/workflow.json", workflow.as_posix()),
    ):
        assert script.count(written) == 1
        script = script.replace(written, here)
    exec(script, {})  # noqa: S102
    assert re.search(r"\.png identity: 0\.\d+ suppressed: False", capsys.readouterr().out)


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
