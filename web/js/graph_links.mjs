/** The graph around a node: where an input's value comes from, the subgraph that a node is in, and ids. */

/** The node and the slot that an input's value comes from. @typedef {{ node: any, slot: number }} Origin */

const MUTED = 2,
  BYPASSED = 4;
/** The origin of links from a subgraph's own inputs. */
const SUBGRAPH_INPUT = -10;
/** A longer chain of reroutes and subgraphs is taken for a circle. */
export const MAX_STEPS = 200;

/**
 * The node that computes an input's value, past reroutes, bypassed nodes and subgraphs; null where there is none.
 * @param {any} node @param {string} name
 * @returns {Origin | null}
 */
export function originOf(node, name) {
  let slot = slotOf(node, name);
  for (let step = 0; step < MAX_STEPS && slot >= 0; step++) {
    const link = linkInto(node, slot);
    if (!link) return null;
    if (Number(link.origin_id) === SUBGRAPH_INPUT) {
      [node, slot] = [hostsOf(node.graph)[0], link.origin_slot];
      if (!node) return null;
      continue;
    }
    let from = node.graph?.getNodeById(link.origin_id);
    let output = link.origin_slot;
    while (from?.isSubgraphNode?.() && from.mode !== MUTED && from.mode !== BYPASSED) {
      const inner = from.resolveSubgraphOutputLink?.(output);
      if (!inner?.outputNode) return null;
      [from, output] = [inner.outputNode, inner.link.origin_slot];
    }
    if (!from || from.mode === MUTED) return null;
    const passes = from.mode === BYPASSED || from.type === "Reroute";
    if (!passes) return { node: from, slot: output };
    slot = from.type === "Reroute" ? 0 : bypassSlot(from, output);
    node = from;
  }
  return null;
}

/**
 * The input that a bypassed node returns at an output: the one at the same index if its type fits, else the first fit.
 * @param {any} node @param {number} output
 * @returns {number}
 */
function bypassSlot(node, output) {
  const type = node.outputs?.[output]?.type,
    inputs = node.inputs ?? [];
  return inputs[output]?.type === type ? output : inputs.findIndex((input) => input.type === type);
}

/** @param {any} node @param {string} name */
function slotOf(node, name) {
  return (node.inputs ?? []).findIndex((input) => input.name === name);
}

/** @param {any} node @param {string} name Whether an input, or the socket of a widget, has a link. */
export function isLinked(node, name) {
  return Boolean(linkInto(node, slotOf(node, name)));
}

/**
 * The link into an input, or null.
 * @param {any} node @param {number} slot
 * @returns {{ origin_id: number | string, origin_slot: number } | null}
 */
function linkInto(node, slot) {
  // litegraph throws for a node that is in no graph.
  if (slot < 0 || !node.graph) return null;
  if (!node.isSubgraphNode?.()) return node.getInputLink(slot);
  // For the node of a subgraph, getInputLink returns a link inside it.
  const goesIn = (link) => String(link.target_id) === String(node.id) && link.target_slot === slot;
  return [...node.graph.links.values()].find(goesIn) ?? null;
}

/**
 * The input of a subgraph's node that an input inside it is linked to; null where it is linked to something else.
 * @param {any} node @param {string} name
 * @returns {{ node: any, name: string } | null}
 */
export function hostInput(node, name) {
  const link = linkInto(node, slotOf(node, name));
  if (!link || Number(link.origin_id) !== SUBGRAPH_INPUT) return null;
  const [host] = hostsOf(node.graph);
  const input = host?.inputs?.[link.origin_slot];
  return input ? { node: host, name: input.name } : null;
}

/** @param {any} graph @returns {any[]} The nodes that stand for this subgraph, in any graph of the workflow. */
export function hostsOf(graph) {
  if (graph?.phdHost) return [graph.phdHost];
  const root = graph?.rootGraph;
  return [root, ...(root?.subgraphs?.values() ?? [])].flatMap(
    (each) => each?.nodes?.filter((node) => node.isSubgraphNode?.() && node.subgraph === graph) ?? [],
  );
}

/** @param {any} node Whether it is inside a subgraph. */
export function isInside({ graph }) {
  return Boolean(graph?.rootGraph && graph !== graph.rootGraph);
}

/** @param {any} node What names it in the workflow. */
export function keyOf({ graph, id }) {
  return `${graph?.id ?? ""}:${id}`;
}

/**
 * The node with an id of the prompt: "7"; "3:7" for node 7 in the subgraph of node 3; "7.0.0.3" for what runs inside 7.
 * @param {any} graph the root graph @param {string} id
 */
export function nodeInPrompt(graph, id) {
  /** @type {any} */
  let node;
  for (const part of id.split(".")[0].split(":")) {
    node = (node ? node.subgraph : graph)?.getNodeById(part);
    if (!node) return undefined;
  }
  return node;
}
