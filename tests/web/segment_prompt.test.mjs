import assert from "node:assert/strict";
import { test } from "node:test";

import * as prompt from "../../web/js/segment_prompt.mjs";

const SIZE = { width: 100, height: 50 };

test("points are parsed in every form that Python parses", () => {
  const wanted = [
    { x: 1, y: 2 },
    { x: 3.5, y: -4 },
  ];
  for (const text of [
    "1, 2; 3.5, -4",
    "1 2 3.5 -4",
    "[[1, 2], [3.5, -4]]",
    '[{"x": 1, "y": 2}, {"y": -4, "x": 3.5}]',
    "(1,2),(3.5,-4)\n",
  ]) {
    assert.deepEqual(prompt.pointsFrom(text), wanted, text);
  }
  assert.deepEqual(prompt.pointsFrom("  "), []);
});

test("points and boxes as fractions of the image are scaled to pixels", () => {
  assert.deepEqual(prompt.pointsFrom("0.5, 0.34; 1.0, 1", SIZE), [
    { x: 50, y: 17 },
    { x: 99, y: 49 },
  ]);
  assert.deepEqual(prompt.boxFrom("0, 0.5, 1, .5", SIZE), { box: { x: 0, y: 25, width: 100, height: 25 } });
  for (const text of ["0, 0; 1, 1", "1.5, 0.5", "0.5, 0.5; 40, 30", "-0.5, 0.5"])
    assert.deepEqual(prompt.pointsFrom(text, SIZE), prompt.pointsFrom(text), text);
});

test("a text that is no list of points gives null", () => {
  for (const text of [
    "1, 2, 3",
    "a, b",
    "1-2, 3",
    "1e7, 2",
    '[{"x": 1}]',
    '[{"x": null, "y": 1}]',
    "[{",
    "1e, 2",
    null,
    undefined,
    5,
  ]) {
    assert.equal(prompt.pointsFrom(text), null, String(text));
  }
});

test("a box is four numbers, empty, or null", () => {
  assert.deepEqual(prompt.boxFrom("1, 2, 3, 4"), { box: { x: 1, y: 2, width: 3, height: 4 } });
  assert.deepEqual(prompt.boxFrom(""), { box: null });
  for (const text of ["1, 2, 3", "1, 2, 0, 4", "1, 2, 3, 4, 5, 6, 7, 8", "box"])
    assert.equal(prompt.boxFrom(text), null, text);
});

test("a written prompt is parsed back as it was", () => {
  const points = [
    { x: 0, y: 7 },
    { x: 12.25, y: 3 },
  ];
  assert.deepEqual(prompt.pointsFrom(prompt.pointsText(points)), points);
  const box = { x: 5, y: 6, width: 7, height: 8 };
  assert.deepEqual(prompt.boxFrom(prompt.boxText(box)), { box });
  assert.equal(prompt.pointsText([]) + prompt.boxText(null), "");
});

test("a click gives the pixel under it, and never one outside the image", () => {
  assert.deepEqual(prompt.pixelAt({ x: 12.9, y: 0.2 }, SIZE), { x: 12, y: 0 });
  assert.deepEqual(prompt.pixelAt({ x: 100, y: -3 }, SIZE), { x: 99, y: 0 });
});

test("a box between two points is whole pixels inside the image, whichever way it was drawn", () => {
  assert.deepEqual(prompt.boxBetween({ x: 30.4, y: 40 }, { x: -5, y: 10.6 }, SIZE, 1), {
    x: 0,
    y: 11,
    width: 30,
    height: 29,
  });
  assert.equal(prompt.boxBetween({ x: 30, y: 40 }, { x: 30.3, y: 10 }, SIZE, 1), null);
});
