import assert from "node:assert/strict";
import { test } from "node:test";

import { takeOrientation, transformOf } from "../../web/js/exif.mjs";

/** A WebP file as far as its EXIF chunk, which comes after a chunk of odd length. */
function webp(orientation, { little = true, header = true } = {}) {
  const tiff = new DataView(new ArrayBuffer(26));
  tiff.setUint16(0, little ? 0x4949 : 0x4d4d);
  tiff.setUint16(2, 42, little);
  tiff.setUint32(4, 8, little);
  tiff.setUint16(8, 1, little);
  tiff.setUint16(10, 0x0112, little);
  tiff.setUint16(12, 3, little);
  tiff.setUint32(14, 1, little);
  tiff.setUint16(18, orientation, little);
  const exif = [...(header ? letters("Exif\0\0") : []), ...new Uint8Array(tiff.buffer)];
  const chunks = [...letters("VP8X"), 3, 0, 0, 0, 1, 2, 3, 0, ...letters("EXIF"), exif.length, 0, 0, 0, ...exif];
  return Uint8Array.from([...letters("RIFF"), chunks.length + 4, 0, 0, 0, ...letters("WEBP"), ...chunks]);
}

const letters = (text) => [...text].map((letter) => letter.charCodeAt(0));

test("a WebP file's orientation is taken, once", () => {
  for (const little of [true, false])
    for (const header of [true, false])
      for (let orientation = 1; orientation <= 8; orientation++) {
        const bytes = webp(orientation, { little, header });
        assert.equal(takeOrientation(bytes), orientation);
        assert.equal(takeOrientation(bytes), 1);
      }
});

test("any other file has none, and stays as it is", () => {
  for (const bytes of [
    Uint8Array.from([]),
    Uint8Array.from(letters("RIFF....WEBP")),
    webp(6).subarray(0, 40),
    webp(0),
    webp(9),
    Uint8Array.from([0xff, 0xd8, ...letters("Exif\0\0")]),
  ]) {
    const before = [...bytes];
    assert.equal(takeOrientation(bytes), 1);
    assert.deepEqual([...bytes], before);
  }
});

test("the stored corners go where the orientation puts them", () => {
  // Where the first row's first pixel, and the first column's last, are in the upright image of a stored 3×2.
  const wanted = { 1: [0, 0, 0, 2], 2: [3, 0, 3, 2], 3: [3, 2, 3, 0], 4: [0, 2, 0, 0],
                   5: [0, 0, 2, 0], 6: [2, 0, 0, 0], 7: [2, 3, 0, 3], 8: [0, 3, 2, 3] }; // prettier-ignore
  for (const [orientation, corners] of Object.entries(wanted)) {
    const [a, b, c, d, e, f] = transformOf(Number(orientation), 3, 2);
    const at = (x, y) => [a * x + c * y + e, b * x + d * y + f];
    assert.deepEqual([...at(0, 0), ...at(0, 2)].map((value) => value + 0), corners, orientation);
  }
});
