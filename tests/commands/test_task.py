"""``manage.py task VERB``: the API's verbs of a task on the command line."""

from __future__ import annotations

import csv
import json
import zipfile
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from campaigns.models import Task
from campaigns.search.seeds import seed_at
from tests import factories
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("task", *map(str, arguments), stdout=output, stderr=StringIO())
    return output.getvalue()


def test_a_failed_task_is_retried_and_a_waiting_one_cancelled_as_the_log_says() -> None:
    task = factories.failed_task()

    assert run("retry", task.name) == f"Task {task.name} is pending: seed 42.\n"
    assert run("cancel", task.name) == f"Task {task.name} is cancelled: seed 42.\n"
    acts = AuditEntry.objects.order_by("pk").values_list("verb", "actor_name")
    assert list(acts) == [("retry_task", "command line"), ("cancel_task", "command line")]


def test_an_implausible_result_is_admitted() -> None:
    task = factories.completed_task(1e-4)
    assert run("admit", task.name) == f"The result of task {task.name} counts now.\n"
    task.result.refresh_from_db()
    assert (task.result.is_ranked, task.result.implausible) == (True, False)
    with pytest.raises(CommandError, match="Only a result that is shown as implausible"):
        run("admit", task.name)


def test_a_task_runs_again_with_a_new_seed() -> None:
    task = factories.completed_task(2.5)

    added = run("run-again", task.name)

    again = task.campaign.tasks.get(number=1)
    assert added == f"Task {again.name} is pending: seed {seed_at(42, 1)}.\n"
    assert again.params == task.params


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["retry", "{task}"], "Only a failed task"),
        (["retry", "{campaign}/999"], "There is no task [0-9]+/999"),
        (["show", "999/0"], "There is no task 999/0"),
        # Its id is no name: another task may have this number.
        (["show", "{id}"], "[0-9]+ is not the name of a task: give its campaign and its number"),
        (["bundle", "{task}", "--out", "/dev/null/nowhere.zip"], "Cannot write /dev/null/nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(arguments: list[str], sentence: str) -> None:
    task = factories.pending_task()

    with pytest.raises(CommandError, match=sentence):
        run(
            *[
                argument.format(task=task.name, campaign=task.campaign_id, id=task.pk)
                for argument in arguments
            ]
        )


def test_a_task_is_shown_as_the_api_tells_it() -> None:
    task = factories.completed_task(2.5)

    shown_task = json.loads(run("show", task.name))

    assert (
        shown_task
        == Client().get(f"/api/v1/campaigns/{task.campaign_id}/tasks/{task.number}").json()
    )
    assert (shown_task["task"], shown_task["result"]["val_bpb"]) == (str(task.name), 2.5)


def test_its_attempts_and_the_changes_of_its_state_are_printed_in_their_order() -> None:
    attempt = factories.leased_task(factories.worker("lab-7"), max_failed_attempts=1)
    factories.fail(attempt)
    task = attempt.task

    [attempt_line] = run("attempts", task.name).splitlines()
    journal = run("journal", task.name).splitlines()

    assert f"task {task.name} attempt 1  failed" in attempt_line
    assert "lab-7" in attempt_line
    assert [line.partition("  ")[2] for line in journal] == [
        f"task {task.name} pending → leased by lab-7",
        f"task {task.name} attempt 1 new → running by lab-7",
        f"task {task.name} leased → failed by lab-7: exit code 1",
        f"task {task.name} attempt 1 running → failed by lab-7: exit code 1",
    ]


def test_the_learning_curve_is_printed_as_the_page_sends_it_and_of_one_attempt() -> None:
    attempt = factories.curve(factories.leased_task(), [{"train_loss": 3.0}] * 3)

    printed = run("curve", attempt.task.name)

    page = Client().get(reverse("task-curve", args=attempt.task.name))
    assert printed == page.getvalue().decode()
    assert [row["step"] for row in csv.DictReader(printed.splitlines())] == ["0", "10", "20"]
    assert run("curve", attempt.task.name, "--attempt", 1) == printed
    assert len(run("curve", attempt.task.name, "--attempt", 2).splitlines()) == 1


def test_the_bundle_is_written_under_the_name_of_the_task_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = factories.completed_task(2.5)
    monkeypatch.chdir(tmp_path)

    run("bundle", task.name, "--server", "https://lab.example.org/")
    run("bundle", task.name, "--server", "https://lab.example.org", "--out", "again.zip")

    name = f"campaign-{task.campaign_id}-task-{task.number}"
    assert Path(f"{name}.zip").read_bytes() == Path("again.zip").read_bytes()
    with zipfile.ZipFile("again.zip") as archive:
        config = json.loads(archive.read(f"{name}/config-original.json"))
    assert config == Task.objects.get(pk=task.pk).config
