import assert from "node:assert/strict";
import { test } from "node:test";

import { addTargets, runToNodes } from "../../web/js/run_to_node.mjs";

/** A graph of nodes 1 and 2, and node 3 in the subgraph of node 2. */
function makeGraph() {
  const inner = { id: 3, outputs: [{}] },
    nodes = { 1: { id: 1, outputs: [{}] }, 2: { id: 2, outputs: [], subgraph: { getNodeById: () => inner } } };
  return { inner, nodes, graph: { getNodeById: (id) => nodes[id] } };
}

test("a node that takes the value is added for each wanted node, also for one in a subgraph", () => {
  const { graph, nodes, inner } = makeGraph();
  const prompt = { 1: { class_type: "A", inputs: {} }, "2:3": { class_type: "B", inputs: {} } };
  assert.deepEqual(addTargets(prompt, graph, [nodes[1], inner]), ["phd_run_to_1", "phd_run_to_2_3"]);
  assert.deepEqual(prompt.phd_run_to_2_3, { class_type: "PreviewAny", inputs: { source: ["2:3", 0] } });
});

test("only what was added is run, and nothing where the nodes are muted", async () => {
  const { graph, nodes } = makeGraph(),
    queued = [];
  const app = { graph, graphToPrompt: async () => ({ output: { 1: { class_type: "A", inputs: {} } }, workflow: {} }) };
  const api = { queuePrompt: async (number, prompt, options) => queued.push([Object.keys(prompt.output), options]) };
  await runToNodes(app, api, [nodes[1]]);
  assert.deepEqual(queued, [[["1", "phd_run_to_1"], { partialExecutionTargets: ["phd_run_to_1"] }]]);
  await runToNodes(app, api, [nodes[2]]);
  assert.equal(queued.length, 1);
});
