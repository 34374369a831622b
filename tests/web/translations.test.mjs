import assert from "node:assert/strict";
import { test } from "node:test";

import { readFileSync } from "node:fs";

import { LANGUAGES, translate } from "../../web/js/translations.mjs";

for (const name of ["fr", "zh"]) {
  const file = new URL(`../../web/languages/${name}.json`, import.meta.url);
  LANGUAGES[name] = JSON.parse(readFileSync(file, "utf8")).editors;
}

const placeholders = (text) => (text.match(/\{\w+\}/g) ?? []).sort();

test("every language has every text, with the same placeholders", () => {
  for (const [language, texts] of Object.entries(LANGUAGES)) {
    assert.deepEqual(Object.keys(texts), Object.keys(LANGUAGES.en), language);
    for (const [key, text] of Object.entries(texts)) {
      assert.ok(text.trim(), `${language}: ${key}`);
      assert.deepEqual(placeholders(text), placeholders(LANGUAGES.en[key]), `${language}: ${key}`);
    }
  }
});

test("a text is that of the language, of its family, or English", () => {
  assert.equal(translate("fr", "flip"), LANGUAGES.fr.flip);
  assert.equal(translate("zh-TW", "flip"), LANGUAGES.zh.flip);
  assert.equal(translate("ko", "flip"), LANGUAGES.en.flip);
});

test("a missing translation is English, and a placeholder without a value stays visible", () => {
  const { flip } = LANGUAGES.fr;
  delete LANGUAGES.fr.flip;
  assert.equal(translate("fr", "flip"), LANGUAGES.en.flip);
  LANGUAGES.fr.flip = flip;
  assert.equal(translate("en", "warningFrom", { node: "Stitch" }), "Warning from Stitch");
  assert.equal(translate("en", "warningFrom"), "Warning from {node}");
});
