"""Estimates of the importance of parameters: background jobs compute them, requests read them.

An estimate takes seconds to compute, so a request never does it. It shows the last estimate with
its age, and asks a job for a new one if enough newer results have come in.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any, Final

from django.db.models import Exists, F, OuterRef, Q

from campaigns.analysis.axes import axes_of
from campaigns.analysis.importance import (
    MIN_RESULTS,
    Importance,
    ParameterImportance,
    importance,
)
from campaigns.analysis.reading import read_runs
from campaigns.clock import database_now
from campaigns.models import Campaign, CampaignState, ImportanceEstimate
from campaigns.standings import leaderboard

# An estimate of an active campaign is behind once the revision has grown by 1 in this many.
NEWS_SHARE: Final = 50
# Jobs get this much time to answer before another one is asked.
ASK_AGAIN: Final = dt.timedelta(seconds=60)
# Estimates that nobody has asked for are recomputed at most this often.
AHEAD_EVERY: Final = dt.timedelta(minutes=5)
JOB: Final = "campaigns.jobs.compute_importance"


@dataclass(frozen=True)
class Estimate:
    """The last estimate. `importance` is None until a job has computed it for the first time."""

    importance: Importance | None
    # Number of ranked results at that time. Of very many, `importance` read only a sample.
    total: int
    computed_at: dt.datetime | None
    # Whether there are enough newer results for a new estimate.
    is_behind: bool
    # When a job was asked for an estimate; None once it has answered.
    asked_at: dt.datetime | None

    @property
    def is_pending(self) -> bool:
        return self.importance is None


def importance_now(campaign: Campaign, device: str = "") -> Importance:
    """Compute the importance of each parameter and store it.

    This takes seconds: only jobs and commands may call it.
    """
    now = database_now()
    runs = read_runs(campaign, device=device)
    computed = importance(axes_of(campaign.search_space), runs.runs)
    ImportanceEstimate.objects.update_or_create(
        campaign=campaign,
        device=device,
        defaults={
            "revision": campaign.revision,
            "computed_at": now,
            "asked_at": None,
            "found": {"importance": asdict(computed), "total": runs.total},
        },
    )
    return computed


def estimate(campaign: Campaign, device: str = "") -> Estimate:
    """Return the last estimate without computing a new one. At most two queries.

    With too few results, return an importance without parameters. `campaign` must be freshly
    loaded: its revision decides whether the estimate is behind.
    """
    ranked = sum(
        kind.number
        for kind in leaderboard.kinds(campaign)
        if kind.is_ranked and (not device or kind.device == device)
    )
    if ranked < MIN_RESULTS or not axes_of(campaign.search_space):
        return Estimate(
            Importance([], ranked, 0, 0.0), ranked, None, is_behind=False, asked_at=None
        )
    row = ImportanceEstimate.objects.filter(campaign=campaign, device=device).first()
    # An estimate from before there were enough results says nothing about those of today.
    if row is None or (row.found and row.found["total"] < MIN_RESULTS):
        return Estimate(None, ranked, None, is_behind=True, asked_at=row.asked_at if row else None)
    return Estimate(
        _restored(row.found["importance"]) if row.found else None,
        row.found["total"] if row.found else ranked,
        row.computed_at,
        is_behind=_is_behind(campaign, row),
        asked_at=row.asked_at,
    )


def _restored(data: dict[str, Any]) -> Importance:
    parameters = [ParameterImportance(**parameter) for parameter in data["parameters"]]
    return Importance(**(data | {"parameters": parameters}))


def _is_behind(campaign: Campaign, row: ImportanceEstimate) -> bool:
    if row.revision is None:
        return True
    news = campaign.revision - row.revision
    if campaign.state == CampaignState.ACTIVE:
        return news > row.revision // NEWS_SHARE
    return news > 0


def ask(campaign: Campaign, device: str = "") -> None:
    """Ask a job for a new estimate, unless one was asked within `ASK_AGAIN`."""
    # Imported here, because django-q2 reads its settings at import.
    from django_q.tasks import async_task

    now = database_now()
    ImportanceEstimate.objects.get_or_create(campaign=campaign, device=device)
    unasked = Q(asked_at=None) | Q(asked_at__lt=now - ASK_AGAIN)
    # The conditional update lets only one of several concurrent requests ask.
    rows = ImportanceEstimate.objects.filter(unasked, campaign=campaign, device=device)
    if rows.update(asked_at=now):
        async_task(JOB, campaign.pk, device)


def behind(*, now: dt.datetime, limit: int) -> list[tuple[Campaign, str]]:
    """Return campaigns, each with a device ("" for all), whose estimate is missing or behind.

    Jobs compute these before anybody asks: for every launched campaign as a whole, and for each
    device that somebody has asked about. Two queries.
    """
    computed = ImportanceEstimate.objects.filter(
        campaign=OuterRef("pk"), device="", revision__isnull=False
    )
    launched = Campaign.objects.exclude(state=CampaignState.DRAFT).filter(revision__gt=0)
    missing = launched.filter(~Exists(computed)).order_by("-pk")
    # The same rule as in `_is_behind`.
    enough = ~Q(campaign__state=CampaignState.ACTIVE) | Q(
        campaign__revision__gt=F("revision") + F("revision") / NEWS_SHARE
    )
    older = ImportanceEstimate.objects.filter(
        enough, revision__lt=F("campaign__revision"), computed_at__lt=now - AHEAD_EVERY
    ).select_related("campaign")
    due = [(campaign, "") for campaign in missing[:limit]]
    due += [(row.campaign, row.device) for row in older.order_by("computed_at")[:limit]]
    return due[:limit]
