"""Random histories of workers and people, the same for each seed, over one small laboratory."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from campaigns import lifecycle
from campaigns.lifecycle import LifecycleError
from campaigns.models import Campaign, Package, Task, TaskState
from campaigns.scripts import steering as script_steering
from experiments import catalog
from tests import factories
from tests.factories import at
from tests.fleets import fleet_token, fleet_worker
from tests.lifecycle.statements.agent_calls import Call
from workers import fleets
from workers import lifecycle as worker_lifecycle
from workers.fleet_token import FleetToken
from workers.lifecycle import WorkerError
from workers.models import Worker
from workers.protocol import FailureClass
from workers.takeover import take_over

# Calls and acts by how often they come.
_STEPS: Final = {
    "claim": 30,
    "claim_again": 1,
    "submit_result": 26,
    "submit_failure": 5,
    "submit_again": 2,
    "release": 3,
    "heartbeat": 8,
    "tick": 10,
    "expire": 2,
    "pause_or_resume": 2,
    "cancel": 0.3,
    "cancel_task": 1,
    "retry_task": 1,
    "run_again": 2,
    "start_race": 1,
    "set_share": 2,
    "level_accounts": 1,
    "pause_or_resume_a_worker": 2,
    "start_an_agent_anew": 1,
    "update_an_agent": 1,
    "revoke_the_fleet": 0.2,
    "withdraw_the_script": 0.2,
    "calibrate": 1,
}
_TICKS: Final = (0.4, 1.0, 2.0, 5.0, 9.0, 14.0, 30.0, 50.0)
# What slow machines, other programs and bugs make of a result line.
_ODD_LINES: Final[tuple[dict[str, Any], ...]] = (
    {"train_seconds": 60.0, "wall_time_seconds": 70.0},
    {"setup_seconds": 6.0},
    {"setup_seconds": 9.0},
    {"val_bpb": None, "diverged": True, "eval_nll_nats": None, "train_loss": None},
    {"dtype": "float32"},
    {"threads": 4},
    {"device_used": "cuda"},
    {"seed": 1},
    {"eval_bytes": 7},
    {"steps_completed": 20},
)
_FAILURES: Final = (
    FailureClass.SCRIPT_ERROR,
    FailureClass.ENV_ERROR,
    FailureClass.LOST,
    FailureClass.TOO_SLOW,
    FailureClass.REFUSED,
    FailureClass.OOM,
)


@dataclass
class Agent:
    """A worker's agent: its token, and what its claims tell of the machine."""

    worker: Worker
    tells: dict[str, Any]
    slots: int | None = None
    longest_seconds: float | None = None
    boot_id: uuid.UUID = field(default_factory=uuid.uuid4)

    def claim(self, claim_id: uuid.UUID, count: int) -> dict[str, Any]:
        """Return the body of a claim."""
        body = {"claim_id": claim_id, "boot_id": self.boot_id, "count": count} | self.tells
        if self.slots is not None:
            body["slots"] = self.slots
        if self.longest_seconds is not None:
            body["longest_seconds"] = self.longest_seconds
        return body


@dataclass(frozen=True)
class World:
    """What is there before a history begins."""

    agents: tuple[Agent, ...]
    campaigns: tuple[Campaign, ...]
    script: Package
    fleet: FleetToken


def new_world() -> World:
    """Create agents of several kinds, and campaigns of all kinds of budget with tasks for them."""
    script = factories.uploaded(approved=True)
    fleet, secret = fleet_token()
    agents = (
        new_agent("plain"),
        new_agent("wide", slots=4),
        new_agent("calibrates", calibrates=True, slots=3),
        new_agent("open", accepts_uploaded_scripts=True, isolation="T1"),
        new_agent("simulates", simulate=True),
        new_agent("short", slots=2, longest_seconds=60.0),
        new_agent(fleet_worker(secret), isolation="T1"),
        new_agent(fleet_worker(secret), isolation="T1", slots=2),
    )
    for agent in agents[:-1]:  # the last one claims as a new machine does
        settle(agent)
    factories.calibrate(agents[1].worker, now=at(0))
    factories.calibrate(agents[2].worker, 0.5, now=at(0))
    owner = factories.user("owner")
    campaigns = (
        factories.active_campaign(8, now=at(0), owner=owner),
        factories.work_campaign(6, now=at(1)),
        factories.active_campaign(2, now=at(1), max_failed_attempts=1, max_lost_attempts=1),
        factories.active_campaign(3, now=at(2), allow_simulated=True, time_budget_seconds=20.0),
        factories.active_campaign(2, now=at(3), script=script.sha256),
        factories.active_campaign(2, now=at(3), required_isolation="T1"),
        factories.active_campaign(12, now=at(4), races_automatically=True, owner=owner),
    )
    return World(agents, campaigns, script, fleet)


