"""How a race goes on: its next tasks, the decision of each look, and its end.

`campaigns.race` has the rule; here are its rows. A look is decided after the commit that ended its
last task, with the campaign's row locked, so that concurrent ends decide it once. A job looks again
where the process died in between.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import F

from campaigns.lifecycle.arms import TaskMaker, next_task_number
from campaigns.models import (
    Campaign,
    CampaignState,
    Decision,
    Race,
    RaceOutcome,
    Task,
    TaskPurpose,
    TaskState,
)
from campaigns.race import rule
from campaigns.race.look import Decision as LookDecision
from campaigns.race.look import Outcome, decide
from campaigns.race.noise import floor_of
from campaigns.race.rows import Floor, Run, Sight
from workers.protocol import INFRASTRUCTURE_FAILURES

# A floor from more runs than these would not differ.
MAX_FLOOR_RUNS: Final = 10_000
_ENDED: Final = (TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED)
_RUN_COLUMNS: Final = (
    "arm__number",
    "seed_index",
    "state",
    "failure_class",
    "result__val_bpb",
    "result__is_ranked",
    "result__diverged",
    "result__simulated",
    "result__device_used",
    "result__eval_is_subset",
)
# Two results can be compared when these two agree: the kind of device, and what was evaluated.
_Class = tuple[str, bool]


def decide_races(campaign_id: int, *, now: dt.datetime) -> int:
    """Decide the looks whose runs have all ended, and make the next runs; return how many.

    Nothing is decided while the campaign is paused. Call it after the commit that ended a task.
    """
    if not Race.objects.running().filter(campaign=campaign_id).exists():
        return 0
    # Locked: two tasks that end at once must not both decide the same look.
    with transaction.atomic():
        campaign = Campaign.objects.select_for_update(no_key=True).get(pk=campaign_id)
        if campaign.state != CampaignState.ACTIVE:
            return 0
        running = Race.objects.running().filter(campaign=campaign)
        return sum(_advance(campaign, race, now) for race in running.order_by("number"))


def decide_due_races(*, now: dt.datetime) -> int:
    """Decide due looks of all campaigns, and return how many; a sweep after processes that died."""
    running = Race.objects.running().filter(campaign__state=CampaignState.ACTIVE)
    campaigns = running.order_by("campaign").values_list("campaign", flat=True).distinct()
    return sum(decide_races(campaign_id, now=now) for campaign_id in campaigns)


def cancel_races(campaign: Campaign, *, now: dt.datetime) -> None:
    """End the campaign's running races with a decision of their own.

    Call it in the transaction that cancels the campaign, before its tasks are cancelled.
    """
    for race in Race.objects.running().filter(campaign=campaign):
        decision = rule.cancel(rule_of(race), decisions_of(race), _runs(race))
        if decision is not None:
            _store(race, decision, now)


def rule_of(race: Race) -> rule.Race:
    """Return the race as the rule knows it."""
    return rule.Race(
        tuple(race.arms),
        tuple(race.seeds),
        Floor(race.floor_sd, race.floor_pairs),
        race.runs_allowed,
        race.min_effect,
    )


def decisions_of(race: Race) -> list[LookDecision]:
    """Return the decisions of a race, computed again from what each look saw."""
    saw = race.decisions.order_by("look").values_list("saw", flat=True)
    return [decide(Sight.from_json(fields)) for fields in saw]


def make_runs(campaign: Campaign, race: Race, *, now: dt.datetime) -> int:
    """Make the tasks that the race's present look needs and does not have; return how many.

    Call it in a transaction that has locked the campaign.
    """
    wanted = rule.wanted_runs(rule_of(race), decisions_of(race))
    numbers, indices = {arm for arm, _ in wanted}, {index for _, index in wanted}
    arms = {arm.number: arm for arm in campaign.arms.filter(number__in=numbers)}
    existing = set(
        campaign.tasks.filter(arm__in=arms.values(), seed_index__in=indices).values_list(
            "arm__number", "seed_index"
        )
    )
    maker = TaskMaker(campaign, now=now)
    maker.load()
    missing = [run for run in wanted if run not in existing]
    tasks = [maker.race_task(arms[arm], index) for arm, index in missing]
    maker.store(tasks)
    if tasks:
        Campaign.objects.filter(pk=campaign.pk).update(task_count=next_task_number(campaign))
    return len(tasks)


def floor_before(campaign: Campaign) -> Floor:
    """Return the noise between seeds that the campaign's repeated arms show so far."""
    tasks = campaign.tasks.filter(seed_index__gte=1, result__is_ranked=True)
    rows = list(tasks.order_by("-number").values(*_RUN_COLUMNS)[:MAX_FLOOR_RUNS])
    return floor_of([_of_one_class(rows)])


