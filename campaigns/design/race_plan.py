"""What a race must be to find a difference: its seeds, its runs, and its hours on today's fleet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

from campaigns.design.assumed_noise import Assumed, noise_of, noise_of_new
from campaigns.design.forecasts import forecast_alone
from campaigns.design.work import campaign_seconds
from campaigns.models import MAX_RACE_SEEDS, BudgetKind, Campaign
from campaigns.race.plan import MOST, POWER, chance_to_find, seeds_needed
from campaigns.race.plan_words import UNKNOWN_NOISE, plan_sentence
from campaigns.race.rows import MIN_SIGMA
from campaigns.race.rule import MAX_RESERVE, RESERVE_TENTHS, SEEDS
from campaigns.standings.machines import Machine
from experiments import catalog
from experiments.metrics import MetricSpec
from xeenet_site.web.formats import HOUR, duration

# Two arms suffice for a plan: leader and nearest rival decide whether a race finds a champion.
ARMS: Final = 2
# A campaign of so many tasks keeps the runs of a whole race, with the most contenders.
TASKS_OF_A_WHOLE_RACE: Final = -(-MAX_RESERVE * 10 // RESERVE_TENTHS)


@dataclass(frozen=True)
class RacePlan:
    """What it takes to find a true gap of `delta` (in the unit of the values) with `power`.

    `seeds` of each arm and `runs` of all `arms`; `hours` on the workers that are online. `chance`
    is that of a race with `default_seeds`. `sigma` is the noise of a run once its seed is known,
    from `pairs` replicate pairs, worth `df` degrees of freedom; `assumed` says where it is from
    unless the campaign itself has shown it. What cannot be said is None. `why` says why, and when a
    race may not be so long; it is empty when everything is said. `sentence` says it to people.
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
    arms: int = ARMS
    assumed: str = ""
    sentence: str = ""

    @property
    def startable_seeds(self) -> int | None:
        """How many seeds a race can be started with now; None where it would be too long."""
        return self.seeds if self.seeds is not None and self.seeds <= MAX_RACE_SEEDS else None


@dataclass(frozen=True)
class SetUp:
    """The fields of a new campaign that let its race find the difference.

    A longer race than one by itself can only be started by hand, when its arms have run; the button
    that starts it gives them `race_seeds`.
    """

    min_effect: float
    races_automatically: bool
    task_count: int
    race_seeds: int


def set_up(plan: RacePlan, values: Mapping[str, Any]) -> SetUp | None:
    """Return what to set in a new campaign for its plan; None without one."""
    if plan.startable_seeds is None:
        return None
    count: int = values["task_count"]
    by_itself = plan.startable_seeds <= SEEDS
    if by_itself and values["sampler"] != "grid":
        count = max(count, TASKS_OF_A_WHOLE_RACE)
    return SetUp(plan.delta, by_itself, count, max(plan.startable_seeds, SEEDS))


# Returns how long so many runs take on today's fleet, in seconds; None when nobody knows.
SecondsOf = Callable[[int], float | None]


def plan_race(
    campaign: Campaign,
    delta: float,
    *,
    now: dt.datetime,
    power: float = POWER,
    arms: int = ARMS,
    fleet: Sequence[Machine] | None = None,
) -> RacePlan:
    """Plan a race of so many arms of the campaign, to find the better of two `delta` > 0 apart.

    `fleet` are the machines heard of, if they are read already. Raises ValueError unless `power` is
    between 0 and 1.
    """
    is_timed = campaign.budget_kind == BudgetKind.TIME or bool(campaign.cost_model)
    return _plan(
        noise_of(campaign),
        campaign.metric_spec,
        delta,
        power,
        arms,
        lambda runs: _seconds(campaign, runs, now, fleet),
        is_timed=is_timed,
    )


def plan_new(values: Mapping[str, Any], delta: float, seconds_of: SecondsOf) -> RacePlan:
    """Plan the race of a campaign with these checked fields of a `CampaignSpec`."""
    spec = catalog.get(values["experiment"]).metric_spec
    # Whether the time is known, the preview of the campaign says beside it.
    return _plan(noise_of_new(values), spec, delta, POWER, ARMS, seconds_of, is_timed=True)


def _plan(
    noise: Assumed,
    spec: MetricSpec,
    delta: float,
    power: float,
    arms: int,
    seconds_of: SecondsOf,
    *,
    is_timed: bool,
) -> RacePlan:
    floor = noise.floor
    if floor.sd is None:
        why = "No arm has results on two race seeds yet, so nothing is known of the noise."
        return RacePlan(delta, power, why=why, arms=arms, sentence=UNKNOWN_NOISE)
    sigma, df = max(MIN_SIGMA, floor.sd), floor.weight
    seeds = seeds_needed(delta, sigma, df, power=power)
    runs = seeds and arms * seeds
    seconds = seconds_of(runs) if runs else None
    return RacePlan(
        delta,
        power,
        seeds=seeds,
        runs=runs,
        hours=None if seconds is None else seconds / HOUR,
        chance=chance_to_find(delta, sigma, df, SEEDS),
        sigma=sigma,
        df=df,
        pairs=floor.pairs,
        why=" ".join(_obstacles(seeds, seconds, is_timed=is_timed)),
        arms=arms,
        assumed=noise.source,
        sentence=plan_sentence(
            gap=f"{delta:g}{f' {spec.unit}' if spec.unit else ''}",
            arms=arms,
            seeds=seeds,
            duration="" if seconds is None else duration(seconds),
            assumed=noise.source,
        ),
    )


def _obstacles(seeds: int | None, seconds: float | None, *, is_timed: bool) -> Iterator[str]:
    """Yield what keeps the race from being planned, or from being held.

    `is_timed`: it is known how long a run takes.
    """
    if seeds is None:
        yield f"With what is known of the noise it takes more than {MOST:,} seeds."
        return
    if seeds > MAX_RACE_SEEDS:
        yield f"A race has at most {MAX_RACE_SEEDS:,} seeds."
    if seconds is None:
        if is_timed:
            yield "No worker that could take the runs is online, so the hours are not known."
        else:
            yield "The script does not say what a step costs, so the hours are not known."


def _seconds(
    campaign: Campaign, runs: int, now: dt.datetime, fleet: Sequence[Machine] | None
) -> float | None:
    """Return how long the workers that are online would take; None without any."""
    run_seconds = campaign_seconds(campaign, now=now)
    if run_seconds is None:
        return None
    # What nobody measured counts as missing in a race.
    measured = copy(campaign)
    measured.allow_simulated = False
    alone = forecast_alone(measured, runs, run_seconds=run_seconds, now=now, fleet=fleet)
    return alone.duration_seconds
