"""Which runs count, why the others do not, and what else bears on the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from campaigns import jobs, lifecycle
from campaigns.models import BudgetKind, Campaign, Result, Task, TaskPurpose
from campaigns.race.plan import seeds_needed, visible_gap
from campaigns.standings import honesty, honesty_parts
from campaigns.standings.honesty import FATES, LISTS, LOADS, Fate, Tally, read_tally
from tests import factories
from tests.standings.test_noise import repeated
from workers.protocol import FailureClass

pytestmark = pytest.mark.django_db


def tally_of(campaign: Campaign) -> Tally:
    """Return the tally of the campaign as it is now, after a look at its sum and its lists."""
    campaign.refresh_from_db()
    tally = read_tally(campaign)
    states = dict.fromkeys(("completed", "failed", "cancelled"), 0)
    for state in campaign.tasks.values_list("state", flat=True):
        states[state] = states.get(state, 0) + 1
    assert tally.ended == states["completed"] + states["failed"] + states["cancelled"]
    assert tally.open == campaign.tasks.open().count()
    assert tally.ended == tally.counted + sum(tally.not_counted.values())
    for name in LISTS:
        listed = honesty.listed(campaign, name, limit=1_000)
        assert len(listed) == honesty.list_length(tally, name), name
    return tally


def end_one(campaign: Campaign, change: Callable[[Any], None], **body: Any) -> Task:
    """Run the next task to a result, and change its row as an old server might have left it."""
    attempt = factories.claim_one(factories.runner(), now=factories.at(50))
    factories.finish(attempt, now=factories.at(50), **body)
    change(Result.objects.filter(task=attempt.task))
    return attempt.task


def test_every_reason_is_counted_once_and_links_to_its_runs() -> None:
    campaign = factories.active_campaign(14, max_failed_attempts=1, allow_simulated=True)
    for second in range(3):
        factories.run(3.0 + second, seconds=second)
    factories.run(None, seconds=4)
    factories.run(3.0, seconds=5, simulated=True)
    end_one(campaign, lambda row: row.update(is_ranked=False, implausible=True))
    end_one(campaign, lambda row: row.update(is_ranked=False, value=None, sort_key=None))
    factories.fail(factories.claim_one(factories.runner(), now=factories.at(60)))
    lost = factories.claim_one(factories.runner(), now=factories.at(61)).task
    Task.objects.filter(pk=lost.pk).update(max_lost_attempts=0)
    lifecycle.expire(now=factories.at(5_000))
    lifecycle.cancel_task(campaign.tasks.filter(state="pending").last(), now=factories.at(5_001))
    end_one(campaign, lambda row: factories.in_another_class(row, device_kind="cuda"))
    end_one(campaign, lambda row: row.update(eval_is_subset=True))
    outside = end_one(campaign, lambda row: None)
    Task.objects.filter(pk=outside.pk).update(purpose=TaskPurpose.REPEAT, seed_index=None)
    replay = end_one(campaign, lambda row: row.update(disturbed=True))
    Task.objects.filter(pk=replay.pk).update(purpose=TaskPurpose.REPLAY)

    tally = tally_of(campaign)
    assert tally.counted == 3
    reasons = {str(fate): number for fate, number in tally.not_counted.items()}
    assert reasons.pop("lost", 0) + reasons.pop("open", 0) <= 1
    assert reasons == {
        "failed": 1,
        "cancelled": 1,
        "diverged": 1,
        "too-small": 1,
        "implausible": 1,
        "simulated": 1,
        "replay": 1,
        "outside-seed": 1,
        "evaluation": 1,
        "other-class": 1,
    }
    assert tally.disturbed == 1
    # All results but the simulated one.
    assert tally.measured == campaign.results.count() - 1
    assert [task.pk for task in honesty.listed(campaign, "disturbed", limit=9)] == [replay.pk]
    assert [task.pk for task in honesty.listed(campaign, "outside-seed", limit=9)] == [outside.pk]


@pytest.mark.parametrize(
    ("failure_class", "fate"),
    [
        (FailureClass.SCRIPT_ERROR, Fate.FAILED),
        (FailureClass.LOST, Fate.LOST),
        (FailureClass.TOO_SLOW, Fate.TOO_SLOW),
        (FailureClass.ENV_ERROR, Fate.MACHINE),
    ],
)
def test_what_failed_for_good_is_told_apart_by_who_is_to_blame(
    failure_class: FailureClass, fate: Fate
) -> None:
    task = factories.failed_task()
    Task.objects.filter(pk=task.pk).update(failure_class=failure_class)
    tally = tally_of(task.campaign)
    assert tally.not_counted == {fate: 1}
    assert tally.failures == {str(failure_class): 1}


def test_the_first_seed_of_an_arm_counts_whichever_it_is_and_where_no_seeds_are_shared() -> None:
    campaign = factories.active_campaign(2)
    for second in range(2):
        factories.run(3.0, seconds=second)
    campaign.tasks.update(seed_index=None)
    assert tally_of(campaign).counted == 2
    alone = factories.active_campaign(2, shares_seeds=False)
    for second in range(2):
        factories.run(3.0, seconds=10 + second)
    alone.tasks.update(purpose=TaskPurpose.REPEAT)
    assert tally_of(alone).counted == 2


def test_without_any_run_nothing_counts_and_nothing_is_left_out() -> None:
    tally = tally_of(factories.active_campaign(3))
    assert (tally.ended, tally.open, tally.not_counted) == (0, 3, {})


def test_every_fate_has_words_and_an_own_list() -> None:
    assert set(FATES) == set(Fate)
    assert {*LISTS} >= {str(fate) for fate in Fate if fate is not Fate.OPEN}


def test_foreign_load_is_counted_by_cores_and_unknown_is_not_none() -> None:
    campaign = factories.active_campaign(5)
    for second, load in enumerate((0.0, 0.3, 0.25, 9.0, None)):
        factories.run(3.0 + second, seconds=second)
        Result.objects.filter(task__campaign=campaign, value=3.0 + second).update(foreign_load=load)
    tally = tally_of(campaign)
    assert tally.loads == {"0": 1, "0.25": 2, "4": 1, "unknown": 1}
    assert set(tally.loads) <= {f"{least:g}" for least in LOADS} | {"unknown"}
    assert tally.measured == 5


def test_the_noise_of_a_class_says_what_so_many_seeds_show() -> None:
    campaign = repeated(arms=6, seeds=6)
    assert honesty_parts.class_noises(campaign)[0].sd is None
    jobs.keep_noise_floors()
    (noise,) = honesty_parts.class_noises(campaign)
    assert noise.sd is not None
    assert (noise.pairs, len(noise.sizes)) == (18, 18)
    assert list(noise.sizes) == sorted(noise.sizes)
    assert len(noise.gaps) == len(honesty_parts.SEED_COUNTS)
    assert list(noise.gaps) == sorted(noise.gaps, reverse=True)


@pytest.mark.parametrize("seeds", [3, 6, 12, 40])
def test_the_visible_gap_is_the_inverse_of_the_planner(seeds: int) -> None:
    gap = visible_gap(seeds, 0.02, 40.0)
    assert seeds_needed(gap * 1.0001, 0.02, 40.0) == seeds
    assert (seeds_needed(gap * 0.97, 0.02, 40.0) or 0) > seeds


def test_first_seeds_are_set_beside_the_races_of_their_arms() -> None:
    race = factories.decided_race()
    campaign = race.campaign
    campaign.refresh_from_db()
    first = honesty_parts.first_seeds(campaign, 0.02)
    screens = campaign.tasks.filter(purpose=TaskPurpose.SCREEN, result__isnull=False)
    expected = {task.arm.number: task.result.value for task in screens}
    assert {arm: value for arm, value, _ in first.pairs} == expected
    assert first.kinder is not None
    losses = [raced - value for _, value, raced in first.pairs]
    assert first.kinder == pytest.approx(sum(losses) / len(losses))


def test_a_first_seed_of_another_class_is_set_beside_no_race() -> None:
    race = factories.decided_race()
    screens = Result.objects.filter(task__purpose=TaskPurpose.SCREEN)
    factories.in_another_class(screens.filter(task__arm__number=0), device_kind="cuda")
    race.campaign.refresh_from_db()
    first = honesty_parts.first_seeds(race.campaign, None)
    assert [arm for arm, _, _ in first.pairs] == [1]


def test_a_disturbed_run_says_which_run_counts_in_its_place() -> None:
    campaign = factories.active_campaign(2)
    for second in range(2):
        factories.run(3.0, seconds=second)
    disturbed, replay = campaign.tasks.order_by("number")
    arm, seed = disturbed.arm_id, disturbed.seed
    Result.objects.filter(task=disturbed).update(
        disturbed=True, step_seconds=0.3, expected_step_seconds=0.1
    )
    Task.objects.filter(pk=replay.pk).update(purpose=TaskPurpose.REPLAY, arm=arm, seed=seed)

    def became() -> tuple[str, int | None, float | None]:
        Campaign.objects.filter(pk=campaign.pk).update(revision=campaign.revision + 1)
        campaign.refresh_from_db()
        (run,) = honesty_parts.disturbed_runs(campaign)
        return run.became, run.other, run.factor

    key = replay.number
    assert became() == ("counts: its replay was disturbed, too", key, pytest.approx(3.0))
    Task.objects.filter(pk=disturbed.pk).update(purpose=TaskPurpose.REPLAY)
    Task.objects.filter(pk=replay.pk).update(purpose=TaskPurpose.SCREEN)
    assert became()[:2] == ("does not count; the other run of its seed does", key)
    Task.objects.filter(pk=replay.pk).delete()
    Task.objects.filter(pk=disturbed.pk).update(purpose=TaskPurpose.RACE)
    assert became()[:2] == ("counts: runs of a race are never repeated", None)
    Campaign.objects.filter(pk=campaign.pk).update(
        budget_kind=BudgetKind.WORK, work_unit="steps", work_amount=5.0
    )
    assert "equal work" in became()[0]


def test_workers_that_took_part_come_with_their_latest_calibration() -> None:
    campaign = factories.active_campaign(2)
    by = factories.runner()
    factories.calibrate(by, 1.0, now=factories.at(1))
    factories.calibrate(by, 2.0, now=factories.at(2))
    factories.run(3.0, seconds=5)
    (part,), others = honesty_parts.workers_of(campaign)
    assert (part.worker, part.results, others) == (by, 1, 0)
    assert part.calibration is not None
    assert part.calibration.taken_at == factories.at(2)
