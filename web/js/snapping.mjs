/** Where a dragged subject likes to stand: the scene's center, its ground, and straight up. */

import { boundsOf, cornersOf, moved } from "./placement.mjs";

/** @typedef {import("./placement.mjs").Placement} Placement */
/** @typedef {import("./placement.mjs").Size} Size */
/** A line that a subject stands on, in scene pixels. @typedef {{ axis: "x" | "y", at: number }} Guide */

const STRAIGHT_DEGREES = 45,
  NEAR_DEGREES = 3;

/**
 * The scene pixel on which a subject's box stands.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 */
export function footOf(placement, subject, scene) {
  return boundsOf(cornersOf(placement, subject, scene)).bottom;
}

/**
 * A moved subject, drawn to the scene's center and to the ground: the scene's lower edge, or where it stood before.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 * @param {number} reach in scene pixels: how near a line must be
 * @param {number} ground where the subject's foot was when the drag began
 * @returns {{ placement: Placement, guides: Guide[] }}
 */
export function snapped(placement, subject, scene, reach, ground) {
  const foot = footOf(placement, subject, scene);
  /** @type {Guide[]} */
  const guides = [];
  const across = scene.width / 2 - placement.x * scene.width;
  const pull = { x: 0, y: 0 };
  if (Math.abs(across) <= reach) {
    pull.x = across;
    guides.push({ axis: "x", at: scene.width / 2 });
  }
  const lines = [
    { by: ground - foot, at: ground },
    { by: scene.height - foot, at: scene.height },
    { by: scene.height / 2 - placement.y * scene.height, at: scene.height / 2 },
  ];
  const nearest = lines.reduce((best, line) => (Math.abs(line.by) < Math.abs(best.by) ? line : best));
  if (Math.abs(nearest.by) <= reach) {
    pull.y = nearest.by;
    guides.push({ axis: "y", at: nearest.at });
  }
  return { placement: moved(placement, scene, pull.x, pull.y), guides };
}

/** @param {Placement} placement @returns {Placement} Brought to a multiple of 45 degrees that is near. */
export function straightened(placement) {
  const straight = Math.round(placement.rotation / STRAIGHT_DEGREES) * STRAIGHT_DEGREES;
  return Math.abs(placement.rotation - straight) <= NEAR_DEGREES ? { ...placement, rotation: straight } : placement;
}
