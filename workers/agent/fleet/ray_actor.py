"""The actor that runs one agent on a node of a Ray cluster.

Ray finds the class by its name, so `xeenet-worker` is installed where Ray's workers run. Run as a
plain file, it becomes the command that follows, which gets SIGTERM when its parent dies:

    python -I -S ray_actor.py PARENT COMMAND…
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


class AgentActor:
    """Starts an agent as soon as it has its share, and ends itself when the agent has ended."""

    def __init__(self, words: Sequence[str], token: str) -> None:
        import ray

        self._words = list(words)
        self._token = token
        # Called by the actor itself: a call by the adapter would be lost with the adapter.
        ray.get_runtime_context().current_actor.work.remote()

    def work(self) -> None:
        """Run the agent until it ends. Never returns to a caller: the actor exits."""
        import ray

        run_agent(self._words, self._token)
        ray.actor.exit_actor()


def run_agent(words: Sequence[str], token: str) -> int:
    """Run an agent with the token in its environment; return its exit code.

    On Linux it gets SIGTERM when Ray kills the actor, or the node goes down: it then gives its
    tasks back.
    """
    from workers.agent.executables import helper_words
    from workers.agent.secrecy import FLEET_VARIABLE

    command = list(words)
    if sys.platform.startswith("linux"):
        command = [*helper_words(Path(__file__)), str(os.getpid()), *command]
    variables = {**os.environ, FLEET_VARIABLE: token}
    return subprocess.run(command, env=variables, check=False).returncode


def _become(parent: int, words: list[str]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was told
        return
    os.execvp(words[0], words)


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
