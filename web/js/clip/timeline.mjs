/**
 * The timeline of the placement editor: a slider through the frames of a clip, and the keyframes on it.
 *
 * It is loaded where a node has keyframes or a track, or the user opens it after a run of several scenes.
 */

import { isLinked } from "../graph_links.mjs";
import { setValue, shownName, valueOf } from "../node_widgets.mjs";
import { addStyle } from "../page_style.mjs";
import { invalidNumber, NUMBERS } from "../placement.mjs";
import { toFrame } from "../view_transform.mjs";
import { readKeyframes, valuesAt, writeKeyframes } from "./keyframes.mjs";

/** @typedef {import("../placement.mjs").Placement} Placement */
/** @typedef {import("./keyframes.mjs").Keyframe} Keyframe */
/** @typedef {import("../placement_editor.mjs").PlacementEditor} PlacementEditor */

const STYLE = `
.phd-timeline { display: flex; gap: 4px; align-items: center; flex: none; height: 22px; }
.phd-timeline .phd-frames { position: relative; flex: 1 1 0; min-width: 60px; height: 22px; }
.phd-timeline input { position: absolute; inset: 2px 0 0; width: 100%; margin: 0; accent-color: var(--p-primary-color, #5b9dff); }
.phd-timeline i { position: absolute; top: 0; width: 6px; height: 6px; margin-left: -3px; transform: rotate(45deg);
  background: #ff8c00; pointer-events: none; }
.phd-timeline output { flex: none; min-width: 3.5em; text-align: right; }
`;
const HEIGHT = 30,
  /** How wide a slider's thumb is, about: its middle does not reach the ends. */
  THUMB = 16;
const GHOST = 0.3,
  PATH = "#ff8c00";

export class Timeline {
  /** @param {PlacementEditor} editor */
  constructor(editor) {
    this.editor = editor;
    this.frame = 0;
    this.frames = 2;
    this.text = "";
    /** @type {Keyframe[]} */
    this.keyframes = [];
    /** The line of the text that is no keyframe. @type {string | null} */
    this.wrong = null;
    /** The stored scene that is shown, by its name. */
    this.shown = "";
    addStyle("phd-timeline-style", STYLE);
    this.element = document.createElement("div");
    this.element.className = "phd-timeline";
    this.element.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.slider = document.createElement("input");
    Object.assign(this.slider, { type: "range", min: "0", step: "1" });
    this.slider.setAttribute("aria-label", editor.text("frame"));
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.marks = document.createElement("span");
    const strip = document.createElement("div");
    strip.className = "phd-frames";
    strip.append(this.slider, this.marks);
    this.number = document.createElement("output");
    this.element.append(strip, this.number);
    const before = this.button("◀", "keyBefore", () => this.go(this.near(-1)));
    strip.before(before);
    this.button("▶", "keyAfter", () => this.go(this.near(1)));
    this.setButton = this.button("◆", "keySet", () => this.toggle());
    this.easeButton = this.button("∿", "keyEase", () =>
      this.change((keyframes) => keyframes.map((one) => (one === this.here() ? { ...one, eases: !one.eases } : one))),
    );
    editor.frame.bar.before(this.element);
    editor.frame.extra = HEIGHT;
    editor.frame.sizeChanged();
  }

  /** @param {string} label @param {import("../translations.mjs").TextKey} help @param {() => void} action */
  button(label, help, action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.title = this.editor.text(help);
    button.setAttribute("aria-label", button.title);
    button.addEventListener("click", this.editor.frame.showingErrors(action));
    this.element.append(button);
    return button;
  }

  /** Reads the node. */
  refresh() {
    const { node, run } = this.editor;
    const text = String(valueOf(node, "keyframes") ?? "");
    if (text !== this.text) {
      this.text = text;
      ({ keyframes: this.keyframes, wrong: this.wrong } = readKeyframes(text));
    }
    this.frames = run?.clip?.frames ?? Math.max(2, (this.keyframes.at(-1)?.frame ?? 0) + 1);
    this.slider.max = String(this.frames - 1);
    this.frame = Math.min(this.frame, this.frames - 1);
    this.slider.value = String(this.frame);
    this.number.value = `${this.frame} / ${this.frames - 1}`;
    const last = this.frames - 1;
    this.marks.replaceChildren(
      ...this.keyframes
        .filter(({ frame }) => frame <= last)
        .map(({ frame }) => {
          const mark = document.createElement("i");
          mark.style.left = `calc(${THUMB / 2}px + (100% - ${THUMB}px) * ${frame / last})`;
          return mark;
        }),
    );
    this.setButton.setAttribute("aria-pressed", String(Boolean(this.here())));
    this.easeButton.disabled = !this.here();
    this.easeButton.setAttribute("aria-pressed", String(Boolean(this.here()?.eases)));
    this.showScene();
  }

  /** What is wrong with the keyframes; null where nothing is. @returns {string | null} */
  problem() {
    const values = { name: shownName(this.editor.node, "keyframes"), value: JSON.stringify(this.wrong) };
    return this.wrong === null ? null : this.editor.text("badText", values);
  }

