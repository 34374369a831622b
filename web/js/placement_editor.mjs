/** The placement editor of Paste & Blend: the scene with the subject on it, and a hand on the subject. */

import { Frame } from "./frame.mjs";
import { hideResult, valueOf, widgetOf, write } from "./hosting.mjs";
import * as geometry from "./placement.mjs";
import { asFile, isLinked, maskAt, imageAt } from "./sources.mjs";
import { cutOut, loaded, maskOf } from "./images.mjs";
import { PlacementHand } from "./placement_hand.mjs";
import { Painter } from "./placement_painter.mjs";
import { text } from "./texts.mjs";
import { fitted, toFrame } from "./view.mjs";

/** @typedef {import("./placement.mjs").Placement} Placement */
/** @typedef {import("./placement.mjs").Point} Point */
/** @typedef {import("./placement.mjs").Size} Size */
/** @typedef {import("./images.mjs").Image} Image */
/**
 * What Python said of its last run: stored images, their true sizes, and where the subject went.
 * @typedef {object} Run
 * @property {import("./sources.mjs").File} scene
 * @property {number[]} scene_size
 * @property {import("./sources.mjs").File} subject
 * @property {number[]} subject_size
 * @property {Placement} placement
 */
/** @typedef {import("./sources.mjs").Source} Source */

const MARGIN = 18;
const FIELDS = [...geometry.NUMBERS, "flip"];
/** While a hand moves, the image follows every frame; the numbers, which cost the frontend more, as often as this. */
const WRITE_MS = 150;

/** @type {Map<string, { inputs: string, settings: string }>} The scene's file of a run -> how the node was then. */
const runs = new Map();

export class PlacementEditor {
  /** @param {any} node @param {import("./hosting.mjs").Frontend} frontend */
  constructor(node, frontend) {
    this.node = node;
    this.frontend = frontend;
    this.defaults = Object.fromEntries(FIELDS.map((name) => [name, valueOf(node, name)]));
    // Not what the frontend adds later, such as a widget with the node's words.
    const names = node.widgets.map((widget) => widget.name);
    this.deciding = names.filter((name) => name !== "seed" && name !== "control_after_generate");
    const hand = new PlacementHand(this);
    this.hand = hand;
    this.frame = new Frame(this.text("placementLabel"), this.text("placementHelp"), {
      draw: (context, size) => this.draw(context, size),
      press: (touch) => hand.press(touch),
      drag: (touches) => hand.drag(touches),
      release: (_, canceled) => hand.release(canceled),
      hover: (at, event) => hand.cursor(at, event),
      key: (event) => hand.key(event),
      keysEnd: () => this.holding === "keys" && this.end(),
      closed: () => this.end(),
      wheel: (event) => hand.wheel(event),
      enter: () => this.refresh(),
      elsewhere: (event) => frontend.elsewhere(event),
    });
    this.snapButton = this.frame.button(this.text("snap"), this.text("snapHelp"), () => this.toggleSnap());
    this.flipButton = this.frame.button(this.text("flip"), "F", () =>
      this.edit((now) => ({ ...now, flip: !now.flip })),
    );
    this.frame.button(this.text("reset"), "0", () => this.reset());
    this.keepButton = this.frame.button(this.text("keep"), this.text("keepHelp"), () => this.keep());
    this.painter = new Painter();
    /** @type {(Image & { cut: boolean, mask?: import("./outline.mjs").Mask }) | null} */
    this.subject = null;
    /** @type {Image | null} */
    this.scene = null;
    /** @type {Image | null} */
    this.result = null;
    /** @type {Run | null} */
    this.run = null;
    /** The node is as it was in the run whose result there is. */
    this.asRun = false;
    this.wanted = this.resultUrl = this.state = "";
    this.inputs = "{}";
    this.trouble = "";
    /** @type {"" | "drag" | "keys" | "wheel"} */
    this.holding = "";
    /** Where a drag is, as long as the numbers are behind it. @type {Placement | null} */
    this.ahead = null;
    this.writtenAt = 0;
    this.view = { scale: 1, x: 0, y: 0 };
    this.images = 0;
    hideResult(node, 0);
  }

