/** Shows a mask over an image of any color: everything outside it is darkened, and lines run along its edges. */

import { createCanvas } from "./images.mjs";
import { outlineFractions } from "./mask_outlines.mjs";
import { toFrame } from "./view_transform.mjs";

/** @typedef {import("./placement.mjs").Point} Point */
/** @typedef {{ dark: CanvasImageSource, outlines: Point[][] }} ShownMask */

/** How much of the image's light is taken where the mask is 0, of 255; and the mask's value at its outline. */
const DARKER = 150,
  MASK_EDGE = 127;

/** @param {import("./mask_outlines.mjs").Mask} mask @returns {ShownMask} */
export function shownMask(mask) {
  const { data, width, height } = mask;
  const { canvas, context } = createCanvas(width, height);
  const pixels = context.createImageData(width, height);
  // A plain loop, because a million pixels must not block the page.
  for (let index = 0; index < data.length; index++) pixels.data[4 * index + 3] = (DARKER * (255 - data[index])) / 255;
  context.putImageData(pixels, 0, 0);
  return { dark: canvas, outlines: outlineFractions(mask, MASK_EDGE) };
}

/**
 * @param {CanvasRenderingContext2D} context @param {ShownMask} mask
 * @param {import("./view_transform.mjs").View} view @param {import("./placement.mjs").Size} size of the image
 */
export function paintMask(context, { dark, outlines }, view, { width, height }) {
  context.drawImage(dark, view.x, view.y, width * view.scale, height * view.scale);
  const path = new Path2D();
  for (const outline of outlines) {
    outline.forEach(({ x, y }, index) => {
      const at = toFrame(view, { x: x * width, y: y * height });
      if (index) path.lineTo(at.x, at.y);
      else path.moveTo(at.x, at.y);
    });
    path.closePath();
  }
  // White on black is seen on any color.
  for (const [color, wide] of /** @type {const} */ ([
    ["#000000", 2.5],
    ["#ffffff", 1.25],
  ])) {
    context.strokeStyle = color;
    context.lineWidth = wide;
    context.stroke(path);
  }
}
