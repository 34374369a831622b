/** The placement editor of Paste & Blend: shows the scene and lets the user drag, resize and rotate the subject. */

import { editorOf, hidePreview } from "./dom_widget.mjs";
import { EditorFrame } from "./editor_frame.mjs";
import { hostsOf, isLinked, keyOf } from "./graph_links.mjs";
import { cutOut, loadImage, maskOf } from "./images.mjs";
import { asFile, earlierPastes, imageAtInput, maskAtInput, sceneInput } from "./input_images.mjs";
import { looksInverted } from "./mask_outlines.mjs";
import { isFixed, linkedValue, setValue, shownName, valueOf, widgetOf } from "./node_widgets.mjs";
import * as geometry from "./placement.mjs";
import { PlacementGestures } from "./placement_gestures.mjs";
import { PlacementPainter } from "./placement_painter.mjs";
import { RecentMap } from "./recent_map.mjs";
import { translate } from "./translations.mjs";
import { fitted, toFrame } from "./view_transform.mjs";

/** @import { Placement, Point, Size } from "./placement.mjs" */
/** @import { LoadedImage } from "./images.mjs" */
/** @import { Source } from "../types" */
/**
 * A clip, and the scenes of some of its frames.
 * @typedef {{ frames: number, scenes: [number, import("../types").StoredFile][] }} Clip
 */
/**
 * What Python stored of the last run: images, their full sizes, and the placement of the subject.
 * @typedef {object} Run
 * @property {import("../types").StoredFile} scene
 * @property {number[]} scene_size
 * @property {import("../types").StoredFile} subject
 * @property {number[]} subject_size
 * @property {Placement} placement
 * @property {Clip} [clip]
 */
/** Where the input images come from. @typedef {{ scene: Source, subject: Source, mask: Source | null }} Inputs */

const MARGIN = 18,
  HANDLE_INSET = 8;
const FIELDS = [...geometry.NUMBERS, "flip"];
/** During a drag the canvas is drawn in every frame; the widgets, which cost the frontend more, are set this often. */
const WRITE_MS = 150;

/** How many runs are remembered, of all nodes together. */
const MAX_RUNS = 128;
/** What is recorded of a run that is not to be shown. */
const NOT_OURS = { inputs: "", settings: "" };

export class PlacementEditor {
  /**
   * The file of a run's scene -> the node's inputs and settings in that run. Not in the editor, because undo and a
   * reload of the workflow make the node and its editor anew.
   * @type {RecentMap<string, { inputs: string, settings: string }>}
   */
  static runs = new RecentMap(MAX_RUNS);

  /**
   * The node -> the output in which a run placed its subject. Insert Subject has several outputs in a run, one after
   * another, of which the frontend keeps the last.
   * @type {RecentMap<string, any>}
   */
  static placed = new RecentMap(MAX_RUNS);

  fields = FIELDS;
  painter = new PlacementPainter();
  /** @type {import("./placement_painter.mjs").Subject | null} */
  subject = null;
  /** @type {LoadedImage | null} */
  scene = null;
  /** @type {LoadedImage | null} */
  result = null;
  /** @type {Run | null} */
  run = null;
  /** Whether the settings are those of the last run. */
  asRun = false;
  /** What is loaded or being loaded, as JSON. */
  wanted = "";
  /** What was drawn last, as JSON. */
  drawnState = "";
  /** The address of the result that is shown or being loaded; "" for none. */
  resultUrl = "";
  frameSize = { width: 0, height: 0 };
  /** Where the input images come from, as JSON. */
  inputs = "{}";
  loadError = "";
  /** The edit whose undo step is open. @type {"" | "drag" | "keys" | "wheel"} */
  openEdit = "";
  /** The placement of a drag that is not in the widgets yet. @type {Placement | null} */
  unwritten = null;
  /** When the widgets were written last, in milliseconds. */
  writtenAt = 0;
  view = { scale: 1, x: 0, y: 0 };
  /** How many images the last run made. */
  images = 0;
  /** Loaded where it is needed. @type {import("./clip/timeline.mjs").Timeline | null} */
  timeline = null;
  /** @type {Promise<void> | null} */
  loadingTimeline = null;

