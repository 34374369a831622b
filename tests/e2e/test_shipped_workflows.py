"""The shipped workflows, and those of earlier releases, in ComfyUI's real frontend."""

import functools
import json
import time

import numpy as np
import pytest

from devtools import blueprint
from devtools.comfyui import ROOT
from devtools.comfyui_page import RENDERERS, use_renderer
from devtools.executor import run_workflow
from devtools.object_info import object_info
from devtools.templates import TEMPLATES, with_demo_model
from devtools.workflows import WORKFLOWS, as_template, to_ui

pytestmark = pytest.mark.e2e

TEMPLATE_FILES = sorted((WORKFLOWS / "api").glob("*.json"))

OPEN = """
const [workflow, name] = arguments
return (async () => {
    await app.loadGraphData(workflow, true, true, name)
    const { output } = await app.graphToPrompt()
    const missing = app.graph.nodes.map(node => node.type).filter(type => !LiteGraph.registered_node_types[type])
    return { output, missing }
})()
"""


@pytest.mark.parametrize("path", TEMPLATE_FILES, ids=lambda path: path.stem)
def test_a_workflow_opens_with_all_its_nodes_and_exports_its_api_form(page, path):
    ui = json.loads((WORKFLOWS / path.name).read_text(encoding="utf-8"))
    opened = page.script(OPEN, ui, path.stem)
    assert opened["missing"] == []
    for node in opened["output"].values():
        node["_meta"].pop("cnr_id", None)  # newer frontends add it
    assert opened["output"] == json.loads(path.read_text(encoding="utf-8"))


# As little sampling as shows that a workflow runs.
LEAST = {"preset": "custom", "steps": 2, "inner_steps": 0, "side": 128, "quality": "fast"}
RUN_BUTTON = """
const { x, y, width, height } = document.querySelector("[data-testid=queue-button]").getBoundingClientRect()
return [x + width / 2, y + height / 2]
"""
DIALOGS = "return document.querySelectorAll('[role=dialog], [data-testid=error-overlay-messages]').length"


def quick(workflow):
    """The same graph with as little sampling as shows that it runs, and without a file from elsewhere."""
    workflow = with_demo_model(workflow)
    for node in workflow.values():
        node["inputs"] |= {name: value for name, value in LEAST.items() if name in node["inputs"]}
    return workflow


@functools.cache
def templates_and_images():
    """Every template in both forms, and the image that it makes headless, uint8 [H,W,3], by its name."""
    info, found = object_info(), {}
    for path in TEMPLATE_FILES:
        api = quick(json.loads(path.read_text(encoding="utf-8")))
        (save,) = (node for node in api.values() if node["class_type"] == "SaveImage")
        source, slot = save["inputs"]["images"]
        made = run_workflow(api).results[source][slot][0].numpy()
        # As Save Image rounds.
        found[path.stem] = as_template(to_ui(api, info), TEMPLATES[path.stem]), np.uint8(np.clip(255 * made, 0, 255))
    return found


def click_run(page, server) -> dict:
    """Clicks on Run, and waits for the entry in the history."""
    before = set(server.get("/history").json())
    page.drag(page.script(RUN_BUTTON))
    deadline = time.monotonic() + 60
    while not (new := set(server.get("/history").json()) - before):
        assert time.monotonic() < deadline, "the click on Run ran nothing"
        time.sleep(0.05)
    return server.finished(*new)


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", [path.stem for path in TEMPLATE_FILES])
def test_a_template_runs_at_the_first_click_and_makes_the_image_of_a_headless_run(
    page, server, comfyui, name, renderer
):
    ui, wanted = templates_and_images()[name]
    use_renderer(page, renderer)
    assert page.script(OPEN, ui, name)["missing"] == []
    page.wait_frames()
    assert page.script(DIALOGS) == 0
    history = click_run(page, server)
    assert history["status"]["status_str"] == "success"
    stored = [image for output in history["outputs"].values() for image in output.get("images", [])]
    # Of a clip, the first frame.
    saved = next(image for image in stored if image["type"] == "output")
    assert np.array_equal(server.image(saved), wanted)


APP = """
const { $pinia } = document.querySelector("#vue-app").__vue_app__.config.globalProperties
const { selectedInputs, selectedOutputs } = $pinia._s.get("appMode")
return { inputs: selectedInputs.map(([, widget]) => widget), outputs: [...selectedOutputs].map(String) }
"""


@pytest.mark.parametrize("name", [path.stem for path in TEMPLATE_FILES])
def test_app_mode_finds_all_that_a_template_shows(page, name):
    ui = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    page.script(OPEN, ui, name)
    shown = page.script(APP)
    assert shown["inputs"] == [widget for _, widget in TEMPLATES[name].inputs]
    assert shown["outputs"] == [str(node_id) for node_id in ui["extra"]["linearData"]["outputs"]]


STORED = """
const { $pinia } = document.querySelector("#vue-app").__vue_app__.config.globalProperties
return $pinia._s.get("subgraph").fetchSubgraphs().then(() => {
    const found = $pinia._s.get("nodeDef").blueprintNodeDefsByName
    const { description, inputs } = found.get("SubgraphBlueprint." + arguments[0])
    return { description, inputs: Object.keys(inputs) }
})
"""


def test_the_blueprint_is_offered_with_its_description(page, server):
    """As a user's own: ComfyUI serves those of packs from 0.3.67 on."""
    server.store(f"subgraphs/{blueprint.NAME}.json", blueprint.FILE.read_bytes())
    offered = page.script(STORED, blueprint.NAME)
    assert offered["description"] == blueprint.DESCRIPTION
    assert set(offered["inputs"]) == {*blueprint.SOCKETS, *blueprint.WIDGETS}


ON_ITS_FACE = """
const [node] = app.graph.nodes
for (const [name, value] of Object.entries(arguments[0])) node.widgets.find((w) => w.name === name).value = value
return app.graphToPrompt().then(({ output }) => [String(node.id), output])
"""


def test_the_blueprint_s_widgets_are_those_of_the_nodes_inside(page, server):
    values = {"prompt": "a red apple", "quality": "fast", "light": 1.5, "seed": 7, "x": 0.25, "flip": True}
    page.script(OPEN, json.loads(blueprint.FILE.read_text(encoding="utf-8")), blueprint.NAME)
    node_id, output = page.script(ON_ITS_FACE, values)
    info = object_info()["PhDInsertSubject"]["input"]["required"]
    defaults = {name: info[name][1].get("default") for name in blueprint.WIDGETS}
    wanted, _ = blueprint.flattened(defaults | values)
    assert {name.removeprefix(f"{node_id}:") for name in output} == set(wanted)
    for name, node in wanted.items():
        ours = output[f"{node_id}:{name}"]["inputs"]
        for entry, value in node["inputs"].items():
            link = isinstance(value, list)
            assert ours[entry] == ([f"{node_id}:{value[0]}", value[1]] if link else value), (name, entry)


OLDER = sorted((ROOT / "tests" / "nodes" / "older_workflows").glob("*/*.json"))


@pytest.mark.parametrize(
    "path",
    [path for path in OLDER if not path.stem.endswith("_api")],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_a_workflow_of_an_earlier_release_opens_and_runs(page, server, path):
    opened = page.script(OPEN, json.loads(path.read_text(encoding="utf-8")), path.stem)
    assert opened["missing"] == []
    for node in opened["output"].values():
        node["inputs"] |= {name: value for name, value in LEAST.items() if name in node["inputs"]}
    assert server.run(opened["output"])["status"]["status_str"] == "success"