def new_agent(
    name: str | Worker,
    slots: int | None = None,
    longest_seconds: float | None = None,
    **tells: Any,
) -> Agent:
    worker = name if isinstance(name, Worker) else factories.worker(name)
    tells = {
        "simulate": False,
        "hardware": {"machine": f"machine of {worker.name}", "devices": ["cpu"]},
        "agent_version": "1.0",
        "scripts": [catalog.script_sha256(each.name) for each in catalog.all()],
    } | tells
    return Agent(worker, tells, slots, longest_seconds)


def settle(agent: Agent) -> None:
    """Let the agent have claimed before."""
    worker_lifecycle.see(agent.worker, now=at(5), boot_id=agent.boot_id)
    worker_lifecycle.describe(
        agent.worker,
        hardware=agent.tells["hardware"],
        simulates=agent.tells["simulate"],
        version=agent.tells["agent_version"],
        isolation=agent.tells.get("isolation", ""),
        accepts_uploaded_scripts=agent.tells.get("accepts_uploaded_scripts", False),
        scripts=agent.tells["scripts"],
    )
    take_over(agent.worker, agent.boot_id, now=at(5))


@dataclass
class Lease:
    """A lease that a claim got, and what was submitted for it."""

    agent: int
    lease_id: uuid.UUID
    campaign: int
    number: int
    sent: Any = None


