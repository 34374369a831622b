/** Attaches an editor to its node: a DOM widget without a value of its own, and hooks on the node. */

/** @typedef {import("./input_images.mjs").StoredFile} StoredFile */
/**
 * What editors need of ComfyUI's frontend.
 * @typedef {object} Frontend
 * @property {(file: StoredFile) => string} urlOf
 * @property {(node: any) => Record<string, any> | null} outputsOf the `ui` output of the node's last run
 * @property {(node: any, begins: boolean) => void} transaction changes between begin and end are one undo step
 * @property {(event: WheelEvent | PointerEvent) => void} passToGraph
 * @property {() => string} language such as "en"
 */
/**
 * @typedef {object} Editor
 * @property {import("./editor_frame.mjs").EditorFrame} frame
 * @property {() => void} refresh reads the graph again; cheap where nothing changed
 * @property {(() => void)} changed a widget of the node was changed
 * @property {(output: any) => void} ran gets the `ui` output of a run
 */

const MIN_HEIGHT = 260,
  MIN_WIDTH = 340;

/**
 * The editors of all nodes that are in a graph.
 * @type {Set<Editor>}
 */
const openEditors = new Set();
let scheduled = 0;

/** Every editor reads the graph again, in the next animation frame. */
export function refreshAll() {
  scheduled ||= requestAnimationFrame(() => {
    scheduled = 0;
    for (const editor of openEditors) editor.frame.showingErrors(() => editor.refresh())();
  });
}

/**
 * Puts an editor on a new node.
 * @param {any} node @param {Editor} editor
 */
export function attachEditor(node, editor) {
  const { frame } = editor;
  const widget = node.addDOMWidget("phd_canvas", "PHD_CANVAS", frame.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => MIN_HEIGHT,
    getValue: () => "",
    setValue: () => {},
    // The classic renderer draws after every change, also of nodes upstream.
    onDraw: frame.showingErrors(() => editor.refresh()),
  });
  // Its numbers are in the other widgets: neither the prompt nor the workflow file stores this one.
  widget.serialize = false;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width, MIN_WIDTH), Math.max(node.size[1], height)]);
  addHook(node, "onAdded", () => {
    openEditors.add(editor);
    frame.open();
    refreshAll();
  });
  addHook(node, "onRemoved", () => {
    openEditors.delete(editor);
    frame.close();
  });
  addHook(node, "onConfigure", refreshAll);
  addHook(node, "onConnectionsChange", refreshAll);
  addHook(
    node,
    "onExecuted",
    frame.showingErrors((output) => editor.ran(output)),
  );
  const changed = frame.showingErrors(() => editor.changed());
  for (const other of node.widgets) if (other !== widget) addHook(other, "callback", changed);
}

/**
 * Hides the frontend's own preview of a run with one image, because the editor shows it; several images stay visible.
 * @param {any} node @param {number} images
 */
export function hidePreview(node, images) {
  node.hideOutputImages = images < 2;
  // The classic renderer creates its preview when it draws a node's background.
  if (images < 2) {
    node.imgs = undefined;
    node.onDrawBackground = () => {};
  } else delete node.onDrawBackground;
}

/**
 * Calls an action after an object's own method of that name.
 * @param {any} object @param {string} name @param {(...values: any[]) => void} action
 */
function addHook(object, name, action) {
  const original = object[name];
  object[name] = function (...values) {
    const result = original?.apply(this, values);
    action(...values);
    return result;
  };
}