  /** Whether the placement comes from here, and not from the widgets alone. */
  drives() {
    return this.keyframes.length > 0 || isLinked(this.editor.node, "track");
  }

  /** @param {number} [frame] @returns {Placement | null} */
  placement(frame = this.frame) {
    const { node, frontend } = this.editor;
    const tracked = isLinked(node, "track") && frontend.outputsOf(node)?.phd_placement_used?.[frame];
    const values = { ...this.editor.values(), ...(tracked || {}), ...valuesAt(this.keyframes, frame) };
    return invalidNumber(values) ? null : /** @type {Placement} */ ({ ...values, flip: Boolean(values.flip) });
  }

  here() {
    return this.keyframes.find(({ frame }) => frame === this.frame);
  }

  /** @param {-1 | 1} way @returns {number} The frame of the next keyframe that way; without one, the end of the clip. */
  near(way) {
    const frames = this.keyframes.map(({ frame }) => frame);
    return way > 0
      ? (frames.find((frame) => frame > this.frame) ?? this.frames - 1)
      : (frames.reverse().find((frame) => frame < this.frame) ?? 0);
  }

  /** @param {number} frame */
  go(frame) {
    this.editor.endEdit();
    this.frame = Math.min(frame, this.frames - 1);
    this.editor.refresh();
    this.editor.frame.redraw();
  }

  /** Shows the stored scene that is nearest to the frame. */
  async showScene() {
    const { editor } = this,
      scenes = editor.run?.clip?.scenes ?? [];
    const distance = (/** @type {number} */ frame) => Math.abs(frame - this.frame);
    const [, file] = [...scenes].sort(([one], [other]) => distance(one) - distance(other))[0] ?? [];
    if (!file || !editor.scene || file.filename === this.shown) return;
    this.shown = file.filename;
    const image = await editor.fetchImage(file).catch(() => null);
    if (!image || this.shown !== file.filename || !editor.scene) return;
    editor.scene = { ...image, size: editor.scene.size };
    editor.frame.redraw();
  }

  /** Sets a keyframe here where there is none; else deletes it. */
  toggle() {
    const now = this.placement();
    if (this.here()) this.change((keyframes) => keyframes.filter((one) => one !== this.here()));
    else if (now) this.change((keyframes) => this.withKey(keyframes, now, ["x", "y", "size"]));
  }

  /** One undo step. @param {(keyframes: Keyframe[]) => Keyframe[]} change */
  change(change) {
    this.editor.beginEdit("keys");
    setValue(this.editor.node, "keyframes", writeKeyframes(change(this.keyframes)));
    this.editor.endEdit();
    this.editor.refresh();
    this.editor.frame.redraw();
  }

  /**
   * Sets the keyframe here: the values that any keyframe names, those that change, and `always`.
   * @param {Keyframe[]} keyframes @param {Placement} placement @param {string[]} always
   */
  withKey(keyframes, placement, always = []) {
    const now = this.placement() ?? placement;
    const wanted = [...NUMBERS, "flip"].filter(
      (name) =>
        always.includes(name) || placement[name] !== now[name] || keyframes.some(({ values }) => name in values),
    );
    const values = Object.fromEntries(wanted.map((name) => [name, placement[name]]));
    // An edit gives an angle of half a turn at most; the path may have turned further.
    if ("rotation" in values) values.rotation += 360 * Math.round((now.rotation - values.rotation) / 360);
    const others = keyframes.filter(({ frame }) => frame !== this.frame);
    const one = { frame: this.frame, values, eases: this.here()?.eases ?? false };
    return [...others, one].sort((first, second) => first.frame - second.frame);
  }

  /** Takes a placement that was edited here; the editor holds the undo step. @param {Placement} placement */
  write(placement) {
    const now = this.placement();
    if (now && Object.keys(placement).every((name) => placement[name] === now[name])) return;
    setValue(this.editor.node, "keyframes", writeKeyframes(this.withKey(this.keyframes, placement)));
  }

  /** The path, and the subject at the keyframes before and after. @param {CanvasRenderingContext2D} context */
  paint(context) {
    const { scene, subject, painter, view } = this.editor;
    if (!scene || !subject || this.keyframes.length < 2) return;
    for (const frame of new Set([this.near(-1), this.near(1)])) {
      const placement = this.placement(frame);
      if (frame === this.frame || !placement) continue;
      context.save();
      context.globalAlpha = GHOST;
      painter.paintEarlier(context, view, scene, { subject, placement });
      context.restore();
    }
    context.save();
    context.beginPath();
    const step = Math.max(1, Math.round(this.frames / 256));
    for (let frame = 0; frame < this.frames; frame += step) {
      const placement = this.placement(frame);
      if (!placement) continue;
      const { x, y } = toFrame(view, { x: placement.x * scene.size.width, y: placement.y * scene.size.height });
      context.lineTo(x, y);
    }
    context.strokeStyle = PATH;
    context.setLineDash([2, 3]);
    context.stroke();
    context.restore();
  }
}
