"""What a campaign's page says first, read from the database for `campaigns.race.headline`."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

from campaigns.caching import cached_by_revision, cached_roughly
from campaigns.models import (
    BudgetKind,
    Campaign,
    CampaignState,
    FailureClass,
    RaceOutcome,
    Task,
    TaskState,
)
from campaigns.race.headline import (
    MANY_WITHOUT_VALUE,
    Headline,
    Situation,
    headline,
    race_label,
    shared_params,
)
from campaigns.race.rule import FEWEST_TASKS, MOST, challengers, most_rounds
from campaigns.standings import arms, leaderboard
from campaigns.standings.classes import EVERY_CLASS, ClassOfCampaign, chosen_class, classes_of
from campaigns.standings.finding import ENDED, finding, why_nothing_is_ranked
from campaigns.standings.machines import ready_for
from campaigns.standings.noise import noise_floor
from campaigns.standings.progress import CampaignProgress
from xeenet_site.web.formats import clock, duration, value

DIVERGED: Final = "diverged"
TOO_SMALL: Final = "budget too small"
# So many runs are read at most to find what those without a value share.
RUNS_READ: Final = 2_000
# So many of the first arms are offered for a race.
MOST_OFFERED: Final = 5
# On so many seeds at most; a person who picks arms may choose more.
MOST_SEEDS_OFFERED: Final = 100
# How a race ends that another may follow.
_MAY_GO_ON: Final = {RaceOutcome.TIE, RaceOutcome.CHAMPION}


def sentence(campaign: Campaign, progress: CampaignProgress, *, now: dt.datetime) -> str:
    """Return the one sentence above the campaign's figures. The campaign is freshly loaded."""
    return verdict(campaign, progress, now=now).sentence


def verdict(
    campaign: Campaign,
    progress: CampaignProgress,
    *,
    now: dt.datetime,
    of_class: str = "",
    race: RaceOffer | None = None,
) -> Headline:
    """Return the verdict above the campaign's figures. The campaign is freshly loaded.

    `of_class` is the slug of the class whose board the reader sees, `race` what the reader may let
    race.
    """
    quiet_since = _quiet_since(campaign, progress, now)
    last = arms.finding(campaign)
    situation = Situation(
        is_active=campaign.state == CampaignState.ACTIVE,
        pending=progress.waiting,
        leased=progress.leased,
        ended=progress.completed + progress.failed,
        no_value=no_value(progress),
        failed=progress.failed,
        shared=_shared(campaign, progress),
        is_approved=campaign.package.may_run,
        hindrance=progress.forecast.hindrance,
        quiet_seconds=max(0.0, (now - quiet_since).total_seconds()) if quiet_since else None,
        too_slow=_too_slow(campaign),
        disturbed=_count(campaign, "disturbed"),
        slow_setups=_count(campaign, "slow_setup"),
        classes=[(row.words, row.results) for row in shown_first(campaign, of_class)],
        shows_all=of_class == EVERY_CLASS,
        trouble=finding(campaign, progress),
        board=arms.sentence(campaign),
        is_decided=last is not None and last.outcome == RaceOutcome.CHAMPION,
        empty=why_nothing_is_ranked(campaign, progress),
        paused=_paused(campaign),
        race=race.label if race else "",
    )
    return headline(situation, since=clock(quiet_since, now) if quiet_since else "")


def draft(campaign: Campaign, *, kept: int, worker_seconds: float | None) -> Headline:
    """Return the verdict on a draft: what its launch would begin.

    `kept` of its tasks run only when the first arms race; `worker_seconds` is what all of them take
    together, None where that is unknown.
    """
    tasks = f"{campaign.task_count:,} task{'' if campaign.task_count == 1 else 's'}"
    parts = [f"A draft: nothing runs yet. Launching hands out {tasks} of {campaign.budget_text}"]
    if kept:
        parts.append(f"{kept:,} of them only in the race of the first arms")
    if worker_seconds:
        parts.append(f"{duration(worker_seconds)} of worker time in all")
    sentence = ", ".join(parts) + "."
    if not campaign.dataset.file:
        sentence += (
            " The server does not hold the data set, so each worker downloads it for itself."
        )
    return headline(Situation(is_active=False, pending=0, leased=0, ended=0, draft=sentence))


@dataclass(frozen=True)
class RaceOffer:
    """The first arms of the board, which the reader may let race, and the button's label."""

    arms: list[int]
    seeds: int
    label: str


def race_offer(
    campaign: Campaign, progress: CampaignProgress, *, now: dt.datetime
) -> RaceOffer | None:
    """Return the race of the first arms that would tell them apart; None where none would.

    There is none while a race runs or comes by itself. After one that found a champion, it is that
    of the champion with arms added since.
    """
    last = arms.finding(campaign)
    has_champion = last is not None and last.outcome == RaceOutcome.CHAMPION
    comes = campaign.races_automatically and campaign.state not in ENDED
    if comes and campaign.task_count >= FEWEST_TASKS and (last is None or has_champion):
        return None
    if not campaign.shares_seeds or (last and last.outcome not in _MAY_GO_ON):
        return None
    rows = [row.arm for row in arms.rows(campaign, limit=MOST_OFFERED) if row.value is not None]
    seeds = campaign.race_seeds
    if has_champion:
        rows = list(newer_contenders(campaign))
    elif last is not None:
        rows = [arm for arm in rows if arm in last.group]
        # As many as would separate the first two; a race of thousands settles nothing.
        if not last.seeds_to_separate or last.seeds_to_separate > MOST_SEEDS_OFFERED:
            return None
        seeds = max(seeds, last.seeds_to_separate)
    if len(rows) < 2:
        return None
    workers, slots = _fleet(campaign, progress, now)
    seconds = _run_seconds(progress)
    time = duration(seconds * most_rounds(len(rows), seeds, slots)) if seconds and slots else ""
    new = len(rows) - 1 if has_champion else 0
    label = race_label(len(rows), time=time, workers=workers, challengers=new)
    return RaceOffer(rows, seeds, label)


