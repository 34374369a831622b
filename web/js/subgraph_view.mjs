/**
 * Nodes inside a subgraph, as one node of this subgraph outside gives them their inputs: several nodes may show the same
 * subgraph, each with numbers and images of its own.
 */

/** The node outside, by the view of the graph inside. @type {WeakMap<object, any>} */
const hosts = new WeakMap();
/** The node itself, by its view. @type {WeakMap<object, any>} */
const insides = new WeakMap();
/** The views of nodes, by the node outside. @type {WeakMap<object, WeakMap<object, any>>} */
const views = new WeakMap();

/**
 * A node inside a subgraph, seen from a node outside: it is the node, but its graph is entered by that one alone.
 * @param {any} host the node outside, or a view of it @param {any} node @returns {any}
 */
export function seenFrom(host, node) {
  const known = views.get(host) ?? new WeakMap();
  views.set(host, known);
  if (!known.has(node)) {
    const seen = viewOf(node, { graph: () => graphFrom(host, node.graph) });
    insides.set(seen, node);
    known.set(node, seen);
  }
  return known.get(node);
}

/** @param {any} host @param {any} graph */
function graphFrom(host, graph) {
  const nodeById = (id) => {
    const found = graph.getNodeById(id);
    return found && seenFrom(host, found);
  };
  const seen = viewOf(graph, { getNodeById: () => nodeById });
  hosts.set(seen, host);
  return seen;
}

/** An object with other values for some properties. @param {any} object @param {Record<string, () => any>} others */
function viewOf(object, others) {
  return new Proxy(object, {
    get(_, name) {
      if (Object.hasOwn(others, name)) return others[/** @type {string} */ (name)]();
      const value = Reflect.get(object, name);
      return typeof value === "function" ? value.bind(object) : value;
    },
    set: (_, name, value) => Reflect.set(object, name, value),
  });
}

/** @param {any} node or a view of it @returns {any} The node. */
export function insideOf(node) {
  return insides.get(node) ?? node;
}

/** @param {any} graph @returns {any[]} The nodes of this subgraph, in any graph of the workflow. */
export function hostsOf(graph) {
  const host = hosts.get(graph);
  if (host) return [host];
  const graphs = [graph?.rootGraph, ...(graph?.rootGraph?.subgraphs?.values() ?? [])];
  return graphs.flatMap((each) =>
    (each?.nodes ?? []).filter((node) => node.isSubgraphNode?.() && node.subgraph === graph),
  );
}
