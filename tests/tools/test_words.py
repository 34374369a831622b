"""Pages, tooltips, messages of the editors and the pack's own code keep to the field's words, in American English."""

import json
import re
from pathlib import PurePosixPath

import pytest
from pack_support import repository_files

from devtools.paths import ROOT

# What a word would be mistaken for, or what to write instead.
RETIRED = {
    r"\bcontrols?\b(?! after generate)": "ControlNet; write reference or light reference",
    r"`guidance`": "CFG; write lambda_strength",
    r"`differential`|\bdifferential (method|relight)": "Differential Diffusion; write soft mask, or with reference",
    r"`(literal|seeds|together|colour_fix|sampled_control)`": "an old name of an input",
    r"\bpictures?\b": "write image",
    r"\btold\b|\btells?\b": "write what it is: message, prompt, setting",
    r"\b(craft|door|house|rooms?(?! for)|believes?|beliefs?|leans?|leant|stale-lit)\b": "a metaphor",
    r"\bthat the name says\b|\bsays? so\b|\bhas no say\b|\blast word\b": "write it plainly",
    r"\bstepper\b": "write solver",
    r"\bdoubts?\b": "write variance, or uncertain",
    r"\b(colour|grey|centre|neighbour|behaviour|favour|licence)": "write American English",
    r"\b(harmonis|normalis|recognis|stabilis|initialis|optimis|minimis|generalis|standardis)": "write American English",
}
# A smaller list for the lines of the pack's code, where some words above are names or plain English.
RETIRED_IN_CODE = {
    r"\b(told|leant|craft)\b|\bhas no say\b|\blast word\b": "write it plainly",
    r"\bdoubts?\b": "write variance, or uncertain",
    r"\bstepper\b": "write solver",
    # A search word may be British: it is what people type.
    r"(colour|grey|centre|\bharmonis(?!e\"))": "write American English",
}


def lines_of(path):
    for i, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        yield f"{path.relative_to(ROOT)}:{i}", line


def pages():
    for path in (
        *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md")),
        *(ROOT / name for name in sorted(repository_files()) if PurePosixPath(name).name == "README.md"),
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "web" / "docs").glob("*.md")),
    ):
        yield from lines_of(path)


def editor_texts():
    """The English table of the editors' texts."""
    path = ROOT / "web" / "js" / "translations.mjs"
    lines = list(lines_of(path))
    start = next(i for i, (_, line) in enumerate(lines) if line.startswith("const ENGLISH = {"))
    yield from lines[start : next(i for i in range(start, len(lines)) if lines[i][1] == "};")]


def code():
    for folder in ("nodes", "phd_ops"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from lines_of(path)


def tooltips():
    def texts(value, place):
        if isinstance(value, dict):
            for key, part in value.items():
                yield from texts(part, f"{place}.{key}")
        else:
            yield place, value

    yield from texts(json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text("utf-8")), "tooltip")


def prose(line):
    """A line without the addresses of its links."""
    return re.sub(r"\]\([^)]*\)|https?://\S+", "", line)


def lines_with(pattern, texts):
    return [f"{place}: {line.strip()}" for place, line in texts if re.search(pattern, prose(line), re.IGNORECASE)]


@pytest.mark.parametrize(("pattern", "instead"), RETIRED.items())
def test_public_texts_use_no_retired_word(pattern, instead):
    found = lines_with(pattern, (*pages(), *editor_texts(), *tooltips()))
    assert not found, f"{instead}\n" + "\n".join(found)


@pytest.mark.parametrize(("pattern", "instead"), RETIRED_IN_CODE.items())
def test_the_packs_code_uses_no_retired_word(pattern, instead):
    found = lines_with(pattern, code())
    assert not found, f"{instead}\n" + "\n".join(found)
