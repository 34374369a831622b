"""What a benchmark prints: tables, verdicts on its figures, and the figures as JSON."""

import operator
from collections.abc import Iterable
from dataclasses import dataclass, field

COMPARE = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "within": lambda value, ends: ends[0] <= value <= ends[1],
}
# Figure -> (comparison, bound).
Bounds = dict[str, tuple]


@dataclass
class Section:
    """One part of the table: its rows (label, text), and its figures for the line of JSON."""

    title: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[str, float | bool] = field(default_factory=dict)

    def row(self, label: str, text: str) -> None:
        self.rows.append((label, text))

    def times(self, milliseconds: dict[str, float], base: str) -> None:
        """A row for each runner, with its time as a multiple of the base's."""
        for label, taken in milliseconds.items():
            self.row(label, f"{taken:9.2f} ms {taken / milliseconds[base]:9.2f} ×")


def holds(wanted: Bounds, name: str, value: float | bool) -> bool:
    """Whether a figure keeps its bound."""
    sign, bound = wanted[name]
    return bool(COMPARE[sign](value, bound))


def exit_status(wanted: Bounds, figures: dict, times: Iterable[str] = ()) -> int:
    """0 where all bounded figures hold but for `times`, which depend on the machine; else 1."""
    return 0 if all(holds(wanted, name, figures[name]) for name in wanted if name not in times) else 1


def shortened(value: float | bool) -> float | bool:
    """A figure with four significant digits; whole numbers and booleans as they are."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def rounded(figures: dict) -> dict:
    """Figures with four significant digits, in tables within tables too."""
    return {name: rounded(value) if isinstance(value, dict) else shortened(value) for name, value in figures.items()}


def verdict(wanted: Bounds, name: str, value: float | bool) -> str:
    result = "holds" if holds(wanted, name, value) else "DOES NOT HOLD"
    return f"  → {name} {shortened(value)}, wanted {' '.join(map(str, wanted[name]))}: {result}"


def show(section: Section, wanted: Bounds) -> None:
    """Prints a section, and a verdict on each of its figures that has a bound."""
    print(f"\n{section.title}")
    for label, text in section.rows:
        print(f"  {label:<52}{text}")
    for name, value in section.figures.items():
        if name in wanted:
            print(verdict(wanted, name, value), flush=True)
