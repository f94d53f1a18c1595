"""Which machines may run the tasks of a campaign now, and how many at once: the fleet in one query.

Lists show many campaigns, so the fleet is read once and compared with each of them here.
`Campaign.machines` is the same rule for the database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from django.db.models import Count, DateTimeField, Exists, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from campaigns.models import BudgetKind, Campaign, Task, TaskState
from campaigns.models.campaign import is_held_back
from experiments import catalog
from workers.models import Calibration, Worker, WorkerState
from workers.pace import pace_of
from workers.protocol import IsolationTier
from xeenet_site.web.prepared import Prepared, Slot

# The machines heard of last; of more, the rest is not counted.
MOST_MACHINES: Final = 2_000
# Machines that were silent for longer are forgotten: nobody waits for them.
REMEMBERED: Final = dt.timedelta(days=7)
_COLUMNS: Final = (
    *("pk", "slots", "last_seen_at", "lease_time", "paused_until", "pause_reason"),
    *("owner_pauses", "owner_pauses_until", "simulates", "isolation", "accepts_uploaded_scripts"),
    *("runs_any_script", "scripts", "refused_scripts", "held"),
)


@dataclass(frozen=True)
class Machine:
    """A machine that is not disabled, with what its claims depend on. Silent ones are included."""

    pk: int
    slots: int
    last_seen_at: dt.datetime
    is_online: bool
    # It pauses its claims until then, after an error of its own.
    paused_until: dt.datetime | None
    simulates: bool
    tier: str
    accepts_uploaded_scripts: bool
    # What the agent said of that error.
    pause_reason: str = ""
    # Its owner's rules pause it, until then if they tell.
    owner_pauses: bool = False
    owner_pauses_until: dt.datetime | None = None
    # Whether its agent has told how many places it has; one that has not claims nothing ahead.
    has_told_slots: bool = False
    # How many tasks it holds, of all campaigns.
    held: int = 0
    # The experiments whose work budgets are withheld from it.
    held_back: frozenset[str] = frozenset()
    # Those whose work budgets it gets only after it has measured its speed.
    unmeasured: frozenset[str] = frozenset()
    # Which of the catalog's scripts its agent runs, as in the columns of `Worker`.
    runs_any_script: bool = True
    scripts: str = ""
    refused_scripts: str = ""

    def runs_script(self, sha256: str) -> bool:
        """Whether it may be handed tasks of this script of the catalog: `Worker.runs_script`."""
        has = self.runs_any_script or sha256 in self.scripts
        return self.simulates or (has and sha256 not in self.refused_scripts)

    def is_ready(self, now: dt.datetime) -> bool:
        """Whether it would be handed a task now, if there is one for it."""
        may_claim = self.paused_until is None or self.paused_until <= now
        return self.is_online and may_claim and not self.owner_pauses


@dataclass(frozen=True)
class Needs:
    """What a campaign wants of the machines that run it."""

    experiment: str
    allow_simulated: bool
    required_isolation: str
    is_uploaded: bool
    is_work: bool
    # Of the catalog's script; "" for an uploaded one.
    script_sha256: str = ""

    @classmethod
    def of(cls, campaign: Campaign) -> Needs:
        """Return the needs of a campaign; reads its package."""
        return cls(
            experiment=campaign.experiment,
            allow_simulated=campaign.allow_simulated,
            required_isolation=campaign.required_isolation,
            is_uploaded=campaign.package.is_uploaded,
            is_work=campaign.budget_kind == BudgetKind.WORK,
            script_sha256="" if campaign.package.is_uploaded else campaign.package_id,
        )

    def met_by(self, machine: Machine) -> bool:
        """Return whether the machine may run such tasks."""
        return (
            (self.allow_simulated or not machine.simulates)
            and machine.tier >= self.required_isolation
            and (not self.is_uploaded or machine.accepts_uploaded_scripts)
            and not (self.is_work and self.experiment in machine.held_back)
            and (not self.script_sha256 or machine.runs_script(self.script_sha256))
        )

    def lack_only_the_script(self, machines: Sequence[Machine]) -> int:
        """Return how many machines online would run such tasks if their agents were updated."""
        others = replace(self, script_sha256="")
        lacking = [machine for machine in machines if not self.met_by(machine)]
        return sum(machine.is_online and others.met_by(machine) for machine in lacking)


def machines_heard_of(work_of: Sequence[str], *, now: dt.datetime) -> list[Machine]:
    """Return the machines that may claim or could again, the one heard of last first. One query.

    `work_of` are the experiments for which it matters whether their work budgets are withheld.
    """
    scripts = tuple((name, _measured_script(name)) for name in sorted(set(work_of)))
    columns = {_held_back(place): name for place, (name, _) in enumerate(scripts)}
    return [
        Machine(
            pk=row["pk"],
            slots=row["slots"] or 1,
            has_told_slots=row["slots"] is not None,
            last_seen_at=row["last_seen_at"],
            is_online=now - row["last_seen_at"] <= pace_of(row["lease_time"]).lease_time,
            paused_until=row["paused_until"],
            pause_reason=row["pause_reason"],
            owner_pauses=row["owner_pauses"],
            owner_pauses_until=row["owner_pauses_until"],
            simulates=row["simulates"],
            # An agent that reports no tier counts as the weakest; their names sort by strength.
            tier=row["isolation"] or IsolationTier.T0.value,
            accepts_uploaded_scripts=row["accepts_uploaded_scripts"],
            held=row["held"],
            held_back=frozenset(name for column, name in columns.items() if row[column]),
            runs_any_script=row["runs_any_script"],
            scripts=row["scripts"],
            refused_scripts=row["refused_scripts"],
            # What simulates has nothing to measure.
            unmeasured=frozenset(
                name
                for column, name in columns.items()
                if not row["simulates"] and not row.get(_measured(column), True)
            ),
        )
        for row in _fleet(scripts).rows(heard_since=now - REMEMBERED)
    ]


# Experiments are few; their scripts change with the server.
@lru_cache(maxsize=100)
def _fleet(scripts: tuple[tuple[str, str], ...]) -> Prepared[dict[str, Any]]:
    """Return the query of the machines, with two columns for each experiment and its script."""
    held_back: dict[str, Any] = {
        _held_back(place): is_held_back(
            Calibration.objects.filter(worker=OuterRef("pk"), experiment=name)
        )
        for place, (name, _) in enumerate(scripts)
    }
    measured: dict[str, Any] = {
        _measured(_held_back(place)): Exists(
            Calibration.objects.filter(worker=OuterRef("pk"), experiment=name, script_sha256=script)
        )
        for place, (name, script) in enumerate(scripts)
        if script
    }
    workers = (
        Worker.objects.machines()
        .in_scope()
        .filter(state=WorkerState.ACTIVE, last_seen_at__gte=Slot("heard_since", DateTimeField()))
    )
    rows = workers.annotate(held=_held(), **held_back, **measured).order_by(
        F("last_seen_at").desc(), "pk"
    )
    return Prepared(lambda: rows.values(*_COLUMNS, *held_back, *measured)[:MOST_MACHINES])


def _held_back(place: int) -> str:
    return f"held_back_{place}"


def _measured(held_back: str) -> str:
    return f"measured_{held_back}"


def _held() -> Coalesce:
    """Return how many tasks the machine of the query holds."""
    leased = Task.objects.filter(worker=OuterRef("pk"), state=TaskState.LEASED).order_by()
    counted = leased.values("worker").annotate(number=Count("pk"))
    return Coalesce(Subquery(counted.values("number")), 0)


def _measured_script(experiment: str) -> str:
    """Return the hash of the script that measures a machine's speed; "" for none."""
    try:
        plan = catalog.get(experiment).calibration
    except catalog.UnknownExperiment:
        return ""
    return catalog.script_sha256(experiment) if plan else ""


def ready_for(campaign: Campaign, *, now: dt.datetime) -> list[Machine]:
    """Return the machines that would be handed a task of this campaign now. One query."""
    needs = Needs.of(campaign)
    heard = machines_heard_of([needs.experiment] if needs.is_work else [], now=now)
    return [machine for machine in heard if machine.is_ready(now) and needs.met_by(machine)]
