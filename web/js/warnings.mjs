/** What of a node's words is a warning, worth more than a line on the node. */

/** Parts of the nodes' sentences; a test holds them to what the nodes say. */
const WARNINGS = [
  "No subject found",
  "is empty",
  "lies wholly outside the scene",
  "is too small to be seen",
  "painted the subject away",
];

/**
 * The sentences among a run's texts that warn.
 * @param {unknown} texts
 * @returns {string[]}
 */
export function warningsIn(texts) {
  if (!Array.isArray(texts)) return [];
  return texts.filter((text) => typeof text === "string" && WARNINGS.some((part) => text.includes(part)));
}
