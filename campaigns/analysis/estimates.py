"""The importance of parameters, computed by background jobs and read by everybody else.

An estimate takes seconds of computing. A request shows the last one with its age and, where newer
results are enough to change it, asks a job for another; it never computes.
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

# A running campaign is computed anew when its revision has grown by one part in so many.
NEWS_SHARE: Final = 50
# Nobody asks again before a job had the time to answer.
ASK_AGAIN: Final = dt.timedelta(seconds=60)
# Computing ahead of anybody asking may be this late while a campaign runs.
AHEAD_EVERY: Final = dt.timedelta(minutes=5)
JOB: Final = "campaigns.jobs.compute_importance"


@dataclass(frozen=True)
class Estimate:
    """What is known now: `importance` is None until a job has computed it for the first time."""

    importance: Importance | None
    # Ranked results there were when it was computed; `importance` read a sample of very many.
    total: int
    computed_at: dt.datetime | None
    # Whether there are newer results, enough to compute it anew.
    is_behind: bool
    # When a job was asked for it, while none has answered.
    asked_at: dt.datetime | None

    @property
    def is_pending(self) -> bool:
        return self.importance is None


def importance_now(campaign: Campaign, device: str = "") -> Importance:
    """Compute the importance of each parameter and keep it. Seconds: for jobs and commands."""
    now = database_now()
    found = read_runs(campaign, device=device)
    computed = importance(axes_of(campaign.search_space), found.runs)
    ImportanceEstimate.objects.update_or_create(
        campaign=campaign,
        device=device,
        defaults={
            "revision": campaign.revision,
            "computed_at": now,
            "asked_at": None,
            "found": {"importance": asdict(computed), "total": found.total},
        },
    )
    return computed


def estimate(campaign: Campaign, device: str = "") -> Estimate:
    """Return the importance as it is known, without computing it; two queries at most.

    Where there are too few results, that is the answer. The campaign must be freshly loaded.
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
    if row is None:
        return Estimate(None, ranked, None, is_behind=True, asked_at=None)
    return Estimate(
        _restored(row.found["importance"]) if row.found else None,
        row.found["total"] if row.found else ranked,
        row.computed_at,
        is_behind=_is_behind(campaign, row),
        asked_at=row.asked_at,
    )


def _restored(data: dict[str, Any]) -> Importance:
    parameters = [ParameterImportance(**one) for one in data["parameters"]]
    return Importance(**(data | {"parameters": parameters}))


def _is_behind(campaign: Campaign, row: ImportanceEstimate) -> bool:
    if row.revision is None:
        return True
    news = campaign.revision - row.revision
    if campaign.state == CampaignState.ACTIVE:
        return news > row.revision // NEWS_SHARE
    return news > 0


def ask(campaign: Campaign, device: str = "") -> None:
    """Have a job compute it, unless one was asked within `ASK_AGAIN`."""
    # Only here: django-q2 reads its settings at import.
    from django_q.tasks import async_task

    now = database_now()
    ImportanceEstimate.objects.get_or_create(campaign=campaign, device=device)
    unasked = Q(asked_at=None) | Q(asked_at__lt=now - ASK_AGAIN)
    # Guarded: of many who look at once, one asks.
    asked = ImportanceEstimate.objects.filter(unasked, campaign=campaign, device=device)
    if asked.update(asked_at=now):
        async_task(JOB, campaign.pk, device)


def behind(*, now: dt.datetime, limit: int) -> list[tuple[Campaign, str]]:
    """Return campaigns, each with a device, to compute ahead of anybody asking; two queries.

    Every launched campaign as a whole, and each device of one that somebody asked about.
    """
    computed = ImportanceEstimate.objects.filter(
        campaign=OuterRef("pk"), device="", revision__isnull=False
    )
    launched = Campaign.objects.exclude(state=CampaignState.DRAFT).filter(revision__gt=0)
    missing = launched.filter(~Exists(computed)).order_by("-pk")
    # The rule of `_is_behind`.
    enough = ~Q(campaign__state=CampaignState.ACTIVE) | Q(
        campaign__revision__gt=F("revision") + F("revision") / NEWS_SHARE
    )
    older = ImportanceEstimate.objects.filter(
        enough, revision__lt=F("campaign__revision"), computed_at__lt=now - AHEAD_EVERY
    ).select_related("campaign")
    found = [(one, "") for one in missing[:limit]]
    found += [(row.campaign, row.device) for row in older.order_by("computed_at")[:limit]]
    return found[:limit]
