/** Warnings of a run, which the browser shows as toasts. Python decides which sentences are warnings. */

/**
 * The part of ComfyUI's `api` that is used here.
 * @typedef {{ addEventListener: (name: any, listener: (event: CustomEvent) => void) => void }} ApiEvents
 */

/**
 * Calls `notify` for every warning, with the id of the node in the prompt.
 *
 * A node that has finished carries its warnings in its `ui` output, under "phd_warnings"; a node that is still running
 * sends an event "phd_warnings" of { node, warnings }.
 * @param {ApiEvents} api @param {(node: string, warning: string) => void} notify
 */
export function listenForWarnings(api, notify) {
  /** @param {unknown} node @param {unknown} warnings */
  const notifyAll = (node, warnings) => {
    if (!Array.isArray(warnings)) return;
    for (const warning of warnings) if (typeof warning === "string" && warning) notify(String(node), warning);
  };
  api.addEventListener("executed", ({ detail }) =>
    notifyAll(detail?.display_node ?? detail?.node, detail?.output?.phd_warnings),
  );
  api.addEventListener("phd_warnings", ({ detail }) => notifyAll(detail?.node, detail?.warnings));
}

/**
 * The node with an id of the prompt: "7", or "3:7" for node 7 in the subgraph of node 3. Undefined where there is none.
 * @param {any} graph the root graph @param {string} id
 */
export function nodeInPrompt(graph, id) {
  /** @type {any} */
  let node;
  for (const part of id.split(":")) {
    node = (node ? node.subgraph : graph)?.getNodeById(part);
    if (!node) return undefined;
  }
  return node;
}
