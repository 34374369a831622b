"""Insert Subject as a subgraph, which users can open and change.

Newer versions of ComfyUI offer every file in a pack's folder `subgraphs` as a blueprint. This one is written from the
nodes that Insert Subject itself expands into.
"""

import importlib
import json
import uuid
from pathlib import Path

from devtools.comfyui import PACK, load_pack
from devtools.paths import ROOT
from devtools.workflows import GROUP_GAP, PACK_ID, TITLE, WIDTH, inputs_of, is_link, lay_out, ui_node

NAME = "Insert Subject (subgraph)"
FILE = ROOT / "subgraphs" / f"{NAME}.json"
DESCRIPTION = (
    "Insert Subject with its steps inside, to open and change: paste, crop, inpaint, harmonize, stitch. Its settings "
    "follow the connected model."
)
ALIASES = ["paste subject", "insert object", "composite", "relight", "harmonize", "inpaint"]
SOCKETS = ("background", "subject", "subject_mask", "model", "clip", "vae")
WIDGETS = ("prompt", "quality", "light", "seed", "placement", "x", "y", "size", "rotation", "flip")
OUTPUTS = ("image", "mask", "before", "report")
# Input -> its number.
SLOTS = {name: slot for slot, name in enumerate((*SOCKETS, *WIDGETS))}
# ComfyUI's numbers for the ends of a subgraph's own links.
INPUT_NODE, OUTPUT_NODE = -10, -20
# In the page's pixels.
SLOT_HEIGHT, SIDE = 20, 140


def expanded() -> tuple[dict, list[list]]:
    """The nodes that Insert Subject expands into, and what its outputs come from.

    API format, with a link to ["background", 0] where the input `background` goes, and so for each of SOCKETS and
    WIDGETS. ComfyUI must be active.
    """
    from comfy_execution.graph_utils import GraphBuilder

    load_pack()
    insert_subject, model_settings = (
        importlib.import_module(f"{PACK}.nodes.{name}") for name in ("insert_subject", "model_settings")
    )
    graph = GraphBuilder(prefix="")
    linked, widgets = ({name: [name, 0] for name in names} for names in (SOCKETS, WIDGETS))
    settings = graph.node("PhDModelSettings", model=linked["model"], quality=widgets["quality"])
    own = model_settings.linked_settings(settings)
    # Insert Subject's own seed is 0 at first, and the second one follows it.
    outputs = insert_subject.chain(graph, own, linked, {**widgets, "harmonize_seed": 1})
    return graph.finalize(), list(outputs)


def flattened(values: dict) -> tuple[dict, list[list]]:
    """The same nodes with links or values in the places of the inputs; those that are left out are not connected."""
    api, outputs = expanded()
    for node in api.values():
        for name, value in list(node["inputs"].items()):
            if is_link(value) and value[0] not in api:
                if value[0] in values:
                    node["inputs"][name] = values[value[0]]
                else:
                    del node["inputs"][name]
    return api, outputs


def blueprint(object_info: dict) -> dict:
    """The workflow that is the blueprint: one node, whose type is a subgraph."""
    api, outputs = expanded()
    subgraph, entries, results = subgraph_of(api, outputs, object_info)
    # The page wants ids that are unique over all levels.
    number = subgraph["state"]["lastNodeId"] + 1
    node = {
        "id": number,
        "type": subgraph["id"],
        "pos": [0, 0],
        "size": [WIDTH, 560],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": entries,
        "outputs": results,
        "title": NAME,
        "properties": {"cnr_id": PACK_ID},
        "widgets_values": [],
    }
    return {
        "revision": 0,
        "last_node_id": number,
        "last_link_id": 0,
        "nodes": [node],
        "links": [],
        "version": 0.4,
        "definitions": {"subgraphs": [subgraph]},
        "extra": {"BlueprintDescription": DESCRIPTION, "BlueprintSearchAliases": ALIASES},
    }


