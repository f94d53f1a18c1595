"""The noise floor of a class: which runs are in it, when it is computed, and what a race takes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from campaigns import jobs, lifecycle
from campaigns.models import Campaign, NoiseFloor, Result, Task
from campaigns.race.rows import Floor
from campaigns.standings.classes import classes_of, default_class
from campaigns.standings.noise import noise_floor, refresh
from tests import factories
from tests.factories import claim_one, finish, runner

pytestmark = pytest.mark.django_db

SHIFTS = (0.0, 0.1, -0.2, 0.3, 0.0)


def run_all(campaign: Campaign, value: Callable[[Task], float], by: Any = None) -> None:
    """Run all pending tasks of the campaign now."""
    while campaign.tasks.filter(state="pending").exists():
        now = timezone.now()
        attempt = claim_one(by or runner(), now=now)
        finish(attempt, value(attempt.task), now=now)


def noisy(task: Task) -> float:
    """Each arm moves from seed to seed in its own way."""
    return 3.0 + 0.05 * ((task.arm.number * 7 + (task.seed_index or 0) * 5) % 4)


def repeated(arms: int = 2, seeds: int = 4, **fields: Any) -> Campaign:
    """A campaign whose arms ran on the screening seed and on `seeds` further ones."""
    now = timezone.now() - dt.timedelta(hours=1)
    space = {
        "parameters": [
            {"name": "d_model", "type": "choice", "values": [8 * n for n in range(1, arms + 1)]}
        ]
    }
    campaign = factories.active_campaign(
        arms * (seeds + 1), sampler="grid", search_space=space, now=now, **fields
    )
    run_all(campaign, noisy)
    return campaign


def test_campaigns_that_share_a_class_share_its_floor() -> None:
    first = repeated(base_seed=1)
    alone = noise_floor(first)
    assert alone.pairs == 4
    second = repeated(base_seed=2)
    assert default_class(first) == default_class(second)
    assert (noise_floor(first).pairs, noise_floor(second).pairs) == (8, 8)
    other = repeated(base_seed=3, time_budget_seconds=20.0)
    assert noise_floor(other).pairs == 4
    assert NoiseFloor.objects.count() == 2


def test_the_same_runs_in_a_clone_are_no_further_pairs() -> None:
    first = repeated(base_seed=1)
    floor = noise_floor(first)
    assert noise_floor(repeated(base_seed=1)) == floor


def test_campaigns_from_before_the_arms_and_other_devices_are_not_in_it() -> None:
    old = repeated(base_seed=1)
    Campaign.objects.filter(pk=old.pk).update(shares_seeds=False)
    unlike = repeated(base_seed=2)
    elsewhere = factories.active_campaign(2, base_seed=2)
    assert (noise_floor(unlike).pairs, noise_floor(old).pairs) == (4, 4)
    Campaign.objects.filter(pk=unlike.pk).update(shares_seeds=False)
    of_class = default_class(unlike)
    assert of_class is not None
    assert refresh(of_class).sd is None
    assert noise_floor(elsewhere) == Floor()  # no result, so no class


def test_a_race_takes_the_floor_as_it_stood_before_it() -> None:
    campaign = repeated(arms=3)
    before = noise_floor(campaign)
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=timezone.now())
    run_all(campaign, lambda task: 3.0 + 0.5 * ((task.seed_index or 0) % 3) * task.arm.number)
    race.refresh_from_db()
    assert race.decisions.count() == 1
    assert (race.floor_sd, race.floor_pairs) == (before.sd, before.pairs)
    assert noise_floor(campaign).pairs > before.pairs


def test_the_job_computes_a_floor_when_further_runs_have_come_and_not_again() -> None:
    factories.completed_task(now=timezone.now())  # one seed says nothing of the noise
    assert jobs.keep_noise_floors() == 0
    campaign = repeated()
    assert jobs.keep_noise_floors() == 1
    (floor,) = NoiseFloor.objects.all()
    assert (floor.pairs, floor.result_class_id) == (4, default_class(campaign))
    # What came less than a minute before may have been committed after the floor was read.
    long_ago = timezone.now() - dt.timedelta(minutes=5)
    Result.objects.update(created_at=long_ago)
    assert jobs.keep_noise_floors() == 0
    assert noise_floor(campaign) == Floor(floor.sd, 4)
    Result.objects.filter(pk=Result.objects.last().pk).update(created_at=timezone.now())  # type: ignore[union-attr]
    Result.objects.filter(is_screening=False).update(created_at=timezone.now())
    assert jobs.keep_noise_floors() == 1


def test_far_values_and_runs_that_fail_for_their_params_are_bad_seeds() -> None:
    campaign = repeated(arms=2, seeds=5, max_failed_attempts=1)
    far = campaign.results.filter(is_screening=False).first()
    assert far is not None
    Result.objects.filter(pk=far.pk).update(value=99.0, sort_key=99.0)
    params = campaign.arms.get(number=0).params
    for failure in ("oom", "lost"):
        task = lifecycle.enqueue(campaign, params, now=timezone.now())
        attempt = claim_one(runner(), now=timezone.now())
        assert attempt.task == task
        Task.objects.filter(pk=task.pk).update(max_lost_attempts=1)
        factories.fail(attempt, failure, now=timezone.now())  # type: ignore[arg-type]
    of_class = default_class(campaign)
    assert of_class is not None
    assert refresh(of_class).bad_seed_rate == pytest.approx(2 / 11)


def test_the_default_is_the_class_with_most_results() -> None:
    campaign = factories.active_campaign(3, now=timezone.now())
    assert (classes_of(campaign), default_class(campaign)) == ([], None)
    for device in ("cuda", "cpu", "cpu"):
        finish(claim_one(runner(), now=timezone.now()), device_used=device, now=timezone.now())
    campaign.refresh_from_db()
    found = classes_of(campaign)
    assert [(row.results, row.words) for row in found] == [
        (2, "10 s, cpu, bfloat16, runner"),
        (1, "10 s, cuda, bfloat16, runner"),
    ]
    assert default_class(campaign) == found[0].pk
