"""What the q-cluster calls, by dotted path, and the schedules that make it do so.

Nothing depends on these jobs alone: claims take back expired leases themselves, and the verbs
finish campaigns. The jobs sweep up what a process that died left behind. Each may run at any time,
twice or at once with itself; each does a bounded amount and logs one line of counts.

django-q2 forks on macOS: what is heavy is imported inside the functions. Its own model named Task
is never imported here.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from django.apps import apps as global_apps
from django.apps.registry import Apps

logger = logging.getLogger(__name__)

BATCH: Final = 500

# The scheduler of django-q2 looks every 30 s; a minute is the smallest schedule it has.
SCHEDULES: Final = {
    "Expire leases": "campaigns.jobs.expire_leases",
    "Close presence": "campaigns.jobs.close_presence",
    "Finish campaigns": "campaigns.jobs.finish_campaigns",
    "Watch the fleet": "campaigns.jobs.watch_fleet",
    "Deliver webhooks": "campaigns.jobs.deliver_webhooks",
    "Keep importance": "campaigns.jobs.keep_importance",
}
# The other jobs wait meanwhile, where one process runs them all.
IMPORTANCE_SECONDS: Final = 15.0


def expire_leases() -> int:
    """Take back the leases that ran out, at most `BATCH`; return how many."""
    from campaigns import lifecycle
    from campaigns.clock import database_now

    return _counted("leases expired", lifecycle.expire(now=database_now(), limit=BATCH))


def close_presence() -> int:
    """End the sessions of workers that fell silent, at most `BATCH`; return how many."""
    from campaigns.clock import database_now
    from workers import lifecycle

    closed = lifecycle.close_silent_sessions(now=database_now(), limit=BATCH)
    return _counted("worker sessions closed", closed)


def finish_campaigns() -> int:
    """Complete the campaigns whose tasks have all ended; return how many."""
    from campaigns import lifecycle
    from campaigns.clock import database_now

    return _counted("campaigns finished", lifecycle.finish_done_campaigns(now=database_now()))


def watch_fleet() -> int:
    """Tell webhooks when tasks wait and no worker is heard of; return the messages written."""
    from campaigns.clock import database_now
    from campaigns.notifications import events

    return _counted("silent fleet told", events.note_silent_fleet(now=database_now()))


def deliver_webhooks() -> int:
    """Send the notifications that are due, for 20 s or so; return how many arrived."""
    from campaigns.clock import database_now
    from campaigns.notifications import delivery, events

    now = database_now()
    events.note_missed_bests(now=now)
    delivery.prune_log(now=now)
    return _counted("webhooks delivered", delivery.deliver_due(now=now))


def compute_importance(campaign_id: int, device: str) -> int:
    """Compute what a request asked for; return 1, or 0 where the campaign is gone."""
    from campaigns.analysis import estimates
    from campaigns.models import Campaign

    campaign = Campaign.objects.filter(pk=campaign_id).first()
    if campaign is None:
        return 0
    estimates.importance_now(campaign, device)
    return _counted("importance computed", 1)


def keep_importance() -> int:
    """Compute importance where newer results came in, for 15 s or so; return how often."""
    from campaigns.analysis import estimates
    from campaigns.clock import database_now

    give_up_at = time.monotonic() + IMPORTANCE_SECONDS
    done = 0
    for campaign, device in estimates.behind(now=database_now(), limit=BATCH):
        if time.monotonic() > give_up_at:
            break
        try:
            estimates.importance_now(campaign, device)
        except Exception:
            # One campaign that cannot be analysed must not keep the others from it.
            logger.exception("importance of campaign %s was not computed", campaign.pk)
        else:
            done += 1
    return _counted("importance computed ahead", done)


def install_schedules(using: str, apps: Apps = global_apps, **_: Any) -> None:
    """Make the schedules that are missing and point the others at their function.

    Connected to post_migrate, so every migrated database has them and no command can be forgotten.
    When a schedule runs next is left alone. `flush` sends the signal too, without `apps`.
    """
    from django_q.models import Schedule

    try:
        schedules = apps.get_model("django_q", "Schedule").objects.using(using)
    except LookupError:
        return  # only some apps were migrated; the next migrate comes here again
    for name, function in SCHEDULES.items():
        fields = {"func": function, "schedule_type": Schedule.MINUTES, "minutes": 1}
        # The name is not unique to the database: whoever cloned a schedule keeps the clone.
        if not schedules.filter(name=name).update(**fields):
            schedules.create(name=name, **fields)


def _counted(what: str, count: int) -> int:
    # A quiet minute is not worth a line at the usual level.
    logger.log(logging.INFO if count else logging.DEBUG, "%s: %d", what, count)
    return count
