/** Points and a box as Segment's text widgets store them, in pixels of the image. */

/** @import { Point, Size } from "./placement.mjs" */
/** @typedef {{ x: number, y: number, width: number, height: number }} Box */
/** @typedef {{ positive: Point[], negative: Point[], box: Box | null }} Prompt */
/** @typedef {"positive" | "negative"} Kind */

const MAX_PIXELS = 1e6;
const KEYS = ["x", "y", "width", "height"];

/**
 * Groups of numbers from "x, y; x, y", "[[x, y], ...]" or '[{"x": 1, "y": 2}, ...]', as Python reads them.
 * @param {unknown} text @param {number} each numbers in a group
 * @returns {number[][] | null} null for any other text
 */
export function parsed(text, each) {
  if (typeof text !== "string") return null;
  const trimmed = text.trim();
  /** @type {number[]} */
  let numbers;
  if (trimmed.startsWith("[") && trimmed.includes("{")) {
    try {
      numbers = JSON.parse(trimmed).flatMap((group) => KEYS.slice(0, each).map((key) => number(group[key])));
    } catch {
      return null;
    }
  } else {
    if (!/^[\d\s.,;eE+\-[\]()]*$/.test(trimmed)) return null;
    numbers = trimmed
      .split(/[\s,;[\]()]+/)
      .filter(Boolean)
      .map(number);
  }
  if (numbers.length % each || !numbers.every((value) => Math.abs(value) < MAX_PIXELS)) return null;
  return Array.from({ length: numbers.length / each }, (_, index) => numbers.slice(index * each, (index + 1) * each));
}

/** @param {unknown} value @returns {number} NaN for what Python's float() does not read, such as "". */
function number(value) {
  if (typeof value === "string") return value.trim() === "" ? NaN : Number(value);
  return typeof value === "number" || typeof value === "boolean" ? Number(value) : NaN;
}

/**
 * Groups of numbers in pixels. As in Python, numbers of 0 to 1 only, with a decimal point, are fractions of the image.
 * @param {unknown} text @param {number} each numbers in a group: 2 for points, 4 for boxes
 * @param {Size | null} size of the image; null leaves fractions as they are
 * @returns {number[][] | null}
 */
export function inPixels(text, each, size) {
  const groups = parsed(text, each);
  if (!size || !groups?.length || !String(text).includes(".")) return groups;
  if (!groups.flat().every((value) => value >= 0 && value <= 1)) return groups;
  const { width, height } = size;
  if (each === 2) return groups.map(([x, y]) => [Math.min(x * width, width - 1), Math.min(y * height, height - 1)]);
  return groups.map(([x, y, w, h]) => [x * width, y * height, w * width, h * height]);
}

/** @param {unknown} text @param {Size | null} [size] of the image @returns {Point[] | null} */
export function pointsFrom(text, size = null) {
  return inPixels(text, 2, size)?.map(([x, y]) => ({ x, y })) ?? null;
}

/**
 * @param {unknown} text @param {Size | null} [size] of the image
 * @returns {{ box: Box | null } | null} null where it is neither one box nor empty.
 */
export function boxFrom(text, size = null) {
  const groups = inPixels(text, 4, size);
  if (!groups || groups.length > 1) return null;
  if (!groups.length) return { box: null };
  const [x, y, width, height] = groups[0];
  return width > 0 && height > 0 ? { box: { x, y, width, height } } : null;
}

/** @param {Point[]} points */
export function pointsText(points) {
  return points.map(({ x, y }) => `${x}, ${y}`).join("; ");
}

/** @param {Box | null} box */
export function boxText(box) {
  return box ? `${box.x}, ${box.y}, ${box.width}, ${box.height}` : "";
}

/**
 * The pixel of an image at a point; the nearest one for a point outside.
 * @param {Point} at @param {Size} size
 * @returns {Point}
 */
export function pixelAt({ x, y }, size) {
  const inside = (value, side) => Math.min(Math.max(Math.floor(value), 0), side - 1);
  return { x: inside(x, size.width), y: inside(y, size.height) };
}

/**
 * The box of whole pixels between two points, inside the image; null where a side is shorter than `least`.
 * @param {Point} from @param {Point} to @param {Size} size @param {number} least pixels
 * @returns {Box | null}
 */
export function boxBetween(from, to, size, least) {
  const ends = (a, b, side) => [a, b].map((v) => Math.min(Math.max(Math.round(v), 0), side)).sort((p, q) => p - q);
  const [left, right] = ends(from.x, to.x, size.width),
    [top, bottom] = ends(from.y, to.y, size.height);
  const box = { x: left, y: top, width: right - left, height: bottom - top };
  return box.width >= Math.max(least, 1) && box.height >= Math.max(least, 1) ? box : null;
}
