"""The race that begins by itself: whether one is due when nothing of a campaign is open any more.

Its rule is in `campaigns.race`: the best arms of the screening race, and arms added after that race
the champion. Here are its rows, and the runs that a campaign keeps for it.
"""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import dataclass

from django.db.models import Max

from campaigns.lifecycle.races import store_race
from campaigns.models import Campaign, Decision, Race, RaceOutcome
from campaigns.race import rule
from campaigns.race.rule import FEWEST_TASKS, most_contenders, reserve_of
from campaigns.search.samplers import COVERING, MAX_TASKS
from campaigns.standings.noise import noise_floor
from campaigns.standings.race_runs import screening_values

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DueRace:
    """A race that must begin, and how many arms of its campaign screening chose from."""

    race: rule.Race
    chosen_from: int


def races_by_default(task_count: int, *, allow_simulated: bool) -> bool:
    """Return whether a new campaign races by itself when its description leaves that open.

    One that takes simulated results does not: workers without torch would take the race's runs too,
    and nothing that was invented counts there.
    """
    return task_count >= FEWEST_TASKS and not allow_simulated


def runs_kept_at_launch(task_count: int, sampler: str, *, races_automatically: bool) -> int:
    """Return how many of the tasks that a person asked for a launch keeps for the race.

    None of a sampler that covers its space point by point: it would leave points out.
    """
    if not races_automatically or sampler in COVERING:
        return 0
    return reserve_of(task_count)


def due_race(campaign: Campaign) -> DueRace | None:
    """Return the race that must begin before the campaign may complete; None without any.

    Call it with the campaign locked, when no task is open, no race runs, and nobody will ask again.
    """
    reserve = reserve_of(campaign.task_count)
    if not (
        campaign.races_automatically
        and most_contenders(reserve) >= 2
        and campaign.task_count - campaign.kept_runs + reserve <= MAX_TASKS
    ):
        return None
    arms = campaign.arms.count()
    last = campaign.races.filter(chosen_from__isnull=False).order_by("-number").first()
    # Before the values are read, because this is asked whenever a campaign might complete.
    if last is not None and last.chosen_from == arms:
        return None
    screening, floor = screening_values(campaign), noise_floor(campaign)
    highest: int = campaign.tasks.aggregate(last=Max("seed_index"))["last"] or 0
    if last is None:
        race = rule.automatic_race(
            campaign.task_count,
            screening,
            floor,
            highest_seed=highest,
            min_effect=campaign.min_effect,
        )
    else:
        race = rule.challenger_race(
            _champion(campaign),
            range(last.chosen_from or 0, arms),
            campaign.task_count,
            screening,
            floor,
            highest_seed=highest,
            min_effect=campaign.min_effect,
        )
    return DueRace(race, arms) if race else None


def begin(campaign: Campaign, due: DueRace, *, now: dt.datetime) -> Race:
    """Store the race and the runs of its first look, in a transaction that locked the campaign."""
    race = store_race(campaign, due.race, now=now, chosen_from=due.chosen_from)
    logger.info("race %d of campaign %d began by itself", race.number, campaign.pk)
    return race


def _champion(campaign: Campaign) -> int | None:
    """Return the number of the arm that challengers race; None when no arm came out of a race.

    It is the leader of the last race that began by itself, or of a later one in which that arm ran.
    """
    ends = Decision.objects.filter(
        race__campaign=campaign,
        outcome__in=[RaceOutcome.CHAMPION, RaceOutcome.TIE],
        leader__infeasible="",
    ).order_by("race__number")
    champion: int | None = None
    for chosen_from, arms, leader in ends.values_list(
        "race__chosen_from", "race__arms", "leader__number"
    ):
        if chosen_from is not None or champion in arms:
            champion = leader
    return champion
