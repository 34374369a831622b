/**
 * The element that an editor lives in: a canvas, a row of buttons, a status line, and a line with the messages of the
 * last run. It draws on request, at most once per animation frame, and gives pointer positions in its own pixels at any
 * zoom of the graph. It knows nothing of ComfyUI.
 */

import { LargeView } from "./large_view.mjs";
import { MessageLine } from "./message_line.mjs";
import { addStyle } from "./page_style.mjs";
import { keepTouches } from "./touches.mjs";

/** @import { Point } from "./placement.mjs" */
/** @import { EditorPointer, Handlers } from "../types" */

const STYLE = `
.phd-editor { display: flex; flex-direction: column; gap: 4px; width: 100%; height: 100%; box-sizing: border-box;
  overflow: hidden; font: 11px/1.3 system-ui, sans-serif; color: var(--input-text, #ddd); }
.phd-editor canvas { flex: 1 1 0; min-height: 120px; width: 100%; display: block; touch-action: none; outline: none;
  border-radius: 6px; background: var(--comfy-input-bg, #222); }
.phd-editor canvas:focus-visible { box-shadow: inset 0 0 0 2px var(--p-primary-color, #5b9dff); }
.phd-editor .phd-bar { display: flex; flex-wrap: wrap; gap: 2px 4px; align-items: center; flex: none;
  min-height: 22px; }
.phd-editor button { flex: none; font: inherit; color: inherit; cursor: pointer; padding: 2px 7px; border-radius: 4px;
  border: 1px solid var(--border-color, #4e4e4e); background: var(--comfy-input-bg, #222); white-space: nowrap; }
.phd-editor button[aria-pressed="true"] { border-color: var(--p-primary-color, #5b9dff); }
.phd-editor button:disabled { opacity: 0.45; cursor: default; }
.phd-editor button[hidden] { display: none; }
.phd-editor button.phd-enlarge { order: 1; }
.phd-editor .phd-status { order: 2; flex: 1 1 110px; min-width: 0; max-height: 3.9em; overflow: hidden; text-align: right;
  opacity: 0.85; }
.phd-editor:not([data-image]) .phd-status { flex-basis: 100%; text-align: left; }
.phd-editor .phd-status[data-kind="error"] { flex-basis: 100%; text-align: left; opacity: 1;
  color: color-mix(in srgb, #ff4d4d 75%, var(--input-text, #ddd)); }
`;
const MAX_PIXEL_RATIO = 3;
/** The sides of the canvas, in CSS pixels: what it asks for at least, and what is around it in a node. */
const LEAST_CANVAS = 150,
  BESIDE_CANVAS = 30,
  BELOW_CANVAS = 30;
/** A taller image than this share of the node's width is shown smaller. */
const TALLEST = 1.2;
/** The middle button in `PointerEvent.buttons`. */
const MIDDLE = 4;

export class EditorFrame {
  /**
   * @param {string} label @param {string} help @param {Handlers} handlers
   * @param {[string, string]} large name and help of the button that opens the editor in a large window
   */
  constructor(label, help, handlers, large) {
    addStyle("phd-editor-style", STYLE);
    this.handlers = /** @type {Handlers} */ (
      Object.fromEntries(Object.entries(handlers).map(([name, handler]) => [name, this.showingErrors(handler)]))
    );
    this.element = document.createElement("div");
    this.element.className = "phd-editor";
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.title = help;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", label);
    this.bar = document.createElement("div");
    this.bar.className = "phd-bar";
    this.status = document.createElement("span");
    this.status.className = "phd-status";
    this.status.setAttribute("role", "status");
    this.bar.append(this.status);
    this.messages = new MessageLine(() => this.sizeChanged());
    this.element.append(this.canvas, this.bar, this.messages.element);
    this.large = new LargeView(this.element);
    this.addButton(...large, () => this.large.open()).className = "phd-enlarge";
    /** @type {Map<number, EditorPointer>} */
    this.pointers = new Map();
    this.dragged = false;
    this.scheduled = 0;
    this.drawn = false;
    this.drawnZoom = 1;
    /** Height over width of what is shown; 0 where that is not known. */
    this.aspect = 0;
    /** The height of what an editor adds below the canvas, in CSS pixels. */
    this.extra = 0;
    /** The node must give the element another height. */
    this.sizeChanged = () => {};
    this.rightButtonUsed = false;
    this.observer = new ResizeObserver(() => this.redraw());
    this.listen();
  }

