/** Attaches an editor, or a line with messages, to its node: a DOM widget without a value of its own. */

import { isInside } from "./graph_links.mjs";
import { MessageLine } from "./message_line.mjs";
import { rareWidgets, restUnusedSeed, updateRows } from "./rows.mjs";
import { saidBy } from "./run_messages.mjs";

/** @import { Editor, Frontend } from "../types" */

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
/** Our nodes without an editor that are in a graph, with their lines. @type {Map<any, MessageLine | null>} */
const openLines = new Map();
/** How to show the widgets of a node that matter, by node. @type {WeakMap<any, () => void>} */
const folds = new WeakMap();
/** The heights that nodes were given here. @type {WeakMap<any, number>} */
const givenHeights = new WeakMap();
/**
 * The elements of removed nodes. Nodes 2.0 goes on showing an element when undo or a reload removes its node and makes it
 * anew.
 * @type {Set<HTMLElement>}
 */
const leftElements = new Set();
let scheduled = 0;
/** Shows editors outside of subgraphs too; loaded where one is inside. @type {import("./subgraph/faces.mjs") | null} */
let faces = null;
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

/** Shows the widgets of a node that matter, from now on. @param {any} node @param {Frontend} frontend */
function keepFolded(node, frontend) {
  const rare = rareWidgets(node);
  restUnusedSeed(node);
  /** What the node was folded for. @type {unknown} */
  let drawn;
  folds.set(node, () => {
    updateRows(node, rare, frontend.isNodes2());
    fit(node);
  });
  givenHeights.set(node, node.size[1]);
  folds.get(node)?.();
  // Only the classic renderer calls this. Its menu sets showAdvanced and draws the graph again.
  addHook(node, "onDrawForeground", () => {
    if (drawn === Boolean(node.showAdvanced)) return;
    drawn = Boolean(node.showAdvanced);
    refreshAll();
  });
}

/** Makes a node as high as its widgets need; where the user made it higher, it stays so. @param {any} node */
function fit(node) {
  const [width, height] = node.size,
    [, needed] = node.computeSize();
  const given = givenHeights.get(node) ?? height + 2;
  if (height >= needed && Math.abs(height - given) > 1) return;
  if (height !== needed) node.setSize([width, needed]);
  givenHeights.set(node, needed);
}

/** Puts the editors of remade nodes where those of the removed ones are still shown. */
function takePlaces() {
  for (const left of leftElements) {
    if (!left.isConnected) leftElements.delete(left);
    for (const { frame } of openEditors.values()) {
      const { element } = frame;
      if (element.dataset.place !== left.dataset.place || element.isConnected || !left.isConnected) continue;
      left.replaceWith(element);
      leftElements.delete(left);
    }
  }
}

/** @param {any} node @returns {string} What names the node that shows an editor, the same after undo and a reload. */
function placeOf({ graph, id }) {
  return graph?.phdHost ? `${placeOf(graph.phdHost)} ${id}` : String(id);
}

/** @param {any} node @returns {Editor | undefined} The editor of a node that is in a graph. */
export function editorOf(node) {
  return openEditors.get(node) ?? openEditors.get(node.phdInside);
}

/** Shows editors outside of subgraphs, where their widgets are. */
async function updateFaces() {
  const ours = [...openEditors.keys(), ...openLines.keys()];
  if (!faces && !ours.some(isInside)) return;
  const isNew = !faces;
  faces ??= await import("./subgraph/faces.mjs");
  faces.updateFaces(openEditors);
  faces.uncover(ours);
  if (isNew) refreshAll();
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
  keepFolded(node, frontend);
  frame.sizeChanged();
  addHook(node, "onAdded", () => {
    openEditor(node, editor);
    refreshAll();
  });
  addHook(node, "onRemoved", () => closeEditor(node));
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

/** Adds an editor's element to a node that shows it. @param {any} node @param {Editor} editor */
export function addEditor(node, editor) {
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
export function openEditor(node, editor) {
  openEditors.set(node, editor);
  editor.frame.element.dataset.place = placeOf(node);
  editor.frame.open();
  zoomTimer ||= window.setInterval(() => {
    for (const each of openEditors.values()) each.frame.zoomedTo(editor.frontend.zoom());
  }, ZOOM_MS);
}

/** @param {any} node */
export function closeEditor(node) {
  const frame = openEditors.get(node)?.frame;
  if (!frame) return;
  openEditors.delete(node);
  leftElements.add(frame.element);
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
function addHook(object, name, action) {
  const original = object[name];
  object[name] = function (...values) {
    const result = original?.apply(this, values);
    action(...values);
    return result;
  };
}
