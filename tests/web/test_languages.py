"""Every language other than English is complete, and names what stands on the nodes in its own words."""

import json
import re
from pathlib import Path

import pytest

LOCALES = Path(__file__).resolve().parent.parent.parent / "locales"
OTHERS = sorted(path.name for path in LOCALES.iterdir() if path.name != "en")


SCHEMA = json.loads((LOCALES.parent / "tests" / "nodes" / "schema.json").read_text(encoding="utf-8"))
# English names that are a language's own word as well.
SAME_WORDS = {"fr": {"image", "latent", "module", "placements", "composite"}, "zh": set()}


def texts(language: str) -> dict:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def leaves(tree: dict, *path: str):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, *path, key)
        else:
            yield (*path, key), value


def test_french_and_chinese_exist():
    assert {"fr", "zh"} <= set(OTHERS)


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_all_texts(language):
    english, other = dict(leaves(texts("en"))), dict(leaves(texts(language)))
    assert set(other) == set(english)
    for path, words in english.items():
        assert other[path].strip(), path
        assert other[path] != words or (path[-1] == "name" and words in SAME_WORDS[language]), path


@pytest.mark.parametrize("language", OTHERS)
def test_what_has_one_name_in_english_has_one_in_every_language(language):
    english, names = dict(leaves(texts("en"))), {}
    for path, words in leaves(texts(language)):
        if path[-1] == "name":
            names.setdefault(english[path], set()).add(words)
    assert {name: found for name, found in names.items() if len(found) > 1} == {}


DOCS = LOCALES.parent / "web" / "docs"
PAGES = sorted(DOCS.glob("*/*.md"))


@pytest.mark.parametrize("language", OTHERS)
def test_every_node_has_a_help_page_in_every_language(language):
    assert {page.parent.name for page in PAGES if page.stem == language} == set(texts("en"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_a_translated_help_page_is_complete(page):
    assert page.stem in OTHERS
    own, english = page.read_text(encoding="utf-8"), page.parent.with_suffix(".md").read_text(encoding="utf-8")
    node = texts("en")[page.parent.name]
    for name in (*node.get("inputs", {}), *(output["name"] for output in node["outputs"].values())):
        assert f"`{name}`" in own, name
    for mark in (r"^#+ ", r"^- ", r"!\[", r"^\|", r"^\*\*[^*]+[.。]\*\*"):
        assert len(re.findall(mark, own, re.MULTILINE)) == len(re.findall(mark, english, re.MULTILINE)), mark
    assert own.startswith(f"# {texts(page.stem)[page.parent.name]['display_name']}\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_a_translated_help_page_quotes_what_the_node_says_in_its_language(page):
    language = json.loads((LOCALES.parent / "web" / "languages" / f"{page.stem}.json").read_text("utf-8"))
    written = re.sub(r"\{\w+\}", "…", "\n".join([*language["sentences"].values(), *language["editors"].values()]))
    for quoted in re.findall(r'\*"([^"]+)"\*', page.read_text(encoding="utf-8")):
        assert all(part.strip(" ,:：，") in written for part in quoted.split("…")), quoted


@pytest.mark.parametrize("language", OTHERS)
def test_a_translated_tooltip_has_the_same_numbers_as_the_english_one(language):
    english = dict(leaves(texts("en")))
    for path, words in leaves(texts(language)):
        if path[-1] == "tooltip":
            for pattern in (r"1 = ", r"\b\d{2,4}\b"):
                assert sorted(re.findall(pattern, words)) == sorted(re.findall(pattern, english[path])), path


def commands(language: str) -> dict:
    return json.loads((LOCALES / language / "commands.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_names_every_command(language):
    assert set(commands(language)) == set(commands("en"))
    assert all(commands(language)[name]["label"] != command["label"] for name, command in commands("en").items())


def test_the_english_names_of_commands_are_those_in_the_code():
    code = (LOCALES.parent / "web" / "js" / "phd.js").read_text(encoding="utf-8")
    for command in commands("en").values():
        assert f'label: "{command["label"]}"' in code
