"""The faults that a run injects, and how long the service takes to recover from each.

Every fault is a method of `Nemesis`, listed by name in `FAULTS`. It repairs what it broke, at once
or through `_later`, so that the run goes on. Victims and durations are drawn from the run's seed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import connections

from campaigns.clock import database_now
from campaigns.models import Task, TaskState
from tests.chaos.proxy import Fault, Proxy
from tests.chaos.services import START_SECONDS, Fleet, QCluster, WebServer, ask_status
from tests.postgres import Cluster

BACK_AFTER_DATABASE_SECONDS = 5.0  # the bar, from when the database accepts connections again
PATIENCE_SECONDS = 15.0  # for one answer; returning agents may be served first
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class InjectedFault:
    """One injected fault: when (seconds since the epoch), and when the service was back."""

    kind: str
    began_at: float
    ended_at: float
    back_after_seconds: float | None  # None: the service was never away

    def overlap(self, since: float, until: float) -> float:
        """Return how many seconds of this span the fault lasted."""
        return max(min(until, self.ended_at) - max(since, self.began_at), 0.0)


@dataclass(frozen=True)
class KilledAgent:
    """The leases of a killed agent, and the database's time of its death."""

    lease_ids: frozenset[str]
    at: float  # seconds since the epoch


@dataclass
class Targets:
    """The processes and connections that faults may break."""

    proxy: Proxy
    webs: Sequence[WebServer]
    clusters: Sequence[QCluster]
    fleets: Sequence[Fleet]
    database: Cluster
    probe_token: str
    lease_seconds: float


