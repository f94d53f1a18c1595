"""What a claim may have, and the tasks that it gets, locked, as the verb picks them.

One statement reads the campaigns that take turns, one locks tasks of those whose turn it is.
"""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection, models

from campaigns.lifecycle import claims
from campaigns.lifecycle.claim_reasons import waiting_campaigns
from campaigns.lifecycle.claim_turns import locked
from campaigns.lifecycle.claimants import claimants, with_tasks
from campaigns.lifecycle.statements.claim_worker import WORKER
from campaigns.lifecycle.statements.compiled import (
    Column,
    Instant,
    Select,
    Sql,
    join,
    run,
    select,
)
from campaigns.models import Attempt, Campaign, Task, TaskQuerySet
from campaigns.sharing.turns import Claimant, take_turns
from workers.models import Worker
from workers.protocol import IsolationTier
from xeenet_site.web.prepared import Slot

# What the lease in the answer and its guard need.
_OF_TASK: Final = (
    *("number", "params", "seed", "max_steps", "state", "campaign__name", "campaign__experiment"),
    *("campaign__time_budget_seconds", "campaign__budget_kind", "campaign__work_unit"),
    *("campaign__work_amount", "campaign__cost_model", "campaign__required_isolation"),
    *("campaign__dataset__name", "campaign__dataset__size_bytes"),
    *("campaign__package__origin", "campaign__package__warm_checked_at"),
)
_LONGEST: Final = Slot("longest", models.FloatField())
# Workers differ in little else than the scripts that their versions brought.
_MOST_KINDS: Final = 64


class Offered(NamedTuple):
    """What a claim is decided by, read once the worker is locked."""

    held: int  # leases of the worker
    is_repeated: bool  # the claim got tasks before
    waits: bool  # tasks of active campaigns wait, whoever may have them
    claimants: list[Claimant]  # the campaigns that have tasks for the worker


class _Kind(NamedTuple):
    """What makes the query of one worker another than that of another."""

    is_of_fleet: bool
    simulates: bool
    tier: IsolationTier
    runs_any_script: bool
    scripts: str
    refused_scripts: str
    accepts_uploaded_scripts: bool
    has_bound: bool  # the agent tells how long a task may take
    head_start: float  # the setting OTHER_WORKER_FIRST_SECONDS


class _Claimer:
    """Stands for the worker in the verb's queries: of its kind, and else a slot each."""

    pk: Final = WORKER
    machine: Final = Slot("machine", models.CharField())

    def __init__(self, kind: _Kind) -> None:
        self.fleet_token_id = Slot("fleet", models.BigIntegerField()) if kind.is_of_fleet else None
        self.simulates = kind.simulates
        self.tier = kind.tier
        self.runs_any_script = kind.runs_any_script
        self.scripts = kind.scripts
        self.refused_scripts = kind.refused_scripts
        self.accepts_uploaded_scripts = kind.accepts_uploaded_scripts


class Pick:
    """The campaigns and tasks that a claim of this worker may have; in its lock's transaction."""

    def __init__(
        self, worker: Worker, claim_id: uuid.UUID, longest: float, now: dt.datetime
    ) -> None:
        self._kind = _Kind(
            is_of_fleet=worker.fleet_token_id is not None,
            simulates=worker.simulates,
            tier=worker.tier,
            runs_any_script=worker.runs_any_script,
            scripts=worker.scripts,
            refused_scripts=worker.refused_scripts,
            accepts_uploaded_scripts=worker.accepts_uploaded_scripts,
            has_bound=not math.isinf(longest),
            head_start=settings.XEENET["OTHER_WORKER_FIRST_SECONDS"],
        )
        self._values = {
            "worker": worker.pk,
            "fleet": worker.fleet_token_id,
            "machine": worker.machine,
            "claim_id": claim_id,
            "longest": longest,
            "now": now,
        }

    def offered(self) -> Offered:
        """Read whose turn it may be, and what says whether the claim is usual."""
        facts, *claiming = run(_offered(self._kind), self._values)
        held, is_repeated, waits = facts[:3]
        rows = _claiming(self._kind).converted(row[3:] for row in (facts, *claiming))
        # Without a claimant there is one row, for the facts.
        named = [tuple(row) for row in rows if row[0] is not None]
        return Offered(held, bool(is_repeated), bool(waits), claimants(named))

    def in_turn(self, offered: list[Claimant], count: int) -> dict[Task, int]:
        """Lock up to `count` tasks as `claim_turns.locked_in_turn` does, with their payers.

        They have campaign, data set and package loaded.
        """
        taken: set[int] = set()

        def lock(numbers: Mapping[int, int]) -> dict[int, list[Task]]:
            # What this transaction has locked comes once more.
            wanted = {key: number + len(taken) for key, number in numbers.items()}
            tasks: dict[int, list[Task]] = {key: [] for key in numbers}
            for task in self._locked(wanted):
                own = tasks[task.campaign_id]
                if task.pk not in taken and len(own) < numbers[task.campaign_id]:
                    own.append(task)
            taken.update(task.pk for own in tasks.values() for task in own)
            return tasks

        return dict(take_turns(offered, count, lock))

    def _locked(self, numbers: Mapping[int, int]) -> Iterator[Task]:
        """Lock the first so many tasks of each of these campaigns."""
        query = _waiting(self._kind)
        if connection.vendor == "postgresql":
            of_each = {"campaigns": list(numbers), "numbers": list(numbers.values())}
            yield from query.instances(run(_of_each(self._kind), self._values | of_each))
            return
        for campaign, number in numbers.items():
            of_one = self._values | {"campaign": campaign, "number": number}
            yield from query.instances(run(query.sql, of_one))


