/** The texts of the editors and toasts, in English. A text that another language lacks is shown in English. */

/** @typedef {keyof typeof ENGLISH} TextKey */

const ENGLISH = {
  placementLabel: "Placement of the subject in the scene",
  placementHelp:
    "Drag to move; drag a corner to resize (Alt: around the center); drag the handle to rotate (Shift: in steps of " +
    "15°). Keys: arrows move by 1 px (Shift: 10 px), + and − resize, R rotates (Shift+R: the other way), F flips, " +
    "0 resets. Ctrl+wheel resizes. Hold Alt to drag without snapping.",
  pickerLabel: "Points and box on the image",
  pickerHelp:
    "Click: a point on the subject. Shift-click or right-click: a point on the background. Drag: a box. " +
    "Drag a point to move it; click it to remove it.",
  snap: "Snap",
  snapHelp: "Snaps the subject to the center of the scene and to the ground.",
  flip: "Flip",
  reset: "Reset",
  keep: "Keep placement",
  keepHelp: "Copies the random placement of the last run into the widgets, and sets placement to manual.",
  clear: "Clear",
  clearHelp: "Removes all points and the box.",
  mask: "Mask",
  maskHelp: "Shows the mask of the last run.",
  noScene: "Connect a background, or the paste of an earlier Paste & Blend.",
  noSubject: "Connect a subject.",
  noImage: "Connect an image.",
  runFirst: "Run once to see the image: other nodes create it.",
  runForMask: "Run once to see the subject's outline.",
  noMask: "Connect a mask to subject_mask; Segment makes one.",
  invertedMask: "This mask looks inverted: 1 (white) must be the subject. Put Invert Mask before it.",
  noSegmenter: "Connect a segmenter; Load Segmenter gives one.",
  noPrompt: "Click the subject, or drag a box around it.",
  large: "Large",
  largeHelp: "Opens this editor in a large window. Esc closes it.",
  face: "On the subgraph",
  faceHelp: "Shows this editor, with its numbers, on the node of the subgraph too.",
  loading: "Loading …",
  lost: "{name} cannot be shown: the file is missing, empty or not an image.",
  emptyMask: "The mask is empty.",
  badNumber: "{name} is {value}; it must be a number from {low} to {high}. Press Reset to fix it.",
  badText: "{name} cannot be read: {value}. Correct or clear it.",
  fromLink: "Set by a link, so it cannot be changed here: {names}.",
  linkFirst: "Set by a link, so run once to see where it goes: {names}.",
  fromPlacements: "The placement comes from the placements input.",
  random: "Random: shown where the last run placed it.",
  randomFirst: "Random: run once to see where it goes.",
  outside: "The subject is outside the scene.",
  asRun: "result of the last run",
  timeline: "Timeline",
  timelineHelp: "Opens the frames of a clip, to set keyframes.",
  frame: "Frame",
  keyBefore: "To the keyframe before",
  keyAfter: "To the next keyframe",
  keySet: "Sets a keyframe at this frame, or deletes it.",
  keyEase: "The subject rests at this keyframe.",
  warningFrom: "Warning from {node}",
  notRun: "The graph cannot be run to this node",
  resultLabel: "The image before and after",
  resultHelp: "Drag the line to compare the composite, on its left, with the finished image. Arrow keys move it.",
  resultMaskHelp: "Shows what may differ from the background; everything else is darkened.",
  nextHelp: "Shows the next image of the batch.",
  noResult: "Run once to compare before and after.",
  before: "Before",
  after: "After",
  light: "light {gain}",
  identity: "identity {value}",
  neglected: "the model left the subject as it was",
  suppressed: "the model painted the subject away",
};

/** By language; those of `web/languages` come in when they are read. @type {Record<string, Partial<typeof ENGLISH>>} */
export const LANGUAGES = { en: ENGLISH };

/**
 * A text in a language such as "de" or "zh-TW", with {name} replaced by that value.
 * @param {string} language @param {TextKey} key @param {Record<string, unknown>} [values]
 */
export function translate(language, key, values = {}) {
  const texts = LANGUAGES[language] ?? LANGUAGES[language.split("-")[0]] ?? ENGLISH;
  const text = texts[key] ?? ENGLISH[key];
  return text.replace(/\{(\w+)\}/g, (hole, name) => (name in values ? String(values[name]) : hole));
}
