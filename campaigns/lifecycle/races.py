"""How a race goes on: its next tasks, the decision of each look, and its end.

`campaigns.race` has the rule; here are its rows. A look is decided after the commit that ended its
last task, with the campaign's row locked, so that concurrent ends decide it once. A job looks again
where the process died in between.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.db import transaction
from django.db.models import F, Max

from campaigns.lifecycle.arms import TaskMaker
from campaigns.models import Campaign, CampaignState, Decision, Race, RaceOutcome
from campaigns.notifications import events
from campaigns.race import rule
from campaigns.race.look import Decision as LookDecision
from campaigns.race.look import Outcome
from campaigns.search.samplers import MAX_TASKS
from campaigns.standings.race_runs import decisions_of, race_runs, rule_of
from campaigns.standings.raced import race_sentence

logger = logging.getLogger(__name__)


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
    decided = 0
    for campaign_id in campaigns:
        try:
            decided += decide_races(campaign_id, now=now)
        except Exception:
            # A race that cannot be decided must not keep the others waiting.
            logger.exception("the races of campaign %s were not decided", campaign_id)
    return decided


def cancel_races(campaign: Campaign, *, now: dt.datetime) -> None:
    """End the campaign's running races with a decision of their own.

    Call it in the transaction that cancels the campaign, before its tasks are cancelled.
    """
    for race in Race.objects.running().filter(campaign=campaign):
        decision = rule.cancel(rule_of(race), decisions_of(race), race_runs(race))
        if decision is not None:
            _store(race, decision, now)


def store_race(
    campaign: Campaign, race: rule.Race, *, now: dt.datetime, chosen_from: int | None = None
) -> Race:
    """Store a race that the rule allows, with the runs of its first look.

    Call it with the locked campaign. Without `chosen_from` a person picked the arms.
    """
    last_number: int | None = campaign.races.aggregate(last=Max("number"))["last"]
    row = Race.objects.create(
        campaign=campaign,
        number=(last_number or 0) + 1,
        chosen_from=chosen_from,
        arms=list(race.arms),
        seeds=list(race.seeds),
        floor_sd=race.floor.sd,
        floor_pairs=race.floor.pairs,
        runs_allowed=race.runs_allowed or MAX_TASKS,
        min_effect=race.min_effect,
        started_at=now,
    )
    make_runs(campaign, row, now=now)
    Campaign.objects.filter(pk=campaign.pk).update(revision=F("revision") + 1)
    return row


def make_runs(campaign: Campaign, race: Race, *, now: dt.datetime) -> int:
    """Make the tasks that the race's present look needs and does not have; return how many.

    Call it with the locked campaign; also its object has the new number of tasks then.
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
    # A race that a person started takes none of the runs that are kept for the other.
    kept = min(campaign.kept_runs, len(tasks)) if race.chosen_from is not None else 0
    campaign.kept_runs -= kept
    campaign.task_count += len(tasks) - kept
    Campaign.objects.filter(pk=campaign.pk).update(
        task_count=campaign.task_count, kept_runs=campaign.kept_runs
    )
    return len(tasks)


def give_up_kept_runs(campaign: Campaign) -> None:
    """Keep no runs for a race any more: the campaign has the tasks that it has.

    Call it in a transaction that has locked the campaign.
    """
    rows = Campaign.objects.filter(pk=campaign.pk, kept_runs__gt=0)
    if rows.update(task_count=F("task_count") - F("kept_runs"), kept_runs=0):
        campaign.refresh_from_db(fields=["task_count", "kept_runs"])


def _advance(campaign: Campaign, race: Race, now: dt.datetime) -> int:
    """Decide every look of the race that is due; return how many."""
    decided = 0
    while True:
        decision = rule.decide_next(rule_of(race), decisions_of(race), race_runs(race))
        if decision is None:
            return decided
        _store(race, decision, now)
        make_runs(campaign, race, now=now)
        if race.outcome and race.chosen_from is not None:
            give_up_kept_runs(campaign)
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
        race.outcome, race.ended_at = outcome, now
        Race.objects.filter(pk=race.pk).update(outcome=outcome, ended_at=now)
        if outcome != RaceOutcome.CANCELLED:
            # In this transaction: nobody is told of a decision that was not stored, and no process
            # that dies leaves one untold.
            events.note_decided(race, lambda: race_sentence(race), now=now)


def _outcome_of(decision: LookDecision) -> str:
    if decision.outcome is Outcome.GO_ON:
        return ""
    return RaceOutcome(decision.outcome.value)
