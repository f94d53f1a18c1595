"""The agent's work from its start on, as faces and signals control it: it may have to join first.

Before there is an agent it waits for its server, as long as that takes. A stop or a drain ends
that, too.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from workers.agent.exits import EXIT_OK
from workers.agent.loop import Agent
from workers.agent.status.board import StatusBoard

# Returns the agent once its server has let it join; gives up with `StartError` when the event is
# set. What it opens goes onto the stack.
Begin = Callable[[threading.Event, contextlib.ExitStack], Agent]


class Work:
    """Begins the agent, then runs it, in whichever thread calls `run`."""

    def __init__(self, board: StatusBoard, begin: Begin) -> None:
        self.board = board
        self._begin = begin
        self._agent: Agent | None = None
        self._gives_up = threading.Event()
        self._stack = contextlib.ExitStack()

    def begin(self) -> None:
        """Join, and make the agent. Raises `StartError`."""
        self._agent = self._begin(self._gives_up, self._stack)

    def run(self) -> int:
        """Begin if that is still to be done, work, and return the exit code.

        Raises `StartError`.
        """
        with self._stack:
            if self._agent is None:
                self.begin()
            if self._agent is None or self._gives_up.is_set():  # stopped as it had just joined
                self.board.stopped(EXIT_OK)
                return EXIT_OK
            return self._agent.run()

    def close(self) -> None:
        """Close what `begin` has opened, where it did not come to `run`."""
        self._stack.close()

    def pause(self, seconds: float | None) -> None:
        """Claim nothing for so many seconds, None until `resume`; nothing before there is work."""
        if self._agent is not None:
            self._agent.pauses.by_owner(seconds)

    def resume(self) -> None:
        """End a pause by hand."""
        if self._agent is not None:
            self._agent.pauses.end_by_owner()

    def on_sigterm(self) -> None:
        """End as the agent does at SIGTERM. Safe in a signal's handler."""
        self._end(Agent.on_sigterm)

    def on_interrupt(self) -> None:
        """End as the agent does at Ctrl-C: the second time at once. Safe in a signal's handler."""
        self._end(Agent.on_interrupt)

    def drain(self) -> None:
        """Finish what runs, then end; asked again, it changes nothing."""
        self._end(Agent.drain)

    def stop_now(self) -> None:
        """End at once; running tasks go back."""
        self._end(Agent.stop_now)

    def _end(self, how: Callable[[Agent], None]) -> None:
        if self._agent is not None:
            how(self._agent)
        else:
            self._gives_up.set()
