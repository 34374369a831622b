/**
 * What the nodes say, in the user's language.
 *
 * Python says it in English, as the log and callers over the API get it. A sentence is recognized here by its template,
 * a key in the language's file of `web/languages`, and so are those of its values that are sentences themselves.
 */

import { LANGUAGES } from "./translations.mjs";

/**
 * A template that is looked for. One without words of its own only joins others.
 * @typedef {{ pattern: RegExp, translation: string, joins: boolean }} Template
 */
/** Of a language's file. @typedef {{ templates: Template[], options: Record<string, Record<string, string>> }} Language */

/** A place for a value in a template, which may have a format as in Python. */
const HOLE = /\{(\w+)[^}]*\}/g;

/**
 * Prepares the templates of a language: first those that begin with words of their own, then those with more of them.
 * @param {Record<string, string>} translations by the English template
 * @returns {Template[]}
 */
export function templatesOf(translations) {
  const own = (text) => text.replace(HOLE, "");
  return Object.entries(translations)
    .sort(([one], [other]) => Number(one[0] === "{") - Number(other[0] === "{") || own(other).length - own(one).length)
    .map(([english, translation]) => ({
      pattern: patternOf(english),
      translation,
      joins: !/\p{L}/u.test(own(english)),
    }));
}

/** @param {string} template @returns {RegExp} */
function patternOf(template) {
  const known = new Set();
  let source = "",
    end = 0;
  for (const { 0: hole, 1: name, index } of template.matchAll(HOLE)) {
    source += escaped(template.slice(end, index)) + (known.has(name) ? `\\k<${name}>` : `(?<${name}>.+?)`);
    known.add(name);
    end = index + hole.length;
  }
  return new RegExp(`^${source}${escaped(template.slice(end))}$`, "s");
}

/** @param {string} text */
const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/**
 * A text in the language of these templates, line by line; what no template fits stays English.
 * @param {Template[]} templates @param {string} text
 * @param {(name: string) => string | undefined} [nameOf] the name of an input as the node shows it
 */
export function translated(templates, text, nameOf = () => undefined) {
  return text
    .split("\n")
    .map((line) => line && part(templates, line, nameOf, line))
    .join("\n");
}

/**
 * @param {Template[]} templates @param {string} text @param {(name: string) => string | undefined} nameOf
 * @param {string} otherwise what stands for a text that no template fits
 * @returns {string}
 */
function part(templates, text, nameOf, otherwise) {
  for (const { pattern, translation, joins } of templates) {
    const values = Object.entries(pattern.exec(text)?.groups ?? {});
    if (!values.length && !pattern.test(text)) continue;
    const own = new Map(values.map(([name, value]) => [name, part(templates, value, nameOf, nameOf(value) ?? value)]));
    // Nothing to join: what a user wrote stays as it is.
    if (joins && values.every(([name, value]) => own.get(name) === value)) continue;
    return translation.replace(HOLE, (hole, name) => own.get(name) ?? hole);
  }
  return otherwise;
}

/** Languages that have a file in `web/languages`. */
const READABLE = ["fr", "zh"];

/**
 * The file of a language such as "fr" or "zh-TW", whose texts the editors show from then on; null where it has none, or
 * cannot be read: the pack speaks English then.
 * @param {string} language @returns {Promise<Language | null>}
 */
export async function readLanguage(language) {
  const [name] = language.split("-");
  if (!READABLE.includes(name)) return null;
  try {
    const response = await fetch(new URL(`../languages/${name}.json`, import.meta.url));
    const { sentences, options, editors } = await response.json();
    LANGUAGES[name] = editors;
    return { templates: templatesOf(sentences), options };
  } catch {
    return null;
  }
}
