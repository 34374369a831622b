/** The point picker of Segment: points and a box on the image, stored in the node's text widgets. */

import { hidePreview } from "./dom_widget.mjs";
import { EditorFrame } from "./editor_frame.mjs";
import { isLinked, originOf } from "./graph_links.mjs";
import { loadImage, maskOf } from "./images.mjs";
import { asFile, imageAtInput } from "./input_images.mjs";
import { paintMask, shownMask } from "./mask_overlay.mjs";
import { isFixed, setValue, shownName, valueOf } from "./node_widgets.mjs";
import { RecentMap } from "./recent_map.mjs";
import * as prompt from "./segment_prompt.mjs";
import { translate } from "./translations.mjs";
import { fitted, nearest, toFrame, toImage } from "./view_transform.mjs";

/** @import { Point } from "./placement.mjs" */
/** @import { Kind, Prompt } from "./segment_prompt.mjs" */
/** @import { EditorPointer, StoredFile } from "../types" */
/** @import { LoadedImage } from "./images.mjs" */
/**
 * A pressed pointer: on a point (its index), or on the image (-1), for a new point of that kind or a new box.
 * @typedef {{ kind: Kind, index: number, from: Point, pressed: Point, moved: boolean }} Press
 */

const MARGIN = 6,
  POINT_REACH = 9,
  CLICK_REACH = 4;
const WIDGETS = { positive: "positive_points", negative: "negative_points", box: "box" };
const COLORS = { positive: "#3ddc84", negative: "#ff5252", box: "#5b9dff" };

/** How many runs are remembered, of all nodes together. */
const MAX_RUNS = 128;

export class PointPicker {
  /**
   * The file that a run stored -> the node's input in that run. Not in the picker, because undo and a reload of the
   * workflow make the node and its picker anew.
   * @type {RecentMap<string, string>}
   */
  static runs = new RecentMap(MAX_RUNS);

  /** @param {any} node @param {import("../types").Frontend} frontend */
  constructor(node, frontend) {
    this.node = node;
    this.frontend = frontend;
    this.frame = new EditorFrame(
      this.text("pickerLabel"),
      this.text("pickerHelp"),
      {
        draw: (context, size) => this.draw(context, size),
        press: (pointer) => this.press(pointer),
        drag: ([pointer]) => this.drag(pointer),
        release: (_, canceled) => this.release(canceled),
        hover: (at) => (at && this.hit(at) ? "move" : "crosshair"),
        key: () => false,
        keyboardReleased: () => {},
        closed: () => {},
        wheel: () => false,
        enter: () => this.refresh(),
        passToGraph: (event) => frontend.passToGraph(event),
      },
      [this.text("large"), this.text("largeHelp")],
    );
    this.maskButton = this.frame.addButton(this.text("mask"), this.text("maskHelp"), () => this.toggleMask());
    this.frame.addButton(this.text("clear"), this.text("clearHelp"), () => this.clear());
    /** @type {LoadedImage | null} */
    this.image = null;
    /** The mask of the last run: dark where it is 0, and its outlines. @type {import("./mask_overlay.mjs").ShownMask | null} */
    this.mask = null;
    /** What is loaded or being loaded, as JSON. */
    this.wanted = "";
    /** What was drawn last, as JSON. */
    this.drawnState = "";
    this.loadError = "";
    this.inputs = "{}";
    /** @type {Press | null} */
    this.pressing = null;
    /** The box that is being dragged. @type {import("./segment_prompt.mjs").Box | null} */
    this.newBox = null;
    /** Where a point is being dragged to. @type {Point | null} */
    this.movedTo = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.images = 0;
    hidePreview(node, 0);
  }

  fields = Object.values(WIDGETS);

  /** @param {any} node */
  copyFor(node) {
    return new PointPicker(node, this.frontend);
  }

  /** @param {import("./translations.mjs").TextKey} key @param {Record<string, unknown>} [values] */
  text(key, values) {
    return translate(this.frontend.language(), key, values);
  }

  /** @param {string[]} inputs @returns {string} Their names as the node shows them. */
  names(inputs) {
    return inputs.map((name) => shownName(this.node, name)).join(", ");
  }

  /** @returns {Prompt | string} The prompt, or the name of a widget that cannot be parsed. */
  prompt() {
    const size = this.image?.size ?? null;
    const positive = prompt.pointsFrom(valueOf(this.node, WIDGETS.positive), size);
    const negative = prompt.pointsFrom(valueOf(this.node, WIDGETS.negative), size);
    const box = prompt.boxFrom(valueOf(this.node, WIDGETS.box), size);
    if (!positive) return WIDGETS.positive;
    if (!negative) return WIDGETS.negative;
    return box ? { positive, negative, box: box.box } : WIDGETS.box;
  }

  showsMask() {
    return this.node.properties?.phd_mask !== false;
  }

