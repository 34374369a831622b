/** The before and after of Stitch: a slider between the composite and the finished image, and the mask over them. */

import { hidePreview } from "./dom_widget.mjs";
import { EditorFrame } from "./editor_frame.mjs";
import { loadImage, maskOf } from "./images.mjs";
import { asFile } from "./input_images.mjs";
import { paintMask, shownMask } from "./mask_overlay.mjs";
import { translate } from "./translations.mjs";
import { fitted } from "./view_transform.mjs";

/** @typedef {import("./images.mjs").LoadedImage} LoadedImage */
/**
 * A finished image, with what it was before and its mask.
 * @typedef {{ after: LoadedImage, before: LoadedImage | null, mask: import("./mask_overlay.mjs").ShownMask | null }} Result
 */

const MARGIN = 6,
  KNOB = 9,
  STEP = 0.02;

export class ResultView {
  /** @param {any} node @param {import("../types").Frontend} frontend */
  constructor(node, frontend) {
    this.node = node;
    this.frontend = frontend;
    /** @type {import("../types").Handlers} */
    const handlers = {
      draw: (context, size) => this.draw(context, size),
      press: ({ at, event }) => event.button === 0 && Boolean(this.result?.before) && this.slideTo(at.x),
      drag: ([{ at }]) => void this.slideTo(at.x),
      release: () => {},
      hover: () => (this.result?.before ? "ew-resize" : "default"),
      key: ({ key }) => this.key(key),
      keyboardReleased: () => {},
      closed: () => {},
      wheel: () => false,
      enter: () => this.refresh(),
      passToGraph: (event) => frontend.passToGraph(event),
    };
    const large = /** @type {[string, string]} */ ([this.text("large"), this.text("largeHelp")]);
    this.frame = new EditorFrame(this.text("resultLabel"), this.text("resultHelp"), handlers, large);
    this.maskButton = this.frame.addButton(this.text("mask"), this.text("resultMaskHelp"), () => this.toggleMask());
    this.nextButton = this.frame.addButton("", this.text("nextHelp"), () => this.next());
    /** The slider's place, 0..1 of the image's width. */
    this.split = 0.5;
    this.masked = false;
    /** Which image of the batch is shown. */
    this.item = 0;
    this.count = 0;
    /** @type {Result | null} */
    this.result = null;
    /** The files that are shown or being loaded, as JSON. */
    this.wanted = "";
    this.view = { scale: 1, x: 0, y: 0 };
    hidePreview(node, 0);
  }

  /** @type {string[]} */
  fields = [];

  /** @param {import("./translations.mjs").TextKey} key @param {Record<string, unknown>} [values] */
  text(key, values) {
    return translate(this.frontend.language(), key, values);
  }

  /** What the last run stored of the image that is shown: the finished one, its mask, and what it was before. */
  files() {
    const output = this.frontend.outputsOf(this.node);
    // Each finished image is followed by its mask.
    const files = (output?.images ?? []).map(asFile);
    this.count = files.length / 2;
    if (this.item >= this.count) this.item = 0;
    const [after, mask] = files.slice(2 * this.item);
    return { after, mask, before: asFile(output?.phd_before?.[this.item]), report: output?.phd_report?.[this.item] };
  }

  refresh() {
    const files = this.files();
    hidePreview(this.node, 0);
    const wanted = JSON.stringify(files);
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.load(files, wanted);
    }
    this.updateStatus(files.report);
  }

  /** @param {ReturnType<ResultView["files"]>} files @param {string} wanted */
  async load({ after, mask, before }, wanted) {
    const [loaded, of, old] = await Promise.all(
      [after, mask, before].map((file) => (file ? loadImage(this.frontend.urlOf(file)).catch(() => null) : null)),
    );
    if (wanted !== this.wanted) return;
    this.result = loaded && { after: loaded, before: old, mask: of && shownMask(maskOf(of, "red", false)) };
    this.frame.showsImage(loaded?.size ?? null);
    this.frame.redraw();
  }

  /** @param {any} report */
  updateStatus(report) {
    this.maskButton.setAttribute("aria-pressed", String(this.masked));
    this.nextButton.hidden = !(this.count > 1);
    this.nextButton.textContent = `${this.item + 1} / ${this.count} ›`;
    this.frame.showStatus(report ? this.reported(report) : this.text("noResult"));
  }

  /** The report as a line. @param {any} report of one image */
  reported({ gain, identity, light_by: by, neglected, suppressed }) {
    const said = [];
    if (by !== "none" && Array.isArray(gain))
      said.push(this.text("light", { gain: gain.map((value) => `×${Number(value).toFixed(2)}`).join(" ") }));
    if (typeof identity === "number") said.push(this.text("identity", { value: identity.toFixed(2) }));
    if (neglected) said.push(this.text("neglected"));
    if (suppressed) said.push(this.text("suppressed"));
    return said.join(" · ");
  }

  ran() {
    this.refresh();
  }

  changed() {}

  toggleMask() {
    this.masked = !this.masked;
    this.frame.redraw();
    this.refresh();
  }

  next() {
    this.item = (this.item + 1) % Math.max(this.count, 1);
    this.refresh();
  }

  /** @param {number} x in the frame */
  slideTo(x) {
    const width = (this.result?.after.size.width ?? 1) * this.view.scale;
    this.split = Math.min(Math.max((x - this.view.x) / width, 0), 1);
    this.frame.redraw();
    return true;
  }

  /** @param {string} key */
  key(key) {
    const by = { ArrowLeft: -STEP, ArrowRight: STEP }[key];
    if (!by || !this.result?.before) return false;
    this.split = Math.min(Math.max(this.split + by, 0), 1);
    this.frame.redraw();
    return true;
  }

  /** @param {CanvasRenderingContext2D} context @param {import("./placement.mjs").Size} size */
  draw(context, size) {
    if (!this.result) return;
    const { after, before, mask } = this.result;
    this.view = fitted(after.size, size, MARGIN);
    const { x, y, scale } = this.view;
    const width = after.size.width * scale,
      height = after.size.height * scale;
    context.imageSmoothingQuality = "high";
    context.drawImage(after.bitmap, x, y, width, height);
    const at = x + this.split * width;
    if (before) {
      context.save();
      context.beginPath();
      context.rect(x, y, at - x, height);
      context.clip();
      context.drawImage(before.bitmap, x, y, width, height);
      context.restore();
    }
    if (mask && this.masked) paintMask(context, mask, this.view, after.size);
    if (before) this.drawSlider(context, at, y, height);
  }

  /** @param {CanvasRenderingContext2D} context @param {number} x @param {number} y @param {number} height */
  drawSlider(context, x, y, height) {
    for (const [color, wide] of /** @type {const} */ ([
      ["#000000", 3],
      ["#ffffff", 1.5],
    ])) {
      context.strokeStyle = color;
      context.lineWidth = wide;
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x, y + height);
      context.stroke();
      context.beginPath();
      context.arc(x, y + height / 2, KNOB, 0, 7);
      context.fillStyle = "#00000080";
      context.fill();
      context.stroke();
    }
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "top";
    for (const [text, align, by] of /** @type {const} */ ([
      [this.text("before"), "right", -6],
      [this.text("after"), "left", 6],
    ])) {
      context.textAlign = align;
      context.strokeStyle = "#000000";
      context.lineWidth = 3;
      context.strokeText(text, x + by, y + 5);
      context.fillStyle = "#ffffff";
      context.fillText(text, x + by, y + 5);
    }
  }
}
