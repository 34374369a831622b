/**
 * Runs the graph as far as some nodes. ComfyUI itself runs to output nodes only, and an output node of ours would also
 * run where the rest of a prompt is invalid; so a node that only takes a value is added to the prompt, not to the graph.
 */

import { nodeInPrompt } from "./warnings.mjs";

/** A prompt in the API format. @typedef {Record<string, { class_type: string, inputs: Record<string, any> }>} Prompt */

/** ComfyUI's output node that takes a value of any type and writes no file. */
const TAKES_ANYTHING = { type: "PreviewAny", input: "source" };

/**
 * Adds to a prompt what makes it run to some nodes; returns the ids of what was added.
 * @param {Prompt} prompt @param {any} graph the root graph @param {any[]} nodes those that are not in the prompt, as
 *   they are muted, bypassed or without outputs, are left out
 * @returns {string[]}
 */
export function addTargets(prompt, graph, nodes) {
  const wanted = Object.keys(prompt).filter((id) => {
    const node = nodeInPrompt(graph, id);
    return nodes.includes(node) && node.outputs?.length;
  });
  return wanted.map((id) => {
    // Ids with a colon are of nodes in subgraphs.
    const target = `phd_run_to_${id.replaceAll(":", "_")}`;
    prompt[target] = { class_type: TAKES_ANYTHING.type, inputs: { [TAKES_ANYTHING.input]: [id, 0] } };
    return target;
  });
}

/**
 * Calls a hook of all widgets, as the frontend does around each run: seeds change by it, before or after the run.
 * @param {any} graph the root graph @param {"beforeQueued" | "afterQueued"} hook
 */
function callWidgets(graph, hook) {
  for (const { nodes } of [graph, ...(graph.subgraphs?.values() ?? [])])
    for (const node of nodes) for (const widget of node.widgets ?? []) widget[hook]?.({ isPartialExecution: true });
}

/**
 * Queues the graph of the page as far as some nodes. Rejects where ComfyUI refuses the prompt.
 * @param {{ rootGraph?: any, graph: any, graphToPrompt: () => Promise<any> }} app
 * @param {{ queuePrompt: (number: number, prompt: any, options: any) => Promise<any> }} api @param {any[]} nodes
 */
export async function runToNodes(app, api, nodes) {
  const graph = app.rootGraph ?? app.graph;
  callWidgets(graph, "beforeQueued");
  const prompt = await app.graphToPrompt();
  const partialExecutionTargets = addTargets(prompt.output, graph, nodes);
  if (!partialExecutionTargets.length) return;
  await api.queuePrompt(0, prompt, { partialExecutionTargets });
  callWidgets(graph, "afterQueued");
  graph.setDirtyCanvas?.(true, false);
}
