"""Turns API-format workflows into the UI format that ComfyUI's frontend opens.

In ComfyUI only the frontend can do this. What `example_workflows/` holds is supported: plain nodes and links, no
subgraphs, reroutes, muted nodes or dynamic inputs. `devtools.templates` has the notes beside the graphs.
"""

import json
from pathlib import Path

from devtools.paths import ROOT
from devtools.templates import TEMPLATES, Template

WORKFLOWS = ROOT / "example_workflows"
PACK_ID = "paste-inpaint-harmonize"
WIDGET_TYPES = {"INT", "FLOAT", "BOOLEAN", "STRING", "COMBO"}

# Stage -> the nodes that belong to it. Any other node joins the stage of its inputs, or else of its outputs.
STAGES = {
    "Segment": {"PhDLoadSegmenter", "PhDSegment"},
    "Paste": {"PhDPasteBlend", "PhDCrop"},
    "Inpaint": {
        "PhDMaskedInpaintSampler", "PhDLoadDemoModel", "CheckpointLoaderSimple", "UNETLoader", "CLIPLoader",
        "DualCLIPLoader", "VAELoader", "CLIPTextEncode", "TextEncodeQwenImageEditPlus", "VAEEncode",
        "FluxKontextImageScale", "ImageScaleToTotalPixels",
    },
    "Harmonize": {"PhDHarmonizeSampler"},
    "Stitch": {"PhDStitch"},
}  # fmt: skip
# Stage -> the node that its name fits, and the name of its group in a graph without that node.
OTHER_TITLES = {"Paste": ("PhDPasteBlend", "Crop"), "Inpaint": ("PhDMaskedInpaintSampler", "Edit model")}
# Where one row would be too long, the second one begins with the model.
SECOND_ROW = "Inpaint"
COLORS = dict(zip(STAGES, ("#3f789e", "#8a6d3b", "#88558c", "#3f7f5f", "#a1614f"), strict=True))

# The nodes that show images without being output nodes.
PREVIEWS = {"PhDSegment", "PhDPasteBlend", "PhDCrop", "PhDStitch", "PhDInsertSubject", "PhDMask"}

# In the frontend's pixels, as LiteGraph lays nodes out; the gap leaves room for the footer that "Nodes 2.0" adds.
WIDTH, TITLE, SLOT, WIDGET, TEXT, IMAGE = 340, 30, 20, 24, 90, 280
NODE_GAP, COLUMN_GAP, GROUP_GAP, GROUP_PAD, ROW_WIDTH = 56, 70, 60, 30, 2600
# Room at the bottom of a group for what its nodes say after a run.
GROUP_FOOT = 150
# A note, which only the frontend knows, and how high its text is drawn.
NOTE, NOTE_WIDTH, NOTE_LINE, NOTE_LETTERS = "MarkdownNote", 440, 19, 64


