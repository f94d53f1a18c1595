"""The verb that lets arms of a campaign race; `campaigns.lifecycle.races` has what follows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.db.models import Max

from campaigns.lifecycle.arms import next_task_number
from campaigns.lifecycle.errors import InvalidCampaign, WrongState
from campaigns.lifecycle.growth import lock_growing, note_growth
from campaigns.lifecycle.journal import SERVER, Actor
from campaigns.lifecycle.races import make_runs
from campaigns.models import MAX_MIN_EFFECT, Campaign, CampaignState, Race
from campaigns.race.look import FEWEST_COMMON as FEWEST_SEEDS
from campaigns.race.rows import MIN_EFFECT
from campaigns.race.rule import SEEDS, looks_at, picked_race
from campaigns.search.samplers import MAX_TASKS
from campaigns.standings.noise import noise_floor

# The most arms that may be picked for a race, and the most seeds that each may run in it.
MAX_RACE_ARMS: Final = 100
MAX_RACE_SEEDS: Final = 1_000


def start_race(
    campaign: Campaign,
    arms: Sequence[int],
    *,
    now: dt.datetime,
    seeds: int = SEEDS,
    min_effect: float = MIN_EFFECT,
    actor: Actor = SERVER,
) -> Race:
    """Let arms race, given by their numbers, on `seeds` seeds that none of them has run.

    An active campaign stays so, a completed one becomes active. Raises WrongState, and
    InvalidCampaign for arms that cannot race, or too few or too many of them or of the seeds.
    """
    with transaction.atomic():
        locked = lock_growing(campaign)
        if locked.state == CampaignState.PAUSED:
            raise WrongState("The campaign is paused; resume it first.")
        runs_allowed = MAX_TASKS - next_task_number(locked)
        if problems := _race_problems(locked, arms, seeds, min_effect, runs_allowed):
            raise InvalidCampaign(problems)
        last_index = locked.tasks.filter(arm__number__in=arms).aggregate(last=Max("seed_index"))
        floor = noise_floor(locked)
        race = picked_race(
            arms,
            highest_seed=last_index["last"] or 0,
            seeds=seeds,
            floor=floor,
            runs_allowed=runs_allowed,
            min_effect=min_effect,
        )
        last_race: int | None = locked.races.aggregate(last=Max("number"))["last"]
        row = Race.objects.create(
            campaign=locked,
            number=(last_race or 0) + 1,
            arms=list(race.arms),
            seeds=list(race.seeds),
            floor_sd=floor.sd,
            floor_pairs=floor.pairs,
            runs_allowed=runs_allowed,
            min_effect=min_effect,
            started_at=now,
        )
        make_runs(locked, row, now=now)
        note_growth(campaign, locked, next_task_number(locked), actor, now, "A race began.")
    return row


def _race_problems(
    campaign: Campaign, arms: Sequence[int], seeds: int, min_effect: float, runs_allowed: int
) -> dict[str, list[str]]:
    """Return why these arms cannot race, by field."""
    problems: dict[str, list[str]] = {}
    if not 2 <= len(arms) <= MAX_RACE_ARMS or len(set(arms)) < len(arms):
        problems["arms"] = [f"must be 2 to {MAX_RACE_ARMS} different arms"]
    elif sentences := _arm_problems(campaign, arms):
        problems["arms"] = sentences
    # Also refuses NaN.
    if not 0 <= min_effect <= MAX_MIN_EFFECT:
        problems["min_effect"] = [f"must be from 0 to {MAX_MIN_EFFECT:g}"]
    if not FEWEST_SEEDS <= seeds <= MAX_RACE_SEEDS:
        problems["seeds"] = [f"must be from {FEWEST_SEEDS} to {MAX_RACE_SEEDS}"]
    elif len(arms) * looks_at(seeds)[0] > runs_allowed:
        problems["seeds"] = [f"the campaign may get only {runs_allowed:,} more tasks"]
    return problems


def _arm_problems(campaign: Campaign, arms: Sequence[int]) -> list[str]:
    """Return which arms are not there, or have only results that were invented."""
    # No database compares a column with a number that it cannot hold.
    possible = [arm for arm in arms if 0 <= arm < MAX_TASKS]
    arms_here = campaign.arms.filter(number__in=possible)
    numbers = dict(arms_here.values_list("number", "infeasible"))
    with_result = campaign.tasks.filter(arm__number__in=possible, result__isnull=False)
    is_simulated = with_result.values_list("arm__number", "result__simulated")
    measured = {arm for arm, simulated in is_simulated if not simulated}
    invented = {arm for arm, simulated in is_simulated if simulated} - measured
    unknown = set(arms) - set(numbers)
    return (
        [f"{arm} is no arm of this campaign" for arm in sorted(unknown)]
        + [f"{arm} has only simulated results, which never race" for arm in sorted(invented)]
        + [f"{arm} is infeasible: {why}" for arm, why in sorted(numbers.items()) if why]
    )
