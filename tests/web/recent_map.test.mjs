import assert from "node:assert/strict";
import { test } from "node:test";

import { RecentMap } from "../../web/js/recent_map.mjs";

test("however many entries are set, only the latest ones are kept", () => {
  const map = new RecentMap(3);
  for (let index = 0; index < 1000; index++) map.set(index, `value ${index}`);
  assert.equal(map.size, 3);
  assert.deepEqual(
    [996, 997, 998, 999].map((key) => map.get(key)),
    [undefined, "value 997", "value 998", "value 999"],
  );
});

test("an entry that is used stays, and the one that was not is forgotten", () => {
  const map = new RecentMap(2);
  map.set("a", 1);
  map.set("b", 2);
  assert.equal(map.get("a"), 1);
  map.set("c", 3);
  assert.deepEqual([map.get("a"), map.get("b"), map.get("c")], [1, undefined, 3]);
});

test("an entry that is set again counts once, with its new value", () => {
  const map = new RecentMap(2);
  map.set("a", 1);
  map.set("a", 2);
  map.delete("missing");
  assert.deepEqual([map.size, map.get("a")], [1, 2]);
  map.delete("a");
  assert.deepEqual([map.size, map.get("a")], [0, undefined]);
});