def write_ui_workflows(info: dict) -> list[Path]:
    """Writes the UI form of every file in `example_workflows/api`; returns the paths written."""
    written = []
    for path in sorted((WORKFLOWS / "api").glob("*.json")):
        ui_file = WORKFLOWS / path.name
        api = json.loads(path.read_text(encoding="utf-8"))
        ui = as_template(to_ui(api, info), TEMPLATES[path.stem])
        ui_file.write_text(json.dumps(ui, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(ui_file)
    return written


def as_template(ui: dict, template: Template) -> dict:
    """A UI-format workflow with its note, the files that it needs, and what App mode shows."""
    nodes = {str(node["id"]): node for node in ui["nodes"]}
    for node_id, files in template.models.items():
        nodes[node_id]["properties"]["models"] = list(files)
    outputs = [node["id"] for node in ui["nodes"] if node["type"] == "SaveImage"]
    shown = {"inputs": [[int(node_id), widget] for node_id, widget in template.inputs], "outputs": outputs}
    note = ui_note(ui["last_node_id"] + 1, template.note)
    # Older frontends ignore linearData.
    return ui | {
        "last_node_id": note["id"],
        "nodes": [*ui["nodes"], note],
        "extra": {"linearData": shown},
    }


def ui_note(node_id: int, text: str) -> dict:
    """A note at the left of the graph."""
    lines = sum(1 + len(line) // NOTE_LETTERS for line in text.splitlines())
    return {
        "id": node_id,
        "type": NOTE,
        "pos": [-NOTE_WIDTH - GROUP_GAP, 0],
        "size": [NOTE_WIDTH, NOTE_LINE * lines + TITLE],
        "flags": {},
        "order": node_id - 1,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "Note",
        "properties": {},
        "widgets_values": [text],
        "color": "#432",
        "bgcolor": "#653",
    }


def to_ui(api: dict, object_info: dict) -> dict:
    """The UI-format workflow (schema 0.4) of an API-format one. Its node ids must be whole numbers."""
    links = []
    nodes = {}
    depth = depths(api)
    for order, node_id in enumerate(sorted(api, key=lambda node_id: (depth[node_id], int(node_id)))):
        nodes[node_id] = ui_node(int(node_id), api[node_id], object_info[api[node_id]["class_type"]], order)
    for node_id, node in nodes.items():
        for slot, entry in enumerate(node["inputs"]):
            value = api[node_id]["inputs"].get(entry["name"])
            if is_link(value):
                source = nodes[value[0]]["outputs"][value[1]]
                entry["link"] = len(links) + 1
                links.append([entry["link"], int(value[0]), value[1], int(node_id), slot, source["type"]])
                source["links"].append(entry["link"])
    groups = lay_out(api, nodes)
    return {
        "last_node_id": max(map(int, api)),
        "last_link_id": len(links),
        "nodes": sorted(nodes.values(), key=lambda node: node["id"]),
        "links": links,
        "groups": groups,
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def ui_node(node_id: int, node: dict, info: dict, order: int) -> dict:
    """A node without links, at the origin."""
    entries = widgets(info)
    sockets = [
        {"name": name, "type": kind, "link": None}
        for name, kind, options in inputs_of(info)
        if not is_widget(kind, options)
    ]
    sockets += [
        {"name": name, "type": kind, "widget": {"name": name}, "link": None}
        for name, kind, _ in entries
        if name != "control_after_generate"
    ]
    properties = {"Node name for S&R": node["class_type"]}
    properties |= {"cnr_id": PACK_ID if node["class_type"].startswith("PhD") else "comfy-core"}
    stated = {name: value for name, value in node["inputs"].items() if not is_link(value)}
    return {
        "id": node_id,
        "type": node["class_type"],
        "pos": [0, 0],
        "size": size_of(info),
        "flags": {},
        "order": order,
        "mode": 0,
        "inputs": sockets,
        "outputs": [
            {"name": name, "type": type_name(kind), "links": []}
            for name, kind in zip(info["output_name"], info["output"], strict=True)
        ],
        "title": node.get("_meta", {}).get("title", info.get("display_name", node["class_type"])),
        "properties": properties,
        "widgets_values": [stated.get(name, default) for name, _, default in entries],
    }


def inputs_of(info: dict) -> list[tuple[str, str, dict]]:
    """(name, type, options) of every input, in the frontend's order."""
    return [
        (name, type_name(info["input"][kind][name][0]), (info["input"][kind][name] + [{}])[1])
        for kind in ("required", "optional")
        for name in info.get("input_order", info["input"]).get(kind, ())
    ]


def widgets(info: dict) -> list[tuple[str, str, object]]:
    """(name, type, default) of every widget in the order of `widgets_values`, with those that the frontend adds."""
    entries = []
    for name, kind, options in inputs_of(info):
        if not is_widget(kind, options):
            continue
        entries.append((name, kind, options.get("default")))
        if options.get("control_after_generate"):
            entries.append(("control_after_generate", "COMBO", "fixed"))
        if options.get("image_upload"):
            entries.append(("upload", "IMAGEUPLOAD", "image"))
    return entries


def is_widget(kind: str, options: dict) -> bool:
    return kind in WIDGET_TYPES and not options.get("forceInput")


def is_link(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def type_name(kind) -> str:
    """The name of an input's type. V1 nodes declare a combo by the list of its options."""
    return "COMBO" if isinstance(kind, list) else kind


def sources_of(node: dict) -> list[str]:
    return [value[0] for value in node["inputs"].values() if is_link(value)]


def depths(api: dict) -> dict[str, int]:
    """Node -> the number of links on the longest way to it. Raises ValueError for a loop."""
    depth: dict[str, int] = {}
    while len(depth) < len(api):
        ready = [name for name in api if name not in depth and all(source in depth for source in sources_of(api[name]))]
        if not ready:
            raise ValueError("The workflow's links run in a circle, or come from a node that is missing.")
        depth |= {name: max((depth[source] + 1 for source in sources_of(api[name])), default=0) for name in ready}
    return depth


def stages(api: dict) -> dict[str, str]:
    """Node -> the name of its stage."""
    order = list(STAGES)
    found = {name: stage for name, node in api.items() for stage in order if node["class_type"] in STAGES[stage]}
    by_depth = sorted(api, key=depths(api).get)
    for name in by_depth:
        before = [found[source] for source in sources_of(api[name]) if source in found]
        if name not in found and before:
            found[name] = max(before, key=order.index)
    for name in reversed(by_depth):
        after = [found[user] for user in api if name in sources_of(api[user]) and user in found]
        found.setdefault(name, min(after, key=order.index, default=order[0]))
    return found


def size_of(info: dict) -> list[int]:
    """A node's width and height without its title bar, and without the rows that the page folds away."""
    inputs = inputs_of(info)
    height = SLOT * max(sum(not is_widget(kind, options) for _, kind, options in inputs), len(info["output"])) + 14
    rare = {name for name, _, options in inputs if options.get("advanced")}
    height += WIDGET * sum(name not in rare for name, _, _ in widgets(info))
    height += TEXT * sum(bool(options.get("multiline")) for _, _, options in inputs)
    uploads = any(options.get("image_upload") for _, _, options in inputs)
    shows = uploads or info.get("output_node") or info.get("name") in PREVIEWS
    return [WIDTH, height + IMAGE * bool(shows)]


def lay_out(api: dict, nodes: dict[str, dict]) -> list[dict]:
    """Gives every node its place: a block for each stage, from left to right; returns the groups around several.

    In a block, columns follow the links and the nodes of a column stand below one another. Where all blocks in one row
    would be too long to be read on one screen, there are two rows.
    """
    depth, stage = depths(api), stages(api)
    blocks = {title: {name: node for name, node in nodes.items() if stage[name] == title} for title in STAGES}
    blocks = {title: (members, columns_of(members, api)) for title, members in blocks.items() if members}
    widths = {title: width_of(columns) for title, (_, columns) in blocks.items()}
    two_rows = sum(widths.values()) + GROUP_GAP * (len(widths) - 1) > ROW_WIDTH
    groups = []
    left = top = bottom = 0
    for title, (members, columns) in blocks.items():
        if two_rows and left and title == SECOND_ROW:
            left, top = 0, bottom + GROUP_GAP
        ends = dict.fromkeys(columns.values(), top + GROUP_PAD + TITLE)
        for name in sorted(members, key=lambda name: (depth[name], int(name))):
            x = left + GROUP_PAD + columns[name] * (WIDTH + COLUMN_GAP)
            y = ends[columns[name]] + TITLE
            members[name]["pos"] = [x, y]
            ends[columns[name]] = y + members[name]["size"][1] + NODE_GAP
        height = max(ends.values()) - NODE_GAP + GROUP_FOOT - top
        groups.append({
            "id": len(groups) + 1,
            "title": group_title(title, members),
            "bounding": [left, top, widths[title], height],
            "color": COLORS[title],
            "flags": {},
        })  # fmt: skip
        left += widths[title] + GROUP_GAP
        bottom = max(bottom, top + height)
    return groups if len(groups) > 1 else []


def group_title(stage: str, members: dict[str, dict]) -> str:
    """The name of a stage's group."""
    usual, other = OTHER_TITLES.get(stage, (None, stage))
    return stage if any(node["type"] == usual for node in members.values()) else other


def width_of(columns: dict[str, int]) -> int:
    """The width of a block whose nodes stand in these columns."""
    return (max(columns.values()) + 1) * (WIDTH + COLUMN_GAP) - COLUMN_GAP + 2 * GROUP_PAD


def columns_of(members: dict[str, dict], api: dict) -> dict[str, int]:
    """Node -> its column in the block of `members`: right of what it comes from, or below where it has no widgets."""
    columns: dict[str, int] = {}
    for name in sorted(members, key=depths(api).get):
        step = 1 if members[name]["widgets_values"] else 0
        sources = [source for source in sources_of(api[name]) if source in columns]
        columns[name] = max((columns[source] + step for source in sources), default=0)
    return columns
