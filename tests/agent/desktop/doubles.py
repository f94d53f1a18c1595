"""An agent's process, windows and icons that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workers.agent.status.model import Identity, Status


class FakeAgent:
    """An agent that joins, or not, as a test says; it notes how it was started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.is_running = False
        self.exit_code: int | None = None
        self.started: list[tuple[list[str], dict[str, str]]] = []
        self.stops = 0
        self.page = ""
        self.said: Status | None = None

    def start(self, words: Sequence[str] = (), secrets: Mapping[str, str] | None = None) -> None:
        self.started.append((list(words), dict(secrets or {})))
        self.is_running, self.exit_code = True, None

    def status(self) -> Status | None:
        return self.said

    def address(self) -> str:
        return self.page

    def stop(self) -> None:
        self.stops += 1
        self.is_running = False

    def end(self, exit_code: int) -> None:
        self.is_running, self.exit_code = False, exit_code

    def says(self, step: str, name: str = "") -> None:
        self.said = Status(Identity("0.2.0", 1, "", 0.0, name=name), setting_up=step)


class FakeFace:
    """A window or an icon."""

    def __init__(self, address: str = "", title: str = "") -> None:
        self.address = address
        self.title = title
        self.is_shown = True
        self.told: list[dict[str, Any]] = []

    def tell(self, order: dict[str, Any]) -> None:
        self.told.append(order)

    def end(self) -> None:
        self.is_shown = False
