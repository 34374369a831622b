/** Attaches an editor, or a line with messages, to its node: a DOM widget without a value of its own. */

import { MessageLine } from "./message_line.mjs";
import { rareWidgets, restUnusedSeed, updateRows } from "./rows.mjs";
import { saidBy } from "./run_messages.mjs";
import { facesOf, insideOf, isInside, toggleOutside } from "./subgraph_faces.mjs";

/** @typedef {import("./input_images.mjs").StoredFile} StoredFile */
/**
 * What editors need of ComfyUI's frontend.
 * @typedef {object} Frontend
 * @property {(file: StoredFile) => string} urlOf
 * @property {(node: any) => Record<string, any> | null} outputsOf the `ui` output of the node's last run
 * @property {(node: any, begins: boolean) => void} transaction changes between begin and end are one undo step
 * @property {(event: WheelEvent | PointerEvent) => void} passToGraph
 * @property {() => boolean} isNodes2 whether Nodes 2.0 draws the nodes, not the classic renderer
 * @property {() => number} zoom of the graph: window pixels per pixel of a node
 * @property {() => string} language such as "en"
 */
/**
 * @typedef {object} Editor
 * @property {import("./editor_frame.mjs").EditorFrame} frame
 * @property {any} node
 * @property {Frontend} frontend
 * @property {string[]} fields the widgets that it sets
 * @property {(node: any) => Editor} [copyFor] another editor, for its node as it is seen from outside a subgraph
 * @property {(key: import("./translations.mjs").TextKey) => string} text
 * @property {() => void} refresh reads the graph again; cheap where nothing changed
 * @property {(() => void)} changed a widget of the node was changed
 * @property {(output: any) => void} ran gets the `ui` output of a run
 */

const MIN_WIDTH = 340;
/** The name of the widget that holds an editor. */
const CANVAS = "phd_canvas";
/** The name that the frontend gives to the text of a running node, which our line shows too. */
const FRONTENDS_TEXT = "$$node-text-preview";

/**
 * The editors of all nodes that are in a graph, by their nodes.
 * @type {Map<any, Editor>}
 */
const openEditors = new Map();
/** The nodes of subgraphs that show editors of nodes inside, by those nodes as they are seen from there. @type {Map<any, any>} */
const faces = new Map();
/** Our nodes without an editor that are in a graph, with their lines. @type {Map<any, MessageLine | null>} */
const openLines = new Map();
/** How to show the widgets of a node that matter, by node. @type {WeakMap<any, () => void>} */
const folds = new WeakMap();
/**
 * The elements of removed nodes, by the node's id. Nodes 2.0 goes on showing an element when undo or a reload removes
 * its node and makes it anew.
 * @type {Map<string, HTMLElement>}
 */
const leftElements = new Map();
let scheduled = 0;
/** How often the graph's zoom is looked at, in milliseconds: Nodes 2.0 has no event for it. */
const ZOOM_MS = 300;
let zoomTimer = 0;

/** Every editor reads the graph again, in the next animation frame. */
export function refreshAll() {
  scheduled ||= requestAnimationFrame(() => {
    scheduled = 0;
    updateFaces();
    takePlaces();
    for (const [node, editor] of openEditors) {
      editor.frame.showingErrors(() => editor.refresh())();
      editor.frame.messages.show(saidBy(node));
      folds.get(node)?.();
    }
    for (const node of openLines.keys()) {
      showLine(node);
      folds.get(node)?.();
    }
  });
}

/**
 * Shows the widgets of a node that matter, from now on.
 * @param {any} node @param {Frontend} frontend @param {() => void} [also] what else depends on the graph
 */
function keepFolded(node, frontend, also = () => {}) {
  const rare = rareWidgets(node);
  restUnusedSeed(node);
  /** What the node was folded for. @type {unknown} */
  let drawn;
  folds.set(node, () => {
    updateRows(node, rare, frontend.isNodes2());
    also();
    fit(node);
  });
  fitted.set(node, node.size[1]);
  folds.get(node)?.();
  // Only the classic renderer calls this. Its menu sets showAdvanced and draws the graph again.
  addHook(node, "onDrawForeground", () => {
    if (drawn === Boolean(node.showAdvanced)) return;
    drawn = Boolean(node.showAdvanced);
    refreshAll();
  });
}

