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

/** A page that queues prompts of node 1 by ComfyUI's `api`, which keeps what it was given; and that `api`. */
function makePage(graph) {
  const queued = [],
    waiting = [],
    built = [];
  const api = {
    queuePrompt: async (number, prompt, options) => queued.push([Object.keys(prompt.output), options]),
  };
  const app = {
    graph,
    async graphToPrompt() {
      built.push({ output: { 1: { class_type: "A", inputs: {} } }, workflow: {} });
      return built.at(-1);
    },
    isBusy: false,
    async queuePrompt(number, batchCount, targets) {
      waiting.push(targets);
      if (app.isBusy) return false;
      while (waiting.length)
        await api.queuePrompt(number, await app.graphToPrompt(), { partialExecutionTargets: waiting.shift() });
      return true;
    },
  };
  return { app, api, queued, built };
}

test("only what was added is run, and nothing where the nodes are muted", async () => {
  const { graph, nodes } = makeGraph(),
    { app, api, queued, built } = makePage(graph),
    own = api.queuePrompt;
  await runToNodes(app, api, [nodes[1]]);
  assert.deepEqual(queued, [[["1", "phd_run_to_1"], { partialExecutionTargets: ["phd_run_to_1"] }]]);
  // Some widgets upload an image whenever a prompt is built.
  assert.equal(built.length, 1);
  await runToNodes(app, api, [nodes[2]]);
  assert.equal(queued.length, 1);
  assert.equal(api.queuePrompt, own);
});

test("a page that is still queueing another prompt takes this one next, and the other stays as it is", async () => {
  const { graph, nodes } = makeGraph(),
    { app, api, queued } = makePage(graph),
    own = api.queuePrompt;
  app.isBusy = true;
  await runToNodes(app, api, [nodes[1]]);
  await api.queuePrompt(0, await app.graphToPrompt(), undefined);
  app.isBusy = false;
  await app.queuePrompt(0, 1, undefined);
  assert.deepEqual(queued.map(([ids]) => ids), [["1"], ["1", "phd_run_to_1"], ["1"]]);
  assert.equal(api.queuePrompt, own);
});

test("two runs that wait for the page are both run", async () => {
  const { graph, nodes, inner } = makeGraph(),
    { app, api, queued } = makePage(graph),
    own = api.queuePrompt;
  app.graphToPrompt = async () => ({ output: { 1: { inputs: {} }, "2:3": { inputs: {} } } });
  app.isBusy = true;
  await runToNodes(app, api, [nodes[1]]);
  await runToNodes(app, api, [inner]);
  app.isBusy = false;
  await app.queuePrompt(0, 1, undefined);
  assert.deepEqual(queued.slice(0, 2).map(([, options]) => options.partialExecutionTargets[0]).sort(), [
    "phd_run_to_1",
    "phd_run_to_2_3",
  ]);
  assert.equal(queued.length, 3);
  assert.equal(api.queuePrompt, own);
});

test("the page's own function is back where the page could not queue", async () => {
  const { graph, nodes } = makeGraph(),
    { app, api } = makePage(graph),
    own = api.queuePrompt;
  app.queuePrompt = async () => undefined;
  await runToNodes(app, api, [nodes[1]]);
  assert.equal(api.queuePrompt, own);
});
