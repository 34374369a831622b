/**
 * Shows again what our nodes showed when they ran, where their results are now cached, as after a reload of the page.
 * Older versions of ComfyUI send it for output nodes only, but it stands in the history of the run.
 */

/** @typedef {import("../types").CachingApi} Api */

/**
 * Sends the frontend's "executed" for cached nodes, at the end of each run.
 * @param {Api} api @param {(id: string) => boolean} isOurs whether a node of the prompt is to be shown again
 */
export function resendCached(api, isOurs) {
  let prompt = "";
  /** @type {Set<string>} */
  let cached = new Set();
  api.addEventListener("execution_cached", ({ detail }) => {
    prompt = String(detail?.prompt_id);
    cached = new Set((detail?.nodes ?? []).map(String).filter(isOurs));
  });
  api.addEventListener("executed", ({ detail }) => cached.delete(String(detail?.node)));
  // Null when the run has ended and stands in the history.
  api.addEventListener("executing", async ({ detail }) => {
    if (detail !== null || !cached.size) return;
    const [id, nodes] = [prompt, cached];
    cached = new Set();
    const { outputs, meta } = await historyOf(api, id);
    for (const node of nodes) {
      if (!outputs?.[node]) continue;
      // A result may have been cached when the node had another id: at another level of subgraphs.
      const { node_id: ran = node, display_node: shownAt = node } = meta?.[node] ?? {};
      const shown = ran === node ? shownAt : node;
      api.dispatchCustomEvent("executed", { node, display_node: shown, output: outputs[node], prompt_id: id });
    }
  });
}

/**
 * A run as it stands in the history; nothing where the server does not give it.
 * @param {Api} api @param {string} id of the prompt
 * @returns {Promise<{ outputs?: Record<string, any>, meta?: Record<string, any> }>}
 */
async function historyOf(api, id) {
  try {
    const runs = await (await api.fetchApi(`/history/${id}`)).json();
    return runs?.[id] ?? {};
  } catch {
    return {};
  }
}
