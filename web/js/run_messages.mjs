/**
 * What our nodes said in their last run. It is kept here, because the frontend forgets it when a run ends, and because
 * undo and a reload of the workflow make nodes anew.
 */

import { keyOf } from "./graph_links.mjs";
import { RecentMap } from "./recent_map.mjs";

/** @import { Said } from "./message_line.mjs" */
/** @import { ApiEvents } from "../types" */

/** How many nodes are remembered. */
const MAX_NODES = 256;
/** @type {RecentMap<string, Said>} */
const said = new RecentMap(MAX_NODES);

/** @param {any} node @returns {Said | undefined} */
export function saidBy(node) {
  return said.get(keyOf(node));
}

/**
 * Records what our nodes say, while they run and when they have finished or failed.
 * @param {ApiEvents} api
 * @param {(id: string) => any} nodeOf our node with an id of the prompt, or undefined
 * @param {(node: any, text: string) => string} translated a text in the user's language
 * @param {(node: any) => void} changed
 * @param {(node: any, message: string) => void} failed
 */
export function listenForMessages(api, nodeOf, translated, changed, failed) {
  /** @param {unknown} id @param {Said} what */
  const record = (id, { text, kind }) => {
    const node = nodeOf(String(id));
    if (!node) return;
    const own = translated(node, text);
    said.set(keyOf(node), { text: own, kind });
    changed(node);
    if (kind === "error") failed(node, own);
  };
  api.addEventListener("progress_text", ({ detail }) => {
    if (detail?.nodeId && typeof detail.text === "string") record(detail.nodeId, { text: detail.text, kind: "note" });
  });
  api.addEventListener("executed", ({ detail }) => {
    const { text, phd_warnings: warnings } = detail?.output ?? {};
    if (!Array.isArray(text)) return;
    const kind = Array.isArray(warnings) && warnings.length ? "warning" : "note";
    record(detail.display_node ?? detail.node, { text: text.join("\n"), kind });
  });
  api.addEventListener("execution_error", ({ detail }) => {
    const text = String(detail?.exception_message ?? "").trim();
    if (text) record(detail.node_id, { text, kind: "error" });
  });
}
