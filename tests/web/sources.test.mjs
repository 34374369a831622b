import assert from "node:assert/strict";
import { test } from "node:test";

import { isLinked, maskAt, namedFile, originOf, imageAt } from "../../web/js/sources.mjs";

/** As little of litegraph as the module asks for. */
class Graph {
  constructor(id = "root") {
    Object.assign(this, { id, nodes: [], rootGraph: this, subgraphs: new Map() });
  }

  get links() {
    const into = (node) =>
      node.inputs.map(
        ({ from }, slot) => from && { origin_id: from[0], origin_slot: from[1], target_id: node.id, target_slot: slot },
      );
    return new Map(
      this.nodes
        .flatMap(into)
        .filter(Boolean)
        .map((link, index) => [index, link]),
    );
  }

  getNodeById(id) {
    return this.nodes.find((node) => node.id === id);
  }

  add(type, { inputs = [], outputs = ["IMAGE"], widgets = {}, ...rest } = {}) {
    const graph = this;
    const node = {
      id: this.nodes.length + 1,
      type,
      mode: 0,
      graph,
      inputs: inputs.map(([name, link, kind = "IMAGE"]) => ({ name, type: kind, from: link })),
      outputs: outputs.map((kind) => ({ type: kind })),
      widgets: Object.entries(widgets).map(([name, value]) => ({ name, value })),
      getInputLink(slot) {
        const from = this.inputs[slot]?.from;
        return from ? { origin_id: from[0], origin_slot: from[1] } : null;
      },
      ...rest,
    };
    this.nodes.push(node);
    return node;
  }

  load(image) {
    return this.add("LoadImage", { outputs: ["IMAGE", "MASK"], widgets: { image } });
  }
}

const none = () => null;
const FILE = { filename: "a.png", subfolder: "", type: "input" };

test("a Load Image node is found through reroutes and bypassed nodes", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("Reroute", { inputs: [["", [1, 0], "*"]] });
  graph.add("ImageBlur", {
    inputs: [
      ["mask", null, "MASK"],
      ["image", [2, 0]],
    ],
    mode: 4,
  });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [3, 0]]] });
  assert.deepEqual(imageAt(node, "background", none).file, FILE);
});

test("a bypassed node passes on the input of the same place, if it is of the output's type", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.load("b.png");
  const inputs = [
    ["first", [1, 0]],
    ["second", [2, 0]],
  ];
  graph.add("TwoImages", { inputs, outputs: ["IMAGE", "IMAGE"], mode: 4 });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [3, 1]]] });
  assert.deepEqual(imageAt(node, "background", none).file, { ...FILE, filename: "b.png" });
});

test("a muted node gives nothing, and one that computes its image names itself", () => {
  const graph = new Graph();
  graph.load("a.png").mode = 2;
  graph.add("VAEDecode");
  const node = graph.add("PhDPasteBlend", {
    inputs: [
      ["background", [1, 0]],
      ["subject", [2, 0]],
    ],
  });
  assert.deepEqual(imageAt(node, "background", none), {});
  assert.deepEqual(imageAt(node, "subject", none), { origin: "root:2:0" });
  assert.deepEqual(imageAt(node, "no such input", none), {});
});

test("images go into a subgraph and out of one", () => {
  const root = new Graph(),
    inside = new Graph("uuid");
  Object.assign(inside, { rootGraph: root });
  root.subgraphs.set("uuid", inside);
  root.load("a.png");
  const inner = inside.add("PhDPasteBlend", { inputs: [["background", [-10, 0]]] });
  const loader = inside.load("sub/b.png [output]");
  root.add("uuid", {
    inputs: [["image", [1, 0]]],
    isSubgraphNode: () => true,
    getInputLink: () => assert.fail("that of a subgraph's node is about its inside"),
    subgraph: inside,
    resolveSubgraphOutputLink: () => ({ outputNode: loader, link: { origin_slot: 0 } }),
  });
  const outer = root.add("PhDPasteBlend", { inputs: [["background", [2, 0]]] });
  assert.deepEqual(imageAt(inner, "background", none).file, FILE);
  assert.deepEqual(imageAt(outer, "background", none).file, { filename: "b.png", subfolder: "sub", type: "output" });
});

