"""Where the runs of a worker stand on the boards of their campaigns, as its page shows it.

The app `campaigns`, which knows, lies above this one: it registers its reader when it starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class RunPlace(NamedTuple):
    """The arm of a run on its campaign's board: number, address, what its value is worth, glyph."""

    arm: int
    url: str
    worth: str
    glyph: str


# Takes attempts, loaded with task, arm, campaign and result; returns places by the attempt's id.
Reader = Callable[[Sequence[Any]], Mapping[int, RunPlace]]
_readers: list[Reader] = []


def register(reader: Reader) -> None:
    """Let the worker's page ask this reader from now on, instead of any before."""
    _readers[:] = [reader]


def places_of(attempts: Sequence[Any]) -> dict[int, RunPlace]:
    """Return the places of those attempts whose arm stands on a board, by the attempt's id."""
    return {pk: place for reader in _readers for pk, place in reader(attempts).items()}
