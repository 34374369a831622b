/**
 * The element that an editor lives in: a canvas, a row of buttons and a line of words. It draws when asked to, at most
 * once a frame, and tells pointers in its own pixels whatever the graph's zoom. It knows no app.
 */

/** @typedef {import("./placement.mjs").Point} Point */
/**
 * A pointer on the canvas, in CSS pixels of the frame.
 * @typedef {{ id: number, at: Point, event: PointerEvent }} Touch
 */
/**
 * @typedef {object} Handlers
 * @property {(context: CanvasRenderingContext2D, size: { width: number, height: number }) => void} draw
 * @property {(touch: Touch) => boolean} press whether the pointer is taken; it is followed until it is released
 * @property {(touches: Touch[]) => void} drag all taken pointers, at most once a frame
 * @property {(touch: Touch, canceled: boolean) => void} release
 * @property {(at: Point | null, event: PointerEvent | null) => string} hover gives the cursor's shape
 * @property {(event: KeyboardEvent) => boolean} key whether it is taken
 * @property {() => void} keysEnd the keyboard was let go
 * @property {() => void} closed whatever was begun must end
 * @property {(event: WheelEvent) => boolean} wheel whether it is taken
 * @property {() => void} enter the pointer came
 * @property {(event: WheelEvent | PointerEvent) => void} elsewhere the graph's own: wheel and middle button
 */

const STYLE = `
.phd-editor { display: flex; flex-direction: column; gap: 4px; width: 100%; height: 100%; min-height: 0;
  box-sizing: border-box; overflow: hidden; font: 11px/1.3 system-ui, sans-serif; color: var(--input-text, #ddd); }
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
.phd-editor .phd-words { flex: 1 1 110px; min-width: 0; max-height: 3.9em; overflow: hidden; text-align: right;
  opacity: 0.85; }
.phd-editor .phd-words[data-kind="fault"] { flex-basis: 100%; text-align: left; opacity: 1;
  color: color-mix(in srgb, #ff4d4d 75%, var(--input-text, #ddd)); }
`;
const MOST_PIXEL_RATIO = 3;
/** The middle button among those that are held. */
const MIDDLE = 4;

function addStyle() {
  if (document.getElementById("phd-editor-style")) return;
  const style = document.createElement("style");
  style.id = "phd-editor-style";
  style.textContent = STYLE;
  document.head.append(style);
}

