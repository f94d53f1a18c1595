"""``manage.py campaign again`` and ``note``: what people do to one arm, on the command line."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from campaigns import lifecycle
from campaigns.models import Note
from tests import factories
from workers.models import AuditEntry

pytestmark = pytest.mark.django_db


def run(*arguments: Any) -> str:
    output = StringIO()
    call_command("campaign", *map(str, arguments), stdout=output)
    return output.getvalue()


def test_an_arm_runs_again_and_each_new_task_has_a_line() -> None:
    campaign = factories.active_campaign(2)
    said = run("again", campaign.pk, 1, "--times", 3)
    assert re.findall(r"is pending", said) == ["is pending"] * 3
    assert campaign.arms.get(number=1).tasks.count() == 4
    assert AuditEntry.objects.get().actor_name == "command line"
    run("again", campaign.pk, 1)
    assert campaign.arms.get(number=1).tasks.count() == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["7"], "has no arm 7"),
        (["0", "--times", "0"], "times: must be from 1 to 20"),
        (["0", "--times", "x"], "invalid int value"),
        ([], "required: arm"),
    ],
)
def test_runs_that_make_no_sense_are_refused(arguments: list[str], sentence: str) -> None:
    campaign = factories.active_campaign(1)
    with pytest.raises(CommandError, match=sentence):
        run("again", campaign.pk, *arguments)
    assert campaign.tasks.count() == 1


def test_a_cancelled_campaign_says_why_not() -> None:
    campaign = factories.active_campaign(1)
    lifecycle.cancel(campaign, now=factories.NOW)
    with pytest.raises(CommandError, match="The campaign is cancelled"):
        run("again", campaign.pk, 0)


def test_a_note_is_written_and_printed_without_control_characters() -> None:
    campaign = factories.active_campaign(1)
    for kind in ("arm", "task"):
        assert run("note", campaign.pk, f"--{kind}", 0) == f"There is no note on {kind} 0.\n"
        written = run("note", campaign.pk, f"--{kind}", 0, "--text", "two\nlines\x1b[31m")
        assert written == f"The note on {kind} 0 is saved.\n"
        lines = run("note", campaign.pk, f"--{kind}", 0).splitlines()
        assert lines[:2] == ["two", "lines\ufffd[31m"]
        assert lines[2].startswith("(command line, 20")
        run("note", campaign.pk, f"--{kind}", 0, "--text", "")
        assert "There is no note" in run("note", campaign.pk, f"--{kind}", 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--arm", "3"], "has no arm 3"),
        (["--task", "3", "--text", "a"], "has no task 3"),
        (["--arm", "0", "--text", "x" * 2001], "text: must have at most 2,000 characters"),
        (["--arm", "0", "--task", "0"], "not allowed with"),
        ([], "one of the arguments --arm --task is required"),
    ],
)
def test_a_note_that_makes_no_sense_is_refused(arguments: list[str], sentence: str) -> None:
    campaign = factories.active_campaign(1)
    with pytest.raises(CommandError, match=sentence):
        run("note", campaign.pk, *arguments)
    assert not Note.objects.exists()
