/** Reads cases that a Python test writes to standard input; prints what the browser's modules return for them. */

import { readFileSync } from "node:fs";

import { cornersOf, invalidNumber, matrixOf, visibleShare } from "../../web/js/placement.mjs";
import { boxOf, looksInverted } from "../../web/js/mask_outlines.mjs";
import { inPixels, parsed } from "../../web/js/segment_prompt.mjs";
import { templatesOf, translated } from "../../web/js/sentences.mjs";
import { readKeyframes, valuesAt, writeKeyframes } from "../../web/js/clip/keyframes.mjs";
import { footOf } from "../../web/js/snapping.mjs";

const ANSWERS = {
  placement: ({ placement, subject, scene }) => ({
    matrix: matrixOf(placement, subject, scene),
    corners: cornersOf(placement, subject, scene).map(({ x, y }) => [x, y]),
    share: visibleShare(placement, subject, scene),
    foot: footOf(placement, subject, scene),
  }),
  invalidNumber: (values) => invalidNumber(values)?.name ?? null,
  keyframes: ({ text, frames }) => {
    const { keyframes, wrong } = readKeyframes(text);
    const again = readKeyframes(writeKeyframes(keyframes)).keyframes;
    return wrong === null ? [keyframes, again].map((each) => frames.map((frame) => valuesAt(each, frame))) : null;
  },
  numbers: ({ text, each }) => parsed(text, each),
  pixels: ({ text, each, size }) => inPixels(text, each, size),
  box: ({ data, width, height }) =>
    boxOf({ data: Uint8Array.from(data), width, height }, 127) ??
    boxOf({ data: Uint8Array.from(data), width, height }, 0),
  inverted: ({ data, width, height }) => looksInverted({ data: Uint8Array.from(data), width, height }),
  translated: ({ sentences, texts }) => {
    const templates = templatesOf(sentences);
    return texts.map((text) => translated(templates, text));
  },
};

const cases = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(cases.map(([kind, values]) => ANSWERS[kind](values))));
