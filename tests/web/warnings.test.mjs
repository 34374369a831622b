import assert from "node:assert/strict";
import { test } from "node:test";

import { listenForWarnings, nodeInPrompt } from "../../web/js/warnings.mjs";

/** As much of ComfyUI's api as the module uses; an event's data is its `detail`. */
class Api {
  listeners = new Map();

  addEventListener(name, listener) {
    this.listeners.set(name, listener);
  }

  send(name, detail) {
    this.listeners.get(name)({ detail });
  }
}

function listening() {
  const api = new Api(),
    shown = [];
  listenForWarnings(api, (node, warning) => shown.push([node, warning]));
  return { api, shown };
}

test("the warnings in a finished node's output are shown, its other texts are not", () => {
  const { api, shown } = listening();
  const output = { text: ["The mask of subject 1 is empty.", "Placed."], phd_warnings: ["Nothing was pasted."] };
  api.send("executed", { node: "4", display_node: "4", output });
  assert.deepEqual(shown, [["4", "Nothing was pasted."]]);
});

test("a warning of a node inside an expanded node belongs to the node that the user sees", () => {
  const { api, shown } = listening();
  api.send("executed", { node: "4.0.2", display_node: "4", output: { phd_warnings: ["a", "b"] } });
  assert.deepEqual(shown, [
    ["4", "a"],
    ["4", "b"],
  ]);
});

test("a node that is still running warns by an event", () => {
  const { api, shown } = listening();
  api.send("phd_warnings", { node: 7, warnings: ["No free memory for a batch: one by one."] });
  assert.deepEqual(shown, [["7", "No free memory for a batch: one by one."]]);
});

test("English sentences alone never warn", () => {
  const { api, shown } = listening();
  api.send("executed", { node: "4", output: { text: ["No subject found: the mask is empty."] } });
  assert.deepEqual(shown, []);
});

test("malformed data is ignored", () => {
  const { api, shown } = listening();
  for (const output of [null, undefined, {}, { phd_warnings: null }, { phd_warnings: "text" }])
    api.send("executed", { node: "4", output });
  api.send("executed", null);
  api.send("phd_warnings", null);
  api.send("phd_warnings", { node: "4", warnings: [7, null, "", {}] });
  assert.deepEqual(shown, []);
});

test("a node is found by its id in the prompt, also inside a subgraph", () => {
  const graph = (nodes) => ({ getNodeById: (id) => nodes[id] });
  const inner = { title: "Stitch" },
    outer = { title: "Subgraph", subgraph: graph({ 7: inner }) };
  const root = graph({ 3: outer });
  assert.equal(nodeInPrompt(root, "3"), outer);
  assert.equal(nodeInPrompt(root, "3:7"), inner);
  for (const id of ["4", "3:8", "3:7:1", ""]) assert.equal(nodeInPrompt(root, id), undefined, id);
  assert.equal(nodeInPrompt(undefined, "3"), undefined);
});
