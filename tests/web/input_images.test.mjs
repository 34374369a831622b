import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { isLinked, originOf } from "../../web/js/graph_links.mjs";
import { earlierPastes, imageAtInput, maskAtInput, namedFile } from "../../web/js/input_images.mjs";
import { Graph } from "./graph.mjs";

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
  assert.deepEqual(imageAtInput(node, "background", none).file, FILE);
});

test("the images of Load Demo Images are known before a run", async () => {
  const graph = new Graph();
  graph.add("PhDLoadDemoImages", { outputs: ["IMAGE", "IMAGE", "MASK", "IMAGE"] });
  const inputs = [
    ["background", [1, 0]],
    ["subject", [1, 1]],
    ["subject_mask", [1, 2], "MASK"],
    ["cutout", [1, 3]],
  ];
  const node = graph.add("PhDPasteBlend", { inputs });
  const known = [
    imageAtInput(node, "background", none),
    imageAtInput(node, "subject", none),
    maskAtInput(node, "subject_mask", none),
    imageAtInput(node, "cutout", none).matte,
  ];
  const names = known.map(({ file }) => file.filename.split("/").at(-1));
  assert.deepEqual(names, ["background.png", "subject.png", "subject_mask.png", "subject_mask.png"]);
  for (const { file } of known) assert.ok((await readFile(new URL(file.filename))).length);
});

test("a repeated image is that image", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("RepeatImageBatch", { inputs: [["image", [1, 0]]], widgets: { amount: 17 } });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [2, 0]]] });
  assert.equal(imageAtInput(node, "background", none).file.filename, "a.png");
});

test("an empty image is known by its widgets, unless one of them is linked", () => {
  const graph = new Graph();
  graph.add("EmptyImage", { inputs: [["width", null, "INT"]], widgets: { width: 64, height: 32, color: 255 } });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  const svg = decodeURIComponent(imageAtInput(node, "background", none).file.filename);
  assert.match(svg, /^data:image\/svg\+xml,.*width="64" height="32".*#0000ff/);
  graph.getNodeById(1).inputs[0].from = [7, 0];
  assert.equal(imageAtInput(node, "background", none).file, undefined);
});

test("a bypassed node passes on the input at the same index if it has the output's type", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.load("b.png");
  const inputs = [
    ["first", [1, 0]],
    ["second", [2, 0]],
  ];
  graph.add("TwoImages", { inputs, outputs: ["IMAGE", "IMAGE"], mode: 4 });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [3, 1]]] });
  assert.deepEqual(imageAtInput(node, "background", none).file, { ...FILE, filename: "b.png" });
});

test("a muted node gives nothing, and a node that computes its image gives its own origin", () => {
  const graph = new Graph();
  graph.load("a.png").mode = 2;
  graph.add("VAEDecode");
  const node = graph.add("PhDPasteBlend", {
    inputs: [
      ["background", [1, 0]],
      ["subject", [2, 0]],
    ],
  });
  assert.deepEqual(imageAtInput(node, "background", none), {});
  assert.deepEqual(imageAtInput(node, "subject", none), { origin: "root:2:0" });
  assert.deepEqual(imageAtInput(node, "no such input", none), {});
});

test("an image is found through the input and the output of a subgraph", () => {
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
  assert.deepEqual(imageAtInput(inner, "background", none).file, FILE);
  assert.deepEqual(imageAtInput(outer, "background", none).file, {
    filename: "b.png",
    subfolder: "sub",
    type: "output",
  });
});

test("a chain of Paste & Blend nodes shows the scene it began with", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [2, 0]]] });
  assert.deepEqual(imageAtInput(node, "background", none).file, FILE);
});

test("a paste, its crop and the result show the scene that the paste began with", () => {
  const graph = new Graph();
  graph.load("a.png");
  graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  const next = graph.add("PhDPasteBlend", { inputs: [["paste", [2, 0], "PHD_PASTE"]] });
  graph.add("PhDCrop", { inputs: [["paste", [3, 0], "PHD_PASTE"]] });
  graph.add("PhDStitch", { inputs: [["crop", [4, 0], "PHD_CROP"]] });
  const last = graph.add("PhDPasteBlend", { inputs: [["background", [5, 0]]] });
  assert.deepEqual(imageAtInput(next, "paste", none).file, FILE);
  assert.deepEqual(imageAtInput(last, "background", none).file, FILE);
});

