import assert from "node:assert/strict";
import { test } from "node:test";

import { LANGUAGES, text } from "../../web/js/texts.mjs";

const gaps = (words) => (words.match(/\{\w+\}/g) ?? []).sort();

test("every language has every text, with the same gaps", () => {
  for (const [language, texts] of Object.entries(LANGUAGES)) {
    assert.deepEqual(Object.keys(texts), Object.keys(LANGUAGES.en), language);
    for (const [key, words] of Object.entries(texts)) {
      assert.ok(words.trim(), `${language}: ${key}`);
      assert.deepEqual(gaps(words), gaps(LANGUAGES.en[key]), `${language}: ${key}`);
    }
  }
});

test("a text is that of the language, of its family, or English", () => {
  assert.equal(text("fr", "flip"), LANGUAGES.fr.flip);
  assert.equal(text("zh-TW", "flip"), LANGUAGES.zh.flip);
  assert.equal(text("ko", "flip"), LANGUAGES.en.flip);
});

test("a missing translation is English, and a missing gap is left to be seen", () => {
  const { flip } = LANGUAGES.fr;
  delete LANGUAGES.fr.flip;
  assert.equal(text("fr", "flip"), LANGUAGES.en.flip);
  LANGUAGES.fr.flip = flip;
  assert.equal(text("en", "warns", { node: "Stitch" }), "Stitch warns");
  assert.equal(text("en", "warns"), "{node} warns");
});
