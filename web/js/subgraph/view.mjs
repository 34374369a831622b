/**
 * Nodes inside a subgraph, as they are seen from outside: several nodes may stand for one subgraph, each with images and
 * numbers of its own.
 */

import { hostInput, hostsOf, isInside } from "../graph_links.mjs";
import { sourceOf } from "../node_widgets.mjs";

/** Views of nodes, by the node outside and the node. @type {WeakMap<any, WeakMap<any, any>>} */
const views = new WeakMap();

/**
 * A node inside a subgraph as it is seen from one node outside, by which alone its graph is entered then.
 * @param {any} host the node outside @param {any} node @returns {any}
 */
function seenFrom(host, node) {
  const known = views.get(host) ?? new WeakMap();
  views.set(host, known);
  const getNodeById = (id) => {
    const found = node.graph.getNodeById(id);
    return found && seenFrom(host, found);
  };
  // A node that was removed is in no graph.
  const graph = () => node.graph && viewOf(node.graph, { getNodeById: () => getNodeById, phdHost: () => host });
  if (!known.has(node)) known.set(node, viewOf(node, { graph, phdInside: () => node }));
  return known.get(node);
}

/**
 * An object with other values for some properties.
 * @param {any} object @param {Record<string | symbol, () => any>} others
 */
function viewOf(object, others) {
  return new Proxy(object, {
    get(_, name) {
      if (Object.hasOwn(others, name)) return others[name]();
      const own = Reflect.get(object, name);
      return typeof own === "function" ? own.bind(object) : own;
    },
    set: (_, name, value) => Reflect.set(object, name, value),
  });
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
