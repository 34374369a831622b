/** Turns pointers, keys and the wheel on the placement editor into placements of the subject. */

import * as geometry from "./placement.mjs";
import { footOf, snapped, straightened } from "./snapping.mjs";
import { nearest, toImage } from "./view_transform.mjs";

/** @import { Placement, Point } from "./placement.mjs" */
/** @import { EditorPointer } from "../types" */
/** @import { LoadedImage } from "./images.mjs" */
/**
 * A drag: the placement and the points of the scene that it started from.
 * @typedef {object} Drag
 * @property {"move" | "size" | "turn" | "pinch"} mode
 * @property {Placement} start
 * @property {Point[]} from
 * @property {number} corner the one that is dragged, or -1
 * @property {number} ground scene row of the subject's lower edge at the start
 */

const HANDLE_REACH = 11,
  SNAP_REACH = 7;
const STEP_DEGREES = 15,
  STEP_SIZE = 1.02,
  WHEEL_REST_MS = 300;

export class PlacementGestures {
  /** @param {import("./placement_editor.mjs").PlacementEditor} editor */
  constructor(editor) {
    this.editor = editor;
    /** @type {Drag | null} */
    this.gesture = null;
    /** The placement before the drag, for a canceled one. @type {Placement | null} */
    this.startOfDrag = null;
    /** @type {import("./snapping.mjs").Guide[]} */
    this.guides = [];
    this.wheelRest = 0;
  }

  /**
   * What a press at a point of the frame would drag; null where it is on nothing.
   * @param {Point} at @param {boolean} coarse a finger, not a mouse
   * @returns {{ mode: "turn" | "size" | "move", corner: number } | null}
   */
  grip(at, coarse) {
    if (!this.editor.editable()) return null;
    const placement = /** @type {Placement} */ (this.editor.placement());
    const scene = /** @type {LoadedImage} */ (this.editor.scene),
      subject = /** @type {LoadedImage} */ (this.editor.subject);
    const reach = coarse ? 2 * HANDLE_REACH : HANDLE_REACH;
    const handles = this.editor.handles(placement);
    if (nearest([handles.turn], at, reach) === 0) return { mode: "turn", corner: -1 };
    const corner = nearest(handles.corners, at, reach);
    if (corner >= 0) return { mode: "size", corner };
    const inside = geometry.covers(placement, subject.size, scene.size, toImage(this.editor.view, at));
    return inside ? { mode: "move", corner: -1 } : null;
  }

  /** @param {EditorPointer} pointer */
  press(pointer) {
    if (pointer.event.button !== 0) return false;
    this.editor.refresh();
    const start = this.editor.placement();
    if (this.gesture && this.editor.frame.pointers.size === 1 && start) {
      const [first] = this.editor.frame.pointers.values();
      const from = [first, pointer].map(({ at }) => toImage(this.editor.view, at));
      this.gesture = { ...this.gesture, mode: "pinch", start, from };
      return true;
    }
    const grip = this.gesture ? null : this.grip(pointer.at, pointer.event.pointerType === "touch");
    if (!grip || !start) return false;
    const scene = /** @type {LoadedImage} */ (this.editor.scene),
      subject = /** @type {LoadedImage} */ (this.editor.subject);
    this.editor.beginEdit("drag");
    this.startOfDrag = start;
    this.gesture = {
      ...grip,
      start,
      from: [toImage(this.editor.view, pointer.at)],
      ground: footOf(start, subject.size, scene.size),
    };
    return true;
  }