/** The heights that nodes were given here. @type {WeakMap<any, number>} */
const fitted = new WeakMap();

/** Makes a node as high as its widgets need; where the user made it higher, it stays so. @param {any} node */
function fit(node) {
  const [width, height] = node.size,
    [, needed] = node.computeSize();
  const given = fitted.get(node) ?? height + 2;
  if (height >= needed && Math.abs(height - given) > 1) return;
  if (height !== needed) node.setSize([width, needed]);
  fitted.set(node, needed);
}

/** Puts the editors of remade nodes where those of the removed ones are still shown. */
function takePlaces() {
  for (const [id, left] of leftElements) {
    if (!left.isConnected) leftElements.delete(id);
    for (const [node, { frame }] of openEditors) {
      if (placeOf(node) !== id || frame.element.isConnected || !left.isConnected) continue;
      left.replaceWith(frame.element);
      leftElements.delete(id);
    }
  }
}

/** @param {any} node @returns {string} Of the node that shows its editor, the same after undo and a reload. */
function placeOf(node) {
  const host = faces.get(node);
  return host ? `${host.id} ${node.id}` : String(node.id);
}

/** @param {any} node @returns {Editor | undefined} The editor of a node that is in a graph. */
export function editorOf(node) {
  return openEditors.get(node) ?? openEditors.get(insideOf(node));
}

/** Shows editors on the nodes of subgraphs that show their widgets, and no longer on others. */
function updateFaces() {
  /** @type {Map<any, { host: any, editor: Editor }>} */
  const wanted = new Map();
  for (const [node, editor] of openEditors) {
    if (faces.has(node)) continue;
    for (const { host, seen } of facesOf(node, editor.fields)) wanted.set(seen, { host, editor });
  }
  for (const [seen, host] of faces) if (!wanted.has(seen)) closeFace(seen, host);
  for (const [seen, { host, editor }] of wanted)
    if (!faces.has(seen) && editor.copyFor) openFace(host, seen, editor.copyFor(seen));
}

/** @param {any} host @param {any} seen @param {Editor} editor */
function openFace(host, seen, editor) {
  faces.set(seen, host);
  addEditor(host, editor);
  open(seen, editor);
}

/** @param {any} seen @param {any} host */
function closeFace(seen, host) {
  const { element } = editorOf(seen)?.frame ?? {};
  close(seen);
  faces.delete(seen);
  if (host.graph) host.removeWidget(host.widgets.find((widget) => widget.element === element));
}

/** Shows what one of our nodes said last. @param {any} node */
export function showMessages(node) {
  const text = node.widgets?.find((widget) => widget.name === FRONTENDS_TEXT);
  if (text) text.hidden = true;
  const editor = openEditors.get(node);
  if (editor) editor.frame.messages.show(saidBy(node));
  else showLine(node);
}

/**
 * Puts an editor on a new node.
 * @param {any} node @param {Editor} editor @param {Frontend} frontend
 */
export function attachEditor(node, editor, frontend) {
  const { frame } = editor;
  addEditor(node, editor);
  // Above the other widgets. Older frontends leave a hole in a workflow's values for a widget that is not stored, and
  // do not expect one when they read them.
  node.widgets.unshift(node.widgets.pop());
  addHook(node, "onSerialize", (stored) => {
    const values = node.widgets.filter(({ serialize }) => serialize !== false).map(({ value }) => value);
    if (stored.widgets_values) stored.widgets_values = values;
  });
  keepFolded(node, frontend, addFaceButton(node, editor));
  frame.sizeChanged();
  addHook(node, "onAdded", () => {
    open(node, editor);
    refreshAll();
  });
  addHook(node, "onRemoved", () => close(node));
  addHook(node, "onConfigure", refreshAll);
  addHook(node, "onConnectionsChange", refreshAll);
  addHook(
    node,
    "onExecuted",
    frame.showingErrors((output) => editor.ran(output)),
  );
  const changed = frame.showingErrors(() => {
    editor.changed();
    // Editors downstream show it too.
    refreshAll();
  });
  for (const other of node.widgets) if (other.element !== frame.element) addHook(other, "callback", changed);
}

