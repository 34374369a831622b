/** The edges of a mask as polygons, and the box around it. */

import { within } from "./view_transform.mjs";

/** @typedef {import("./placement.mjs").Point} Point */
/** Masks are reduced to this side before they are traced. */
const OUTLINE_SIDE = 320;
/** Rows of 0..255. @typedef {{ data: Uint8Array | Uint8ClampedArray, width: number, height: number }} Mask */

/**
 * The smallest box around all pixels of a mask above a threshold; null where there is none.
 * @param {Mask} mask @param {number} threshold 0..255
 */
export function boxOf({ data, width, height }, threshold) {
  let left = width,
    top = -1,
    right = 0,
    bottom = 0;
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let first = 0;
    while (first < width && data[row + first] <= threshold) first++;
    if (first === width) continue;
    let last = width - 1;
    while (data[row + last] <= threshold) last--;
    if (top < 0) top = y;
    bottom = y + 1;
    left = Math.min(left, first);
    right = Math.max(right, last + 1);
  }
  return top < 0 ? null : { x: left, y: top, width: right - left, height: bottom - top };
}

/**
 * Whether a mask seems to be 1 around the subject and 0 on it: it covers most of the image's border, and less than half
 * of its middle.
 * @param {Mask} mask
 */
export function looksInverted({ data, width, height }) {
  let border = 0,
    borderSize = 0,
    middle = 0,
    middleSize = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const covered = data[y * width + x] > 127 ? 1 : 0;
      if (x === 0 || y === 0 || x === width - 1 || y === height - 1) {
        border += covered;
        borderSize++;
      } else if (3 * x >= width && 3 * x < 2 * width && 3 * y >= height && 3 * y < 2 * height) {
        middle += covered;
        middleSize++;
      }
    }
  }
  return border > 0.5 * borderSize && middle < 0.5 * middleSize;
}

/**
 * The closed edges of a mask's pixels above a threshold, holes included, as few points as show them.
 * @param {Mask} mask @param {number} threshold 0..255
 * @param {number} [tolerance] in pixels of the mask
 * @returns {Point[][]}
 */
export function outlinesOf({ data, width, height }, threshold, tolerance = 1) {
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && data[y * width + x] > threshold;
  // Every edge of a pixel between inside and outside, from its start (a grid point) to its ends, inside on the right.
  /** @type {Map<number, number[]>} */
  const edges = new Map();
  const stride = width + 1;
  const add = (x, y, toX, toY) => {
    const from = y * stride + x,
      to = toY * stride + toX,
      known = edges.get(from);
    if (known) known.push(to);
    else edges.set(from, [to]);
  };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!inside(x, y)) continue;
      if (!inside(x, y - 1)) add(x, y, x + 1, y);
      if (!inside(x + 1, y)) add(x + 1, y, x + 1, y + 1);
      if (!inside(x, y + 1)) add(x + 1, y + 1, x, y + 1);
      if (!inside(x - 1, y)) add(x, y + 1, x, y);
    }
  }
  /** @type {Point[][]} */
  const outlines = [];
  for (const start of edges.keys()) {
    while (edges.get(start)?.length) {
      /** @type {Point[]} */
      const points = [];
      let at = start;
      do {
        points.push({ x: at % stride, y: Math.floor(at / stride) });
        at = /** @type {number} */ (edges.get(at)?.pop());
      } while (at !== start);
      outlines.push(simplified(points, tolerance));
    }
  }
  return outlines;
}

/**
 * A closed line with the points left out that lie within a tolerance of it (Douglas and Peucker 1973).
 * @param {Point[]} points @param {number} tolerance
 * @returns {Point[]}
 */
function simplified(points, tolerance) {
  if (points.length < 5) return points;
  // Begun at two points far from each other, which stay.
  let far = 0;
  points.forEach((point, index) => {
    const distance = (p) => Math.hypot(p.x - points[0].x, p.y - points[0].y);
    if (distance(point) > distance(points[far])) far = index;
  });
  const closed = [...points, points[0]];
  const kept = new Set([0, far]);
  const spans = [
    [0, far],
    [far, points.length],
  ];
  while (spans.length) {
    const [first, last] = /** @type {number[]} */ (spans.pop());
    const from = closed[first],
      to = closed[last];
    const x = to.x - from.x,
      y = to.y - from.y,
      length = Math.hypot(x, y);
    let worst = tolerance,
      at = -1;
    for (let index = first + 1; index < last; index++) {
      const { x: px, y: py } = closed[index];
      const off = length
        ? Math.abs(x * (py - from.y) - y * (px - from.x)) / length
        : Math.hypot(px - from.x, py - from.y);
      if (off > worst) [worst, at] = [off, index];
    }
    if (at < 0) continue;
    kept.add(at);
    spans.push([first, at], [at, last]);
  }
  return [...kept].sort((a, b) => a - b).map((index) => points[index]);
}

/**
 * A mask's outlines, in fractions of the mask's width and height.
 * @param {Mask} mask @param {number} threshold 0..255
 * @returns {Point[][]}
 */
export function outlineFractions(mask, threshold) {
  const { width, height } = within(mask, OUTLINE_SIDE);
  /** @type {Mask} */
  const small = { data: new Uint8Array(width * height), width, height };
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * mask.height) / height) * mask.width;
    for (let x = 0; x < width; x++)
      small.data[y * width + x] = mask.data[row + Math.floor(((x + 0.5) * mask.width) / width)];
  }
  if (!boxOf(small, threshold)) return [];
  const outlines = outlinesOf(small, threshold).filter((outline) => outline.length > 3);
  return outlines.map((outline) => outline.map(({ x, y }) => ({ x: x / width, y: y / height })));
}
