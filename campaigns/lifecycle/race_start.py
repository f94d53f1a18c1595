"""The verbs of people on races: start one, and choose whether one begins by itself.

`campaigns.lifecycle.races` has what follows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from django.db import transaction
from django.db.models import F, Max

from campaigns.lifecycle.endings import finish_if_done
from campaigns.lifecycle.errors import InvalidCampaign, WrongState
from campaigns.lifecycle.growth import lock_growing, note_growth
from campaigns.lifecycle.journal import SERVER, Actor
from campaigns.lifecycle.races import give_up_kept_runs, store_race
from campaigns.lifecycle.transitions import CAMPAIGN_TRANSITIONS
from campaigns.models import MAX_MIN_EFFECT, MAX_RACE_SEEDS, Campaign, CampaignState, Race
from campaigns.race.look import FEWEST_COMMON as FEWEST_SEEDS
from campaigns.race.rule import looks_at, picked_race
from campaigns.search.samplers import MAX_TASKS
from campaigns.standings.noise import noise_floor

# The most arms that may be picked for a race.
MAX_RACE_ARMS: Final = 100


def start_race(
    campaign: Campaign,
    arms: Sequence[int],
    *,
    now: dt.datetime,
    seeds: int | None = None,
    min_effect: float | None = None,
    actor: Actor = SERVER,
) -> Race:
    """Let arms race, given by their numbers, on `seeds` seeds that none of them has run.

    Without `seeds` or `min_effect` the campaign's count. An active campaign stays so, a completed
    one becomes active. Raises WrongState, and InvalidCampaign for arms that cannot race, or too few
    or too many of them or of the seeds.
    """
    with transaction.atomic():
        locked = lock_growing(campaign)
        if locked.state == CampaignState.PAUSED:
            raise WrongState("The campaign is paused; resume it first.")
        if locked.undrawn_tasks:
            # Arms are still drawn again, and each takes the next of the seeds that a race needs.
            raise WrongState(
                f"Tasks of the campaign are still being made, {locked.undrawn_tasks:,} are left; "
                "let its arms race when all are there."
            )
        runs_allowed = MAX_TASKS - locked.task_count
        seeds = locked.race_seeds if seeds is None else seeds
        if min_effect is None:
            min_effect = locked.min_effect
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
        row = store_race(locked, race, now=now)
        note_growth(campaign, locked, 0, actor, now, "A race began.")
    return row


def set_race_options(
    campaign: Campaign,
    *,
    now: dt.datetime,
    races_automatically: bool | None = None,
    min_effect: float | None = None,
) -> None:
    """Choose whether a race begins by itself, and the smallest difference that races look for.

    None leaves an option as it is. A race that runs goes on as it began; one that is due begins.
    Switched off, the campaign gives up the runs that it kept. Raises WrongState unless draft,
    active or paused, and InvalidCampaign.
    """
    with transaction.atomic():
        locked = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if locked.state not in CAMPAIGN_TRANSITIONS["set_race_options"].sources:
            raise WrongState(
                f"The campaign is {locked.state}, so no race begins by itself. Let arms race by "
                "hand, or add tasks first."
                if locked.state == CampaignState.COMPLETED
                else f"The campaign is {locked.state}; clone it to run it again."
            )
        chosen = {"races_automatically": races_automatically, "min_effect": min_effect}
        options = {name: value for name, value in chosen.items() if value is not None}
        if problems := _option_problems(locked, options):
            raise InvalidCampaign(problems)
        rows = Campaign.objects.filter(pk=campaign.pk)
        rows.update(revision=F("revision") + 1, **options)
        is_racing = locked.races.running().filter(chosen_from__isnull=False).exists()
        if races_automatically is False and not is_racing:
            give_up_kept_runs(locked)
        finish_if_done(campaign.pk, now=now)
    campaign.refresh_from_db()


def _option_problems(campaign: Campaign, options: dict[str, Any]) -> dict[str, list[str]]:
    """Return why these options cannot be, by field."""
    if not options:
        return {"races_automatically": ["give this or min_effect"]}
    problems: dict[str, list[str]] = {}
    if options.get("races_automatically") and not campaign.shares_seeds:
        problems["races_automatically"] = [
            "the arms of this campaign share no seeds, so none can be compared; clone it"
        ]
    # Also refuses NaN.
    if not 0 <= options.get("min_effect", 0.0) <= MAX_MIN_EFFECT:
        problems["min_effect"] = [f"must be from 0 to {MAX_MIN_EFFECT:g}"]
    return problems


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
