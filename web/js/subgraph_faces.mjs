/**
 * Editors of nodes inside a subgraph, on the node outside that stands for it: ComfyUI shows only its own text areas there.
 * Several nodes may stand for one subgraph, each with images and numbers of its own.
 */

import { hostInput, isLinked } from "./input_images.mjs";
import { setValue, sourceOf, valueOf } from "./node_widgets.mjs";

/** Views of nodes, by the node outside and the node. @type {WeakMap<any, WeakMap<any, any>>} */
const views = new WeakMap();
/** The node outside, by the view of its graph, and the node inside, by its view. @type {WeakMap<any, any>} */
const originals = new WeakMap();

/**
 * A node inside a subgraph as it is seen from one node outside, the only one that its graph is then entered by.
 * @param {any} host the node outside @param {any} node @returns {any}
 */
export function seenFrom(host, node) {
  const known = views.get(host) ?? new WeakMap();
  const graph = () => viewOf(node.graph, host, "getNodeById", () => nodeById);
  const nodeById = (id) => {
    const found = node.graph.getNodeById(id);
    return found && seenFrom(host, found);
  };
  if (!known.has(node)) known.set(node, viewOf(node, node, "graph", graph));
  views.set(host, known);
  return known.get(node);
}

/** An object with another value for one property. @param {any} object @param {any} original @param {string} other @param {() => any} value */
function viewOf(object, original, other, value) {
  const view = new Proxy(object, {
    get(_, name) {
      if (name === other) return value();
      const own = Reflect.get(object, name);
      return typeof own === "function" ? own.bind(object) : own;
    },
    set: (_, name, own) => Reflect.set(object, name, own),
  });
  originals.set(view, original);
  return view;
}

/** @param {any} node or a view of it @returns {any} The node. */
export function insideOf(node) {
  return originals.get(node) ?? node;
}

/** @param {any} graph @returns {any[]} The nodes that stand for this subgraph, in any graph of the workflow. */
export function hostsOf(graph) {
  if (originals.has(graph)) return [originals.get(graph)];
  const root = graph?.rootGraph;
  return [root, ...(root?.subgraphs?.values() ?? [])].flatMap(
    (each) => each?.nodes?.filter((node) => node.isSubgraphNode?.() && node.subgraph === graph) ?? [],
  );
}

/** @param {any} node @returns {boolean} Whether it is inside a subgraph. */
export function isInside({ graph }) {
  return Boolean(graph?.rootGraph && graph !== graph.rootGraph);
}

/**
 * The nodes outside that show all these widgets of a node, and the node as it is seen from each.
 * @param {any} node @param {string[]} names @returns {{ host: any, seen: any }[]}
 */
export function facesOf(node, names) {
  if (!names.length || !isInside(node)) return [];
  return hostsOf(node.graph).flatMap((host) => {
    const seen = seenFrom(host, node);
    const outside = names.map((name) => hostInput(seen, name)?.name ?? "");
    if (outside.includes("")) return [];
    const further = facesOf(host, outside).map((face) => ({ host: face.host, seen: seenFrom(face.seen, node) }));
    return [{ host, seen }, ...further];
  });
}

/** @param {any} node @param {string} name @returns {any[]} The widgets outside that show this one. */
export function widgetsOutside(node, name) {
  return facesOf(node, [name]).flatMap(({ seen }) => sourceOf(seen, name)?.widget ?? []);
}

/**
 * Shows widgets of a node outside, or no longer, where all are shown.
 * @param {any} node @param {string[]} names
 */
export function toggleOutside(node, names) {
  const { graph } = node,
    isShown = names.every((name) => hostInput(node, name));
  for (const name of names) {
    const slot = node.inputs.findIndex((input) => input.name === name),
      value = valueOf(node, name);
    if (isShown) {
      const outside = graph.inputs[node.getInputLink(slot).origin_slot];
      node.disconnectInput(slot);
      if (!outside.linkIds.length) graph.removeInput(outside);
      setValue(node, name, value);
    } else if (!isLinked(node, name)) {
      let free = name;
      while (graph.inputs.some((input) => input.name === free)) free += "_";
      graph.addInput(free, node.inputs[slot].type).connect(node.inputs[slot], node);
    }
  }
}
