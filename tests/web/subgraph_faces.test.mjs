import assert from "node:assert/strict";
import { test } from "node:test";

import { imageAtInput } from "../../web/js/input_images.mjs";
import { setValue, valueOf } from "../../web/js/node_widgets.mjs";
import { facesOf } from "../../web/js/subgraph/view.mjs";
import { Graph } from "./graph.mjs";

const none = () => null;
const INPUTS = [
  ["background", [-10, 0]],
  ["x", [-10, 1], "FLOAT"],
  ["y", [-10, 2], "FLOAT"],
];

/** A graph inside another one. */
function graphIn(root, id) {
  const inside = Object.assign(new Graph(id), { rootGraph: root });
  root.subgraphs.set(id, inside);
  return inside;
}

/** A node that stands for a subgraph, with an image and two numbers outside. */
function hostIn(graph, subgraph, from, widgets, links = [null, null]) {
  const inputs = [
    ["image", from],
    ["x", links[0], "FLOAT"],
    ["y", links[1], "FLOAT"],
  ];
  return graph.add(subgraph.id, { inputs, widgets, isSubgraphNode: () => true, subgraph });
}

/** The scene's file, and the numbers, as a node has them. */
const seenBy = (node) => [
  imageAtInput(node, "background", none).file?.filename,
  valueOf(node, "x"),
  valueOf(node, "y"),
];

test("each node of a subgraph has a face with its own image and numbers", () => {
  const root = new Graph(),
    inside = graphIn(root, "inside");
  const node = inside.add("PhDPasteBlend", { inputs: INPUTS, widgets: { x: 0.5, y: 0.5 } });
  root.load("a.png");
  root.load("b.png");
  const hosts = [hostIn(root, inside, [1, 0], { x: 0.1, y: 0.2 }), hostIn(root, inside, [2, 0], { x: 0.3, y: 0.4 })];
  const faces = facesOf(node, ["x", "y"]);
  assert.deepEqual(
    faces.map(({ host }) => host),
    hosts,
  );
  const [first, second] = faces.map(({ seen }) => seen);
  assert.deepEqual(seenBy(first), ["a.png", 0.1, 0.2]);
  assert.deepEqual(seenBy(second), ["b.png", 0.3, 0.4]);
  setValue(second, "x", 0.9);
  assert.deepEqual([seenBy(first)[1], seenBy(second)[1], hosts[1].widgets[0].value], [0.1, 0.9, 0.9]);
  assert.equal(second.phdInside, node);
  // Editors are kept by what they see.
  assert.equal(facesOf(node, ["x", "y"])[1].seen, second);
});

test("a subgraph in a subgraph has a face on both", () => {
  const root = new Graph(),
    outer = graphIn(root, "outer"),
    inside = graphIn(root, "inside");
  const node = inside.add("PhDPasteBlend", { inputs: INPUTS, widgets: { x: 0.5, y: 0.5 } });
  const links = [
    [-10, 1],
    [-10, 2],
  ];
  const inner = hostIn(outer, inside, [-10, 0], { x: 0.1, y: 0.2 }, links);
  root.load("a.png");
  root.load("b.png");
  const hosts = [hostIn(root, outer, [1, 0], { x: 0.3, y: 0.4 }), hostIn(root, outer, [2, 0], { x: 0.5, y: 0.6 })];
  const faces = facesOf(node, ["x", "y"]);
  assert.deepEqual(
    faces.map(({ host }) => host),
    [inner, ...hosts],
  );
  assert.deepEqual(
    faces.slice(1).map(({ seen }) => seenBy(seen)),
    [
      ["a.png", 0.3, 0.4],
      ["b.png", 0.5, 0.6],
    ],
  );
});

test("there is no face where one of the widgets is not shown outside", () => {
  const root = new Graph(),
    inside = graphIn(root, "inside");
  const node = inside.add("PhDPasteBlend", { inputs: INPUTS.slice(0, 2), widgets: { x: 0.5, y: 0.5 } });
  root.load("a.png");
  hostIn(root, inside, [1, 0], { x: 0.1, y: 0.2 });
  assert.deepEqual(facesOf(node, ["x", "y"]), []);
  assert.deepEqual(facesOf(root.nodes[0], ["image"]), []);
  assert.equal(facesOf(node, ["x"]).length, 1);
});