  /** @param {any} node @param {import("../types").Frontend} frontend */
  constructor(node, frontend) {
    this.node = node;
    this.frontend = frontend;
    this.defaults = Object.fromEntries(FIELDS.map((name) => [name, valueOf(node, name)]));
    // Only the schema's widgets: the frontend adds others later, such as one with the text of a run.
    const names = node.widgets.map((widget) => widget.name);
    this.settingNames = names.filter((name) => name !== "seed" && name !== "control_after_generate");
    const gestures = new PlacementGestures(this);
    this.gestures = gestures;
    this.frame = new EditorFrame(
      this.text("placementLabel"),
      this.text("placementHelp"),
      {
        draw: (context, size) => this.draw(context, size),
        press: (pointer) => gestures.press(pointer),
        drag: (pointers) => gestures.drag(pointers),
        release: (_, canceled) => gestures.release(canceled),
        hover: (at, event) => gestures.cursor(at, event),
        key: (event) => gestures.key(event),
        keyboardReleased: () => this.openEdit === "keys" && this.endEdit(),
        closed: () => this.endEdit(),
        wheel: (event) => gestures.wheel(event),
        enter: () => this.refresh(),
        passToGraph: (event) => frontend.passToGraph(event),
      },
      [this.text("large"), this.text("largeHelp")],
    );
    this.snapButton = this.frame.addButton(this.text("snap"), this.text("snapHelp"), () => this.toggleSnap());
    this.flipButton = this.frame.addButton(this.text("flip"), "F", () =>
      this.edit((now) => ({ ...now, flip: !now.flip })),
    );
    this.frame.addButton(this.text("reset"), "0", () => this.reset());
    this.keepButton = this.frame.addButton(this.text("keep"), this.text("keepHelp"), () => this.keepRandom());
    this.timelineButton = this.frame.addButton(this.text("timeline"), this.text("timelineHelp"), () =>
      this.openTimeline(),
    );
    hidePreview(node, 0);
  }

  /** @param {any} node @returns {PlacementEditor} */
  copyFor(node) {
    const { defaults, settingNames } = this;
    return Object.assign(new PlacementEditor(node, this.frontend), { defaults, settingNames });
  }

  /** @param {import("./translations.mjs").TextKey} key @param {Record<string, unknown>} [values] */
  text(key, values) {
    return translate(this.frontend.language(), key, values);
  }

  /** @param {string[]} inputs @returns {string} Their names as the node shows them. */
  names(inputs) {
    return inputs.map((name) => shownName(this.node, name)).join(", ");
  }

  /** @returns {Record<string, any>} The five values; undefined where only a run will tell what a link gives. */
  values() {
    const { node, run } = this;
    const value = (name) =>
      isFixed(node, name) ? (linkedValue(node, name) ?? run?.placement[name]) : valueOf(node, name);
    return Object.fromEntries(FIELDS.map((name) => [name, value(name)]));
  }

  /** @returns {Placement | null} Where the subject is; null where a value is invalid or unknown. */
  placement() {
    if (this.unwritten) return this.unwritten;
    if (this.timeline?.drives()) return this.timeline.placement();
    if (this.isPlacedByRun()) return this.run?.placement ?? null;
    const values = this.values();
    if (values.flip === undefined || geometry.invalidNumber(values)) return null;
    return /** @type {Placement} */ ({ ...values, flip: Boolean(values.flip) });
  }

  /** Whether the widgets x, y, size, rotation and flip are not used. */
  isPlacedByRun() {
    return this.isRandom() || isLinked(this.node, "placements");
  }

  isRandom() {
    return valueOf(this.node, "placement") === "random" && !isLinked(this.node, "placements");
  }

  /** All settings that change the result, but the seed: it may change by itself when a run begins. */
  settings() {
    return JSON.stringify(this.settingNames.map((name) => valueOf(this.node, name)));
  }

  snapsToGuides() {
    return this.node.properties?.phd_snap !== false;
  }

