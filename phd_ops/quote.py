"""Input of any length as it stands in a message."""

import reprlib

# At most this many characters of one input are quoted.
MOST_QUOTED = 120


def quoted(value: object) -> str:
    """A value as Python writes it, on one line, cut off after MOST_QUOTED characters."""
    if isinstance(value, str):
        return repr(value) if len(value) <= MOST_QUOTED else f"{value[:MOST_QUOTED]!r}…"
    text = " ".join(reprlib.repr(value).split())
    return text if len(text) <= MOST_QUOTED else f"{text[:MOST_QUOTED]}…"
