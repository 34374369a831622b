/** Types of several modules of web/js. They are for the compiler alone, so the page does not load them. */

import type { EditorFrame } from "./js/editor_frame.mjs";
import type { Point, Size } from "./js/placement.mjs";
import type { TextKey } from "./js/translations.mjs";

/** What editors need of ComfyUI's frontend. */
export interface Frontend {
  urlOf(file: StoredFile): string;
  /** The `ui` output of the node's last run. */
  outputsOf: OutputsOf;
  /** Changes between begin and end are one undo step. */
  transaction(node: any, begins: boolean): void;
  passToGraph(event: WheelEvent | PointerEvent): void;
  /** Whether Nodes 2.0 draws the nodes, not the classic renderer. */
  isNodes2(): boolean;
  /** Of the graph: window pixels per pixel of a node. */
  zoom(): number;
  /** Such as "en". */
  language(): string;
}

export interface Editor {
  frame: EditorFrame;
  node: any;
  frontend: Frontend;
  /** The widgets that it sets. */
  fields: string[];
  /** Another editor, for its node as it is seen from outside a subgraph. */
  copyFor?(node: any): Editor;
  text(key: TextKey): string;
  /** Reads the graph again; cheap where nothing changed. */
  refresh(): void;
  /** A widget of the node was changed. */
  changed(): void;
  /** Gets the `ui` output of a run. */
  ran(output: any): void;
}

/** A pointer on the canvas of an editor; `at` is in CSS pixels of the canvas. */
export interface EditorPointer {
  id: number;
  at: Point;
  event: PointerEvent;
}

/** What an editor's frame calls. */
export type Handlers = {
  draw(context: CanvasRenderingContext2D, size: Size): void;
  /** Returns whether to follow this pointer until it is released. */
  press(pointer: EditorPointer): boolean;
  /** Gets all followed pointers, at most once per animation frame. */
  drag(pointers: EditorPointer[]): void;
  release(pointer: EditorPointer, canceled: boolean): void;
  /** Returns the CSS cursor. */
  hover(at: Point | null, event: PointerEvent | null): string;
  /** Returns whether the key was used. */
  key(event: KeyboardEvent): boolean;
  /** A key went up, or the canvas lost the keyboard. */
  keyboardReleased(): void;
  /** The node was removed: end every unfinished edit. */
  closed(): void;
  /** Returns whether the wheel was used. */
  wheel(event: WheelEvent): boolean;
  /** The pointer entered the canvas. */
  enter(): void;
  /** Gets the wheel and the middle button, which pan and zoom, and the right button, which opens the node's menu. */
  passToGraph(event: WheelEvent | PointerEvent): void;
};

/** A file that the server returns at /view; of the type "url", any address. */
export type StoredFile = { filename: string; subfolder: string; type: string };

export type Channel = "alpha" | "red" | "green" | "blue";

/** Where an image or a mask comes from. An image with `alpha` is a cut-out; a mask is one channel, or its inverse. */
export interface Source {
  /** Not known before a run where it is missing. */
  file?: StoredFile;
  alpha?: boolean;
  channel?: Channel;
  inverted?: boolean;
  /** An image or mask as Load Image gives it. */
  loaded?: boolean;
  /** What cuts an image with `alpha` out, where its file does not. */
  matte?: Source;
  /** The output that it comes from, to notice new links. */
  origin?: string;
  /** The settings of the nodes that changed the image on its way, to notice changes of those. */
  through?: string[];
}

/** The `ui` output of a node's last run. */
export type OutputsOf = (node: any) => Record<string, any> | null;

/** The part of ComfyUI's `api` that tells what happens in a run. */
export interface ApiEvents {
  addEventListener(name: any, listener: (event: CustomEvent) => void): void;
}

/** The part of ComfyUI's `api` that shows again what a run has cached. */
export interface CachingApi extends ApiEvents {
  dispatchCustomEvent(name: any, detail: any): void;
  fetchApi(path: string): Promise<Response>;
}
