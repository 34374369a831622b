/**
 * Finds the stored image or mask at a node's input, by following its links: to a Load Image node, or to a PhD node that
 * stored an image in its last run.
 *
 * Uses only litegraph's public interface, so that tests can pass plain objects.
 */

/** @typedef {import("../types").StoredFile} StoredFile */
/** @typedef {import("../types").Source} Source */
/** @typedef {import("../types").Channel} Channel */
/** @typedef {import("../types").OutputsOf} OutputsOf */
/** The node and the slot that an input's value comes from. @typedef {{ node: any, slot: number }} Origin */

const MUTED = 2,
  BYPASSED = 4;
/** The origin of links that come from a subgraph's own inputs, in litegraph. */
const SUBGRAPH_INPUT = -10;
/** A longer chain of reroutes and subgraphs is taken for a circle. */
const MAX_STEPS = 200;
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
 * The node that computes an input's value, past reroutes, bypassed nodes and subgraphs; null where there is none.
 * @param {any} node @param {string} name
 * @returns {Origin | null}
 */
export function originOf(node, name) {
  let slot = slotOf(node, name);
  for (let step = 0; step < MAX_STEPS && slot >= 0; step++) {
    const link = linkInto(node, slot);
    if (!link) return null;
    if (Number(link.origin_id) === SUBGRAPH_INPUT) {
      [node, slot] = [hostsOf(node.graph)[0], link.origin_slot];
      if (!node) return null;
      continue;
    }
    let from = node.graph?.getNodeById(link.origin_id);
    let output = link.origin_slot;
    while (from?.isSubgraphNode?.() && from.mode !== MUTED && from.mode !== BYPASSED) {
      const inner = from.resolveSubgraphOutputLink?.(output);
      if (!inner?.outputNode) return null;
      [from, output] = [inner.outputNode, inner.link.origin_slot];
    }
    if (!from || from.mode === MUTED) return null;
    const passes = from.mode === BYPASSED || from.type === "Reroute";
    if (!passes) return { node: from, slot: output };
    slot = from.type === "Reroute" ? 0 : bypassSlot(from, output);
    node = from;
  }
  return null;
}

/**
 * The input that a bypassed node returns at an output: the one at the same index if its type fits, else the first fit.
 * @param {any} node @param {number} output
 * @returns {number}
 */
function bypassSlot(node, output) {
  const type = node.outputs?.[output]?.type,
    inputs = node.inputs ?? [];
  return inputs[output]?.type === type ? output : inputs.findIndex((input) => input.type === type);
}

/** @param {any} node @param {string} name @returns {number} */
function slotOf(node, name) {
  return (node.inputs ?? []).findIndex((input) => input.name === name);
}

/** @param {any} node @param {string} name Whether an input, or the socket of a widget, has a link. */
export function isLinked(node, name) {
  return Boolean(linkInto(node, slotOf(node, name)));
}

/**
 * The link into an input, or null.
 * @param {any} node @param {number} slot
 * @returns {{ origin_id: number | string, origin_slot: number } | null}
 */
function linkInto(node, slot) {
  // litegraph throws for a node that is in no graph.
  if (slot < 0 || !node.graph) return null;
  if (!node.isSubgraphNode?.()) return node.getInputLink(slot);
  // For the node of a subgraph, getInputLink returns a link inside it.
  const goesIn = (link) => String(link.target_id) === String(node.id) && link.target_slot === slot;
  return [...node.graph.links.values()].find(goesIn) ?? null;
}

/**
 * The input of a subgraph's node that an input inside it is linked to; null where it is linked to something else.
 * @param {any} node @param {string} name
 * @returns {{ node: any, name: string } | null}
 */
export function hostInput(node, name) {
  const link = linkInto(node, slotOf(node, name));
  if (!link || Number(link.origin_id) !== SUBGRAPH_INPUT) return null;
  const [host] = hostsOf(node.graph);
  const input = host?.inputs?.[link.origin_slot];
  return input ? { node: host, name: input.name } : null;
}

/** @param {any} graph @returns {any[]} The nodes that stand for this subgraph, in any graph of the workflow. */
export function hostsOf(graph) {
  if (graph?.phdHost) return [graph.phdHost];
  const root = graph?.rootGraph;
  return [root, ...(root?.subgraphs?.values() ?? [])].flatMap(
    (each) => each?.nodes?.filter((node) => node.isSubgraphNode?.() && node.subgraph === graph) ?? [],
  );
}

/**
 * The image at an IMAGE input.
 * @param {any} node @param {string} name @param {OutputsOf} outputsOf
 * @returns {Source}
 */
export function imageAtInput(node, name, outputsOf, depth = 0) {
  const origin = originOf(node, name);
  if (!origin || depth > MAX_STEPS) return {};
  const { node: from, slot } = origin;
  if (isLoader(from)) return { file: loadedFile(from), loaded: true, origin: keyOf(origin) };
  if (from.type === "PhDSegment" && slot === 1) {
    const file = lastImage(from, outputsOf);
    return file ? { file, alpha: true, origin: keyOf(origin) } : imageAtInput(from, "image", outputsOf, depth + 1);
  }
  if (from.type === "PhDLoadDemoImages") return { ...DEMO_IMAGES[slot], origin: keyOf(origin) };
  if (from.type === "EmptyImage") return { file: emptyImage(from), origin: keyOf(origin) };
  const passed = passedScene(origin);
  if (!passed) return { origin: keyOf(origin) };
  const source = imageAtInput(from, passed, outputsOf, depth + 1);
  return source.origin ? { ...source, through: [...(source.through ?? []), changeBy(from, outputsOf)] } : source;
}

/**
 * @param {any} node an EmptyImage
 * @returns {StoredFile | undefined} its image, where no link sets the size or the color
 */
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

/** @param {any} node one that pastes @returns {string} The input that brings its scene. */
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
    return [keyOf(origin), isLoader(origin.node) ? loadedFile(origin.node) : lastImage(origin.node, outputsOf)];
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
    key = keyOf(origin);
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

/** @param {Origin} origin */
function keyOf({ node, slot }) {
  return `${node.graph?.id ?? ""}:${node.id}:${slot}`;
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
