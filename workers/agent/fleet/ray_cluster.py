"""Ray: one detached actor per agent, with its share of CPUs and GPUs.

Ray is imported here alone, and only when this adapter is used.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from workers.agent.executables import pip_install
from workers.agent.fleet import ray_actor
from workers.agent.fleet.demand import Jobs
from workers.agent.fleet.engine import AgentStart, EngineError, one_line

NAMESPACE: Final = "xeenet"
_CONNECT_SECONDS: Final = 5.0


@dataclass(frozen=True)
class RayShare:
    """What each actor takes of the cluster. A GPU can be shared: 0.25 puts four agents on it."""

    cpus: float
    gpus: float = 0.0
    memory_mib: int | None = None

    def options(self) -> dict[str, Any]:
        """Return Ray's options of an actor; a lost one is not repeated: the next round counts."""
        options: dict[str, Any] = {
            "num_cpus": self.cpus,
            "num_gpus": self.gpus,
            "lifetime": "detached",
            "namespace": NAMESPACE,
            "max_restarts": 0,
        }
        if self.memory_mib is not None:
            options["memory"] = self.memory_mib * 1024 * 1024
        return options


class RayCluster:
    """The cluster at ``address``, joined anew for each call, so that it may restart meanwhile.

    Used from the main thread: Ray takes SIGTERM there, and it is taken back.
    """

    def __init__(
        self, address: str, name: str, share: RayShare, start: AgentStart, token: str
    ) -> None:
        self._address = address
        self._name = name
        self._share = share
        self._start = start
        self._token = token

    def jobs(self) -> Jobs:
        """Return how many actors of this fleet are there. Raises `EngineError`.

        Ray's list of names does not tell those that wait for their share from the others.
        """
        with self._joined():
            from ray.util import list_named_actors

            names = list_named_actors()
        ours = [name for name in names if name.rpartition("-")[0] == self._name]
        return Jobs(queued=0, running=len(ours))

    def submit(self, count: int) -> str:
        """Make so many actors; return their names' common part. Raises `EngineError`."""
        with self._joined() as ray:
            actor = ray.remote(ray_actor.AgentActor)
            for _ in range(count):
                name = f"{self._name}-{uuid.uuid4().hex[:12]}"
                made = actor.options(name=name, **self._share.options())
                made.remote(list(self._start.words()), self._token)
        return f"actors {self._name}-*"

    def described(self, count: int) -> str:
        """Return the options of the actors, and the command that each runs."""
        what = {"actors": count, "options": self._share.options(), "runs": self._start.words()}
        return json.dumps(what, indent=2)

    @contextlib.contextmanager
    def _joined(self) -> Iterator[Any]:
        try:
            import ray
        except ImportError as error:
            how = pip_install("ray") or "use the agent as a Python package, not its folder"
            raise EngineError(f"Ray is not installed beside this agent: {how}") from error
        self._check_that_somebody_listens()
        ended_by = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(
                address=self._address,
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
            )
            signal.signal(signal.SIGTERM, ended_by)  # Ray has put its own in the place
            yield ray
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            why = one_line(str(error)) or type(error).__name__
            raise EngineError(f"The Ray cluster at {self._address} failed: {why}") from error
        finally:
            ray.shutdown()
            signal.signal(signal.SIGTERM, ended_by)

    def _check_that_somebody_listens(self) -> None:
        """Raise `EngineError` when nobody does: Ray itself would try on for minutes."""
        address = self._address if "//" in self._address else f"//{self._address}"
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            return  # Ray says what is wrong with it
        if not host or port is None:  # "auto": Ray knows its own files
            return
        try:
            socket.create_connection((host, port), _CONNECT_SECONDS).close()
        except OSError as error:
            raise EngineError(f"No Ray cluster answers at {self._address}: {error}.") from error
