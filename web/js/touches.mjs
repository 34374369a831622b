/** Keeps the touches that an editor follows from the graph, which would zoom by two fingers. */

/** Whether an editor follows a pointer now, by its canvas. @type {WeakMap<EventTarget, () => boolean>} */
const canvases = new WeakMap();
/** The touches that are kept. They are kept until they end, because the graph counts them. @type {Set<number>} */
const kept = new Set();
let listening = false;

/**
 * @param {HTMLCanvasElement} canvas
 * @param {() => boolean} isFollowing whether its editor follows a pointer; pointer events come before touch events
 */
export function keepTouches(canvas, isFollowing) {
  canvases.set(canvas, isFollowing);
  if (listening) return;
  listening = true;
  // In the capture phase: the graph listens to touches there, above the editors.
  for (const name of ["touchstart", "touchmove", "touchend", "touchcancel"])
    window.addEventListener(name, (event) => filter(/** @type {TouchEvent} */ (event)), { capture: true });
}

/** @param {TouchEvent} event */
function filter(event) {
  const ids = [...event.changedTouches].map((touch) => touch.identifier);
  if (event.type === "touchstart" && event.target && canvases.get(event.target)?.()) for (const id of ids) kept.add(id);
  if (!ids.some((id) => kept.has(id))) return;
  event.stopPropagation();
  if (event.type === "touchend" || event.type === "touchcancel") for (const id of ids) kept.delete(id);
}
