import assert from "node:assert/strict";
import test from "node:test";

import { restUnusedSeed, updateRows } from "../../web/js/rows.mjs";
import { Graph } from "./graph.mjs";

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

/** The names of the widgets that a node shows, all its rare ones asked for, with these values. */
function usefulOf(comfyClass, values) {
  const widgets = Object.entries(values).map(([name, value]) => ({ name, value }));
  updateRows({ comfyClass, widgets, inputs: [], showAdvanced: true }, new Set(), false);
  return widgets.filter(({ hidden }) => !hidden).map(({ name }) => name);
}

test("a sampler shows the widgets that its method and preset use", () => {
  const loop = { steps: 5, inner_steps: 3, step_size: 1, lambda_strength: 1, jump_length: 1, jump_count: 1 };
  const shows = (preset, method) =>
    usefulOf("PhDHarmonizeSampler", { preset, method, ...loop }).filter((name) => name in loop);
  assert.deepEqual(shows("balanced", "masked Langevin"), ["step_size", "lambda_strength"]);
  assert.deepEqual(shows("custom", "masked Langevin"), ["steps", "inner_steps", "step_size", "lambda_strength"]);
  assert.deepEqual(shows("best", "RePaint"), ["jump_length"]);
  assert.deepEqual(shows("custom", "RePaint"), ["steps", "jump_length", "jump_count"]);
  assert.deepEqual(shows("custom", "plain"), ["steps"]);
});

test("Paste & Blend shows numbers or seed and sizes, as it places by hand or at random", () => {
  const widgets = { x: 0.5, y: 0.5, size: 0.5, seed: 0, control_after_generate: "fixed", size_min: 0.4, size_max: 0.8 };
  assert.deepEqual(usefulOf("PhDPasteBlend", { placement: "manual", ...widgets }).slice(1), ["x", "y", "size"]);
  assert.deepEqual(usefulOf("PhDPasteBlend", { placement: "random", ...widgets }).slice(1), [
    "seed",
    "control_after_generate",
    "size_min",
    "size_max",
  ]);
});

test("Segment shows a class name for DeepLab and a candidate for SAM", () => {
  const graph = new Graph();
  const segmenter = graph.add("PhDLoadSegmenter", { widgets: { model: "" } });
  const node = graph.add("PhDSegment", { inputs: [["segmenter", [1, 0]]], widgets: { class_name: "", candidate: "" } });
  const shows = (model) => {
    segmenter.widgets[0].value = model;
    updateRows(Object.assign(node, { comfyClass: "PhDSegment" }), new Set(), false);
    return node.widgets.filter(({ hidden }) => !hidden).map(({ name }) => name);
  };
  assert.deepEqual(shows("deeplabv3plus.pth"), ["class_name"]);
  assert.deepEqual(shows("sam_vit_b.pth"), ["candidate"]);
  assert.deepEqual(shows("grabcut (no weights)"), []);
});

test("a seed changes between runs only where it is used", () => {
  let changes = 0;
  const control = { name: "control_after_generate", afterQueued: () => changes++ };
  const placement = { name: "placement", value: "manual" };
  restUnusedSeed({ comfyClass: "PhDPasteBlend", widgets: [placement, control] });
  control.afterQueued();
  assert.equal(changes, 0);
  placement.value = "random";
  control.afterQueued();
  assert.equal(changes, 1);
});