def _claimable(kind: _Kind) -> tuple[Any, TaskQuerySet]:
    """Return who stands for the worker, and the tasks that it may have, of any campaign."""
    claimer: Any = _Claimer(kind)
    among = Task.objects.filter(claims.short_enough(_LONGEST if kind.has_bound else math.inf))
    now: Any = Instant("now")
    return claimer, among.claimable(claimer, now)


@lru_cache(maxsize=_MOST_KINDS)
def _claiming(kind: _Kind) -> Select[Any]:
    claimer, tasks = _claimable(kind)
    campaigns = Campaign.objects.handing_out_to(claimer).runnable_by(claimer)
    return select(with_tasks(campaigns, tasks, claimer))


@lru_cache(maxsize=_MOST_KINDS)
def _waiting(kind: _Kind) -> Select[Task]:
    """Return the query of the tasks of one campaign, with the columns of `_PLAN` on PostgreSQL."""
    _, tasks = _claimable(kind)
    is_planned = connection.vendor == "postgresql"
    big, integer = models.BigIntegerField(), models.IntegerField()
    campaign = Column("plan.campaign", big) if is_planned else Slot("campaign", big)
    number = Column("plan.number", integer) if is_planned else Slot("number", integer)
    waiting = locked(tasks.filter(campaign=campaign))
    related = waiting.select_related("campaign__dataset", "campaign__package").only(*_OF_TASK)
    return select(related, limit=number)


@lru_cache(maxsize=_MOST_KINDS)
def _of_each(kind: _Kind) -> Sql:
    """Return the statement of PostgreSQL that locks tasks of several campaigns."""
    names = ", ".join(f"c{place}" for place in range(_waiting(kind).width))
    return join(
        "SELECT picked.* FROM unnest({campaigns}::bigint[], {numbers}::integer[]) "  # noqa: S608
        f"AS plan (campaign, number), LATERAL ({{tasks}}) AS picked ({names})",
        campaigns=Sql("%s", (Slot("campaigns", models.BigIntegerField()),)),
        numbers=Sql("%s", (Slot("numbers", models.IntegerField()),)),
        tasks=_waiting(kind).sql,
    )


@lru_cache(maxsize=_MOST_KINDS)
def _offered(kind: _Kind) -> Sql:
    """Return the statement whose rows are the claimants, each behind the facts; at least one."""
    held = Task.objects.held_by(WORKER).order_by().values("pk")
    of_claim = Attempt.objects.of_claim(WORKER, Slot("claim_id", models.UUIDField()))
    names = ", ".join(f"c{place}" for place in range(_claiming(kind).width))
    return join(
        f"WITH claiming ({names}) AS ({{claiming}}) "  # noqa: S608 - names of columns
        "SELECT (SELECT COUNT(*) FROM ({held}) AS leases) AS held, "
        "EXISTS ({of_claim}) AS is_repeated, "
        "EXISTS (SELECT 1 FROM claiming) OR EXISTS ({waiting}) AS waits, claiming.* "
        "FROM (SELECT 1) AS one LEFT JOIN claiming ON TRUE",
        claiming=_claiming(kind).sql,
        held=select(held).sql,
        of_claim=select(of_claim.order_by().values("pk")).sql,
        waiting=select(waiting_campaigns().order_by().values("pk")).sql,
    )