test("a chain of pastes shows the scene it began with", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [2, 0]]] });
  assert.deepEqual(imageAt(node, "background", none).file, FILE);
});

test("a circle of links ends", () => {
  const graph = new Graph();
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  assert.deepEqual(imageAt(node, "background", none), {});
  graph.add("Reroute", { inputs: [["", [2, 0], "*"]] });
  assert.equal(originOf(graph.nodes[1], ""), null);
});

test("a file's transparency is a mask, and Invert Mask turns it into a subject", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("InvertMask", { inputs: [["mask", [1, 1], "MASK"]], outputs: ["MASK"] });
  const node = graph.add("PhDPasteBlend", {
    inputs: [
      ["subject_mask", [1, 1], "MASK"],
      ["other", [2, 0], "MASK"],
    ],
  });
  assert.deepEqual(maskAt(node, "subject_mask", none), {
    file: FILE,
    channel: "alpha",
    inverted: true,
    origin: "root:1:1",
  });
  assert.equal(maskAt(node, "other", none).inverted, false);
});

test("a color channel is a mask as it is", () => {
  const graph = new Graph();
  graph.add("LoadImageMask", { outputs: ["MASK"], widgets: { image: "a.png", channel: "red" } });
  const node = graph.add("PhDPasteBlend", { inputs: [["subject_mask", [1, 0], "MASK"]] });
  assert.deepEqual(maskAt(node, "subject_mask", none), {
    file: FILE,
    channel: "red",
    inverted: false,
    origin: "root:1:0",
  });
});

test("Segment's mask and cut-out are known once it ran, its image before", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("PhDSegment", { inputs: [["image", [1, 0]]], outputs: ["MASK", "IMAGE"] });
  const node = graph.add("PhDPasteBlend", {
    inputs: [
      ["subject", [2, 1]],
      ["subject_mask", [2, 0], "MASK"],
    ],
  });
  assert.equal(maskAt(node, "subject_mask", none).file, undefined);
  assert.deepEqual(imageAt(node, "subject", none).file, FILE);
  const shown = { filename: "t.png", subfolder: "", type: "temp" };
  const ran = (each) => (each.type === "PhDSegment" ? { images: [shown] } : null);
  assert.deepEqual(maskAt(node, "subject_mask", ran).file, shown);
  assert.deepEqual(imageAt(node, "subject", ran), { file: shown, alpha: true, origin: "root:2:1" });
});

test("a widget whose socket is linked is told from one that is not", () => {
  const graph = new Graph();
  graph.add("Float");
  const node = graph.add("PhDPasteBlend", {
    inputs: [
      ["x", [1, 0], "FLOAT"],
      ["y", null, "FLOAT"],
    ],
  });
  assert.deepEqual(
    ["x", "y", "size"].map((name) => isLinked(node, name)),
    [true, false, false],
  );
});

test("file names are read with folder and kind, and nonsense is none", () => {
  assert.deepEqual(namedFile("clipspace/m.png [input]"), { filename: "m.png", subfolder: "clipspace", type: "input" });
  assert.deepEqual(namedFile("x [1].png"), { filename: "x [1].png", subfolder: "", type: "input" });
  assert.deepEqual(namedFile("a\\b.png [temp]"), { filename: "b.png", subfolder: "a", type: "temp" });
  assert.equal(namedFile(""), undefined);
});

test("a node that is in no graph is not asked for links", () => {
  const graph = new Graph();
  graph.load("a.png");
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  node.graph = null;
  node.getInputLink = () => assert.fail("asked");
  assert.deepEqual(imageAt(node, "background", none), {});
  assert.equal(isLinked(node, "background"), false);
});
