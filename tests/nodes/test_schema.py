"""What workflows in the wild rely on: ids, names, types and defaults.

A wanted change is taken over with
    PHD_REGENERATE=1 python -m pytest -c tests/pytest.ini tests/nodes/test_schema.py tests/nodes/test_locales.py
"""

import json

import pytest
from node_support import EXPECTED_IDS, NODE_TESTS, module

SNAPSHOT = NODE_TESTS / "schema.json"
# Their options are whatever ComfyUI and its folders offer.
OFFERED_BY_COMFYUI = {"model", "sampler_name", "scheduler"}


def described(node) -> dict:
    schema = node.GET_SCHEMA()
    inputs = {}
    for item in schema.inputs:
        entry = {"type": item.get_io_type(), "optional": bool(item.optional)}
        if getattr(item, "default", None) is not None:
            entry["default"] = item.default
        for word in ("min", "max"):
            if getattr(item, word, None) is not None:
                entry[word] = getattr(item, word)
        if getattr(item, "options", None) is not None and item.id not in OFFERED_BY_COMFYUI:
            entry["options"] = item.options
        inputs[item.id] = entry
    outputs = [[item.display_name, item.get_io_type()] for item in schema.outputs]
    return {"inputs": inputs, "outputs": outputs, "output_node": schema.is_output_node}


def test_the_pack_has_the_nodes_of_the_design(pack):
    assert list(pack) == EXPECTED_IDS


def test_the_pack_is_loaded_by_comfyui_through_its_entry_point(pack):
    pack_module = module("nodes").__name__.rpartition(".")[0]
    assert module("nodes").comfy_entrypoint is __import__(pack_module).comfy_entrypoint
    assert not hasattr(__import__(pack_module), "NODE_CLASS_MAPPINGS")


@pytest.mark.parametrize("node_id", EXPECTED_IDS)
def test_every_node_input_and_output_is_explained(pack, node_id):
    schema = pack[node_id].GET_SCHEMA()
    assert schema.category == "PhD"
    assert schema.display_name and schema.description
    for item in (*schema.inputs, *schema.outputs):
        assert item.tooltip and item.tooltip.strip().endswith((".", "!", "?")), item
    assert all(item.display_name for item in schema.outputs)


@pytest.mark.parametrize("node_id", EXPECTED_IDS)
def test_tooltips_of_mask_inputs_explain_what_1_means(pack, node_id):
    for item in pack[node_id].GET_SCHEMA().inputs:
        if item.get_io_type() == "MASK":
            assert "1 = " in item.tooltip


@pytest.mark.parametrize("node_id", EXPECTED_IDS)
def test_names_are_unique_across_inputs(pack, node_id):
    names = [item.id for item in pack[node_id].GET_SCHEMA().inputs]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("node_id", EXPECTED_IDS)
def test_the_server_can_describe_every_node(pack, node_id):
    info = json.loads(json.dumps(pack[node_id].GET_NODE_INFO_V1()))
    assert info["name"] == node_id


def test_schemas_have_not_drifted(pack, regenerate):
    found = json.loads(json.dumps({node_id: described(node) for node_id, node in pack.items()}))
    if regenerate:
        SNAPSHOT.write_text(json.dumps(found, indent=2) + "\n")
    assert found == json.loads(SNAPSHOT.read_text())


def test_unknown_schema_words_are_dropped():
    newer = module("nodes.compat").newer

    def constructor(name, tooltip=None): ...

    assert newer(constructor, tooltip="t", advanced=True, search_aliases=["x"]) == {"tooltip": "t"}
    assert newer(constructor) == {}


def test_what_the_page_gets_beyond_the_schemas_is_about_nodes_and_inputs_that_there_are(pack):
    info = module("nodes.node_info")
    assert set(info.SEARCH_ALIASES) == set(pack)
    for node_id, names in info.ADVANCED_INPUTS.items():
        assert set(names) <= {item.id for item in pack[node_id].GET_SCHEMA().inputs}, node_id


@pytest.mark.parametrize("node_id", EXPECTED_IDS)
def test_one_list_names_the_advanced_inputs_and_the_search_words_in_every_version(pack, node_id):
    info, described = module("nodes.node_info"), pack[node_id].GET_NODE_INFO_V1()
    assert described["search_aliases"] == info.SEARCH_ALIASES[node_id]
    options = {name: spec[1] for group in described["input"].values() for name, spec in group.items() if spec[1:]}
    advanced = {name for name, words in options.items() if isinstance(words, dict) and words.get("advanced")}
    assert advanced == set(info.ADVANCED_INPUTS.get(node_id, []))
