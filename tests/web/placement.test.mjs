import assert from "node:assert/strict";
import { test } from "node:test";

import * as geometry from "../../web/js/placement.mjs";

const SCENE = { width: 400, height: 200 },
  SUBJECT = { width: 100, height: 50 };
const PLACE = { x: 0.5, y: 0.5, size: 0.5, rotation: 0, flip: false };

function near(actual, expected, tolerance = 1e-9) {
  for (const key of Object.keys(expected)) {
    if (typeof expected[key] === "number")
      assert.ok(Math.abs(actual[key] - expected[key]) <= tolerance, `${key}: ${actual[key]}, not ${expected[key]}`);
    else assert.equal(actual[key], expected[key]);
  }
}

const PLACES = [
  PLACE,
  { x: 0.1, y: 0.9, size: 1.3, rotation: 33, flip: true },
  { x: -0.4, y: 1.2, size: 0.05, rotation: -170, flip: false },
  { x: 0.7, y: 0.3, size: 0.8, rotation: 90, flip: true },
];

test("the longer side is a fraction of the scene's shorter side", () => {
  const corners = geometry.cornersOf(PLACE, SUBJECT, SCENE);
  near(corners[0], { x: 150, y: 75 });
  near(corners[2], { x: 250, y: 125 });
});

test("a quarter turn is counterclockwise as seen: the upper left corner goes to the lower left", () => {
  near(geometry.cornersOf({ ...PLACE, rotation: 90 }, SUBJECT, SCENE)[0], { x: 175, y: 150 });
});

test("corners are in the order that is seen, also of a mirrored subject", () => {
  const corners = geometry.cornersOf({ ...PLACE, flip: true }, SUBJECT, SCENE);
  assert.ok(corners[0].x < corners[1].x && corners[0].y < corners[3].y);
});

test("unmapped is the inverse of mapped", () => {
  for (const place of PLACES) {
    const matrix = geometry.matrixOf(place, SUBJECT, SCENE);
    near(geometry.unmapped(matrix, geometry.mapped(matrix, { x: 17, y: 31 })), { x: 17, y: 31 });
  }
});

test("a subject covers its middle and nothing beyond its corners", () => {
  for (const place of PLACES) {
    const center = { x: place.x * SCENE.width, y: place.y * SCENE.height };
    assert.ok(geometry.covers(place, SUBJECT, SCENE, center));
    for (const corner of geometry.cornersOf(place, SUBJECT, SCENE)) {
      const beyond = { x: center.x + 1.01 * (corner.x - center.x), y: center.y + 1.01 * (corner.y - center.y) };
      assert.ok(!geometry.covers(place, SUBJECT, SCENE, beyond));
    }
  }
});

test("a corner follows the pointer along its diagonal, and the opposite corner stays", () => {
  for (const place of PLACES) {
    for (const corner of [0, 1, 2, 3]) {
      const before = geometry.cornersOf(place, SUBJECT, SCENE);
      const fixed = before[(corner + 2) % 4],
        from = before[corner];
      const to = { x: fixed.x + 1.7 * (from.x - fixed.x), y: fixed.y + 1.7 * (from.y - fixed.y) };
      const after = geometry.cornersOf(geometry.sized(place, SUBJECT, SCENE, corner, to, false), SUBJECT, SCENE);
      near(after[corner], to, 1e-6);
      near(after[(corner + 2) % 4], fixed, 1e-6);
    }
  }
});

test("a corner dragged with Alt resizes about the center and still follows the pointer", () => {
  for (const place of PLACES) {
    const from = geometry.cornersOf(place, SUBJECT, SCENE)[2];
    const center = { x: place.x * SCENE.width, y: place.y * SCENE.height };
    const to = { x: center.x + 0.5 * (from.x - center.x), y: center.y + 0.5 * (from.y - center.y) };
    const after = geometry.sized(place, SUBJECT, SCENE, 2, to, true);
    near(after, { ...place, size: place.size / 2 });
    near(geometry.cornersOf(after, SUBJECT, SCENE)[2], to, 1e-6);
  }
});