  /** @param {EditorPointer[]} pointers */
  drag(pointers) {
    const { gesture } = this;
    if (!gesture || !this.editor.scene || !this.editor.subject || !pointers.length) return;
    const { mode, start, from, corner, ground } = gesture;
    const subject = this.editor.subject.size,
      scene = this.editor.scene.size;
    const to = pointers.map(({ at }) => toImage(this.editor.view, at));
    const { altKey, shiftKey } = pointers[0].event;
    const noSnapping = altKey || !this.editor.snapsToGuides();
    this.guides = [];
    if (mode === "pinch") {
      if (to.length === 2) this.editor.place(geometry.pinched(start, scene, from, to));
    } else if (mode === "size") {
      // The corner moves as the pointer does: its handle may stand beside it.
      const { x, y } = geometry.cornersOf(start, subject, scene)[corner];
      const moved = { x: x + to[0].x - from[0].x, y: y + to[0].y - from[0].y };
      this.editor.place(geometry.sized(start, subject, scene, corner, moved, altKey));
    } else if (mode === "turn") {
      const turned = geometry.turned(start, scene, from[0], to[0]);
      const steps = Math.round(turned.rotation / STEP_DEGREES) * STEP_DEGREES;
      this.editor.place(shiftKey ? { ...turned, rotation: steps } : noSnapping ? turned : straightened(turned));
    } else {
      const by = { x: to[0].x - from[0].x, y: to[0].y - from[0].y };
      // Shift restricts the move to one axis.
      if (shiftKey) by[Math.abs(by.x) < Math.abs(by.y) ? "x" : "y"] = 0;
      const moved = geometry.moved(start, scene, by.x, by.y);
      const result = noSnapping
        ? { placement: moved, guides: [] }
        : snapped(moved, subject, scene, SNAP_REACH / this.editor.view.scale, ground);
      this.guides = result.guides;
      this.editor.place(result.placement);
    }
  }

  /** @param {boolean} canceled */
  release(canceled) {
    if (!this.gesture) return;
    this.editor.writeWidgets(canceled ? this.startOfDrag : null);
    if (this.editor.frame.pointers.size && !canceled) {
      // One of two fingers was lifted: the other one goes on moving the subject.
      const [other] = this.editor.frame.pointers.values();
      const start = /** @type {Placement} */ (this.editor.placement());
      this.gesture = { ...this.gesture, mode: "move", start, from: [toImage(this.editor.view, other.at)] };
      return;
    }
    this.gesture = null;
    this.guides = [];
    if (this.editor.openEdit === "drag") this.editor.endEdit();
    this.editor.updateStatus();
  }

  /** @param {Point | null} at @param {PointerEvent | null} event @returns {string} A CSS cursor. */
  cursor(at, event) {
    if (!at) return "";
    const grip = this.grip(at, event?.pointerType === "touch");
    if (!grip) return "default";
    if (grip.mode !== "size") return grip.mode === "turn" ? "grab" : "move";
    const corners = this.editor.corners(/** @type {Placement} */ (this.editor.placement()));
    const from = corners[(grip.corner + 2) % 4],
      to = corners[grip.corner];
    return (to.x - from.x) * (to.y - from.y) > 0 ? "nwse-resize" : "nesw-resize";
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.editor.editable() || this.gesture) return false;
    const step = event.shiftKey ? 10 : 1,
      scene = /** @type {LoadedImage} */ (this.editor.scene).size;
    /** @type {Record<string, (now: Placement) => Placement>} */
    const changes = {
      ArrowLeft: (now) => geometry.moved(now, scene, -step, 0),
      ArrowRight: (now) => geometry.moved(now, scene, step, 0),
      ArrowUp: (now) => geometry.moved(now, scene, 0, -step),
      ArrowDown: (now) => geometry.moved(now, scene, 0, step),
      "+": (now) => geometry.resized(now, STEP_SIZE),
      "=": (now) => geometry.resized(now, STEP_SIZE),
      "-": (now) => geometry.resized(now, 1 / STEP_SIZE),
      _: (now) => geometry.resized(now, 1 / STEP_SIZE),
      r: (now) => geometry.rotated(now, event.shiftKey ? -STEP_DEGREES : STEP_DEGREES),
      f: (now) => ({ ...now, flip: !now.flip }),
    };
    if (event.key === "0") {
      this.editor.reset();
      return true;
    }
    const change = changes[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!change) return false;
    this.editor.beginEdit("keys");
    this.editor.place(change(/** @type {Placement} */ (this.editor.placement())));
    return true;
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    const now = this.editor.placement();
    if (!event.ctrlKey || !now || !this.editor.editable() || this.gesture) return false;
    this.editor.beginEdit("wheel");
    this.editor.place(
      geometry.resized(now, Math.exp(-0.0015 * Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120))),
    );
    clearTimeout(this.wheelRest);
    this.wheelRest = window.setTimeout(() => this.editor.endEdit(), WHEEL_REST_MS);
    return true;
  }
}
