"""A bypassed node hands on the right thing or nothing, by the frontend's own graphToPrompt."""

import json

import pytest

from devtools.comfyui import ROOT
from devtools.object_info import object_info
from devtools.workflows import to_ui

pytestmark = pytest.mark.e2e

BYPASS = """
const [workflow, id] = arguments
return (async () => {
    await app.loadGraphData(workflow, true, true, "bypass")
    app.graph.getNodeById(id).mode = 4
    return (await app.graphToPrompt()).output
})()
"""
SHIPPED = ROOT / "demo" / "workflow.json"
BY_HAND = ROOT / "tests" / "nodes" / "by_hand" / "phd_demo.json"
PASTE, CROP, INPAINT, HARMONIZE, STITCH = (
    "Paste & Blend", "Crop Around Subject", "Masked Inpaint Sampler", "Harmonize Sampler", "Stitch",
)  # fmt: skip


@pytest.fixture(scope="module")
def info(pack):
    return object_info()


def titled(workflow: dict, title: str) -> str:
    return next(node_id for node_id, node in workflow.items() if node["_meta"]["title"] == title)


def bypassed(page, api: dict, info: dict, title: str) -> dict:
    """Title -> the links into a node, input -> [title, slot], with one node bypassed."""
    output = page.script(BYPASS, to_ui(api, info), int(titled(api, title)))
    assert titled(api, title) not in output
    return {
        node["_meta"]["title"]: {
            name: [api[value[0]]["_meta"]["title"], value[1]]
            for name, value in node["inputs"].items()
            if isinstance(value, list)
        }
        for node in output.values()
    }


def read(path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# What each of the other nodes gets when one is bypassed; None: nothing, so that the server refuses the prompt.
FEW_WIRES = {
    PASTE: {CROP: {"paste": None}},
    CROP: {INPAINT: {"latent": None}, STITCH: {"crop": None, "latent": [HARMONIZE, 0]}},
    INPAINT: {HARMONIZE: {"latent": [CROP, 6]}},
    HARMONIZE: {STITCH: {"latent": [INPAINT, 0], "crop": [CROP, 0]}},
    STITCH: {"Save": {"images": None}},
}


@pytest.mark.parametrize("title", FEW_WIRES)
def test_in_the_shipped_workflow_a_bypassed_node_hands_on_the_right_thing(page, info, title):
    found = bypassed(page, read(SHIPPED), info, title)
    for node, inputs in FEW_WIRES[title].items():
        assert {name: found[node].get(name) for name in inputs} == inputs


ALL_SOCKETS = {
    # There is no earlier paste: Crop is left without masks, and refuses.
    PASTE: {
        CROP: {"composite": ["Background", 0], "harmonize_mask": None, "inpaint_mask": None, "subject_matte": None},
        STITCH: {"composite": ["Background", 0], "harmonize_mask": None, "subject_matte": None},
    },
    CROP: {
        "VAE Encode": {"pixels": [PASTE, 1]},
        "VAE Encode (reference)": {"pixels": [PASTE, 5]},
        INPAINT: {"mask": [PASTE, 4]},
        HARMONIZE: {"mask": [PASTE, 6], "subject_matte": [PASTE, 3]},
        STITCH: {"crop": None},
    },
    INPAINT: {HARMONIZE: {"latent": ["VAE Encode", 0]}},
    HARMONIZE: {
        "VAE Decode (harmonized)": {"samples": [INPAINT, 0]},
        "VAE Decode (reference)": {"samples": [INPAINT, 0]},
        STITCH: {"changed": [CROP, 3]},
    },
    STITCH: {"Save": {"images": ["VAE Decode (harmonized)", 0]}},
    "Segment": {PASTE: {"subject_mask": None}},
}


@pytest.mark.parametrize("title", ALL_SOCKETS)
def test_composed_by_hand_a_bypassed_node_hands_on_the_right_thing(page, info, title):
    api = read(BY_HAND)
    if title == PASTE:
        # The mask of the exemplar is of another frame: it must not be handed on for one of the scene's.
        assert api[titled(api, PASTE)]["inputs"]["subject_mask"]
    found = bypassed(page, api, info, title)
    for node, inputs in ALL_SOCKETS[title].items():
        assert {name: found[node].get(name) for name in inputs} == inputs


def test_a_bypassed_second_paste_hands_on_the_first(page, info):
    api = read(SHIPPED)
    first = titled(api, PASTE)
    second = json.loads(json.dumps(api[first]))
    del second["inputs"]["background"]
    second["inputs"]["paste"] = [first, 0]
    second["_meta"]["title"] = "Second"
    api["99"] = second
    api[titled(api, CROP)]["inputs"]["paste"] = ["99", 0]
    assert bypassed(page, api, info, "Second")[CROP]["paste"] == [PASTE, 0]


@pytest.mark.parametrize(("title", "node", "name"), [
    (PASTE, CROP, "paste"), (CROP, INPAINT, "latent"), (STITCH, "Save", "images"),
])  # fmt: skip
def test_what_a_bypass_leaves_without_an_input_is_refused(page, server, info, title, node, name):
    api = read(SHIPPED)
    output = page.script(BYPASS, to_ui(api, info), int(titled(api, title)))
    kept = {node_id: output[node_id] for node_id in output if node_id != titled(api, title)}
    answer = server.post(kept).json()
    if title == PASTE:
        # Crop takes its parts one by one as well, so that it refuses when it runs.
        assert (
            "error" in answer
            or answer["node_errors"]
            or server.finished(answer["prompt_id"])["status"]["status_str"] == "error"
        )
        return
    errors = answer["node_errors"][titled(api, node)]["errors"]
    assert name in [error["extra_info"]["input_name"] for error in errors]
