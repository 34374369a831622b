/** The point picker of Segment: points and a box on the image, kept in the node's text widgets. */

import { Frame } from "./frame.mjs";
import { hideResult, valueOf, write } from "./hosting.mjs";
import { loaded, maskOf, surface } from "./images.mjs";
import * as prompt from "./prompt.mjs";
import { asFile, isLinked, imageAt } from "./sources.mjs";
import { text } from "./texts.mjs";
import { fitted, nearest, toFrame, toImage } from "./view.mjs";

/** @typedef {import("./placement.mjs").Point} Point */
/** @typedef {import("./prompt.mjs").Prompt} Prompt */
/** @typedef {import("./prompt.mjs").Kind} Kind */
/** @typedef {import("./frame.mjs").Touch} Touch */
/** @typedef {import("./images.mjs").Image} Image */
/**
 * A pressed pointer: on a point (its index), or on the image (-1) as a click of that kind or, moved, as a box.
 * @typedef {{ kind: Kind, index: number, from: Point, pressed: Point, moved: boolean }} Press
 */

const MARGIN = 6,
  POINT_REACH = 9,
  CLICK_REACH = 4;
const WIDGETS = { positive: "positive_points", negative: "negative_points", box: "box" };
const COLORS = { positive: "#3ddc84", negative: "#ff5252", box: "#5b9dff", mask: [255, 140, 0, 110] };

/** @type {Map<string, string>} The image that a run showed -> what the input showed then. */
const inputsOfRuns = new Map();

export class PointPicker {
  /** @param {any} node @param {import("./hosting.mjs").Frontend} frontend */
  constructor(node, frontend) {
    this.node = node;
    this.frontend = frontend;
    this.frame = new Frame(this.text("pickerLabel"), this.text("pickerHelp"), {
      draw: (context, size) => this.draw(context, size),
      press: (touch) => this.press(touch),
      drag: ([touch]) => this.drag(touch),
      release: (_, canceled) => this.release(canceled),
      hover: (at) => (at && this.hit(at) ? "move" : "crosshair"),
      key: () => false,
      keysEnd: () => {},
      closed: () => {},
      wheel: () => false,
      enter: () => this.refresh(),
      elsewhere: (event) => frontend.elsewhere(event),
    });
    this.maskButton = this.frame.button(this.text("mask"), this.text("maskHelp"), () => this.toggleMask());
    this.frame.button(this.text("clear"), this.text("clearHelp"), () => this.clear());
    /** @type {Image | null} */
    this.image = null;
    /** @type {CanvasImageSource | null} */
    this.tint = null;
    this.wanted = this.trouble = this.state = "";
    this.inputs = "{}";
    /** @type {Press | null} */
    this.pressing = null;
    /** A box that is being drawn. @type {import("./prompt.mjs").Box | null} */
    this.drawn = null;
    /** Where a point is being carried. @type {Point | null} */
    this.carried = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.images = 0;
    hideResult(node, 0);
  }

  /** @param {import("./texts.mjs").Text} key @param {Record<string, unknown>} [gaps] */
  text(key, gaps) {
    return text(this.frontend.language(), key, gaps);
  }

  /** @returns {Prompt | string} The prompt, or the name of a widget that cannot be read. */
  prompt() {
    const positive = prompt.pointsFrom(valueOf(this.node, WIDGETS.positive));
    const negative = prompt.pointsFrom(valueOf(this.node, WIDGETS.negative));
    const box = prompt.boxFrom(valueOf(this.node, WIDGETS.box));
    if (!positive) return WIDGETS.positive;
    if (!negative) return WIDGETS.negative;
    return box ? { positive, negative, box: box.box } : WIDGETS.box;
  }

  showsMask() {
    return this.node.properties?.phd_mask !== false;
  }

