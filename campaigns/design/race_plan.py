"""What a race must be to find a difference: its seeds, its runs, and its hours on today's fleet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from campaigns.caching import cached_by_revision
from campaigns.design.forecasts import forecast
from campaigns.design.work import campaign_seconds
from campaigns.lifecycle.race_start import MAX_RACE_SEEDS
from campaigns.models import BudgetKind, Campaign
from campaigns.race.plan import MOST, POWER, chance_to_find, seeds_needed
from campaigns.race.rows import MIN_SIGMA, Floor
from campaigns.race.rule import SEEDS
from campaigns.standings.noise import noise_floor
from xeenet_site.web.formats import HOUR

# The planned race has two arms: leader and nearest rival decide whether it finds a champion.
ARMS: Final = 2


@dataclass(frozen=True)
class RacePlan:
    """What it takes to find a true gap of `delta` (in the unit of the values) with `power`.

    `seeds` of each arm and `runs` of both; `hours` on the workers that are online. `chance` is that
    of a race with `default_seeds`. `sigma` is the noise of a run once its seed is known, from
    `pairs` replicate pairs, worth `df` degrees of freedom. What cannot be said is None. `why` says
    why, and when a race may not be so long; it is empty when everything is said.
    """

    delta: float
    power: float
    seeds: int | None = None
    runs: int | None = None
    hours: float | None = None
    default_seeds: int = SEEDS
    chance: float | None = None
    sigma: float | None = None
    df: float | None = None
    pairs: int = 0
    why: str = ""


def plan_race(
    campaign: Campaign, delta: float, *, now: dt.datetime, power: float = POWER
) -> RacePlan:
    """Plan a race of two arms of the campaign, `delta` > 0 apart, to find the better one.

    Raises ValueError unless `power` is between 0 and 1.
    """
    floor: Floor = cached_by_revision(campaign, "noise_floor", lambda: noise_floor(campaign))
    if floor.sd is None:
        why = "No arm has results on two race seeds yet, so nothing is known of the noise."
        return RacePlan(delta, power, why=why)
    sigma, df = max(MIN_SIGMA, floor.sd), floor.weight
    seeds = seeds_needed(delta, sigma, df, power=power)
    runs = seeds and ARMS * seeds
    hours = _hours(campaign, runs, now) if runs else None
    is_timed = campaign.budget_kind == BudgetKind.TIME or bool(campaign.cost_model)
    return RacePlan(
        delta,
        power,
        seeds=seeds,
        runs=runs,
        hours=hours,
        chance=chance_to_find(delta, sigma, df, SEEDS),
        sigma=sigma,
        df=df,
        pairs=floor.pairs,
        why=" ".join(_obstacles(seeds, hours, is_timed=is_timed)),
    )


def _obstacles(seeds: int | None, hours: float | None, *, is_timed: bool) -> Iterator[str]:
    """Yield what keeps the race from being planned, or from being held.

    `is_timed`: it is known how long a run takes.
    """
    if seeds is None:
        yield f"With what is known of the noise it takes more than {MOST:,} seeds."
        return
    if seeds > MAX_RACE_SEEDS:
        yield f"A race has at most {MAX_RACE_SEEDS:,} seeds."
    if hours is None:
        if is_timed:
            yield "No worker that could take the runs is online, so the hours are not known."
        else:
            yield "The script does not say what a step costs, so the hours are not known."


def _hours(campaign: Campaign, runs: int, now: dt.datetime) -> float | None:
    """Return how long the workers that are online would take; None without any."""
    run_seconds = campaign_seconds(campaign, now=now)
    if run_seconds is None:
        return None
    seconds = forecast(
        experiment=campaign.experiment,
        task_count=runs,
        run_seconds=run_seconds,
        is_work=campaign.budget_kind == BudgetKind.WORK,
        # What nobody measured counts as missing in a race.
        allow_simulated=False,
        required_isolation=campaign.required_isolation,
        is_uploaded=campaign.package.is_uploaded,
        now=now,
    ).duration_seconds
    return None if seconds is None else seconds / HOUR
