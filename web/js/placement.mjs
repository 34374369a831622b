/**
 * The placement of a subject in a scene: the same arithmetic as `Placement` in `phd_ops/pixels/geometry.py`, and the
 * edits that an editor makes.
 *
 * Coordinates are continuous scene pixels: pixel i covers [i, i+1). Nothing here uses the browser.
 */

/** @typedef {{ width: number, height: number }} Size In pixels. */
/** @typedef {{ x: number, y: number }} Point */
/**
 * x, y: the subject's center as a fraction of the scene. size: the subject's longer side over the scene's shorter
 * side. rotation: degrees, counterclockwise as seen. flip: mirrored left to right, before rotation.
 * @typedef {{ x: number, y: number, size: number, rotation: number, flip: boolean }} Placement
 */
/**
 * a, b, c, d, e, f as a canvas takes them: x' = a x + c y + e, y' = b x + d y + f.
 * @typedef {[number, number, number, number, number, number]} Matrix
 */

export const NUMBERS = /** @type {const} */ (["x", "y", "size", "rotation"]);
/** Decimals that an edit writes: finer than a pixel of any scene, and still readable in a widget. */
const DECIMALS = { x: 5, y: 5, size: 5, rotation: 2 };
/** Distance from the subject's box to its rotation handle, in pixels of the frame. */
const TURN_ARM = 22;

/**
 * The first value that is no number or out of range, or null. The limits are those of Python.
 * @param {Record<string, unknown>} values
 * @returns {{ name: string, value: unknown, low: number, high: number } | null}
 */
export function invalidNumber(values) {
  /** @type {[string, number, number][]} */
  const limits = [
    ["x", -1e4, 1e4],
    ["y", -1e4, 1e4],
    ["size", 1e-4, 1e4],
    ["rotation", -1e12, 1e12],
  ];
  for (const [name, low, high] of limits) {
    const value = values[name];
    // A NaN compares as false.
    if (typeof value !== "number" || !(low <= value && value <= high)) return { name, value, low, high };
  }
  return null;
}

/**
 * Scene pixels per subject pixel.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 */
function scaleOf(placement, subject, scene) {
  return (placement.size * Math.min(scene.width, scene.height)) / Math.max(subject.width, subject.height);
}

/**
 * Continuous subject coordinates to continuous scene coordinates.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 * @returns {Matrix}
 */
export function matrixOf(placement, subject, scene) {
  const scale = scaleOf(placement, subject, scene);
  const angle = ((placement.rotation % 360) * Math.PI) / 180;
  const cos = Math.cos(angle) * scale,
    sin = Math.sin(angle) * scale;
  const mirror = placement.flip ? -1 : 1;
  const [a, b, c, d] = [cos * mirror, -sin * mirror, sin, cos];
  const e = placement.x * scene.width - (a * subject.width + c * subject.height) / 2;
  const f = placement.y * scene.height - (b * subject.width + d * subject.height) / 2;
  return [a, b, c, d, e, f];
}

/** @param {Matrix} matrix @param {Point} point @returns {Point} */
export function mapped([a, b, c, d, e, f], { x, y }) {
  return { x: a * x + c * y + e, y: b * x + d * y + f };
}

/** @param {Matrix} matrix @param {Point} point @returns {Point} The point that `mapped` takes to this one. */
export function unmapped([a, b, c, d, e, f], { x, y }) {
  const determinant = a * d - b * c;
  return { x: (d * (x - e) - c * (y - f)) / determinant, y: (a * (y - f) - b * (x - e)) / determinant };
}

/**
 * The subject's box in the scene: top left, top right, bottom right, bottom left of the subject as it is drawn.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 * @returns {Point[]}
 */
export function cornersOf(placement, subject, scene) {
  const { width, height } = subject;
  const matrix = matrixOf(placement, subject, scene);
  const corners = [
    [0, 0],
    [width, 0],
    [width, height],
    [0, height],
  ].map(([x, y]) => mapped(matrix, { x, y }));
  // The left side of a mirrored subject is seen on the right.
  return placement.flip ? [corners[1], corners[0], corners[3], corners[2]] : corners;
}

/** @param {Point[]} points */
export function boundsOf(points) {
  const x = points.map((point) => point.x),
    y = points.map((point) => point.y);
  return { left: Math.min(...x), top: Math.min(...y), right: Math.max(...x), bottom: Math.max(...y) };
}

/**
 * The share of the subject's upright bounding box that lies inside the scene, 0..1.
 * @param {Placement} placement @param {Size} subject @param {Size} scene
 */
export function visibleShare(placement, subject, scene) {
  const { left, top, right, bottom } = boundsOf(cornersOf(placement, subject, scene));
  const width = Math.max(0, Math.min(right, scene.width) - Math.max(left, 0));
  const height = Math.max(0, Math.min(bottom, scene.height) - Math.max(top, 0));
  return (width * height) / Math.max((right - left) * (bottom - top), 1e-12);
}

/**
 * Whether a point of the scene lies on the subject's box.
 * @param {Placement} placement @param {Size} subject @param {Size} scene @param {Point} point
 */
