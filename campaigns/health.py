"""The health of the installation: its figures, and sentences on what needs a person's attention.

The overview and the admin's first page show the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from django.db.models import Min
from django.urls import reverse
from django.utils.text import Truncator

from campaigns.clock import with_clock
from campaigns.models import (
    ActorKind,
    Campaign,
    CampaignState,
    ChangeSubject,
    FailureClass,
    Result,
    StateChange,
    Task,
    TaskState,
)
from campaigns.scripts import steering as script_steering
from campaigns.standings.progress import Outlook, outlook
from campaigns.standings.summaries import with_best
from campaigns.standings.task_counts import ended_tasks
from workers.fleet import fleet_totals
from workers.models import Worker, WorkerState
from xeenet_site.web import roles
from xeenet_site.web.formats import clock, count

RATE_WINDOW: Final = dt.timedelta(hours=1)
# A campaign is failing when more than this share of its ended tasks failed …
FAILING_SHARE: Final = 0.25
# … and at least so many tasks have ended.
FAILING_FROM: Final = 8
# How late the schedules may be: they are due each minute, and the q-cluster checks every 30 s.
OVERDUE_SCHEDULE: Final = dt.timedelta(minutes=3)
# A silent worker is reported only if it was seen within this time.
MISSED_FOR: Final = dt.timedelta(hours=24)
# The most names in a sentence, and the most characters of a reason.
MOST_NAMED: Final = 3
MOST_OF_A_REASON: Final = 200
# The tasks of a large launch take a few minutes to make at most.
MADE_WITHIN: Final = dt.timedelta(minutes=10)
# A script that has waited longer for an approval is not reported any more.
APPROVAL_EXPECTED_WITHIN: Final = dt.timedelta(days=14)


@dataclass(frozen=True)
class Health:
    """The figures of the installation at one instant."""

    active_campaigns: int
    running: int
    # Held by workers for a place that is not free yet.
    upcoming: int
    # Pending tasks of active campaigns, and those of campaigns that accept only measured results.
    waiting: int
    waiting_for_measured: int
    # Tasks that completed or failed within `RATE_WINDOW`.
    tasks_per_hour: int
    # Workers that are not disabled.
    workers: int
    online: int
    busy: int
    # Online workers without torch: their results are invented, and only some campaigns accept them.
    simulating: int
    # How many tasks the online workers run at a time.
    slots: int
    # Of the live campaigns.
    outlook: Outlook


@dataclass(frozen=True)
class Concern:
    """One thing that needs a person: what, why, and where to act."""

    text: str
    url: str
    link: str


def live_campaigns() -> list[Campaign]:
    """Return the active campaigns, then the paused ones; newest first within each state.

    They are read with the clock, and with what `with_best` says of them.
    """
    campaigns = Campaign.objects.filter(state__in=[CampaignState.ACTIVE, CampaignState.PAUSED])
    campaigns = campaigns.select_related("owner", "dataset", "package").defer("package__source")
    return list(with_clock(with_best(campaigns)).order_by("state", "-created_at", "-pk"))


def health(live: Sequence[Campaign], *, now: dt.datetime) -> Health:
    """Count the running and waiting tasks and the workers, and forecast the live campaigns.

    A fixed number of queries. The campaigns must be freshly loaded.
    """
    active = [campaign for campaign in live if campaign.state == CampaignState.ACTIVE]
    known = outlook(live, now=now)
    # Runs that are kept for a race are no tasks yet.
    waiting = {
        campaign.pk: max(0, known.waiting[campaign.pk] - campaign.kept_runs) for campaign in active
    }
    measured = [campaign for campaign in active if not campaign.allow_simulated]
    upcoming = sum(known.upcoming.values())
    return Health(
        active_campaigns=len(active),
        running=sum(map(len, known.running.values())) - upcoming,
        upcoming=upcoming,
        waiting=sum(waiting.values()),
        waiting_for_measured=sum(waiting[campaign.pk] for campaign in measured),
        tasks_per_hour=_ended_since(now - RATE_WINDOW),
        outlook=known,
        **fleet_totals(now=now),
    )


def _ended_since(since: dt.datetime) -> int:
    """Count the tasks that completed or failed since an instant."""
    recent = Campaign.objects.filter(launched_at__isnull=False).exclude(finished_at__lt=since)
    # By campaign, so that an index finds the newest results of each.
    results = Result.objects.filter(campaign__in=recent, created_at__gte=since).order_by()
    failed = Task.objects.filter(
        campaign__in=recent, state=TaskState.FAILED, finished_at__gte=since
    ).order_by()
    return results.values("pk").union(failed.values("pk"), all=True).count()


def concerns(
    figures: Health, live: Sequence[Campaign], *, now: dt.datetime, reader: roles.Person | None
) -> list[Concern]:
    """Return what needs attention, the most urgent first. At most five queries.

    A reader of None is the command line on the server, which sees the same as an operator.
    """
    return [
        *_background_jobs(now),
        *_workers(figures, now),
        *_stopped(figures, live),
        *_undrawn(live, now),
        *_paused(live),
        *_failing(live),
        *_scripts(reader, now),
    ]


def _background_jobs(now: dt.datetime) -> Iterator[Concern]:
    # Imported late, because django-q2 reads its settings at import, and the q-cluster forks.
    from django_q.models import Schedule

    from campaigns.jobs import SCHEDULES

    ours = Schedule.objects.filter(func__in=SCHEDULES.values())
    due = ours.aggregate(due=Min("next_run"))["due"]
    if due is None or now - due > OVERDUE_SCHEDULE:
        # An instant, not how long ago: that text would change at each refresh of the overview.
        since = f" since {clock(due, now)}" if due else ""
        yield Concern(
            f"The background jobs have not run{since}: the q-cluster is not running, unless it "
            "began in the last half minute. Start it on the server with “manage.py qcluster”, or "
            "everything with “serve”. Until then webhooks are not sent, lost workers are noticed "
            "only when another worker asks for tasks, and of a large launch only as many tasks are "
            "made as workers ask for.",
            "",
            "",
        )


def _workers(figures: Health, now: dt.datetime) -> Iterator[Concern]:
    if not figures.waiting:
        return
    wait = f"{count(figures.waiting)} task{' waits' if figures.waiting == 1 else 's wait'}"
    url = reverse("workers")
    # Not a person's own program, which may go silent whenever the person likes.
    machines = Worker.objects.machines().filter(state=WorkerState.ACTIVE)
    recent = machines.filter(last_seen_at__gte=now - MISSED_FOR).order_by("-last_seen_at")
    online = [worker for worker in recent if worker.is_online(now)]
    silent = [worker for worker in recent if not worker.is_online(now)]
    names = _names(silent)
    if not figures.online:
        detail = f" Silent: {names}." if silent else ""
        heard = max((worker.last_seen_at for worker in silent if worker.last_seen_at), default=None)
        since = f", since {clock(heard, now)}" if heard else ""
        yield Concern(f"{wait} and no worker is online{since}.{detail}", url, "See the workers")
    elif silent:
        fell = "fell" if len(silent) > 1 else "has fallen"
        yield Concern(f"{names} {fell} silent while {wait}.", url, "See the workers")
    paused = [worker for worker in online if worker.paused_until and worker.paused_until > now]
    if paused:
        itself = "themselves" if len(paused) > 1 else "itself"
        reason = Truncator(paused[0].pause_reason).chars(MOST_OF_A_REASON)
        yield Concern(
            f"{_names(paused)} paused {itself} while {wait}: {reason}", url, "See the workers"
        )
    if figures.online and figures.simulating == figures.online and figures.waiting_for_measured:
        yield Concern(
            "Only workers without torch are online, and campaigns that want measured results wait.",
            url,
            "See the workers",
        )


def _stopped(figures: Health, live: Sequence[Campaign]) -> Iterator[Concern]:
    """Report campaigns that no worker may run, although some are online."""
    if not figures.online:
        return
    for campaign in live:
        known = figures.outlook.forecasts[campaign.pk]
        if known.is_stopped:
            yield Concern(
                f"“{campaign.name}” stands still: {known.why_not}.",
                reverse("campaign-workers", args=[campaign.pk]),
                "See its workers",
            )


def _undrawn(live: Sequence[Campaign], now: dt.datetime) -> Iterator[Concern]:
    """Report large launches whose tasks are not all there after minutes."""
    for campaign in live:
        since = campaign.drawing_since
        if since is not None and now - since > MADE_WITHIN:
            yield Concern(
                f"“{campaign.name}” has {count(campaign.undrawn_tasks)} tasks that are still to be "
                f"made, since {clock(since, now)}. Its workers get those that are there.",
                campaign.get_absolute_url(),
                "Look at it",
            )


def _names(workers: Sequence[Worker]) -> str:
    names = ", ".join(worker.name for worker in workers[:MOST_NAMED])
    return names + (f" and {len(workers) - MOST_NAMED} more" if len(workers) > MOST_NAMED else "")


def _paused(live: Sequence[Campaign]) -> Iterator[Concern]:
    paused = [
        campaign
        for campaign in live
        if campaign.state == CampaignState.PAUSED and campaign.state_reason
    ]
    by_people = _paused_by_people(paused) if paused else set()
    for campaign in paused:
        # A person who paused it knows about it; a pause by the server has to be reported.
        if campaign.pk not in by_people:
            yield Concern(
                f"“{campaign.name}” is paused: {campaign.state_reason}",
                campaign.get_absolute_url(),
                "Look at it",
            )


def _paused_by_people(paused: Sequence[Campaign]) -> set[int]:
    """Return the campaigns whose latest pause the journal gives to a person. One query."""
    pauses = StateChange.objects.filter(
        campaign__in=paused, subject=ChangeSubject.CAMPAIGN, to_state=CampaignState.PAUSED
    )
    rows = pauses.order_by("at", "id").values_list("campaign_id", "actor_kind")
    # The rows are in order of time, and `dict` keeps the last pause of each campaign.
    return {pk for pk, kind in dict(rows).items() if kind == ActorKind.PERSON}


def _failing(live: Sequence[Campaign]) -> Iterator[Concern]:
    ended = ended_tasks(live)
    suspects = [
        campaign
        for campaign in live
        if campaign.state == CampaignState.ACTIVE and _is_failing(ended[campaign.pk].by_state)
    ]
    for campaign in suspects:
        counts, failures = ended[campaign.pk].by_state, ended[campaign.pk].failures
        yield Concern(
            f"“{campaign.name}” is failing: {count(counts[TaskState.FAILED])} of "
            f"{count(_ran(counts))} tasks that ended failed, most by "
            f"{FailureClass(next(iter(failures))).label}.",
            reverse("campaign-tasks", args=[campaign.pk]) + "?state=failed",
            "See the failed tasks",
        )


def _scripts(reader: roles.Person | None, now: dt.datetime) -> Iterator[Concern]:
    """Report scripts that wait for approval: to operators all, to their uploaders their own."""
    waiting = script_steering.waiting(since=now - APPROVAL_EXPECTED_WITHIN)
    if reader is not None and not roles.may_operate(reader):
        if not reader.is_authenticated:
            return
        waiting = waiting.filter(uploaded_by_id=reader.pk)
    scripts = list(waiting)
    if not scripts:
        return
    names = ", ".join(f"“{script.name}”" for script in scripts[:MOST_NAMED])
    more = f" and {len(scripts) - MOST_NAMED} more" if len(scripts) > MOST_NAMED else ""
    many = len(scripts) > 1
    yield Concern(
        f"Uploaded script{'s' if many else ''} {names}{more} wait{'' if many else 's'} for an "
        "operator’s approval; until then no worker gets "
        f"{'them' if many else 'it'}.",
        reverse("scripts"),
        "See the scripts",
    )


def _is_failing(counts: dict[str, int]) -> bool:
    ran = _ran(counts)
    return ran >= FAILING_FROM and counts.get(TaskState.FAILED, 0) > FAILING_SHARE * ran


def _ran(counts: dict[str, int]) -> int:
    # Without cancelled tasks: a person cancels many in one click, whatever the campaign is like.
    return counts.get(TaskState.COMPLETED, 0) + counts.get(TaskState.FAILED, 0)
