"""Takes the Python that a set-up chose meanwhile, between two tasks of an agent that runs.

What was used before stays in use until the new one has worked here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from workers.agent.running.hardware import Machine
from workers.agent.running.sandbox import Sandbox
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault
from workers.agent.tasks.scripts import CodePolicy
from workers.protocol import Hardware, IsolationTier

_LOOK_SECONDS: Final = 2.0
_STEP: Final = "tries the Python of the set-up"

log = logging.getLogger("xeenet.agent")


@dataclass(frozen=True)
class Equipment:
    """What scripts run with here, and what the server hears of it."""

    machine: Machine
    sandbox: Sandbox | None
    hardware: Hardware
    isolation: IsolationTier
    policy: CodePolicy
    simulated_because: str = ""


class Renewal:
    """Follows the choice of set-up. The main loop calls it; trying has a thread of its own.

    ``chosen`` names the present choice. ``try_chosen`` returns the equipment with it, or raises an
    error that says why it does not work; ``use`` is told of one that is taken.
    """

    def __init__(
        self,
        board: StatusBoard,
        chosen: Callable[[], Hashable],
        try_chosen: Callable[[], Equipment],
        use: Callable[[Equipment], None],
    ) -> None:
        self._board = board
        self._chosen = chosen
        self._try_chosen = try_chosen
        self._use = use
        self._known = chosen()
        self._trying: Hashable = None
        self._next_look_at = 0.0
        self._seen_new = False
        self._thread: threading.Thread | None = None
        self._equipment: Equipment | None = None

    @property
    def keeps_from_claiming(self) -> bool:
        """Whether another choice waits for the running tasks to end, or is being tried."""
        return self._thread is not None or self._is_new()

    def step(self, *, is_idle: bool) -> Equipment | None:
        """Try a new choice when nothing runs; return the equipment once it has worked."""
        if self._thread is not None:
            if self._thread.is_alive():
                return None
            self._thread = None
            self._known = self._trying
            self._board.setting_up("")
            equipment, self._equipment = self._equipment, None
            if equipment is not None:
                self._board.mended("python")
                self._use(equipment)
                log.info("scripts run with %s now", equipment.machine.python.executable)
            return equipment
        if is_idle and self._is_new():
            self._trying = self._chosen()
            self._board.setting_up(_STEP)
            self._thread = threading.Thread(target=self._try, name="renewal", daemon=True)
            self._thread.start()
        return None

    def _is_new(self) -> bool:
        """Return whether another Python is chosen than the one that was tried last."""
        now = time.monotonic()
        if now < self._next_look_at:
            return self._seen_new
        self._next_look_at = now + _LOOK_SECONDS
        self._seen_new = self._chosen() != self._known
        return self._seen_new

    def _try(self) -> None:
        try:
            self._equipment = self._try_chosen()
        except Exception as error:
            log.debug("the Python of the set-up was not taken", exc_info=True)
            words = f"the Python of the set-up is not used, the one of before is: {error}"
            self._board.trouble("python", Fault.MACHINE, words, "Run xeenet-worker setup again.")
        self._next_look_at = 0.0
