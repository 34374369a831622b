/** Converts between pixels of an image and of the frame that shows it. */

/** @import { Point, Size } from "./placement.mjs" */
/** @typedef {{ scale: number, x: number, y: number }} View Frame pixels per image pixel; the image's top left. */

/**
 * Fits the whole image into the middle of a frame, with a margin around it.
 * @param {Size} image @param {Size} frame @param {number} margin
 * @returns {View}
 */
export function fitted(image, frame, margin) {
  const width = Math.max(frame.width - 2 * margin, 1),
    height = Math.max(frame.height - 2 * margin, 1);
  const scale = Math.min(width / image.width, height / image.height);
  return { scale, x: (frame.width - image.width * scale) / 2, y: (frame.height - image.height * scale) / 2 };
}

/** @param {View} view @param {Point} point @returns {Point} */
export function toImage(view, { x, y }) {
  return { x: (x - view.x) / view.scale, y: (y - view.y) / view.scale };
}

/** @param {View} view @param {Point} point @returns {Point} */
export function toFrame(view, { x, y }) {
  return { x: x * view.scale + view.x, y: y * view.scale + view.y };
}

/**
 * The index of the nearest point within `reach`, or -1.
 * @param {Point[]} points @param {Point} at @param {number} reach
 */
export function nearest(points, at, reach) {
  let found = -1,
    best = reach;
  points.forEach((point, index) => {
    const distance = Math.hypot(point.x - at.x, point.y - at.y);
    if (distance <= best) [found, best] = [index, distance];
  });
  return found;
}

/**
 * A size with the same proportions whose longer side is no longer than `side`.
 * @param {Size} size @param {number} side
 * @returns {Size}
 */
export function within(size, side) {
  const scale = Math.min(1, side / Math.max(size.width, size.height));
  return { width: Math.max(1, Math.round(size.width * scale)), height: Math.max(1, Math.round(size.height * scale)) };
}
