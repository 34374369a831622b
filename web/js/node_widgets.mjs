/** The widgets of a node, read and set as the user would. */

/** @param {any} node @param {string} name @returns {any} */
export function widgetOf(node, name) {
  return node.widgets?.find((widget) => widget.name === name);
}

/** @param {any} node @param {string} name @returns {unknown} */
export function valueOf(node, name) {
  return widgetOf(node, name)?.value;
}

/**
 * Sets a widget as its own control in the frontend would: with its callback and the node's.
 * @param {any} node @param {string} name @param {unknown} value
 */
export function setValue(node, name, value) {
  const widget = widgetOf(node, name);
  if (!widget || Object.is(widget.value, value)) return;
  const old = widget.value;
  widget.value = value;
  widget.callback?.(widget.value);
  // The frontend's own callback rounds to the decimals that it shows; in a large scene that is several pixels.
  if (!Object.is(widget.value, value)) widget.value = value;
  node.onWidgetChanged?.(name, widget.value, old, widget);
  node.setDirtyCanvas?.(true, false);
}
