"""Opens the page for the person at the agent's own terminal, or shows where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from workers.agent.browser import open_privately


class _Service(Protocol):
    def open(self) -> str:
        """Return an address that opens the page once."""

    def still_opens(self, address: str) -> bool:
        """Return whether nobody has used this address, and it is not too old."""


class PageOpener:
    """Opens the page of the agent with the state folder ``root``."""

    def __init__(
        self,
        service: _Service,
        root: Path,
        open_browser: Callable[[str, Path], bool] = open_privately,
    ) -> None:
        self._service = service
        self._root = root
        self._open_browser = open_browser
        self._address = ""

    def open(self) -> bool:
        """Open the page in a browser; without one, `address` is to be shown. Raises OSError."""
        address = self._service.open()
        is_open = self._open_browser(address, self._root)
        self._address = "" if is_open else address
        return is_open

    @property
    def address(self) -> str:
        """The address that a person has to type; "" once it was used or is too old."""
        if self._address and not self._service.still_opens(self._address):
            self._address = ""
        return self._address
