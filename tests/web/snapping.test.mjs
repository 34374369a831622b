import assert from "node:assert/strict";
import { test } from "node:test";

import { footOf, snapped, straightened } from "../../web/js/snapping.mjs";

const SCENE = { width: 400, height: 200 },
  SUBJECT = { width: 50, height: 100 };
const PLACE = { x: 0.3, y: 0.4, size: 0.5, rotation: 0, flip: false };

test("the foot is the lower edge of the subject as it is placed", () => {
  assert.equal(footOf(PLACE, SUBJECT, SCENE), 130);
  assert.ok(Math.abs(footOf({ ...PLACE, rotation: 90 }, SUBJECT, SCENE) - 105) < 1e-9);
});

test("a subject near the middle line snaps to it, and the line is returned as a guide", () => {
  const { placement, guides } = snapped({ ...PLACE, x: 0.51 }, SUBJECT, SCENE, 5, 0);
  assert.equal(placement.x, 0.5);
  assert.deepEqual(guides, [{ axis: "x", at: 200 }]);
});

test("a subject farther away stays where it is", () => {
  assert.deepEqual(snapped(PLACE, SUBJECT, SCENE, 5, 0), { placement: PLACE, guides: [] });
});

test("a subject snaps to the ground it stood on, and to the scene's lower edge", () => {
  for (const [ground, at] of [
    [133, 133],
    [500, 200],
  ]) {
    const y = at === 200 ? 0.76 : 0.4;
    const { placement, guides } = snapped({ ...PLACE, y }, SUBJECT, SCENE, 5, ground);
    assert.ok(Math.abs(footOf(placement, SUBJECT, SCENE) - at) < 1e-9);
    assert.deepEqual(guides, [{ axis: "y", at }]);
  }
});

test("the nearest of two lines wins", () => {
  const { guides } = snapped({ ...PLACE, y: 0.49 }, SUBJECT, SCENE, 9, 149);
  assert.deepEqual(guides, [{ axis: "y", at: 149 }]);
});

test("a rotation near a multiple of 45 degrees snaps to it", () => {
  for (const [given, wanted] of [
    [2, 0],
    [-2.5, 0],
    [47, 45],
    [93, 90],
    [20, 20],
    [176, 176],
    [178, 180],
  ]) {
    assert.equal(straightened({ ...PLACE, rotation: given }).rotation + 0, wanted);
  }
});
