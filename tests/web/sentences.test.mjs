import assert from "node:assert/strict";
import { test } from "node:test";

import { templatesOf, translated } from "../../web/js/sentences.mjs";

const TEMPLATES = templatesOf({
  "{name}: {error}": "{name} : {error}",
  "Image {number}: {message}": "Image n° {number} : {message}",
  "{name} is {value}; connect {wanted} to it.": "Reliez {wanted} à {name}, pas {value}.",
  "a MASK": "un masque",
  "{covered:.0%} of it, {covered:.0%} seen (x)?": "vu : {covered}",
});

test("a sentence is recognized by its template, and its values are filled in", () => {
  assert.equal(translated(TEMPLATES, "mask is 5; connect a LATENT to it."), "Reliez a LATENT à mask, pas 5.");
});

test("values that are sentences, or names that the node shows, are translated too", () => {
  const nameOf = (name) => ({ mask: "masque" })[name];
  assert.equal(translated(TEMPLATES, "mask is 5; connect a MASK to it.", nameOf), "Reliez un masque à masque, pas 5.");
  assert.equal(
    translated(TEMPLATES, "Image 3: mask is 5; connect a MASK to it."),
    "Image n° 3 : Reliez un masque à mask, pas 5.",
  );
});

test("the template with more words of its own counts", () => {
  assert.equal(translated(TEMPLATES, "Image 3: anything"), "Image n° 3 : anything");
});

test("a value that a template names twice is the same both times, and what is no hole is taken literally", () => {
  assert.equal(translated(TEMPLATES, "50% of it, 50% seen (x)?"), "vu : 50%");
  assert.equal(translated(TEMPLATES, "50% of it, 60% seen (x)?"), "50% of it, 60% seen (x)?");
});

test("lines are sentences of their own, and what no template fits stays English", () => {
  assert.equal(translated(TEMPLATES, "a MASK\n\nother\na MASK"), "un masque\n\nother\nun masque");
  assert.equal(translated([], "a MASK"), "a MASK");
});

test("what only joins sentences leaves other texts alone", () => {
  assert.equal(translated(TEMPLATES, '{"x": 1}'), '{"x": 1}');
  assert.equal(translated(TEMPLATES, "mask: a MASK"), "mask : un masque");
});
