"""The shipped workflows, and those of earlier releases, in ComfyUI's real frontend."""

import json

import pytest

from devtools.comfyui import ROOT
from devtools.workflows import WORKFLOWS

pytestmark = pytest.mark.e2e

OPEN = """
const [workflow, name] = arguments
return (async () => {
    await app.loadGraphData(workflow, true, true, name)
    const { output } = await app.graphToPrompt()
    const missing = app.graph.nodes.map(node => node.type).filter(type => !LiteGraph.registered_node_types[type])
    return { output, missing }
})()
"""


@pytest.mark.parametrize("path", sorted((WORKFLOWS / "api").glob("*.json")), ids=lambda path: path.stem)
def test_a_workflow_opens_with_all_its_nodes_and_exports_its_api_form(page, path):
    ui = json.loads((WORKFLOWS / path.name).read_text(encoding="utf-8"))
    opened = page.script(OPEN, ui, path.stem)
    assert opened["missing"] == []
    for node in opened["output"].values():
        node["_meta"].pop("cnr_id", None)  # newer frontends add it
    assert opened["output"] == json.loads(path.read_text(encoding="utf-8"))


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
        # As little sampling as shows that it runs.
        least = {"preset": "custom", "steps": 2, "inner_steps": 0, "side": 128, "quality": "fast"}
        node["inputs"] |= {name: value for name, value in least.items() if name in node["inputs"]}
    assert server.run(opened["output"])["status"]["status_str"] == "success"