def subgraph_of(api: dict, outputs: list[list], object_info: dict) -> tuple[dict, list[dict], list[dict]]:
    """The subgraph's definition, and the inputs and the outputs of its node."""
    own = object_info["PhDInsertSubject"]
    kinds = {name: kind for name, kind, _ in inputs_of(own)}
    inner = {
        node_id: node | {"inputs": {name: value for name, value in node["inputs"].items() if not outer(value, api)}}
        for node_id, node in api.items()
    }
    nodes = {
        node_id: ui_node(int(node_id), node, object_info[node["class_type"]], order)
        for order, (node_id, node) in enumerate(inner.items())
    }
    groups = lay_out(inner, nodes)
    links = links_of(api, nodes, outputs, own["output"])
    right = max(node["pos"][0] for node in nodes.values()) + WIDTH + GROUP_GAP
    inputs, results = ends_of(links, kinds, own["output"], right)
    subgraph = {
        "id": identity(NAME),
        "version": 1,
        "state": {
            "lastGroupId": len(groups),
            "lastNodeId": max(map(int, api)),
            "lastLinkId": len(links),
            "lastRerouteId": 0,
        },
        "revision": 0,
        "config": {},
        "name": NAME,
        "category": "PhD",
        "description": DESCRIPTION,
        "inputNode": node_of(INPUT_NODE, -GROUP_GAP - SIDE, len(inputs)),
        "outputNode": node_of(OUTPUT_NODE, right, len(results)),
        "inputs": inputs,
        "outputs": results,
        "widgets": [],
        "nodes": list(nodes.values()),
        "groups": groups,
        "links": links,
        "extra": {},
    }
    shown = {name: {"widget": {"name": name}} for name in WIDGETS}
    entries = [{"name": name, "type": kinds[name], "link": None, **shown.get(name, {})} for name in SLOTS]
    return subgraph, entries, [{"name": one["name"], "type": one["type"], "links": []} for one in results]


def links_of(api: dict, nodes: dict[str, dict], outputs: list[list], kinds: list[str]) -> list[dict]:
    """All links inside the subgraph, which are also noted at the nodes' slots.

    outputs: what the subgraph's outputs come from; kinds: their types.
    """
    links: list[dict] = []
    for node_id, node in nodes.items():
        for slot, entry in enumerate(node["inputs"]):
            value = api[node_id]["inputs"].get(entry["name"])
            if not is_link(value):
                continue
            entry["link"] = len(links) + 1
            if outer(value, api):
                origin = (INPUT_NODE, SLOTS[value[0]])
            else:
                origin = (int(value[0]), value[1])
                nodes[value[0]]["outputs"][value[1]]["links"].append(entry["link"])
            links.append(link(len(links) + 1, origin, (int(node_id), slot), entry["type"]))
    for slot, (source, output) in enumerate(outputs):
        nodes[source]["outputs"][output]["links"].append(len(links) + 1)
        links.append(link(len(links) + 1, (int(source), output), (OUTPUT_NODE, slot), kinds[slot]))
    return links


def ends_of(
    links: list[dict], kinds: dict[str, str], output_kinds: list[str], right: float
) -> tuple[list[dict], list[dict]]:
    """The subgraph's inputs, and its outputs, which are drawn at `right`. kinds: the inputs' types by their names."""
    inputs = []
    for name, slot in SLOTS.items():
        ids = [one["id"] for one in links if (one["origin_id"], one["origin_slot"]) == (INPUT_NODE, slot)]
        # The page shows an input as the widget of its first link: a sampler's seed, not Paste & Blend's folded one.
        inputs.append(end("input", name, kinds[name], (-GROUP_GAP, SLOT_HEIGHT * slot), ids[::-1]))
    results = []
    for slot, name in enumerate(OUTPUTS):
        ids = [one["id"] for one in links if (one["target_id"], one["target_slot"]) == (OUTPUT_NODE, slot)]
        results.append(end("output", name, output_kinds[slot], (right, SLOT_HEIGHT * slot), ids))
    return inputs, results


def outer(value, api: dict) -> bool:
    """Whether a value is a link from outside."""
    return is_link(value) and value[0] not in api


def end(side: str, name: str, kind: str, at: tuple[float, float], links: list[int]) -> dict:
    """An input or an output of a subgraph."""
    return {"id": identity(f"{side} {name}"), "name": name, "type": kind, "linkIds": links, "pos": list(at)}


def node_of(number: int, left: float, slots: int) -> dict:
    """Where the inputs or the outputs of a subgraph are drawn."""
    return {"id": number, "bounding": [left, 0, SIDE, SLOT_HEIGHT * slots + TITLE]}


def link(number: int, origin: tuple[int, int], target: tuple[int, int], kind: str) -> dict:
    return {"id": number, "origin_id": origin[0], "origin_slot": origin[1], "target_id": target[0],
            "target_slot": target[1], "type": kind}  # fmt: skip


def identity(name: str) -> str:
    """An id that is always the same for one name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PACK_ID}/{name}"))


def write_blueprint(object_info: dict) -> Path:
    """Writes the file that users get; returns its path."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(blueprint(object_info), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return FILE