  /** @param {import("./texts.mjs").Text} key @param {Record<string, unknown>} [gaps] */
  text(key, gaps) {
    return text(this.frontend.language(), key, gaps);
  }

  /** @returns {Record<string, unknown>} The five numbers; those that come from a link as the last run had them. */
  values() {
    const known = this.run?.placement;
    return Object.fromEntries(
      FIELDS.map((name) => [name, known && isLinked(this.node, name) ? known[name] : valueOf(this.node, name)]),
    );
  }

  /** @returns {Placement | null} Where the subject stands; null where the numbers cannot be used. */
  placement() {
    if (this.ahead) return this.ahead;
    if (this.given()) return this.run?.placement ?? null;
    const values = this.values();
    return geometry.fault(values) ? null : /** @type {Placement} */ ({ ...values, flip: Boolean(values.flip) });
  }

  /** Whether the place is none of x, y, size, rotation and flip. */
  given() {
    return this.random() || isLinked(this.node, "placements");
  }

  random() {
    return valueOf(this.node, "placement") === "random" && !isLinked(this.node, "placements");
  }

  /** Everything that decides what a run makes, but the seed: it may change by itself when a run begins. */
  settings() {
    return JSON.stringify(this.deciding.map((name) => valueOf(this.node, name)));
  }

  snaps() {
    return this.node.properties?.phd_snap !== false;
  }

