/**
 * Where the widgets that an editor sets are shown on the node of a subgraph, the editor is shown there too. ComfyUI shows
 * no other element outside than its own text areas, so such an editor is one of its own.
 */

import { hostInput, isLinked } from "./input_images.mjs";
import { setValue, valueOf } from "./node_widgets.mjs";
import { hostsOf, seenFrom } from "./subgraph_view.mjs";

/**
 * The nodes of subgraphs that show all these widgets of a node inside, and the node as it is seen from each.
 * @param {any} node @param {string[]} names @returns {{ host: any, seen: any }[]}
 */
export function facesOf(node, names) {
  if (!names.length || !isInside(node)) return [];
  return hostsOf(node.graph).flatMap((host) => {
    const seen = seenFrom(host, node);
    const outside = names.flatMap((name) => hostInput(seen, name) ?? []).map(({ name }) => name);
    if (outside.length < names.length) return [];
    const further = facesOf(host, outside).map((face) => ({ host: face.host, seen: seenFrom(face.seen, node) }));
    return [{ host, seen }, ...further];
  });
}

/** @param {any} node @returns {boolean} Whether it is inside a subgraph. */
export function isInside(node) {
  const { graph } = node;
  return Boolean(graph?.rootGraph && graph !== graph.rootGraph);
}

/** @param {any} node @param {string[]} names Whether its subgraph shows all these widgets outside. */
export function isShownOutside(node, names) {
  return isInside(node) && names.every((name) => hostInput(node, name));
}

/**
 * Shows widgets of a node on the node of its subgraph, or no longer, where it shows all of them.
 * @param {any} node @param {string[]} names
 */
export function toggleOutside(node, names) {
  const change = isShownOutside(node, names) ? takeIn : putOut;
  for (const name of names) change(node, name);
}

/** @param {any} node @param {string} name */
function putOut(node, name) {
  const { graph } = node,
    input = node.inputs.find((each) => each.name === name);
  if (!input || isLinked(node, name)) return;
  const taken = graph.inputs.map((each) => each.name);
  let free = name;
  for (let number = 1; taken.includes(free); number++) free = `${name}_${number}`;
  graph.addInput(free, input.type).connect(input, node);
}

/** @param {any} node @param {string} name */
function takeIn(node, name) {
  const { graph } = node,
    value = valueOf(node, name),
    slot = node.inputs.findIndex((each) => each.name === name);
  const outside = graph.inputs[node.getInputLink(slot).origin_slot];
  if (outside.linkIds.length > 1) node.disconnectInput(slot);
  else graph.removeInput(outside);
  setValue(node, name, value);
}
