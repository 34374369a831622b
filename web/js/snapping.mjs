/** Snaps a dragged subject to the scene's center, to the ground, and to multiples of 45 degrees. */

import { boundsOf, cornersOf, moved } from "./placement.mjs";

/** @import { Placement, Size } from "./placement.mjs" */
/** A line that a subject has snapped to, in scene pixels. @typedef {{ axis: "x" | "y", at: number }} Guide */

const STRAIGHT_DEGREES = 45,
  NEAR_DEGREES = 3;

/**
 * The lower end of the subject's box, in scene pixels.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 */
export function footOf(placement, subject, scene) {
  return boundsOf(cornersOf(placement, subject, scene)).bottom;
}

/**
 * Snaps a moved subject to the scene's center and to the ground: the scene's lower edge, or where it stood.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 * @param {number} reach how near a line must be, in scene pixels
 * @param {number} ground the subject's lower end when the drag began, in scene pixels
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

/** @param {Placement} placement @returns {Placement} Snapped to a near multiple of 45 degrees. */
export function straightened(placement) {
  const straight = Math.round(placement.rotation / STRAIGHT_DEGREES) * STRAIGHT_DEGREES;
  return Math.abs(placement.rotation - straight) <= NEAR_DEGREES ? { ...placement, rotation: straight } : placement;
}
