"""The race that begins by itself: when, of which arms, and on which runs."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.lifecycle.campaigns import cancel_open_tasks
from campaigns.models import Campaign, CampaignState, Race, RaceOutcome, Task, TaskPurpose
from campaigns.standings.progress import campaign_progress
from tests import factories, invariants
from tests.arms.test_races import SECONDS, run_all
from tests.factories import active_campaign, at, claim_one, fail, runner, worker

pytestmark = pytest.mark.django_db

# The fewest tasks with a race of their own: 21 arms, and 9 runs for the race of three.
TASKS, ARMS, KEPT = 30, 21, 9


def racing(tasks: int = TASKS, **fields: Any) -> Campaign:
    """A launched campaign that races by itself."""
    return active_campaign(tasks, **({"races_automatically": True} | fields))


def leave_three(campaign: Campaign) -> None:
    """Cancel the screening of all arms but 18, 19 and 20: those that would race."""
    others = campaign.tasks.filter(arm__number__lt=ARMS - 3)
    cancel_open_tasks(others, now=at(next(SECONDS)), actor=lifecycle.SERVER)


def value(task: Task) -> float:
    """Arm 20 is the best, then 19, and so on; the seed shifts all alike."""
    return 3.0 + 0.2 * (ARMS - task.arm.number) + 0.01 * (task.seed_index or 0)


def equal(_: Task) -> float:
    return 3.0


def done(campaign: Campaign) -> Campaign:
    campaign.refresh_from_db()
    return campaign


def progress(campaign: Campaign) -> tuple[int, int]:
    """How many tasks have ended, of how many."""
    now = campaign_progress(done(campaign), now=at(next(SECONDS)))
    return now.done, now.total


def test_a_launch_keeps_three_tenths_of_the_tasks_for_the_race() -> None:
    campaign = racing()
    assert campaign.tasks.count() == ARMS
    assert (done(campaign).task_count, campaign.kept_runs, campaign.draws) == (TASKS, KEPT, ARMS)
    assert progress(campaign) == (0, TASKS)
    (change,) = campaign.changes.all()
    assert change.reason == "Tasks made: 21. Runs kept for their race: 9."


@pytest.mark.parametrize(
    ("fields", "tasks"),
    [
        ({"tasks": 29}, 29),
        ({"races_automatically": False}, 30),
        # A part of a grid is no sample of it.
        (
            {
                "sampler": "grid",
                "search_space": {
                    "parameters": [{"name": "d_model", "type": "int", "low": 1, "high": 30}]
                },
            },
            30,
        ),
    ],
    ids=["few tasks", "switched off", "grid"],
)
def test_a_launch_keeps_nothing_of_these(fields: dict[str, Any], tasks: int) -> None:
    campaign = racing(**fields)
    assert (campaign.tasks.count(), done(campaign).kept_runs) == (tasks, 0)


def test_the_best_of_the_screening_race_by_themselves_and_then_the_campaign_completes() -> None:
    campaign = racing()
    assert run_all(campaign, value, most=ARMS - 1) == ARMS - 1
    assert not Race.objects.exists()
    run_all(campaign, value, most=1)
    race = Race.objects.get()
    assert (race.arms, race.seeds, race.runs_allowed) == ([20, 19, 18], list(range(1, 13)), KEPT)
    assert race.chosen_from == ARMS
    assert done(campaign).state == CampaignState.ACTIVE
    assert (campaign.task_count, campaign.kept_runs) == (TASKS, 0)
    assert progress(campaign) == (ARMS, TASKS)
    run_all(campaign, value)
    race.refresh_from_db()
    assert race.outcome == RaceOutcome.CHAMPION
    assert done(campaign).state == CampaignState.COMPLETED
    # The champion has run all its seeds.
    assert progress(campaign) == (TASKS + 9, TASKS + 9)
    assert Race.objects.count() == 1
    invariants.check()


def test_a_race_that_its_reserve_ends_is_a_tie_and_completes_the_campaign() -> None:
    campaign = racing(min_effect=0.0)
    leave_three(campaign)
    run_all(campaign, equal)
    assert Race.objects.get().outcome == RaceOutcome.TIE
    assert done(campaign).state == CampaignState.COMPLETED
    assert progress(campaign) == (TASKS, TASKS)


def test_runs_that_the_race_does_not_need_are_not_run_and_nothing_is_missing_at_the_end() -> None:
    campaign = racing(40)  # 28 arms, and 12 runs for a race of four
    others = campaign.tasks.filter(number__gt=2)
    cancel_open_tasks(others, now=at(1), actor=lifecycle.SERVER)
    run_all(campaign, value)
    race = Race.objects.get()
    assert len(race.arms) == 3
    assert done(campaign).state == CampaignState.COMPLETED
    assert campaign.kept_runs == 0
    assert campaign.task_count == campaign.tasks.count() == 28 + 9 + 9


def test_without_two_values_there_is_no_race_and_the_campaign_completes() -> None:
    campaign = racing(max_failed_attempts=1)
    run_all(campaign, value, most=1)
    cancel_open_tasks(campaign.tasks.exclude(number=1), now=at(500), actor=lifecycle.SERVER)
    lifecycle.cancel_task(campaign.tasks.get(number=1), now=at(501))
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED
    assert progress(campaign) == (ARMS, ARMS)


def test_arms_that_can_get_no_result_and_invented_values_do_not_race() -> None:
    campaign = racing(allow_simulated=True)
    campaign.arms.filter(number=20).update(infeasible="too slow for this fleet")
    others = campaign.tasks.filter(arm__number__lt=ARMS - 5)
    cancel_open_tasks(others, now=at(1), actor=lifecycle.SERVER)
    for _ in range(5):
        attempt = claim_one(runner(), now=at(next(SECONDS)))
        body = factories.completed(attempt.task, value(attempt.task))
        body["simulated"] = attempt.task.arm.number == 19
        lifecycle.submit(attempt.worker, attempt.lease_id, body, now=attempt.started_at)
    assert Race.objects.get().arms == [18, 17, 16]


def test_a_race_of_a_paused_campaign_begins_when_it_is_resumed() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=2)
    last = claim_one(worker(), now=at(next(SECONDS)))
    lifecycle.pause(campaign, now=at(next(SECONDS)))
    factories.finish(last, value(last.task), now=at(next(SECONDS)))
    assert lifecycle.finish_done_campaigns(now=at(next(SECONDS))) == 0
    assert done(campaign).state == CampaignState.PAUSED
    assert not Race.objects.exists()
    lifecycle.resume(campaign, now=at(next(SECONDS)))
    assert Race.objects.count() == 1
    assert done(campaign).state == CampaignState.ACTIVE


def test_a_race_whose_process_died_is_begun_once_by_the_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = racing()
    leave_three(campaign)
    with monkeypatch.context() as patch:
        patch.setattr("campaigns.lifecycle.endings.finish_if_done", lambda *_, **__: False)
        run_all(campaign, value)
    assert not Race.objects.exists()
    for _ in range(2):
        assert lifecycle.finish_done_campaigns(now=at(next(SECONDS))) == 0
        assert Race.objects.count() == 1


def test_a_campaign_that_cannot_be_finished_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    campaigns = [active_campaign(1) for _ in range(2)]
    Task.objects.update(state="cancelled", finished_at=at(1))
    broken = campaigns[0].pk

    def due(campaign: Campaign) -> None:
        if campaign.pk == broken:
            raise RuntimeError("broken")

    monkeypatch.setattr("campaigns.lifecycle.endings.due_race", due)
    assert lifecycle.finish_done_campaigns(now=at(2)) == 1
    assert f"campaign {broken} was not finished" in caplog.text


def test_a_race_by_hand_takes_none_of_the_kept_runs_and_does_not_replace_the_race() -> None:
    campaign = racing()
    leave_three(campaign)
    lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(next(SECONDS)))
    assert (done(campaign).task_count, campaign.kept_runs) == (TASKS + 6, KEPT)
    run_all(campaign, value)
    by_hand, by_itself = Race.objects.order_by("number")
    assert (by_hand.chosen_from, by_itself.chosen_from) == (None, ARMS)
    # On seeds that no arm has run.
    assert by_itself.seeds == list(range(4, 16))
    invariants.check()


def best_of_all(task: Task) -> float:
    return 2.5 if task.arm.number >= ARMS else value(task)


def raced() -> Campaign:
    """A completed campaign whose race has the champion 20."""
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value)
    return done(campaign)


def test_arms_added_later_race_the_champion_on_fresh_seeds_once() -> None:
    campaign = raced()
    lifecycle.add_tasks(campaign, 1, now=at(next(SECONDS)))
    run_all(campaign, best_of_all)
    first, second = Race.objects.order_by("number")
    assert (second.arms, second.seeds[0], second.chosen_from) == ([20, 21], 13, ARMS + 1)
    assert first.decisions.count() == 1  # no look is added to an ended race
    assert done(campaign).state == CampaignState.COMPLETED
    # Their champion is the one that the next arms race.
    lifecycle.add_tasks(campaign, 1, now=at(next(SECONDS)))
    run_all(campaign, best_of_all)
    assert Race.objects.order_by("number")[2].arms == [21, 22]
    invariants.check()


def test_added_arms_that_are_no_contenders_do_not_race() -> None:
    campaign = raced()
    lifecycle.add_tasks(campaign, 2, now=at(next(SECONDS)))
    run_all(campaign, lambda _: 9.0)
    assert Race.objects.count() == 1
    assert done(campaign).state == CampaignState.COMPLETED
    assert progress(campaign) == (TASKS + 9 + 2, TASKS + 9 + 2)


def test_more_seeds_of_the_same_arms_are_no_added_arms() -> None:
    campaign = raced()
    lifecycle.enqueue(campaign, campaign.arms.get(number=0).params, now=at(next(SECONDS)))
    run_all(campaign, lambda _: 2.5)
    assert Race.objects.count() == 1


def test_a_campaign_from_before_the_arms_never_races_by_itself() -> None:
    campaign = racing(shares_seeds=False)
    run_all(campaign, lambda task: 3.0 + task.number)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED
    other = racing(shares_seeds=False)
    with pytest.raises(InvalidCampaign, match="share no seeds"):
        lifecycle.set_race_options(other, races_automatically=True, now=at(next(SECONDS)))


def test_the_cancellation_of_a_campaign_gives_up_its_kept_runs() -> None:
    campaign = racing()
    lifecycle.cancel(campaign, now=at(1))
    assert progress(campaign) == (ARMS, ARMS)


# --- the options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"task_count": 29}, False),
        ({"task_count": 30}, True),
        ({"task_count": 30, "allow_simulated": True}, False),
        ({"task_count": 30, "races_automatically": False}, False),
        ({"task_count": 10, "races_automatically": True}, True),
    ],
)
def test_a_campaign_races_by_itself_from_thirty_tasks_on_unless_told(
    fields: dict[str, Any], expected: bool
) -> None:
    campaign = factories.campaign(**({"races_automatically": None} | fields))
    assert campaign.races_automatically is expected


def test_switched_off_a_campaign_gives_up_its_kept_runs_and_completes_without_a_race() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=2)
    lifecycle.set_race_options(campaign, races_automatically=False, now=at(next(SECONDS)))
    assert (campaign.task_count, campaign.kept_runs) == (ARMS, 0)
    run_all(campaign, value)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED


def by_hand() -> Campaign:
    """A campaign of 30 arms that does not race by itself; the screening of three is left."""
    campaign = racing(races_automatically=False)
    leave_three(campaign)
    rest = campaign.tasks.filter(arm__number__gte=ARMS)
    cancel_open_tasks(rest, now=at(1), actor=lifecycle.SERVER)
    return campaign


def test_a_campaign_in_which_the_race_is_switched_off_completes_without() -> None:
    campaign = by_hand()
    run_all(campaign, value)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED


def test_switched_on_late_the_runs_of_the_race_come_on_top() -> None:
    campaign = by_hand()
    run_all(campaign, value, most=2)
    lifecycle.set_race_options(
        campaign, races_automatically=True, min_effect=0.5, now=at(next(SECONDS))
    )
    assert campaign.kept_runs == 0
    run_all(campaign, value, most=1)
    race = Race.objects.get()
    assert (race.min_effect, race.runs_allowed) == (0.5, KEPT)
    assert done(campaign).task_count == TASKS + 9


def test_switched_off_while_its_race_runs_the_race_goes_on_with_its_kept_runs() -> None:
    campaign = racing(40)  # 12 runs are kept, of which a race of three takes 9 at first
    cancel_open_tasks(campaign.tasks.filter(number__gt=2), now=at(1), actor=lifecycle.SERVER)
    run_all(campaign, value, most=3)
    lifecycle.set_race_options(campaign, races_automatically=False, now=at(next(SECONDS)))
    assert campaign.kept_runs == 3
    run_all(campaign, value)
    assert Race.objects.get().outcome == RaceOutcome.CHAMPION


def test_a_race_that_ends_early_gives_up_its_runs_at_once() -> None:
    campaign = racing(40, min_effect=9.0)
    cancel_open_tasks(campaign.tasks.filter(number__gt=2), now=at(1), actor=lifecycle.SERVER)
    run_all(campaign, equal, most=3)
    lifecycle.add_tasks(campaign, 1, now=at(next(SECONDS)))
    assert progress(campaign) == (28, 28 + 9 + 1 + 3)
    run_all(campaign, equal, most=9)
    assert Race.objects.get().outcome == RaceOutcome.TIE
    assert progress(campaign) == (28 + 9, 28 + 9 + 1)


def test_a_campaign_without_room_for_a_race_completes_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = by_hand()
    lifecycle.set_race_options(campaign, races_automatically=True, now=at(1))
    monkeypatch.setattr("campaigns.lifecycle.race_due.MAX_TASKS", TASKS + KEPT - 1)
    run_all(campaign, value)
    assert not Race.objects.exists()
    assert done(campaign).state == CampaignState.COMPLETED


def test_a_race_by_hand_among_others_does_not_change_whom_added_arms_race() -> None:
    campaign = raced()
    lifecycle.start_race(campaign, [18, 19], seeds=3, now=at(next(SECONDS)))
    run_all(campaign, value)
    lifecycle.add_tasks(campaign, 1, now=at(next(SECONDS)))
    run_all(campaign, best_of_all, most=1)
    assert Race.objects.latest("number").arms == [20, 21]


def test_a_paused_campaign_that_waits_for_its_race_completes_when_that_is_switched_off() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=2)
    last = claim_one(worker(), now=at(next(SECONDS)))
    lifecycle.pause(campaign, now=at(next(SECONDS)))
    factories.finish(last, value(last.task), now=at(next(SECONDS)))
    lifecycle.set_race_options(campaign, races_automatically=False, now=at(next(SECONDS)))
    assert campaign.state == CampaignState.COMPLETED


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "races_automatically"),
        ({"min_effect": -0.1}, "min_effect"),
        ({"min_effect": float("nan")}, "min_effect"),
        ({"min_effect": 1_001.0}, "min_effect"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], field: str) -> None:
    campaign = active_campaign(1)
    with pytest.raises(InvalidCampaign) as refused:
        lifecycle.set_race_options(campaign, now=at(1), **options)
    assert list(refused.value.errors) == [field]
    if options:
        with pytest.raises(InvalidCampaign):
            factories.campaign(**options)


def test_the_options_of_a_campaign_that_has_ended_stay() -> None:
    campaign = active_campaign(1)
    run_all(campaign)
    with pytest.raises(WrongState, match="Let arms race by hand, or add tasks first"):
        lifecycle.set_race_options(campaign, races_automatically=True, now=at(next(SECONDS)))


def test_a_race_by_hand_looks_for_the_smallest_difference_of_its_campaign() -> None:
    campaign = active_campaign(2, min_effect=0.3)
    assert lifecycle.start_race(campaign, [0, 1], now=at(1)).min_effect == 0.3


def test_the_purpose_of_its_runs_is_the_race() -> None:
    campaign = racing()
    leave_three(campaign)
    run_all(campaign, value, most=3)
    assert campaign.tasks.filter(purpose=TaskPurpose.RACE).count() == KEPT
    fail(claim_one(worker(), now=at(next(SECONDS))), now=at(next(SECONDS)))
    invariants.check()