def _advance(campaign: Campaign, race: Race, now: dt.datetime) -> int:
    """Decide every look of the race that is due; return how many."""
    decided = 0
    while True:
        decision = rule.decide_next(rule_of(race), decisions_of(race), _runs(race))
        if decision is None:
            return decided
        _store(race, decision, now)
        make_runs(campaign, race, now=now)
        Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
        decided += 1


def _store(race: Race, decision: LookDecision, now: dt.datetime) -> None:
    arms = {arm.number: arm for arm in race.campaign.arms.filter(number__in=race.arms)}
    rival, outcome = decision.rival, _outcome_of(decision)
    columns: dict[str, Any] = {
        "leader": None if decision.leader is None else arms[decision.leader],
        "rival": arms[rival.arm] if rival else None,
        "n": rival.n if rival else 0,
        "estimate": rival and rival.estimate,
        "scale": rival and rival.scale,
        "bound": rival and rival.bound,
    }
    Decision.objects.create(
        race=race,
        look=decision.look,
        outcome=outcome,
        why=decision.why,
        df=decision.noise.df,
        group=list(decision.group),
        behind=list(decision.behind),
        dropped=list(decision.dropped),
        infeasible=list(decision.infeasible),
        seeds_to_separate=decision.seeds_to_separate,
        saw=decision.sight.to_json(),
        decided_at=now,
        **columns,
    )
    if outcome:
        Race.objects.filter(pk=race.pk).update(outcome=outcome, ended_at=now)


def _outcome_of(decision: LookDecision) -> str:
    if decision.outcome is Outcome.GO_ON:
        return ""
    return RaceOutcome(decision.outcome.value)


def _runs(race: Race) -> list[Run]:
    """Return the ended runs of the race's arms on its seeds."""
    tasks = Task.objects.filter(
        campaign=race.campaign_id,
        arm__number__in=race.arms,
        seed_index__in=race.seeds,
        state__in=_ENDED,
    ).exclude(purpose=TaskPurpose.REPLAY)
    return _of_one_class(list(tasks.values(*_RUN_COLUMNS)))


def _of_one_class(rows: Sequence[dict[str, Any]]) -> list[Run]:
    """Return the rows as runs; a value that is not of the class with most values is missing."""
    classes = Counter(_class_of(row) for row in rows if row["result__is_ranked"])
    most = max(classes, key=lambda kind: (classes[kind], kind)) if classes else None
    return [
        Run(row["arm__number"], row["seed_index"], _sort_key(row, of_class=most)) for row in rows
    ]


def _class_of(row: dict[str, Any]) -> _Class:
    device: str = row["result__device_used"]
    return device.partition(":")[0], row["result__eval_is_subset"]


def _sort_key(row: dict[str, Any], *, of_class: _Class | None) -> float | None:
    """Return what a run says of its arm: a value, infinity, or nothing (see `race.rows.Run`)."""
    if row["state"] == TaskState.FAILED:
        is_own_fault = row["failure_class"] not in INFRASTRUCTURE_FAILURES
        return math.inf if is_own_fault else None
    if row["state"] != TaskState.COMPLETED or row["result__simulated"]:
        return None
    if row["result__diverged"]:
        return math.inf
    if not row["result__is_ranked"] or _class_of(row) != of_class:
        return None
    value: float = row["result__val_bpb"]
    return value
