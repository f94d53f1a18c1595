"""Data that remembers its lines, so that a refusal can say where to look. Pure.

What the readers of JSON and YAML share: their shapes, their bounds and their error.
"""

from __future__ import annotations

from typing import Any, Final

MAX_TEXT_CHARACTERS: Final = 100_000
# A space is flat; a sweep has two levels more. Beyond this, reading would only cost.
MAX_DEPTH: Final = 32
# No program prints a longer whole number, and no database column holds one of 20 digits.
MAX_DIGITS: Final = 30
MAX_NUMBER_CHARACTERS: Final = 64


class UnreadableSpace(ValueError):
    """The text is not a search space in a known form; the message says what is wrong and where."""

    def __init__(self, sentence: str, line: int | None = None) -> None:
        self.sentence, self.line = sentence, line
        super().__init__(f"Line {line}: {sentence}" if line else sentence)


def check_length(text: str) -> None:
    """Raise UnreadableSpace for a text that is too long to be read in a request."""
    if len(text) > MAX_TEXT_CHARACTERS:
        raise UnreadableSpace(
            f"The text is longer than {MAX_TEXT_CHARACTERS:,} characters; a search space is short."
        )


class LinedDict(dict[str, Any]):
    """A mapping, and the line of each key."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}

    def put(self, key: str, value: Any, line: int) -> None:
        """Add a key. Raises UnreadableSpace when it is there: one of the two would be lost."""
        if key in self:
            raise UnreadableSpace(
                f"the key {key[:60]!r} is given twice, first in line {self.lines[key]}; leave one "
                "of them out.",
                line,
            )
        self[key] = value
        self.lines[key] = line


class LinedList(list[Any]):
    """A list, and the line of each item."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[int] = []

    def put(self, value: Any, line: int) -> None:
        """Add an item."""
        self.append(value)
        self.lines.append(line)


def line_of(data: object, key: str | int) -> int | None:
    """Return the line of a key or an item; None where it is not known."""
    if isinstance(data, LinedDict) and isinstance(key, str):
        return data.lines.get(key)
    if isinstance(data, LinedList) and isinstance(key, int) and 0 <= key < len(data.lines):
        return data.lines[key]
    return None


def plain(data: Any) -> Any:
    """Return the data as plain lists and mappings, without its lines."""
    if isinstance(data, dict):
        return {key: plain(value) for key, value in data.items()}
    return [plain(item) for item in data] if isinstance(data, list) else data


def whole_number(literal: str, base: int = 10) -> int:
    """Return the number of a literal. Raises UnreadableSpace for a very long one."""
    if len(literal) > MAX_DIGITS:
        raise UnreadableSpace(
            f"a whole number has more than {MAX_DIGITS} digits; write a smaller one."
        )
    return int(literal, base)


def real_number(literal: str) -> float:
    """Return the number of a literal. Raises UnreadableSpace for one that no float holds."""
    if len(literal) > MAX_NUMBER_CHARACTERS:
        raise UnreadableSpace(
            f"a number has more than {MAX_NUMBER_CHARACTERS} characters; write fewer digits."
        )
    number = float(literal)
    if number in {float("inf"), float("-inf")}:
        raise UnreadableSpace(
            f"the number {literal[:40]} is larger than any float; write a smaller one."
        )
    return number
