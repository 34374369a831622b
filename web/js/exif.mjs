/** How a WebP file is to be turned: the orientation in its EXIF data, which browsers do not apply. */

const ORIENTATION = 0x0112;
/**
 * For each orientation the transform to the upright image; the last two in units of its width and height.
 * @type {Record<number, [number, number, number, number, number, number]>}
 */
const TRANSFORMS = {
  1: [1, 0, 0, 1, 0, 0],
  2: [-1, 0, 0, 1, 1, 0],
  3: [-1, 0, 0, -1, 1, 1],
  4: [1, 0, 0, -1, 0, 1],
  5: [0, 1, 1, 0, 0, 0],
  6: [0, 1, -1, 0, 1, 0],
  7: [0, -1, -1, 0, 1, 1],
  8: [0, -1, 1, 0, 0, 1],
};

/**
 * The orientation of a WebP file, 1 to 8, and 1 in its place in the file, so that no browser applies it again. 1 for
 * any other file, which is left as it is.
 * @param {Uint8Array<ArrayBuffer>} bytes of the file
 */
export function takeOrientation(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** @param {number} at @param {number} length */
  const word = (at, length = 4) => String.fromCharCode(...bytes.subarray(at, at + length));
  if (word(0) !== "RIFF" || word(8) !== "WEBP") return 1;
  try {
    for (let at = 12; at + 8 <= bytes.length; ) {
      const length = view.getUint32(at + 4, true);
      if (word(at) === "EXIF") return ofTiff(view, at + 8 + (word(at + 8, 6) === "Exif\0\0" ? 6 : 0));
      at += 8 + length + (length % 2);
    }
  } catch (error) {
    // A file that ends too early has no orientation.
    if (!(error instanceof RangeError)) throw error;
  }
  return 1;
}

/** @param {DataView} view @param {number} start of the TIFF header */
function ofTiff(view, start) {
  const order = view.getUint16(start);
  if (order !== 0x4949 && order !== 0x4d4d) return 1;
  const little = order === 0x4949;
  const first = start + view.getUint32(start + 4, little);
  for (let index = 0; index < view.getUint16(first, little); index++) {
    const entry = first + 2 + 12 * index;
    if (view.getUint16(entry, little) !== ORIENTATION) continue;
    const orientation = view.getUint16(entry + 8, little);
    if (!(orientation in TRANSFORMS)) return 1;
    view.setUint16(entry + 8, 1, little);
    return orientation;
  }
  return 1;
}

/**
 * The canvas transform that draws a stored image upright, for `CanvasRenderingContext2D.transform`.
 * @param {number} orientation 1 to 8 @param {number} width @param {number} height of the stored image
 * @returns {[number, number, number, number, number, number]}
 */
export function transformOf(orientation, width, height) {
  const [a, b, c, d, right, bottom] = TRANSFORMS[orientation];
  const [shownWidth, shownHeight] = orientation > 4 ? [height, width] : [width, height];
  return [a, b, c, d, right * shownWidth, bottom * shownHeight];
}
