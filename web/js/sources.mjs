/**
 * Which stored images a node's inputs show, read from the graph: Load Image nodes, and what PhD nodes showed last.
 *
 * Knows litegraph's public surface only, so that a test may hand it plain objects.
 */

/**
 * A file that the server's /view gives.
 * @typedef {{ filename: string, subfolder: string, type: string }} File
 */
/**
 * Where an image or a mask comes from. An image with `alpha` is a cut-out; a mask is one channel, or its inverse.
 * What no file is known for has none, and names its origin, so that a change of wiring is seen.
 * @typedef {{ file?: File, alpha?: boolean, channel?: Channel, inverted?: boolean, origin?: string }} Source
 */
/** @typedef {"alpha" | "red" | "green" | "blue"} Channel */
/** The node and the slot that an input's value comes from. @typedef {{ node: any, slot: number }} Origin */
/** What a node showed when it last ran. @typedef {(node: any) => Record<string, any> | null} OutputsOf */

const MUTED = 2,
  BYPASSED = 4;
/** Ids of the two ends of a subgraph, in litegraph's links. */
const SUBGRAPH_INPUT = -10;
/** Deeper chains of reroutes and subgraphs than this are circles. */
const MOST_STEPS = 200;
/**
 * PhD nodes whose output is a scene like one of their inputs: output slot -> input.
 * @type {Record<string, string[]>}
 */
const PASSED_ON = { PhDPasteBlend: ["background"], PhDStitch: ["composite"] };

/**
 * The node that gives an input's value, through reroutes, bypassed nodes and subgraphs; null where none does.
 * @param {any} node @param {string} name
 * @returns {Origin | null}
 */
export function originOf(node, name) {
  let slot = slotOf(node, name);
  for (let step = 0; step < MOST_STEPS && slot >= 0; step++) {
    const link = linkInto(node, slot);
    if (!link) return null;
    if (Number(link.origin_id) === SUBGRAPH_INPUT) {
      [node, slot] = [instanceOf(node.graph), link.origin_slot];
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
 * The input that a bypassed node passes on as an output: the one of the same place if it is of its type, else the first.
 * @param {any} node @param {number} output
 * @returns {number}
 */
function bypassSlot(node, output) {
  const type = node.outputs?.[output]?.type, inputs = node.inputs ?? [];
  return inputs[output]?.type === type ? output : inputs.findIndex((input) => input.type === type);
}

/** @param {any} node @param {string} name @returns {number} */
function slotOf(node, name) {
  return (node.inputs ?? []).findIndex((input) => input.name === name);
}

/** @param {any} node @param {string} name Whether an input or a widget's socket takes its value from a link. */
export function isLinked(node, name) {
  return Boolean(linkInto(node, slotOf(node, name)));
}

/**
 * The link into an input, or null.
 * @param {any} node @param {number} slot
 * @returns {{ origin_id: number | string, origin_slot: number } | null}
 */
function linkInto(node, slot) {
  // A node that is in no graph must not be asked for its links.
  if (slot < 0 || !node.graph) return null;
  if (!node.isSubgraphNode?.()) return node.getInputLink(slot);
  // That of a subgraph's node tells what is inside of it.
  const goesIn = (link) => String(link.target_id) === String(node.id) && link.target_slot === slot;
  return [...node.graph.links.values()].find(goesIn) ?? null;
}

/** @param {any} subgraph @returns {any} A node that stands for a subgraph, in whatever graph it is. */
function instanceOf(subgraph) {
  const graphs = [subgraph?.rootGraph, ...(subgraph?.rootGraph?.subgraphs?.values() ?? [])];
  for (const graph of graphs) {
    const instance = graph?.nodes?.find((node) => node.isSubgraphNode?.() && node.subgraph === subgraph);
    if (instance) return instance;
  }
  return null;
}

/**
 * The image at an IMAGE input.
 * @param {any} node @param {string} name @param {OutputsOf} outputsOf
 * @returns {Source}
 */
export function imageAt(node, name, outputsOf, depth = 0) {
  const origin = originOf(node, name);
  if (!origin || depth > MOST_STEPS) return {};
  const { node: from, slot } = origin;
  if (isLoader(from)) return { file: loadedFile(from), origin: keyOf(origin) };
  if (from.type === "PhDSegment" && slot === 1) {
    const file = lastImage(from, outputsOf);
    return file ? { file, alpha: true, origin: keyOf(origin) } : imageAt(from, "image", outputsOf, depth + 1);
  }
  const passed = PASSED_ON[from.type]?.[slot];
  return passed ? imageAt(from, passed, outputsOf, depth + 1) : { origin: keyOf(origin) };
}

/**
 * The mask at a MASK input; without a file where it is not known before a run.
 * @param {any} node @param {string} name @param {OutputsOf} outputsOf
 * @returns {Source}
 */
export function maskAt(node, name, outputsOf, depth = 0) {
  const origin = originOf(node, name);
  if (!origin || depth > MOST_STEPS) return {};
  const { node: from, slot } = origin,
    key = keyOf(origin);
  if (from.type === "InvertMask") {
    const mask = maskAt(from, "mask", outputsOf, depth + 1);
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
  if (isLoader(from) && slot === 1) return { file: loadedFile(from), channel: "alpha", inverted: true, origin: key };
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

/** @param {any} node @param {OutputsOf} outputsOf @returns {File | undefined} */
function lastImage(node, outputsOf) {
  return asFile(outputsOf(node)?.images?.[0]);
}

/** @param {any} shown @returns {File | undefined} What a run says of a file, if it is one. */
export function asFile(shown) {
  if (typeof shown?.filename !== "string" || !shown.filename) return undefined;
  const { filename, subfolder = "", type = "output" } = shown;
  return { filename, subfolder: String(subfolder), type: String(type) };
}

/** @param {any} node @returns {File | undefined} The file that a Load Image node names, "folder/name.png [input]". */
function loadedFile(node) {
  const value = node.widgets?.find((widget) => widget.name === "image")?.value;
  return typeof value === "string" ? namedFile(value) : asFile(value);
}

/** @param {string} text @returns {File | undefined} */
export function namedFile(text) {
  const [, path, type = "input"] = /^(.*?)(?: \[(input|output|temp)\])?$/s.exec(text.trim()) ?? [];
  const parts = (path ?? "").split(/[\\/]/),
    filename = parts.pop();
  return filename ? { filename, subfolder: parts.join("/"), type } : undefined;
}