  /** Reads the graph, and loads and draws what has changed. */
  refresh() {
    const { node } = this,
      { outputsOf } = this.frontend,
      subject = imageAtInput(node, "subject", outputsOf);
    const inputs = {
      scene: imageAtInput(node, sceneInput(node), outputsOf),
      subject,
      mask: isLinked(node, "subject_mask") ? maskAtInput(node, "subject_mask", outputsOf) : (subject.matte ?? null),
    };
    this.inputs = JSON.stringify(inputs);
    const output = this.frontend.outputsOf(this.node);
    this.run = runFrom(output) ?? (output && runFrom(PlacementEditor.placed.get(keyOf(this.node))));
    const recorded = this.run && PlacementEditor.runs.get(this.run.scene.filename);
    if (recorded && recorded.inputs !== this.inputs) this.run = null;
    this.asRun = recorded?.settings === this.settings();
    // Also for a node that undo or a reload made anew: the frontend still has the output of its last run.
    const shown = imagesIn(output),
      count = shown.length;
    if (count !== this.images) hidePreview(this.node, (this.images = count));
    const wanted = JSON.stringify(this.run ?? inputs);
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      this.loadError = "";
      this.load(inputs, wanted);
    }
    if (String(valueOf(node, "keyframes") ?? "").trim() || isLinked(node, "track")) this.openTimeline();
    this.timeline?.refresh();
    this.showResult(this.run && this.asRun && count === 1 ? asFile(shown[0]) : undefined);
    const widgets = ["feather", "ring", "shadow"].map((name) => valueOf(this.node, name));
    const earlier = this.earlier().map(({ placement, subject }) => [placement, subject.size]);
    const state = JSON.stringify([this.placement(), this.isPlacedByRun(), widgets, earlier]);
    if (state !== this.drawnState) {
      this.drawnState = state;
      this.frame.redraw();
    }
    this.updateStatus();
  }

  openTimeline() {
    this.loadingTimeline ??= import("./clip/timeline.mjs").then(({ Timeline }) => {
      this.timeline = new Timeline(this);
      this.refresh();
    });
  }

  /**
   * The subjects that other nodes paste into the scene before this one, where no run shows them: the first one first.
   * @returns {{ subject: import("./placement_painter.mjs").Subject, placement: Placement }[]}
   */
  earlier() {
    if (this.run) return [];
    return earlierPastes(this.node).flatMap((node) => {
      const editor = editorOf(node);
      if (!(editor instanceof PlacementEditor)) return [];
      const { subject } = editor,
        placement = editor.placement();
      return subject && placement ? [{ subject, placement }] : [];
    });
  }

  /** @param {import("../types").StoredFile} file @returns {Promise<LoadedImage>} */
  async fetchImage(file) {
    try {
      return await loadImage(this.frontend.urlOf(file));
    } catch {
      throw new Error(this.text("lost", { name: file.filename }));
    }
  }

  /**
   * Loads the images of the last run, or those of the inputs.
   * @param {Inputs} inputs @param {string} wanted
   */
  async load(inputs, wanted) {
    const { run } = this;
    let scene = null,
      subject = null,
      loadError = "";
    try {
      if (run) {
        const both = await Promise.all([run.scene, run.subject].map((file) => this.fetchImage(file))).catch(() => null);
        if (!both) {
          // A restarted server has no temporary files: go on as if the node had not been run.
          PlacementEditor.runs.set(run.scene.filename, NOT_OURS);
          this.refresh();
          return;
        }
        const [background, cutout] = both;
        scene = withSize(background, run.scene_size);
        subject = { ...withSize(cutout, run.subject_size), cut: true, mask: maskOf(cutout, "alpha", false) };
      } else {
        if (inputs.scene.file) scene = await this.fetchImage(inputs.scene.file);
        if (inputs.subject.file) {
          subject = await this.subjectFrom(inputs.subject.file, inputs);
          if (!subject) loadError = this.text("emptyMask");
        }
      }
    } catch (error) {
      loadError = /** @type {Error} */ (error).message;
    }
    // By now other images may be wanted.
    if (wanted !== this.wanted) return;
    Object.assign(this, { scene, subject, loadError });
    if (this.timeline) this.timeline.shown = run?.scene.filename ?? "";
    this.timeline?.showScene();
    this.frame.showsImage(scene?.size ?? null);
    this.frame.redraw();
    this.updateStatus();
  }

  /**
   * The subject before the first run: cut out where its mask is known. Null where the mask is empty.
   * @param {import("../types").StoredFile} file @param {Inputs} inputs
   */
  async subjectFrom(file, { mask, subject }) {
    const image = await this.fetchImage(file);
    /** @type {import("./mask_outlines.mjs").Mask | null} */
    let known = null;
    if (mask?.file) known = maskOf(await this.fetchImage(mask.file), mask.channel ?? "alpha", Boolean(mask.inverted));
    else if (!mask && subject.alpha) known = maskOf(image, "alpha", false);
    if (!known) return { ...image, cut: false };
    const cutout = cutOut(image, known);
    return cutout && { ...cutout, cut: true, inverted: looksInverted(known) };
  }

  /**
   * Shows the result of the last run, while the widgets still match it.
   * @param {import("../types").StoredFile | undefined} file
   */
  async showResult(file) {
    const url = file ? this.frontend.urlOf(file) : "";
    if (url === this.resultUrl) return;
    this.resultUrl = url;
    const result = url ? await loadImage(url).catch(() => null) : null;
    if (url !== this.resultUrl) return;
    this.result = result;
    this.frame.redraw();
    this.updateStatus();
  }

  updateStatus() {
    this.snapButton.setAttribute("aria-pressed", String(this.snapsToGuides()));
    // Several scenes need not be a clip.
    this.timelineButton.hidden = Boolean(this.timeline) || !this.run?.clip;
    this.keepButton.hidden = !this.isRandom();
    this.keepButton.disabled = !this.run;
    this.flipButton.disabled = !this.editable();
    this.frame.showStatus(...this.status());
  }

  /** @returns {[string, "note" | "error"]} */
  status() {
    const values = this.values(),
      invalid = this.isPlacedByRun() ? null : geometry.invalidNumber(values);
    if (invalid && invalid.value !== undefined) {
      const { name, value } = invalid;
      const shown = { ...invalid, name: shownName(this.node, name), value: JSON.stringify(value) };
      return [this.text("badNumber", shown), "error"];
    }
    const problem = this.loadError || this.timeline?.problem();
    if (problem) return [problem, "error"];
    if (!isLinked(this.node, sceneInput(this.node))) return [this.text("noScene"), "note"];
    if (!isLinked(this.node, "subject")) return [this.text("noSubject"), "note"];
    if (isLinked(this.node, "placements")) return [this.text("fromPlacements"), "note"];
    if (this.isRandom()) return [this.text(this.run ? "random" : "randomFirst"), "note"];
    const inputs = /** @type {Inputs} */ (JSON.parse(this.inputs));
    const isFound = isLinked(this.node, "segmenter");
    if (inputs.subject.loaded && !inputs.mask && !isFound) return [this.text("noMask"), "error"];
    if (!this.scene || !this.subject) return [this.text(this.isLoading() ? "loading" : "runFirst"), "note"];
    if (!this.subject.cut) return [this.text("runForMask"), "note"];
    if (this.subject.inverted) return [this.text("invertedMask"), "error"];
    const linked = FIELDS.filter((name) => isFixed(this.node, name));
    const placement = /** @type {Placement} */ (this.placement());
    if (linked.length) return [this.text(placement ? "fromLink" : "linkFirst", { names: this.names(linked) }), "note"];
    if (geometry.visibleShare(placement, this.subject.size, this.scene.size) === 0)
      return [this.text("outside"), "error"];
    return [
      `${this.scene.size.width}×${this.scene.size.height}${this.showsResult() ? ` · ${this.text("asRun")}` : ""}`,
      "note",
    ];
  }

  /** Whether images are being loaded. */
  isLoading() {
    const inputs = JSON.parse(this.inputs);
    return Boolean(this.run || ((this.scene || inputs.scene?.file) && (this.subject || inputs.subject?.file)));
  }

  showsResult() {
    return Boolean(
      this.result && this.run && this.asRun && !this.gestures.gesture && sameAsRun(this.placement(), this.run),
    );
  }

  editable() {
    return Boolean(!this.isPlacedByRun() && this.scene && this.subject && this.placement());
  }

  /** @param {any} output The `ui` output of a run. */
  ran(output) {
    const run = runFrom(output);
    if (run) PlacementEditor.placed.set(keyOf(this.node), output);
    this.refresh();
    if (run) PlacementEditor.runs.set(run.scene.filename, this.isOwn(run) ? this.recorded() : NOT_OURS);
    this.refresh();
  }

  recorded() {
    return { inputs: this.inputs, settings: this.settings() };
  }

  /**
   * Whether a run may be this node's: several nodes of one subgraph share what the frontend keeps of a run.
   * @param {Run} run
   */
  isOwn(run) {
    return hostsOf(this.node.graph).length < 2 || sameAsRun(this.placement(), run);
  }

  changed() {
    // The editor's own edits refresh once, after they have set all widgets.
    if (!this.openEdit) this.refresh();
  }

  /** Opens an undo step. @param {"drag" | "keys" | "wheel"} what */
  beginEdit(what) {
    if (this.openEdit === what) return;
    this.endEdit();
    this.openEdit = what;
    this.frontend.transaction(this.node, true);
  }

  endEdit() {
    if (!this.openEdit) return;
    clearTimeout(this.gestures.wheelRest);
    this.openEdit = "";
    this.frontend.transaction(this.node, false);
  }

  /** Moves the subject; during a drag the widgets follow later. @param {Placement} placement */
  place(placement) {
    const limits = Object.fromEntries(geometry.NUMBERS.map((name) => [name, widgetOf(this.node, name)?.options ?? {}]));
    const rounded = geometry.rounded(placement, limits);
    for (const name of FIELDS) if (isFixed(this.node, name)) rounded[name] = this.values()[name];
    this.unwritten = rounded;
    if (!this.gestures.gesture || performance.now() - this.writtenAt > WRITE_MS) this.writeWidgets();
    this.frame.redraw();
  }

  /**
   * Sets the widgets that no link feeds.
   * @param {Record<string, any>} values
   */
  setFields(values) {
    if (this.timeline?.drives()) this.timeline.write(/** @type {Placement} */ (values));
    else for (const name of FIELDS) if (!isFixed(this.node, name)) setValue(this.node, name, values[name]);
  }

  /**
   * Writes the placement of a drag into the widgets.
   * @param {Placement | null} [placement] another one, such as that of the drag's start
   */
  writeWidgets(placement) {
    placement ??= this.unwritten;
    if (!placement) return;
    this.setFields(placement);
    this.unwritten = null;
    this.writtenAt = performance.now();
    this.refresh();
  }

  /** One edit, and one undo step. @param {(now: Placement) => Placement} change */
  edit(change) {
    const now = this.placement();
    if (!now || !this.editable()) return;
    this.beginEdit("keys");
    this.place(change(now));
    this.endEdit();
  }

  reset() {
    if (this.isPlacedByRun()) return;
    this.beginEdit("keys");
    this.setFields(this.defaults);
    this.endEdit();
    this.refresh();
  }

  keepRandom() {
    if (!this.run) return;
    const { placement } = this.run;
    this.beginEdit("keys");
    setValue(this.node, "placement", "manual");
    this.setFields(placement);
    this.endEdit();
    this.refresh();
  }

  toggleSnap() {
    this.beginEdit("keys");
    this.node.setProperty("phd_snap", !this.snapsToGuides());
    this.endEdit();
    this.updateStatus();
  }

  /** @param {Placement} placement @returns {Point[]} The subject's corners in the frame. */
  corners(placement) {
    const scene = /** @type {LoadedImage} */ (this.scene),
      subject = /** @type {LoadedImage} */ (this.subject);
    return geometry.cornersOf(placement, subject.size, scene.size).map((point) => toFrame(this.view, point));
  }

  /**
   * Where the handles of the subject's box are: those that would be outside the canvas stand at its border.
   * @param {Placement} placement
   * @returns {{ corners: Point[], turn: Point }}
   */
  handles(placement) {
    const corners = this.corners(placement);
    const { width, height } = this.frameSize;
    /** @param {Point} point */
    const inside = ({ x, y }) => ({
      x: Math.min(Math.max(x, HANDLE_INSET), width - HANDLE_INSET),
      y: Math.min(Math.max(y, HANDLE_INSET), height - HANDLE_INSET),
    });
    return { corners: corners.map(inside), turn: inside(geometry.rotationHandle(corners)) };
  }

  /** @param {CanvasRenderingContext2D} context @param {Size} size */
  draw(context, size) {
    if (!this.scene) return;
    this.frameSize = size;
    this.view = fitted(this.scene.size, size, Math.min(MARGIN, size.width / 8, size.height / 8));
    const placement = this.placement();
    const widgets = Object.fromEntries(["feather", "ring", "shadow"].map((name) => [name, valueOf(this.node, name)]));
    this.painter.paint(context, this.view, {
      scene: this.scene,
      subject: this.subject,
      result: this.showsResult() ? this.result : null,
      placement,
      random: this.isRandom(),
      reach: Number(widgets.ring) + Math.floor(2.66 * Number(widgets.feather) + 0.5) || 0,
      shadow: widgets.shadow === true,
      guides: this.gestures.guides,
      under: () => this.timeline?.paint(context),
      earlier: this.earlier(),
      corners: placement && this.subject ? this.corners(placement) : [],
      handles: placement && this.editable() ? this.handles(placement) : null,
    });
  }
}

/** @param {LoadedImage} image @param {number[]} size @returns {LoadedImage} */
function withSize(image, [width, height]) {
  return { ...image, size: { width, height } };
}

/** @param {any} output of a run @returns {any[]} The images that it made; Stitch has a mask after each of its images. */
function imagesIn(output) {
  const images = output?.images ?? [];
  return output?.phd_report ? images.filter((_, index) => index % 2 === 0) : images;
}

/** @param {any} output @returns {Run | null} What Paste & Blend stored; null where it is missing or malformed. */
function runFrom(output) {
  const run = output?.phd_placement?.[0];
  return run && asFile(run.scene) && asFile(run.subject) && !geometry.invalidNumber(run.placement ?? {}) ? run : null;
}

/** @param {Placement | null} placement @param {Run} run */
function sameAsRun(placement, run) {
  return Boolean(placement && FIELDS.every((name) => placement[name] === run.placement[name]));
}
