"""The buttons of a page: what each one does, and what the page says afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One button: the function it runs, its success message, and the states in which it works.

    If `states` is empty, the page itself decides when to show the button.
    """

    run: Callable[..., None]
    done: str
    states: frozenset[str] = frozenset()
