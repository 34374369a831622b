import assert from "node:assert/strict";
import { test } from "node:test";

import { warningsIn } from "../../web/js/warnings.mjs";

test("of what a run says, only what warns is worth a toast", () => {
  const said = ['{"x": 0.5}', "The mask of subject 1 is empty: the scene passes through unchanged.", 7];
  assert.deepEqual(warningsIn(said), [said[1]]);
});

test("a node that says nothing, or something odd, warns of nothing", () => {
  for (const said of [undefined, null, "is empty", {}, []]) assert.deepEqual(warningsIn(said), []);
});