class Nemesis:
    """Injects faults one after another; `tick` runs the repairs that are due."""

    def __init__(self, targets: Targets, seed: int, kinds: Sequence[str] = ()) -> None:
        """Use these kinds of faults, by default all. Raises KeyError for an unknown kind."""
        self.injected: list[InjectedFault] = []
        self.killed: list[KilledAgent] = []
        self.missed: list[str] = []  # sentences, one for each missed bar
        self._targets = targets
        self._faults = {kind: FAULTS[kind] for kind in kinds or FAULTS}
        self._random = random.Random(seed)
        self._repairs: list[tuple[float, Callable[[], None]]] = []

    def inject(self, kind: str) -> InjectedFault:
        """Inject one fault; return when it happened and how long the service was away."""
        began_at = time.time()
        back_after = self._faults[kind](self)
        self.injected.append(InjectedFault(kind, began_at, time.time(), back_after))
        return self.injected[-1]

    def draw(self) -> str:
        """Return a random kind of fault."""
        return self._random.choice(list(self._faults))

    def in_random_order(self) -> list[str]:
        """Return every kind once, in random order."""
        return self._random.sample(list(self._faults), len(self._faults))

    def tick(self) -> None:
        """Run the repairs that are due."""
        now = time.monotonic()
        due = [repair for at, repair in self._repairs if at <= now]
        self._repairs = [(at, repair) for at, repair in self._repairs if at > now]
        for repair in due:
            repair()

    def heal(self) -> None:
        """Repair everything and wait until the service answers."""
        for _, repair in self._repairs:
            repair()
        self._repairs = []
        services = [*self._targets.webs, *self._targets.clusters, *self._targets.fleets]
        for service in services:
            service.thaw()
            service.start()
        self._targets.proxy.heal()
        self._seconds_until_back(time.monotonic())

    def _later(self, seconds: float, repair: Callable[[], None]) -> None:
        self._repairs.append((time.monotonic() + seconds, repair))

    def _seconds_until_back(self, since: float) -> float:
        """Wait until a request that uses the database succeeds; return the time since `since`."""
        proxy, token = self._targets.proxy, self._targets.probe_token
        end = time.monotonic() + START_SECONDS
        while ask_status(proxy.port, token, PATIENCE_SECONDS) != 200:
            assert time.monotonic() < end, "the service did not come back"
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - since

    # The faults. Each returns the seconds until the service was back, or None if it was never away.

    def _agents_killed(self) -> None:
        fleet = self._random.choice(self._targets.fleets)
        fleet.kill()
        held = Task.objects.filter(state=TaskState.LEASED, worker__name__in=fleet.worker_names)
        leases = frozenset(str(lease) for lease in held.values_list("lease_id", flat=True))
        self.killed.append(KilledAgent(leases, database_now().timestamp()))
        # The fleet restarts sometimes before and sometimes after its leases have expired.
        self._later(self._random.uniform(0.2, 2.0 * self._targets.lease_seconds), fleet.start)

    def _agents_frozen(self) -> None:
        fleet = self._random.choice(self._targets.fleets)
        fleet.freeze()
        self._later(self._random.uniform(0.5, 2.0) * self._targets.lease_seconds, fleet.thaw)

    def _web_server_killed(self) -> float:
        web, since = self._random.choice(self._targets.webs), time.monotonic()
        web.kill()
        seconds = self._seconds_until_back(since)
        self._later(self._random.uniform(0.0, 2.0), web.start)
        return seconds

    def _all_web_servers_killed(self) -> float:
        since = time.monotonic()
        for web in self._targets.webs:
            web.kill()
        for web in self._targets.webs:
            web.start()
        return self._seconds_until_back(since)

    def _web_server_frozen(self) -> float:
        web, since = self._random.choice(self._targets.webs), time.monotonic()
        web.freeze()
        time.sleep(self._random.uniform(0.5, 2.0))
        web.thaw()
        return self._seconds_until_back(since)

    def _q_cluster_killed(self) -> None:
        cluster = self._random.choice(self._targets.clusters)
        cluster.kill()
        self._later(self._random.uniform(0.2, 4.0), cluster.start)

    def _postgresql_restarted(self) -> float:
        connections.close_all()
        self._targets.database.crash()
        time.sleep(self._random.uniform(0.0, 1.0))
        self._targets.database.start_again()
        seconds = self._seconds_until_back(time.monotonic())
        if seconds > BACK_AFTER_DATABASE_SECONDS:
            self.missed.append(f"back {seconds:.1f} s after PostgreSQL; the bar is 5 s")
        return seconds

    def _connections_cut(self) -> float:
        since = time.monotonic()
        self._targets.proxy.cut()
        return self._seconds_until_back(since)

    def _server_unreachable(self) -> float:
        since = time.monotonic()
        self._targets.proxy.refuse()
        time.sleep(self._random.uniform(0.5, 3.0))
        self._targets.proxy.accept()
        return self._seconds_until_back(since)

    def _answers_lost(self) -> None:
        for _ in range(10):
            path = self._random.choice(["/result", "/leases/claim", "/heartbeat"])
            fault = self._random.choice([Fault.DROP_REQUEST, Fault.CUT_REPLY, Fault.HALF_REPLY])
            self._targets.proxy.break_next(path, fault)

    def _network_slow(self) -> None:
        self._targets.proxy.delay_seconds = self._random.uniform(0.1, 0.5)
        self._later(3.0, self._network_fast)

    def _network_fast(self) -> None:
        self._targets.proxy.delay_seconds = 0.0


FAULTS: dict[str, Callable[[Nemesis], float | None]] = {
    "agents killed": Nemesis._agents_killed,
    "agents frozen": Nemesis._agents_frozen,
    "a web server killed": Nemesis._web_server_killed,
    "all web servers killed": Nemesis._all_web_servers_killed,
    "a web server frozen": Nemesis._web_server_frozen,
    "a q-cluster killed": Nemesis._q_cluster_killed,
    "PostgreSQL restarted": Nemesis._postgresql_restarted,
    "connections cut": Nemesis._connections_cut,
    "server unreachable": Nemesis._server_unreachable,
    "answers lost": Nemesis._answers_lost,
    "network slow": Nemesis._network_slow,
}
