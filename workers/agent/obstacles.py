"""What on this machine keeps the agent from a claim: a full outbox or disk, unkillable processes.

Each is reported to the status board as a trouble of its own, and withdrawn once it is gone.
"""

from __future__ import annotations

from typing import Final

from workers.agent.delivery.outbox import Outbox
from workers.agent.disk import MIN_FREE_BYTES
from workers.agent.processes.process_tree import kill_tagged
from workers.agent.status.board import StatusBoard
from workers.agent.status.model import Fault
from workers.agent.tasks.runner import Runner

_WAIT_SECONDS: Final = 60.0  # where a person has to do something first


class ClaimObstacles:
    """The local obstacles to a claim. ``stuck_tags`` are of processes that outlived SIGKILL."""

    def __init__(self, runner: Runner, outbox: Outbox, board: StatusBoard) -> None:
        self.stuck_tags: set[str] = set()
        self._runner = runner
        self._outbox = outbox
        self._board = board

    def wait_seconds(self) -> float | None:
        """Return how long to claim nothing because of an obstacle, None where there is none.

        Tries again to kill the processes that are left.
        """
        if self._outbox.is_full():
            words = "the outbox is full: no new tasks until the server takes results"
            self._board.trouble("outbox", Fault.SERVER, words)
            return 0.0
        self._board.mended("outbox")
        if self._runner.free_bytes() < 2 * MIN_FREE_BYTES:
            words = "the disk is nearly full: no new tasks"
            self._board.trouble("disk", Fault.MACHINE, words, "Free some space.")
            return _WAIT_SECONDS
        self._board.mended("disk")
        return None if self._stuck_processes_are_gone() else _WAIT_SECONDS

    def _stuck_processes_are_gone(self) -> bool:
        for tag in list(self.stuck_tags):
            _, survivors = kill_tagged(tag, patience_seconds=0.5)
            if survivors:
                words = f"no new tasks: processes {survivors} cannot be killed"
                self._board.trouble("processes", Fault.MACHINE, words, "Restart the machine.")
                return False
            self.stuck_tags.discard(tag)
        self._board.mended("processes")
        return True