  refresh() {
    const source = imageAt(this.node, "image", this.frontend.outputsOf);
    this.inputs = JSON.stringify(source);
    const output = this.frontend.outputsOf(this.node);
    // Also where a node is made anew, by undo or a reload, and its last run is still known.
    const count = output?.images?.length ?? 0;
    if (count !== this.images) hideResult(this.node, (this.images = count));
    let shown = asFile(output?.images?.[0]);
    const then = shown && inputsOfRuns.get(shown.filename);
    if (then !== undefined && then !== this.inputs) shown = undefined;
    // What was run shows the image too where it comes from elsewhere.
    const wanted = JSON.stringify([source.file ?? shown, shown]);
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.trouble = "";
      this.load(source.file ?? shown, shown, wanted);
    }
    const state = JSON.stringify([this.prompt(), this.showsMask()]);
    if (state !== this.state) {
      this.state = state;
      this.frame.redraw();
    }
    this.tell();
  }

  /**
   * @param {import("./sources.mjs").File | undefined} file @param {import("./sources.mjs").File | undefined} shown
   * @param {string} wanted
   */
  async load(file, shown, wanted) {
    let image = null,
      tint = null,
      trouble = "";
    try {
      image = file ? await loaded(this.frontend.urlOf(file)) : null;
    } catch {
      trouble = this.text("lost", { name: file?.filename });
    }
    // Without its mask an image can still be pointed at.
    const run = shown ? await loaded(this.frontend.urlOf(shown)).catch(() => null) : null;
    if (run) tint = tinted(maskOf(run, "alpha", false));
    if (wanted !== this.wanted) return;
    Object.assign(this, { image, tint, trouble });
    this.frame.redraw();
    this.tell();
  }

  tell() {
    this.maskButton.setAttribute("aria-pressed", String(this.showsMask()));
    this.maskButton.disabled = !this.tint;
    this.frame.say(...this.words());
  }

  /** @returns {[string, "note" | "fault"]} */
  words() {
    const now = this.prompt();
    if (typeof now === "string") {
      return [this.text("badText", { name: now, value: JSON.stringify(valueOf(this.node, now)) }), "fault"];
    }
    if (this.trouble) return [this.trouble, "fault"];
    if (!isLinked(this.node, "image")) return [this.text("noImage"), "note"];
    if (!this.image) return [this.text(JSON.parse(this.inputs).file ? "loading" : "runFirst"), "note"];
    const linked = Object.values(WIDGETS).filter((name) => isLinked(this.node, name));
    if (linked.length) return [this.text("fromLink", { names: linked.join(", ") }), "note"];
    const { width, height } = this.image.size;
    return [`${width}×${height} · +${now.positive.length} −${now.negative.length}${now.box ? " · ▭" : ""}`, "note"];
  }

  /** @param {any} output What the server sent after a run. */
  ran(output) {
    const shown = asFile(output?.images?.[0]);
    if (shown) {
      this.refresh();
      inputsOfRuns.set(shown.filename, this.inputs);
    }
    this.refresh();
  }

  changed() {
    this.refresh();
  }

  /** @param {Partial<Prompt>} change One step of the history, whatever it writes. */
  put(change) {
    this.frontend.transaction(this.node, true);
    try {
      for (const kind of /** @type {const} */ (["positive", "negative"])) {
        const points = change[kind];
        if (points && !isLinked(this.node, WIDGETS[kind])) write(this.node, WIDGETS[kind], prompt.pointsText(points));
      }
      if (change.box !== undefined && !isLinked(this.node, WIDGETS.box)) {
        write(this.node, WIDGETS.box, prompt.boxText(change.box));
      }
    } finally {
      this.frontend.transaction(this.node, false);
    }
    this.refresh();
  }

  clear() {
    this.put({ positive: [], negative: [], box: null });
  }

  toggleMask() {
    this.frontend.transaction(this.node, true);
    this.node.setProperty("phd_mask", !this.showsMask());
    this.frontend.transaction(this.node, false);
    this.refresh();
  }

  /** @param {Point} point of the image @returns {Point} The middle of that pixel in the frame. */
  shownAt({ x, y }) {
    return toFrame(this.view, { x: x + 0.5, y: y + 0.5 });
  }

  /** @param {Point} at @returns {{ kind: Kind, index: number } | null} */
  hit(at) {
    const now = this.prompt();
    if (typeof now === "string") return null;
    for (const kind of /** @type {const} */ (["negative", "positive"])) {
      const index = nearest(
        now[kind].map((point) => this.shownAt(point)),
        at,
        POINT_REACH,
      );
      if (index >= 0) return { kind, index };
    }
    return null;
  }

  /** @param {Touch} touch */
  press({ at, event }) {
    this.refresh();
    const right = event.button === 2;
    if (!this.image || typeof this.prompt() === "string" || this.pressing || (event.button !== 0 && !right))
      return false;
    const from = toImage(this.view, at);
    const { width, height } = this.image.size;
    const hit = this.hit(at);
    if (!hit && (from.x < 0 || from.y < 0 || from.x >= width || from.y >= height)) return false;
    /** @type {Kind} */
    const kind = right || event.shiftKey ? "negative" : "positive";
    this.pressing = { ...(hit ?? { kind, index: -1 }), from, pressed: at, moved: false };
    return true;
  }

  /** @param {Touch} touch */
  drag({ at }) {
    const { pressing, image } = this;
    if (!pressing || !image) return;
    pressing.moved ||= Math.hypot(at.x - pressing.pressed.x, at.y - pressing.pressed.y) > CLICK_REACH;
    if (!pressing.moved) return;
    const to = toImage(this.view, at);
    if (pressing.index < 0) this.drawn = prompt.boxBetween(pressing.from, to, image.size, 1);
    else this.carried = prompt.pixelAt(to, image.size);
    this.frame.redraw();
  }

  /** @param {boolean} canceled */
  release(canceled) {
    const { pressing, drawn, carried, image } = this,
      now = this.prompt();
    this.pressing = this.drawn = this.carried = null;
    if (!pressing || !image || canceled || typeof now === "string") return;
    const { kind, index, moved } = pressing;
    const points = [...now[kind]];
    if (index >= 0 && moved) points.splice(index, 1, carried ?? points[index]);
    else if (index >= 0) points.splice(index, 1);
    else if (!moved) points.push(prompt.pixelAt(pressing.from, image.size));
    else if (drawn) return this.put({ box: drawn });
    this.put({ [kind]: points });
  }

  /** @param {CanvasRenderingContext2D} context @param {import("./placement.mjs").Size} size */
  draw(context, size) {
    if (!this.image) return;
    this.view = fitted(this.image.size, size, MARGIN);
    const { width, height } = this.image.size,
      { x, y, scale } = this.view;
    const whole = /** @type {const} */ ([x, y, width * scale, height * scale]);
    context.imageSmoothingQuality = "high";
    context.drawImage(this.image.bitmap, ...whole);
    if (this.tint && this.showsMask()) context.drawImage(this.tint, ...whole);
    const now = this.prompt();
    if (typeof now === "string") return;
    const box = this.drawn ?? now.box;
    if (box) {
      const corner = toFrame(this.view, box);
      for (const [color, wide] of /** @type {const} */ ([
        ["#000000", 3],
        [COLORS.box, 1.5],
      ])) {
        context.strokeStyle = color;
        context.lineWidth = wide;
        context.strokeRect(corner.x, corner.y, box.width * scale, box.height * scale);
      }
    }
    for (const kind of /** @type {const} */ (["positive", "negative"])) {
      now[kind].forEach((point, index) => {
        const carried = this.carried && this.pressing?.kind === kind && this.pressing.index === index;
        mark(context, this.shownAt(carried && this.carried ? this.carried : point), kind);
      });
    }
  }
}

