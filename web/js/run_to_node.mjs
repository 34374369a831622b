/**
 * Runs the graph as far as some nodes. ComfyUI itself runs to output nodes only, and an output node of ours would also
 * run where the rest of a prompt is invalid; so a node that only takes a value is added to the prompt, not to the graph.
 */

import { nodeInPrompt } from "./graph_links.mjs";

/** A prompt in the API format. @typedef {Record<string, { class_type: string, inputs: Record<string, any> }>} Prompt */

/** ComfyUI's output node that takes a value of any type and writes no file. */
const TAKES_ANYTHING = { type: "PreviewAny", input: "source" };
/** Stands for the targets until the page has built the prompt, where their ids are. */
const TARGETS = "phd_run_to_nodes";

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
 * Queues the graph of the page as far as some nodes, by the page's own queuePrompt: it brings seeds, the login that API
 * nodes need, and messages where ComfyUI refuses the prompt. The targets are added to the prompt that it builds, on the
 * way to the server.
 * @param {{ rootGraph?: any, graph: any, queuePrompt: Function }} app @param {{ queuePrompt: Function }} api
 * @param {any[]} nodes
 */
export async function runToNodes(app, api, nodes) {
  if (!nodes.length) return;
  const queue = api.queuePrompt;
  const restore = () => (api.queuePrompt = queue);
  api.queuePrompt = async (/** @type {number} */ number, /** @type {any} */ prompt, /** @type {any} */ options) => {
    if (options?.partialExecutionTargets?.[0] !== TARGETS) return queue.call(api, number, prompt, options);
    restore();
    const targets = addTargets(prompt.output, app.rootGraph ?? app.graph, nodes);
    // Without targets ComfyUI would run the whole graph. So it gets nothing, and the page this answer.
    if (!targets.length) return {};
    return queue.call(api, number, prompt, { ...options, partialExecutionTargets: targets });
  };
  // False: the page is still queueing another prompt, and takes this one next.
  if ((await app.queuePrompt(0, 1, [TARGETS])) !== false) restore();
}