class History:
    """One history; `doors` are the calls of `agent_calls.VERBS`, by name."""

    def __init__(self, world: World, seed: int, doors: Mapping[str, Callable[[Call], Any]]) -> None:
        self.world = world
        self.seed = seed
        self.doors = doors
        self.seconds = 10.0
        self.leases: list[Lease] = []
        self.claims: list[tuple[int, Any]] = []
        # What an agent sends may change in one history; the other begins as this one began.
        self.agents = [
            Agent(each.worker, dict(each.tells), each.slots, each.longest_seconds, each.boot_id)
            for each in world.agents
        ]
        self.random = random.Random()

    @property
    def now(self) -> dt.datetime:
        return at(self.seconds)

    def step(self, number: int) -> str:
        """Do the step of this number; return what it was and what came of it."""
        # Each step draws anew, so that a step is the same however many numbers the last one drew.
        self.random = random.Random(f"{self.seed} {number}")
        (name,) = self.random.choices(list(_STEPS), list(_STEPS.values()))
        try:
            outcome = getattr(self, name)()
        except (LifecycleError, WorkerError) as refusal:
            outcome = repr(refusal)
        return f"{self.seconds:.1f} s {name}: {self._without_keys(outcome)}"

    def _without_keys(self, outcome: Any) -> str:
        text = str(outcome)
        for place, lease in enumerate(self.leases):
            text = text.replace(str(lease.lease_id), f"lease {place}")
        return text

    def _call(self, name: str, agent: int, **fields: Any) -> Any:
        # Read anew: an agent that left, or got another token, calls with the one it has.
        token_hash = Worker.objects.values_list("token_hash", flat=True)
        worker = self.agents[agent].worker
        call = Call(token_hash.get(pk=worker.pk), self.now, **fields)
        return worker.name, self.doors[name](call)

    # --- calls of agents --------------------------------------------------------------------------

    def claim(self) -> Any:
        agent = self.random.randrange(len(self.agents))
        count = self.random.choice((1, 1, 1, 1, 2, 3, 16))
        claim_id = uuid.UUID(int=self.random.getrandbits(128), version=4)
        body = self.agents[agent].claim(claim_id, count)
        self.claims.append((agent, body))
        return self._claim(agent, body)

    def claim_again(self) -> Any:
        return self._claim(*self.random.choice(self.claims)) if self.claims else None

    def _claim(self, agent: int, body: Any) -> Any:
        name, reply = self._call("claim", agent, body=body)
        known = {lease.lease_id for lease in self.leases}
        for lease in reply["leases"] if isinstance(reply, dict) else ():
            lease_id = uuid.UUID(lease["lease_id"])
            # Tasks that the history adds have other keys in the other history.
            del lease["task_id"]
            if lease_id not in known:
                campaign, number = lease["campaign_id"], lease["task_number"]
                self.leases.append(Lease(agent, lease_id, campaign, number))
        return name, reply

    def submit_result(self) -> Any:
        lease = self._lease()
        if lease is None or lease.sent is not None:
            return None
        task = Task.objects.get(campaign=lease.campaign, number=lease.number)
        body = factories.completed(task, 2.0 + self.random.random())
        if self.random.random() < 0.4:
            body["metrics"] = (body["metrics"] or {}) | self.random.choice(_ODD_LINES)
        body["simulated"] = bool(self.agents[lease.agent].tells["simulate"])
        return self._submit(lease, body)

    def submit_failure(self) -> Any:
        lease = self._lease()
        if lease is None or lease.sent is not None:
            return None
        return self._submit(lease, factories.failure(self.random.choice(_FAILURES)))

    def submit_again(self) -> Any:
        sent = [lease for lease in self.leases if lease.sent is not None]
        if not sent:
            return None
        lease = self.random.choice(sent)
        body = lease.sent | ({"message": "another"} if self.random.random() < 0.3 else {})
        return self._call("submit", lease.agent, body=body, lease_id=lease.lease_id)

    def _submit(self, lease: Lease, body: Any) -> Any:
        lease.sent = body
        return self._call("submit", lease.agent, body=body, lease_id=lease.lease_id)

    def release(self) -> Any:
        lease = self._lease()
        if lease is None:
            return None
        body = {"reason": "It stops."}
        return self._call("release", lease.agent, body=body, lease_id=lease.lease_id)

    def heartbeat(self) -> Any:
        agent = self.random.randrange(len(self.agents))
        own = [lease for lease in self.leases if lease.agent == agent]
        told = own[-self.random.randint(1, 4) :]
        leases: list[dict[str, Any]] = [
            {
                "lease_id": lease.lease_id,
                "progress": [
                    {
                        "seq": number,
                        "elapsed_seconds": float(number),
                        "step": 10 * number,
                        "train_loss": 3.0,
                    }
                    for number in range(self.random.randint(0, 4))
                ],
            }
            for lease in told
        ]
        if self.random.random() < 0.1:
            leases.append({"lease_id": uuid.UUID(int=7)})
        body: dict[str, Any] = {"boot_id": self.agents[agent].boot_id, "leases": leases}
        if self.random.random() < 0.1:
            body["owner_pause"] = {"seconds": 600.0}
        return self._call("heartbeat", agent, body=body)

    def start_an_agent_anew(self) -> Any:
        agent = self.random.choice(self.agents)
        agent.boot_id = uuid.UUID(int=self.random.getrandbits(128), version=4)
        return agent.worker.name

    def update_an_agent(self) -> Any:
        agent = self.random.choice(self.agents)
        agent.tells["agent_version"] = f"1.{self.random.randint(0, 3)}"
        return agent.worker.name

    def calibrate(self) -> Any:
        agent = self.random.choice(self.agents[1:3])
        factories.calibrate(agent.worker, 0.5 + self.random.random(), now=self.now)
        return agent.worker.name

    def _lease(self) -> Lease | None:
        """Return one of the newest leases, seldom an older one; most of them still run."""
        if not self.leases:
            return None
        unsent = [lease for lease in self.leases if lease.sent is None][-8:]
        return self.random.choice(unsent if unsent and self.random.random() < 0.9 else self.leases)

    # --- the server and people --------------------------------------------------------------------

    def tick(self) -> Any:
        self.seconds += self.random.choice(_TICKS)

    def expire(self) -> Any:
        return lifecycle.expire(now=self.now)

    def pause_or_resume(self) -> Any:
        campaign = self._campaign()
        verb = lifecycle.resume if campaign.state == "paused" else lifecycle.pause
        verb(campaign, now=self.now)
        return campaign.name

    def cancel(self) -> Any:
        campaign = self._campaign()
        lifecycle.cancel(campaign, now=self.now)
        return campaign.name

    def cancel_task(self) -> Any:
        task = self._task()
        lifecycle.cancel_task(task, now=self.now)
        return str(task)

    def retry_task(self) -> Any:
        failed = Task.objects.filter(state=TaskState.FAILED).order_by("campaign", "number")
        if not failed:
            return None
        task = self.random.choice(list(failed))
        lifecycle.retry_task(task, now=self.now)
        return str(task)

    def run_again(self) -> Any:
        task = self._task()
        return str(task), len(lifecycle.run_again(task.arm, 2, now=self.now))

    def start_race(self) -> Any:
        campaign = self.world.campaigns[0]
        return str(lifecycle.start_race(campaign, [0, 1], seeds=3, now=self.now).outcome)

    def set_share(self) -> Any:
        campaign, place = self._campaign(), self.random.choice((None, 1, 2))
        lifecycle.set_weight(campaign, self.random.choice((0.5, 1.0, 3.0)))
        lifecycle.set_place(campaign, place)
        return campaign.name, place

    def level_accounts(self) -> Any:
        return lifecycle.level_accounts()

    def pause_or_resume_a_worker(self) -> Any:
        worker = self.random.choice(self.agents).worker
        worker.refresh_from_db()
        if worker.state == "active" and worker.paused_until is None:
            verb = self.random.choice((worker_lifecycle.drain, worker_lifecycle.disable))
        else:
            verb = worker_lifecycle.resume
        verb(worker)
        return worker.name, verb.__name__

    def revoke_the_fleet(self) -> Any:
        fleets.revoke(self.world.fleet, now=self.now)

    def withdraw_the_script(self) -> Any:
        script_steering.withdraw(None, self.world.script, now=self.now)

    def _campaign(self) -> Campaign:
        return Campaign.objects.get(pk=self.random.choice(self.world.campaigns).pk)

    def _task(self) -> Task:
        tasks = Task.objects.order_by("campaign", "number").select_related("arm__campaign")
        return self.random.choice(list(tasks))
