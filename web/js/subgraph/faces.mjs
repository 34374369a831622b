/**
 * Editors of nodes inside a subgraph, on the nodes outside that stand for it: wherever all widgets that an editor sets
 * are shown outside. ComfyUI itself shows only its own text areas there, no other element.
 */

import { addEditor, closeEditor, openEditor, refreshAll } from "../dom_widget.mjs";
import { hostInput, isInside, isLinked } from "../graph_links.mjs";
import { setValue, valueOf } from "../node_widgets.mjs";
import { facesOf, widgetsOutside } from "./view.mjs";

/** @typedef {import("../../types").Editor} Editor */

/** The nodes outside that show an editor, by its node as it is seen from there. @type {Map<any, any>} */
const shown = new Map();
/** What shows the state of an editor's button, by its node. @type {WeakMap<any, () => void>} */
const buttons = new WeakMap();

/**
 * Shows editors outside, and no longer where their widgets are not shown there.
 * @param {Map<any, Editor>} editors all that are open, by their nodes
 */
export function updateFaces(editors) {
  /** @type {Map<any, { host: any, editor: Editor }>} */
  const wanted = new Map();
  for (const [node, editor] of editors) {
    if (node.phdInside || !editor.copyFor) continue;
    if (!buttons.has(node) && isInside(node)) buttons.set(node, addButton(node, editor));
    buttons.get(node)?.();
    for (const { host, seen } of facesOf(node, editor.fields)) wanted.set(seen, { host, editor });
  }
  for (const [seen, host] of shown) if (!wanted.has(seen)) close(seen, host, editors.get(seen));
  for (const [seen, { host, editor }] of wanted) {
    const copy = shown.has(seen) ? undefined : editor.copyFor?.(seen);
    if (!copy) continue;
    shown.set(seen, host);
    addEditor(host, copy);
    openEditor(seen, copy);
  }
}

/** @param {any} seen @param {any} host @param {Editor | undefined} editor */
function close(seen, host, editor) {
  shown.delete(seen);
  closeEditor(seen);
  const widget = host.graph && host.widgets.find(({ element }) => element === editor?.frame.element);
  if (widget) host.removeWidget(widget);
}

/**
 * Shows the widgets outside that were hidden inside when they were taken out: the frontend copies that too.
 * @param {Iterable<any>} nodes
 */
export function uncover(nodes) {
  for (const node of nodes) {
    if (!isInside(node)) continue;
    const linked = node.widgets.filter(({ name }) => isLinked(node, name));
    for (const widget of linked.flatMap(({ name }) => widgetsOutside(node, name))) {
      if (!widget.options?.hidden) continue;
      widget.options.hidden = false;
      widget.options = { ...widget.options };
    }
  }
}

/**
 * Adds a button that shows an editor outside too.
 * @param {any} node @param {Editor} editor @returns {() => void} brings it up to date
 */
function addButton(node, editor) {
  const { fields, frame, frontend } = editor;
  const press = frame.showingErrors(() => {
    frontend.transaction(node, true);
    toggleOutside(node, fields);
    frontend.transaction(node, false);
    refreshAll();
  });
  const button = frame.addButton(editor.text("face"), editor.text("faceHelp"), press);
  // ComfyUI's own "Promote Widget" in the node's menu does not work on such a widget, but calls this.
  node.widgets.find(({ element }) => element === frame.element).callback = press;
  return () => {
    button.hidden = !isInside(node);
    button.setAttribute("aria-pressed", String(facesOf(node, fields).length > 0));
  };
}

/**
 * Shows widgets of a node outside, or no longer, where all are shown.
 * @param {any} node @param {string[]} names
 */
function toggleOutside(node, names) {
  const { graph } = node,
    change = names.every((name) => hostInput(node, name)) ? takeIn : putOut;
  for (const name of names) {
    const slot = node.inputs.findIndex((input) => input.name === name);
    change(node, graph, slot, name);
  }
}

/** @param {any} node @param {any} graph @param {number} slot @param {string} name */
function takeIn(node, graph, slot, name) {
  const outside = graph.inputs[node.getInputLink(slot).origin_slot],
    value = valueOf(node, name);
  node.disconnectInput(slot);
  if (!outside.linkIds.length) graph.removeInput(outside);
  setValue(node, name, value);
}

/** @param {any} node @param {any} graph @param {number} slot @param {string} name */
function putOut(node, graph, slot, name) {
  if (isLinked(node, name)) return;
  let free = name;
  while (graph.inputs.some((input) => input.name === free)) free += "_";
  graph.addInput(free, node.inputs[slot].type).connect(node.inputs[slot], node);
}
