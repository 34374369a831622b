import assert from "node:assert/strict";
import { test } from "node:test";

import { resendCached } from "../../web/js/cached_outputs.mjs";

/** An imitation of ComfyUI's `api` with one run in its history, and what was sent again. */
function makeApi(outputs, meta = { 7: { display_node: "3" } }) {
  const listeners = {},
    sent = [],
    fetched = [];
  const api = {
    addEventListener: (name, listener) => (listeners[name] ??= []).push(listener),
    dispatchCustomEvent: (name, detail) => sent.push([name, detail]),
    fetchApi: async (path) => {
      fetched.push(path);
      return { json: async () => ({ run: { outputs, meta } }) };
    },
  };
  const send = (name, detail) => Promise.all((listeners[name] ?? []).map((listener) => listener({ detail })));
  return { api, sent, fetched, send };
}

test("what a cached node of ours showed is sent again when the run has ended", async () => {
  const { api, sent, fetched, send } = makeApi({ 7: { text: ["seven"] }, 8: { text: ["eight"] } });
  resendCached(api, (id) => id !== "8");
  await send("execution_cached", { prompt_id: "run", nodes: ["7", "8", "9"] });
  await send("executing", "10");
  assert.deepEqual(sent, []);
  await send("executing", null);
  assert.deepEqual(fetched, ["/history/run"]);
  const detail = { node: "7", display_node: "3", output: { text: ["seven"] }, prompt_id: "run" };
  assert.deepEqual(sent, [["executed", detail]]);
});

test("nothing is fetched where ComfyUI has sent it itself, and nothing where nothing is cached", async () => {
  const { api, sent, fetched, send } = makeApi({ 7: { text: ["seven"] } });
  resendCached(api, () => true);
  await send("executing", null);
  await send("execution_cached", { prompt_id: "run", nodes: ["7"] });
  await send("executed", { node: "7", output: { text: ["seven"] } });
  await send("executing", null);
  assert.deepEqual([sent, fetched], [[], []]);
});

test("a result that was cached under another id is shown on the node that has it now", async () => {
  const { api, sent, send } = makeApi({ 7: { text: [] } }, { 7: { node_id: "3:7", display_node: "3:7" } });
  resendCached(api, () => true);
  await send("execution_cached", { prompt_id: "run", nodes: ["7"] });
  await send("executing", null);
  assert.equal(sent[0][1].display_node, "7");
});

for (const [problem, fetchApi] of /** @type {const} */ ([
  ["the server is gone", () => Promise.reject(new TypeError("Failed to fetch"))],
  ["the answer is not JSON", async () => new Response("502 Bad Gateway")],
  ["the run is not in the history", async () => new Response("{}")],
  ["the answer is null", async () => new Response("null")],
]))
  test(`nothing is sent and nothing fails where ${problem}`, async () => {
    const { api, sent, send } = makeApi({});
    resendCached(Object.assign(api, { fetchApi }), () => true);
    await send("execution_cached", { prompt_id: "run", nodes: ["7"] });
    await send("executing", null);
    assert.deepEqual(sent, []);
  });
