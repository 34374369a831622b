"""Every shipped workflow has two forms of the same graph: UI format for people, API format for programs."""

import itertools
import json

import pytest

from devtools import object_info as devtools_object_info
from devtools import workflows as workflow
from devtools.templates import EDITOR, LOADERS

API_FILES = sorted((workflow.WORKFLOWS / "api").glob("*.json"))
UI_FILES = sorted(workflow.WORKFLOWS.glob("*.json"))
REGENERATE = "`python3 dev.py workflows` writes it again"


@pytest.fixture(scope="module")
def object_info(comfyui):
    return devtools_object_info.object_info()


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def to_api(ui, object_info):
    """The API-format workflow of a UI-format one, as the frontend's `graphToPrompt` gives it."""
    sources = {link[0]: [str(link[1]), link[2]] for link in ui["links"]}
    api = {}
    for node in ui["nodes"]:
        if node["type"] == workflow.NOTE:
            continue
        names = [name for name, _, _ in workflow.widgets(object_info[node["type"]])]
        inputs = dict(zip(names, node["widgets_values"], strict=True))
        for name in ("control_after_generate", "upload"):  # widgets of the frontend alone
            inputs.pop(name, None)
        inputs |= {entry["name"]: sources[entry["link"]] for entry in node["inputs"] if entry["link"] is not None}
        api[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": node["title"]}}
    return api


def test_every_workflow_has_both_forms():
    assert API_FILES
    assert [path.name for path in UI_FILES] == [path.name for path in API_FILES], REGENERATE


@pytest.mark.parametrize("path", API_FILES, ids=lambda path: path.stem)
def test_both_forms_are_the_same_graph(path, object_info):
    assert to_api(read(workflow.WORKFLOWS / path.name), object_info) == read(path), REGENERATE


@pytest.mark.parametrize("path", API_FILES, ids=lambda path: path.stem)
def test_a_template_is_written_from_its_graph_and_its_note(path, object_info):
    template = workflow.TEMPLATES[path.stem]
    ui = workflow.as_template(workflow.to_ui(read(path), object_info), template)
    assert read(workflow.WORKFLOWS / path.name) == ui, REGENERATE
    (note,) = (node for node in ui["nodes"] if node["type"] == workflow.NOTE)
    assert note["widgets_values"] == [template.note] and template.note.startswith(f"## {path.stem}\n")


@pytest.mark.parametrize("path", API_FILES, ids=lambda path: path.stem)
def test_app_mode_shows_widgets_of_the_graph_and_the_saved_image(path, object_info):
    api, shown = read(path), read(workflow.WORKFLOWS / path.name)["extra"]["linearData"]
    for node_id, widget in shown["inputs"]:
        node = api[str(node_id)]
        if widget == EDITOR:
            assert node["class_type"] in {"PhDPasteBlend", "PhDInsertSubject"}
        else:
            assert widget in node["inputs"] and not workflow.is_link(node["inputs"][widget])
    assert [api[str(node_id)]["class_type"] for node_id in shown["outputs"]] == ["SaveImage"]


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_links_join_slots_of_one_type(path):
    ui = read(path)
    nodes = {node["id"]: node for node in ui["nodes"]}
    for link_id, source, output, target, slot, kind in ui["links"]:
        assert nodes[source]["outputs"][output]["type"] == kind
        assert link_id in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][slot]["link"] == link_id
        assert nodes[target]["inputs"][slot]["type"] == kind


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_nodes_do_not_overlap(path):
    boxes = [(*node["pos"], *node["size"]) for node in read(path)["nodes"]]
    for (x, y, width, height), (x2, y2, width2, height2) in itertools.combinations(boxes, 2):
        beside = x + width <= x2 or x2 + width2 <= x
        assert beside or y + height + workflow.TITLE <= y2 or y2 + height2 + workflow.TITLE <= y


def nodes_in(ui, group):
    """The types of the nodes whose upper left corner is in a group."""
    left, top, width, height = group["bounding"]
    return {
        node["type"]
        for node in ui["nodes"]
        if left <= node["pos"][0] < left + width and top <= node["pos"][1] < top + height
    }


# What a group of each name holds, and what it does not.
GROUPS = {
    "Segment": ({"PhDSegment"}, set()),
    "Paste": ({"PhDPasteBlend"}, set(LOADERS)),
    "Crop": ({"PhDCrop"}, {"PhDPasteBlend"}),
    "Inpaint": ({"PhDMaskedInpaintSampler"}, set()),
    "Edit model": ({"KSampler"}, {"PhDMaskedInpaintSampler"}),
    "Harmonize": ({"PhDHarmonizeSampler"}, set()),
    "Stitch": ({"PhDStitch"}, set()),
}


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_a_group_is_named_after_what_its_nodes_do(path):
    ui = read(path)
    for group in ui["groups"]:
        holds, not_there = GROUPS[group["title"]]
        assert holds <= nodes_in(ui, group), group["title"]
        assert not not_there & nodes_in(ui, group), group["title"]


@pytest.mark.parametrize("path", UI_FILES, ids=lambda path: path.stem)
def test_the_second_row_of_groups_begins_with_the_model(path):
    """Otherwise links lead back under the nodes of both rows."""
    tops = [(group["title"], group["bounding"][1]) for group in read(path)["groups"]]
    second_row = [title for title, top in tops if top > 0]
    assert not second_row or second_row[0] in ("Inpaint", "Edit model")


def test_widget_values_stand_with_those_that_the_frontend_adds(object_info):
    api = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "VAEEncode", "inputs": {"pixels": ["1", 0], "vae": ["3", 2]}},
        "3": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "b.safetensors"}},
        "4": {"class_type": "KSampler", "inputs": {"model": ["3", 0], "seed": 7, "steps": 5, "cfg": 2.0}},
    }
    nodes = {node["type"]: node for node in workflow.to_ui(api, object_info)["nodes"]}
    assert nodes["LoadImage"]["widgets_values"] == ["a.png", "image"]
    assert nodes["VAEEncode"]["widgets_values"] == []
    assert nodes["KSampler"]["widgets_values"][:4] == [7, "fixed", 5, 2.0]


def test_a_widget_turned_into_an_input_keeps_its_place(object_info):
    api = {
        "1": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}, "_meta": {"title": "Invert"}},
        "2": {
            "class_type": "EmptyImage",
            "inputs": {"width": ["3", 0], "height": 8, "batch_size": 1, "color": 0},
            "_meta": {"title": "Empty"},
        },
        "3": {"class_type": "StringLength", "inputs": {"string": "four"}, "_meta": {"title": "Four"}},
    }
    length = {"input": {"required": {"string": ["STRING", {}]}}, "output": ["INT"], "output_name": ["length"]}
    info = object_info | {"StringLength": length}
    ui = workflow.to_ui(api, info)
    assert ui["nodes"][1]["widgets_values"] == [512, 8, 1, 0]
    assert to_api(ui, info) == api


def test_a_circle_of_links_is_refused(object_info):
    api = {name: {"class_type": "ImageInvert", "inputs": {"image": [other, 0]}} for name, other in ("12", "21")}
    with pytest.raises(ValueError, match="circle"):
        workflow.to_ui(api, object_info)
