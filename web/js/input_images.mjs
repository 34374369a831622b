/** Finds the stored image or mask at a node's input: that of a Load Image node, or of a PhD node's last run. */

import { isLinked, keyOf, MAX_STEPS, originOf } from "./graph_links.mjs";

/** @import { Channel, OutputsOf, Source, StoredFile } from "../types" */
/** @import { Origin } from "./graph_links.mjs" */

/**
 * Nodes whose outputs show the same scene as one of their inputs, the first of these that is linked, by output slot.
 * @type {Record<string, Record<number, string[]>>}
 */
const SCENE_INPUTS = {
  PhDPasteBlend: { 0: ["paste", "background"], 1: ["paste", "background"] },
  PhDCrop: { 0: ["composite", "paste", "image"] },
  PhDStitch: { 0: ["composite", "crop", "paste"] },
  PhDInsertSubject: { 0: ["background"], 2: ["background"] },
  RepeatImageBatch: { 0: ["image"] },
};
/** @param {string} filename @returns {StoredFile} */
const fileAt = (filename) => ({ filename, subfolder: "", type: "url" });
const [BACKGROUND, SUBJECT, SUBJECT_MASK, RETURNED] = [
  "background.png",
  "subject.png",
  "subject_mask.png",
  "returned.jpg",
].map((name) => fileAt(new URL(`../demo_images/${name}`, import.meta.url).href));
/** @type {Source} */
const DEMO_MASK = { file: SUBJECT_MASK, channel: "red", inverted: false };
/** What Load Demo Images gives, by output slot. @type {Source[]} */
const DEMO_IMAGES = [
  { file: BACKGROUND },
  { file: SUBJECT, loaded: true },
  DEMO_MASK,
  { file: SUBJECT, alpha: true, matte: DEMO_MASK },
  { file: RETURNED },
];
/** The nodes that paste a subject into their scene. */
const PASTES = ["PhDPasteBlend", "PhDInsertSubject"];

/**
 * The image at an IMAGE input.
 * @param {any} node @param {string} name @param {OutputsOf} outputsOf
 * @returns {Source}
 */
export function imageAtInput(node, name, outputsOf, depth = 0) {
  const origin = originOf(node, name);
  if (!origin || depth > MAX_STEPS) return {};
  const { node: from, slot } = origin;
  if (isLoader(from)) return { file: loadedFile(from), loaded: true, origin: outputKey(origin) };
  if (from.type === "PhDSegment" && slot === 1) {
    const file = lastImage(from, outputsOf);
    return file ? { file, alpha: true, origin: outputKey(origin) } : imageAtInput(from, "image", outputsOf, depth + 1);
  }
  if (from.type === "PhDLoadDemoImages") return { ...DEMO_IMAGES[slot], origin: outputKey(origin) };
  if (from.type === "EmptyImage") return { file: emptyImage(from), origin: outputKey(origin) };
  const passed = passedScene(origin);
  if (!passed) return { origin: outputKey(origin) };
  const source = imageAtInput(from, passed, outputsOf, depth + 1);
  return source.origin ? { ...source, through: [...(source.through ?? []), changeBy(from, outputsOf)] } : source;
}

/** @param {any} node an EmptyImage. Its image, where no link sets the size or the color. */
function emptyImage(node) {
  const names = ["width", "height", "color"];
  if (names.some((name) => isLinked(node, name))) return undefined;
  const [width, height, color] = names.map((name) => node.widgets.find((widget) => widget.name === name)?.value);
  const fill = `#${Number(color).toString(16).padStart(6, "0")}`;
  const sides = `xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"`;
  const svg = `<svg ${sides}><path fill="${fill}" d="M0 0H${width}V${height}H0"/></svg>`;
  return fileAt(`data:image/svg+xml,${encodeURIComponent(svg)}`);
}

/** @param {Origin} origin @returns {string | undefined} The input of its node whose scene this output shows. */
function passedScene({ node, slot }) {
  return SCENE_INPUTS[node.type]?.[slot]?.find((input) => isLinked(node, input));
}

/** @param {any} node one that pastes. The input that brings its scene. */
export function sceneInput(node) {
  return isLinked(node, "paste") ? "paste" : "background";
}

