"""Which campaign a claim takes tasks from: shares by weight, the owner's order, who comes first."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from campaigns import jobs, lifecycle
from campaigns.lifecycle import charges
from campaigns.lifecycle.charges import CHARGES
from campaigns.lifecycle.errors import InvalidCampaign
from campaigns.models import Campaign, CampaignState, QueueRank, Share, Task
from campaigns.models.share import MAX_PLACE, MAX_WEIGHT
from tests.factories import (
    active_campaign,
    at,
    campaign,
    claim,
    completed_task,
    fail,
    finish,
    user,
    worker,
)
from workers.models import Worker
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db

Committing = Callable[..., AbstractContextManager[Any]]


def set_share(of: Campaign, **columns: Any) -> None:
    Share.objects.filter(pk=of.pk).update(**columns)


def account(of: Campaign) -> float:
    return Share.objects.get(pk=of.pk).account


@pytest.fixture
def handed(django_capture_on_commit_callbacks: Committing) -> Callable[..., Counter[int]]:
    """Return a claim that is committed and charged; it returns the tasks by campaign."""

    def handed(by: Worker, count: int = 1, **columns: Any) -> Counter[int]:
        with django_capture_on_commit_callbacks(execute=True):
            attempts = claim(by, count, **{"now": at(1)} | columns).attempts
        return Counter(attempt.task.campaign_id for attempt in attempts)

    return handed


Handed = Callable[..., Counter[int]]


def test_campaigns_of_any_size_share_by_their_weights(handed: Handed) -> None:
    large, small, heavy = (active_campaign(tasks) for tasks in (60, 20, 60))
    set_share(heavy, weight=2.0)
    first, second = worker(), worker()
    got = Counter[int]()
    for _ in range(10):
        got += handed(first, 2) + handed(second, 2)
    assert got == {large.pk: 10, small.pk: 10, heavy.pk: 20}


def test_an_account_grows_by_the_seconds_handed_out_by_the_weight(handed: Handed) -> None:
    short = active_campaign(9, time_budget_seconds=10.0)
    long = active_campaign(9, time_budget_seconds=30.0)
    set_share(long, weight=3.0)
    handed(worker(), 4)
    CHARGES.fold()
    assert (account(short), account(long)) == (20.0, 20.0)


def test_a_claim_that_is_rolled_back_charges_nobody() -> None:
    running = active_campaign(1)
    assert len(claim(worker()).attempts) == 1  # in the test's transaction, which never commits
    CHARGES.fold()
    assert account(running) == 0.0


def test_a_claim_sees_what_this_process_charged_before_the_rows_have_it(
    handed: Handed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(charges, "FOLDED_EVERY_SECONDS", float("inf"))
    first, second = active_campaign(9), active_campaign(9)
    for _ in range(3):
        handed(worker(), 2)
        assert handed(worker()) == {first.pk: 1}
        assert handed(worker()) == {second.pk: 1}
    assert (account(first), account(second)) == (0.0, 0.0)


def test_workers_that_may_run_other_campaigns_each_take_what_they_may(handed: Handed) -> None:
    anybody = active_campaign(40)
    strict = active_campaign(40, required_isolation="T1")
    weak, strong = worker(isolation="T0"), worker(isolation="T1")
    assert handed(weak, 8) == {anybody.pk: 8}
    # The strict campaign waited for a strong worker and comes first there.
    assert handed(strong, 8) == {strict.pk: 8}
    assert handed(strong, 8) == {anybody.pk: 4, strict.pk: 4}


def test_who_has_no_task_left_leaves_the_turns_to_the_others(handed: Handed) -> None:
    small, large = active_campaign(2), active_campaign(30)
    assert handed(worker(), 12) == {small.pk: 2, large.pk: 10}


def test_a_campaign_whose_tasks_others_hold_does_not_shorten_a_claim(handed: Handed) -> None:
    first, second = active_campaign(1), active_campaign(3)
    troubled = worker()
    assert handed(troubled) == {first.pk: 1}
    # The only task of the first failed here and goes to others.
    worker()
    fail(Task.objects.get(campaign=first).attempts.get(), now=at(2))
    assert handed(troubled, 3, now=at(30)) == {second.pk: 3}


def test_whom_an_owner_put_first_takes_the_turns_of_the_owners_campaigns(handed: Handed) -> None:
    owner, somebody = user(), user()
    later, first = active_campaign(30, owner=owner), active_campaign(9, owner=owner)
    other = active_campaign(30, owner=somebody)
    lifecycle.set_place(first, 1)
    lifecycle.set_place(other, 1)
    assert handed(worker(), 12) == {first.pk: 8, other.pk: 4}
    # With its last task its turns are gone, too.
    assert handed(worker(), 13) == {first.pk: 1, later.pk: 6, other.pk: 6}


def test_a_race_comes_before_what_was_asked_for_and_that_before_what_was_drawn() -> None:
    running = active_campaign(4)
    claimant = worker()
    for value in (3.0, 3.1):
        finish(claim(claimant, now=at(1)).attempts[0], value, now=at(2))
    params = {"lr": 0.001, "d_model": 64}
    asked = lifecycle.enqueue(running, params, now=at(3))
    lifecycle.start_race(running, [0, 1], seeds=3, now=at(4))
    ranks = [attempt.task.queue_rank for attempt in claim(claimant, 64, now=at(9)).attempts]
    raced = ranks.count(QueueRank.RACE)
    assert raced > 0
    assert ranks == [QueueRank.RACE] * raced + [QueueRank.ENQUEUED] + [QueueRank.SAMPLED] * 2
    assert Task.objects.get(pk=asked.pk).queue_rank == QueueRank.ENQUEUED


def test_a_campaign_in_which_a_worker_could_not_begin_waits_whatever_its_account(
    handed: Handed,
) -> None:
    unfetchable, other = active_campaign(3), active_campaign(3)
    claimant = worker()
    assert handed(claimant) == {unfetchable.pk: 1}
    set_share(other, account=1e6)
    fail(Task.objects.get(worker=claimant).attempts.get(), FailureClass.ENV_ERROR, now=at(3))
    assert handed(claimant, now=at(63)) == {other.pk: 1}


def test_what_a_persons_own_program_takes_is_charged_too(
    django_capture_on_commit_callbacks: Committing,
) -> None:
    owner = user()
    asked, other = active_campaign(9, owner=owner), active_campaign(9)
    program = worker(is_program=True)
    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.ask(program, asked, claim_id=uuid.uuid4(), count=3, now=at(1))
    CHARGES.fold()
    assert (account(asked), account(other)) == (30.0, 0.0)


def test_a_campaign_without_a_row_counts_as_one_with_the_defaults(handed: Handed) -> None:
    first, second = active_campaign(9), active_campaign(9)
    Share.objects.all().delete()
    assert handed(worker(), 6) == {first.pk: 3, second.pk: 3}
    CHARGES.fold()
    assert (account(first), account(second)) == (30.0, 30.0)


# --- where an account begins ----------------------------------------------------------------------


def served(account: float, **columns: Any) -> Campaign:
    """Launch a campaign of which one task runs and others wait, with this account."""
    campaign = active_campaign(5, **columns)
    lifecycle.ask(worker(), campaign, claim_id=uuid.uuid4(), now=at(0))
    set_share(campaign, account=account)
    return campaign


def test_a_new_campaign_begins_where_the_one_that_is_furthest_behind_is() -> None:
    assert account(active_campaign(1)) == 0.0
    Campaign.objects.all().delete()
    served(700.0)
    served(500.0)
    assert account(active_campaign(1)) == 500.0


def test_a_campaign_that_no_worker_may_run_does_not_count_where_others_are_served() -> None:
    set_share(active_campaign(5), account=3.0)
    set_share(active_campaign(5), account=2.0)
    assert account(active_campaign(1)) == 2.0
    served(500.0)
    assert account(active_campaign(1)) == 500.0


def test_where_nothing_waits_a_new_campaign_begins_at_the_largest_account() -> None:
    for seconds in (70.0, 50.0):
        set_share(served(seconds), account=seconds)
    claim(worker(), 64, now=at(1))
    assert account(active_campaign(1)) == 70.0


@pytest.mark.parametrize("how", ["resumed", "reactivated"])
def test_a_campaign_that_comes_back_has_saved_no_turns(how: str) -> None:
    if how == "resumed":
        back = active_campaign(3)
        lifecycle.pause(back, now=at(1))
        served(500.0)
        lifecycle.resume(back, now=at(2))
    else:
        back = completed_task(now=at(1)).campaign
        served(500.0)
        lifecycle.add_tasks(back, 2, now=at(2))
    back.refresh_from_db()
    assert back.state == CampaignState.ACTIVE
    assert account(back) == 500.0


def test_a_campaign_that_comes_back_keeps_a_larger_account() -> None:
    back = served(900.0)
    lifecycle.pause(back, now=at(1))
    served(500.0)
    lifecycle.resume(back, now=at(2))
    assert account(back) == 900.0


def test_a_campaign_with_nothing_to_hand_out_saves_no_turns() -> None:
    idle = active_campaign(1)
    claim(worker())
    level = served(500.0)
    ahead = served(505.0)
    assert jobs.level_shares() == 1
    assert jobs.level_shares() == 0
    assert (account(idle), account(level), account(ahead)) == (500.0, 500.0, 505.0)


def test_a_campaign_that_waits_for_its_turn_keeps_it_and_no_more_than_that() -> None:
    served(500.0, time_budget_seconds=60.0)
    next_one, unrunnable = active_campaign(3), active_campaign(3)
    set_share(next_one, account=450.0)
    set_share(unrunnable, account=1.0)
    assert jobs.level_shares() == 1
    # A turn of the first one costs 60 virtual seconds.
    assert (account(next_one), account(unrunnable)) == (450.0, 440.0)


def test_nobody_pays_for_long_for_machines_that_only_they_could_use() -> None:
    served(500.0)
    ahead, far_ahead = served(4_000.0), served(1e7)
    assert jobs.level_shares() == 1
    assert (account(ahead), account(far_ahead)) == (4_000.0, 500.0 + 3_600.0)


def test_levelling_makes_the_rows_that_are_missing_and_needs_something_to_wait() -> None:
    served(500.0)
    Share.objects.all().delete()
    idle = active_campaign(1)
    Share.objects.all().delete()
    assert jobs.level_shares() == 0
    assert account(idle) == 0.0
    Campaign.objects.all().delete()
    assert jobs.level_shares() == 0


# --- what people set ------------------------------------------------------------------------------


def test_weight_and_place_are_set_whatever_the_state_and_the_account_stays() -> None:
    draft = campaign()
    set_share(draft, account=7.0)
    lifecycle.set_weight(draft, 2.5)
    lifecycle.set_place(draft, 3)
    share = Share.objects.get(pk=draft.pk)
    assert (share.account, share.weight, share.place) == (7.0, 2.5, 3)
    lifecycle.set_place(draft, None)
    assert Share.objects.get(pk=draft.pk).place is None
    Share.objects.all().delete()
    lifecycle.set_weight(draft, MAX_WEIGHT)
    assert Share.objects.get(pk=draft.pk).weight == MAX_WEIGHT


@pytest.mark.parametrize("weight", [0.0, -1.0, 0.009, 100.1, float("inf"), float("nan")])
def test_a_weight_out_of_its_bounds_is_refused(weight: float) -> None:
    with pytest.raises(InvalidCampaign) as refused:
        lifecycle.set_weight(campaign(), weight)
    assert refused.value.errors == {"weight": ["must be from 0.01 to 100"]}


@pytest.mark.parametrize("place", [0, -1, MAX_PLACE + 1])
def test_a_place_out_of_its_bounds_is_refused(place: int) -> None:
    with pytest.raises(InvalidCampaign) as refused:
        lifecycle.set_place(campaign(), place)
    assert refused.value.errors == {"place": ["must be from 1 to 1,000, or none"]}
