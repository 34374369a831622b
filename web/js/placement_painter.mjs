/** Draws the placement editor. What does not change between frames is cached at its size on screen. */

import { createCanvas } from "./images.mjs";
import { outlineFractions } from "./mask_outlines.mjs";
import { boundsOf, mapped, matrixOf, visibleShare } from "./placement.mjs";
import { toFrame } from "./view_transform.mjs";

/** @import { Placement, Point } from "./placement.mjs" */
/** @import { View } from "./view_transform.mjs" */
/** @import { LoadedImage } from "./images.mjs" */
/** @import { Mask } from "./mask_outlines.mjs" */
/**
 * A subject as far as it is known: `cut` out by its mask, which may look `inverted`.
 * @typedef {LoadedImage & { cut: boolean, mask?: Mask, inverted?: boolean }} Subject
 */
/**
 * @typedef {object} PaintState
 * @property {LoadedImage} scene
 * @property {Subject | null} subject
 * @property {LoadedImage | null} result of the last run; drawn instead of scene and subject
 * @property {Placement | null} placement
 * @property {boolean} random the placement was drawn at random: a dashed box
 * @property {number} reach how far the harmonize mask goes beyond the subject, in scene pixels
 * @property {boolean} shadow
 * @property {import("./snapping.mjs").Guide[]} guides
 * @property {() => void} [under] draws what is under the subject
 * @property {{ subject: Subject, placement: Placement }[]} earlier what other nodes paste before, the first one first
 * @property {Point[]} corners in the frame
 * @property {{ corners: Point[], turn: Point } | null} handles in the frame; null where nothing can be dragged
 */

const SUBJECT_LINE = "#ffffff",
  HARMONIZE_LINE = "#ff8c00",
  HANDLE = "#5b9dff",
  GUIDE = "#ff4fd8",
  DARK_EDGE = "#00000080";
/** Outlines are traced around pixels of more than this alpha (0..255). */
const OUTLINE_ALPHA = 24;

/** @param {string} line @returns {string} */
const translucent = (line) => `${line}cc`;

export class PlacementPainter {
  constructor() {
    /** @type {Map<string, { of: unknown[], made: any }>} */
    this.cache = new Map();
  }

  /**
   * What `make` returns; made again only when one of the values in `of` changes.
   * @template T
   * @param {string} name @param {unknown[]} of @param {() => T} make
   * @returns {T}
   */
  cached(name, of, make) {
    const known = this.cache.get(name);
    if (known && known.of.length === of.length && known.of.every((each, index) => Object.is(each, of[index])))
      return known.made;
    const made = make();
    this.cache.set(name, { of, made });
    return made;
  }

