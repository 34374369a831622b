import assert from "node:assert/strict";
import test from "node:test";

import { isFixed, linkedValue, valueOf } from "../../web/js/node_widgets.mjs";
import { Graph } from "./graph.mjs";

/** A node whose x, 0.5 in its widget, comes from a node of a type with these widgets. */
function fedBy(type, widgets) {
  const graph = new Graph();
  const from = graph.add(type, { outputs: ["FLOAT"], widgets });
  return graph.add("PhDPasteBlend", { inputs: [["x", [from.id, 0], "FLOAT"]], widgets: { x: 0.5 } });
}

test("the value of a core node for numbers is known without a run", () => {
  for (const type of ["PrimitiveFloat", "PrimitiveNode"]) {
    const node = fedBy(type, { value: 0.2 });
    assert.deepEqual([isFixed(node, "x"), linkedValue(node, "x"), valueOf(node, "x")], [true, 0.2, 0.2]);
  }
});

test("what another node computes is not known without a run", () => {
  const node = fedBy("SomeMath", { a: 3 });
  assert.deepEqual([isFixed(node, "x"), linkedValue(node, "x")], [true, undefined]);
});

test("a widget without a link has its own value", () => {
  const node = new Graph().add("PhDPasteBlend", { inputs: [["x", null, "FLOAT"]], widgets: { x: 0.5 } });
  assert.deepEqual([isFixed(node, "x"), valueOf(node, "x")], [false, 0.5]);
});