/**
 * What a node that pastes adds to its scene, as text: its settings, and where its subject comes from.
 * @param {any} node @param {OutputsOf} outputsOf
 */
function changeBy(node, outputsOf) {
  // The seed may change by itself when a run begins.
  const widgets = (node.widgets ?? []).filter(
    ({ name, serialize }) => serialize !== false && !/seed|control/.test(name),
  );
  const sources = ["subject", "subject_mask"].map((name) => {
    const origin = originOf(node, name);
    if (!origin) return null;
    return [outputKey(origin), isLoader(origin.node) ? loadedFile(origin.node) : lastImage(origin.node, outputsOf)];
  });
  return JSON.stringify([node.id, widgets.map(({ value }) => value), sources]);
}

/**
 * The nodes that paste subjects into a node's scene before it does, the first one first.
 * @param {any} node one that pastes @returns {any[]}
 */
export function earlierPastes(node) {
  const found = new Set();
  let origin = originOf(node, sceneInput(node));
  for (let step = 0; origin && step < MAX_STEPS; step++) {
    if (PASTES.includes(origin.node.type)) found.add(origin.node);
    const passed = passedScene(origin);
    origin = passed ? originOf(origin.node, passed) : null;
  }
  return [...found].reverse();
}

/**
 * The mask at a MASK input; without a file where it is not known before a run.
 * @param {any} node @param {string} name @param {OutputsOf} outputsOf
 * @returns {Source}
 */
export function maskAtInput(node, name, outputsOf, depth = 0) {
  const origin = originOf(node, name);
  if (!origin || depth > MAX_STEPS) return {};
  const { node: from, slot } = origin,
    key = outputKey(origin);
  if (from.type === "InvertMask") {
    const mask = maskAtInput(from, "mask", outputsOf, depth + 1);
    return { ...mask, inverted: !mask.inverted };
  }
  if (from.type === "PhDSegment" && slot === 0) {
    return { file: lastImage(from, outputsOf), channel: "alpha", inverted: false, origin: key };
  }
  if (from.type === "LoadImageMask") {
    const channel = /** @type {Channel} */ (from.widgets?.find((widget) => widget.name === "channel")?.value);
    // ComfyUI's masks are 1 where a file is transparent.
    return { file: loadedFile(from), channel, inverted: channel === "alpha", origin: key };
  }
  if (from.type === "PhDLoadDemoImages") return { ...DEMO_IMAGES[slot], origin: key };
  if (isLoader(from) && slot === 1)
    return { file: loadedFile(from), channel: "alpha", inverted: true, loaded: true, origin: key };
  return { origin: key };
}

/** @param {Origin} origin What names the output that a value comes from. */
function outputKey({ node, slot }) {
  return `${keyOf(node)}:${slot}`;
}

/** @param {any} node */
function isLoader(node) {
  return typeof node.type === "string" && node.type.startsWith("LoadImage");
}

/** @param {any} node @param {OutputsOf} outputsOf @returns {StoredFile | undefined} */
function lastImage(node, outputsOf) {
  return asFile(outputsOf(node)?.images?.[0]);
}

/** @param {any} entry of a `ui` output @returns {StoredFile | undefined} The file that it names, if it names one. */
export function asFile(entry) {
  if (typeof entry?.filename !== "string" || !entry.filename) return undefined;
  const { filename, subfolder = "", type = "output" } = entry;
  return { filename, subfolder: String(subfolder), type: String(type) };
}

/** @param {any} node @returns {StoredFile | undefined} The file of a Load Image node, as "folder/name.png [input]". */
function loadedFile(node) {
  const value = node.widgets?.find((widget) => widget.name === "image")?.value;
  return typeof value === "string" ? namedFile(value) : asFile(value);
}

/** @param {string} text @returns {StoredFile | undefined} */
export function namedFile(text) {
  const [, path, type = "input"] = /^(.*?)(?: \[(input|output|temp)\])?$/s.exec(text.trim()) ?? [];
  const parts = (path ?? "").split(/[\\/]/),
    filename = parts.pop();
  return filename ? { filename, subfolder: parts.join("/"), type } : undefined;
}
