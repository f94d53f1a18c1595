"""Read JSON strictly, with the line of every value. Pure.

A key that is given twice, NaN, and numbers that no float holds are refused where they stand.
"""

from __future__ import annotations

import json
import json.decoder
import json.scanner
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, NoReturn

from campaigns.search.lined import (
    MAX_DEPTH,
    LinedDict,
    LinedList,
    UnreadableSpace,
    check_length,
    real_number,
    whole_number,
)

Scan = Callable[[str, int], tuple[Any, int]]


def read_json(text: str) -> Any:
    """Return the data of a JSON text, as `LinedDict` and `LinedList`. Raises UnreadableSpace."""
    check_length(text)
    try:
        data = _Decoder(text).decode(text)
        json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise UnreadableSpace(
            f"Line {error.lineno}, column {error.colno}: this is not JSON ({error.msg})."
        ) from error
    except UnicodeEncodeError as error:
        raise UnreadableSpace("This JSON holds half of a surrogate pair.") from error
    return data


class _Decoder(json.JSONDecoder):
    """The standard decoder, in its Python form, which passes each value's position."""

    def __init__(self, text: str) -> None:
        super().__init__(
            parse_int=whole_number, parse_float=real_number, parse_constant=_refuse_constant
        )
        self._line_starts = [0, *(at + 1 for at, letter in enumerate(text) if letter == "\n")]
        self._depth = 0
        self.parse_object = self._parse_object
        self.parse_array = self._parse_array
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def _line(self, position: int) -> int:
        return bisect_right(self._line_starts, position)

    def _parse_object(
        self, start: tuple[str, int], strict: bool, scan: Scan, _1: Any, _2: Any, memo: Any
    ) -> tuple[LinedDict, int]:
        positions: list[int] = []
        pairs, end = self._nested(
            start[1],
            lambda: json.decoder.JSONObject(  # type: ignore[attr-defined]
                start, strict, self._noting(scan, positions), None, list, memo
            ),
        )
        data = LinedDict()
        for (key, value), position in zip(pairs, positions, strict=True):
            data.put(key, value, self._line(position))
        return data, end

    def _parse_array(self, start: tuple[str, int], scan: Scan) -> tuple[LinedList, int]:
        positions: list[int] = []
        items, end = self._nested(
            start[1],
            lambda: json.decoder.JSONArray(  # type: ignore[attr-defined]
                start, self._noting(scan, positions)
            ),
        )
        data = LinedList()
        for value, position in zip(items, positions, strict=True):
            data.put(value, self._line(position))
        return data, end

    def _nested(self, position: int, parse: Callable[[], Any]) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnreadableSpace("this JSON is nested too deeply.", self._line(position))
        parsed = parse()
        self._depth -= 1
        return parsed

    def _noting(self, scan: Scan, positions: list[int]) -> Scan:
        """Return `scan`, which also notes where each value begins, and names the line of errors."""

        def scan_and_note(text: str, position: int) -> tuple[Any, int]:
            positions.append(position)
            try:
                return scan(text, position)
            except UnreadableSpace as error:
                if error.line is not None:
                    raise
                raise UnreadableSpace(error.sentence, self._line(position)) from error

        return scan_and_note


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadableSpace(f"{name} is no number of JSON; write a finite one.")
