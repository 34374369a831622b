"""The English texts for ComfyUI's translation are the schemas' own. test_schema.py shows how to regenerate them."""

import json

from node_support import ROOT

FILE = ROOT / "locales" / "en" / "nodeDefs.json"


def texts(node) -> dict:
    schema = node.GET_SCHEMA()
    entry = {"display_name": schema.display_name, "description": schema.description}
    if schema.inputs:
        entry["inputs"] = {
            item.id: {"name": item.display_name or item.id, "tooltip": item.tooltip} for item in schema.inputs
        }
    entry["outputs"] = {
        str(slot): {"name": item.display_name, "tooltip": item.tooltip} for slot, item in enumerate(schema.outputs)
    }
    return entry


def test_english_texts_are_those_of_the_schemas(pack, regenerate):
    wanted = {node_id: texts(node) for node_id, node in pack.items()}
    if regenerate:
        FILE.write_text(json.dumps(wanted, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    assert json.loads(FILE.read_text(encoding="utf-8")) == wanted


def test_keys_are_such_as_the_frontend_can_look_up(pack):
    # It splits its keys at dots.
    for node_id, node in json.loads(FILE.read_text(encoding="utf-8")).items():
        assert "." not in node_id
        assert not any("." in name for name in node.get("inputs", {}))


def test_every_node_has_a_help_page_that_names_all_inputs_and_outputs(pack):
    for node_id, node in pack.items():
        page = (ROOT / "web" / "docs" / f"{node_id}.md").read_text(encoding="utf-8")
        schema = node.GET_SCHEMA()
        for name in (*(item.id for item in schema.inputs), *(item.display_name for item in schema.outputs)):
            assert f"`{name}`" in page, f"{node_id}.md does not name {name}"
    assert {path.stem for path in (ROOT / "web" / "docs").glob("*.md")} == set(pack)
