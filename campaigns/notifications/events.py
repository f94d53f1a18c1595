"""What webhooks are told: one delivery per event and webhook, written when its cause is noticed.

Every function is idempotent: an event's key allows one delivery per webhook, however often it is
called for the same cause. Nothing here touches the network; `delivery` sends the rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.conf import settings
from django.db.models import Count, Exists, Max, OuterRef, Q
from django.urls import reverse

from campaigns.models import (
    Arm,
    Campaign,
    CampaignState,
    Race,
    Result,
    Task,
    TaskState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
)
from workers.models import Worker, WorkerState

# The sweep leaves out campaigns that ended longer ago: their events have been written.
MISSED_FOR: Final = dt.timedelta(hours=1)
MISSED_CAMPAIGNS: Final = 200
CAMPAIGNS_NAMED: Final = 20


def note_new_best(campaign_id: int, *, now: dt.datetime) -> int:
    """Tell webhooks of the leading result, unless they are newer; return how many rows it wrote.

    One seed proves nothing, so nothing is called best; `note_decided` tells what a race proved.
    """
    hooks = _listening(WebhookEvent.NEW_BEST, campaign_id)
    if not hooks:
        return 0
    ranked = Result.objects.filter(campaign_id=campaign_id).ranked()
    leading = list(ranked.select_related("task", "campaign", "attempt__worker")[:2])
    if not leading:
        return 0
    first = leading[0]
    hooks = [hook for hook in hooks if hook.created_at <= first.created_at]
    spec = first.campaign.metric_spec
    previous = leading[1].value if len(leading) > 1 else None
    was = f" (before: {spec.text(previous)})" if previous is not None else ""
    seeds = Result.objects.filter(task__arm=first.task.arm_id, is_ranked=True).count()
    leads = "leads after one seed" if seeds == 1 else f"leads by one of its arm's {seeds} runs"
    payload = _about(first.campaign) | {
        "text": f"{first.campaign}: task {first.task.number} {leads}, with {spec.name} "
        f"{spec.text(first.value or 0.0)}{was} on {first.device_used}.",
        "result": _about_result(first),
        "previous_best": previous,
    }
    return _write(hooks, WebhookEvent.NEW_BEST, f"new_best:{first.pk}", payload, now)


def note_missed_bests(*, now: dt.datetime) -> int:
    """Tell of leading results whose process died before it could; return how many rows it wrote."""
    hooks = [hook for hook in _active_hooks() if WebhookEvent.NEW_BEST in hook.events]
    if not hooks:
        return 0
    campaigns = Campaign.objects.filter(
        Q(state__in=[CampaignState.ACTIVE, CampaignState.PAUSED])
        | Q(finished_at__gte=now - MISSED_FOR)
    )
    if all(hook.campaign_id for hook in hooks):
        campaigns = campaigns.filter(pk__in={hook.campaign_id for hook in hooks})
    chosen = campaigns.values_list("pk", flat=True)[:MISSED_CAMPAIGNS]
    return sum(note_new_best(pk, now=now) for pk in chosen)


def note_decided(race: Race, verdict: Callable[[], str], *, now: dt.datetime) -> int:
    """Tell that a race has ended, and what may be claimed; return how many rows it wrote.

    Call it in the transaction that stores the race's last decision.
    """
    campaign = race.campaign
    hooks = _listening(WebhookEvent.DECIDED, campaign.pk)
    if not hooks:
        return 0
    last = race.decisions.select_related("leader", "rival").defer("saw").latest("look")
    params = dict(campaign.arms.filter(number__in=last.group).values_list("number", "params"))
    payload = _about(campaign) | {
        "text": f"{campaign}: {verdict()}",
        "race": race.number,
        "outcome": race.outcome,
        "leader": _about_arm(last.leader),
        "rival": _about_arm(last.rival),
        "estimate": last.estimate,
        "bound": last.bound,
        "seeds": last.n,
        "group": [{"arm": arm, "params": params[arm]} for arm in last.group],
        "path": reverse("campaign-arms", args=[campaign.pk]),
    }
    return _write(hooks, WebhookEvent.DECIDED, f"decided:{race.pk}", payload, now)


def note_finished(campaign: Campaign, verdict: Callable[[], str], *, now: dt.datetime) -> int:
    """Tell that a campaign has completed, and what may be claimed; return how many rows it wrote.

    Call it in the transaction that completes the campaign.
    """
    hooks = _listening(WebhookEvent.CAMPAIGN_FINISHED, campaign.pk)
    if not hooks:
        return 0
    best = campaign.results.ranked().select_related("task", "attempt__worker").first()
    by_state = campaign.tasks.order_by().values_list("state").annotate(tasks=Count("pk"))
    counts = dict(by_state)
    payload = _about(campaign) | {
        "text": f"{campaign} has finished: {counts.get(TaskState.COMPLETED, 0)} of "
        f"{campaign.task_count} tasks completed. {verdict()}",
        "tasks": counts,
        "result": _about_result(best) if best else None,
    }
    # The time is part of the key: a campaign that grows may finish again.
    ended = campaign.finished_at.isoformat() if campaign.finished_at else ""
    key = f"campaign_finished:{campaign.pk}:{ended}"
    return _write(hooks, WebhookEvent.CAMPAIGN_FINISHED, key, payload, now)


def note_failure_burst(campaign: Campaign, reason: str, *, now: dt.datetime) -> int:
    """Tell that the breaker paused a campaign, and why; return how many rows it wrote."""
    hooks = _listening(WebhookEvent.FAILURE_BURST, campaign.pk)
    payload = _about(campaign) | {"text": f"{campaign} was paused: {reason}", "reason": reason}
    key = f"failure_burst:{campaign.pk}:{now.isoformat()}"
    return _write(hooks, WebhookEvent.FAILURE_BURST, key, payload, now)


def note_silent_fleet(*, now: dt.datetime) -> int:
    """Tell, once per silence, that tasks wait and no worker calls; return how many rows it wrote.

    Both must have lasted SILENT_FLEET_SECONDS, so that workers have time to come to a campaign that
    was just launched.
    """
    since = now - dt.timedelta(seconds=settings.XEENET["SILENT_FLEET_SECONDS"])
    hooks = [hook for hook in _active_hooks() if WebhookEvent.SILENT_FLEET in hook.events]
    if not hooks:
        return 0
    fleet = Worker.objects.machines().exclude(state=WorkerState.DISABLED)
    heard: dt.datetime | None = fleet.aggregate(last=Max("last_seen_at"))["last"]
    if heard is not None and heard > since:
        return 0
    waiting_tasks = Task.objects.filter(
        campaign=OuterRef("pk"), state=TaskState.PENDING, available_at__lte=since
    )
    active = Campaign.objects.filter(state=CampaignState.ACTIVE)
    waiting = list(active.filter(Exists(waiting_tasks)).order_by("pk"))
    last = heard.isoformat() if heard else "never"
    silence = (
        f"No worker was heard of since {heard:%Y-%m-%d %H:%M} UTC"
        if heard
        else "No worker has ever joined"
    )
    written = 0
    for hook in hooks:
        campaigns = [campaign for campaign in waiting if hook.campaign_id in {None, campaign.pk}]
        if not campaigns:
            continue
        names = ", ".join(campaign.name for campaign in campaigns[:3])
        more = f" and {len(campaigns) - 3} more" if len(campaigns) > 3 else ""
        payload = {
            "text": f"{silence}, and tasks wait in {names}{more}.",
            "last_seen_at": heard.isoformat() if heard else None,
            "campaigns": [_about(campaign)["campaign"] for campaign in campaigns[:CAMPAIGNS_NAMED]],
        }
        written += _write([hook], WebhookEvent.SILENT_FLEET, f"silent_fleet:{last}", payload, now)
    return written


def _active_hooks() -> list[Webhook]:
    return list(Webhook.objects.filter(is_active=True, owner__is_active=True))


def _listening(event: WebhookEvent, campaign_id: int) -> list[Webhook]:
    """Return the webhooks that want this event of this campaign."""
    # Events are filtered here, because SQLite cannot search a JSON list.
    hooks = Webhook.objects.filter(is_active=True, owner__is_active=True)
    of_campaign = hooks.filter(Q(campaign=None) | Q(campaign_id=campaign_id))
    return [hook for hook in of_campaign if event in hook.events]


def _write(
    hooks: Iterable[Webhook],
    event: WebhookEvent,
    key: str,
    payload: dict[str, Any],
    now: dt.datetime,
) -> int:
    known = set(
        WebhookDelivery.objects.filter(webhook__in=hooks, event_key=key).values_list(
            "webhook_id", flat=True
        )
    )
    rows = [
        WebhookDelivery(
            webhook=hook,
            event=event,
            event_key=key,
            payload=payload,
            created_at=now,
            next_attempt_at=now,
        )
        for hook in hooks
        if hook.pk not in known
    ]
    # A concurrent process may have written the same event since the query above.
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _about(campaign: Campaign) -> dict[str, Any]:
    return {
        "campaign": {
            "id": campaign.pk,
            "name": campaign.name,
            "path": campaign.get_absolute_url(),
        }
    }


def _about_arm(arm: Arm | None) -> dict[str, Any] | None:
    return None if arm is None else {"arm": arm.number, "params": arm.params}


def _about_result(result: Result) -> dict[str, Any]:
    metric = result.campaign.metric_spec.name
    return {
        "metric": metric,
        "value": result.value,
        metric: result.value,
        "task": str(result.task.name),
        "number": result.task.number,
        "path": result.task.get_absolute_url(),
        "params": result.task.params,
        "seed": result.task.seed,
        "device": result.device_used,
        "worker": result.attempt.worker.name,
        "eval_is_subset": result.eval_is_subset,
    }
