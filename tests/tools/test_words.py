"""The texts that users read keep to the field's words, in American English."""

import json
import re

import pytest

from devtools.paths import ROOT

# What a word would be mistaken for, or what to write instead.
RETIRED = {
    r"\bcontrols?\b(?! after generate)": "ControlNet; write reference or light reference",
    r"`guidance`": "CFG; write lambda_strength",
    r"`differential`|\bdifferential (method|relight)": "Differential Diffusion; write soft mask, or with reference",
    r"`(literal|before|seeds|together|colour_fix|sampled_control)`": "an old name of an input",
    r"\bpictures?\b": "write image",
    r"\btold\b|\btells?\b": "write what it is: message, prompt, setting",
    r"\b(craft|door|house|rooms?(?! for)|believes?|beliefs?|leans?|leant|stale-lit)\b": "a metaphor",
    r"\bthat the name says\b|\bsays? so\b|\bhas no say\b|\blast word\b": "write it plainly",
    r"\bstepper\b": "write solver",
    r"\bdoubts?\b": "write variance, or uncertain",
    r"\b(colour|grey|centre|neighbour|behaviour|favour|licence)": "write American English",
    r"\b(harmonis|normalis|recognis|stabilis|initialis|optimis|minimis|generalis|standardis)": "write American English",
}


def readme_and_pages():
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "web" / "docs").glob("*.md")),
    ):
        yield from (
            (f"{path.relative_to(ROOT)}:{i}", line) for i, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        )


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


@pytest.mark.parametrize(("pattern", "instead"), RETIRED.items())
def test_public_texts_use_no_retired_word(pattern, instead):
    found = [
        f"{place}: {line.strip()}"
        for place, line in (*readme_and_pages(), *tooltips())
        if re.search(pattern, prose(line), re.IGNORECASE)
    ]
    assert not found, f"{instead}\n" + "\n".join(found)
