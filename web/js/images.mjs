/** Images for display: fetched once, reduced once, and cached while they are likely to be needed again. */

import { takeOrientation, transformOf } from "./exif.mjs";
import { boxOf } from "./mask_outlines.mjs";
import { RecentMap } from "./recent_map.mjs";
import { within } from "./view_transform.mjs";

/** @import { Size } from "./placement.mjs" */
/** @import { Channel } from "../types" */
/**
 * An image reduced for display, and the size of the stored one.
 * @typedef {{ bitmap: CanvasImageSource & Size, size: Size }} LoadedImage
 */
/** @typedef {{ x: number, y: number, width: number, height: number }} Box */

/** The longer side that an editor shows; what is larger is reduced as it is decoded. */
const VIEW_SIDE = 1024;
const MAX_CACHED = 32;

/** @type {RecentMap<string, Promise<LoadedImage>>} */
const cache = new RecentMap(MAX_CACHED);

/**
 * The image at an address, reduced. Rejects where there is none, or where it cannot be decoded.
 * @param {string} url
 * @returns {Promise<LoadedImage>}
 */
export function loadImage(url) {
  const cached = cache.get(url);
  if (cached) return cached;
  const image = fetchImage(url);
  cache.set(url, image);
  image.catch(() => cache.delete(url));
  return image;
}

/** @param {string} url @returns {Promise<LoadedImage>} */
async function fetchImage(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status} ${url}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  // Browsers turn a JPEG by its EXIF orientation, but not a WebP. ComfyUI turns both.
  const orientation = takeOrientation(bytes);
  const source = URL.createObjectURL(new Blob([bytes], { type: response.headers.get("content-type") ?? "" }));
  try {
    const image = new Image();
    image.src = source;
    await image.decode();
    const stored = { width: image.naturalWidth, height: image.naturalHeight };
    const { width, height } = within(stored, VIEW_SIDE);
    const bitmap = await createImageBitmap(image, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
    if (orientation === 1) return { bitmap, size: stored };
    const size = orientation > 4 ? { width: stored.height, height: stored.width } : stored;
    return { bitmap: turned(bitmap, orientation), size };
  } finally {
    URL.revokeObjectURL(source);
  }
}

/** @param {ImageBitmap} bitmap @param {number} orientation of EXIF @returns {HTMLCanvasElement} The image upright. */
function turned(bitmap, orientation) {
  const { width, height } = bitmap;
  const { canvas, context } = orientation > 4 ? createCanvas(height, width) : createCanvas(width, height);
  context.transform(...transformOf(orientation, width, height));
  context.drawImage(bitmap, 0, 0);
  return canvas;
}

/** @param {number} width @param {number} height A new canvas of at least one pixel. */
export function createCanvas(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.max(1, Math.round(width)), Math.max(1, Math.round(height))];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  return { canvas, context };
}

/** @type {WeakMap<object, Map<string, import("./mask_outlines.mjs").Mask>>} */
const masks = new WeakMap();

/**
 * One channel of an image as a mask of 0..255, read once.
 * @param {LoadedImage} image @param {Channel} channel @param {boolean} inverted
 * @returns {import("./mask_outlines.mjs").Mask}
 */
export function maskOf({ bitmap }, channel, inverted) {
  const { width, height } = bitmap;
  const known = masks.get(bitmap) ?? new Map();
  masks.set(bitmap, known);
  const mask = known.get(channel + inverted);
  if (mask) return mask;
  const { context } = createCanvas(width, height);
  context.drawImage(bitmap, 0, 0);
  const pixels = context.getImageData(0, 0, width, height).data;
  const data = new Uint8ClampedArray(width * height);
  const offset = { red: 0, green: 1, blue: 2, alpha: 3 }[channel];
  for (let index = 0; index < data.length; index++) {
    const value = pixels[4 * index + offset];
    data[index] = inverted ? 255 - value : value;
  }
  const read = { data, width, height };
  known.set(channel + inverted, read);
  return read;
}

/**
 * A subject cut out of its image by a mask, cropped to the subject; null for an empty mask.
 * @param {LoadedImage} image @param {import("./mask_outlines.mjs").Mask} mask of any size
 * @returns {(LoadedImage & { mask: import("./mask_outlines.mjs").Mask }) | null}
 */
export function cutOut({ bitmap, size }, mask) {
  // The box of Python's subject_box.
  const box = boxOf(mask, 127) ?? boxOf(mask, 0);
  if (!box) return null;
  const { canvas: matte, context: drawn } = createCanvas(mask.width, mask.height);
  const pixels = drawn.createImageData(mask.width, mask.height);
  mask.data.forEach((value, index) => (pixels.data[4 * index + 3] = value));
  drawn.putImageData(pixels, 0, 0);
  const across = bitmap.width / mask.width,
    down = bitmap.height / mask.height;
  const { canvas, context } = createCanvas(box.width * across, box.height * down);
  const whole = /** @type {const} */ ([-box.x * across, -box.y * down, bitmap.width, bitmap.height]);
  context.drawImage(bitmap, ...whole);
  context.globalCompositeOperation = "destination-in";
  context.drawImage(matte, ...whole);
  const own = new Uint8ClampedArray(box.width * box.height);
  for (let y = 0; y < box.height; y++) {
    const start = (box.y + y) * mask.width + box.x;
    own.set(mask.data.subarray(start, start + box.width), y * box.width);
  }
  return {
    bitmap: canvas,
    size: { width: (box.width * size.width) / mask.width, height: (box.height * size.height) / mask.height },
    mask: { data: own, width: box.width, height: box.height },
  };
}