/** @param {CanvasRenderingContext2D} context @param {Point} at @param {Kind} kind A disc with a plus or a minus. */
function mark(context, { x, y }, kind) {
  context.beginPath();
  context.arc(x, y, 5, 0, 7);
  context.fillStyle = COLORS[kind];
  context.fill();
  context.strokeStyle = "#000000";
  context.lineWidth = 1;
  context.stroke();
  context.beginPath();
  context.moveTo(x - 3, y);
  context.lineTo(x + 3, y);
  if (kind === "positive") {
    context.moveTo(x, y - 3);
    context.lineTo(x, y + 3);
  }
  context.lineWidth = 1.5;
  context.stroke();
}

/** @param {import("./outline.mjs").Mask} mask @returns {HTMLCanvasElement} Color where the mask is. */
function tinted({ data, width, height }) {
  const { canvas, context } = surface(width, height);
  const pixels = context.createImageData(width, height);
  const [red, green, blue, alpha] = COLORS.mask;
  // A plain loop: a million pixels must not hold up the page.
  const shown = pixels.data;
  for (let index = 0, at = 0; index < data.length; index++, at += 4) {
    shown[at] = red;
    shown[at + 1] = green;
    shown[at + 2] = blue;
    shown[at + 3] = (alpha * data[index]) / 255;
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
