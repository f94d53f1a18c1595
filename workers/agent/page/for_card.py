"""The owner's rules and the way to the page, as the card on the terminal has them."""

from __future__ import annotations

from collections.abc import Callable

from workers.agent.page.desk import Desk, Refused
from workers.agent.page.opening import PageOpener
from workers.agent.status.words import sentence


class ForCard:
    """Answers the keys of the card for which the page has the means."""

    def __init__(self, desk: Desk, opener: PageOpener) -> None:
        self._desk = desk
        self._opener = opener

    def limits(self) -> list[str]:
        """Return the rules and what they come to now, line by line."""
        return self._desk.limits_lines()

    def set_limits(self, text: str) -> str:
        """Set rules by a line like "threads=2"; return in a sentence how that went."""
        return _tried(lambda: self._desk.set_limits(text), "The rules are changed.")

    def open_page(self) -> str:
        """Open the page; return how that went, "" where `page_address` is to be shown."""
        return _tried(self._opener.open, "The page is open in your browser.")

    @property
    def page_address(self) -> str:
        """The address that opens the page and that nobody has used; "" without one."""
        return self._opener.address


def _tried(act: Callable[[], object], done: str) -> str:
    try:
        return "" if act() is False else done
    except Refused as error:
        return sentence(str(error))
    except OSError as error:
        return f"Not done: {error.strerror or error}."
