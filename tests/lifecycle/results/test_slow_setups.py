"""Runs whose set-up took much of their time budget: marked, kept, and run once more elsewhere."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from campaigns import jobs, lifecycle
from campaigns.lifecycle.replays import LONGEST_WAIT, NOBODY_ELSE
from campaigns.models import Campaign, CampaignState, Result, StateChange, Task, TaskPurpose
from campaigns.standings import arms, headline
from campaigns.standings.progress import campaign_progress
from tests import factories, invariants
from tests.factories import active_campaign, at, claim, claim_one, completed
from workers.models import Worker

pytestmark = pytest.mark.django_db

HERE = {"machine": "here", "cpu_model": "EPYC"}
ELSEWHERE = {"machine": "elsewhere", "cpu_model": "EPYC"}


def machine(hardware: dict[str, Any], *, seen: float = 0, **fields: Any) -> Worker:
    return factories.worker(hardware=hardware, last_seen_at=at(seen), **fields)


def end(by: Worker, seconds: float, setup: Any = 5.0, **changes: Any) -> Result:
    """Let the worker run the next task, with so many seconds of set-up of its ten."""
    attempt = claim_one(by, now=at(seconds))
    body = completed(attempt.task, changes.pop("value", 3.0))
    body["simulated"] = changes.pop("simulated", False)
    body["metrics"] = (body["metrics"] or {}) | {"setup_seconds": setup} | changes
    answer = lifecycle.submit(by, attempt.lease_id, body, now=at(seconds))
    assert answer.verdict == "accepted", answer.message
    return Result.objects.select_related("task").get(attempt=attempt)


def replays(campaign: Campaign) -> list[Task]:
    return list(campaign.tasks.exclude(not_on="").order_by("number"))


@pytest.mark.parametrize(
    ("setup", "is_slow"),
    [
        (2.9, False),
        (3.0, False),
        (3.1, True),
        (9.4, True),
        (9.6, None),  # longer than the run
        (-1.0, None),
        (True, None),
        ("5.0", None),
        (None, None),
    ],
)
def test_a_setup_of_more_than_three_tenths_of_the_budget_is_marked(
    setup: Any, is_slow: bool | None
) -> None:
    active_campaign(1)
    result = end(machine(HERE), 1, setup)
    assert result.slow_setup is is_slow
    assert result.setup_trouble == (
        f"slow set-up: it took {setup:.1f} s, more than 30% of the budget" if is_slow else ""
    )


def test_work_budgets_and_invented_values_have_no_slow_setup() -> None:
    by = machine(HERE)
    machine(ELSEWHERE)
    active_campaign(1, allow_simulated=True)
    assert end(by, 1, simulated=True).slow_setup is None
    work = factories.work_campaign(1)
    assert end(by, 2).slow_setup is None
    assert (work.tasks.count(), Campaign.objects.get(pk=work.pk).state) == (1, "completed")


def test_the_run_is_kept_and_repeated_once_on_another_machine() -> None:
    here, same, other = machine(HERE), machine(HERE), machine(ELSEWHERE)
    campaign = active_campaign(1)
    first = end(here, 1, value=2.75)
    (replay,) = replays(campaign)
    assert (replay.arm_id, replay.seed, replay.purpose, replay.not_on) == (
        first.task.arm_id,
        first.task.seed,
        TaskPurpose.REPLAY,
        "here",
    )
    completion = StateChange.objects.get(task=first.task, to_state="completed", subject="task")
    assert completion.reason == (
        "slow set-up: it took 5.0 s, more than 30% of the budget; it runs once more, if another "
        "machine is online"
    )
    # It costs neither the worker nor the task anything.
    here.refresh_from_db()
    assert (here.paused_until, here.consecutive_env_errors) == (None, 0)
    assert Task.objects.get(pk=first.task_id).failed_attempts == 0
    # No agent on the same machine gets it, this one or another.
    assert not claim(here, now=at(2)).attempts
    assert not claim(same, now=at(2)).attempts
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.ACTIVE
    second = end(other, 3, 1.0, value=2.5)
    first.refresh_from_db()
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    # Both values are there, and the better run counts.
    assert (first.value, first.is_ranked, first.is_screening) == (2.75, True, False)
    assert [row.value for row in arms.rows(campaign, limit=9, of_class="all")] == [2.5]
    purposes = dict(campaign.tasks.values_list("pk", "purpose"))
    assert purposes == {first.task_id: TaskPurpose.REPLAY, second.task_id: TaskPurpose.SCREEN}
    invariants.check()


def test_a_replay_that_was_slow_too_changes_nothing_and_runs_no_third_time() -> None:
    here, other = machine(HERE), machine(ELSEWHERE)
    campaign = active_campaign(1)
    first = end(here, 1, value=2.75)
    assert end(other, 2, 6.0, value=2.5).slow_setup is True
    campaign.refresh_from_db()
    assert (campaign.state, campaign.tasks.count()) == (CampaignState.COMPLETED, 2)
    assert Task.objects.get(pk=first.task_id).purpose == TaskPurpose.SCREEN
    assert [row.value for row in arms.rows(campaign, limit=9, of_class="all")] == [2.75]
    invariants.check()


def test_a_run_whose_setup_left_no_time_to_train_gets_its_value_elsewhere() -> None:
    here, other = machine(HERE), machine(ELSEWHERE)
    campaign = active_campaign(1)
    nothing = {"val_bpb": None, "eval_nll_nats": None, "eval_bytes": 0, "eval_tokens": 0}
    too_small = {"steps_completed": 0, "stop_reason": "budget_too_small", "train_loss": None}
    assert end(here, 1, 8.5, **nothing, **too_small).is_ranked is False
    end(other, 2, 1.0, value=2.5)
    assert [row.value for row in arms.rows(campaign, limit=9, of_class="all")] == [2.5]
    invariants.check()


@pytest.mark.parametrize(
    "others",
    [
        [],
        [{"hardware": HERE}],
        [{"hardware": ELSEWHERE, "seen": -600}],
        [{"hardware": ELSEWHERE, "state": "draining"}],
        [{"hardware": ELSEWHERE, "paused_until": at(60)}],
        [{"hardware": ELSEWHERE, "simulates": True}],
        [{"hardware": ELSEWHERE, "is_program": True}],
    ],
    ids=["nobody", "the same machine", "offline", "draining", "paused", "simulates", "program"],
)
def test_where_nobody_else_may_run_it_the_campaign_completes_as_it_is(
    others: list[dict[str, Any]],
) -> None:
    for fields in others:
        machine(**fields)
    # Simulated results are allowed: a worker that invents values may claim, and repeats nothing.
    campaign = active_campaign(2, allow_simulated=True)
    here = machine(HERE)
    end(here, 1)
    end(here, 2)
    campaign.refresh_from_db()
    assert (campaign.state, campaign.tasks.count()) == (CampaignState.COMPLETED, 2)
    assert len(arms.rows(campaign, limit=9)) == 2


def test_machines_without_an_id_are_told_apart_by_their_profile() -> None:
    profile = {"platform": "Linux", "cpu_model": "EPYC", "cpu_count": 2, "ram_bytes": 8_000}
    here = machine(profile | {"torch_version": "2.13.0"})
    machine(profile | {"torch_version": "2.12.0", "notes": ["another agent on it"]})
    campaign = active_campaign(2)
    end(here, 1)
    assert not replays(campaign)
    machine(profile | {"cpu_count": 4})
    end(here, 2)
    assert len(replays(campaign)) == 1


def test_a_machine_that_comes_later_repeats_what_the_campaign_still_can() -> None:
    """The job looks at the last ten minutes; a campaign that completed is not opened again."""
    here = machine(HERE)
    over, running = active_campaign(1), active_campaign(2)
    end(here, 1)
    end(here, 2)
    machine(ELSEWHERE)
    since = at(-600)
    assert lifecycle.repeat_missed(since=since, now=at(3), limit=9) == 1
    assert lifecycle.repeat_missed(since=since, now=at(3), limit=9) == 0
    assert (len(replays(over)), len(replays(running))) == (0, 1)
    assert Campaign.objects.get(pk=over.pk).state == CampaignState.COMPLETED


def test_a_replay_is_given_up_when_the_other_machine_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = machine(HERE)
    machine(ELSEWHERE)
    campaign = active_campaign(1)
    first = end(here, 1)
    (replay,) = replays(campaign)
    assert lifecycle.give_up_replays(now=at(2)) == 0
    Worker.objects.exclude(pk=here.pk).update(state="draining")
    monkeypatch.setattr("campaigns.clock.database_now", lambda: at(3))
    jobs.finish_campaigns()
    replay.refresh_from_db()
    campaign.refresh_from_db()
    assert (replay.state, campaign.state) == ("cancelled", CampaignState.COMPLETED)
    assert StateChange.objects.get(task=replay, to_state="cancelled").reason == NOBODY_ELSE
    assert Task.objects.get(pk=first.task_id).purpose == TaskPurpose.SCREEN
    invariants.check()


def test_a_campaign_waits_an_hour_at_most_for_nothing_but_replays() -> None:
    here, other = machine(HERE), machine(ELSEWHERE)
    campaign = active_campaign(2)
    end(here, 1)
    last = claim_one(here, now=at(2))
    later = at(1) + LONGEST_WAIT + dt.timedelta(seconds=1)
    Worker.objects.filter(pk=other.pk).update(last_seen_at=later)
    # Its last own task still runs, so the replay is in nobody's way.
    assert lifecycle.give_up_replays(now=later) == 0
    factories.finish(last, now=later)
    assert lifecycle.give_up_replays(now=later - dt.timedelta(seconds=2)) == 0
    assert lifecycle.give_up_replays(now=later) == 1
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED


def test_the_verdict_counts_them() -> None:
    here = machine(HERE)
    campaign = active_campaign(2)
    end(here, 1)
    end(here, 2, 1.0)
    campaign = Campaign.objects.select_related("package").get(pk=campaign.pk)
    sentence = headline.sentence(campaign, campaign_progress(campaign, now=at(3)), now=at(3))
    assert sentence.endswith(
        "1 run spent more than 30 % of the time on set-up, and might have come further elsewhere."
    )