export function covers(placement, subject, scene, point) {
  const { x, y } = unmapped(matrixOf(placement, subject, scene), point);
  return x >= 0 && y >= 0 && x <= subject.width && y <= subject.height;
}

/**
 * Moved by a distance in scene pixels.
 * @param {Placement} placement @param {Size} scene @param {number} x @param {number} y
 * @returns {Placement}
 */
export function moved(placement, scene, x, y) {
  return { ...placement, x: placement.x + x / scene.width, y: placement.y + y / scene.height };
}

/** @param {Placement} placement @param {number} factor @returns {Placement} About its center. */
export function resized(placement, factor) {
  return { ...placement, size: placement.size * factor };
}

/** @param {Placement} placement @param {number} degrees @returns {Placement} Counterclockwise. */
export function rotated(placement, degrees) {
  return { ...placement, rotation: placement.rotation + degrees };
}

/**
 * Resized by dragging one corner (in the order of `cornersOf`) to a point. The opposite corner, or the center, stays.
 * @param {Placement} start @param {Size} subject @param {Size} scene
 * @param {number} corner @param {Point} to @param {boolean} aboutCenter
 * @returns {Placement}
 */
export function sized(start, subject, scene, corner, to, aboutCenter) {
  const corners = cornersOf(start, subject, scene);
  const center = { x: start.x * scene.width, y: start.y * scene.height };
  const from = corners[corner],
    fixed = aboutCenter ? center : corners[(corner + 2) % 4];
  const diagonal = { x: from.x - fixed.x, y: from.y - fixed.y };
  const along = (to.x - fixed.x) * diagonal.x + (to.y - fixed.y) * diagonal.y;
  // A drag past the fixed corner leaves a small subject, not an inverted one.
  const factor = Math.max(along / (diagonal.x ** 2 + diagonal.y ** 2), 0.02);
  if (aboutCenter) return resized(start, factor);
  return {
    ...start,
    size: start.size * factor,
    x: (fixed.x + (center.x - fixed.x) * factor) / scene.width,
    y: (fixed.y + (center.y - fixed.y) * factor) / scene.height,
  };
}

/** @param {Point} from @param {Point} to @returns {number} Degrees, counterclockwise as seen. */
function direction(from, to) {
  return (Math.atan2(-(to.y - from.y), to.x - from.x) * 180) / Math.PI;
}

/**
 * Rotated about its center as a pointer moves from one point to another.
 * @param {Placement} start @param {Size} scene @param {Point} from @param {Point} to
 * @returns {Placement}
 */
export function turned(start, scene, from, to) {
  const center = { x: start.x * scene.width, y: start.y * scene.height };
  return rotated(start, direction(center, to) - direction(center, from));
}

/**
 * Moved, resized and rotated as two fingers move from one pair of points to another.
 * @param {Placement} start @param {Size} scene @param {Point[]} from @param {Point[]} to
 * @returns {Placement}
 */
export function pinched(start, scene, from, to) {
  /** @param {Point[]} points */
  const length = ([p, q]) => Math.max(Math.hypot(q.x - p.x, q.y - p.y), 1);
  const factor = length(to) / length(from);
  const degrees = direction(to[0], to[1]) - direction(from[0], from[1]);
  // What is under the first finger stays under it.
  const angle = (degrees * Math.PI) / 180,
    cos = Math.cos(angle) * factor,
    sin = Math.sin(angle) * factor;
  const x = start.x * scene.width - from[0].x,
    y = start.y * scene.height - from[0].y;
  return {
    ...rotated(resized(start, factor), degrees),
    x: (to[0].x + cos * x + sin * y) / scene.width,
    y: (to[0].y - sin * x + cos * y) / scene.height,
  };
}

/**
 * The rotation handle: a little above the middle of the upper side.
 * @param {Point[]} corners in pixels of the frame
 * @returns {Point}
 */
export function rotationHandle([topLeft, topRight, , bottomLeft]) {
  const x = (topLeft.x + topRight.x) / 2,
    y = (topLeft.y + topRight.y) / 2;
  const up = { x: topLeft.x - bottomLeft.x, y: topLeft.y - bottomLeft.y };
  const length = Math.hypot(up.x, up.y) || 1;
  return { x: x + (up.x / length) * TURN_ARM, y: y + (up.y / length) * TURN_ARM };
}

/**
 * As written into widgets: rotation within -180..180, inside the widgets' limits, with few decimals.
 * @param {Placement} placement @param {Partial<Record<string, { min?: number, max?: number }>>} limits
 * @returns {Placement}
 */
export function rounded(placement, limits = {}) {
  const turn = placement.rotation % 360;
  const result = { ...placement, rotation: turn > 180 ? turn - 360 : turn < -180 ? turn + 360 : turn };
  for (const name of NUMBERS) {
    const { min = -Infinity, max = Infinity } = limits[name] ?? {};
    const unit = 10 ** DECIMALS[name];
    result[name] = Math.min(Math.max(Math.round(result[name] * unit) / unit, min), max) + 0;
  }
  return result;
}
