import assert from "node:assert/strict";
import { test } from "node:test";

import { boxOf, outlinesOf } from "../../web/js/mask_outlines.mjs";

function maskFrom(...rows) {
  return {
    data: Uint8Array.from(rows.join(""), (character) => (character === "#" ? 255 : 0)),
    width: rows[0].length,
    height: rows.length,
  };
}

/** Twice the area that closed lines enclose; holes count against it. */
function area(outlines) {
  return outlines
    .flatMap((points) =>
      points.map((p, i) => {
        const q = points[(i + 1) % points.length];
        return p.x * q.y - q.x * p.y;
      }),
    )
    .reduce((sum, each) => sum + each, 0);
}

test("the box around a mask is that of its pixels", () => {
  assert.deepEqual(boxOf(maskFrom("....", "..#.", ".##.", "...."), 127), { x: 1, y: 1, width: 2, height: 2 });
  assert.deepEqual(boxOf(maskFrom("####"), 127), { x: 0, y: 0, width: 4, height: 1 });
  assert.equal(boxOf(maskFrom("....", "...."), 127), null);
  assert.equal(boxOf({ data: Uint8Array.of(127, 128), width: 2, height: 1 }, 127).x, 1);
});

test("a rectangle's outline is its four corners, up to the image's border", () => {
  const [outline, ...others] = outlinesOf(maskFrom("##..", "##..", "##.."), 127);
  assert.deepEqual(others, []);
  assert.deepEqual(new Set(outline.map(({ x, y }) => `${x},${y}`)), new Set(["0,0", "2,0", "2,3", "0,3"]));
});

test("outlines enclose as many pixels as the mask has, holes and diagonal touches included", () => {
  for (const mask of [
    maskFrom("#####", "#...#", "#.#.#", "#...#", "#####"),
    maskFrom("#..#", ".##.", ".##.", "#..#"),
    maskFrom(".#.#.", "#.#.#", ".#.#."),
    maskFrom("....", "...."),
  ]) {
    assert.equal(area(outlinesOf(mask, 127, 0)), 2 * mask.data.filter((value) => value > 127).length);
  }
});

test("an outline of few points stays within its tolerance", () => {
  const side = 200,
    data = new Uint8Array(side * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) data[y * side + x] = Math.hypot(x - 99.5, y - 99.5) < 80 ? 255 : 0;
  const [outline] = outlinesOf({ data, width: side, height: side }, 127);
  assert.ok(outline.length < 80, `${outline.length} points`);
  for (const { x, y } of outline) assert.ok(Math.abs(Math.hypot(x - 100, y - 100) - 80) < 1.5);
  assert.ok(Math.abs(area([outline]) / 2 / (Math.PI * 80 ** 2) - 1) < 0.02);
});
