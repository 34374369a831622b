/** Answers cases that a Python test writes to standard input with what the browser's modules make of them. */

import { readFileSync } from "node:fs";

import { cornersOf, fault, matrixOf, visibleShare } from "../../web/js/placement.mjs";
import { boxOf } from "../../web/js/outline.mjs";
import { parsed } from "../../web/js/prompt.mjs";
import { footOf } from "../../web/js/snapping.mjs";

const ANSWERS = {
  placement: ({ placement, subject, scene }) => ({
    matrix: matrixOf(placement, subject, scene),
    corners: cornersOf(placement, subject, scene).map(({ x, y }) => [x, y]),
    share: visibleShare(placement, subject, scene),
    foot: footOf(placement, subject, scene),
  }),
  fault: (values) => fault(values)?.name ?? null,
  numbers: ({ text, each }) => parsed(text, each),
  box: ({ data, width, height }) =>
    boxOf({ data: Uint8Array.from(data), width, height }, 127) ??
    boxOf({ data: Uint8Array.from(data), width, height }, 0),
};

const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(([kind, given]) => ANSWERS[kind](given))));
