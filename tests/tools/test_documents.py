"""The README and the pages under docs: short enough, complete, and without dead links."""

import ast
import json
import re

import pytest

from devtools.executor import CORE_EXTRAS
from devtools.paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "web" / "docs").glob("*.md"))]


def test_the_readme_has_at_most_1100_words():
    assert len(README.split()) <= 1100


@pytest.mark.parametrize("command", ["demo", "test"])
def test_the_readme_has_the_command_on_a_line_of_its_own(command):
    assert f"\npython3 dev.py {command}\n" in README


def test_the_readme_lists_every_node():
    nodes = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    assert [name["display_name"] for name in nodes.values() if f"\n| {name['display_name']} |" not in README] == []


def test_every_row_of_settings_is_marked_as_measured_or_derived():
    section = README.split("## Settings")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    assert rows and all(re.search(r"\*(measured|derived)\*", row) for row in rows)


def written_texts() -> str:
    """Every string of the pack's code on a line of its own, with … for what is filled in at run time."""
    texts = [(ROOT / "web" / "js" / "translations.mjs").read_text(encoding="utf-8")]
    sources = [
        ROOT / "__init__.py",
        *(file for folder in ("nodes", "phd_ops") for file in (ROOT / folder).rglob("*.py")),
    ]
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{\w[^}]*\}", "…", node.value))
    return "\n".join(texts)


def test_messages_that_the_pages_quote_are_messages_of_the_pack():
    written = written_texts()
    quoted = [(page.name, text) for page in PAGES for text in re.findall(r'\*"([^"]+)"\*', page.read_text("utf-8"))]
    assert len(quoted) > 20
    unknown = [
        (name, text) for name, text in quoted if not all(part.strip(" ,:") in written for part in text.split("…"))
    ]
    assert unknown == []


def test_the_page_on_the_api_describes_every_field_of_the_history():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py"))
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [name for name in set(re.findall(r'"(phd_[a-z_]+)"', sources)) if f"`{name}`" not in page] == []


def test_the_page_on_batches_names_the_core_nodes_that_run_without_a_server():
    page = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
    named = page.split("Without a server, ", 1)[1].split("`comfy_extras`")[0]
    assert re.findall(r"`(\w+)`", named) == list(CORE_EXTRAS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_images_lead_to_files_of_the_repository(page):
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).resolve().is_relative_to(ROOT)] == []
    assert [target for target in local if not (page.parent / target).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_to_sections_lead_to_headings_of_the_page(page):
    text = page.read_text(encoding="utf-8")
    slugs = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.+)$", text)
    }
    slugs |= set(re.findall(r'<a name="([^"]+)">', text))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= slugs
