/** Adds styles to the page once. @param {string} id of the style element @param {string} style */
export function addStyle(id, style) {
  if (document.getElementById(id)) return;
  const element = document.createElement("style");
  element.id = id;
  element.textContent = style;
  document.head.append(element);
}
