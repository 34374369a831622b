/**
 * The pack in ComfyUI's frontend: editors on its nodes, toasts for the warnings of a run, and a button to run to a node.
 * ComfyUI loads every `.js` file as an extension of its own, so all others are `.mjs`.
 */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { resendCached } from "./cached_outputs.mjs";
import { attachEditor, attachMessages, refreshAll, showMessages } from "./dom_widget.mjs";
import { isInside, keyOf, nodeInPrompt } from "./graph_links.mjs";
import { PlacementEditor } from "./placement_editor.mjs";
import { PointPicker } from "./point_picker.mjs";
import { listenForMessages } from "./run_messages.mjs";
import { ResultView } from "./result_view.mjs";
import { runToNodes } from "./run_to_node.mjs";
import { readLanguage, translated } from "./sentences.mjs";
import { translate } from "./translations.mjs";
import { listenForWarnings } from "./warnings.mjs";

/** @typedef {import("../types").Frontend} Frontend */
/** @typedef {import("../types").Editor} Editor */

/** Longer combos keep their own words, see `labelOptions`. */
const MOST_LABELED = 4;
const WARNING_MS = 8000,
  ERROR_MS = 20000;
const RUN_TO_NODE = "PhD.RunToNode";

/** @type {Frontend} */
const frontend = {
  urlOf: (file) => (file.type === "url" ? file.filename : api.apiURL(`/view?${new URLSearchParams(file)}`)),
  outputsOf: (node) => app.nodeOutputs?.[isInside(node) ? keyOf(node) : String(node.id)] ?? null,
  transaction(node, begins) {
    if (begins) {
      app.canvas?.emitBeforeChange();
      node.graph?.beforeChange();
    } else {
      node.graph?.afterChange();
      app.canvas?.emitAfterChange();
    }
  },
  passToGraph(event) {
    const { canvas } = app;
    // Nodes 2.0 opens a node's menu by itself.
    if (event instanceof PointerEvent && event.button === 2 && frontend.isNodes2()) return;
    if (event instanceof WheelEvent) canvas.processMouseWheel(event);
    else if (event.type === "pointerdown") canvas.processMouseDown(event);
    else if (event.type === "pointermove") canvas.processMouseMove(event);
    else canvas.processMouseUp(event);
  },
  isNodes2: () => Boolean(/** @type {any} */ (globalThis).LiteGraph?.vueNodesMode),
  zoom: () => app.canvas.ds.scale,
  language: () => String(app.extensionManager?.setting?.get("Comfy.Locale") ?? "en"),
};

/** @type {Record<string, new (node: any, frontend: Frontend) => Editor>} The editors by the ids of their nodes. */
const EDITORS = {
  PhDPasteBlend: PlacementEditor,
  PhDInsertSubject: PlacementEditor,
  PhDSegment: PointPicker,
  PhDStitch: ResultView,
};

/** What the user's language has beyond `translations.mjs`; null where that is English. @type {import("./sentences.mjs").Language | null} */
let spoken = null;

async function readSpoken() {
  spoken = await readLanguage(frontend.language());
}

/** A text of a node's in the user's language. @param {any} node @param {string} text */
function inUsersLanguage(node, text) {
  if (!spoken) return text;
  const { templates, options } = spoken;
  const shown = new Map(Object.values(options).flatMap(Object.entries));
  for (const { name, localized_name: own } of [...(node?.outputs ?? []), ...(node?.inputs ?? [])])
    if (own) shown.set(name, own);
  return translated(templates, text, (name) => shown.get(name));
}

/**
 * Shows the options of a node's combos in the user's language; their values stay. The classic renderer lets the user
 * search longer lists, such as of files, and not with labels: those keep their own words.
 * @param {any} node
 */
function labelOptions(node) {
  for (const { name, type, options } of node.widgets ?? []) {
    if (type === "combo" && spoken?.options[name] && options.values.length <= MOST_LABELED)
      options.getOptionLabel = (value) => spoken?.options[name]?.[String(value)] ?? String(value ?? "");
  }
}

/** @param {any} item @returns {boolean} Whether an item of the graph is a node of this pack. */
function isOurs(item) {
  return String(item?.comfyClass ?? "").startsWith("PhD");
}

/** @param {string} id of the prompt @returns {any} */
function anyNode(id) {
  return nodeInPrompt(app.rootGraph ?? app.graph, id);
}

/** @param {string} id of the prompt @returns {any} */
function ourNode(id) {
  const node = anyNode(id);
  return isOurs(node) ? node : undefined;
}

/** Runs the graph as far as the selected nodes of this pack. */
async function runToSelected() {
  try {
    await runToNodes(app, api, Object.values(app.canvas.selected_nodes ?? {}).filter(isOurs));
  } catch (error) {
    const summary = translate(frontend.language(), "notRun");
    app.extensionManager.toast.add({ severity: "error", summary, detail: String(error), life: WARNING_MS });
  }
}

app.registerExtension({
  name: "PhD.Canvas",
  commands: [{ id: RUN_TO_NODE, label: "Run to this node", icon: "pi pi-step-forward", function: runToSelected }],
  getSelectionToolboxCommands: (item) => (isOurs(item) ? [RUN_TO_NODE] : []),
  // Before any node is made.
  init: readSpoken,
  setup() {
    app.ui.settings.addEventListener("Comfy.Locale.change", readSpoken);
    // Anything in the graph may have changed, also upstream of an editor.
    api.addEventListener("graphChanged", refreshAll);
    api.addEventListener("executed", refreshAll);
    resendCached(api, (id) => Boolean(ourNode(id)));
    app.ui.settings.addEventListener("Comfy.VueNodes.Enabled.change", refreshAll);
    listenForWarnings(api, (id, warning) => {
      const node = anyNode(id);
      const summary = translate(frontend.language(), "warningFrom", { node: node?.title ?? "PhD" });
      const detail = inUsersLanguage(node, warning);
      app.extensionManager.toast.add({ severity: "warn", summary, detail, life: WARNING_MS });
    });
    // The frontend's own toast only says that a node failed.
    listenForMessages(api, ourNode, inUsersLanguage, showMessages, (node, message) =>
      app.extensionManager.toast.add({ severity: "error", summary: node.title, detail: message, life: ERROR_MS }),
    );
  },
  nodeCreated(node) {
    if (node.isSubgraphNode?.()) refreshAll();
    if (isOurs(node)) labelOptions(node);
    const Editor = EDITORS[node.comfyClass ?? ""];
    if (Editor) attachEditor(node, new Editor(node, frontend), frontend);
    else if (isOurs(node)) attachMessages(node, frontend);
  },
  afterConfigureGraph: refreshAll,
});
