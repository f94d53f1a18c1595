"""The verbs of a campaign: create, launch, pause, resume, cancel, finish."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import pytest

from campaigns import lifecycle
from campaigns.lifecycle import CampaignSpec, InvalidCampaign, WrongState
from campaigns.models import (
    MAX_SEED,
    Attempt,
    AttemptOutcome,
    Campaign,
    CampaignState,
    Package,
    Task,
    TaskPurpose,
    TaskState,
)
from experiments import catalog
from experiments.config_generators import CharLMConfigGenerator
from tests.factories import (
    NOW,
    active_campaign,
    at,
    campaign,
    claim_one,
    finish,
    user,
    worker,
)

pytestmark = pytest.mark.django_db

SPEC = CampaignSpec(
    name="Learning rates", experiment="train_char_lm", task_count=3, time_budget_seconds=10.0
)


def create(**changes: Any) -> Campaign:
    return lifecycle.create_campaign(replace(SPEC, **changes), owner=None, now=NOW)


def test_a_campaign_starts_as_a_draft_with_the_experiments_defaults_and_pinned_script() -> None:
    owner = user()
    draft = lifecycle.create_campaign(replace(SPEC, name="  Learning rates "), owner=owner, now=NOW)
    draft.refresh_from_db()
    source = catalog.script_source("train_char_lm")
    assert (draft.state, draft.name, draft.owner, draft.created_at) == (
        CampaignState.DRAFT,
        "Learning rates",
        owner,
        NOW,
    )
    assert draft.search_space == catalog.get("train_char_lm").default_search_space
    assert (draft.sampler, draft.base_seed, draft.allow_simulated) == ("random", 42, False)
    assert (draft.max_failed_attempts, draft.max_lost_attempts) == (2, 5)
    assert draft.dataset_id == catalog.get_dataset("tinyshakespeare").sha256
    assert draft.package_id == hashlib.sha256(source).hexdigest()
    assert bytes(Package.objects.get().source) == source
    assert draft.tasks.count() == 0


def test_campaigns_of_one_script_share_its_package() -> None:
    assert create().package == create().package


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"name": " "}, "name", "This field cannot be blank."),
        ({"name": "x" * 201}, "name", "at most 200 characters"),
        ({"experiment": "nope"}, "experiment", "no experiment named 'nope'"),
        ({"dataset": "nope"}, "dataset", "no data set named 'nope'"),
        ({"sampler": "nope"}, "sampler", "no sampler named 'nope'"),
        ({"task_count": 0}, "task_count", "must be from 1 to 100,000"),
        ({"task_count": 100_001}, "task_count", "must be from 1 to 100,000"),
        ({"base_seed": -1}, "base_seed", "must be from 0"),
        ({"base_seed": MAX_SEED}, "base_seed", f"at most {MAX_SEED}"),
        ({"time_budget_seconds": 0.09}, "time_budget_seconds", "must be from 0.1 to 604,800"),
        ({"time_budget_seconds": 0.0}, "time_budget_seconds", "must be from 0.1 to 604,800"),
        ({"time_budget_seconds": -5.0}, "time_budget_seconds", "must be from 0.1 to 604,800"),
        ({"time_budget_seconds": math.nan}, "time_budget_seconds", "must be from 0.1 to 604,800"),
        ({"time_budget_seconds": math.inf}, "time_budget_seconds", "must be from 0.1 to 604,800"),
        ({"max_failed_attempts": 0}, "max_failed_attempts", "must be from 1 to 100"),
        ({"max_lost_attempts": 40_000}, "max_lost_attempts", "must be from 1 to 100"),
        ({"search_space": []}, "search_space", "search space must be an object"),
        ({"search_space": {"parameters": [{"name": "lr"}]}}, "search_space", "parameters.lr.type"),
    ],
    ids=str,
)
def test_a_bad_description_is_refused_by_field_and_nothing_is_stored(
    changes: dict[str, Any], field: str, sentence: str
) -> None:
    with pytest.raises(InvalidCampaign) as refused:
        create(**changes)
    assert list(refused.value.errors) == [field]
    assert sentence in refused.value.errors[field][0]
    assert sentence in str(refused.value)
    assert Campaign.objects.count() == 0


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidCampaign) as refused:
        create(dataset="nope", task_count=0, time_budget_seconds=0.0, max_lost_attempts=0)
    assert set(refused.value.errors) == {
        "dataset",
        "task_count",
        "time_budget_seconds",
        "max_lost_attempts",
    }


def test_launching_makes_an_arm_per_config_of_the_generator_each_on_the_base_seed() -> None:
    launched = create(task_count=10)
    lifecycle.launch(launched, now=at(10))
    generator = CharLMConfigGenerator()
    tasks = list(launched.tasks.select_related("arm"))
    assert [(task.number, task.arm.number, task.seed, task.params) for task in tasks] == [
        (number, number, 42, generator.generate(42 + number)) for number in range(10)
    ]
    assert {(task.seed_index, task.purpose) for task in tasks} == {(0, TaskPurpose.SCREEN)}
    assert [arm.params for arm in launched.arms.all()] == [task.params for task in tasks]
    assert launched.draws == 10
    assert {(task.state, task.available_at) for task in tasks} == {(TaskState.PENDING, at(10))}
    assert (launched.state, launched.launched_at) == (CampaignState.ACTIVE, at(10))


def test_the_config_of_a_task_is_flat_and_complete() -> None:
    launched = create(task_count=1)
    lifecycle.launch(launched, now=NOW)
    assert launched.tasks.get().config == CharLMConfigGenerator().generate(42) | {
        "seed": 42,
        "time_budget_seconds": 10.0,
        "dataset": "tinyshakespeare",
        "dataset_sha256": launched.dataset_id,
    }


def test_the_same_campaign_gives_the_same_tasks() -> None:
    params = []
    for _ in range(2):
        launched = active_campaign(10)
        params.append(list(launched.tasks.values_list("params", "arm__params_sha256", "seed")))
    assert params[0] == params[1]


def test_a_space_whose_later_seeds_find_no_point_is_refused_at_launch() -> None:
    # Parsing draws with seed 0, which exceeds 0.9999 within 10,000 draws; seed 8 does not.
    space = {
        "parameters": [{"name": "lr", "type": "float", "low": 0.0, "high": 1.0}],
        "constraints": ["lr > 0.9999"],
    }
    draft = create(search_space=space, base_seed=8)
    with pytest.raises(InvalidCampaign, match="search_space: 10,000 draws in a row broke"):
        lifecycle.launch(draft, now=NOW)
    draft.refresh_from_db()
    assert (draft.state, draft.tasks.count()) == (CampaignState.DRAFT, 0)


def test_a_launched_campaign_cannot_be_launched_again() -> None:
    launched = active_campaign(2)
    with pytest.raises(WrongState, match="The campaign is active; only draft can launch"):
        lifecycle.launch(launched, now=at(1))
    assert launched.tasks.count() == 2


def test_a_stale_copy_of_a_campaign_decides_nothing() -> None:
    current = campaign()
    stale = Campaign.objects.get()
    lifecycle.cancel(current, now=NOW)
    with pytest.raises(WrongState, match="The campaign is cancelled; only draft can launch"):
        lifecycle.launch(stale, now=NOW)
    assert (stale.state, Task.objects.count()) == (CampaignState.CANCELLED, 0)


def test_pausing_keeps_the_reason_and_the_time_and_resuming_clears_them() -> None:
    in_hand = active_campaign(1)
    lifecycle.pause(in_hand, now=at(5), reason="r" * 600)
    stored = Campaign.objects.get()
    assert (stored.state, stored.state_reason, stored.paused_at) == (
        CampaignState.PAUSED,
        "r" * 500,
        at(5),
    )
    lifecycle.resume(in_hand, now=at(9))
    stored = Campaign.objects.get()
    assert (stored.state, stored.state_reason, stored.paused_at, stored.resumed_at) == (
        CampaignState.ACTIVE,
        "",
        None,
        at(9),
    )
    # The caller's object is updated like the stored row.
    assert (in_hand.state, in_hand.paused_at, in_hand.resumed_at) == (
        CampaignState.ACTIVE,
        None,
        at(9),
    )


def test_what_runs_in_a_paused_campaign_finishes_and_may_complete_it() -> None:
    paused = active_campaign(1)
    attempt = claim_one(worker())
    lifecycle.pause(paused, now=at(5))
    finish(attempt, now=at(9))
    assert Campaign.objects.get().state == CampaignState.COMPLETED


def test_cancelling_ends_all_open_tasks_and_keeps_the_results_there_are() -> None:
    cancelled = active_campaign(3)
    done, running = claim_one(worker()), claim_one(worker())
    finish(done, now=at(5))
    untouched = active_campaign(1)

    lifecycle.cancel(cancelled, now=at(9), reason="not needed")

    states = list(cancelled.tasks.order_by("number").values_list("state", "finished_at"))
    assert states == [
        (TaskState.COMPLETED, at(5)),
        (TaskState.CANCELLED, at(9)),
        (TaskState.CANCELLED, at(9)),
    ]
    assert cancelled.results.count() == 1
    running.refresh_from_db()
    assert (running.outcome, running.ended_at) == (AttemptOutcome.CANCELLED, at(9))
    assert (cancelled.state, cancelled.state_reason, cancelled.finished_at) == (
        CampaignState.CANCELLED,
        "not needed",
        at(9),
    )
    assert untouched.tasks.get().state == TaskState.PENDING


def test_cancelling_a_large_campaign_costs_no_more_queries(
    django_assert_max_num_queries: Any,
) -> None:
    large = active_campaign(300)
    claim_one(worker())
    with django_assert_max_num_queries(15) as captured:
        lifecycle.cancel(large, now=at(1))
    assert large.tasks.filter(state=TaskState.CANCELLED).count() == 300
    assert Attempt.objects.get().outcome == AttemptOutcome.CANCELLED
    # No statement lists the ids of all tasks: databases limit the parameters of a statement.
    assert max(len(query["sql"]) for query in captured.captured_queries) < 2_000


def test_a_draft_can_be_cancelled() -> None:
    draft = campaign()
    lifecycle.cancel(draft, now=at(1))
    assert Campaign.objects.get().state == CampaignState.CANCELLED


def test_the_sweep_finishes_only_campaigns_without_open_tasks() -> None:
    done, running, draft = active_campaign(1), active_campaign(1), campaign()
    done.tasks.update(state=TaskState.CANCELLED, finished_at=at(1))
    assert lifecycle.finish_done_campaigns(now=at(5)) == 1
    assert lifecycle.finish_done_campaigns(now=at(6)) == 0
    campaigns = (done, running, draft)
    states = [Campaign.objects.get(pk=campaign.pk).state for campaign in campaigns]
    assert states == [CampaignState.COMPLETED, CampaignState.ACTIVE, CampaignState.DRAFT]
    assert Campaign.objects.get(pk=done.pk).finished_at == at(5)
