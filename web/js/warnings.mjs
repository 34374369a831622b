/** Warnings of a run, which the browser shows as toasts. Python decides which sentences are warnings. */

/** @typedef {import("../types").ApiEvents} ApiEvents */

/**
 * Calls `notify` once for every warning of a node's run, with the id of the node in the prompt.
 *
 * A node that has finished carries its warnings in its `ui` output, under "phd_warnings". A sampler also sends each one
 * as it comes, in an event "phd_warnings" of { node, warnings }.
 * @param {ApiEvents} api @param {(node: string, warning: string) => void} notify
 */
export function listenForWarnings(api, notify) {
  /** @type {Set<string>} The warnings of samplers that are still running. */
  const early = new Set();
  /** @param {unknown} warnings @returns {Set<string>} */
  const textsOf = (warnings) =>
    new Set(Array.isArray(warnings) ? warnings.filter((text) => text && typeof text === "string") : []);
  api.addEventListener("execution_start", () => early.clear());
  api.addEventListener("phd_warnings", ({ detail }) => {
    for (const warning of textsOf(detail?.warnings)) {
      early.add(`${detail.node} ${warning}`);
      notify(String(detail.node), warning);
    }
  });
  api.addEventListener("executed", ({ detail }) => {
    const node = String(detail?.display_node ?? detail?.node);
    for (const warning of textsOf(detail?.output?.phd_warnings)) {
      if (!early.delete(`${detail.node} ${warning}`)) notify(node, warning);
    }
  });
}
