"""The blueprint is Insert Subject's own graph, as a subgraph that users can open."""

import importlib
import json

import pytest
import torch

from devtools import blueprint
from devtools.comfyui import PACK, ROOT, register_pack
from devtools.executor import run_workflow
from devtools.object_info import object_info

TEMPLATE = ROOT / "example_workflows" / "api" / "Insert a subject (CPU demo).json"


@pytest.fixture(scope="module")
def stored(comfyui):
    return json.loads(blueprint.FILE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def subgraph(stored):
    (definition,) = stored["definitions"]["subgraphs"]
    return definition


def test_the_file_is_written_from_the_nodes_that_insert_subject_expands_into(stored):
    assert stored == blueprint.blueprint(object_info()), "`python3 dev.py workflows` writes it again"
    assert [path.name for path in blueprint.FILE.parent.iterdir()] == [blueprint.FILE.name]


def test_its_image_is_insert_subject_s_also_with_a_model_that_wants_other_settings(comfyui, monkeypatch):
    register_pack()
    presets = importlib.import_module(f"{PACK}.nodes.sampler_inputs")
    monkeypatch.setitem(presets.INPAINT_PRESETS, "fast", (2, 1))
    monkeypatch.setitem(presets.HARMONIZE_PRESETS, "fast", (2, 0))
    workflow = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    given = workflow["3"]["inputs"] | {"quality": "fast", "seed": 0}
    # Another graph goes with a module.
    del given["module"]
    wanted = run_workflow(workflow | {"3": {"class_type": "PhDInsertSubject", "inputs": given}}).results["3"]
    api, outputs = blueprint.flattened({
        # The numbers of the template's own nodes are taken inside.
        name: [f"outside {value[0]}", value[1]] if isinstance(value, list) else value for name, value in given.items()
    })  # fmt: skip
    api |= {f"outside {node_id}": workflow[node_id] for node_id in ("1", "2")}
    api["save"] = {"class_type": "PreviewImage", "inputs": {"images": outputs[0]}}
    results = run_workflow(api).results
    for (node_id, slot), value in zip(outputs, wanted, strict=True):
        ours = results[node_id][slot]
        assert torch.equal(ours, value) if isinstance(value, torch.Tensor) else ours == value


def test_its_face_has_insert_subject_s_inputs(stored, subgraph):
    (node,) = stored["nodes"]
    assert node["type"] == subgraph["id"]
    info = object_info()["PhDInsertSubject"]
    names = [name for kind in ("required", "optional") for name in info["input_order"][kind]]
    # Keyframes, the windows that follow them, and another cfg are set in the nodes inside.
    assert {entry["name"] for entry in node["inputs"]} == set(names) - {
        "segmenter",
        "positive",
        "negative",
        "keyframes",
        "cfg",
        "module",
    }
    assert [entry["name"] for entry in node["inputs"] if "widget" in entry] == list(blueprint.WIDGETS)
    assert [entry["name"] for entry in node["outputs"]] == info["output_name"]
    assert subgraph["category"] == "PhD" and stored["extra"]["BlueprintDescription"] == subgraph["description"]


def test_its_links_join_slots_of_one_type(subgraph):
    nodes = {node["id"]: node for node in subgraph["nodes"]}
    for link in subgraph["links"]:
        source, target = nodes.get(link["origin_id"]), nodes.get(link["target_id"])
        start = source["outputs"] if source else subgraph["inputs"]
        stop = target["inputs"] if target else subgraph["outputs"]
        one, other = start[link["origin_slot"]], stop[link["target_slot"]]
        assert one["type"] == other["type"] == link["type"]
        assert link["id"] in one.get("linkIds", one.get("links", []))
        assert link["id"] in other.get("linkIds", [other.get("link")])
    assert all(end["linkIds"] for end in (*subgraph["inputs"], *subgraph["outputs"]))