/**
 * Adds a button that shows an editor inside a subgraph outside too.
 * @param {any} node @param {Editor} editor @returns {() => void} shows the button where it is of use
 */
function addFaceButton(node, editor) {
  const { frame, frontend, fields } = editor;
  if (!fields.length) return () => {};
  const button = frame.addButton(editor.text("face"), editor.text("faceHelp"), () => {
    frontend.transaction(node, true);
    toggleOutside(node, fields);
    frontend.transaction(node, false);
    refreshAll();
  });
  return () => {
    button.hidden = !isInside(node);
    button.setAttribute("aria-pressed", String(facesOf(node, fields).length > 0));
  };
}

/** Adds an editor's element to a node that shows it. @param {any} node @param {Editor} editor */
function addEditor(node, editor) {
  const { frame } = editor;
  // The frontend finds elements by their names.
  const isFirst = !node.widgets?.some(({ name }) => name === CANVAS);
  frame.sizeChanged = addElement(node, isFirst ? CANVAS : `${CANVAS}_${editor.node.id}`, frame.element, {
    getMinHeight: () => frame.heightIn(node.size[0]),
    // The classic renderer draws after every change, also of nodes upstream.
    onDraw: frame.showingErrors(() => editor.refresh()),
  });
  node.setSize([Math.max(node.size[0], MIN_WIDTH), node.size[1]]);
}

/** @param {any} node @param {Editor} editor */
function open(node, editor) {
  openEditors.set(node, editor);
  editor.frame.open();
  zoomTimer ||= window.setInterval(() => {
    for (const each of openEditors.values()) each.frame.zoomedTo(editor.frontend.zoom());
  }, ZOOM_MS);
}

/** @param {any} node */
function close(node) {
  const frame = openEditors.get(node)?.frame;
  if (!frame) return;
  openEditors.delete(node);
  leftElements.set(placeOf(node), frame.element);
  frame.close();
}

/** Gives a node without an editor a line for its messages, as soon as it has one. @param {any} node @param {Frontend} frontend */
export function attachMessages(node, frontend) {
  keepFolded(node, frontend);
  for (const widget of node.widgets ?? []) addHook(widget, "callback", refreshAll);
  addHook(node, "onAdded", () => {
    openLines.set(node, null);
    refreshAll();
  });
  addHook(node, "onRemoved", () => openLines.delete(node));
}

/** @param {any} node */
function showLine(node) {
  const said = saidBy(node);
  let line = openLines.get(node);
  if (!line && (!said?.text || !openLines.has(node))) return;
  if (!line) {
    line = new MessageLine(() => {});
    openLines.set(node, line);
    const made = line;
    line.sizeChanged = addElement(node, "phd_messages", line.element, {
      getMinHeight: () => made.heightIn(node.size[0] - 24),
      getMaxHeight: () => made.heightIn(node.size[0] - 24),
    });
  }
  line.show(said);
}

/**
 * Adds an element to a node.
 * @param {any} node @param {string} name @param {HTMLElement} element @param {Record<string, any>} options
 * @returns {() => void} makes the node as high as the element needs
 */
function addElement(node, name, element, options) {
  const widget = node.addDOMWidget(name, name.toUpperCase(), element, {
    serialize: false,
    hideOnZoom: false,
    getValue: () => "",
    setValue: () => {},
    ...options,
  });
  // Its numbers are in the other widgets: neither the prompt nor the workflow file stores this one.
  widget.serialize = false;
  return () => {
    element.style.minHeight = `${options.getMinHeight()}px`;
    fit(node);
  };
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
export function addHook(object, name, action) {
  const original = object[name];
  object[name] = function (...values) {
    const result = original?.apply(this, values);
    action(...values);
    return result;
  };
}
