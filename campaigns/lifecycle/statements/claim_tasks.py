"""The second statement of a claim: the tasks that it gets, locked, as the verb picks them."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection, models

from campaigns.lifecycle import claims
from campaigns.lifecycle.claim_reasons import waiting_campaigns
from campaigns.lifecycle.statements.claim_worker import WORKER
from campaigns.lifecycle.statements.compiled import Instant, Select, Sql, join, run, select
from campaigns.models import Attempt, Campaign, Task
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
_NOTHING: Final = Sql("")
# Workers differ in little else than the scripts that their versions brought.
_MOST_KINDS: Final = 64


class Picked(NamedTuple):
    """The locked tasks in queue order, with campaign, data set and package loaded."""

    tasks: list[Task]
    held: int  # leases of the worker
    is_repeated: bool  # the claim got tasks before
    waits: bool  # tasks of active campaigns wait, these included


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


def pick(
    worker: Worker, claim_id: uuid.UUID, count: int, longest: float, now: dt.datetime
) -> Picked:
    """Lock the first `count` tasks that the worker may have; in the transaction of its lock."""
    kind = _Kind(
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
    values = {
        "worker": worker.pk,
        "fleet": worker.fleet_token_id,
        "machine": worker.machine,
        "claim_id": claim_id,
        "count": count,
        "longest": longest,
        "now": now,
    }
    query = _waiting(kind)
    if connection.vendor == "postgresql":
        rows = run(_together(kind), values)
    else:
        rows = run(_facts(), values)
        rows = [rows[0] + row for row in run(query.sql, values)] or rows
    held, is_repeated, waits = rows[0][:3]
    # Without a task there is one row, for the rest.
    tasks = [row[3:] for row in rows if row[3:] and row[3] is not None]
    return Picked(list(query.instances(tasks)), held, bool(is_repeated), bool(waits))


@lru_cache(maxsize=_MOST_KINDS)
def _waiting(kind: _Kind) -> Select[Task]:
    claimer: Any = _Claimer(kind)
    campaigns = Campaign.objects.handing_out_to(claimer).runnable_by(claimer)
    among = Task.objects.filter(claims.short_enough(_LONGEST if kind.has_bound else math.inf))
    now: Any = Instant("now")
    waiting = claims.locked(among.claimable(claimer, now, campaigns))
    related = waiting.select_related("campaign__dataset", "campaign__package").only(*_OF_TASK)
    return select(related, limit=Slot("count", models.IntegerField()))


@lru_cache(maxsize=_MOST_KINDS)
def _together(kind: _Kind) -> Sql:
    """Return the statement of PostgreSQL: a row for each task, at least one."""
    query = _waiting(kind)
    names = ", ".join(f"c{place}" for place in range(query.width))
    return join(
        f"WITH picked ({names}) AS ({{tasks}}) "  # noqa: S608 - names of columns
        "SELECT facts.*, picked.* FROM ({facts}) AS facts LEFT JOIN picked ON TRUE",
        tasks=query.sql,
        facts=_facts(Sql("EXISTS (SELECT FROM picked) OR ")),
    )


@cache
def _facts(known: Sql = _NOTHING) -> Sql:
    """Return the query of what else is read; `known` may say already that tasks wait."""
    held = Task.objects.held_by(WORKER).order_by().values("pk")
    of_claim = Attempt.objects.of_claim(WORKER, Slot("claim_id", models.UUIDField()))
    return join(
        "SELECT (SELECT COUNT(*) FROM ({held}) AS leases) AS held, "
        "EXISTS ({of_claim}) AS is_repeated, {known}EXISTS ({waiting}) AS waits",
        known=known,
        held=select(held).sql,
        of_claim=select(of_claim.order_by().values("pk")).sql,
        waiting=select(waiting_campaigns().order_by().values("pk")).sql,
    )
