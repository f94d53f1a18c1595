"""campaigns.standings.forecast: when the rest is done, on a simulated clock."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core.cache import cache

from campaigns import lifecycle
from campaigns.models import Attempt, Campaign, Task, TaskState
from campaigns.scripts import steering as script_steering
from campaigns.standings.forecast import OUTDATED, Forecast
from campaigns.standings.machines import Needs, machines_heard_of
from campaigns.standings.pace import WINDOW
from campaigns.standings.progress import campaign_progress, outlook
from experiments import catalog
from tests import factories
from tests.factories import NOW, active_campaign, at, calibrate, fail, finish, work_campaign
from tests.standings.simulated_fleet import Clock, is_done
from workers import lifecycle as worker_lifecycle
from workers.models import Worker
from workers.protocol import FailureClass

SCRIPT = catalog.script_sha256("train_char_lm")

LEASE_SECONDS = 45.0
MINUTE = 60.0


# --- on a simulated clock ------------------------------------------------------------------------


def forecast_of(campaign: Campaign, seconds: float) -> Forecast:
    fresh = Campaign.objects.select_related("package").get(pk=campaign.pk)
    return campaign_progress(fresh, now=at(seconds)).forecast


def assert_foretold(clock: Clock, campaign: Campaign, *, factor: float = 2.0) -> Forecast:
    """Assert that the campaign ends within a factor of what is forecast now; return that."""
    asked, known = clock.seconds, forecast_of(campaign, clock.seconds)
    assert known.eta_seconds is not None, known.why_not
    assert known.ends_at == at(asked) + dt.timedelta(seconds=known.eta_seconds)
    clock.run(done=is_done(campaign))
    took = clock.seconds - asked
    assert took / factor <= known.eta_seconds <= took * factor, (took, known)
    return known


@pytest.mark.django_db
def test_twenty_minutes_without_a_worker_do_not_count() -> None:
    campaign, clock = active_campaign(16), Clock()
    clock.run(until=20 * MINUTE)
    clock.join(seconds=10)
    clock.run(until=20 * MINUTE + 25)
    known = assert_foretold(clock, campaign, factor=1.3)
    assert (known.machines, known.slots, known.is_guess) == (1, 1, False)
    assert known.tasks_per_hour == pytest.approx(360)


@pytest.mark.django_db
def test_before_anything_ended_a_run_is_guessed_to_take_its_budget() -> None:
    campaign, clock = active_campaign(8, time_budget_seconds=10.0), Clock()
    clock.run(until=20 * MINUTE)
    clock.join(seconds=8)
    clock.run(until=20 * MINUTE + 4)
    known = assert_foretold(clock, campaign)
    assert (known.is_guess, known.tasks_per_hour, known.seconds_per_task) == (True, None, 10.0)
    assert known.words(known.ends_at or NOW).startswith("ends about ")
    assert "assumed to take its budget of 10 s" in known.basis


@pytest.mark.django_db
def test_runs_far_shorter_than_their_budget_are_foretold_from_the_first_on() -> None:
    campaign, clock = active_campaign(30, time_budget_seconds=60.0), Clock()
    clock.join(seconds=3)
    clock.run(until=8)
    assert_foretold(clock, campaign)


@pytest.mark.django_db
def test_a_pause_does_not_count_and_has_no_end() -> None:
    campaign, clock = active_campaign(20), Clock()
    clock.join(seconds=10)
    clock.run(until=50)
    lifecycle.pause(campaign, now=at(clock.seconds))
    clock.run(until=10 * MINUTE)
    paused = forecast_of(campaign, clock.seconds)
    assert (paused.eta_seconds, paused.why_not, paused.is_stopped) == (None, "paused", False)
    lifecycle.resume(campaign, now=at(clock.seconds))
    clock.run(until=10 * MINUTE + 42)
    assert_foretold(clock, campaign, factor=1.3)


@pytest.mark.django_db
def test_when_half_of_the_fleet_leaves_the_rest_takes_twice_as_long() -> None:
    campaign, clock = active_campaign(60), Clock()
    clock.join(seconds=10)
    clock.join(seconds=10, until=100)
    clock.run(until=98)
    before = forecast_of(campaign, clock.seconds)
    clock.run(until=100 + LEASE_SECONDS + 2)
    after = assert_foretold(clock, campaign, factor=1.3)
    assert (before.slots, after.slots) == (2, 1)
    assert after.ends_at is not None
    assert before.ends_at is not None
    assert after.ends_at > before.ends_at + dt.timedelta(seconds=100)


@pytest.mark.django_db
def test_the_worker_that_is_left_is_asked_for_its_own_pace() -> None:
    campaign, clock = active_campaign(60), Clock()
    clock.join(seconds=40)
    clock.join(seconds=8, until=160)
    clock.run(until=160 + LEASE_SECONDS + 2)
    known = assert_foretold(clock, campaign, factor=1.4)
    # Most of what ended was the work of the other, which was five times as fast.
    assert known.seconds_per_task is not None
    assert known.seconds_per_task < 20


@pytest.mark.django_db
def test_two_agents_of_two_slots_are_four_at_a_time() -> None:
    campaign, clock = active_campaign(40), Clock()
    clock.join(seconds=20, slots=2)
    clock.join(seconds=20, slots=2)
    clock.run(until=50)
    known = assert_foretold(clock, campaign, factor=1.3)
    assert (known.machines, known.slots) == (2, 4)


@pytest.mark.django_db
def test_the_last_task_is_foretold_by_how_long_it_has_run() -> None:
    campaign, clock = active_campaign(4), Clock()
    clock.join(seconds=100)
    clock.run(until=385)
    assert_foretold(clock, campaign, factor=1.3)


@pytest.mark.django_db
def test_runs_that_are_kept_for_the_race_are_waited_for() -> None:
    campaign = active_campaign(40, races_automatically=True)
    assert campaign.kept_runs == 12
    clock = Clock()
    clock.join(seconds=10, slots=4)
    clock.run(until=41)
    known = assert_foretold(clock, campaign)
    # 12 are kept for the race, 8 wait, and 4 began a second ago.
    assert known.eta_seconds == pytest.approx((20 * 10 + 4 * 9) / 4)
    assert campaign.races.count() == 1


@pytest.mark.django_db
def test_the_last_worker_is_missed_as_soon_as_its_lease_is_over() -> None:
    campaign, clock = active_campaign(20), Clock()
    agent = clock.join(seconds=30, until=100)
    clock.run(until=98)
    heard = Worker.objects.get().last_seen_at
    assert heard == at(90)
    assert forecast_of(campaign, 90 + LEASE_SECONDS).eta_seconds is not None
    # No sweep has run: the lease of the task that it held is as it was.
    gone = forecast_of(campaign, 90 + LEASE_SECONDS + 1)
    assert Task.objects.filter(state=TaskState.LEASED, worker=agent.worker).count() == 1
    assert (gone.eta_seconds, gone.ends_at, gone.slots) == (None, None, 0)
    assert (gone.is_stopped, gone.no_worker_since) == (True, heard)
    assert gone.why_not == f"no worker online since {heard:%H:%M} UTC"


@pytest.mark.django_db
def test_a_worker_that_finishes_its_last_tasks_is_not_missed() -> None:
    campaign, clock = active_campaign(5), Clock()
    agent = clock.join(seconds=30)
    clock.run(until=40)
    worker_lifecycle.drain(agent.worker)
    known = forecast_of(campaign, 42)
    assert (known.eta_seconds, known.is_stopped) == (None, False)
    assert known.why_not == "no worker takes further tasks"


@pytest.mark.django_db
def test_an_error_of_the_only_worker_is_told() -> None:
    campaign = active_campaign(5)
    worker = factories.worker(last_seen_at=at(0))
    fail(factories.claim_one(worker), FailureClass.ENV_ERROR, now=at(0))
    known = forecast_of(campaign, 10)
    assert (known.is_stopped, known.machines, known.no_worker_since) == (True, 0, None)
    assert known.why_not.startswith("its worker pauses until ")
    words = "data set x is not here: \x1b[31m" + "far " * 100
    Worker.objects.update(pause_reason=words)
    known = forecast_of(campaign, 10)
    assert known.hindrance.startswith(f"{known.why_not}: data set x is not here: \ufffd[31m")
    assert len(known.hindrance) < 300
    Worker.objects.update(paused_until=None)
    assert forecast_of(campaign, 10).hindrance == ""


@pytest.mark.django_db
def test_what_is_held_by_an_approval_or_by_isolation_has_no_end() -> None:
    factories.worker(last_seen_at=at(0))
    script = factories.uploaded()
    held = active_campaign(2, script=script.sha256)
    assert forecast_of(held, 1).why_not == "waits for the approval of its script"
    script_steering.approve(None, script, now=at(1))
    known = forecast_of(held, 1)
    assert (known.why_not, known.is_stopped) == ("no worker online may run it", True)
    isolated = active_campaign(2, required_isolation="T1")
    assert forecast_of(isolated, 1).why_not == "no worker online may run it"
    factories.worker(last_seen_at=at(1), isolation="T1")
    assert forecast_of(isolated, 1).slots == 1


@pytest.mark.django_db
def test_work_has_no_end_while_every_worker_measures_its_speed() -> None:
    worker = factories.worker(last_seen_at=at(0))
    work, timed = work_campaign(2), active_campaign(2)
    assert forecast_of(work, 1).words(at(1)) == (
        "its worker measures its speed first, one to five minutes"
    )
    assert forecast_of(timed, 1).eta_seconds is not None
    calibrate(worker)
    assert forecast_of(work, 1).why_not == ""


@pytest.mark.django_db
def test_campaigns_that_share_a_fleet_are_foretold_by_their_turns() -> None:
    large, small, clock = active_campaign(12), active_campaign(12, now=at(1)), Clock()
    clock.join(seconds=10, slots=2)
    clock.run(until=5)
    lifecycle.add_tasks(Campaign.objects.get(pk=large.pk), 8, now=at(5))
    clock.run(until=44)
    known = [forecast_of(campaign, clock.seconds) for campaign in (large, small)]
    # Of the large one 15 wait, of the small one 7: they take turns until the small one is done.
    assert [forecast.ahead for forecast in known] == [7, 7]
    assert known[0].tasks_per_hour == pytest.approx(2 * 360 * 15 / 22)
    assert "2 tasks at a time on 1 worker, in turn with 7 of other campaigns." in known[0].basis
    fresh = list(Campaign.objects.select_related("package"))
    listed = outlook(fresh, now=at(clock.seconds))
    assert [listed.forecasts[campaign.pk] for campaign in (large, small)] == known
    ends = {}
    for campaign, other in ((small, large), (large, small)):
        clock.run(done=is_done(campaign))
        ends[campaign.pk] = clock.seconds
        assert is_done(other)() == (campaign == large)
    for campaign, forecast in zip((large, small), known, strict=True):
        assert forecast.eta_seconds == pytest.approx(ends[campaign.pk] - 44, abs=10)


@pytest.mark.django_db
def test_weight_and_owners_order_are_foretold_too() -> None:
    owner = factories.user()
    heavy, first, later = (active_campaign(12, owner=each) for each in (None, owner, owner))
    lifecycle.set_weight(heavy, 2.0)
    lifecycle.set_place(first, 1)
    clock = Clock()
    clock.join(seconds=10, slots=2)
    clock.run(until=1)
    known = {campaign.pk: forecast_of(campaign, 1) for campaign in (heavy, first, later)}
    for campaign in (first, heavy, later):
        clock.run(done=is_done(campaign))
        assert known[campaign.pk].eta_seconds == pytest.approx(clock.seconds - 1, abs=25)
    assert (known[first.pk].eta_seconds or 0) < (known[later.pk].eta_seconds or 0) - 50


@pytest.mark.django_db
def test_runs_of_a_campaign_that_pauses_hold_their_slots_until_they_end() -> None:
    worker = factories.worker(last_seen_at=at(0))
    older, younger = active_campaign(4), active_campaign(2, now=at(1))
    factories.claim(worker, 1, now=at(2))
    lifecycle.pause(older, now=at(3))
    known = forecast_of(younger, 4)
    # Eight seconds of the run are left, then two take their budget each.
    assert (known.eta_seconds, known.ahead) == (pytest.approx(8 + 2 * 10), 0)


@pytest.mark.django_db
def test_others_in_the_queue_cost_no_query_however_many_they_are(
    django_assert_num_queries: Any,
) -> None:
    campaign = active_campaign(3)
    for number in range(3):
        active_campaign(2, now=at(number))
    factories.worker(last_seen_at=at(0))
    fresh = Campaign.objects.select_related("package").get(pk=campaign.pk)
    with django_assert_num_queries(6):
        campaign_progress(fresh, now=at(1))
    with django_assert_num_queries(3):
        campaign_progress(fresh, now=at(2))


# --- the pace ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_pace_counts_every_try_of_a_task_but_not_the_hours_of_a_lost_one() -> None:
    # One task, so that each try is of the same.
    campaign = active_campaign(1, max_failed_attempts=3)
    worker = factories.worker(last_seen_at=at(0))
    fail(factories.claim_one(worker, now=at(0)), now=at(10))
    factories.claim_one(worker, now=at(1_000))
    lifecycle.expire(now=at(10_000))
    Worker.objects.update(paused_until=None)
    finish(factories.claim_one(worker, now=at(20_000)), now=at(20_020))
    assert Attempt.objects.filter(task__campaign=campaign).count() == 3
    later = at(20_021)
    pace = campaign_progress(Campaign.objects.get(pk=campaign.pk), now=later)
    assert pace.forecast.seconds_per_task == pytest.approx(30)


@pytest.mark.django_db
def test_the_pace_is_that_of_the_last_tasks_and_the_same_in_lists(
    django_assert_num_queries: Any,
) -> None:
    campaign, other = active_campaign(WINDOW + 12, max_failed_attempts=1), active_campaign(3)
    worker = factories.worker(last_seen_at=at(0))
    second = 0.0
    for number in range(WINDOW + 10):
        took = 100.0 if number < 10 else 10.0
        end = fail if number < 3 else finish
        end(factories.claim_one(worker, now=at(second)), now=at(second + took))
        second += took
    Worker.objects.update(last_seen_at=at(second))
    fresh = list(Campaign.objects.select_related("package").order_by("pk"))
    alone = campaign_progress(fresh[0], now=at(second)).forecast
    assert alone.seconds_per_task == pytest.approx(10)
    cache.clear()
    listed = outlook(fresh, now=at(second))
    assert listed.forecasts[campaign.pk] == alone
    assert listed.forecasts[other.pk].is_guess
    with django_assert_num_queries(2):  # what runs, the fleet
        outlook(fresh, now=at(second + 1))


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 6])
def test_many_campaigns_cost_as_many_queries_as_one(
    number: int, django_assert_num_queries: Any
) -> None:
    for _ in range(number):
        work_campaign(2)
    fresh = list(Campaign.objects.select_related("package"))
    with django_assert_num_queries(4):  # ended, running, pace, fleet
        outlook(fresh, now=at(1))


# --- who may run what ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_fleet_of_a_list_is_the_one_that_the_database_finds() -> None:
    seen = at(0)
    for index, fields in enumerate(
        [
            {},
            {"simulates": True},
            {"isolation": "T1"},
            {"isolation": "T1", "accepts_uploaded_scripts": True},
            {"state": "draining"},
            {"state": "disabled"},
            {"last_seen_at": at(-100)},
            {"is_program": True},
            {"runs_any_script": False, "scripts": f"{'a' * 64} {SCRIPT}"},
            {"runs_any_script": False, "scripts": "a" * 64},
            {"runs_any_script": False, "simulates": True},
            {"refused_scripts": f"{SCRIPT} {'a' * 64}"},
        ]
    ):
        factories.worker(f"w{index}", **{"last_seen_at": seen} | fields)
    flagged = factories.worker("flagged", last_seen_at=seen)
    calibrate(flagged)
    flagged.calibrations.update(flagged=True)
    script = factories.uploaded(approved=True)
    for campaign in (
        active_campaign(1),
        active_campaign(1, allow_simulated=True),
        active_campaign(1, required_isolation="T1"),
        active_campaign(1, script=script.sha256),
        work_campaign(1),
    ):
        heard = machines_heard_of([campaign.experiment], now=at(1))
        needs = Needs.of(campaign)
        ours = {machine.pk for machine in heard if machine.is_online and needs.met_by(machine)}
        assert ours == set(campaign.machines(at(1)).values_list("pk", flat=True))


@pytest.mark.django_db
def test_a_campaign_whose_script_no_worker_has_says_so() -> None:
    campaign = active_campaign(1)
    factories.worker(last_seen_at=at(0), runs_any_script=False, scripts="a" * 64)
    assert forecast_of(campaign, 1).why_not == OUTDATED
    factories.worker(last_seen_at=at(0), runs_any_script=False, scripts=SCRIPT)
    assert forecast_of(campaign, 1).why_not == ""
