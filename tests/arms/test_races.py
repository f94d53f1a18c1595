"""Races on the server: their runs, the decision of each look, and how they end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.lifecycle.races import decide_races
from campaigns.models import (
    Campaign,
    CampaignState,
    Decision,
    FailureClass,
    Race,
    RaceOutcome,
    Task,
    TaskPurpose,
)
from campaigns.race.look import decide
from campaigns.race.rows import Sight
from campaigns.search.seeds import seed_at
from campaigns.standings.race_runs import decisions_of
from tests import invariants
from tests.factories import NOW, active_campaign, at, claim_one, fail, finish, run, runner

pytestmark = pytest.mark.django_db

# When runs are claimed and end: always later than what was made before.
SECONDS = itertools.count(300)
# What each arm reaches on a seed: an arm's own value, and what the seed adds to everybody.
GAPS = (0.0, 0.2, 0.4)
SHIFTS = (0.0, 0.01, -0.02, 0.03, 0.0, 0.02, -0.01, 0.01, 0.0, -0.03, 0.02, 0.01, 0.0)


def screened(arms: int = 3, **fields: Any) -> Campaign:
    """A campaign whose arms have run on the first seed; it is completed."""
    campaign = active_campaign(arms, **fields)
    run_all(campaign)
    campaign.refresh_from_db()
    return campaign


def value_of(task: Task) -> float:
    return 3.0 + GAPS[task.arm.number % 3] + SHIFTS[task.seed_index or 0]


def run_all(
    campaign: Campaign, value: Callable[[Task], float] = value_of, *, most: int = 100
) -> int:
    """Run what is pending, at most so many tasks; return how many ran."""
    for ran in range(most):
        if not campaign.tasks.filter(state="pending").exists():
            return ran
        now = at(next(SECONDS))
        attempt = claim_one(runner(), now=now)
        finish(attempt, value(attempt.task), now=now)
    return most


def outcomes(race: Race) -> list[str]:
    return list(race.decisions.values_list("outcome", flat=True))


def test_a_race_runs_its_arms_on_the_same_fresh_seeds() -> None:
    campaign = screened(race_seeds=11)
    assert campaign.state == CampaignState.COMPLETED
    race = lifecycle.start_race(campaign, [0, 2], now=at(100))
    assert (campaign.state, campaign.task_count) == (CampaignState.ACTIVE, 9)
    tasks = Task.objects.filter(purpose=TaskPurpose.RACE).order_by("number")
    assert [(task.arm.number, task.seed_index, task.seed) for task in tasks] == [
        (arm, index, seed_at(42, index)) for arm in (0, 2) for index in (1, 2, 3)
    ]
    assert (race.number, race.arms, race.seeds) == (1, [0, 2], list(range(1, 12)))
    invariants.check()


def test_the_end_of_the_last_run_of_a_look_decides_it_and_completes_the_campaign() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1, 2], seeds=3, now=at(100))
    assert run_all(campaign, most=8) == 8
    assert outcomes(race) == []
    assert run_all(campaign) == 1
    race.refresh_from_db()
    campaign.refresh_from_db()
    (decision,) = race.decisions.all()
    assert (race.outcome, decision.outcome) == (RaceOutcome.CHAMPION, RaceOutcome.CHAMPION)
    assert race.ended_at is not None
    assert decision.leader is not None
    assert (decision.leader.number, decision.behind, decision.n) == (0, [1, 2], 3)
    assert decision.estimate == pytest.approx(0.2)
    assert campaign.state == CampaignState.COMPLETED
    invariants.check()


def test_a_decision_can_be_computed_again_from_what_it_saw() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1, 2], seeds=3, now=at(100))
    run_all(campaign)
    (row,) = race.decisions.all()
    again = decide(Sight.from_json(row.saw))
    assert again.to_json() | {"outcome": "champion"} == again.to_json()
    assert (again.leader, again.noise.df) == (0, row.df)
    assert again.rivals[0].bound == row.bound


def test_a_look_that_decides_nothing_makes_the_runs_of_the_next() -> None:
    campaign = screened()
    noisy = iter([0.0, 0.3, 0.6, 0.35, 0.05, 0.3] + [0.1] * 100)
    race = lifecycle.start_race(campaign, [0, 1], seeds=12, now=at(100))
    run_all(campaign, lambda _: 3.0 + next(noisy), most=6)
    assert outcomes(race) == [""]
    pending = campaign.tasks.filter(state="pending")
    assert sorted(pending.values_list("arm__number", "seed_index")) == [
        (arm, index) for arm in (0, 1) for index in (4, 5, 6)
    ]
    campaign.refresh_from_db()
    assert (campaign.state, campaign.task_count) == (CampaignState.ACTIVE, 15)
    run_all(campaign, lambda _: 3.0 + next(noisy))
    race.refresh_from_db()
    assert race.outcome == RaceOutcome.TIE
    assert race.decisions.last().group == [0, 1]  # type: ignore[union-attr]
    invariants.check()


def test_an_early_champion_runs_on_all_seeds_before_the_campaign_completes() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1], seeds=12, now=at(100))
    run_all(campaign, most=6)
    race.refresh_from_db()
    campaign.refresh_from_db()
    assert (race.outcome, campaign.state) == (RaceOutcome.CHAMPION, CampaignState.ACTIVE)
    rest = campaign.tasks.filter(state="pending")
    assert sorted(rest.values_list("arm__number", "seed_index")) == [(0, i) for i in range(4, 13)]
    run_all(campaign)
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    assert race.decisions.count() == 1  # no look is added to an ended race


def test_runs_that_diverge_or_fail_for_their_params_count_against_the_arm() -> None:
    campaign = screened(max_failed_attempts=1)
    race = lifecycle.start_race(campaign, [0, 1, 2], seeds=3, now=at(100))
    for _ in range(9):
        if (
            campaign.tasks.get(number=campaign.tasks.filter(state="pending")[0].number).arm.number
            == 0
        ):
            fail(claim_one(runner(), now=at(200)), FailureClass.OOM, now=at(200))
        else:
            run_all(campaign, most=1)
    (decision,) = race.decisions.all()
    assert decision.infeasible == [0]
    assert decision.leader is not None
    assert decision.leader.number == 1


def test_cancelled_runs_are_missing_and_no_look_waits_for_them() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(100))
    victim = campaign.tasks.filter(state="pending", arm__number=1).last()
    lifecycle.cancel_task(victim, now=at(101))
    run_all(campaign)
    race.refresh_from_db()
    (decision,) = race.decisions.all()
    # Two common seeds separate nothing.
    assert (race.outcome, decision.n, decision.estimate) == (RaceOutcome.TIE, 2, None)


def test_simulated_results_count_as_missing_and_simulated_arms_do_not_race() -> None:
    campaign = active_campaign(3, allow_simulated=True)
    run(3.0, seconds=1)
    run(3.1, seconds=2)
    run(2.0, seconds=3, simulated=True)
    with pytest.raises(InvalidCampaign, match="2 has only simulated results, which never race"):
        lifecycle.start_race(campaign, [0, 2], now=at(5))
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(5))
    for second in range(5):
        run(3.0, seconds=10 + second)
    run(None, seconds=20, simulated=True)  # also what diverged was invented
    assert race.decisions.get().n == 2


def test_while_a_campaign_is_paused_no_look_is_decided_and_resuming_decides_it() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(100))
    run_all(campaign, most=5)
    last = claim_one(runner(), now=at(150))
    lifecycle.pause(campaign, now=at(151))
    finish(last, value_of(last.task), now=at(152))
    assert lifecycle.decide_due_races(now=at(153)) == 0
    assert outcomes(race) == []
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.PAUSED
    lifecycle.resume(campaign, now=at(154))
    assert outcomes(race) == ["champion"]


def test_the_cancellation_of_a_campaign_ends_its_race_with_a_decision() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1], now=at(100))
    run_all(campaign, most=2)
    lifecycle.cancel(campaign, now=at(150))
    race.refresh_from_db()
    assert (race.outcome, outcomes(race)) == (RaceOutcome.CANCELLED, ["cancelled"])
    assert not campaign.tasks.filter(state__in=["pending", "leased"]).exists()
    invariants.check()


def test_a_look_whose_process_died_is_decided_by_the_sweep_and_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(100))
    with monkeypatch.context() as patch:
        patch.setattr("campaigns.lifecycle.endings.decide_races", lambda *_, **__: 0)
        run_all(campaign)
        campaign.refresh_from_db()
        assert campaign.state == CampaignState.ACTIVE  # it waits for its race
        assert lifecycle.finish_done_campaigns(now=at(200)) == 0
    assert lifecycle.decide_due_races(now=at(201)) == 1
    assert lifecycle.decide_due_races(now=at(202)) == 0
    assert decide_races(campaign.pk, now=at(203)) == 0
    assert outcomes(race) == ["champion"]
    assert lifecycle.finish_done_campaigns(now=at(204)) == 1


def test_a_race_that_cannot_be_decided_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = (screened() for _ in range(2))
    with monkeypatch.context() as patch:
        patch.setattr("campaigns.lifecycle.endings.decide_races", lambda *_, **__: 0)
        races = [lifecycle.start_race(c, [0, 1], seeds=3, now=at(100)) for c in (broken, sound)]
        run_all(broken)
        run_all(sound)
    Race.objects.filter(pk=races[0].pk).update(seeds=[0, 1, 2])  # the screening seed cannot race
    assert lifecycle.decide_due_races(now=at(next(SECONDS))) == 1
    assert [outcomes(race) for race in races] == [[], ["champion"]]
    assert f"the races of campaign {broken.pk} were not decided" in caplog.text


def test_arms_race_again_beyond_every_seed_that_one_of_them_has_run() -> None:
    campaign = screened()
    lifecycle.enqueue(campaign, campaign.arms.get(number=1).params, now=at(50))
    first = lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(100))
    assert first.seeds == [2, 3, 4]
    run_all(campaign)
    second = lifecycle.start_race(campaign, [0, 2], seeds=3, now=at(200))
    assert (second.number, second.seeds) == (2, [5, 6, 7])
    run_all(campaign)
    assert outcomes(second) == ["champion"]
    assert len(decisions_of(first)) == 1


def test_a_run_that_somebody_asked_for_meanwhile_is_not_made_twice() -> None:
    campaign = screened()
    lifecycle.start_race(campaign, [0, 1], seeds=12, now=at(100))
    again = lifecycle.enqueue(campaign, campaign.arms.get(number=0).params, now=at(101))
    assert again.seed_index == 4  # the next look's
    run_all(campaign, lambda task: 3.0 + (task.number % 4) / 10)
    assert campaign.tasks.filter(arm__number=0, seed_index=4).count() == 1
    invariants.check()


def test_repeated_arms_give_the_race_its_noise_floor() -> None:
    campaign = active_campaign(
        12,
        sampler="grid",
        search_space={"parameters": [{"name": "d_model", "type": "choice", "values": [64, 128]}]},
    )
    run_all(campaign)
    race = lifecycle.start_race(campaign, [0, 1], now=at(100))
    assert race.floor_pairs > 0
    assert race.floor_sd is not None
    assert race.seeds[0] == 6


def test_values_of_another_kind_of_device_are_missing() -> None:
    campaign = screened()
    race = lifecycle.start_race(campaign, [0, 1], seeds=3, now=at(100))
    for number in range(6):
        attempt = claim_one(runner(), now=at(100 + number))
        device = "cuda:0" if number == 5 else "cpu"
        finish(attempt, value_of(attempt.task), now=at(100 + number), device_used=device)
    assert race.decisions.get().n == 2


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"arms": [0]}, "arms", "must be 2 to 100 different arms"),
        ({"arms": [0, 0]}, "arms", "must be 2 to 100 different arms"),
        ({"arms": list(range(101))}, "arms", "must be 2 to 100 different arms"),
        ({"arms": [0, 7]}, "arms", "7 is no arm of this campaign"),
        ({"arms": [-1, 0]}, "arms", "-1 is no arm of this campaign"),
        ({"seeds": 2}, "seeds", "must be from 3 to 1000"),
        ({"seeds": 1_001}, "seeds", "must be from 3 to 1000"),
        ({"min_effect": -0.1}, "min_effect", "must be from 0 to 1000"),
        ({"min_effect": float("nan")}, "min_effect", "must be from 0 to 1000"),
    ],
)
def test_a_race_that_cannot_be_is_refused_and_nothing_is_stored(
    changes: dict[str, Any], field: str, sentence: str
) -> None:
    campaign = screened()
    with pytest.raises(InvalidCampaign) as refused:
        lifecycle.start_race(campaign, **({"arms": [0, 1], "now": at(100)} | changes))
    assert refused.value.errors == {field: [sentence]}
    assert (Race.objects.count(), campaign.tasks.count()) == (0, 3)


def test_drafts_paused_and_cancelled_campaigns_do_not_race() -> None:
    campaign = active_campaign(2)
    lifecycle.pause(campaign, now=NOW)
    with pytest.raises(WrongState, match="resume it first"):
        lifecycle.start_race(campaign, [0, 1], now=NOW)
    lifecycle.cancel(campaign, now=NOW)
    with pytest.raises(WrongState, match="cancelled"):
        lifecycle.start_race(campaign, [0, 1], now=NOW)
    assert Decision.objects.count() == 0