test("a corner pulled past the opposite one leaves a small subject, not an inverted one", () => {
  assert.ok(geometry.sized(PLACE, SUBJECT, SCENE, 2, { x: -500, y: -500 }, false).size > 0);
});

test("a pointer that goes a quarter around the center rotates the subject by a quarter", () => {
  const turned = geometry.turned(PLACE, SCENE, { x: 300, y: 100 }, { x: 200, y: 0 });
  near(turned, { ...PLACE, rotation: 90 });
});

test("two fingers move the subject together, resize it by spreading, and rotate it by turning", () => {
  const from = [
    { x: 180, y: 100 },
    { x: 220, y: 100 },
  ];
  near(
    geometry.pinched(PLACE, SCENE, from, [
      { x: 190, y: 120 },
      { x: 230, y: 120 },
    ]),
    { ...PLACE, x: 0.525, y: 0.6 },
  );
  near(
    geometry.pinched(PLACE, SCENE, from, [
      { x: 160, y: 100 },
      { x: 240, y: 100 },
    ]),
    { ...PLACE, size: 1 },
  );
  near(
    geometry.pinched(PLACE, SCENE, from, [
      { x: 200, y: 120 },
      { x: 200, y: 80 },
    ]),
    { ...PLACE, rotation: 90 },
  );
});

test("the points under two fingers stay under them", () => {
  const from = [
      { x: 150, y: 80 },
      { x: 260, y: 140 },
    ],
    to = [
      { x: 40, y: 150 },
      { x: 200, y: -20 },
    ];
  for (const place of PLACES) {
    const pinched = geometry.pinched(place, SCENE, from, to);
    const matrices = [place, pinched].map((each) => geometry.matrixOf(each, SUBJECT, SCENE));
    from.forEach((point, index) =>
      near(geometry.mapped(matrices[1], geometry.unmapped(matrices[0], point)), to[index], 1e-6),
    );
  }
});

test("values for the widgets have few decimals, stay within their limits, and rotations within -180 to 180", () => {
  const written = geometry.rounded(
    { x: 1 / 3, y: -9, size: 99, rotation: 190.126, flip: true },
    { y: { min: -4 }, size: { max: 8 } },
  );
  assert.deepEqual(written, { x: 0.33333, y: -4, size: 8, rotation: -169.87, flip: true });
  assert.ok(Object.is(geometry.rounded({ ...PLACE, rotation: -360 }).rotation, 0));
});

test("numbers of the wrong type or out of range are named", () => {
  for (const [name, value] of [
    ["x", "left"],
    ["y", NaN],
    ["size", 0],
    ["rotation", null],
    ["x", 1e5],
    ["size", undefined],
  ]) {
    assert.equal(geometry.invalidNumber({ ...PLACE, [name]: value })?.name, name);
  }
  assert.equal(geometry.invalidNumber(PLACE), null);
});

test("the visible share is 1 inside, 0 outside and a quarter in a corner", () => {
  assert.equal(geometry.visibleShare(PLACE, SUBJECT, SCENE), 1);
  assert.equal(geometry.visibleShare({ ...PLACE, x: 3 }, SUBJECT, SCENE), 0);
  near({ share: geometry.visibleShare({ ...PLACE, x: 0, y: 0 }, SUBJECT, SCENE) }, { share: 0.25 });
});

test("the rotation handle is off the upper side at any rotation", () => {
  near(geometry.rotationHandle(geometry.cornersOf(PLACE, SUBJECT, SCENE)), { x: 200, y: 53 });
  near(geometry.rotationHandle(geometry.cornersOf({ ...PLACE, rotation: 90, flip: true }, SUBJECT, SCENE)), {
    x: 153,
    y: 100,
  });
});