  /**
   * Wraps an action: an error that it throws is shown in the status line instead of reaching the frontend.
   * @template {(...values: any[]) => any} Action
   * @param {Action} action
   * @returns {(...values: Parameters<Action>) => ReturnType<Action> | undefined}
   */
  showingErrors(action) {
    return (...values) => {
      try {
        return action(...values);
      } catch (error) {
        this.showStatus(String(error), "error");
        return undefined;
      }
    };
  }

  /** @param {string} name @param {string} help @param {() => void} action */
  addButton(name, help, action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = help;
    button.addEventListener("click", this.showingErrors(action));
    this.status.before(button);
    return button;
  }

  /** @param {string} text @param {"note" | "error"} kind */
  showStatus(text, kind = "note") {
    if (this.status.textContent === text && this.status.dataset.kind === kind) return;
    this.status.textContent = text;
    this.status.title = text;
    this.status.dataset.kind = kind;
  }

  /** The image that is shown, whose shape the canvas takes. @param {import("./placement.mjs").Size | null} image */
  showsImage(image) {
    const aspect = image ? image.height / image.width : 0;
    if (aspect === this.aspect) return;
    this.aspect = aspect;
    this.element.toggleAttribute("data-image", Boolean(image));
    this.sizeChanged();
  }

  /** @param {number} width of the node @returns {number} The height that the element needs, in CSS pixels. */
  heightIn(width) {
    const across = Math.max(width - BESIDE_CANVAS, LEAST_CANVAS);
    const canvas = Math.max(LEAST_CANVAS, Math.min(across * this.aspect, across * TALLEST));
    return Math.round(canvas + BELOW_CANVAS + this.extra + this.messages.heightIn(across));
  }

  /** Draws again where the graph is shown larger or smaller than when the canvas was drawn. @param {number} zoom */
  zoomedTo(zoom) {
    if (zoom === this.drawnZoom) return;
    this.drawnZoom = zoom;
    this.redraw();
  }

  /** Starts to follow the element's size. */
  open() {
    this.observer.observe(this.canvas);
  }

  /** Removes every listener outside the element, and ends what its pointers began. */
  close() {
    this.observer.disconnect();
    this.large.close();
    cancelAnimationFrame(this.scheduled);
    this.scheduled = 0;
    window.removeEventListener("wheel", this.onWheel, { capture: true });
    for (const pointer of [...this.pointers.values()]) this.releasePointer(pointer, true);
    this.handlers.closed();
  }

  /** Draws in the next animation frame. */
  redraw() {
    this.drawn = false;
    this.scheduled ||= requestAnimationFrame(() => this.animate());
  }

