/** Shows an element in a large window over the page, and puts it back where it was. */

import { addStyle } from "./page_style.mjs";

const STYLE = `
dialog.phd-large { width: 94vw; height: 92vh; max-width: none; max-height: none; padding: 12px; box-sizing: border-box;
  border: 1px solid var(--border-color, #4e4e4e); border-radius: 8px; background: var(--comfy-menu-bg, #353535); }
dialog.phd-large::backdrop { background: #000a; }
`;

export class LargeView {
  /** @param {HTMLElement} element */
  constructor(element) {
    this.element = element;
    /** @type {HTMLDialogElement | null} */
    this.dialog = null;
    /** Stands where the element was. */
    this.place = document.createElement("div");
  }

  /** Opens the window, or closes it where it is open. */
  open() {
    if (this.dialog) return this.close();
    addStyle("phd-large-style", STYLE);
    this.dialog = document.createElement("dialog");
    this.dialog.className = "phd-large";
    this.element.replaceWith(this.place);
    this.dialog.append(this.element);
    document.body.append(this.dialog);
    this.dialog.addEventListener("close", () => this.close());
    // A click beside the window closes it too.
    this.dialog.addEventListener("pointerdown", (event) => event.target === this.dialog && this.close());
    this.dialog.showModal();
  }

  close() {
    const { dialog } = this;
    if (!dialog) return;
    this.dialog = null;
    this.place.replaceWith(this.element);
    dialog.close();
    dialog.remove();
  }
}