export class Frame {
  /** @param {string} label @param {string} help @param {Handlers} handlers */
  constructor(label, help, handlers) {
    addStyle();
    this.handlers = /** @type {Handlers} */ (
      Object.fromEntries(Object.entries(handlers).map(([name, handler]) => [name, this.guarded(handler)]))
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
    this.words = document.createElement("span");
    this.words.className = "phd-words";
    this.words.setAttribute("role", "status");
    this.bar.append(this.words);
    this.element.append(this.canvas, this.bar);
    /** @type {Map<number, Touch>} */
    this.touches = new Map();
    this.dragged = false;
    this.scheduled = 0;
    this.drawn = false;
    this.observer = new ResizeObserver(() => this.redraw());
    this.listen();
  }

  /**
   * An action that says in place what went wrong, where it would throw into the frontend.
   * @template {(...values: any[]) => any} Action
   * @param {Action} action
   * @returns {(...values: Parameters<Action>) => ReturnType<Action> | undefined}
   */
  guarded(action) {
    return (...values) => {
      try {
        return action(...values);
      } catch (error) {
        this.say(String(error), "fault");
        return undefined;
      }
    };
  }

  /** @param {string} name @param {string} help @param {() => void} action */
  button(name, help, action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = help;
    button.addEventListener("click", this.guarded(action));
    this.words.before(button);
    return button;
  }

  /** @param {string} words @param {"note" | "fault"} kind */
  say(words, kind = "note") {
    if (this.words.textContent === words && this.words.dataset.kind === kind) return;
    this.words.textContent = words;
    this.words.title = words;
    this.words.dataset.kind = kind;
  }

  /** Begins to follow the element's size. */
  open() {
    this.observer.observe(this.canvas);
  }

  /** Lets go of everything outside the element. */
  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.scheduled);
    this.scheduled = 0;
    window.removeEventListener("wheel", this.onWheel, { capture: true });
    for (const touch of [...this.touches.values()]) this.letGo(touch, true);
    this.handlers.closed();
  }

  /** Draws in the next frame. */
  redraw() {
    this.drawn = false;
    this.scheduled ||= requestAnimationFrame(() => this.frame());
  }

  frame() {
    this.scheduled = 0;
    if (this.dragged) {
      this.dragged = false;
      this.handlers.drag([...this.touches.values()]);
    }
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (this.drawn || !width || !height) return;
    this.drawn = true;
    // As many pixels as the screen shows, also where the graph is zoomed in.
    const zoom = this.canvas.getBoundingClientRect().width / width;
    const ratio = Math.min(Math.ceil(4 * Math.max(zoom, 1) * window.devicePixelRatio) / 4, MOST_PIXEL_RATIO);
    const pixels = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
    if (this.canvas.width !== pixels.width) this.canvas.width = pixels.width;
    if (this.canvas.height !== pixels.height) this.canvas.height = pixels.height;
    const context = this.canvas.getContext("2d");
    if (!context) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.handlers.draw(context, { width, height });
  }

  /** @param {MouseEvent} event @returns {Point} */
  place(event) {
    const rectangle = this.canvas.getBoundingClientRect();
    const zoom = rectangle.width / this.canvas.clientWidth || 1;
    return { x: (event.clientX - rectangle.left) / zoom, y: (event.clientY - rectangle.top) / zoom };
  }

  listen() {
    const { canvas, handlers } = this;
    canvas.addEventListener("pointerdown", (event) => {
      // The middle button, and the left one while the graph is panned, belong to the graph.
      if (event.button === 1) return;
      event.stopPropagation();
      canvas.focus({ preventScroll: true });
      const touch = { id: event.pointerId, at: this.place(event), event };
      if (!handlers.press(touch)) return;
      this.touches.set(touch.id, touch);
      canvas.setPointerCapture(event.pointerId);
      this.redraw();
    });
    canvas.addEventListener("pointermove", (event) => {
      const touch = this.touches.get(event.pointerId);
      if (!touch) {
        if (event.buttons === 0) canvas.style.cursor = handlers.hover(this.place(event), event);
        return;
      }
      event.stopPropagation();
      [touch.at, touch.event] = [this.place(event), event];
      this.dragged = true;
      this.scheduled ||= requestAnimationFrame(() => this.frame());
    });
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, (event) => {
        const touch = this.touches.get(event.pointerId);
        if (!touch) return;
        event.stopPropagation();
        if (name === "pointerup") touch.at = this.place(event);
        touch.event = event;
        this.letGo(touch, name === "pointercancel");
      });
    }
    canvas.addEventListener("pointerenter", () => {
      handlers.enter();
      // On the window and early: Nodes 2.0 takes the wheel for the graph before it reaches a widget.
      window.addEventListener("wheel", this.onWheel, { capture: true, passive: false });
    });
    canvas.addEventListener("pointerleave", () => {
      window.removeEventListener("wheel", this.onWheel, { capture: true });
      handlers.hover(null, null);
    });
    // Where the graph's canvas lies behind the element, it gets what is not the editor's.
    this.element.addEventListener("wheel", (event) => handlers.elsewhere(event), { passive: false });
    for (const name of /** @type {const} */ (["pointerdown", "pointermove", "pointerup"])) {
      this.element.addEventListener(name, (event) => {
        if (name === "pointermove" ? event.buttons & MIDDLE : event.button === 1) handlers.elsewhere(event);
      });
    }
    canvas.addEventListener("contextmenu", (event) => {
      event.preventDefault();
      event.stopPropagation();
    });
    canvas.addEventListener("keydown", (event) => {
      if (!handlers.key(event)) return;
      event.preventDefault();
      event.stopPropagation();
    });
    canvas.addEventListener("keyup", () => handlers.keysEnd());
    canvas.addEventListener("blur", () => handlers.keysEnd());
  }

  /** @param {WheelEvent} event */
  onWheel = (event) => {
    if (event.target !== this.canvas || !this.handlers.wheel(event)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  };

  /** @param {Touch} touch @param {boolean} canceled */
  letGo(touch, canceled) {
    if (this.dragged) {
      this.dragged = false;
      this.handlers.drag([...this.touches.values()]);
    }
    this.touches.delete(touch.id);
    this.handlers.release(touch, canceled);
    this.redraw();
  }
}
