"""Every workflow that the pack ships runs headless, and keeps the first promise."""

import asyncio
import copy
import functools
import json
import shutil
from pathlib import Path

import cv2
import execution
import folder_paths
import pytest
import torch
from node_support import EXPECTED_IDS, NODE_TESTS, ROOT, to_save

import nodes
from devtools.executor import run_workflow
from devtools.package_images import photograph_path, read_rgb

WORKFLOWS = sorted((ROOT / "example_workflows" / "api").glob("*.json"))
# As users of earlier releases have saved them. They are never written again.
OLDER = sorted((NODE_TESTS / "older_workflows").glob("*/*_api.json"))


@pytest.fixture(scope="module", autouse=True)
def images(comfyui):
    for name, photograph in (("phd_exemplar", "astronaut"), ("phd_background", "rocket")):
        image = cv2.imread(str(photograph_path(photograph)))
        cv2.imwrite(str(Path(folder_paths.get_input_directory()) / f"{name}.png"), image)


def quick(workflow):
    """The same graph with as little sampling as shows that it runs."""
    for node in workflow.values():
        for name, least in (("preset", "custom"), ("steps", 2), ("inner_steps", 1), ("side", 128)):
            if name in node["inputs"]:
                node["inputs"][name] = least
    return workflow


@functools.cache
def run_quickly(path):
    workflow = quick(json.loads(path.read_text(encoding="utf-8")))
    return workflow, run_workflow(workflow)


def test_phd_demo_is_shipped():
    assert "phd_demo" in [path.stem for path in WORKFLOWS]


@pytest.mark.parametrize("path", [*WORKFLOWS, *OLDER], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_runs_and_keeps_the_background(path):
    workflow, execution = run_quickly(path)
    (stitch,) = (node_id for node_id, node in workflow.items() if node["class_type"] == "PhDStitch")
    image, mask = execution.results[stitch][:2]
    background = execution.results[workflow[stitch]["inputs"]["background"][0]][0]
    assert torch.equal(image[mask == 0], background[mask == 0])
    assert 0 < (mask > 0).float().mean() < 0.9
    assert not torch.equal(image[mask > 0], background[mask > 0])
    for node_id, node in workflow.items():
        sampler = node["class_type"] in ("PhDMaskedInpaintSampler", "PhDHarmonizeSampler")
        # Flow models have no inner steps at pure noise: two calls there, three elsewhere.
        assert execution.model_calls[node_id] in ((2, 3) if sampler else (0,))


def test_saves_the_background_s_own_pixels(tmp_path):
    workflow, execution = run_quickly(ROOT / "example_workflows" / "api" / "phd_demo.json")
    (stitch,) = (node_id for node_id, node in workflow.items() if node["class_type"] == "PhDStitch")
    (save,) = (node_id for node_id, node in workflow.items() if node["class_type"] == "SaveImage")
    (shown,) = execution.outputs[save]["images"]
    saved = shutil.copy(Path(folder_paths.get_output_directory()) / shown["subfolder"] / shown["filename"], tmp_path)
    outside = execution.results[stitch][1][0].numpy() == 0
    saved, background = read_rgb(Path(saved)), read_rgb(photograph_path("rocket"))
    assert (saved[outside] == background[outside]).all()


def test_every_workflow_names_all_widgets_of_its_nodes(pack):
    for path in WORKFLOWS:
        for node in json.loads(path.read_text(encoding="utf-8")).values():
            if node["class_type"] in pack:
                schema = pack[node["class_type"]].GET_SCHEMA()
                known = {item.id for item in schema.inputs}
                widgets = {item.id for item in schema.inputs if hasattr(item, "default") and not item.optional}
                assert set(node["inputs"]) <= known, path.name
                assert widgets <= set(node["inputs"]), path.name


def is_queued(workflow):
    """Whether ComfyUI would run a workflow or a part of it: /prompt answers with 200, otherwise with 400."""
    return asyncio.run(execution.validate_prompt("id", copy.deepcopy(workflow), None))[0]


@pytest.mark.parametrize("kind", EXPECTED_IDS)
def test_a_prompt_without_a_required_input_is_not_run_in_part(kind):
    """An output node of ours would run without the picture that was asked for, and that would be a success."""
    workflow = to_save(kind)
    assert is_queued(workflow)
    for name in list(workflow["node"]["inputs"]):
        broken = copy.deepcopy(workflow)
        del broken["node"]["inputs"][name]
        assert not is_queued(broken), name


@pytest.mark.parametrize("kind", EXPECTED_IDS)
def test_no_node_is_an_output_node(kind):
    assert not nodes.NODE_CLASS_MAPPINGS[kind].OUTPUT_NODE


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_shipped_workflow_ends_by_saving_an_image_and_is_not_run_in_part(path):
    workflow = json.loads(path.read_text(encoding="utf-8"))
    linked = {link[0] for node in workflow.values() for link in node["inputs"].values() if isinstance(link, list)}
    ends = {node["class_type"] for node_id, node in workflow.items() if node_id not in linked}
    assert ends <= {"SaveImage", "PreviewImage"} and "SaveImage" in ends
    workflow = {node_id: node for node_id, node in workflow.items() if node["class_type"] != "PreviewImage"}
    assert is_queued(workflow)
    for sampler in ("PhDMaskedInpaintSampler", "PhDHarmonizeSampler"):
        broken = copy.deepcopy(workflow)
        for node in broken.values():
            if node["class_type"] == sampler:
                node["inputs"]["steps"] = 0
        assert not is_queued(broken)
