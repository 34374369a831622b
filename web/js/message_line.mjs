/** A line on a node with the messages of its last run, which stays until the next run. */

import { addStyle } from "./page_style.mjs";

const STYLE = `
.phd-messages { flex: none; box-sizing: border-box; width: 100%; font: 11px/1.3 system-ui, sans-serif;
  color: var(--input-text, #ddd); white-space: pre-line; overflow: auto; user-select: text; max-height: 120px; }
.phd-messages[hidden] { display: none; }
.phd-messages[data-kind="warning"] { color: color-mix(in srgb, #ffb020 75%, var(--input-text, #ddd)); }
.phd-messages[data-kind="error"] { color: color-mix(in srgb, #ff4d4d 75%, var(--input-text, #ddd)); }
`;
/** CSS pixels of a row of text, and about that of a letter. */
const ROW = 14.3,
  LETTER = 5.6,
  MAX_ROWS = 8;

/** @typedef {"note" | "warning" | "error"} Kind */
/** What a node said in its last run. @typedef {{ text: string, kind: Kind }} Said */

/** The length of a line in letters. A Chinese character is as wide as two. @param {string} line */
const lettersIn = (line) => line.length + (line.match(/[\u2e80-\uffef]/g)?.length ?? 0);

export class MessageLine {
  /** @param {() => void} sizeChanged */
  constructor(sizeChanged) {
    addStyle("phd-messages-style", STYLE);
    this.element = document.createElement("div");
    this.element.className = "phd-messages";
    this.element.setAttribute("role", "log");
    this.element.hidden = true;
    this.sizeChanged = sizeChanged;
  }

  /** @param {Said | undefined} said nothing hides the line */
  show(said) {
    const { text = "", kind = "note" } = said ?? {};
    if (this.element.textContent === text && this.element.dataset.kind === kind) return;
    this.element.textContent = text;
    this.element.dataset.kind = kind;
    this.element.hidden = !text;
    this.sizeChanged();
  }

  /** @param {number} width @returns {number} The height that the line needs, in CSS pixels; 0 without a text. */
  heightIn(width) {
    if (this.element.hidden) return 0;
    const lines = (this.element.textContent ?? "").split("\n");
    const rows = lines.reduce((sum, line) => sum + Math.max(1, Math.ceil((lettersIn(line) * LETTER) / width)), 0);
    return Math.ceil(Math.min(rows, MAX_ROWS) * ROW) + 4;
  }
}
