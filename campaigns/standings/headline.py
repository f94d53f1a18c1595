"""What a campaign's page says first, read from the database for `campaigns.race.headline`."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from campaigns.caching import cached_by_revision, cached_roughly
from campaigns.models import BudgetKind, Campaign, CampaignState, FailureClass, Task, TaskState
from campaigns.race.headline import MANY_WITHOUT_VALUE, Situation, headline, shared_params
from campaigns.standings import arms, leaderboard
from campaigns.standings.classes import classes_of
from campaigns.standings.finding import finding, why_nothing_is_ranked
from campaigns.standings.progress import CampaignProgress, last_end
from xeenet_site.web.formats import duration, value

DIVERGED: Final = "diverged"
TOO_SMALL: Final = "budget too small"
# So many runs are read at most to find what those without a value share.
_RUNS_READ: Final = 2_000


def sentence(campaign: Campaign, progress: CampaignProgress, *, now: dt.datetime) -> str:
    """Return the one sentence above the campaign's figures. The campaign is freshly loaded."""
    quiet = _quiet_seconds(campaign, progress, now)
    situation = Situation(
        is_active=campaign.state == CampaignState.ACTIVE,
        pending=progress.pending,
        leased=progress.leased,
        ended=progress.completed + progress.failed,
        no_value=no_value(progress),
        shared=_shared(campaign, progress),
        is_approved=campaign.package.may_run,
        machines=campaign.machines(now).count() if quiet is not None else None,
        quiet_seconds=quiet,
        too_slow=_too_slow(campaign),
        disturbed=_count(campaign, "disturbed"),
        slow_setups=_count(campaign, "slow_setup"),
        classes=[(one.words, one.results) for one in classes_of(campaign)],
        trouble=finding(campaign, progress),
        board=arms.sentence(campaign),
        empty=why_nothing_is_ranked(campaign, progress),
    )
    return headline(situation, span=duration(quiet) if quiet is not None else "")


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


def _quiet_seconds(
    campaign: Campaign, progress: CampaignProgress, now: dt.datetime
) -> float | None:
    """Return how long nothing has ended, None while tasks run or none waits."""
    if campaign.state != CampaignState.ACTIVE or progress.leased or not progress.pending:
        return None
    since = last_end(campaign) or campaign.launched_at or now
    return max(0.0, (now - max(since, campaign.resumed_at or since)).total_seconds())


def _shared(campaign: Campaign, progress: CampaignProgress) -> str:
    """Return the params that runs without a value share, when there are many of them."""
    ended = progress.completed + progress.failed
    without = progress.without_value + progress.failed
    if not ended or without <= MANY_WITHOUT_VALUE * ended:
        return ""
    found = cached_by_revision(campaign, "shared-params", lambda: _read_shared(campaign))
    return " and ".join(f"{name} {value(param)}" for name, param in found.items())


def _read_shared(campaign: Campaign) -> dict[str, Any]:
    varying, _ = leaderboard.varying_params(campaign)

    ended = Task.objects.filter(
        campaign=campaign, state__in=(TaskState.COMPLETED, TaskState.FAILED)
    ).order_by("-number")
    rows = list(ended.values_list("params", "result__value")[: _RUNS_READ + 1])
    # Of a part nothing could be said of all.
    if len(rows) > _RUNS_READ:
        return {}
    by_value: dict[bool, list[dict[str, Any]]] = {True: [], False: []}
    for params, measured in rows:
        by_value[measured is not None].append({name: params.get(name) for name in varying})
    return shared_params(by_value[False], by_value[True])
