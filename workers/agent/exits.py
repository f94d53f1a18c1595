"""The agent's exit codes, and the error that ends a start with one of them."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0  # done or drained
EXIT_USAGE: Final = 2  # wrong options
EXIT_STATE_FOLDER: Final = 3  # the state folder cannot be used
EXIT_NOT_AUTHENTICATED: Final = 4  # the server does not accept this worker
EXIT_CANNOT_RUN: Final = 5  # this machine cannot run tasks
EXIT_NOT_RUNNING: Final = 6  # of `status`: no agent runs on this state folder
EXIT_SILENT: Final = 7  # of `status`: its process is there, but has told nothing for a minute
EXIT_WORKER_IN_USE: Final = 8  # a newer agent has this worker's token, and works on
# A supervisor that starts the agent again after one of these gets the same once more.
FINAL_EXITS: Final = (
    EXIT_USAGE,
    EXIT_NOT_AUTHENTICATED,
    EXIT_CANNOT_RUN,
    EXIT_WORKER_IN_USE,  # started again, it would be the newer one and end the other
)


class StartError(Exception):
    """The agent cannot start; the message says why and what to do."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
