/** Draws the placement editor's image. What does not change from one frame to the next is kept in its size. */

import { boxOf, outlinesOf } from "./outline.mjs";
import { surface } from "./images.mjs";
import { boundsOf, mapped, matrixOf, turnHandle, visibleShare } from "./placement.mjs";
import { toFrame, within } from "./view.mjs";

/** @typedef {import("./placement.mjs").Placement} Placement */
/** @typedef {import("./placement.mjs").Point} Point */
/** @typedef {import("./view.mjs").View} View */
/** @typedef {import("./images.mjs").Image} Image */
/** @typedef {Image & { cut: boolean, mask?: import("./outline.mjs").Mask }} Subject */
/**
 * @typedef {object} Shown
 * @property {Image} scene
 * @property {Subject | null} subject
 * @property {Image | null} result the run's own image, in place of scene and subject
 * @property {Placement | null} placement
 * @property {boolean} ghost drawn by chance, not by hand
 * @property {number} reach of the harmonize mask beyond the subject, in scene pixels
 * @property {boolean} shadow
 * @property {import("./snapping.mjs").Guide[]} guides
 * @property {Point[]} corners in the frame
 * @property {boolean} handles
 */

const SUBJECT_LINE = "#ffffff",
  HARMONIZE_LINE = "#ff8c00",
  HANDLE = "#5b9dff",
  GUIDE = "#ff4fd8";
/** Outlines are taken from a mask of this size at most, and from what is at least this opaque. */
const OUTLINE_SIDE = 320,
  OUTLINE_ALPHA = 24;

/** @param {string} line @returns {string} */
const shade = (line) => `${line}cc`;

export class Painter {
  constructor() {
    /** @type {Map<string, { of: unknown[], made: any }>} */
    this.kept = new Map();
  }

  /**
   * What `make` gives, made again only when what it is made of changes.
   * @template T
   * @param {string} name @param {unknown[]} of @param {() => T} make
   * @returns {T}
   */
  keep(name, of, make) {
    const known = this.kept.get(name);
    if (known && known.of.length === of.length && known.of.every((each, index) => Object.is(each, of[index])))
      return known.made;
    const made = make();
    this.kept.set(name, { of, made });
    return made;
  }

  /** @param {CanvasRenderingContext2D} context @param {View} view @param {Shown} shown */
  paint(context, view, shown) {
    const ratio = context.getTransform().a;
    const { scene, subject, placement } = shown;
    const width = scene.size.width * view.scale,
      height = scene.size.height * view.scale;
    const { bitmap } = shown.result ?? scene;
    const backdrop = this.keep(shown.result ? "result" : "scene", [bitmap, width, height, ratio], () =>
      scaled(bitmap, width * ratio, height * ratio),
    );
    context.drawImage(backdrop, view.x, view.y, width, height);
    if (placement && subject) {
      if (!shown.result) this.paintSubject(context, view, ratio, shown, subject, placement);
      this.paintBox(context, shown);
    }
    this.paintGuides(context, view, shown);
  }

