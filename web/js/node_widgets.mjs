/** The widgets of a node, read and set as the user would. */

import { hostInput, isLinked, originOf } from "./graph_links.mjs";

/** @param {any} node @param {string} name @returns {any} */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/**
 * The node and the widget that a value comes from: the node's own, or that of the subgraph around it that shows the
 * widget outside. Null where another node gives the value.
 * @param {any} node @param {string} name
 * @returns {{ node: any, widget: any } | null}
 */
export function sourceOf(node, name) {
  for (let depth = 0; depth < 20; depth++) {
    const widget = widgetOf(node, name);
    if (!isLinked(node, name)) return widget ? { node, widget } : null;
    const outside = hostInput(node, name);
    if (!outside) return null;
    ({ node, name } = outside);
  }
  return null;
}

/** @param {any} node @param {string} name @returns {string} The name of an input as its node shows it. */
export function shownName(node, name) {
  const slot = node.inputs?.find((input) => input.name === name);
  return slot?.label ?? slot?.localized_name ?? name;
}

/** @param {any} node @param {string} name Whether another node gives the value of a widget. */
export function isFixed(node, name) {
  return isLinked(node, name) && !sourceOf(node, name);
}

/** @param {any} node @param {string} name @returns {any} What a link gives, where that is known without a run. */
export function linkedValue(node, name) {
  const from = originOf(node, name)?.node;
  return from?.type.startsWith("Primitive") ? from.widgets?.[0]?.value : undefined;
}

/** @param {any} node @param {string} name @returns {unknown} */
export function valueOf(node, name) {
  const source = sourceOf(node, name);
  return source ? source.widget.value : (linkedValue(node, name) ?? widgetOf(node, name)?.value);
}

/**
 * Sets a widget as its own control in the frontend would: with its callback and the node's.
 * @param {any} node @param {string} name @param {unknown} value
 */
export function setValue(node, name, value) {
  const source = sourceOf(node, name);
  if (!source || Object.is(source.widget.value, value)) return;
  const { node: owner, widget } = source;
  const old = widget.value;
  widget.value = value;
  widget.callback?.(widget.value);
  // The frontend's own callback rounds to the decimals that it shows; in a large scene that is several pixels.
  if (!Object.is(widget.value, value)) widget.value = value;
  owner.onWidgetChanged?.(widget.name, widget.value, old, widget);
  owner.setDirtyCanvas?.(true, false);
}
