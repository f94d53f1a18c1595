"""``manage.py campaign VERB``: the API's verbs of campaigns on the command line."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns.models import Campaign
from tests import factories
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("campaign", *map(str, arguments), stdout=output)
    return output.getvalue()


def test_a_campaign_goes_through_its_life_and_each_act_is_in_the_log() -> None:
    campaign = factories.campaign(name="night run")

    lines = [
        run("launch", campaign.pk),
        run("pause", campaign.pk, "--reason", "too hot"),
        run("resume", campaign.pk),
        run("cancel", campaign.pk),
    ]

    assert [line.split(":")[0] for line in lines] == [
        f"Campaign {campaign.pk} night run is active",
        f"Campaign {campaign.pk} night run is paused (too hot)",
        f"Campaign {campaign.pk} night run is active",
        f"Campaign {campaign.pk} night run is cancelled",
    ]
    assert "0/3 done" in lines[0]
    assert campaign.get_absolute_url() in lines[0]
    acts = AuditEntry.objects.order_by("pk").values_list("verb", "actor_name", "detail")
    assert list(acts) == [
        ("launch", "command line", ""),
        ("pause", "command line", "too hot"),
        ("resume", "command line", ""),
        ("cancel", "command line", ""),
    ]


def test_a_launched_campaign_grows_by_tasks_points_and_tries() -> None:
    campaign = factories.active_campaign(2)

    added = run("add-tasks", campaign.pk, 3)
    point = run("enqueue", campaign.pk, json.dumps({"lr": 0.001, "d_model": 64}), "--seed", 7)
    run("raise-attempts", campaign.pk, "--failed", 6)

    campaign.refresh_from_db()
    assert "0/5 done" in added
    task = campaign.tasks.get(number=5)
    assert point == f"Task {task.name} is pending: seed 7.\n"
    assert (campaign.max_failed_attempts, campaign.max_lost_attempts) == (6, 5)
    assert (task.params, task.origin) == ({"lr": 0.001, "d_model": 64}, "enqueued")


def test_the_list_shows_the_best_value_and_is_narrowed() -> None:
    done = factories.completed_task(2.5, name="first look").campaign
    factories.campaign(owner=factories.user("ada"), name="night\x1b[2J run")

    lines = run("list").splitlines()
    assert lines[0].split() == ["number", "state", "tasks", "first", "seed", "metric", "name"]
    assert lines[2].split() == [
        str(done.pk),
        "completed",
        "1",
        "2.5000",
        "val_bpb",
        "first",
        "look",
    ]
    assert "\x1b" not in lines[1]
    assert len(run("list", "--owner", "ada").splitlines()) == 2
    assert "first look" in run("list", "--search", "LOOK", "--state", "completed")
    assert "create_campaign" in run("list", "--experiment", "no_such")


def test_show_says_how_far_a_campaign_is() -> None:
    campaign = factories.completed_task(2.5).campaign

    assert "is completed: 1/1 done" in run("show", campaign.pk)
    assert "lowest val_bpb of a first seed 2.5000" in run("show", campaign.pk)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["launch", "{campaign}"], "only draft can launch"),
        (["launch", "999"], "There is no campaign 999"),
        (["cancel", "0"], "There is no campaign 0"),
        (["add-tasks", "{campaign}", "0"], "count: must be from 1"),
        (["enqueue", "{campaign}", "{{"], "not JSON"),
        (["enqueue", "{campaign}", "[1]"], "must be a JSON object"),
        (["enqueue", "{campaign}", '{{"lr": 5}}'], "d_model is missing"),
        (["raise-attempts", "{campaign}", "--failed", "1"], "max_failed_attempts: must be from 2"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments: list[str], sentence: str) -> None:
    task = factories.pending_task()
    filled = [argument.format(campaign=task.campaign_id) for argument in arguments]

    with pytest.raises(CommandError, match=sentence):
        run(*filled)


def test_a_verb_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(CommandError, match="raise-attempts"):
        run("destroy", "1")


def test_a_clone_is_a_draft_that_differs_in_what_was_named() -> None:
    owner = factories.user("ada")
    original = factories.active_campaign(2, name="Depth", base_seed=5)

    output = run("clone", original.pk, "--seed", 99, "--name", "Depth again", "--owner", "ada")

    clone = owner.campaigns.get()
    assert output.startswith(f"Campaign {clone.pk} Depth again is draft")
    assert (clone.base_seed, clone.task_count, clone.search_space) == (99, 2, original.search_space)
    assert AuditEntry.objects.get().detail == f"clone of campaign {original.pk}"
    with pytest.raises(CommandError, match="task_count: must be from 1"):
        run("clone", original.pk, "--tasks", 0)


def test_a_clone_keeps_its_work_and_changes_to_another_budget() -> None:
    steps = factories.campaign(budget_kind="work", work_unit="steps", work_amount=70)
    budgets = []
    for options in (
        (),
        ("--work", "9"),
        ("--budget", "5"),
        ("--work", "4096", "--work-unit", "steps"),
    ):
        run("clone", steps.pk, *options)
        clone = Campaign.objects.latest("pk")
        budgets.append(clone.budget_text)
    assert budgets == ["70 steps", "9 steps", "5 s", "4,096 steps"]
    timed = Campaign.objects.get(budget_kind="time")
    assert timed.work_unit == ""
    run("clone", timed.pk, "--work", "8", "--work-unit", "steps")
    assert Campaign.objects.latest("pk").budget_text == "8 steps"
    with pytest.raises(CommandError, match="a work budget has no time"):
        run("clone", timed.pk, "--work", "8", "--work-unit", "steps", "--budget", "5")


def test_its_space_tasks_workers_and_log_are_printed() -> None:
    task = factories.completed_task(2.5, by=factories.worker("lab-7"))
    number = task.campaign_id

    assert json.loads(run("export-space", number)) == task.campaign.search_space
    assert f"{task.name!s:>10}  completed    2.5000  seed 42" in run("tasks", number)
    assert run("tasks", number, "--state", "failed") == ""
    assert run("workers", number) == "lab-7: 1 results, lowest 2.5000, 0 running, 0 lost\n"
    assert "created the campaign" in run("log", number)


def test_the_attempts_and_changes_of_all_its_tasks_are_printed_the_latest_first() -> None:
    attempt = factories.leased_task(factories.worker("lab-\x1b7"), max_failed_attempts=1)
    factories.fail(attempt)
    number = attempt.task.campaign_id

    [line] = run("attempts", number).splitlines()
    assert f"task {attempt.task.name} attempt 1" in line
    assert line.endswith("lab-\ufffd7  script_error: exit code 1")
    assert run("attempts", number, "--outcome", "lost") == ""
    assert (
        run("attempts", number, "--worker", "lab-\x1b7", "--failure-class", "script_error")
        == line + "\n"
    )
    journal = run("journal", number).splitlines()
    assert journal[0].endswith("  campaign active → completed by server: No task is open.")
    assert journal[-1].endswith("  campaign draft → active by server: Tasks made: 1.")