  /** @param {CanvasRenderingContext2D} context @param {View} view @param {Shown} shown */
  paintGuides(context, view, { guides, scene }) {
    context.strokeStyle = GUIDE;
    context.lineWidth = 1;
    for (const { axis, at } of guides) {
      const from = toFrame(view, axis === "x" ? { x: at, y: 0 } : { x: 0, y: at });
      const to = toFrame(view, axis === "x" ? { x: at, y: scene.size.height } : { x: scene.size.width, y: at });
      line(context, [from, to], false);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view @param {number} ratio
   * @param {Shown} shown @param {Subject} subject @param {Placement} placement
   */
  paintSubject(context, view, ratio, shown, subject, placement) {
    const { scene } = shown;
    const matrix = matrixOf(placement, subject.size, scene.size);
    const scale = Math.abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) ** 0.5;
    // Reduced by halves, so that what is drawn small is not drawn from every other pixel.
    const pixels = (scale * view.scale * ratio * subject.size.width) / subject.bitmap.width;
    const halvings = Math.min(Math.max(Math.floor(Math.log2(1 / pixels)), 0), 8);
    const bitmap = this.keep("subject", [subject.bitmap, halvings], () => halved(subject.bitmap, halvings));
    const draw = () => {
      context.save();
      context.translate(view.x, view.y);
      context.scale(view.scale, view.scale);
      context.transform(...matrix);
      context.drawImage(bitmap, 0, 0, subject.size.width, subject.size.height);
      context.restore();
    };
    const opacity = subject.cut ? 1 : 0.75;
    context.save();
    if (visibleShare(placement, subject.size, scene.size) < 1) {
      // What is off the canvas is not pasted, and can still be taken hold of.
      context.globalAlpha = 0.25 * opacity;
      draw();
    }
    clipTo(context, view, scene);
    context.globalAlpha = opacity;
    draw();
    if (subject.mask) this.paintOutlines(context, view, ratio, shown, subject, subject.mask, placement, matrix);
    context.restore();
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view @param {number} ratio @param {Shown} shown
   * @param {Subject} subject @param {import("./outline.mjs").Mask} mask
   * @param {Placement} placement @param {import("./placement.mjs").Matrix} matrix
   */
  paintOutlines(context, view, ratio, shown, subject, mask, placement, matrix) {
    const outlines = this.keep("outlines", [mask], () => outlinesIn(mask));
    const onto = ({ x, y }) => mapped(matrix, { x: x * subject.size.width, y: y * subject.size.height });
    const points = outlines.map((outline) => outline.map(onto));
    if (!points.length) return;
    context.globalAlpha = 1;
    const { left, top, right, bottom } = boundsOf(points.flat());
    // The lines keep their shape while the subject is only moved: they are drawn once, around the box's corner.
    const { size, rotation, flip } = placement;
    const reach = Math.min(shown.reach, 4 * Math.max(shown.scene.size.width, shown.scene.size.height)) * view.scale;
    const room = reach + 4;
    const layer = this.keep("lines", [mask, size, rotation, flip, reach, view.scale, ratio, subject.size.width], () =>
      lines(points, { x: left, y: top }, view.scale, ratio, reach, room, {
        width: (right - left) * view.scale + 2 * room,
        height: (bottom - top) * view.scale + 2 * room,
      }),
    );
    const at = toFrame(view, { x: left, y: top });
    if (layer) context.drawImage(layer, at.x - room, at.y - room, layer.width / ratio, layer.height / ratio);
    if (shown.shadow) {
      // The ellipse of Python's shadow_ellipse.
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
      context.strokeStyle = shade(HARMONIZE_LINE);
      context.setLineDash([4, 3]);
      context.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {Shown} shown */
  paintBox(context, { corners, handles, ghost }) {
    context.save();
    for (const [color, width] of /** @type {const} */ ([
      ["#000000", 2.5],
      [HANDLE, 1.25],
    ])) {
      context.strokeStyle = color;
      context.lineWidth = width;
      context.globalAlpha = color === HANDLE ? 1 : 0.35;
      context.setLineDash(ghost ? [6, 4] : []);
      line(context, corners, true);
      if (handles) {
        context.setLineDash([]);
        const [topLeft, topRight] = corners;
        line(
          context,
          [{ x: (topLeft.x + topRight.x) / 2, y: (topLeft.y + topRight.y) / 2 }, turnHandle(corners)],
          false,
        );
      }
    }
    if (handles) {
      context.setLineDash([]);
      context.fillStyle = "#ffffff";
      for (const { x, y } of corners) {
        context.fillRect(x - 4, y - 4, 8, 8);
        context.strokeRect(x - 4, y - 4, 8, 8);
      }
      const { x, y } = turnHandle(corners);
      context.beginPath();
      context.arc(x, y, 5, 0, 7);
      context.fill();
      context.stroke();
    }
    context.restore();
  }
}

/** @param {CanvasRenderingContext2D} context @param {Point[]} points @param {boolean} closed */
function line(context, points, closed) {
  context.beginPath();
  for (const { x, y } of points) context.lineTo(x, y);
  if (closed) context.closePath();
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {View} view @param {Image} scene */
function clipTo(context, view, scene) {
  context.beginPath();
  context.rect(view.x, view.y, scene.size.width * view.scale, scene.size.height * view.scale);
  context.clip();
}

/** @param {CanvasImageSource} bitmap @param {number} width @param {number} height */
function scaled(bitmap, width, height) {
  const { canvas, context } = surface(width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @param {CanvasImageSource & import("./placement.mjs").Size} bitmap @param {number} times */
function halved(bitmap, times) {
  return times ? scaled(bitmap, bitmap.width / 2 ** times, bitmap.height / 2 ** times) : bitmap;
}

/**
 * A mask's outlines, in fractions of the mask's width and height.
 * @param {import("./outline.mjs").Mask} mask
 * @returns {Point[][]}
 */
function outlinesIn(mask) {
  const { width, height } = within(mask, OUTLINE_SIDE);
  /** @type {import("./outline.mjs").Mask} */
  const small = { data: new Uint8Array(width * height), width, height };
  for (let y = 0; y < height; y++) {
    const row = Math.floor(((y + 0.5) * mask.height) / height) * mask.width;
    for (let x = 0; x < width; x++)
      small.data[y * width + x] = mask.data[row + Math.floor(((x + 0.5) * mask.width) / width)];
  }
  if (!boxOf(small, OUTLINE_ALPHA)) return [];
  const outlines = outlinesOf(small, OUTLINE_ALPHA).filter((outline) => outline.length > 3);
  return outlines.map((outline) => outline.map(({ x, y }) => ({ x: x / width, y: y / height })));
}

/**
 * The subject's edge, and that of everything within `reach` of it: a stroke as wide as both sides of the edge, hollowed
 * out by one a little narrower.
 * @param {Point[][]} outlines in scene pixels @param {Point} origin @param {number} scale @param {number} ratio
 * @param {number} reach @param {number} room in pixels of the frame @param {{ width: number, height: number }} size
 */
function lines(outlines, origin, scale, ratio, reach, room, size) {
  // Far larger than any frame: its lines are not to be seen.
  if (Math.max(size.width, size.height) * ratio > 8192) return null;
  const path = new Path2D();
  for (const outline of outlines) {
    outline.forEach(({ x, y }, index) => {
      const at = /** @type {const} */ ([(x - origin.x) * scale + room, (y - origin.y) * scale + room]);
      if (index) path.lineTo(...at);
      else path.moveTo(...at);
    });
    path.closePath();
  }
  const { canvas, context } = surface(size.width * ratio, size.height * ratio);
  context.scale(ratio, ratio);
  context.lineJoin = "round";
  if (reach > 1) {
    context.strokeStyle = shade(HARMONIZE_LINE);
    context.lineWidth = 2 * reach + 1.5;
    context.stroke(path);
    context.globalCompositeOperation = "destination-out";
    context.strokeStyle = "#000000";
    context.lineWidth = 2 * reach - 1.5;
    context.stroke(path);
    context.fill(path, "evenodd");
    context.globalCompositeOperation = "source-over";
  }
  context.strokeStyle = shade(SUBJECT_LINE);
  context.lineWidth = 1;
  context.stroke(path);
  return canvas;
}
