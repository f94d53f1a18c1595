"""The verb that runs an arm on further seeds, and the one that writes a note."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from campaigns import lifecycle
from campaigns.lifecycle import InvalidCampaign, WrongState
from campaigns.models import Arm, Campaign, Note, Task, TaskPurpose
from campaigns.search.samplers import MAX_TASKS
from campaigns.search.seeds import seed_at
from tests import factories, invariants
from tests.factories import NOW

pytestmark = pytest.mark.django_db


def arm_of(campaign: Campaign, number: int = 0) -> Arm:
    return campaign.arms.select_related("campaign").get(number=number)


def test_it_takes_the_next_seeds_of_the_list() -> None:
    campaign = factories.active_campaign(2)
    tasks = lifecycle.run_again(arm_of(campaign), 3, now=NOW)
    assert [task.number for task in tasks] == [2, 3, 4]
    assert [task.seed for task in tasks] == [seed_at(42, index) for index in (1, 2, 3)]
    assert {task.purpose for task in tasks} == {TaskPurpose.REPEAT}
    assert {task.params == arm_of(campaign).params for task in tasks} == {True}
    campaign.refresh_from_db()
    assert campaign.task_count == 5
    invariants.check()


def test_seeds_that_it_has_had_are_skipped() -> None:
    campaign = factories.active_campaign(1)
    lifecycle.enqueue(campaign, arm_of(campaign).params, seed=seed_at(42, 2), now=NOW)
    tasks = lifecycle.run_again(arm_of(campaign), 2, now=NOW)
    assert [task.seed_index for task in tasks] == [1, 3]


def test_a_completed_campaign_becomes_active_again() -> None:
    campaign = factories.completed_task().campaign
    campaign.refresh_from_db()
    assert campaign.state == "completed"
    lifecycle.run_again(arm_of(campaign), 1, now=NOW)
    campaign.refresh_from_db()
    assert campaign.state == "active"
    invariants.check()


@pytest.mark.parametrize("times", [0, -1, 21])
def test_a_number_that_makes_no_sense_adds_nothing(times: int) -> None:
    campaign = factories.active_campaign(1)
    with pytest.raises(InvalidCampaign, match="times: must be from 1 to 20"):
        lifecycle.run_again(arm_of(campaign), times, now=NOW)
    assert campaign.tasks.count() == 1


def test_a_cancelled_campaign_refuses() -> None:
    campaign = factories.active_campaign(1)
    lifecycle.cancel(campaign, now=NOW)
    with pytest.raises(WrongState, match="cancelled"):
        lifecycle.run_again(arm_of(campaign), 1, now=NOW)


def test_without_room_for_all_none_is_added() -> None:
    campaign = factories.active_campaign(1)
    Campaign.objects.filter(pk=campaign.pk).update(task_count=MAX_TASKS - 2)
    with pytest.raises(InvalidCampaign, match="tasks at most"):
        lifecycle.run_again(arm_of(campaign), 3, now=NOW)
    assert Task.objects.count() == 1


def test_an_infeasible_arm_is_refused() -> None:
    campaign = factories.active_campaign(1)
    campaign.arms.update(infeasible="its step has no finite cost")
    with pytest.raises(InvalidCampaign, match="is infeasible: its step has no finite cost"):
        lifecycle.run_again(arm_of(campaign), 1, now=NOW)
    assert campaign.tasks.count() == 1


# --- Notes ---------------------------------------------------------------------------------------


def test_a_note_is_replaced_and_counted() -> None:
    author = factories.user("ada")
    arm = arm_of(factories.active_campaign(1))
    first = lifecycle.write_note(arm, " a\r\nb ", author=author, now=NOW)
    assert (first.text, first.author_name, first.edits) == ("a\nb", "ada", 1)
    second = lifecycle.write_note(arm, "", author=None, edits=1, now=factories.at(5))
    assert (second.pk, second.text, second.author_name) == (first.pk, "", "command line")
    assert (second.edits, second.edited_at, second.author) == (2, factories.at(5), None)
    author.delete()


def test_an_older_count_is_refused() -> None:
    task = factories.pending_task()
    lifecycle.write_note(task, "one", author=None, now=NOW)
    for edits in (0, 2):
        with pytest.raises(WrongState, match="has changed this note"), transaction.atomic():
            lifecycle.write_note(task, "two", author=None, edits=edits, now=NOW)
    assert Note.objects.get().text == "one"


def test_a_note_belongs_to_an_arm_or_a_task_and_never_to_both() -> None:
    task = factories.pending_task()
    columns = {"campaign": task.campaign, "edited_at": NOW}
    for subjects in ({}, {"arm": task.arm, "task": task}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Note.objects.create(**columns, **subjects)


def test_the_text_outlives_the_account() -> None:
    author = factories.user("ada")
    task = factories.pending_task()
    lifecycle.write_note(task, "seen", author=author, now=NOW)
    author.delete()
    note = Note.objects.get()
    assert (note.text, note.author, note.author_name) == ("seen", None, "ada")
