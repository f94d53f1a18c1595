"""The background jobs that the q-cluster calls by dotted path, and their schedules.

Claims take back overdue leases themselves, and the verbs finish campaigns, so neither depends on
these jobs: they sweep up what a process that died left behind. Each job is idempotent and may run
at any time, also concurrently with itself. It does a bounded amount of work and logs one line.

django-q2 forks on macOS, so heavy modules are imported inside the functions. The model Task of
django-q2 is never imported here.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from typing import Any, Final

from django.apps import apps as global_apps
from django.apps.registry import Apps

logger = logging.getLogger(__name__)

BATCH: Final = 500

# django-q2 checks its schedules every 30 s; a minute is the shortest interval it has.
SCHEDULES: Final = {
    "Expire leases": "campaigns.jobs.expire_leases",
    "Close presence": "campaigns.jobs.close_presence",
    "Retire silent workers": "campaigns.jobs.retire_silent_workers",
    "Draw tasks": "campaigns.jobs.draw_tasks",
    "Decide races": "campaigns.jobs.decide_races",
    "Finish campaigns": "campaigns.jobs.finish_campaigns",
    "Level shares": "campaigns.jobs.level_shares",
    "Watch the fleet": "campaigns.jobs.watch_fleet",
    "Deliver webhooks": "campaigns.jobs.deliver_webhooks",
    "Repeat disturbed runs": "campaigns.jobs.repeat_disturbed",
    "Keep importance": "campaigns.jobs.keep_importance",
    "Keep noise floors": "campaigns.jobs.keep_noise_floors",
    "Measure data sets": "campaigns.jobs.measure_datasets",
}
# A bound, because the other jobs wait meanwhile when a single process runs them all.
EXPIRING_SECONDS: Final = 15.0
IMPORTANCE_SECONDS: Final = 15.0
MEASURING_SECONDS: Final = 10.0
DRAWING_SECONDS: Final = 20.0
# A result that came while its data set was being measured is judged within this time.
JUDGED_AGAIN_FOR: Final = dt.timedelta(minutes=10)
# So many noise floors are computed by one job, each from at most 10,000 runs.
FLOORS: Final = 20
# So old a disturbed run may be that is repeated after the process died that should have done it.
REPEATED_WITHIN: Final = dt.timedelta(minutes=10)


def expire_leases() -> int:
    """Take back the leases that ran out, for about 15 s; return how many."""
    from campaigns import lifecycle
    from campaigns.clock import database_now

    give_up_at = time.monotonic() + EXPIRING_SECONDS
    expired = batch = lifecycle.expire(now=database_now(), limit=BATCH)
    # Fewer than the limit: what is left cannot be written, or another sweep holds it.
    while batch == BATCH and time.monotonic() < give_up_at:
        batch = lifecycle.expire(now=database_now(), limit=BATCH)
        expired += batch
    return _counted("leases expired", expired)


def close_presence() -> int:
    """End the sessions of workers that went silent, at most `BATCH`; return how many."""
    from campaigns.clock import database_now
    from workers import lifecycle

    closed = lifecycle.close_silent_sessions(now=database_now(), limit=BATCH)
    return _counted("worker sessions closed", closed)


def retire_silent_workers() -> int:
    """Retire the ephemeral workers that went silent, and delete the retired that nothing names.

    At most `BATCH` of each; returns how many it retired.
    """
    from campaigns.clock import database_now
    from workers import fleets

    now = database_now()
    _counted("retired workers deleted", fleets.prune(now=now, limit=BATCH))
    return _counted("silent workers retired", fleets.retire_silent(now=now, limit=BATCH))


def draw_tasks(campaign_id: int | None = None) -> int:
    """Make the tasks of large launches that are yet to be drawn, for about 20 s; return how many.

    A launch asks for its own campaign, and this asks again while anything is left. The schedule
    draws those of all campaigns, should a job have been lost.
    """
    from campaigns import lifecycle
    from campaigns.clock import database_now

    give_up_at = time.monotonic() + DRAWING_SECONDS
    drawn = lifecycle.draw_rest(now=database_now(), give_up_at=give_up_at, campaign_id=campaign_id)
    if drawn and campaign_id is not None:
        lifecycle.ask_for_the_rest(campaign_id)
    return _counted("tasks drawn", drawn)


def decide_races() -> int:
    """Decide the looks of races whose runs have all ended; return how many."""
    from campaigns import lifecycle
    from campaigns.clock import database_now

    return _counted("looks of races decided", lifecycle.decide_due_races(now=database_now()))


def finish_campaigns() -> int:
    """Begin the races that are due, and complete the other campaigns of which nothing is open.

    Tasks end, too, that no machine is fast enough for, or that no other machine repeats. Results
    whose process died before it noted them are noted. Returns how many campaigns it completed.
    """
    from campaigns import lifecycle
    from campaigns.clock import database_now

    _counted("tasks given up as too slow", lifecycle.give_up_slow_tasks(now=database_now()))
    _counted("campaigns with missed results", lifecycle.note_missed_results(now=database_now()))
    _counted("replays given up", lifecycle.give_up_replays(now=database_now()))
    return _counted("campaigns finished", lifecycle.finish_done_campaigns(now=database_now()))


def level_shares() -> int:
    """Take credit and debt beyond a round from the accounts of campaigns; return of how many."""
    from campaigns import lifecycle

    return _counted("accounts of campaigns levelled", lifecycle.level_accounts())


def watch_fleet() -> int:
    """Tell webhooks when tasks wait and no worker calls; return how many deliveries it wrote."""
    from campaigns.clock import database_now
    from campaigns.notifications import events

    return _counted("silent fleet notifications", events.note_silent_fleet(now=database_now()))


def deliver_webhooks() -> int:
    """Send the notifications that are due, for about 20 s; return how many arrived."""
    from campaigns.clock import database_now
    from campaigns.notifications import delivery, events

    now = database_now()
    events.note_missed_bests(now=now)
    delivery.prune_log(now=now)
    return _counted("webhooks delivered", delivery.deliver_due(now=now))


def repeat_disturbed() -> int:
    """Repeat disturbed runs, and slow set-ups, whose process died before; return how many."""
    from campaigns import lifecycle
    from campaigns.clock import database_now

    now = database_now()
    repeated = lifecycle.repeat_missed(since=now - REPEATED_WITHIN, now=now, limit=BATCH)
    return _counted("disturbed runs repeated", repeated)


def keep_noise_floors() -> int:
    """Compute the noise floors of classes that got further runs; return how many."""
    from campaigns.standings import noise

    return _counted("noise floors computed", noise.refresh_behind(limit=FLOORS))


def compute_importance(campaign_id: int, device: str) -> int:
    """Compute the importance that a request asked for; return 1, or 0 if the campaign is gone."""
    from campaigns.analysis import estimates
    from campaigns.models import Campaign

    campaign = Campaign.objects.filter(pk=campaign_id).first()
    if campaign is None:
        return 0
    estimates.importance_now(campaign, device)
    return _counted("importance computed", 1)


def keep_importance() -> int:
    """Compute importance again where results have come in, for about 15 s; return how often."""
    from campaigns.analysis import estimates
    from campaigns.clock import database_now

    give_up_at = time.monotonic() + IMPORTANCE_SECONDS
    computed = 0
    for campaign, device in estimates.behind(now=database_now(), limit=BATCH):
        if time.monotonic() > give_up_at:
            break
        try:
            estimates.importance_now(campaign, device)
        except Exception:
            # A campaign that cannot be analysed must not block the others.
            logger.exception("importance of campaign %s was not computed", campaign.pk)
        else:
            computed += 1
    return _counted("importance computed ahead", computed)


def measure_datasets() -> int:
    """Find the least plausible value on new data sets, and judge their results by it.

    Returns how many data sets it measured. Starts no further one after `MEASURING_SECONDS`.
    """
    from campaigns import datasets, lifecycle
    from campaigns.clock import database_now
    from campaigns.models import Dataset

    now, give_up_at = database_now(), time.monotonic() + MEASURING_SECONDS
    for dataset in Dataset.objects.filter(measured_at__gt=now - JUDGED_AGAIN_FOR):
        lifecycle.judge_again(dataset)
    measured = 0
    for dataset in datasets.to_be_measured()[:BATCH]:
        if time.monotonic() > give_up_at:
            break
        lifecycle.note_measured(dataset, datasets.compressed_bpb(dataset), now=now)
        measured += 1
    return _counted("data sets measured", measured)


def install_schedules(using: str, apps: Apps = global_apps, **_: Any) -> None:
    """Create the schedules that are missing and point the others at their function.

    Connected to post_migrate, so that every migrated database has them without another command.
    The next run of an existing schedule stays. `flush` sends the signal too, without `apps`.
    """
    from django_q.models import Schedule

    try:
        schedules = apps.get_model("django_q", "Schedule").objects.using(using)
    except LookupError:
        return  # only some apps were migrated; the next migrate calls this again
    for name, function in SCHEDULES.items():
        fields = {"func": function, "schedule_type": Schedule.MINUTES, "minutes": 1}
        # The name is not unique in the database: a person may have cloned a schedule.
        if not schedules.filter(name=name).update(**fields):
            schedules.create(name=name, **fields)


def _counted(what: str, count: int) -> int:
    # A job that found nothing to do is logged at DEBUG only.
    logger.log(logging.INFO if count else logging.DEBUG, "%s: %d", what, count)
    return count
