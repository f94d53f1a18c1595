"""campaigns.notifications.events: which events webhooks get, each of them once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from campaigns import jobs, lifecycle
from campaigns.models import Campaign, Webhook, WebhookDelivery, WebhookEvent
from campaigns.notifications import events
from tests import factories
from workers import lifecycle as worker_lifecycle
from workers.models import Worker

pytestmark = pytest.mark.django_db


def hook(*names: str, campaign: Campaign | None = None, **fields: Any) -> Webhook:
    """A webhook for these events (all by default), created before anything happened."""
    values = {"owner": factories.user(), "created_at": factories.NOW} | fields
    return Webhook.objects.create(
        url="https://example.org/hook",
        secret="xs_test",
        events=list(names) or WebhookEvent.values,
        campaign=campaign,
        **values,
    )


def events_for(webhook: Webhook) -> list[tuple[str, str]]:
    """(event, text) of every delivery written for a webhook, oldest first."""
    rows = WebhookDelivery.objects.filter(webhook=webhook).order_by("pk")
    return [(row.event, row.payload["text"]) for row in rows]


def test_each_result_that_takes_the_lead_is_told_with_what_it_beat() -> None:
    listener = hook("new_best")
    worker = factories.worker()
    campaign = factories.active_campaign(4, name="width study")
    for value in (3.2, 3.5, 3.1):
        factories.finish(factories.claim_one(worker), value)

    assert events_for(listener) == [
        (
            "new_best",
            "width study: task 0 leads after one seed, with val_bpb 3.2000 on cpu.",
        ),
        (
            "new_best",
            (
                "width study: task 2 leads after one seed, with val_bpb 3.1000 (before: 3.2000) "
                "on cpu."
            ),
        ),
    ]
    payload = WebhookDelivery.objects.latest("pk").payload
    assert payload["campaign"] == {
        "id": campaign.pk,
        "name": "width study",
        "path": campaign.get_absolute_url(),
    }
    assert payload["result"]["val_bpb"] == 3.1
    assert payload["result"]["params"].keys() == {"lr", "d_model"}


def test_a_lead_by_one_of_several_runs_says_so() -> None:
    listener = hook("new_best")
    task = factories.completed_task(name="width study")
    lifecycle.enqueue(task.campaign, task.params, now=factories.at(1))
    factories.run(2.5, seconds=2)

    assert events_for(listener)[-1][1] == (
        "width study: task 1 leads by one of its arm's 2 runs, with val_bpb 2.5000 "
        "(before: 3.0000) on cpu."
    )


def test_the_end_of_a_race_is_told_once_with_what_may_be_claimed() -> None:
    listener = hook("decided", "campaign_finished")
    race = factories.decided_race(name="width study")

    claim = "Arm 0 is ahead of the arm it raced, of 2 in the campaign, by 1.0000 "
    (decided, text), (finished, end) = events_for(listener)
    assert (decided, finished) == ("decided", "campaign_finished")
    assert text.startswith(f"width study: {claim}")
    assert end.startswith(f"width study has finished: 8 of 8 tasks completed. {claim}")
    payload = WebhookDelivery.objects.order_by("pk")[0].payload
    (decision,) = race.decisions.all()
    arms = {
        arm.number: {"arm": arm.number, "params": arm.params} for arm in race.campaign.arms.all()
    }
    assert {name: payload[name] for name in payload.keys() - {"text", "campaign"}} == {
        "race": 1,
        "outcome": "champion",
        "leader": arms[0],
        "rival": arms[1],
        "estimate": decision.estimate,
        "bound": decision.bound,
        "seeds": 3,
        "group": [arms[0]],
        "path": f"/campaigns/{race.campaign_id}/arms/",
    }
    assert events.note_decided(race, str, now=factories.at(9)) == 0
    assert len(events_for(listener)) == 2


def test_a_cancelled_race_decided_nothing_and_tells_nothing() -> None:
    listener = hook("decided")
    campaign = factories.active_campaign(2)
    lifecycle.start_race(campaign, [0, 1], now=factories.at(1))
    lifecycle.cancel(campaign, now=factories.at(2))

    assert events_for(listener) == []


def test_a_simulated_result_is_no_new_best() -> None:
    listener = hook("new_best")
    attempt = factories.leased_task(allow_simulated=True)
    body = factories.completed(attempt.task) | {"simulated": True}
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=factories.NOW)  # type: ignore[arg-type]

    assert events_for(listener) == []


def test_the_same_result_sent_twice_is_told_once() -> None:
    listener = hook("new_best")
    attempt = factories.leased_task()
    factories.finish(attempt, 3.0)
    factories.finish(attempt, 3.0)

    assert len(events_for(listener)) == 1


def test_a_webhook_is_not_told_of_what_was_before_it() -> None:
    factories.completed_task()
    listener = hook(created_at=factories.at(1))

    events.note_missed_bests(now=factories.at(2))

    assert events_for(listener) == []


def test_the_last_task_of_a_campaign_tells_that_it_has_finished() -> None:
    listener = hook("campaign_finished")
    worker = factories.worker()
    factories.active_campaign(2, name="width study", max_failed_attempts=1)
    factories.finish(factories.claim_one(worker), 3.25)
    assert events_for(listener) == []
    factories.fail(factories.claim_one(worker))

    text = (
        "width study has finished: 1 of 2 tasks completed. Only one arm has a measured value: "
        "there is nothing to compare it with."
    )
    assert events_for(listener) == [("campaign_finished", text)]


def test_a_campaign_that_grows_and_finishes_again_is_told_again() -> None:
    listener = hook("campaign_finished")
    task = factories.completed_task()
    lifecycle.add_tasks(task.campaign, 1, now=factories.at(5))
    factories.finish(
        factories.claim_one(factories.worker(), now=factories.at(6)), now=factories.at(9)
    )

    assert len(events_for(listener)) == 2


def test_a_cancelled_campaign_is_not_told_as_finished() -> None:
    listener = hook("campaign_finished")
    lifecycle.cancel(factories.active_campaign(), now=factories.NOW)

    assert events_for(listener) == []


def test_the_breaker_tells_why_it_paused_a_campaign() -> None:
    listener = hook("failure_burst")
    campaign = factories.active_campaign(30, name="width study", max_failed_attempts=1)
    worker = factories.worker()
    for _ in range(30):
        campaign.refresh_from_db()
        if campaign.state == "paused":
            break
        factories.fail(factories.claim_one(worker))

    assert campaign.state == "paused"
    assert events_for(listener) == [
        ("failure_burst", f"width study was paused: {campaign.state_reason}")
    ]


def test_a_person_who_pauses_a_campaign_is_no_failure_burst() -> None:
    listener = hook()
    lifecycle.pause(factories.active_campaign(), now=factories.NOW, reason="lunch")

    assert events_for(listener) == []


@pytest.mark.parametrize(
    ("waited", "silent_for", "expected"),
    [(400, 400, True), (200, 400, False), (400, 200, False)],
    ids=["both long", "the task is new", "a worker called"],
)
def test_a_silent_fleet_is_told_when_tasks_wait_and_nobody_calls(
    waited: int, silent_for: int, expected: bool
) -> None:
    listener = hook("silent_fleet")
    now = factories.at(1000)
    worker_lifecycle.see(factories.worker(), now=now - dt.timedelta(seconds=silent_for))
    factories.active_campaign(name="width study", now=now - dt.timedelta(seconds=waited))

    for _ in range(2):
        events.note_silent_fleet(now=now)

    text = "No worker was heard of since 2026-01-05 12:10 UTC, and tasks wait in width study."
    assert events_for(listener) == ([("silent_fleet", text)] if expected else [])


def test_a_second_silence_is_told_again() -> None:
    listener = hook("silent_fleet")
    worker = factories.worker()
    factories.active_campaign()
    for heard in (0, 1000):
        worker_lifecycle.see(worker, now=factories.at(heard))
        events.note_silent_fleet(now=factories.at(heard + 900))

    assert len(events_for(listener)) == 2


def test_a_fleet_that_never_was_is_silent_too_and_disabled_workers_do_not_count() -> None:
    listener = hook("silent_fleet")
    factories.active_campaign()
    worker_lifecycle.disable(gone := factories.worker())
    Worker.objects.filter(pk=gone.pk).update(last_seen_at=factories.at(400))

    events.note_silent_fleet(now=factories.at(400))

    assert "No worker has ever joined" in events_for(listener)[0][1]


def test_a_webhook_of_one_campaign_hears_of_no_other() -> None:
    campaign, other_campaign = factories.active_campaign(1), factories.active_campaign(1)
    listener = hook(campaign=campaign)
    worker = factories.worker()
    for _ in range(2):
        factories.finish(factories.claim_one(worker))
    events.note_silent_fleet(now=factories.at(900))

    rows = WebhookDelivery.objects.filter(webhook=listener)
    assert {row.payload["campaign"]["id"] for row in rows} == {campaign.pk}
    assert other_campaign.pk != campaign.pk


def test_disabled_webhooks_and_those_of_closed_accounts_are_told_nothing() -> None:
    owner = factories.user()
    owner.is_active = False
    owner.save()
    off, orphan = hook(is_active=False), hook(owner=owner)
    factories.completed_task()

    assert events_for(off) == events_for(orphan) == []


def test_what_a_process_that_died_left_unsaid_is_told_by_the_job() -> None:
    listener = hook("new_best", campaign=factories.completed_task().campaign)
    assert events_for(listener) == []  # made after the result came in, but dated before it

    assert events.note_missed_bests(now=factories.at(60)) == 1
    assert events.note_missed_bests(now=factories.at(60)) == 0

    assert [event for event, _ in events_for(listener)] == ["new_best"]


def test_an_accepted_result_costs_one_query_where_nobody_listens(
    django_assert_num_queries: Any,
) -> None:
    task = factories.completed_task()
    with django_assert_num_queries(1):
        events.note_new_best(task.campaign_id, now=factories.NOW)


def test_the_jobs_write_what_happened(settings: Any) -> None:
    listener = hook("silent_fleet")
    factories.active_campaign()

    assert jobs.watch_fleet() == 1
    assert jobs.watch_fleet() == 0

    assert len(events_for(listener)) == 1
