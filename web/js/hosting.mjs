/** What ties an editor to its node: a widget without a value of its own, and the node's hooks. */

/** @typedef {import("./sources.mjs").File} File */
/**
 * What editors need of ComfyUI's frontend.
 * @typedef {object} Frontend
 * @property {(file: File) => string} urlOf
 * @property {(node: any) => Record<string, any> | null} outputsOf what a node showed when it last ran
 * @property {(node: any, begins: boolean) => void} transaction what happens in between is one step of the undo history
 * @property {(event: WheelEvent | PointerEvent) => void} elsewhere gives the graph what is not the editor's
 * @property {() => string} language such as "en"
 */
/**
 * @typedef {object} Editor
 * @property {import("./frame.mjs").Frame} frame
 * @property {() => void} refresh looks at the graph again; cheap where nothing changed
 * @property {(() => void)} changed a widget of the node was changed
 * @property {(output: any) => void} ran
 */

const LEAST_HEIGHT = 260,
  LEAST_WIDTH = 340;

/**
 * The editors of all nodes that are in a graph.
 * @type {Set<Editor>}
 */
const open = new Set();
let scheduled = 0;

/** Every editor looks at the graph again, in the next frame. */
export function refreshAll() {
  scheduled ||= requestAnimationFrame(() => {
    scheduled = 0;
    for (const editor of open) editor.frame.guarded(() => editor.refresh())();
  });
}

/**
 * Puts an editor on a node that was just made.
 * @param {any} node @param {Editor} editor
 */
export function attach(node, editor) {
  const widget = node.addDOMWidget("phd_canvas", "PHD_CANVAS", editor.frame.element, {
    serialize: false,
    hideOnZoom: false,
    getMinHeight: () => LEAST_HEIGHT,
    getValue: () => "",
    setValue: () => {},
    // The classic renderer draws after every change, also of nodes upstream.
    onDraw: editor.frame.guarded(() => editor.refresh()),
  });
  // Its numbers are in the other widgets: neither the prompt nor the workflow file has anything of this one.
  widget.serialize = false;
  const [width, height] = node.computeSize();
  node.setSize([Math.max(node.size[0], width, LEAST_WIDTH), Math.max(node.size[1], height)]);
  after(node, "onAdded", () => {
    open.add(editor);
    editor.frame.open();
    refreshAll();
  });
  after(node, "onRemoved", () => {
    open.delete(editor);
    editor.frame.close();
  });
  after(node, "onConfigure", refreshAll);
  after(node, "onConnectionsChange", refreshAll);
  after(
    node,
    "onExecuted",
    editor.frame.guarded((output) => editor.ran(output)),
  );
  const changed = editor.frame.guarded(() => editor.changed());
  for (const each of node.widgets) if (each !== widget) after(each, "callback", changed);
}

/**
 * Leaves the result of a run to the editor, which shows it; several images stay the node's own.
 * @param {any} node @param {number} images
 */
export function hideResult(node, images) {
  node.hideOutputImages = images < 2;
  // The classic renderer makes its preview when it draws a node's background.
  if (images < 2) {
    node.imgs = undefined;
    node.onDrawBackground = () => {};
  } else delete node.onDrawBackground;
}

/**
 * Adds to what an object does under a name; what it did stays.
 * @param {any} object @param {string} name @param {(...values: any[]) => void} action
 */
export function after(object, name, action) {
  const before = object[name];
  object[name] = function (...values) {
    const result = before?.apply(this, values);
    action(...values);
    return result;
  };
}

/** @param {any} node @param {string} name @returns {any} */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** @param {any} node @param {string} name @returns {unknown} */
export function valueOf(node, name) {
  return widgetOf(node, name)?.value;
}

/**
 * Sets a widget as its own control would.
 * @param {any} node @param {string} name @param {unknown} value
 */
export function write(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget || Object.is(widget.value, value)) return;
  const old = widget.value;
  widget.value = value;
  widget.callback?.(widget.value);
  // The frontend's own callback rounds to the decimals that it shows, which are pixels of a large scene.
  if (!Object.is(widget.value, value)) widget.value = value;
  node.onWidgetChanged?.(name, widget.value, old, widget);
  node.setDirtyCanvas?.(true, false);
}
