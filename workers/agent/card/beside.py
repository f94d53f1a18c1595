"""What the card shows and does of the rest of the agent: the rules, and the way to its page."""

from __future__ import annotations

from typing import Protocol


class Beside(Protocol):
    """Methods that do something return in a sentence how that went."""

    def limits(self) -> list[str]:
        """Return the rules and what they come to now, line by line."""

    def set_limits(self, text: str) -> str:
        """Set rules by a line like "threads=2 hours=22:00-07:00"."""

    def open_page(self) -> str:
        """Open the worker's page; return "" where its address is to be shown."""

    @property
    def page_address(self) -> str:
        """The address that opens the page and that nobody has used; "" without one."""