  refresh() {
    const source = imageAtInput(this.node, "image", this.frontend.outputsOf);
    this.inputs = JSON.stringify(source);
    const output = this.frontend.outputsOf(this.node);
    // Also for a node that undo or a reload made anew: the frontend still has the output of its last run.
    const count = output?.images?.length ?? 0;
    if (count !== this.images) hidePreview(this.node, (this.images = count));
    let stored = asFile(output?.images?.[0]);
    const inputs = stored && PointPicker.runs.get(stored.filename);
    if (inputs !== undefined && inputs !== this.inputs) stored = undefined;
    // An image that other nodes create is shown as the last run stored it.
    const wanted = JSON.stringify([source.file ?? stored, stored]);
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.loadError = "";
      this.load(source.file ?? stored, stored, wanted);
    }
    const state = JSON.stringify([this.prompt(), this.showsMask()]);
    if (state !== this.drawnState) {
      this.drawnState = state;
      this.frame.redraw();
    }
    this.updateStatus();
  }

  /**
   * @param {StoredFile | undefined} file the image @param {StoredFile | undefined} stored what the last run stored
   * @param {string} wanted
   */
  async load(file, stored, wanted) {
    let image = null,
      mask = null,
      loadError = "";
    try {
      image = file ? await loadImage(this.frontend.urlOf(file)) : null;
    } catch {
      loadError = this.text("lost", { name: file?.filename });
    }
    // An image whose mask is gone can still get points.
    const run = stored ? await loadImage(this.frontend.urlOf(stored)).catch(() => null) : null;
    if (run) mask = shownMask(maskOf(run, "alpha", false));
    if (wanted !== this.wanted) return;
    Object.assign(this, { image, mask, loadError });
    this.frame.showsImage(image?.size ?? null);
    this.frame.redraw();
    this.updateStatus();
  }

  updateStatus() {
    this.maskButton.setAttribute("aria-pressed", String(this.showsMask()));
    this.maskButton.disabled = !this.mask;
    this.frame.showStatus(...this.status());
  }

  /** @returns {[string, "note" | "error"]} */
  status() {
    const now = this.prompt();
    if (typeof now === "string") {
      return [this.text("badText", { name: this.names([now]), value: JSON.stringify(valueOf(this.node, now)) }), "error"];
    }
    if (this.loadError) return [this.loadError, "error"];
    if (!isLinked(this.node, "image")) return [this.text("noImage"), "note"];
    if (!this.image) return [this.text(JSON.parse(this.inputs).file ? "loading" : "runFirst"), "note"];
    if (!isLinked(this.node, "segmenter")) return [this.text("noSegmenter"), "error"];
    const linked = Object.values(WIDGETS).filter((name) => isFixed(this.node, name));
    if (linked.length) return [this.text("fromLink", { names: this.names(linked) }), "note"];
    const { width, height } = this.image.size;
    if (this.needsPrompt() && !now.positive.length && !now.box)
      return [`${width}×${height} · ${this.text("noPrompt")}`, "note"];
    return [`${width}×${height} · +${now.positive.length} −${now.negative.length}${now.box ? " · ▭" : ""}`, "note"];
  }

  /** Whether the segmenter finds nothing without points or a box: of ours, only GrabCut. */
  needsPrompt() {
    if (["boxes", "rough_mask"].some((name) => isLinked(this.node, name))) return false;
    const from = originOf(this.node, "segmenter")?.node;
    return from?.type === "PhDLoadSegmenter" && String(valueOf(from, "model")).startsWith("grabcut");
  }

  /** @param {any} output The `ui` output of a run. */
  ran(output) {
    const stored = asFile(output?.images?.[0]);
    if (stored) {
      this.refresh();
      PointPicker.runs.set(stored.filename, this.inputs);
    }
    this.refresh();
  }

  changed() {
    this.refresh();
  }

  /** @param {Partial<Prompt>} change Written as one undo step. */
  write(change) {
    this.frontend.transaction(this.node, true);
    try {
      for (const kind of /** @type {const} */ (["positive", "negative"])) {
        const points = change[kind];
        if (points && !isFixed(this.node, WIDGETS[kind])) setValue(this.node, WIDGETS[kind], prompt.pointsText(points));
      }
      if (change.box !== undefined && !isFixed(this.node, WIDGETS.box)) {
        setValue(this.node, WIDGETS.box, prompt.boxText(change.box));
      }
    } finally {
      this.frontend.transaction(this.node, false);
    }
    this.refresh();
  }

  clear() {
    this.write({ positive: [], negative: [], box: null });
  }

  toggleMask() {
    this.frontend.transaction(this.node, true);
    this.node.setProperty("phd_mask", !this.showsMask());
    this.frontend.transaction(this.node, false);
    this.refresh();
  }

  /** @param {Point} point of the image @returns {Point} The center of that pixel in the frame. */
  shownAt({ x, y }) {
    return toFrame(this.view, { x: x + 0.5, y: y + 0.5 });
  }

  /** @param {Point} at @returns {{ kind: Kind, index: number } | null} The prompt's point at a point of the frame. */
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

  /** @param {EditorPointer} pointer */
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

  /** @param {EditorPointer} pointer */
  drag({ at }) {
    const { pressing, image } = this;
    if (!pressing || !image) return;
    pressing.moved ||= Math.hypot(at.x - pressing.pressed.x, at.y - pressing.pressed.y) > CLICK_REACH;
    if (!pressing.moved) return;
    const to = toImage(this.view, at);
    if (pressing.index < 0) this.newBox = prompt.boxBetween(pressing.from, to, image.size, 1);
    else this.movedTo = prompt.pixelAt(to, image.size);
    this.frame.redraw();
  }

  /** @param {boolean} canceled */
  release(canceled) {
    const { pressing, newBox, movedTo, image } = this,
      now = this.prompt();
    this.pressing = this.newBox = this.movedTo = null;
    if (!pressing || !image || canceled || typeof now === "string") return;
    const { kind, index, moved } = pressing;
    const points = [...now[kind]];
    if (index >= 0 && moved) points.splice(index, 1, movedTo ?? points[index]);
    else if (index >= 0) points.splice(index, 1);
    else if (!moved) points.push(prompt.pixelAt(pressing.from, image.size));
    else if (newBox) return this.write({ box: newBox });
    this.write({ [kind]: points });
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
    if (this.mask && this.showsMask()) paintMask(context, this.mask, this.view, this.image.size);
    const now = this.prompt();
    if (typeof now === "string") return;
    const box = this.newBox ?? now.box;
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
        const isDragged = this.pressing?.kind === kind && this.pressing.index === index;
        mark(context, this.shownAt((isDragged && this.movedTo) || point), kind);
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
