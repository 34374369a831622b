/** The pack in ComfyUI's frontend: editors on its nodes, and a word when a run warns. */

import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { after, attach, refreshAll } from "./hosting.mjs";
import { PlacementEditor } from "./placement_editor.mjs";
import { PointPicker } from "./point_picker.mjs";
import { text } from "./texts.mjs";
import { warningsIn } from "./warnings.mjs";

/** @type {import("./hosting.mjs").Frontend} */
const frontend = {
  urlOf: (file) => api.apiURL(`/view?${new URLSearchParams(file)}`),
  outputsOf(node) {
    const { graph } = node;
    const isInside = graph?.rootGraph && graph !== graph.rootGraph;
    return app.nodeOutputs?.[isInside ? `${graph.id}:${node.id}` : String(node.id)] ?? null;
  },
  transaction(node, begins) {
    if (begins) {
      app.canvas?.emitBeforeChange();
      node.graph?.beforeChange();
    } else {
      node.graph?.afterChange();
      app.canvas?.emitAfterChange();
    }
  },
  elsewhere(event) {
    const { canvas } = app;
    if (event instanceof WheelEvent) canvas.processMouseWheel(event);
    else if (event.type === "pointerdown") canvas.processMouseDown(event);
    else if (event.type === "pointermove") canvas.processMouseMove(event);
    else canvas.processMouseUp(event);
  },
  language: () => String(app.extensionManager?.setting?.get("Comfy.Locale") ?? "en"),
};

/**
 * The editors of nodes, by the nodes' ids.
 * @type {Record<string, new (node: any, frontend: import("./hosting.mjs").Frontend) => import("./hosting.mjs").Editor>}
 */
const EDITORS = { PhDPasteBlend: PlacementEditor, PhDSegment: PointPicker };

const WARNING_MS = 8000;

app.registerExtension({
  name: "PhD.Canvas",
  setup() {
    // Whatever the user changed, here or upstream.
    api.addEventListener("graphChanged", refreshAll);
    api.addEventListener("executed", refreshAll);
  },
  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("PhD")) return;
    after(node, "onExecuted", (output) => {
      for (const detail of warningsIn(output?.text)) {
        const summary = text(frontend.language(), "warns", { node: node.title });
        app.extensionManager.toast.add({ severity: "warn", summary, detail, life: WARNING_MS });
      }
    });
    const Editor = EDITORS[node.comfyClass];
    if (Editor) attach(node, new Editor(node, frontend));
  },
  afterConfigureGraph: refreshAll,
});
