"""CSV output line by line, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

# A spreadsheet treats a cell that starts with one of these as a formula.
_FORMULA_STARTS: Final = frozenset("=+-@\t\r\n")


class _Line:
    """A file for the csv module whose `write` returns the line."""

    def write(self, text: str) -> str:
        return text


def csv_lines(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yield the header line, then one line per row, each including its line break."""
    writer = csv.writer(_Line())
    yield writer.writerow(head)
    # In one expression: an export has millions of cells.
    for row in rows:
        yield writer.writerow(
            [
                f"'{cell}" if isinstance(cell, str) and cell[:1] in _FORMULA_STARTS else cell
                for cell in row
            ]
        )
