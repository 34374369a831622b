"""Nodes that are no output nodes show their results all the same, in both of the frontend's renderers."""

import numpy as np
import pytest

from devtools.comfyui_page import FIND, RENDERERS, RUN_TO_NODE, build_graph, paste_nodes, use_renderer
from devtools.server import as_png

pytestmark = pytest.mark.e2e

HAS_OUTPUT = "return Boolean(app.nodeOutputs[arguments[0]]?.images?.length)"
# The classic renderer draws previews on its canvas, Nodes 2.0 has elements.
SHOWS_IMAGES = (
    FIND
    + """
const elements = document.querySelectorAll(`[data-node-id="${node.id}"] img`)
return (node.imgs?.length ?? 0) + [...elements].filter(image => image.src.includes("phd_")).length > 0
"""
)
LOOK_AT = FIND + "app.canvas.centerOnNode(node); app.canvas.setDirty(true, true)"
HAS_BUTTON = "return Boolean(document.querySelector('.selection-toolbox .pi-step-forward, button .pi-step-forward'))"


@pytest.fixture(scope="module", params=RENDERERS)
def renderer(page, server, request):
    scene = np.full((200, 320, 3), 90, np.uint8)
    subject = np.zeros((60, 60, 4), np.uint8)
    subject[10:50, 10:50] = (230, 30, 30, 255)
    server.upload("preview_scene.png", as_png(scene))
    server.upload("preview_subject.png", as_png(subject))
    use_renderer(page, request.param)
    yield request.param
    use_renderer(page, "classic")


def crop_nodes() -> dict[str, dict]:
    """A graph without any output node, that ends in Crop."""
    nodes = paste_nodes("preview_scene.png", "preview_subject.png")
    crop = {"type": "PhDCrop", "at": [560, 0], "values": {"side": 64}, "links": {"paste": ["paste", 0]}}
    return nodes | {"crop": crop}


def test_a_graph_without_an_output_runs_to_a_node_and_the_page_and_the_history_have_what_it_shows(
    page, server, renderer
):
    ids = build_graph(page, crop_nodes())
    page.console()
    page.script(RUN_TO_NODE, ids["crop"])
    page.wait_for(HAS_OUTPUT, ids["crop"], seconds=60)
    page.script(LOOK_AT, ids["crop"])
    page.wait_for(SHOWS_IMAGES, ids["crop"], seconds=30)
    page.wait_for(HAS_OUTPUT, ids["paste"], seconds=10)
    assert page.script("return app.nodeOutputs[arguments[0]].phd_placement.length", ids["paste"]) == 1
    latest = list(server.get("/history", max_items=1).json().values())[0]
    window = page.script("return app.nodeOutputs[arguments[0]].phd_window", ids["crop"])
    assert latest["outputs"][str(ids["crop"])]["phd_window"] == window and window[0]["target_width"] >= 64
    assert latest["outputs"][str(ids["paste"])]["phd_placement_used"]
    stored = [image for output in latest["outputs"].values() for image in output.get("images", [])]
    assert {image["type"] for image in stored} == {"temp"} and all(server.image(image).size for image in stored)
    assert [text for text in page.console() if "/extensions/" in text or "Uncaught" in text or "phd_" in text] == []


def test_only_what_a_node_needs_is_run_and_its_button_is_beside_the_selection(page, server, renderer):
    ids = build_graph(page, crop_nodes())
    page.script("app.graph.getNodeById(arguments[0]).widgets.find(w => w.name === 'side').value = 0", ids["crop"])
    page.script(RUN_TO_NODE, ids["paste"])
    page.wait_for(HAS_OUTPUT, ids["paste"], seconds=60)
    assert not page.script(HAS_OUTPUT, ids["crop"])
    page.wait_for(HAS_BUTTON, seconds=10)