def _fleet(campaign: Campaign, progress: CampaignProgress, now: dt.datetime) -> tuple[int, int]:
    """Return how many machines may run the campaign now, and how many tasks at once.

    One query where the forecast did not ask, because nothing is open or handed out.
    """
    if campaign.state == CampaignState.ACTIVE and progress.done < progress.total:
        return progress.forecast.machines, progress.forecast.slots
    machines = ready_for(campaign, now=now)
    return len(machines), sum(machine.slots for machine in machines)


def newer_contenders(campaign: Campaign) -> tuple[int, ...]:
    """Return the champion of the last race, and the arms that may race it; () without any.

    They were added after that race began, and their first values make them contenders.
    """
    return cached_by_revision(campaign, "newer-contenders", lambda: _newer_contenders(campaign))


def _newer_contenders(campaign: Campaign) -> tuple[int, ...]:
    last = arms.finding(campaign)
    if last is None or last.outcome != RaceOutcome.CHAMPION:
        return ()
    race = campaign.races.exclude(outcome=RaceOutcome.CANCELLED).latest("number")
    newer = campaign.arms.filter(created_at__gt=race.started_at, infeasible="")
    first = newer.order_by("number").values_list("number", flat=True).first()
    if first is None:
        return ()
    raced = arms.raced_rows(campaign)
    # Contenders are among the first by their first values, those that raced included.
    rest = arms.rows(campaign, limit=MOST, offset=len(raced))
    key = campaign.metric_spec.sort_key
    values = {row.arm: row.screening for row in raced} | {row.arm: row.value for row in rest}
    keys = {arm: None if value is None else key(value) for arm, value in values.items()}
    added = {row.arm for row in rest if row.arm >= first}
    return challengers(last.leader, added, keys, noise_floor(campaign))


def _run_seconds(progress: CampaignProgress) -> float | None:
    """Return how long a run takes on average; None before one has ended."""
    ended = progress.completed + progress.failed
    return progress.compute_seconds / ended if ended else None


def shown_first(campaign: Campaign, of_class: str) -> list[ClassOfCampaign]:
    """Return the classes of the campaign's results, the one that the reader sees first."""
    shown = chosen_class(campaign, of_class)
    return sorted(classes_of(campaign), key=lambda row: row != shown)


def _paused(campaign: Campaign) -> str:
    """Return why nothing is handed out; "" unless the campaign is paused for a reason."""
    if campaign.state != CampaignState.PAUSED or not campaign.state_reason:
        return ""
    return f"Paused: {campaign.state_reason.strip().rstrip('.')}."


def _too_slow(campaign: Campaign) -> int:
    """Count the arms that can get no result; only work budgets have them."""
    if campaign.budget_kind != BudgetKind.WORK:
        return 0
    arms = campaign.arms.exclude(infeasible="")
    return cached_roughly(campaign, "infeasible-arms", arms.count)


def _count(campaign: Campaign, hindrance: str) -> int:
    """Count the ranked runs with a hindrance; under a work budget they lose nothing by it."""
    if campaign.budget_kind == BudgetKind.WORK:
        return 0
    kinds = leaderboard.kinds(campaign)
    return sum(kind.number for kind in kinds if kind.is_ranked and getattr(kind, hindrance))


def no_value(progress: CampaignProgress) -> dict[str, int]:
    """Count the runs that ended without a value, by why: the one count that every page gives."""
    counts = {FailureClass(name).label: number for name, number in progress.failure_classes.items()}
    counts[DIVERGED] = progress.diverged
    counts[TOO_SMALL] = max(0, progress.without_value - progress.diverged)
    return {why: number for why, number in counts.items() if number}


def _quiet_since(
    campaign: Campaign, progress: CampaignProgress, now: dt.datetime
) -> dt.datetime | None:
    """Return since when nothing has ended, None while tasks run or none waits."""
    if campaign.state != CampaignState.ACTIVE or progress.leased or not progress.waiting:
        return None
    since = progress.last_end or campaign.launched_at or now
    return max(since, campaign.resumed_at or since)


def _shared(campaign: Campaign, progress: CampaignProgress) -> str:
    """Return the params that runs without a value share, when there are many of them."""
    ended = progress.completed + progress.failed
    if not ended or progress.no_value <= MANY_WITHOUT_VALUE * ended:
        return ""
    return shared_words(campaign, progress)


def shared_words(campaign: Campaign, progress: CampaignProgress) -> str:
    """Return the params that all runs without a value share, and few others have; "" for none.

    Also "" with more than `RUNS_READ` runs: of a part nothing could be said of all.
    """
    if progress.completed + progress.failed > RUNS_READ:
        return ""
    found = cached_by_revision(campaign, "shared-params", lambda: _read_shared(campaign))
    return " and ".join(f"{name} {value(param)}" for name, param in found.items())


def _read_shared(campaign: Campaign) -> dict[str, Any]:
    varying, _ = leaderboard.varying_params(campaign)
    ended = Task.objects.filter(
        campaign=campaign, state__in=(TaskState.COMPLETED, TaskState.FAILED)
    ).order_by("-number")
    rows = ended.values_list("params", "result__value")[:RUNS_READ]
    by_value: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for params, measured in rows:
        by_value[measured is not None].append({name: params.get(name) for name in varying})
    return shared_params(by_value[False], by_value[True])
