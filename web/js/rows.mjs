/** Which of a node's widgets are shown: rare ones on request, and those that another widget makes useless not at all. */

import { isLinked, originOf } from "./graph_links.mjs";

/** @typedef {(name: string) => unknown} Values */

const isRandom = (value) => value("placement") === "random";
const isPlacedByHand = (value) => value("placement") !== "random";
const isCustom = (value) => value("preset") === "custom";
const usesInnerSteps = (value) => /Langevin|soft/.test(String(value("method")));
const hasInnerSteps = (value) => isCustom(value) && usesInnerSteps(value);
const jumps = (value) => value("method") === "RePaint";
const isExact = (value) => value("size_mode") === "exact";
const hasMultiple = (value) => !isExact(value);
const hasSide = (value) => hasMultiple(value) && value("size_mode") !== "no resize";
const jumpsByHand = (value) => jumps(value) && isCustom(value);

/** The widgets of both samplers that only some methods use. @type {Record<string, (value: Values) => boolean>} */
const OF_SAMPLERS = {
  steps: isCustom,
  inner_steps: hasInnerSteps,
  step_size: usesInnerSteps,
  lambda_strength: usesInnerSteps,
  jump_length: jumps,
  jump_count: jumpsByHand,
};
/**
 * When a widget has an effect, by node and name; a widget that is not here always has.
 * @type {Record<string, Record<string, (value: Values, node: any) => boolean>>}
 */
const USEFUL = {
  PhDPasteBlend: {
    x: isPlacedByHand,
    y: isPlacedByHand,
    size: isPlacedByHand,
    seed: isRandom,
    control_after_generate: isRandom,
    size_min: isRandom,
    size_max: isRandom,
    min_visible: isRandom,
  },
  PhDInsertSubject: { x: isPlacedByHand, y: isPlacedByHand, size: isPlacedByHand },
  PhDSegment: {
    class_name: (_, node) => mayBe("deeplab", node),
    candidate: (_, node) => mayBe("sam", node),
  },
  PhDCrop: { side: hasSide, multiple: hasMultiple, width: isExact, height: isExact },
  PhDMaskedInpaintSampler: OF_SAMPLERS,
  PhDHarmonizeSampler: OF_SAMPLERS,
};

/**
 * Whether the segmenter of a node may be of a kind, as far as its file's name shows.
 * @param {"deeplab" | "sam"} kind @param {any} node a Segment
 */
function mayBe(kind, node) {
  const from = originOf(node, "segmenter")?.node;
  const model = from?.type === "PhDLoadSegmenter" && from.widgets?.find(({ name }) => name === "model")?.value;
  if (typeof model !== "string") return Boolean(from);
  if (model.startsWith("grabcut") || model.toLowerCase().endsWith(".onnx")) return false;
  const other = kind === "sam" ? /deeplab/i : /(^|[^a-z])(mobile|edge|efficient)?_?sam/i;
  return !other.test(model);
}

const NO_ROW = () => [0, -4];

/** @param {any} widget @param {boolean} hidden */
function hide(widget, hidden) {
  widget.hidden = hidden;
  // Older frontends keep a row of this height and 4 more for a hidden widget.
  if (hidden) widget.computeSize ??= NO_ROW;
  else if (widget.computeSize === NO_ROW) delete widget.computeSize;
}

/**
 * Shows the widgets of a node that matter now.
 *
 * Nodes 2.0 folds the widgets away that are marked as advanced. The classic renderer only stops to draw them and keeps
 * their place, so there they are hidden until the user asks for them in the node's menu, which sets `showAdvanced`.
 * @param {any} node @param {Set<string>} rare the widgets that are shown on request
 * @param {boolean} isNodes2 whether Nodes 2.0 draws the node
 */
export function updateRows(node, rare, isNodes2) {
  const useful = USEFUL[node.comfyClass] ?? {};
  /** @type {Values} */
  const value = (name) => node.widgets.find((widget) => widget.name === name)?.value;
  for (const widget of node.widgets ?? []) {
    const linked = isLinked(node, widget.name);
    const isRare = rare.has(widget.name) && !linked;
    const isUseless = !linked && useful[widget.name]?.(value, node) === false;
    if (rare.has(widget.name)) widget.advanced = isRare;
    if (rare.has(widget.name) || widget.name in useful)
      hide(widget, isUseless || (isRare && !isNodes2 && !node.showAdvanced));
  }
}

/**
 * Lets a seed change by itself between runs only while it has an effect: a changed one runs everything after it again.
 * @param {any} node
 */
export function restUnusedSeed(node) {
  const control = node.widgets?.find(({ name }) => name === "control_after_generate");
  const useful = USEFUL[node.comfyClass]?.control_after_generate;
  if (!control || !useful) return;
  for (const name of ["beforeQueued", "afterQueued"]) {
    const change = control[name];
    control[name] = function (...values) {
      if (useful((each) => node.widgets.find((widget) => widget.name === each)?.value, node))
        return change?.apply(this, values);
    };
  }
}

/** @param {any} node @returns {Set<string>} The names of its widgets that the server calls advanced. */
export function rareWidgets(node) {
  const { required = {}, optional = {} } = node.constructor?.nodeData?.input ?? {};
  const specs = Object.entries({ ...required, ...optional });
  return new Set(specs.filter(([, spec]) => spec?.[1]?.advanced).map(([name]) => name));
}