  /** Where the images come from now, and from where they are shown. */
  refresh() {
    const inputs = {
      scene: imageAt(this.node, "background", this.frontend.outputsOf),
      subject: imageAt(this.node, "subject", this.frontend.outputsOf),
      mask: isLinked(this.node, "subject_mask") ? maskAt(this.node, "subject_mask", this.frontend.outputsOf) : null,
    };
    this.inputs = JSON.stringify(inputs);
    const output = this.frontend.outputsOf(this.node);
    this.run = runIn(output);
    const then = this.run && runs.get(this.run.scene.filename);
    if (then && then.inputs !== this.inputs) this.run = null;
    this.asRun = then?.settings === this.settings();
    // Also where a node is made anew, by undo or a reload, and its last run is still known.
    const count = output?.images?.length ?? 0;
    if (count !== this.images) hideResult(this.node, (this.images = count));
    const wanted = JSON.stringify(this.run ?? inputs);
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.trouble = "";
      this.load(inputs, wanted);
    }
    const images = (this.run && this.asRun && output?.images) || [];
    this.showResult(images.length === 1 ? asFile(images[0]) : undefined);
    const shown = ["feather", "ring", "shadow"].map((name) => valueOf(this.node, name));
    const state = JSON.stringify([this.placement(), this.given(), shown]);
    if (state !== this.state) {
      this.state = state;
      this.frame.redraw();
    }
    this.tell();
  }

  /**
   * @param {{ scene: Source, subject: Source, mask: Source | null }} inputs
   * @param {string} wanted
   */
  async load(inputs, wanted) {
    /** @param {import("./sources.mjs").File} file */
    const fetched = async (file) => {
      try {
        return await loaded(this.frontend.urlOf(file));
      } catch {
        throw new Error(this.text("lost", { name: file.filename }));
      }
    };
    /** @param {Image} image @param {number[]} size @returns {Image} */
    const sized = (image, [width, height]) => ({ ...image, size: { width, height } });
    let scene = null,
      subject = null,
      trouble = "";
    try {
      if (this.run) {
        const { run } = this;
        const both = await Promise.all([fetched(run.scene), fetched(run.subject)]).catch(() => null);
        if (!both) {
          // A server that was started anew has none of its temporary files: as if nothing had been run.
          runs.set(run.scene.filename, { inputs: "", settings: "" });
          this.refresh();
          return;
        }
        const [drawn, cutout] = both;
        scene = sized(drawn, run.scene_size);
        subject = { ...sized(cutout, run.subject_size), cut: true, mask: maskOf(cutout, "alpha", false) };
      } else {
        const { file } = inputs.scene;
        if (file) scene = await fetched(file);
        if (inputs.subject.file) subject = await this.subjectFrom(await fetched(inputs.subject.file), inputs, fetched);
        if (inputs.subject.file && !subject) trouble = this.text("emptyMask");
      }
    } catch (error) {
      trouble = /** @type {Error} */ (error).message;
    }
    // Meanwhile something else may be wanted.
    if (wanted !== this.wanted) return;
    Object.assign(this, { scene, subject, trouble });
    this.frame.redraw();
    this.tell();
  }

  /** @param {import("./sources.mjs").File | undefined} file What the last run made, while its numbers stand. */
  async showResult(file) {
    const url = file ? this.frontend.urlOf(file) : "";
    if (url === this.resultUrl) return;
    this.resultUrl = url;
    const result = url ? await loaded(url).catch(() => null) : null;
    if (url !== this.resultUrl) return;
    this.result = result;
    this.frame.redraw();
    this.tell();
  }

  /**
   * The subject of an image before the first run.
   * @param {Image} image @param {any} inputs @param {(file: any) => Promise<Image>} fetched
   */
  async subjectFrom(image, inputs, fetched) {
    const { mask, subject } = inputs;
    if (mask?.file) {
      const own = maskOf(await fetched(mask.file), mask.channel, mask.inverted);
      const cutout = cutOut(image, own);
      return cutout && { ...cutout, cut: true };
    }
    if (!mask && subject.alpha) {
      const cutout = cutOut(image, maskOf(image, "alpha", false));
      return cutout && { ...cutout, cut: true };
    }
    return { ...image, cut: false };
  }

  tell() {
    this.snapButton.setAttribute("aria-pressed", String(this.snaps()));
    this.keepButton.hidden = !this.random();
    this.keepButton.disabled = !this.run;
    this.flipButton.disabled = !this.editable();
    const [words, kind] = this.words();
    this.frame.say(words, kind);
  }

  /** @returns {[string, "note" | "fault"]} */
  words() {
    const values = this.values(),
      fault = this.given() ? null : geometry.fault(values);
    if (fault) return [this.text("badNumber", { ...fault, value: JSON.stringify(fault.value) }), "fault"];
    if (this.trouble) return [this.trouble, "fault"];
    if (!isLinked(this.node, "background")) return [this.text("noScene"), "note"];
    if (!isLinked(this.node, "subject")) return [this.text("noSubject"), "note"];
    if (isLinked(this.node, "placements")) return [this.text("fromPlacements"), "note"];
    if (this.random()) return [this.text(this.run ? "random" : "randomFirst"), "note"];
    if (!this.scene || !this.subject) return [this.text(this.pending() ? "loading" : "runFirst"), "note"];
    if (!this.subject.cut) return [this.text("runForMask"), "note"];
    const linked = FIELDS.filter((name) => isLinked(this.node, name));
    if (linked.length) return [this.text("fromLink", { names: linked.join(", ") }), "note"];
    const placement = /** @type {Placement} */ (this.placement());
    if (geometry.visibleShare(placement, this.subject.size, this.scene.size) === 0)
      return [this.text("outside"), "fault"];
    return [
      `${this.scene.size.width}×${this.scene.size.height}${this.showsResult() ? ` · ${this.text("asRun")}` : ""}`,
      "note",
    ];
  }

  /** Whether images are known that are not here yet. */
  pending() {
    const inputs = JSON.parse(this.inputs);
    return Boolean(this.run || ((this.scene || inputs.scene?.file) && (this.subject || inputs.subject?.file)));
  }

  showsResult() {
    return Boolean(
      this.result && this.run && this.asRun && !this.hand.dragging && sameAsRun(this.placement(), this.run),
    );
  }

  editable() {
    return Boolean(!this.given() && this.scene && this.subject && this.placement());
  }

  /** @param {any} output What the server sent after a run. */
  ran(output) {
    const run = runIn(output);
    this.refresh();
    if (run) runs.set(run.scene.filename, { inputs: this.inputs, settings: this.settings() });
    this.refresh();
  }

  changed() {
    // An edit of our own tells once, when all its numbers are written.
    if (!this.holding) this.refresh();
  }

  /** @param {"drag" | "keys" | "wheel"} what */
  begin(what) {
    if (this.holding === what) return;
    this.end();
    this.holding = what;
    this.frontend.transaction(this.node, true);
  }

  end() {
    if (!this.holding) return;
    clearTimeout(this.hand.wheelRest);
    this.holding = "";
    this.frontend.transaction(this.node, false);
  }

  /** @param {Placement} placement */
  put(placement) {
    const limits = Object.fromEntries(geometry.NUMBERS.map((name) => [name, widgetOf(this.node, name)?.options ?? {}]));
    const written = geometry.written(placement, limits);
    for (const name of FIELDS) if (isLinked(this.node, name)) written[name] = this.values()[name];
    this.ahead = written;
    if (!this.hand.dragging || performance.now() - this.writtenAt > WRITE_MS) this.catchUp();
    this.frame.redraw();
  }

  /**
   * Writes the numbers of where a drag is.
   * @param {Placement | null} [ahead] another place, such as where it began
   */
  catchUp(ahead) {
    ahead ??= this.ahead;
    if (!ahead) return;
    for (const name of FIELDS) if (!isLinked(this.node, name)) write(this.node, name, ahead[name]);
    this.ahead = null;
    this.writtenAt = performance.now();
    this.refresh();
  }

  /** One whole step. @param {(now: Placement) => Placement} change */
  edit(change) {
    const now = this.placement();
    if (!now || !this.editable()) return;
    this.begin("keys");
    this.put(change(now));
    this.end();
  }

  reset() {
    if (this.given()) return;
    this.begin("keys");
    for (const name of FIELDS) if (!isLinked(this.node, name)) write(this.node, name, this.defaults[name]);
    this.end();
    this.refresh();
  }

  keep() {
    if (!this.run) return;
    const { placement } = this.run;
    this.begin("keys");
    write(this.node, "placement", "manual");
    for (const name of FIELDS) if (!isLinked(this.node, name)) write(this.node, name, placement[name]);
    this.end();
    this.refresh();
  }

  toggleSnap() {
    this.begin("keys");
    this.node.setProperty("phd_snap", !this.snaps());
    this.end();
    this.tell();
  }

  /** @param {Placement} placement The subject's corners in the frame. */
  corners(placement) {
    const scene = /** @type {Image} */ (this.scene),
      subject = /** @type {Image} */ (this.subject);
    return geometry.cornersOf(placement, subject.size, scene.size).map((point) => toFrame(this.view, point));
  }

  /** @param {CanvasRenderingContext2D} context @param {Size} size */
  draw(context, size) {
    if (!this.scene) return;
    this.view = fitted(this.scene.size, size, Math.min(MARGIN, size.width / 8, size.height / 8));
    const placement = this.placement();
    const widgets = Object.fromEntries(["feather", "ring", "shadow"].map((name) => [name, valueOf(this.node, name)]));
    this.painter.paint(context, this.view, {
      scene: this.scene,
      subject: this.subject,
      result: this.showsResult() ? this.result : null,
      placement,
      ghost: this.random(),
      reach: Number(widgets.ring) + Math.floor(2.66 * Number(widgets.feather) + 0.5) || 0,
      shadow: widgets.shadow === true,
      guides: this.hand.guides,
      corners: placement && this.subject ? this.corners(placement) : [],
      handles: this.editable(),
    });
  }
}

/** @param {any} output @returns {Run | null} */
function runIn(output) {
  const run = output?.phd_placement?.[0];
  return run && asFile(run.scene) && asFile(run.subject) && !geometry.fault(run.placement ?? {}) ? run : null;
}

/** @param {Placement | null} placement @param {Run} run */
function sameAsRun(placement, run) {
  return Boolean(placement && FIELDS.every((name) => placement[name] === run.placement[name]));
}