  /** @param {CanvasRenderingContext2D} context @param {View} view @param {PaintState} state */
  paint(context, view, state) {
    const ratio = context.getTransform().a;
    const { scene, subject, placement } = state;
    const width = scene.size.width * view.scale,
      height = scene.size.height * view.scale;
    const { bitmap } = state.result ?? scene;
    const backdrop = this.cached(state.result ? "result" : "scene", [bitmap, width, height, ratio], () =>
      scaled(bitmap, width * ratio, height * ratio),
    );
    context.drawImage(backdrop, view.x, view.y, width, height);
    if (!state.result) for (const each of state.earlier) this.paintEarlier(context, view, scene, each);
    state.under?.();
    if (placement && subject) {
      if (!state.result) this.paintSubject(context, view, ratio, state, subject, placement);
      this.paintBox(context, state);
    }
    this.paintGuides(context, view, state);
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view @param {LoadedImage} scene
   * @param {{ subject: Subject, placement: Placement }} earlier
   */
  paintEarlier(context, view, scene, { subject, placement }) {
    context.save();
    clipTo(context, view, scene);
    drawPlaced(context, view, subject.bitmap, subject, matrixOf(placement, subject.size, scene.size));
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context @param {View} view @param {PaintState} state */
  paintGuides(context, view, { guides, scene }) {
    context.strokeStyle = GUIDE;
    context.lineWidth = 1;
    for (const { axis, at } of guides) {
      const from = toFrame(view, axis === "x" ? { x: at, y: 0 } : { x: 0, y: at });
      const to = toFrame(view, axis === "x" ? { x: at, y: scene.size.height } : { x: scene.size.width, y: at });
      strokeLine(context, [from, to], false);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view @param {number} ratio
   * @param {PaintState} state @param {Subject} subject @param {Placement} placement
   */
  paintSubject(context, view, ratio, state, subject, placement) {
    const { scene } = state;
    const matrix = matrixOf(placement, subject.size, scene.size);
    const scale = Math.abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) ** 0.5;
    // Halved several times before it is drawn small, to avoid aliasing.
    const pixels = (scale * view.scale * ratio * subject.size.width) / subject.bitmap.width;
    const halvings = Math.min(Math.max(Math.floor(Math.log2(1 / pixels)), 0), 8);
    const bitmap = this.cached("subject", [subject.bitmap, halvings], () => halved(subject.bitmap, halvings));
    const draw = () => drawPlaced(context, view, bitmap, subject, matrix);
    const opacity = subject.cut ? 1 : 0.75;
    context.save();
    if (visibleShare(placement, subject.size, scene.size) < 1) {
      // The part outside the scene is not pasted, but can still be dragged.
      context.globalAlpha = 0.25 * opacity;
      draw();
    }
    clipTo(context, view, scene);
    context.globalAlpha = opacity;
    draw();
    if (subject.mask) this.paintOutlines(context, view, ratio, state, subject, subject.mask, placement, matrix);
    context.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view @param {number} ratio @param {PaintState} state
   * @param {Subject} subject @param {import("./mask_outlines.mjs").Mask} mask
   * @param {Placement} placement @param {import("./placement.mjs").Matrix} matrix
   */
  paintOutlines(context, view, ratio, state, subject, mask, placement, matrix) {
    const outlines = this.cached("outlines", [mask], () => outlineFractions(mask, OUTLINE_ALPHA));
    const onto = ({ x, y }) => mapped(matrix, { x: x * subject.size.width, y: y * subject.size.height });
    const points = outlines.map((outline) => outline.map(onto));
    if (!points.length) return;
    context.globalAlpha = 1;
    const { left, top, right, bottom } = boundsOf(points.flat());
    // While the subject is only moved, the lines keep their shape: they are drawn once, relative to the box's corner.
    const { size, rotation, flip } = placement;
    const reach = Math.min(state.reach, 4 * Math.max(state.scene.size.width, state.scene.size.height)) * view.scale;
    const margin = reach + 4;
    const layer = this.cached("lines", [mask, size, rotation, flip, reach, view.scale, ratio, subject.size.width], () =>
      drawOutlines(points, { x: left, y: top }, view.scale, ratio, reach, margin, {
        width: (right - left) * view.scale + 2 * margin,
        height: (bottom - top) * view.scale + 2 * margin,
      }),
    );
    const at = toFrame(view, { x: left, y: top });
    if (layer) context.drawImage(layer, at.x - margin, at.y - margin, layer.width / ratio, layer.height / ratio);
    if (state.shadow) {
      // The same ellipse as Python's shadow_ellipse.
      const center = toFrame(view, { x: (left + right) / 2, y: bottom });
      context.beginPath();
      context.ellipse(
        center.x,
        center.y,
        0.6 * (right - left) * view.scale,
        0.12 * (bottom - top) * view.scale,
        0,
        0,
        7,
      );
      context.strokeStyle = translucent(HARMONIZE_LINE);
      context.setLineDash([4, 3]);
      context.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {PaintState} state */
  paintBox(context, { corners, handles, random }) {
    context.save();
    for (const [color, width] of /** @type {const} */ ([
      ["#000000", 2.5],
      [HANDLE, 1.25],
    ])) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.globalAlpha = color === HANDLE ? 1 : 0.35;
      context.setLineDash(random ? [6, 4] : []);
      strokeLine(context, corners, true);
      if (handles) {
        context.setLineDash([]);
        const [topLeft, topRight] = corners;
        strokeLine(
          context,
          [{ x: (topLeft.x + topRight.x) / 2, y: (topLeft.y + topRight.y) / 2 }, handles.turn],
          false,
        );
      }
    }
    if (handles) {
      context.setLineDash([]);
      context.fillStyle = "#ffffff";
      for (const { x, y } of handles.corners) {
        context.fillRect(x - 4, y - 4, 8, 8);
        context.strokeRect(x - 4, y - 4, 8, 8);
      }
      const { x, y } = handles.turn;
      context.beginPath();
      context.arc(x, y, 5, 0, 7);
      context.fill();
      context.stroke();
    }
    context.restore();
  }
}

/** @param {CanvasRenderingContext2D} context @param {Point[]} points @param {boolean} closed */
function strokeLine(context, points, closed) {
  context.beginPath();
  for (const { x, y } of points) context.lineTo(x, y);
  if (closed) context.closePath();
  context.stroke();
}

/**
 * @param {CanvasRenderingContext2D} context @param {View} view @param {CanvasImageSource} bitmap of the subject
 * @param {Subject} subject @param {import("./placement.mjs").Matrix} matrix from the subject's pixels to the scene's
 */
function drawPlaced(context, view, bitmap, { size }, matrix) {
  context.save();
  context.translate(view.x, view.y);
  context.scale(view.scale, view.scale);
  context.transform(...matrix);
  context.drawImage(bitmap, 0, 0, size.width, size.height);
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {View} view @param {LoadedImage} scene */
function clipTo(context, view, scene) {
  context.beginPath();
  context.rect(view.x, view.y, scene.size.width * view.scale, scene.size.height * view.scale);
  context.clip();
}

/** @param {CanvasImageSource} bitmap @param {number} width @param {number} height */
function scaled(bitmap, width, height) {
  const { canvas, context } = createCanvas(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @param {CanvasImageSource & import("./placement.mjs").Size} bitmap @param {number} times */
function halved(bitmap, times) {
  return times ? scaled(bitmap, bitmap.width / 2 ** times, bitmap.height / 2 ** times) : bitmap;
}

/**
 * The subject's edge, and the edge of everything within `reach` of it: a stroke of twice the reach, hollowed out by a
 * slightly narrower one.
 * @param {Point[][]} outlines in scene pixels @param {Point} origin @param {number} scale @param {number} ratio
 * @param {number} reach @param {number} margin in pixels of the frame @param {{ width: number, height: number }} size
 */
function drawOutlines(outlines, origin, scale, ratio, reach, margin, size) {
  // Far larger than any frame: its lines would not be seen.
  if (Math.max(size.width, size.height) * ratio > 8192) return null;
  const path = new Path2D();
  for (const outline of outlines) {
    outline.forEach(({ x, y }, index) => {
      const at = /** @type {const} */ ([(x - origin.x) * scale + margin, (y - origin.y) * scale + margin]);
      if (index) path.lineTo(...at);
      else path.moveTo(...at);
    });
    path.closePath();
  }
  const { canvas, context } = createCanvas(size.width * ratio, size.height * ratio);
  context.scale(ratio, ratio);
  context.lineJoin = "round";
  // Dark edges, so that the lines are seen on any color.
  if (reach > 1) {
    for (const [color, wide] of /** @type {const} */ ([
      [DARK_EDGE, 3.5],
      [translucent(HARMONIZE_LINE), 1.5],
    ])) {
      context.strokeStyle = color;
      context.lineWidth = 2 * reach + wide;
      context.stroke(path);
    }
    context.globalCompositeOperation = "destination-out";
    context.strokeStyle = "#000000";
    context.lineWidth = 2 * reach - 1.5;
    context.stroke(path);
    context.fill(path, "evenodd");
    context.globalCompositeOperation = "source-over";
  }
  for (const [color, wide] of /** @type {const} */ ([
    [DARK_EDGE, 2.5],
    [translucent(SUBJECT_LINE), 1],
  ])) {
    context.strokeStyle = color;
    context.lineWidth = wide;
    context.stroke(path);
  }
  return canvas;
}
