import assert from "node:assert/strict";
import test from "node:test";

import { updateRows } from "../../web/js/rows.mjs";

const CROP = ["side", "context", "multiple", "size_mode", "width", "height"];
const RARE = new Set(["multiple", "size_mode", "width", "height"]);

/** The names of the widgets that a Crop Around Subject shows with a `size_mode`. */
function shown(mode, showAdvanced = true) {
  const widgets = CROP.map((name) => ({ name, value: name === "size_mode" ? mode : 8 }));
  const node = { comfyClass: "PhDCrop", widgets, inputs: [], showAdvanced };
  updateRows(node, RARE, false);
  return widgets.filter(({ hidden }) => !hidden).map(({ name }) => name);
}

test("at first, Crop shows its two common widgets", () => {
  assert.deepEqual(shown("area", false), ["side", "context"]);
});

test("Crop shows the widgets that its size mode uses", () => {
  assert.deepEqual(shown("area"), ["side", "context", "multiple", "size_mode"]);
  assert.deepEqual(shown("longest side"), ["side", "context", "multiple", "size_mode"]);
  assert.deepEqual(shown("exact"), ["context", "size_mode", "width", "height"]);
  assert.deepEqual(shown("no resize"), ["context", "multiple", "size_mode"]);
});
