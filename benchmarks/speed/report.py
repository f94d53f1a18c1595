"""Bars and tables: what was held or missed, as text and as Markdown in `docs/performance.md`."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.marked_documents import write_between
from benchmarks.speed.products import ROOT

DOCUMENT = ROOT / "docs" / "performance.md"


@dataclass(frozen=True)
class Bar:
    """One bar and the value that is held to it; the value is None when it was not measured.

    A bar may have a stretch: where it would be better still, which misses nothing.
    """

    name: str
    value: float | None
    limit: float
    at_least: bool = False
    stretch: float | None = None
    unit: str = ""
    why_not: str = ""

    @property
    def holds(self) -> bool:
        """Whether the bar is held; what was not measured misses nothing."""
        return self.value is None or self._reaches(self.limit)

    @property
    def holds_stretch(self) -> bool:
        return self.value is not None and self.stretch is not None and self._reaches(self.stretch)

    def _reaches(self, limit: float) -> bool:
        assert self.value is not None
        # NaN is what a measurement without a single sample gives: it reaches nothing.
        return self.value >= limit if self.at_least else self.value <= limit

    @property
    def verdict(self) -> str:
        if self.value is None:
            return f"not measured{': ' if self.why_not else ''}{self.why_not}"
        if not self.holds:
            return "MISSED"
        return "held, and the stretch" if self.holds_stretch else "held"

    @property
    def cells(self) -> list[str]:
        word = "at least" if self.at_least else "at most"
        limit = f"{word} {number(self.limit)}{self.unit}"
        if self.stretch is not None:
            limit += f" (stretch {number(self.stretch)}{self.unit})"
        measured = "" if self.value is None else f"{number(self.value)}{self.unit}"
        return [self.name, measured, limit, self.verdict]


BAR_HEADS = ("bar", "measured", "limit", "")


@dataclass(frozen=True)
class Table:
    """A table of texts with a title. Its first column is left-aligned, the others right."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        """Return it for a terminal."""
        cells = [list(self.heads), *[list(row) for row in self.rows]]
        widths = [max(len(row[place]) for row in cells) for place in range(len(self.heads))]
        lines = [
            "  ".join(
                cell.ljust(width) if place == 0 else cell.rjust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, *[f"  {line}" for line in lines], *self._note("  ")])

    def markdown(self) -> str:
        """Return it for a document."""
        right = "|---|" + "---:|" * (len(self.heads) - 1)
        lines = [f"| {' | '.join(row)} |" for row in [self.heads, *self.rows]]
        return "\n".join([f"{self.title}:", "", lines[0], right, *lines[1:], *self._note("\n")])

    def _note(self, before: str) -> list[str]:
        return [f"{before}{self.note}"] if self.note else []


@dataclass(frozen=True)
class Report:
    """What a part measured: its conditions in a sentence or two, its tables and its bars."""

    part: str
    conditions: str
    tables: Sequence[Table]
    bars: Sequence[Bar]

    @property
    def holds(self) -> bool:
        return all(bar.holds for bar in self.bars)

    def _bars(self) -> Table:
        return Table("Bars", BAR_HEADS, [bar.cells for bar in self.bars])

    def text(self) -> str:
        missed = sum(not bar.holds for bar in self.bars)
        last = f"{missed} missed" if missed else "Every bar is held."
        tables = [*self.tables, *([self._bars()] if self.bars else [])]
        return "\n\n".join([self.conditions, *[table.text() for table in tables], last])

    def markdown(self) -> str:
        tables = [*self.tables, *([self._bars()] if self.bars else [])]
        return "\n\n".join([self.conditions, *[table.markdown() for table in tables]])

    def write(self, document: Path = DOCUMENT) -> None:
        """Replace this part of the document. Raises ValueError if it has no marks for it."""
        write_between(document, *marks(self.part), self.markdown())


def marks(part: str) -> tuple[str, str]:
    """Return the lines between which a part of the document is written."""
    return f"<!-- written by bench {part}: begin -->", f"<!-- written by bench {part}: end -->"


def number(value: float) -> str:
    """Return a figure with three significant digits, thousands with commas."""
    if math.isnan(value) or math.isinf(value):
        return "none"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def median(values: Sequence[float]) -> float:
    """Return the median; NaN of nothing, which reaches no bar."""
    return statistics.median(values) if values else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def paired(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of values that were measured beside each other."""
    pairs = zip(mine, theirs, strict=True)
    return median([one / other if other else math.inf for one, other in pairs])
