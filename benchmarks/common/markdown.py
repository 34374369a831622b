"""Tables in Markdown, and the texts in their cells."""

from collections.abc import Iterable, Sequence


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with a line for its columns and one for each row."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def results(rows: dict[str, str]) -> str:
    """A table with a line for each thing measured."""
    return markdown(("what is measured", "result"), rows.items())


def short(value: float, digits: int) -> str:
    """A figure without the zero before the point."""
    return f"{value:.{digits}f}".removeprefix("0")


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def least_in_bold(values: Sequence[float], texts: Sequence[str]) -> list[str]:
    """A text for each value, in bold where the value is the least."""
    return [bold(text, value == min(values)) for value, text in zip(values, texts, strict=True)]
