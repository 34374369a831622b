"""The workflow of a batch, in ComfyUI's API format: {node id: {"class_type": ..., "inputs": ..., "_meta": ...}}."""

import copy
import json
from pathlib import Path
from typing import Any

from phd_batch.faults import Fault, UsageError

DEMO_IMAGES = "PhDLoadDemoImages"
# Repeats a still to stand in for a clip; a clip is not repeated.
REPEATER = "RepeatImageBatch"
# The outputs of Load Demo Images.
BACKGROUND, SUBJECT, SUBJECT_MASK, CUTOUT = range(4)


def read_workflow(file: Path) -> dict:
    """The workflow in a file. Raises UsageError for what is none in the API format."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--workflow: {file} cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"--workflow: {file} is not JSON ({error}).") from None
    if isinstance(found, dict) and isinstance(found.get("nodes"), list):
        twin = file.parent / "api" / file.name
        instead = f"use {twin}" if twin.is_file() else "in ComfyUI choose Workflow → Export (API), and use that file"
        raise UsageError(f"--workflow: {file} is in the UI format, which only ComfyUI's page can run; {instead}.")
    if not isinstance(found, dict) or not found or not all(map(is_node, found.values())):
        raise UsageError(f"--workflow: {file} is not a workflow in ComfyUI's API format.")
    return found


def is_node(node) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def title(node: dict) -> str:
    return (node.get("_meta") or {}).get("title") or node["class_type"]


def is_link(value) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int)


def unrepeated(workflow: dict, value: Any) -> Any:
    """The value of an input; where it is linked to a repeated still, the link to the still."""
    if not is_link(value) or workflow[value[0]]["class_type"] != REPEATER:
        return value
    source = workflow[value[0]]["inputs"].get("image")
    return source if is_link(source) else value


def nodes_titled(workflow: dict, name: str) -> list[str]:
    """The ids of the nodes with a title; or the one with this id."""
    found = [node_id for node_id, node in workflow.items() if title(node) == name]
    return found or [name] * (name in workflow)


def check_workflow(workflow: dict, info: dict) -> list[Fault]:
    """What is wrong with the workflow itself. info: a server's /object_info."""
    faults = []
    for node_id, node in workflow.items():
        kind = node["class_type"]
        if kind not in info:
            message = f"node {node_id} ({title(node)}): there is no node {kind!r} where the jobs would run."
            faults.append(Fault(None, "", message))
        for name, value in node["inputs"].items():
            if is_link(value) and value[0] not in workflow:
                message = (
                    f"node {node_id} ({title(node)}): {name} is linked to node {value[0]!r}, which does not exist."
                )
                faults.append(Fault(None, "", message))
    if not outputs_of(workflow, info):
        faults.append(Fault(None, "", "the workflow has no output; add Save Image to it."))
    return faults


def outputs_of(workflow: dict, info: dict) -> list[str]:
    """The ids of the nodes that save or show something."""
    return [node_id for node_id, node in workflow.items() if info.get(node["class_type"], {}).get("output_node")]


def without_previews(workflow: dict, info: dict) -> dict:
    """The workflow without Preview Image, unless nothing else saves an image."""
    rest = {node_id: node for node_id, node in workflow.items() if node["class_type"] != "PreviewImage"}
    return rest if outputs_of(rest, info) else workflow


def with_own_images(workflow: dict, columns: tuple[str, ...]) -> dict:
    """The workflow with Load Image in place of those demo images that the columns exemplar, background, mask replace.

    Without a column `mask`, the exemplar's transparency says where the subject is.
    """
    demo = [node_id for node_id, node in workflow.items() if node["class_type"] == DEMO_IMAGES]
    if not demo or not {"exemplar", "background"} & set(columns):
        return workflow
    workflow, sources = copy.deepcopy(workflow), {}
    if "background" in columns:
        sources[BACKGROUND] = add(workflow, "LoadImage", "Background", image="")
    if "exemplar" in columns:
        exemplar = add(workflow, "LoadImage", "Exemplar", image="")
        sources[SUBJECT] = sources[CUTOUT] = exemplar
        if "mask" in columns:
            sources[SUBJECT_MASK] = add(workflow, "LoadImageMask", "Mask", image="", channel="red")
        else:
            sources[SUBJECT_MASK] = add(workflow, "InvertMask", "Subject mask", mask=[exemplar[0], 1])
    for node in workflow.values():
        for name, value in list(node["inputs"].items()):
            if not is_link(value) or value[0] not in demo:
                continue
            node["inputs"][name] = sources.get(value[1], value)
            if value[1] == CUTOUT and CUTOUT in sources:
                # Load Image drops alpha.
                node["inputs"].setdefault("subject_mask", sources[SUBJECT_MASK])
    return without_unused(workflow)


def needs_alpha(workflow: dict, node_id: str) -> bool:
    """Whether the image that a node loads says by its transparency where the subject is."""
    return any(
        node["class_type"] == "InvertMask" and node["inputs"].get("mask") == [node_id, 1] for node in workflow.values()
    )


def add(workflow: dict, kind: str, name: str, **inputs) -> list:
    """Adds a node; its first output, as a link."""
    node_id = f"phd_batch_{name.lower().replace(' ', '_')}"
    workflow[node_id] = {"class_type": kind, "inputs": inputs, "_meta": {"title": name}}
    return [node_id, 0]


def without_unused(workflow: dict) -> dict:
    """The workflow without added nodes and demo images whose outputs nothing takes."""
    while True:
        taken = {value[0] for node in workflow.values() for value in node["inputs"].values() if is_link(value)}
        ours = [
            node_id
            for node_id, node in workflow.items()
            if (node_id.startswith("phd_batch_") or node["class_type"] == DEMO_IMAGES) and node_id not in taken
        ]
        if not ours:
            return workflow
        workflow = {node_id: node for node_id, node in workflow.items() if node_id not in ours}


def with_saved(workflow: dict, saved: list[str], info: dict) -> tuple[dict, list[Fault]]:
    """The workflow with a Save Image for each "Title.output" of `saved`, masks included."""
    workflow, faults = dict(workflow), []
    for number, name in enumerate(saved):
        of, _, output = name.rpartition(".")
        nodes = nodes_titled(workflow, of)
        names = info.get(workflow[nodes[0]]["class_type"], {}) if len(nodes) == 1 else {}
        slots, kinds = list(names.get("output_name", ())), list(names.get("output", ()))
        kind = kinds[slots.index(output)] if output in slots else None
        if kind not in ("IMAGE", "MASK"):
            images = [slot for slot, each in zip(slots, kinds, strict=False) if each in ("IMAGE", "MASK")]
            there = f"; {of} has {', '.join(images) or 'none'}" if nodes else ""
            faults.append(Fault(None, "", f"--save {name}: the workflow has no such image or mask{there}."))
            continue
        link = [nodes[0], slots.index(output)]
        if kind == "MASK":
            workflow[f"phd_batch_mask_{number}"] = {"class_type": "MaskToImage", "inputs": {"mask": link}}
            link = [f"phd_batch_mask_{number}", 0]
        workflow[f"phd_batch_save_{number}"] = {
            "class_type": "SaveImage",
            "inputs": {"images": link, "filename_prefix": "phd"},
            "_meta": {"title": name},
        }
    return workflow, faults