test("the scene of Insert Subject and its earlier subject are known behind it before a run", () => {
  const graph = new Graph();
  graph.load("a.png");
  const outputs = ["IMAGE", "MASK", "IMAGE", "STRING"];
  const first = graph.add("PhDInsertSubject", { inputs: [["background", [1, 0]]], outputs });
  const second = graph.add("PhDInsertSubject", { inputs: [["background", [2, 0]]], outputs });
  const third = graph.add("PhDPasteBlend", { inputs: [["background", [3, 2]]] });
  assert.deepEqual(imageAtInput(second, "background", none).file, FILE);
  assert.deepEqual(imageAtInput(third, "background", none).file, FILE);
  assert.deepEqual(earlierPastes(second), [first]);
  assert.deepEqual(earlierPastes(third), [first, second]);
});

test("an earlier subject is also known behind the Stitch of its paste", () => {
  const graph = new Graph();
  graph.load("a.png");
  const first = graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  graph.add("PhDCrop", { inputs: [["paste", [2, 0], "PHD_PASTE"]] });
  graph.add("PhDStitch", { inputs: [["crop", [3, 0], "PHD_CROP"]] });
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [4, 0]]] });
  assert.deepEqual(earlierPastes(node), [first]);
});

test("a circle of links gives nothing", () => {
  const graph = new Graph();
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  assert.deepEqual(imageAtInput(node, "background", none), {});
  assert.deepEqual(earlierPastes(node), [node]);
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
  assert.deepEqual(maskAtInput(node, "subject_mask", none), {
    file: FILE,
    channel: "alpha",
    inverted: true,
    loaded: true,
    origin: "root:1:1",
  });
  assert.equal(maskAtInput(node, "other", none).inverted, false);
});

test("a color channel of Load Image Mask is a mask that is not inverted", () => {
  const graph = new Graph();
  graph.add("LoadImageMask", { outputs: ["MASK"], widgets: { image: "a.png", channel: "red" } });
  const node = graph.add("PhDPasteBlend", { inputs: [["subject_mask", [1, 0], "MASK"]] });
  assert.deepEqual(maskAtInput(node, "subject_mask", none), {
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
  assert.equal(maskAtInput(node, "subject_mask", none).file, undefined);
  assert.deepEqual(imageAtInput(node, "subject", none).file, FILE);
  const shown = { filename: "t.png", subfolder: "", type: "temp" };
  const ran = (each) => (each.type === "PhDSegment" ? { images: [shown] } : null);
  assert.deepEqual(maskAtInput(node, "subject_mask", ran).file, shown);
  assert.deepEqual(imageAtInput(node, "subject", ran), { file: shown, alpha: true, origin: "root:2:1" });
});

test("a widget with a linked socket is linked, others are not", () => {
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

test("file names are parsed with folder and type", () => {
  assert.deepEqual(namedFile("clipspace/m.png [input]"), { filename: "m.png", subfolder: "clipspace", type: "input" });
  assert.deepEqual(namedFile("x [1].png"), { filename: "x [1].png", subfolder: "", type: "input" });
  assert.deepEqual(namedFile("a\\b.png [temp]"), { filename: "b.png", subfolder: "a", type: "temp" });
  assert.equal(namedFile(""), undefined);
});

test("a node in no graph has no links, and litegraph is not asked", () => {
  const graph = new Graph();
  graph.load("a.png");
  const node = graph.add("PhDPasteBlend", { inputs: [["background", [1, 0]]] });
  node.graph = null;
  node.getInputLink = () => assert.fail("asked");
  assert.deepEqual(imageAtInput(node, "background", none), {});
  assert.equal(isLinked(node, "background"), false);
});