  /** One animation frame: reports a drag, then draws if anything changed. */
  animate() {
    this.scheduled = 0;
    this.reportDrag();
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.drawn || !width || !height) return;
    this.drawn = true;
    // As many pixels as the screen shows, also where the graph is zoomed in.
    const zoom = this.canvas.getBoundingClientRect().width / width;
    const ratio = Math.min(Math.ceil(4 * Math.max(zoom, 1) * window.devicePixelRatio) / 4, MAX_PIXEL_RATIO);
    const pixels = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    if (this.canvas.width !== pixels.width) this.canvas.width = pixels.width;
    if (this.canvas.height !== pixels.height) this.canvas.height = pixels.height;
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.handlers.draw(context, { width, height });
  }

  /** @param {MouseEvent} event @returns {Point} Its position in CSS pixels of the canvas. */
  positionOf(event) {
    const rectangle = this.canvas.getBoundingClientRect();
    const zoom = rectangle.width / this.canvas.clientWidth || 1;
    return { x: (event.clientX - rectangle.left) / zoom, y: (event.clientY - rectangle.top) / zoom };
  }

  listen() {
    this.listenToPointers();
    this.listenToHover();
    this.listenForGraph();
    this.listenToKeyboard();
  }

  listenToPointers() {
    const { canvas, handlers } = this;
    canvas.addEventListener("pointerdown", (event) => {
      // The middle button belongs to the graph, and so does the right one where the editor has no use for it.
      if (event.button === 1) return;
      const pointer = { id: event.pointerId, at: this.positionOf(event), event };
      const used = handlers.press(pointer);
      this.rightButtonUsed = Boolean(used) && event.button === 2;
      if (event.button === 2 && !used) return;
      event.stopPropagation();
      canvas.focus({ preventScroll: true });
      if (!used) return;
      this.pointers.set(pointer.id, pointer);
      canvas.setPointerCapture(event.pointerId);
      this.redraw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const pointer = this.pointers.get(event.pointerId);
      if (!pointer) {
        if (event.buttons === 0) canvas.style.cursor = handlers.hover(this.positionOf(event), event);
        return;
      }
      event.stopPropagation();
      [pointer.at, pointer.event] = [this.positionOf(event), event];
      this.dragged = true;
      this.scheduled ||= requestAnimationFrame(() => this.animate());
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, (event) => {
        const pointer = this.pointers.get(event.pointerId);
        if (!pointer) return;
        event.stopPropagation();
        if (name === "pointerup") pointer.at = this.positionOf(event);
        pointer.event = event;
        this.releasePointer(pointer, name === "pointercancel");
      });
    }
  }

  listenToHover() {
    const { canvas, handlers } = this;
    canvas.addEventListener("pointerenter", () => {
      handlers.enter();
      // On the window and in the capture phase: Nodes 2.0 gives the wheel to the graph before it reaches a widget.
      window.addEventListener("wheel", this.onWheel, { capture: true, passive: false });
    });
    canvas.addEventListener("pointerleave", () => {
      window.removeEventListener("wheel", this.onWheel, { capture: true });
      handlers.hover(null, null);
    });
  }

  /** Passes on what the graph needs: in the classic renderer its canvas lies behind the element. */
  listenForGraph() {
    const { element, handlers } = this;
    element.addEventListener("wheel", (event) => handlers.passToGraph(event), { passive: false });
    for (const name of /** @type {const} */ (["pointerdown", "pointermove", "pointerup"])) {
      element.addEventListener(name, (event) => {
        if (name === "pointermove" ? event.buttons & MIDDLE : event.button > 0) handlers.passToGraph(event);
      });
    }
    element.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      if (this.rightButtonUsed) event.stopPropagation();
    });
    keepTouches(this.canvas, () => this.pointers.size > 0);
  }

  listenToKeyboard() {
    const { canvas, handlers } = this;
    canvas.addEventListener("keydown", (event) => {
      if (!handlers.key(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    canvas.addEventListener("keyup", () => handlers.keyboardReleased());
    canvas.addEventListener("blur", () => handlers.keyboardReleased());
  }

  /** @param {WheelEvent} event */
  onWheel = (event) => {
    if (event.target !== this.canvas || !this.handlers.wheel(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  reportDrag() {
    if (!this.dragged) return;
    this.dragged = false;
    this.handlers.drag([...this.pointers.values()]);
  }

  /** @param {EditorPointer} pointer @param {boolean} canceled */
  releasePointer(pointer, canceled) {
    this.reportDrag();
    this.pointers.delete(pointer.id);
    this.handlers.release(pointer, canceled);
    this.redraw();
  }
}
