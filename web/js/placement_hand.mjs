/** A hand on the placement editor: pointers, keys and the wheel, made into placements. */

import * as geometry from "./placement.mjs";
import { footOf, snapped, straightened } from "./snapping.mjs";
import { nearest, toImage } from "./view.mjs";

/** @typedef {import("./placement.mjs").Placement} Placement */
/** @typedef {import("./placement.mjs").Point} Point */
/** @typedef {import("./frame.mjs").Touch} Touch */
/** @typedef {import("./images.mjs").Image} Image */
/**
 * What is done since a pointer was pressed: from which placement and points of the scene, and the ground stood on then.
 * @typedef {object} Drag
 * @property {"move" | "size" | "turn" | "pinch"} mode
 * @property {Placement} start
 * @property {Point[]} from
 * @property {number} corner -1 where none was taken
 * @property {number} ground
 */

const HANDLE_REACH = 11,
  SNAP_REACH = 7;
const STEP_DEGREES = 15,
  STEP_SIZE = 1.02,
  WHEEL_REST_MS = 300;

export class PlacementHand {
  /** @param {import("./placement_editor.mjs").PlacementEditor} editor */
  constructor(editor) {
    this.editor = editor;
    /** @type {Drag | null} */
    this.dragging = null;
    /** @type {Placement | null} Where a drag began. */
    this.undone = null;
    /** @type {import("./snapping.mjs").Guide[]} */
    this.guides = [];
    this.wheelRest = 0;
  }

  /** @param {Point} at @param {boolean} coarse @returns {{ mode: "turn" | "size" | "move", corner: number } | null} */
  grip(at, coarse) {
    if (!this.editor.editable()) return null;
    const placement = /** @type {Placement} */ (this.editor.placement());
    const scene = /** @type {Image} */ (this.editor.scene),
      subject = /** @type {Image} */ (this.editor.subject);
    const reach = coarse ? 2 * HANDLE_REACH : HANDLE_REACH;
    const corners = this.editor.corners(placement);
    if (nearest([geometry.turnHandle(corners)], at, reach) === 0) return { mode: "turn", corner: -1 };
    const corner = nearest(corners, at, reach);
    if (corner >= 0) return { mode: "size", corner };
    const inside = geometry.covers(placement, subject.size, scene.size, toImage(this.editor.view, at));
    return inside ? { mode: "move", corner: -1 } : null;
  }

  /** @param {Touch} touch */
  press(touch) {
    if (touch.event.button !== 0) return false;
    this.editor.refresh();
    const start = this.editor.placement();
    if (this.dragging && this.editor.frame.touches.size === 1 && start) {
      const [first] = this.editor.frame.touches.values();
      const from = [first, touch].map(({ at }) => toImage(this.editor.view, at));
      this.dragging = { ...this.dragging, mode: "pinch", start, from };
      return true;
    }
    const grip = this.dragging ? null : this.grip(touch.at, touch.event.pointerType === "touch");
    if (!grip || !start) return false;
    const scene = /** @type {Image} */ (this.editor.scene),
      subject = /** @type {Image} */ (this.editor.subject);
    this.editor.begin("drag");
    this.undone = start;
    this.dragging = {
      ...grip,
      start,
      from: [toImage(this.editor.view, touch.at)],
      ground: footOf(start, subject.size, scene.size),
    };
    return true;
  }

  /** @param {Touch[]} touches */
  drag(touches) {
    const { dragging } = this;
    if (!dragging || !this.editor.scene || !this.editor.subject || !touches.length) return;
    const { mode, start, from, corner, ground } = dragging;
    const subject = this.editor.subject.size,
      scene = this.editor.scene.size;
    const to = touches.map(({ at }) => toImage(this.editor.view, at));
    const { altKey, shiftKey } = touches[0].event;
    const free = altKey || !this.editor.snaps();
    this.guides = [];
    if (mode === "pinch") {
      if (to.length === 2) this.editor.put(geometry.pinched(start, scene, from, to));
    } else if (mode === "size") {
      this.editor.put(geometry.sized(start, subject, scene, corner, to[0], altKey));
    } else if (mode === "turn") {
      const turned = geometry.turned(start, scene, from[0], to[0]);
      const steps = Math.round(turned.rotation / STEP_DEGREES) * STEP_DEGREES;
      this.editor.put(shiftKey ? { ...turned, rotation: steps } : free ? turned : straightened(turned));
    } else {
      const by = { x: to[0].x - from[0].x, y: to[0].y - from[0].y };
      // Shift keeps to the axis of the longer way.
      if (shiftKey) by[Math.abs(by.x) < Math.abs(by.y) ? "x" : "y"] = 0;
      const moved = geometry.moved(start, scene, by.x, by.y);
      const result = free
        ? { placement: moved, guides: [] }
        : snapped(moved, subject, scene, SNAP_REACH / this.editor.view.scale, ground);
      this.guides = result.guides;
      this.editor.put(result.placement);
    }
  }

  /** @param {boolean} canceled */
  release(canceled) {
    if (!this.dragging) return;
    this.editor.catchUp(canceled ? this.undone : null);
    if (this.editor.frame.touches.size && !canceled) {
      // One finger of two was lifted: the other one goes on moving.
      const [other] = this.editor.frame.touches.values();
      const start = /** @type {Placement} */ (this.editor.placement());
      this.dragging = { ...this.dragging, mode: "move", start, from: [toImage(this.editor.view, other.at)] };
      return;
    }
    this.dragging = null;
    this.guides = [];
    if (this.editor.holding === "drag") this.editor.end();
    this.editor.tell();
  }

  /** @param {Point | null} at @param {PointerEvent | null} event */
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
    if (event.ctrlKey || event.metaKey || event.altKey || !this.editor.editable() || this.dragging) return false;
    const step = event.shiftKey ? 10 : 1,
      scene = /** @type {Image} */ (this.editor.scene).size;
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
    this.editor.begin("keys");
    this.editor.put(change(/** @type {Placement} */ (this.editor.placement())));
    return true;
  }

  /** @param {WheelEvent} event */
  wheel(event) {
    const now = this.editor.placement();
    if (!event.ctrlKey || !now || !this.editor.editable() || this.dragging) return false;
    this.editor.begin("wheel");
    this.editor.put(
      geometry.resized(now, Math.exp(-0.0015 * Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120))),
    );
    clearTimeout(this.wheelRest);
    this.wheelRest = window.setTimeout(() => this.editor.end(), WHEEL_REST_MS);
    return true;
  }
}
