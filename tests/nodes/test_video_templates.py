"""The templates for clips, with ComfyUI's own Wan in the place of its files: tiny, with random weights."""

import json

import pytest
import torch
from node_support import prompt, tiny_wan, tiny_wan_vae

import nodes as core
from devtools.any_value import Given
from devtools.executor import run_workflow
from devtools.workflows import WORKFLOWS

pytestmark = pytest.mark.usefixtures("demo_images")
FRAMES = 9


def with_tiny_wan(api: dict) -> dict:
    """An API-format workflow with a tiny Wan, prompts and VAE, and little of everything."""
    core.NODE_CLASS_MAPPINGS["PhDTestGiven"] = Given
    words = [[prompt(1)[0][0], {}]]
    Given.values = {"UNETLoader": tiny_wan(), "VAELoader": tiny_wan_vae(), "CLIPTextEncode": words, "CLIPLoader": None}
    less = {"amount": FRAMES, "side": 64, "preset": "custom", "steps": 2, "inner_steps": 1}
    changed = {}
    for node_id, node in api.items():
        kind, inputs = node["class_type"], node["inputs"]
        if kind in Given.values:
            changed[node_id] = {"class_type": "PhDTestGiven", "inputs": {"name": kind}}
        else:
            changed[node_id] = node | {"inputs": {name: less.get(name, value) for name, value in inputs.items()}}
    return changed


@pytest.mark.parametrize(("name", "keeps"), [("Subject through a clip", "5"), ("Product turntable into a scene", "1")])
def test_a_clip_goes_through_wan_and_keeps_the_background(name, keeps):
    workflow = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    ran = run_workflow(with_tiny_wan(workflow)).results
    (image, mask), background = ran["12"][:2], ran[keeps][0]
    assert len(image) == FRAMES and ran["11"][0]["samples"].shape[2] == (FRAMES + 3) // 4
    assert torch.equal(image[mask == 0], background.expand_as(image)[mask == 0])
    assert (mask.amax((1, 2)) > 0).all() and not torch.equal(image[mask > 0], ran["6"][1][mask > 0])
    boxes = ran["7"][0].boxes
    assert len(boxes) == FRAMES and len({box.size for box in boxes}) == 1
