import assert from "node:assert/strict";
import { test } from "node:test";

import { fitted, nearest, toFrame, toImage, within } from "../../web/js/view_transform.mjs";

test("an image is shown whole, in the middle, with a margin", () => {
  assert.deepEqual(fitted({ width: 400, height: 100 }, { width: 220, height: 120 }, 10), { scale: 0.5, x: 10, y: 35 });
  assert.deepEqual(fitted({ width: 100, height: 400 }, { width: 220, height: 120 }, 10), {
    scale: 0.25,
    x: 97.5,
    y: 10,
  });
});

test("a frame smaller than its margins still shows something", () => {
  assert.ok(fitted({ width: 400, height: 100 }, { width: 4, height: 4 }, 10).scale > 0);
});

test("a point converted to the frame and back is unchanged", () => {
  const view = fitted({ width: 7680, height: 4320 }, { width: 331, height: 207 }, 18);
  const there = toImage(view, toFrame(view, { x: 1234.5, y: 4000 }));
  assert.ok(Math.hypot(there.x - 1234.5, there.y - 4000) < 1e-9);
});

test("the nearest point within reach is found, and none beyond it", () => {
  const points = [
    { x: 0, y: 0 },
    { x: 10, y: 0 },
    { x: 10, y: 3 },
  ];
  assert.equal(nearest(points, { x: 10, y: 2 }, 5), 2);
  assert.equal(nearest(points, { x: 30, y: 0 }, 5), -1);
  assert.equal(nearest([], { x: 0, y: 0 }, 5), -1);
});

test("a size larger than the limit is reduced, a smaller one stays", () => {
  assert.deepEqual(within({ width: 7680, height: 4320 }, 1024), { width: 1024, height: 576 });
  assert.deepEqual(within({ width: 300, height: 200 }, 1024), { width: 300, height: 200 });
  assert.deepEqual(within({ width: 20000, height: 1 }, 1024), { width: 1024, height: 1 });
});
