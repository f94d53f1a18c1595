"""The buttons of a page: what each sends, and what the page says afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """One button: the verb it runs, the message of success, and the states in which it works.

    Empty `states` mean that the page itself decides when to show the button.
    """

    run: Callable[..., None]
    done: str
    states: frozenset[str] = frozenset()
