import assert from "node:assert/strict";
import { test } from "node:test";
import { nodeInPrompt } from "../../web/js/graph_links.mjs";
import { listenForWarnings } from "../../web/js/warnings.mjs";

/** An imitation of ComfyUI's `api`, and the warnings that were shown. */
function listening() {
  const api = new EventTarget(),
    shown = [];
  listenForWarnings(api, (node, warning) => shown.push([node, warning]));
  const send = (name, detail) => api.dispatchEvent(Object.assign(new Event(name), { detail }));
  return { shown, send };
}

test("a warning of a finished node is shown once, also where it ran for each item of a list", () => {
  const { shown, send } = listening();
  send("executed", { node: "7", output: { phd_warnings: ["careful", "careful"] } });
  assert.deepEqual(shown, [["7", "careful"]]);
});

test("a warning that a running sampler has sent is not shown again when it has finished", () => {
  const { shown, send } = listening();
  send("phd_warnings", { node: "3:7", warnings: ["careful"] });
  assert.deepEqual(shown, [["3:7", "careful"]]);
  send("executed", { node: "3:7", display_node: "3", output: { phd_warnings: ["careful", "other"] } });
  assert.deepEqual(shown.slice(1), [["3", "other"]]);
});

test("a warning of the run before is shown again in the next one", () => {
  const { shown, send } = listening();
  send("phd_warnings", { node: "7", warnings: ["careful"] }); // and then the run was interrupted
  send("execution_start", {});
  send("executed", { node: "7", output: { phd_warnings: ["careful"] } });
  assert.equal(shown.length, 2);
});

test("what is no list of texts is left alone", () => {
  const { shown, send } = listening();
  send("executed", { node: "7", output: null });
  send("executed", { node: "7", output: { phd_warnings: [1, "", null] } });
  send("phd_warnings", null);
  assert.deepEqual(shown, []);
});

test("a node is found by its id in the prompt, in a subgraph and around what runs inside it", () => {
  const inner = { id: 7 },
    outer = { id: 3, subgraph: { getNodeById: (id) => (id === "7" ? inner : undefined) } },
    graph = { getNodeById: (id) => (id === "3" ? outer : undefined) };
  assert.equal(nodeInPrompt(graph, "3"), outer);
  assert.equal(nodeInPrompt(graph, "3.0.0.5"), outer);
  assert.equal(nodeInPrompt(graph, "3:7"), inner);
  assert.equal(nodeInPrompt(graph, "3:7.0.0.5"), inner);
  assert.equal(nodeInPrompt(graph, "4"), undefined);
});
