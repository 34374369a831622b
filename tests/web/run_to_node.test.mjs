import assert from "node:assert/strict";
import { test } from "node:test";

import { addTargets, runToNodes } from "../../web/js/run_to_node.mjs";

/** A graph of nodes 1 and 2, and node 3 in the subgraph of node 2. */
function makeGraph() {
  const inner = { id: 3, outputs: [{}] },
    subgraph = { nodes: [inner], getNodeById: () => inner },
    nodes = { 1: { id: 1, outputs: [{}] }, 2: { id: 2, outputs: [], subgraph } },
    subgraphs = new Map([["inside", subgraph]]);
  return { inner, nodes, graph: { nodes: Object.values(nodes), subgraphs, getNodeById: (id) => nodes[id] } };
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

/** A widget of a seed that counts up after each run, or before each but the first. */
function makeSeed(changesBefore) {
  const seed = { value: 1 };
  let hasRun = false;
  const control = {
    beforeQueued: () => ((seed.value += Number(changesBefore && hasRun)), (hasRun = true)),
    afterQueued: () => (seed.value += Number(!changesBefore)),
  };
  return { seed, widgets: [seed, control] };
}

for (const changesBefore of [false, true])
  test(`a seed changes ${changesBefore ? "before" : "after"} each run as in a whole run, also in subgraphs`, async () => {
    const { graph, nodes, inner } = makeGraph(),
      ran = [];
    const outer = makeSeed(changesBefore),
      inside = makeSeed(changesBefore);
    nodes[1].widgets = outer.widgets;
    inner.widgets = inside.widgets;
    const seeds = () => [outer.seed.value, inside.seed.value];
    const app = { graph, graphToPrompt: async () => ({ output: { 1: { class_type: "A", inputs: { seed: seeds() } } } }) };
    const api = { queuePrompt: async (_, prompt) => ran.push(prompt.output[1].inputs.seed) };
    await runToNodes(app, api, [nodes[1]]);
    await runToNodes(app, api, [nodes[1]]);
    assert.deepEqual(ran, [
      [1, 1],
      [2, 2],
    ]);
    assert.deepEqual(seeds(), changesBefore ? [2, 2] : [3, 3]);
  });

test("a seed stays where ComfyUI refuses the prompt", async () => {
  const { graph, nodes } = makeGraph(),
    { seed, widgets } = makeSeed(false);
  nodes[1].widgets = widgets;
  const app = { graph, graphToPrompt: async () => ({ output: { 1: { class_type: "A", inputs: {} } } }) };
  const api = { queuePrompt: () => Promise.reject(new Error("refused")) };
  await assert.rejects(runToNodes(app, api, [nodes[1]]), /refused/);
  assert.equal(seed.value, 1);
});
