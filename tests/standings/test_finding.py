"""What a campaign says first when its tasks fail, on pages, over the API and in the terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any, cast

import pytest
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from campaigns import lifecycle
from campaigns.models import Attempt, Campaign, CampaignState
from campaigns.standings.finding import finding, why_nothing_is_ranked
from campaigns.standings.progress import campaign_progress
from tests.factories import (
    NOW,
    active_campaign,
    at,
    claim_one,
    completed,
    fail,
    failure,
    worker,
)
from workers.protocol import FailureClass, Submission

pytestmark = pytest.mark.django_db


def refuse_config(attempt: Attempt) -> None:
    """End an attempt as a script does that refuses its config."""
    body = failure(FailureClass.SCRIPT_ERROR, "the config was refused: lr must be above 0")
    final = cast(Submission, {**body, "exit_code": 2, "final": True})
    lifecycle.submit(attempt.worker, attempt.lease_id, final, now=at(10))


def told(campaign: Campaign) -> tuple[str, str]:
    """The finding, and why the leaderboard is empty."""
    fresh = Campaign.objects.get(pk=campaign.pk)
    progress = campaign_progress(fresh, now=NOW)
    return finding(fresh, progress), why_nothing_is_ranked(fresh, progress)


def run(campaign: Campaign, *ends: str) -> None:
    """Claim and end tasks: refused, failed or completed."""
    for end in ends:
        attempt = claim_one(worker())
        if end == "refused":
            refuse_config(attempt)
        elif end == "failed":
            fail(attempt)
        else:
            lifecycle.submit(attempt.worker, attempt.lease_id, completed(attempt.task), now=at(10))


def test_a_script_that_refuses_half_of_the_configs_is_told_first() -> None:
    campaign = active_campaign(5)
    assert told(campaign)[0] == ""
    run(campaign, "completed", "refused")
    first, _ = told(campaign)
    assert first.startswith("The script refused the config of 1 of 2 tasks that ended: “the config")
    assert "lr must be above 0”. Trying them again changes nothing" in first
    run(campaign, "completed")
    assert told(campaign)[0] == ""
    run(campaign, "refused", "refused")
    assert told(campaign)[0].startswith("The script refused the config of 3 of 5 tasks")


def test_an_exit_with_code_2_for_another_reason_is_not_taken_for_a_refused_config() -> None:
    campaign = active_campaign(2, max_failed_attempts=1)
    for _ in range(2):
        attempt = claim_one(worker())
        body = cast(Submission, {**failure(FailureClass.SCRIPT_ERROR), "exit_code": 2})
        lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))
    assert told(campaign)[0].startswith("All 2 tasks failed, most by script error")


def test_other_failures_are_not_taken_for_refused_configs() -> None:
    campaign = active_campaign(2, max_failed_attempts=1)
    run(campaign, "failed", "failed")
    first, empty = told(campaign)
    assert first == "All 2 tasks failed, most by script error, so this campaign has no result."
    assert empty == "All 2 tasks failed, most by script error, so there is nothing to rank."


def test_while_tasks_wait_rows_may_still_come() -> None:
    campaign = active_campaign(3, max_failed_attempts=1)
    assert told(campaign)[1] == "No measured result yet. Rows appear as tasks complete."
    run(campaign, "failed")
    first, empty = told(campaign)
    assert first == ""
    assert empty.endswith("as tasks complete. So far 1 task failed.")


def test_an_ended_campaign_says_how_its_tasks_ended() -> None:
    campaign = active_campaign(3, max_failed_attempts=1)
    run(campaign, "failed")
    lifecycle.cancel(Campaign.objects.get(), now=at(60))
    first, _ = told(campaign)
    assert first.startswith("The only task that ran failed, most by script error")
    unlaunched = active_campaign(2)
    lifecycle.cancel(unlaunched, now=at(60))
    assert told(unlaunched)[1] == (
        "The campaign has ended without a result to rank: of 2 tasks, 2 were cancelled."
    )


def test_values_that_are_not_ranked_are_told_apart() -> None:
    campaign = active_campaign(1)
    attempt = claim_one(worker())
    body = completed(attempt.task, diverged=True)
    body["metrics"] = (body["metrics"] or {}) | {"val_bpb": None, "eval_nll_nats": None}
    lifecycle.submit(attempt.worker, attempt.lease_id, body, now=at(10))
    _, empty = told(campaign)
    assert empty.endswith("of 1 task, 1 ended without a value that counts.")


def page(campaign: Campaign) -> str:
    """The page of a campaign."""
    return Client().get(campaign.get_absolute_url()).text


def test_the_page_says_it_above_all_and_links_the_failures() -> None:
    campaign = active_campaign(2)
    run(campaign, "refused", "refused")
    campaign.refresh_from_db()
    assert campaign.state == CampaignState.COMPLETED
    html = page(campaign)
    assert "Rows appear as tasks complete" not in html
    assert "no measured result yet" not in html
    assert "All 2 tasks failed, most by script error, so there is nothing to rank." in html
    failures = f'href="/campaigns/{campaign.pk}/tasks/?state=failed"'
    for html_id in ("finding-failures", "see-failures"):
        assert f'id="{html_id}" {failures}' in html
    assert html.index('id="verdict"') < html.index('id="figures"')


def test_the_api_and_the_terminal_say_it_too() -> None:
    campaign = active_campaign(2)
    run(campaign, "refused", "refused")
    reply = APIClient().get(f"/api/v1/campaigns/{campaign.pk}").json()
    assert reply["finding"].startswith("The script refused the config of 2 of 2 tasks")
    commands: tuple[tuple[Any, ...], ...] = (
        ("campaign", "show", str(campaign.pk)),
        ("leaderboard", str(campaign.pk)),
    )
    for command in commands:
        output = StringIO()
        call_command(*command, stdout=output)
        assert output.getvalue().startswith("The script refused the config of 2 of 2 tasks")


def test_panels_of_an_ended_campaign_do_not_promise_charts() -> None:
    campaign = active_campaign(1)
    run(campaign, "refused")
    reply = APIClient().get(f"/api/v1/campaigns/{campaign.pk}/analysis/effects").json()
    assert reply["empty"].startswith("The campaign has ended without a measured result")
    html = Client().get(f"{campaign.get_absolute_url()}analysis/").text
    assert "appear here as tasks complete" not in html
