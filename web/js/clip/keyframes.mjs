/**
 * Keyframes as text, and the path through them: the same as `phd_ops/pixels/keyframes.py`. Nothing here uses the
 * browser.
 */

import { NUMBERS } from "../placement.mjs";

/** @typedef {import("../placement.mjs").Placement} Placement */
/** What a line says. @typedef {{ frame: number, values: Partial<Placement>, eases: boolean }} Keyframe */

const LINE = /^\s*(\d{1,9})\s*:\s*(.*?)[\s,]*$/;
const WORD = /(x|y|size|rotation)[\s=]*([-+\d.][-+\d.e]*)(?=$|[\s,])|(flip)(?:[\s=]+(true|false))?(?=$|[\s,])|(ease)(?=$|[\s,])/y;
const BETWEEN = /[\s,]*/y;

/**
 * The keyframes of a text in the order of their frames, and the first line that Python would refuse: then there are none.
 * @param {string} text @returns {{ keyframes: Keyframe[], wrong: string | null }}
 */
export function readKeyframes(text) {
  /** @type {Map<number, Keyframe>} */
  const found = new Map();
  for (const line of text.split(/\r?\n/)) {
    if (!line.trim()) continue;
    const one = readLine(line);
    if (!one || found.has(one.frame)) return { keyframes: [], wrong: line };
    found.set(one.frame, one);
  }
  return { keyframes: [...found.values()].sort((one, other) => one.frame - other.frame), wrong: null };
}

/** @param {string} line @returns {Keyframe | null} */
function readLine(line) {
  const [, frame, words] = LINE.exec(line) ?? [];
  if (!words) return null;
  const read = words.startsWith("{") ? fromJson(words) : fromWords(words);
  return read && { frame: Number(frame), ...read };
}

/** @param {string} text */
function fromJson(text) {
  try {
    const values = JSON.parse(text);
    const known = Object.entries(values).every(([name, value]) =>
      name === "flip" ? typeof value === "boolean" : isNumber(name, value),
    );
    return known && Object.keys(values).length ? { values, eases: false } : null;
  } catch {
    return null;
  }
}

/** @param {string} name @param {unknown} value */
function isNumber(name, value) {
  return NUMBERS.some((known) => known === name) && Number.isFinite(value);
}

/** @param {string} text */
function fromWords(text) {
  /** @type {Partial<Placement>} */
  const values = {};
  let eases = false;
  for (let end = 0; end < text.length; ) {
    WORD.lastIndex = end;
    const found = WORD.exec(text);
    if (!found) return null;
    const [, name, number, flip, state, ease] = found;
    if ((name ?? flip ?? "") in values) return null;
    if (name) {
      values[name] = Number(number);
      if (!Number.isFinite(values[name])) return null;
    } else if (flip) values.flip = state !== "false";
    if (ease) eases = true;
    BETWEEN.lastIndex = WORD.lastIndex;
    BETWEEN.exec(text);
    end = BETWEEN.lastIndex;
  }
  return { values, eases };
}

/** @param {Keyframe[]} keyframes @returns {string} */
export function writeKeyframes(keyframes) {
  return keyframes
    .map(({ frame, values, eases }) => {
      const words = NUMBERS.filter((name) => name in values).map((name) => `${name} ${+Number(values[name]).toFixed(5)}`);
      if ("flip" in values) words.push(values.flip ? "flip" : "flip false");
      if (eases) words.push("ease");
      return `${frame}: ${words.join(", ")}`;
    })
    .join("\n");
}

/**
 * What keyframes say of a frame; a value that none of them names is not there.
 * @param {Keyframe[]} keyframes @param {number} frame @returns {Partial<Placement>}
 */
export function valuesAt(keyframes, frame) {
  /** @type {Partial<Placement>} */
  const found = {};
  for (const name of NUMBERS) {
    const keyed = keyframes.filter(({ values }) => name in values);
    if (keyed.length) found[name] = curve(keyed, keyed.map(({ values }) => Number(values[name])), frame);
  }
  const flips = keyframes.filter(({ values }) => "flip" in values);
  const last = flips.filter((one) => one.frame <= frame).at(-1) ?? flips[0];
  if (last) found.flip = last.values.flip;
  return found;
}

/** @param {Keyframe[]} keyed @param {number[]} values @param {number} frame */
function curve(keyed, values, frame) {
  const at = keyed.map((one) => one.frame);
  const next = at.findIndex((each) => each > frame);
  if (next < 1) return values.at(next ? -1 : 0) ?? 0;
  const slopes = slopesOf(at, values).map((slope, index) => (keyed[index].eases ? 0 : slope));
  const first = next - 1,
    length = at[next] - at[first],
    t = (frame - at[first]) / length;
  const rise = values[next] - values[first];
  const bend = length * (slopes[first] + slopes[next]) - 2 * rise;
  return values[first] + t * (length * slopes[first] + t * (rise - length * slopes[first] - bend + t * bend));
}

/** The slopes of Fritsch and Butland. @param {number[]} at @param {number[]} values */
function slopesOf(at, values) {
  const steps = at.slice(1).map((each, index) => each - at[index]);
  const rises = steps.map((step, index) => (values[index + 1] - values[index]) / step);
  if (rises.length === 1) return [rises[0], rises[0]];
  const inner = rises.slice(1).map((rise, index) => {
    const before = rises[index],
      [left, right] = [steps[index], steps[index + 1]];
    if (before * rise <= 0) return 0;
    const [one, other] = [2 * right + left, right + 2 * left];
    return (one + other) / (one / before + other / rise);
  });
  return [endSlope(steps, rises), ...inner, endSlope(steps.slice(-2).reverse(), rises.slice(-2).reverse())];
}

/** @param {number[]} steps @param {number[]} rises from the end on */
function endSlope([step, next], [rise, after]) {
  const slope = ((2 * step + next) * rise - step * after) / (step + next);
  if (Math.sign(slope) !== Math.sign(rise)) return 0;
  return Math.sign(rise) !== Math.sign(after) && Math.abs(slope) > 3 * Math.abs(rise) ? 3 * rise : slope;
}
