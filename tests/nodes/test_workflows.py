"""Every workflow that the pack ships runs headless, and keeps the first promise."""

import asyncio
import copy
import functools
import json
import re
import shutil
from pathlib import Path

import execution
import folder_paths
import pytest
import torch
from node_support import EXPECTED_IDS, NODE_TESTS, ROOT, module, to_save

import nodes
from devtools.executor import run_workflow
from devtools.package_images import photograph_path, read_rgb
from devtools.templates import LOADERS, TEMPLATES, with_demo_model

WORKFLOWS = sorted((ROOT / "example_workflows" / "api").glob("*.json"))
# As users of earlier releases have saved them. They are never written again.
SAMPLERS = ("PhDMaskedInpaintSampler", "PhDHarmonizeSampler")
# The nodes that give the finished image and its mask.
FINISHING = ("PhDStitch", "PhDInsertSubject")
OLDER = sorted((NODE_TESTS / "older_workflows").glob("*/*_api.json"))


pytestmark = pytest.mark.usefixtures("demo_images")


@pytest.fixture(scope="module", autouse=True)
def small_presets(pack):
    """Insert Subject has no number of steps, only presets."""
    presets = module("nodes.sampler_inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.INPAINT_PRESETS, "fast", (2, 1))
        patch.setitem(presets.HARMONIZE_PRESETS, "fast", (2, 1))
        yield


def quick(workflow):
    """The same graph with as little sampling as shows that it runs."""
    for node in workflow.values():
        fewest = {"preset": "custom", "steps": 2, "inner_steps": 1, "num_seeds": 1, "side": 128, "quality": "fast"}
        for name, least in fewest.items():
            if name in node["inputs"]:
                node["inputs"][name] = least
    return workflow


def read(path):
    """A workflow that runs without a file from elsewhere."""
    return with_demo_model(json.loads(path.read_text(encoding="utf-8")))


@functools.cache
def run_quickly(path):
    workflow = quick(read(path))
    return workflow, run_workflow(workflow)


def test_every_template_is_shipped_with_its_image():
    assert [path.stem for path in WORKFLOWS] == sorted(TEMPLATES)
    for name in TEMPLATES:
        image = read_rgb(ROOT / "example_workflows" / f"{name}.jpg")
        assert min(image.shape[:2]) >= 256 and image.std() > 0.1, name


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_names_the_files_that_it_needs_and_where_they_are(name):
    api = json.loads((ROOT / "example_workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    ui = json.loads((ROOT / "example_workflows" / f"{name}.json").read_text(encoding="utf-8"))
    named = {
        node_id: [value for value in node["inputs"].values() if str(value).endswith(".safetensors")]
        for node_id, node in api.items()
        if node["class_type"] in LOADERS
    }
    files = TEMPLATES[name].models
    assert named == {node_id: [file["name"] for file in own] for node_id, own in files.items()}
    for node in ui["nodes"]:
        assert node["properties"].get("models", []) == list(files.get(str(node["id"]), ()))
    for file in (file for own in files.values() for file in own):
        assert file["name"] in TEMPLATES[name].note and file["url"].endswith(file["name"])


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_note_names_the_strength_of_the_light_where_it_is_not_the_default(name):
    api = json.loads((ROOT / "example_workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))
    strengths = {node["inputs"].get(name) for node in api.values() for name in ("light", "relight_strength")} - {None}
    named = re.findall(r"`(?:light|relight_strength)` is ([\d.]+) here", TEMPLATES[name].note)
    assert strengths <= {1.0} | set(map(float, named))
    assert set(map(float, named)) <= strengths


def test_templates_have_nobody_s_own_images_and_points():
    for path in WORKFLOWS:
        workflow = json.loads(path.read_text(encoding="utf-8"))
        assert not any(node["class_type"].startswith("LoadImage") for node in workflow.values())
        for node in workflow.values():
            assert not any(node["inputs"].get(name) for name in ("box", "positive_points", "negative_points"))


@pytest.mark.parametrize("path", [*WORKFLOWS, *OLDER], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_runs_and_keeps_the_background(path):
    workflow, execution = run_quickly(path)
    (last,) = (node_id for node_id, node in workflow.items() if node["class_type"] in FINISHING)
    image, mask = execution.results[last][:2]
    drawn = any(node["class_type"] == "EmptyImage" for node in workflow.values())
    sources = ("Empty background",) if drawn else ("Background", "Load Demo Images", "Demo images")
    (background,) = (node_id for node_id, node in workflow.items() if node["_meta"]["title"] in sources)
    background = execution.results[background][0]
    for margins in (node["inputs"] for node in workflow.values() if node["inputs"].get("extend_left")):
        # The larger image, with nothing of the old one outside the mask changed.
        background = torch.nn.functional.pad(
            background, (0, 0, margins["extend_left"], margins["extend_right"], margins["extend_top"], 0)
        )
    # A still that became a clip serves all of its frames.
    background = background.expand_as(image)
    assert torch.equal(image[mask == 0], background[mask == 0])
    assert 0 < (mask > 0).float().mean() < (1.1 if drawn else 0.9)
    assert not torch.equal(image[mask > 0], background[mask > 0])
    for node_id, node in workflow.items():
        # Flow models have no inner steps at pure noise: two calls there, three elsewhere. Where the whole latent may
        # change there are none either, and the light reference takes calls of its own.
        expected = {**dict.fromkeys(SAMPLERS, (2, 4 if drawn else 3)), "KSampler": (2,)}
        assert execution.model_calls[node_id] in expected.get(node["class_type"], (0,))


def test_saves_the_background_s_own_pixels(tmp_path):
    workflow, execution = run_quickly(WORKFLOWS[0])
    (stitch,) = (node_id for node_id, node in workflow.items() if node["class_type"] in FINISHING)
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


def test_the_prompt_on_the_page_about_the_api_has_every_required_input():
    (text,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    kinds = nodes.NODE_CLASS_MAPPINGS
    missing = {
        f"{node['class_type']}.{name}"
        for node in json.loads(text).values()
        for name in kinds[node["class_type"]].INPUT_TYPES()["required"]
        if name not in node["inputs"]
    }
    assert missing == set()


@pytest.mark.parametrize("kind", EXPECTED_IDS)
def test_a_prompt_without_a_required_input_is_not_run_in_part(kind):
    """An output node of ours would run without the image that was asked for, and that would be a success."""
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
    workflow = read(path)
    linked = {link[0] for node in workflow.values() for link in node["inputs"].values() if isinstance(link, list)}
    ends = {node["class_type"] for node_id, node in workflow.items() if node_id not in linked}
    assert ends <= {"SaveImage", "PreviewImage"} and "SaveImage" in ends
    workflow = {node_id: node for node_id, node in workflow.items() if node["class_type"] != "PreviewImage"}
    assert is_queued(workflow)
    for node_id, node in workflow.items():
        for name, wrong in (("steps", 0), ("light", -1.0)):
            if name in node["inputs"]:
                broken = copy.deepcopy(workflow)
                broken[node_id]["inputs"][name] = wrong
                assert not is_queued(broken)
